//! Products on the matrix unit of Intel's server processors (AMX), as exact as those of f32 arithmetic.
//!
//! The unit multiplies tiles of bf16 and adds up in f32, 16 times as fast as AVX-512 multiplies f32. With both factors
//! split into three terms (see the module `bf16_terms`), six of the nine products of terms make up the product; the
//! other three are below its rounding error. That leaves a third of the time.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::amx_tiles::{Tiles, available, begin, end, step};
use super::bf16_terms::{DEPTH, PANEL, Row, STEP, Side, pack, pack_step};
use super::{Finish, Matrix, Windows};
use crate::threads;

/// Largest number of steps of depth of a block: with fewer, the result is read and written more often.
const BLOCK_STEPS: usize = 20;
/// Rows of tiles in a block of either factor. Both blocks fit together into a second-level cache: 768 and 384 KiB.
const LEFT: usize = 12 << 10;
const RIGHT: usize = 6 << 10;

/// Returns whether a product of these rows, columns and depth is faster here than in f32: the cost of splitting a
/// factor does not depend on the number of columns that it is multiplied with.
pub(crate) fn pays([rows, cols, depth]: [usize; 3]) -> bool {
    rows >= PANEL && cols >= 2 * PANEL && depth >= DEPTH && available()
}

/// A right factor, split and laid out once.
pub(crate) struct Packed {
    /// Block of depth, panel of columns, step of depth.
    rows: Vec<Row>,
    depth: usize,
    cols: usize,
}

impl Packed {
    /// Packs `b` on all threads; the unit must be [`available`].
    pub(crate) fn new(b: Matrix<'_>) -> Self {
        assert!(available(), "the processor has no matrix unit");
        let (depth, cols) = (b.rows, b.cols);
        let len = cols.div_ceil(PANEL) * depth.div_ceil(DEPTH) * STEP;
        let mut rows = Vec::with_capacity(len);
        let mut room = &mut rows.spare_capacity_mut()[..len];
        let mut panels = Vec::new();
        for steps in blocks(depth) {
            for column in (0..cols).step_by(PANEL) {
                let (panel, rest) = room.split_at_mut(steps.len() * STEP);
                panels.push((column, steps.clone(), panel));
                room = rest;
            }
        }
        // SAFETY: the processor has the unit, and AVX-512 with it.
        let pack = |(column, steps, to): (usize, Range<usize>, &mut [MaybeUninit<Row>])| unsafe {
            pack(to, b.t(), column, steps, Side::Right);
        };
        match threads::available() {
            1 => panels.into_iter().for_each(pack),
            _ => panels.into_par_iter().for_each(pack),
        }
        // SAFETY: the panels cover all of the room.
        unsafe { rows.set_len(len) };
        Self { rows, depth, cols }
    }

    /// Writes `a` times this factor to the row-major `out`, or adds it.
    ///
    /// Every element is summed in the same order, for any number of threads and of rows of `a`.
    ///
    /// # Safety
    /// `out` must be valid for `a.rows` times the columns of this factor, initialized if `accumulate`.
    pub(crate) unsafe fn product(&self, out: *mut f32, a: Matrix<'_>, accumulate: bool) {
        assert_eq!(a.cols, self.depth, "inner sizes of a matrix product");
        let out = Target { out, width: self.cols, accumulate };
        let panels = a.rows.div_ceil(PANEL);
        match threads::available().min(panels) {
            // SAFETY: `out` is valid by this function's contract.
            0 | 1 => unsafe { self.rows_of(out, &a, 0..panels, &()) },
            parts => (0..parts).into_par_iter().for_each(|part| {
                // SAFETY: the same; each part writes rows of its own.
                unsafe { self.rows_of(out, &a, panels * part / parts..panels * (part + 1) / parts, &()) };
            }),
        }
    }

    /// Writes `windows` times this factor to the row-major `out`, finished, on this thread.
    pub(crate) fn windows(&self, out: &mut [MaybeUninit<f32>], windows: &impl Windows, finish: &impl Finish) {
        assert_eq!(out.len(), windows.rows() * self.cols, "room for the product");
        let target = Target { out: out.as_mut_ptr().cast(), width: self.cols, accumulate: false };
        // SAFETY: the size of `out` was checked; every element is written before it is read.
        unsafe { self.rows_of(target, &Pieces(windows), 0..windows.rows().div_ceil(PANEL), finish) };
    }

    /// Computes the rows of some panels of `a`.
    ///
    /// # Safety
    /// As [`Self::product`].
    unsafe fn rows_of(&self, out: Target, a: &impl Left, panels: Range<usize>, finish: &impl Finish) {
        let _tiles = Tiles::configure();
        let mut left: Vec<Row> = Vec::new();
        for steps in blocks(self.depth) {
            let size = steps.len() * STEP;
            let held = (LEFT / size).min(panels.len());
            left.reserve(held * size);
            for panels in parts(panels.clone(), held) {
                for (panel, to) in panels.clone().zip(left.spare_capacity_mut().chunks_exact_mut(size)) {
                    // SAFETY: a factor can only be packed on a processor with AVX-512.
                    unsafe { a.pack(to, panel * PANEL, steps.clone()) };
                }
                for columns in parts(0..self.panels(), RIGHT / size) {
                    let left = left.spare_capacity_mut();
                    // SAFETY: the panels were just packed; `out` is valid by this function's contract.
                    unsafe { self.meet(out, a.rows(), left, [panels.clone(), columns, steps.clone()], finish) };
                }
            }
        }
    }

    /// Computes the blocks of the result, of `rows` rows in all, for panels of the left factor and panels of columns.
    ///
    /// # Safety
    /// As [`Self::product`]; `left` must hold the panels at these steps.
    unsafe fn meet(
        &self,
        out: Target,
        rows: usize,
        left: &[MaybeUninit<Row>],
        [panels, columns, steps]: [Range<usize>; 3],
        finish: &impl Finish,
    ) {
        let size = steps.len() * STEP;
        let right = &self.rows[self.panels() * steps.start * STEP..];
        let out = Target { accumulate: out.accumulate || steps.start > 0, ..out };
        let last = steps.end == self.depth.div_ceil(DEPTH);
        for (left, panel) in left.chunks_exact(size).zip(panels) {
            for (right, column) in right[columns.start * size..].chunks_exact(size).zip(columns.clone()) {
                let (row, column) = (panel * PANEL, column * PANEL);
                let shape = [PANEL.min(rows - row), PANEL.min(self.cols - column)];
                // SAFETY: by this function's contract.
                unsafe {
                    out.block([row, column], shape, left.as_ptr().cast(), right.as_ptr(), steps.len());
                    if last {
                        out.finish([row, column], shape, finish);
                    }
                }
            }
        }
    }

    fn panels(&self) -> usize {
        self.cols.div_ceil(PANEL)
    }
}

/// A left factor, packed panel by panel.
trait Left: Sync {
    fn rows(&self) -> usize;

    /// Packs steps of the panel that begins with a row.
    ///
    /// # Safety
    /// The processor must have AVX-512 F and BW.
    unsafe fn pack(&self, to: &mut [MaybeUninit<Row>], row: usize, steps: Range<usize>);
}

impl Left for Matrix<'_> {
    fn rows(&self) -> usize {
        self.rows
    }

    unsafe fn pack(&self, to: &mut [MaybeUninit<Row>], row: usize, steps: Range<usize>) {
        // SAFETY: by this function's contract.
        unsafe { pack(to, *self, row, steps, Side::Left) };
    }
}

struct Pieces<'a, W>(&'a W);

impl<W: Windows> Left for Pieces<'_, W> {
    fn rows(&self) -> usize {
        self.0.rows()
    }

    unsafe fn pack(&self, to: &mut [MaybeUninit<Row>], row: usize, steps: Range<usize>) {
        let rows = self.0.rows();
        for (step, to) in steps.zip(to.chunks_exact_mut(STEP)) {
            let line = |at: usize| if row + at < rows { self.0.piece(row + at, step) } else { &[] };
            // SAFETY: by this function's contract.
            unsafe { pack_step(to, line) };
        }
    }
}

impl Finish for () {
    #[inline(always)]
    fn finish(&self, _: usize, _: usize, _: &mut [f32]) {}
}

/// Cuts a range into parts.
fn parts(range: Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> {
    range.clone().step_by(size).map(move |start| start..range.end.min(start + size))
}

/// Cuts the steps of this depth into blocks of about the same size.
fn blocks(depth: usize) -> impl Iterator<Item = Range<usize>> {
    let steps = depth.div_ceil(DEPTH);
    parts(0..steps, steps.div_ceil(steps.div_ceil(BLOCK_STEPS).max(1)).max(1))
}

/// Destination of a product.
#[derive(Clone, Copy)]
struct Target {
    out: *mut f32,
    width: usize,
    accumulate: bool,
}

// SAFETY: threads write rows of their own.
unsafe impl Sync for Target {}
// SAFETY: the same.
unsafe impl Send for Target {}

impl Target {
    /// Adds `steps` of the product of two panels to the block of this shape at this place, or writes it.
    ///
    /// # Safety
    /// The block must lie within the matrix, be initialized if it is added to, and be used by this thread alone; both
    /// panels must hold `steps`; tiles must be configured.
    unsafe fn block(
        self,
        [row, column]: [usize; 2],
        [rows, cols]: [usize; 2],
        a: *const Row,
        b: *const Row,
        steps: usize,
    ) {
        // SAFETY: by this function's contract.
        unsafe {
            let out = self.out.add(row * self.width + column);
            if [rows, cols] == [PANEL; 2] {
                return self.whole_block(out, self.width, a, b, steps);
            }
            // At the edge, through a whole block, so that sums are rounded in the same way everywhere.
            let mut block = [0f32; PANEL * PANEL];
            let lines =
                |row| std::slice::from_raw_parts_mut(out.add(row * self.width).cast::<MaybeUninit<f32>>(), cols);
            for (row, to) in block.chunks_exact_mut(PANEL).take(rows).enumerate().filter(|_| self.accumulate) {
                to.iter_mut().zip(lines(row)).for_each(|(to, from)| *to = from.assume_init_read());
            }
            self.whole_block(block.as_mut_ptr(), PANEL, a, b, steps);
            for (row, from) in block.chunks_exact(PANEL).take(rows).enumerate() {
                lines(row).iter_mut().zip(from).for_each(|(to, from)| _ = to.write(*from));
            }
        }
    }

    /// # Safety
    /// As [`Self::block`], with the block at `out`, whose rows begin `width` elements apart.
    #[inline(always)]
    unsafe fn whole_block(self, out: *mut f32, width: usize, a: *const Row, b: *const Row, steps: usize) {
        // SAFETY: by this function's contract.
        unsafe {
            begin(self.accumulate.then_some(out.cast_const()), width);
            (0..steps).for_each(|at| step(a.add(at * STEP), b.add(at * STEP)));
            end(out, width);
        }
    }

    /// Finishes a block that is complete.
    ///
    /// # Safety
    /// The block must lie within the matrix, be initialized and be used by this thread alone; the processor must have
    /// AVX-512 F.
    #[target_feature(enable = "avx512f")]
    unsafe fn finish(self, [row, column]: [usize; 2], [rows, cols]: [usize; 2], finish: &impl Finish) {
        for row in row..row + rows {
            // SAFETY: by this function's contract.
            let line = unsafe { std::slice::from_raw_parts_mut(self.out.add(row * self.width + column), cols) };
            finish.finish(row, column, line);
        }
    }
}
