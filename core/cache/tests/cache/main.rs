//! Tests of the cache's public interface: one process, several processes, damage and limits.

mod damage;
mod dtype;
mod eviction;
mod extraction;
mod processes;

use std::fs::{self, File};
use std::io::Write as _;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use hashlab_cache::{CacheDtype, CacheError, FeatureCache, FeatureFile, FeatureKey, Progress, Shape, items_digest};
use tempfile::TempDir;

/// Three whole chunks and a shorter one.
const SHAPE: Shape = Shape { rows: 11, dim: 5, chunk_rows: 3 };

fn temporary_cache(limit: Option<u64>) -> (TempDir, FeatureCache) {
    let folder = tempfile::tempdir().unwrap();
    let cache = FeatureCache::open(folder.path().join("cache"), limit).unwrap();
    (folder, cache)
}

fn key(view: u32) -> FeatureKey {
    FeatureKey {
        dataset: "pixels".into(),
        items: items_digest(&[3, 1, 2]),
        encoder: "vgg16/1 fc6".into(),
        weights: "weights".into(),
        transform: "crop".into(),
        view,
        dtype: CacheDtype::F32,
    }
}

/// Features of some rows of a view: every value differs.
fn features(view: u32, rows: Range<usize>, dim: usize) -> Vec<f32> {
    rows.flat_map(|row| (0..dim).map(move |column| (row * dim + column) as f32 + 0.25 * view as f32)).collect()
}

/// Ensures a view and returns the first rows of the chunks that were extracted for it.
fn ensure(cache: &FeatureCache, view: u32, shape: Shape) -> Result<(FeatureFile, Vec<usize>), CacheError> {
    let mut extracted = Vec::new();
    let extract = |rows: Range<usize>| {
        extracted.push(rows.start);
        Ok(features(view, rows, shape.dim))
    };
    let feature_file = cache.ensure::<CacheError>(&key(view), shape, extract, |_| Ok(()))?;
    Ok((feature_file, extracted))
}

/// Ensures a view that is interrupted when `chunks` are stored.
fn interrupt(cache: &FeatureCache, view: u32, shape: Shape, chunks: usize) {
    let mut left = chunks;
    let extract = |rows: Range<usize>| {
        left = left.checked_sub(1).ok_or_else(|| Failure::Extract("interrupted".into()))?;
        Ok::<_, Failure>(features(view, rows, shape.dim))
    };
    match cache.ensure(&key(view), shape, extract, |_| Ok(())) {
        Err(Failure::Extract(_)) => {}
        Err(Failure::FeatureCache(error)) => panic!("{error}"),
        Ok(_) => panic!("extraction was not interrupted"),
    }
}

/// An error type of a caller of the cache.
#[derive(Debug)]
enum Failure {
    FeatureCache(CacheError),
    Extract(String),
}

impl From<CacheError> for Failure {
    fn from(error: CacheError) -> Self {
        Self::FeatureCache(error)
    }
}

/// Asserts that a feature file holds exactly the features of `view`.
#[track_caller]
fn assert_holds(feature_file: &FeatureFile, view: u32) {
    let mut all = Vec::new();
    feature_file.read_range(0..feature_file.rows(), &mut all).unwrap();
    assert_eq!(all, features(view, 0..feature_file.rows(), feature_file.dim()));
}

/// Folder of the only feature file in the cache.
fn only_feature_file(cache: &FeatureCache) -> PathBuf {
    let entries = cache.list().unwrap();
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
