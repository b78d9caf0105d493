//! Extraction, interruption and reading, in one process.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::*;

#[test]
fn a_feature_file_is_extracted_once() {
    let (_folder, cache) = temporary_cache(None);
    let (feature_file, extracted) = ensure(&cache, 0, SHAPE).unwrap();
    assert_eq!(extracted, [0, 3, 6, 9]);
    assert_holds(&feature_file, 0);
    let (again, extracted) = ensure(&cache, 0, SHAPE).unwrap();
    assert_eq!(extracted, [0; 0]);
    assert_holds(&again, 0);
}

#[test]
fn another_key_or_shape_is_another_feature_file() {
    let (_folder, cache) = temporary_cache(None);
    ensure(&cache, 0, SHAPE).unwrap();
    let (other, extracted) = ensure(&cache, 1, SHAPE).unwrap();
    assert_eq!(extracted.len(), 4);
    assert_holds(&other, 1);
    let (_, extracted) = ensure(&cache, 0, Shape { chunk_rows: 4, ..SHAPE }).unwrap();
    assert_eq!(extracted, [0, 4, 8]);
    assert_eq!(cache.list().unwrap().len(), 3);
}

#[test]
fn an_empty_feature_file_needs_no_extraction() {
    let (_folder, cache) = temporary_cache(None);
    let (feature_file, extracted) = ensure(&cache, 0, Shape { rows: 0, ..SHAPE }).unwrap();
    assert_eq!((feature_file.rows(), extracted.len()), (0, 0));
    feature_file.read_rows(&[], &mut []).unwrap();
}

#[test]
fn rows_are_read_in_any_order_by_many_threads() {
    let (_folder, cache) = temporary_cache(None);
    let (feature_file, _) = ensure(&cache, 0, SHAPE).unwrap();
    let wanted: [u32; 7] = [10, 4, 5, 6, 0, 0, 9];
    let expected: Vec<f32> = wanted.iter().flat_map(|&row| features(0, row as usize..row as usize + 1, 5)).collect();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let mut out = [0.0; 35];
                    feature_file.read_rows(&wanted, &mut out).unwrap();
                    assert_eq!(out, *expected);
                }
            });
        }
    });
}

#[test]
fn rows_beyond_the_end_are_refused() {
    let (_folder, cache) = temporary_cache(None);
    let (feature_file, _) = ensure(&cache, 0, SHAPE).unwrap();
    for rows in [[3, 11], [10, 11], [u32::MAX, 0]] {
        let error = feature_file.read_rows(&rows, &mut [0.0; 10]).unwrap_err();
        assert!(matches!(error, CacheError::Row { rows: 11, .. }), "{error}");
    }
    assert!(feature_file.read_range(8..12, &mut Vec::new()).is_err());
}

#[test]
fn a_failed_extraction_keeps_what_it_had() {
    let (_folder, cache) = temporary_cache(None);
    let extract = |rows: Range<usize>| match rows.start {
        6 => Err(Failure::Extract("image 7 is damaged".into())),
        _ => Ok(features(0, rows, 5)),
    };
    let error = cache.ensure(&key(0), SHAPE, extract, |_| Ok(())).unwrap_err();
    assert!(matches!(error, Failure::Extract(message) if message == "image 7 is damaged"));
    let entry = &cache.list().unwrap()[0];
    assert_eq!((entry.rows_done, entry.complete), (6, false));

    let mut reported = Vec::new();
    let extract = |rows: Range<usize>| Ok::<_, CacheError>(features(0, rows, 5));
    let progress = |progress| {
        reported.push(progress);
        Ok(())
    };
    assert_holds(&cache.ensure(&key(0), SHAPE, extract, progress).unwrap(), 0);
    assert_eq!(reported, [6, 9, 11].map(|done| Progress::Extracting { done, total: 11 }));
    let entry = &cache.list().unwrap()[0];
    assert_eq!((entry.rows_done, entry.complete, entry.key.as_ref()), (11, true, Some(&key(0))));
}

#[test]
fn wrong_features_are_not_stored() {
    let (_folder, cache) = temporary_cache(None);
    let attempt = |spoil: fn(&mut Vec<f32>)| {
        let extract = |rows: Range<usize>| {
            let mut values = features(0, rows, 5);
            spoil(&mut values);
            Ok(values)
        };
        cache.ensure::<CacheError>(&key(0), SHAPE, extract, |_| Ok(())).unwrap_err()
    };
    let error = attempt(|values| values.truncate(14));
    assert!(matches!(error, CacheError::Extracted { first: 0, expected: 15, got: 14, .. }), "{error}");
    let error = attempt(|values| values[7] = f32::NAN);
    assert!(matches!(error, CacheError::NotFinite { row: 1, column: 2, .. }), "{error}");
    assert_eq!(cache.list().unwrap()[0].rows_done, 0);
}

#[test]
fn threads_that_want_the_same_feature_file_extract_it_once() {
    let (_folder, cache) = temporary_cache(None);
    let extractions = AtomicUsize::new(0);
    let waits = AtomicUsize::new(0);
    let extract = |rows| {
        thread::sleep(Duration::from_millis(60));
        extractions.fetch_add(1, Ordering::Relaxed);
        Ok::<_, CacheError>(features(0, rows, 5))
    };
    let progress = |progress| {
        if let Progress::Waiting { done, total } = progress {
            assert!(done <= total && total == 11);
            waits.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| assert_holds(&cache.ensure(&key(0), SHAPE, extract, progress).unwrap(), 0));
        }
    });
    assert_eq!(extractions.into_inner(), 4);
    assert!(waits.into_inner() >= 5, "every thread but one waits");
}

#[test]
fn waiting_can_be_given_up() {
    let (_folder, cache) = temporary_cache(None);
    let extract = |rows: Range<usize>| {
        if rows.start == 3 {
            let start = Instant::now();
            let never = |_| unreachable!("another thread extracts");
            let give_up = |_| Err(Failure::Extract("interrupted".into()));
            let other = thread::scope(|scope| scope.spawn(|| cache.ensure(&key(0), SHAPE, never, give_up)).join());
            assert!(matches!(other.unwrap(), Err(Failure::Extract(_))));
            assert!(start.elapsed() < Duration::from_secs(5));
        }
        Ok::<_, CacheError>(features(0, rows, 5))
    };
    assert_holds(&cache.ensure(&key(0), SHAPE, extract, |_| Ok(())).unwrap(), 0);
}
