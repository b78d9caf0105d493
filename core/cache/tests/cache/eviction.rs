//! The size limit: evicted files, kept files, and the error when none can be evicted.

use std::thread;
use std::time::Duration;

use hashlab_cache::Pruned;

use super::*;

/// Bytes of a feature file of [`SHAPE`]: its data and four checksums.
const BYTES: u64 = 11 * 5 * 4 + 4 * 32;

/// Ensures a view and closes it again; the pause separates its time stamp from the next one's.
fn store(cache: &FeatureCache, view: u32) {
    ensure(cache, view, SHAPE).unwrap();
    thread::sleep(Duration::from_millis(10));
}

fn views(cache: &FeatureCache) -> Vec<u32> {
    cache.list().unwrap().into_iter().map(|entry| entry.key.unwrap().view).collect()
}

#[test]
fn the_least_recently_used_feature_file_makes_room() {
    let (_folder, cache) = temporary_cache(Some(3 * BYTES));
    for view in [0, 1, 2, 0] {
        store(&cache, view);
    }
    assert_eq!(views(&cache), [1, 2, 0]);
    assert!(cache.list().unwrap().iter().all(|entry| entry.bytes == BYTES));
    store(&cache, 3);
    assert_eq!(views(&cache), [2, 0, 3]);
    assert_eq!(ensure(&cache, 1, SHAPE).unwrap().1.len(), 4, "removed, so extracted again");
}

#[test]
fn feature_files_in_use_stay() {
    let (_folder, cache) = temporary_cache(Some(2 * BYTES));
    let (open, _) = ensure(&cache, 0, SHAPE).unwrap();
    store(&cache, 1);
    store(&cache, 2);
    assert_eq!(views(&cache), [0, 2]);
    assert_holds(&open, 0);

    let (_also_open, _) = ensure(&cache, 2, SHAPE).unwrap();
    let error = ensure(&cache, 3, SHAPE).unwrap_err();
    let sizes = (2 * BYTES, 2 * BYTES);
    assert!(
        matches!(error, CacheError::Full { needed: BYTES, in_use, limit, .. } if (in_use, limit) == sizes),
        "{error}"
    );
    let text = error.to_string();
    assert!(text.contains("takes 348 bytes") && text.contains("HASHLAB_CACHE_LIMIT"), "{text}");
    drop(open);
    store(&cache, 3);
    assert_eq!(views(&cache), [2, 3]);
}

#[test]
fn a_feature_file_beyond_the_limit_removes_nothing() {
    let (_folder, cache) = temporary_cache(Some(2 * BYTES));
    store(&cache, 0);
    let large = Shape { rows: 100, ..SHAPE };
    assert!(matches!(ensure(&cache, 1, large), Err(CacheError::Full { in_use: 0, .. })));
    let (_open, _) = ensure(&cache, 0, SHAPE).unwrap();
    store(&cache, 2);
    let two = Shape { rows: 22, ..SHAPE };
    assert!(matches!(ensure(&cache, 1, two), Err(CacheError::Full { in_use: BYTES, .. })));
    assert_eq!(views(&cache), [0, 2]);
}

#[test]
fn an_extraction_counts_in_full_from_its_start() {
    let (_folder, cache) = temporary_cache(Some(2 * BYTES - 1));
    let extract = |rows: Range<usize>| {
        if rows.start == 0 {
            let error = ensure(&cache, 1, SHAPE).unwrap_err();
            assert!(matches!(error, CacheError::Full { in_use: BYTES, .. }), "{error}");
        }
        Ok::<_, CacheError>(features(0, rows, 5))
    };
    cache.ensure(&key(0), SHAPE, extract, |_| Ok(())).unwrap();
}

#[test]
fn an_interrupted_feature_file_goes_when_its_turn_comes() {
    let (_folder, cache) = temporary_cache(Some(2 * BYTES));
    interrupt(&cache, 0, SHAPE, 2);
    thread::sleep(Duration::from_millis(10));
    store(&cache, 1);
    assert_eq!(views(&cache), [0, 1]);
    store(&cache, 2);
    assert_eq!(views(&cache), [1, 2]);
    assert_eq!(ensure(&cache, 0, SHAPE).unwrap().1, [0, 3, 6, 9]);
}

#[test]
fn pruning_spares_what_fits_and_what_is_used() {
    let (_folder, cache) = temporary_cache(None);
    let (_open, _) = ensure(&cache, 0, SHAPE).unwrap();
    thread::sleep(Duration::from_millis(10));
    store(&cache, 1);
    store(&cache, 2);
    assert_eq!(cache.prune(2 * BYTES).unwrap(), Pruned { feature_files: 1, bytes: BYTES, left: 2 * BYTES });
    assert_eq!(views(&cache), [0, 2]);
    assert_eq!(cache.prune(0).unwrap(), Pruned { feature_files: 1, bytes: BYTES, left: BYTES });
    assert_eq!(views(&cache), [0]);
}
