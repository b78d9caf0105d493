//! The bank as its users see it: one process, several processes, damage and limits.

mod damage;
mod extraction;
mod precision;
mod processes;
mod room;

use std::fs::{self, File};
use std::io::Write as _;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use hashlab_bank::{Bank, BankError, Precision, Progress, Segment, SegmentKey, Shape, items_digest};
use tempfile::TempDir;

/// Three whole chunks and a shorter one.
const SHAPE: Shape = Shape { rows: 11, dim: 5, chunk_rows: 3 };

fn temporary_bank(limit: Option<u64>) -> (TempDir, Bank) {
    let folder = tempfile::tempdir().unwrap();
    let bank = Bank::open(folder.path().join("bank"), limit).unwrap();
    (folder, bank)
}

fn key(view: u32) -> SegmentKey {
    SegmentKey {
        dataset: "pixels".into(),
        items: items_digest(&[3, 1, 2]),
        backbone: "vgg16/1 fc6".into(),
        weights: "weights".into(),
        transform: "crop".into(),
        view,
        precision: Precision::F32,
    }
}

/// What extraction computes for some rows of a view: every value differs.
fn features(view: u32, rows: Range<usize>, dim: usize) -> Vec<f32> {
    rows.flat_map(|row| (0..dim).map(move |column| (row * dim + column) as f32 + 0.25 * view as f32)).collect()
}

/// Ensures a view and tells the first rows of the chunks that were extracted for it.
fn ensure(bank: &Bank, view: u32, shape: Shape) -> Result<(Segment, Vec<usize>), BankError> {
    let mut extracted = Vec::new();
    let extract = |rows: Range<usize>| {
        extracted.push(rows.start);
        Ok(features(view, rows, shape.dim))
    };
    let segment = bank.ensure::<BankError>(&key(view), shape, extract, |_| Ok(()))?;
    Ok((segment, extracted))
}

/// Ensures a view that is interrupted when `chunks` are stored.
fn interrupt(bank: &Bank, view: u32, shape: Shape, chunks: usize) {
    let mut left = chunks;
    let extract = |rows: Range<usize>| {
        left = left.checked_sub(1).ok_or_else(|| Failure::Extract("interrupted".into()))?;
        Ok::<_, Failure>(features(view, rows, shape.dim))
    };
    match bank.ensure(&key(view), shape, extract, |_| Ok(())) {
        Err(Failure::Extract(_)) => {}
        Err(Failure::Bank(error)) => panic!("{error}"),
        Ok(_) => panic!("extraction was not interrupted"),
    }
}

/// An error type of a caller of the bank.
#[derive(Debug)]
enum Failure {
    Bank(BankError),
    Extract(String),
}

impl From<BankError> for Failure {
    fn from(error: BankError) -> Self {
        Self::Bank(error)
    }
}

/// Asserts that a segment holds exactly what extraction computes for `view`.
#[track_caller]
fn assert_holds(segment: &Segment, view: u32) {
    let mut all = Vec::new();
    segment.read_range(0..segment.rows(), &mut all).unwrap();
    assert_eq!(all, features(view, 0..segment.rows(), segment.dim()));
}

/// Folder of the only segment in the bank.
fn only_segment(bank: &Bank) -> PathBuf {
    let entries = bank.list().unwrap();
    assert_eq!(entries.len(), 1);
    entries[0].path.clone()
}

fn flip_byte(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

fn cut(path: &Path, length: u64) {
    File::options().write(true).open(path).unwrap().set_len(length).unwrap();
}
