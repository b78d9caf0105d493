//! Damage of every kind is detected, logged and repaired; a full disk only interrupts.

use std::io;
use std::os::unix::fs::symlink;
use std::sync::{Arc, Mutex};

use super::*;

/// Collects what is logged while `action` runs.
fn logged<T>(action: impl FnOnce() -> T) -> (T, String) {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let value = tracing::subscriber::with_default(subscriber, action);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    (value, text)
}

/// Damages a complete feature file and asserts that exactly the chunks that start at `lost` are extracted again.
#[track_caller]
fn assert_repaired(damage: impl FnOnce(&Path), lost: &[usize]) {
    let (_folder, cache) = temporary_cache(None);
    ensure(&cache, 0, SHAPE).unwrap();
    let folder = only_feature_file(&cache);
    let pristine = fs::read(folder.join("data.f32")).unwrap();
    damage(&folder);
    let ((feature_file, extracted), log) = logged(|| ensure(&cache, 0, SHAPE).unwrap());
    assert_eq!(extracted, lost);
    assert_holds(&feature_file, 0);
    assert_eq!(fs::read(folder.join("data.f32")).unwrap(), pristine);
    let name = folder.to_str().unwrap();
    assert!(log.contains("WARN") && log.contains("damaged feature file") && log.contains(name), "{log}");
    assert_eq!(ensure(&cache, 0, SHAPE).unwrap().1, [0; 0], "repaired for good");
}

#[test]
fn a_flipped_bit_costs_its_chunk() {
    assert_repaired(|folder| flip_byte(&folder.join("data.f32"), 3 * 5 * 4 + 17), &[3]);
}

#[test]
fn a_flipped_bit_in_the_checksums_costs_its_chunk() {
    assert_repaired(|folder| flip_byte(&folder.join("checksums"), 2 * 32 + 5), &[6]);
}

#[test]
fn a_cut_off_file_costs_what_it_lost() {
    assert_repaired(|folder| cut(&folder.join("data.f32"), 7 * 5 * 4), &[6, 9]);
}

#[test]
fn lost_data_are_extracted_again() {
    assert_repaired(|folder| fs::remove_file(folder.join("data.f32")).unwrap(), &[0, 3, 6, 9]);
}

#[test]
fn chunks_that_trade_places_are_noticed() {
    let swap = |folder: &Path| {
        for (file, size) in [("data.f32", 3 * 5 * 4), ("checksums", 32)] {
            let path = folder.join(file);
            let bytes = fs::read(&path).unwrap();
            let swapped = [&bytes[size..2 * size], &bytes[..size], &bytes[2 * size..]].concat();
            File::create(&path).unwrap().write_all(&swapped).unwrap();
        }
    };
    assert_repaired(swap, &[0, 3]);
}

#[test]
fn data_of_another_feature_file_are_noticed() {
    let (_other_folder, other) = temporary_cache(None);
    ensure(&other, 1, SHAPE).unwrap();
    let copy = |folder: &Path| {
        for file in ["data.f32", "checksums"] {
            fs::copy(only_feature_file(&other).join(file), folder.join(file)).unwrap();
        }
    };
    assert_repaired(copy, &[0, 3, 6, 9]);
}

#[test]
fn lost_checksums_cost_the_chunks_without_one() {
    assert_repaired(|folder| cut(&folder.join("checksums"), 2 * 32 + 31), &[6, 9]);
}

#[test]
fn damage_in_an_interrupted_feature_file_is_noticed() {
    let (_folder, cache) = temporary_cache(None);
    interrupt(&cache, 0, SHAPE, 3);
    flip_byte(&only_feature_file(&cache).join("data.f32"), 4);
    let ((feature_file, extracted), log) = logged(|| ensure(&cache, 0, SHAPE).unwrap());
    assert_eq!(extracted, [0, 9]);
    assert!(log.contains("damaged=1"), "{log}");
    assert_holds(&feature_file, 0);
}

#[test]
fn a_reader_survives_the_repair_of_its_feature_file() {
    let (_folder, cache) = temporary_cache(None);
    let (reader, _) = ensure(&cache, 0, SHAPE).unwrap();
    flip_byte(&only_feature_file(&cache).join("data.f32"), 4);
    assert_eq!(ensure(&cache, 0, SHAPE).unwrap().1, [0]);
    assert_holds(&reader, 0);
}

#[test]
fn a_file_cut_short_under_its_reader_is_an_error() {
    let (_folder, cache) = temporary_cache(None);
    let (feature_file, _) = ensure(&cache, 0, SHAPE).unwrap();
    cut(feature_file.path(), 100);
    feature_file.read_rows(&[4], &mut [0.0; 5]).unwrap();
    let error = feature_file.read_rows(&[5], &mut [0.0; 5]).unwrap_err();
    assert!(matches!(error, CacheError::Truncated { expected: 220, found: 100, .. }), "{error}");
}

#[test]
fn a_full_disk_interrupts_and_no_more() {
    let (_folder, cache) = temporary_cache(None);
    interrupt(&cache, 0, SHAPE, 2);
    let folder = only_feature_file(&cache);
    let (data, aside) = (folder.join("data.f32"), folder.join("aside"));
    fs::rename(&data, &aside).unwrap();
    symlink("/dev/full", &data).unwrap();
    let error = ensure(&cache, 0, SHAPE).unwrap_err();
    assert!(matches!(&error, CacheError::DiskFull { path, .. } if *path == data), "{error}");
    let text = error.to_string();
    assert!(text.contains("no space left") && text.contains("help:") && text.contains("HASHLAB_CACHE_DIR"), "{text}");

    fs::rename(&aside, &data).unwrap();
    let (feature_file, extracted) = ensure(&cache, 0, SHAPE).unwrap();
    assert_eq!(extracted, [6, 9]);
    assert_holds(&feature_file, 0);
}

#[test]
fn a_damaged_description_does_not_hide_a_feature_file() {
    let (_folder, cache) = temporary_cache(None);
    ensure(&cache, 0, SHAPE).unwrap();
    cut(&only_feature_file(&cache).join("key.json"), 20);
    let entry = &cache.list().unwrap()[0];
    assert_eq!((entry.key.as_ref(), entry.bytes), (None, 220));
    assert_eq!(cache.prune(0).unwrap().feature_files, 1);
    assert_eq!(cache.list().unwrap().len(), 0);
}
