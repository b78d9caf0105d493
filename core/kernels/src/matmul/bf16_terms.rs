//! Factors of a product as sums of three bf16 terms, laid out in tiles.
//!
//! A bf16 holds 8 of the 24 significant bits of an f32. So `x = x₀ + x₁ + x₂` with `x₀` the bf16 nearest to `x`, `x₁`
//! the one nearest to `x - x₀`, and `x₂` the remainder, is exact unless `x₂` is too small to be a bf16.

use std::arch::x86_64::*;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::{Matrix, PIECE};

/// Lines, and values of depth, that a tile of the processor holds.
pub(super) const LINES: usize = 16;
pub(super) const DEPTH: usize = PIECE;

/// Tiles that lie below each other in a panel.
pub(super) const HALVES: usize = 2;
/// Lines of a panel.
pub(super) const PANEL: usize = HALVES * LINES;
/// Terms of a value.
pub(super) const TERMS: usize = 3;

/// A row of a tile.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Row([u32; LINES]);

/// Distance of a pair's second value from the first. Any order along the depth is correct if both factors have it, and
/// this one needs no shuffling.
const PAIRED: usize = DEPTH / 2;

/// Rows of a tile.
const ROWS: usize = 16;
/// The part of a panel at one step of depth: tiles by term and half.
pub(super) const STEP: usize = TERMS * HALVES * ROWS;

/// Layout of a factor's tiles.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// A row per line, of 32 values along the depth.
    Left,
    /// A row per pair of values along the depth, of 16 lines.
    Right,
}

/// Writes `steps` of a panel: lines `first..` of `lines` (as many as there are, at most [`PANEL`]), padded with zeros.
/// The lines of a left factor are its rows, those of a right one its columns, so that the latter comes transposed.
///
/// # Safety
/// The processor must have AVX-512 F and BW.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn pack(
    to: &mut [MaybeUninit<Row>],
    lines: Matrix<'_>,
    first: usize,
    steps: Range<usize>,
    side: Side,
) {
    assert_eq!(to.len(), steps.len() * STEP, "room for a panel");
    let along_depth = lines.col_stride == 1;
    for (step, to) in steps.zip(to.chunks_exact_mut(STEP)) {
        let values = step * DEPTH..lines.cols.min((step + 1) * DEPTH);
        for half in 0..HALVES {
            let line = first + half * LINES;
            let present = line.min(lines.rows)..(line + LINES).min(lines.rows);
            match along_depth {
                true => by_line(to, half, |at| match line + at < lines.rows {
                    true => &lines.data[(line + at) * lines.row_stride..][values.clone()],
                    false => &[],
                }),
                false => by_pair(to, half, |at| match values.start + at < values.end {
                    true => &lines.data[(values.start + at) * lines.col_stride..][present.clone()],
                    false => &[],
                }),
            }
            if along_depth != (side == Side::Left) {
                (0..TERMS).for_each(|term| transpose(tile(to, term, half)));
            }
        }
    }
}

/// Writes a step of a left factor's panel, line by line: `line` returns up to 32 values, the rest are zeros.
///
/// # Safety
/// The processor must have AVX-512 F and BW.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn pack_step<'a>(to: &mut [MaybeUninit<Row>], line: impl Fn(usize) -> &'a [f32]) {
    assert_eq!(to.len(), STEP, "room for a step");
    (0..HALVES).for_each(|half| by_line(to, half, |at| line(half * LINES + at)));
}

/// The tile of a term in a step of a panel.
fn tile(step: &mut [MaybeUninit<Row>], term: usize, half: usize) -> &mut [MaybeUninit<Row>] {
    &mut step[(term * HALVES + half) * ROWS..][..ROWS]
}

/// Writes lines whose values lie side by side, a row each.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn by_line<'a>(step: &mut [MaybeUninit<Row>], half: usize, line: impl Fn(usize) -> &'a [f32]) {
    for at in 0..LINES {
        let line = line(at);
        put(step, half, at, load(line), load(line.get(PAIRED..).unwrap_or(&[])));
    }
}

/// Writes values whose lines lie side by side, two of them a row.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn by_pair<'a>(step: &mut [MaybeUninit<Row>], half: usize, value: impl Fn(usize) -> &'a [f32]) {
    for at in 0..ROWS {
        put(step, half, at, load(value(at)), load(value(at + PAIRED)));
    }
}

/// Loads the first 16 elements; where there are fewer, the others are 0.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load(from: &[f32]) -> __m512 {
    // SAFETY: masked lanes are not read.
    unsafe { _mm512_maskz_loadu_ps(((1_u32 << from.len().min(16)) - 1) as u16, from.as_ptr()) }
}

/// Splits 16 values into three terms, each the upper half of its lane, with zeros in the lower.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn split(x: __m512) -> [__m512i; TERMS] {
    let upper = _mm512_set1_epi32(0xffff_0000_u32 as i32);
    let half = _mm512_set1_epi32(0x8000);
    // To nearest, ties away from zero: the carry rounds up.
    let nearest = |x: __m512| _mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(x), half), upper);
    let first = nearest(x);
    let rest = _mm512_sub_ps(x, _mm512_castsi512_ps(first));
    let second = nearest(rest);
    // The lower half of the last term is 0, except for numbers too small for a bf16.
    let third = _mm512_castps_si512(_mm512_sub_ps(rest, _mm512_castsi512_ps(second)));
    [first, second, _mm512_and_si512(third, upper)]
}

/// Writes the terms of 16 pairs of values, a row each.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn put(step: &mut [MaybeUninit<Row>], half: usize, at: usize, x: __m512, y: __m512) {
    for (term, (x, y)) in split(x).into_iter().zip(split(y)).enumerate() {
        let row = _mm512_or_si512(_mm512_srli_epi32::<16>(x), y);
        // SAFETY: a row has 64 bytes.
        unsafe { _mm512_store_si512(tile(step, term, half)[at].as_mut_ptr().cast(), row) };
    }
}

/// Transposes a tile in place, pairs of values kept together.
#[target_feature(enable = "avx512f,avx512bw")]
fn transpose(tile: &mut [MaybeUninit<Row>]) {
    let zero = _mm512_setzero_si512();
    let mut rows = [zero; ROWS];
    for (row, from) in rows.iter_mut().zip(&*tile) {
        // SAFETY: a row has 64 bytes, and all were written before.
        *row = unsafe { _mm512_load_si512(from.as_ptr().cast()) };
    }
    // Within blocks of four lanes: rows 4i..4i+4 become columns, block by block.
    let mut blocks = [zero; ROWS];
    for i in (0..ROWS).step_by(4) {
        let [a, b, c, d] = [rows[i], rows[i + 1], rows[i + 2], rows[i + 3]];
        let (ab_low, ab_high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let (cd_low, cd_high) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        blocks[i] = _mm512_unpacklo_epi64(ab_low, cd_low);
        blocks[i + 1] = _mm512_unpackhi_epi64(ab_low, cd_low);
        blocks[i + 2] = _mm512_unpacklo_epi64(ab_high, cd_high);
        blocks[i + 3] = _mm512_unpackhi_epi64(ab_high, cd_high);
    }
    // Then the blocks: lane block `k` of vector 4i+j goes to row 4k+j, block `i`.
    for j in 0..4 {
        let [a, b, c, d] = [blocks[j], blocks[4 + j], blocks[8 + j], blocks[12 + j]];
        let (ab_low, ab_high) = (_mm512_shuffle_i32x4::<0x44>(a, b), _mm512_shuffle_i32x4::<0xee>(a, b));
        let (cd_low, cd_high) = (_mm512_shuffle_i32x4::<0x44>(c, d), _mm512_shuffle_i32x4::<0xee>(c, d));
        rows[j] = _mm512_shuffle_i32x4::<0x88>(ab_low, cd_low);
        rows[4 + j] = _mm512_shuffle_i32x4::<0xdd>(ab_low, cd_low);
        rows[8 + j] = _mm512_shuffle_i32x4::<0x88>(ab_high, cd_high);
        rows[12 + j] = _mm512_shuffle_i32x4::<0xdd>(ab_high, cd_high);
    }
    for (row, to) in rows.into_iter().zip(tile) {
        // SAFETY: a row has 64 bytes.
        unsafe { _mm512_store_si512(to.as_mut_ptr().cast(), row) };
    }
}
