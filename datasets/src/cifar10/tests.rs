//! Both readers on tiny files, whole, damaged and absent.

mod fixture;

use std::fs;
use std::path::Path;
use std::thread;

use hashlab_data::{DataDirs, DataError, Dataset as _, Images as _};
use hashlab_rng::stream;
use image::ImageFormat;
use parquet::data_type::{ByteArray, Int64Type};
use tempfile::tempdir;

use super::files::{Files, Layout};
use super::{Cifar10, SINGLE};
use fixture::*;

const TRAIN_FILE: &str = "train-00000-of-00001.parquet";
const TEST_FILE: &str = "test-00000-of-00001.parquet";

fn open(path: &Path) -> Result<Cifar10, DataError> {
    Cifar10::open_as(&dirs(path), reference())
}

/// The message of opening `path`, or of reading its pixels.
fn failure(path: &Path) -> String {
    match open(path) {
        Err(error) => error.to_string(),
        Ok(dataset) => dataset.digest().map(drop).unwrap_err().to_string(),
    }
}

fn assert_is_the_fixture(dataset: &Cifar10) {
    assert_eq!(dataset.len(), ITEMS);
    for index in 0..ITEMS {
        assert_eq!(dataset.image(index).unwrap(), image(index));
        assert_eq!(dataset.labels().classes_of(index), [usize::from(label(index))]);
    }
    assert_eq!(dataset.digest().unwrap(), reference().digest());
    assert!(dataset.records.get().is_some());
    for index in 0..ITEMS {
        assert_eq!(dataset.image(index).unwrap(), image(index));
    }
}

#[test]
fn many_images_are_read_and_verified_together() {
    let dir = tempdir().unwrap();
    write_parquet(dir.path(), &rows(ImageFormat::Png));
    let dataset = open(dir.path()).unwrap();
    // The digest verifies; few images are read by themselves.
    for read in 0..=SINGLE {
        assert_eq!(dataset.records.get().is_some(), read > SINGLE);
        dataset.image(read % ITEMS).unwrap();
    }
    assert!(dataset.records.get().is_some());
}

#[test]
fn every_layout_gives_the_same_items_and_digest() {
    let dir = tempdir().unwrap();
    write_bin(dir.path());
    assert_is_the_fixture(&open(dir.path()).unwrap());
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        let dir = tempdir().unwrap();
        write_parquet(dir.path(), &rows(format));
        let dataset = open(dir.path()).unwrap();
        assert_is_the_fixture(&dataset);
        assert_eq!(dataset.found_at(), [dir.path().join(TRAIN_FILE), dir.path().join(TEST_FILE)]);
    }
}

#[test]
fn a_version_that_is_not_read_is_named() {
    for name in ["cifar-10-batches-py", "cifar10/cifar-10-binary.tar.gz"] {
        let dir = tempdir().unwrap();
        fs::create_dir_all(dir.path().join(name)).unwrap();
        let message = failure(dir.path());
        let expected = format!("{} is not read, and another version", dir.path().join(name).display());
        assert!(message.starts_with(&expected) && message.contains("`hashlab fetch cifar10`"), "{message}");
    }
}

#[test]
fn jpeg_is_decoded_and_told_from_the_lossless_pixels() {
    let dir = tempdir().unwrap();
    write_parquet(dir.path(), &rows(ImageFormat::Jpeg));
    let message = failure(dir.path());
    assert!(message.contains("items 0 to 3 are not those of CIFAR-10: expected digest"), "{message}");
}

#[test]
fn files_are_found_in_every_usual_place() {
    let layouts = [
        (Layout::Parquet, ["cifar10/plain_text", "cifar10", "plain_text", ""]),
        (Layout::Bin, ["cifar10/cifar-10-batches-bin", "cifar10", "cifar-10-batches-bin", ""]),
    ];
    for (layout, folders) in layouts {
        for folder in folders {
            let dir = tempdir().unwrap();
            match layout {
                Layout::Parquet => write_parquet(&dir.path().join(folder), &rows(ImageFormat::Png)),
                Layout::Bin => write_bin(&dir.path().join(folder)),
            }
            let files = Files::find(&dirs(dir.path())).unwrap();
            assert_eq!(files.layout, layout);
            assert_eq!(files.paths[0].parent().unwrap(), dir.path().join(folder));
        }
    }
}

#[test]
fn absent_files_list_where_they_were_looked_for_and_how_to_get_them() {
    let message = Files::find(&DataDirs::of(vec!["/a".into(), "b".into()])).unwrap_err().to_string();
    let lines: Vec<_> = message.lines().take(5).collect();
    assert_eq!(
        lines,
        [
            "data set `cifar10` was not found",
            "  looked at /a/cifar10",
            "  looked at /a",
            "  looked at b/cifar10",
            "  looked at b"
        ]
    );
    for part in ["help: ", "uoft-cs/cifar10", TRAIN_FILE, TEST_FILE, "data_batch_1.bin", "--data-dir", "HASHLAB_DATA"] {
        assert!(message.contains(part), "{part} in {message}");
    }
}

#[test]
fn an_incomplete_set_names_what_is_absent_unless_a_complete_one_is_found() {
    let (partial, whole) = (tempdir().unwrap(), tempdir().unwrap());
    write_bin(partial.path());
    fs::remove_file(partial.path().join("data_batch_4.bin")).unwrap();
    let message = failure(partial.path());
    assert!(message.starts_with("part of data set `cifar10` was not found\n  looked at "), "{message}");
    assert!(message.contains("data_batch_4.bin\nhelp: "), "{message}");

    write_bin(whole.path());
    let dirs = DataDirs::of(vec![partial.path().into(), whole.path().into()]);
    assert_eq!(Files::find(&dirs).unwrap().paths[0], whole.path().join("data_batch_1.bin"));
}

#[test]
fn labels_are_read_without_decoding_images() {
    let dir = tempdir().unwrap();
    let mut rows = rows(ImageFormat::Png);
    rows[9].0 = b"no image".to_vec();
    write_parquet(dir.path(), &rows);
    let dataset = open(dir.path()).unwrap();
    assert_eq!(dataset.labels().classes_of(9), [9]);
    let message = dataset.image(9).unwrap_err().to_string();
    assert!(message.contains(TRAIN_FILE) && message.contains("image of row 9: "), "{message}");
}

#[test]
fn a_changed_byte_is_noticed_in_its_file() {
    let dir = tempdir().unwrap();
    write_bin(dir.path());
    let path = dir.path().join("data_batch_3.bin");
    let mut bytes = fs::read(&path).unwrap();
    bytes[5000] ^= 1;
    fs::write(&path, bytes).unwrap();
    let message = failure(dir.path());
    assert!(message.contains("data_batch_3.bin: labels or pixels among items 8 to 11 are not"), "{message}");
    assert!(message.contains("fetch it again: `hashlab fetch cifar10`"), "{message}");
}

#[test]
fn a_changed_label_is_noticed_in_its_file() {
    let dir = tempdir().unwrap();
    let mut rows = rows(ImageFormat::Png);
    rows[22].1 = 7;
    write_parquet(dir.path(), &rows);
    let message = failure(dir.path());
    assert!(message.contains("test-00000-of-00001.parquet: labels or pixels among items 20 to 23"), "{message}");
}

#[test]
fn labels_out_of_range_are_refused() {
    let dir = tempdir().unwrap();
    let mut rows = rows(ImageFormat::Png);
    for label in [10, 300, -1] {
        rows[3].1 = label;
        write_parquet(dir.path(), &rows);
        let message = failure(dir.path());
        assert!(message.contains(&format!("item 3 has label {label}, expected 0 to 9")), "{message}");
    }
}

#[test]
fn truncated_files_are_refused_with_both_sizes() {
    let dir = tempdir().unwrap();
    write_bin(dir.path());
    fs::write(dir.path().join("test_batch.bin"), [0; 100]).unwrap();
    let message = failure(dir.path());
    assert!(message.contains("test_batch.bin: expected 12292 bytes (4 records of 3073), got 100"), "{message}");

    let dir = tempdir().unwrap();
    write_parquet(dir.path(), &rows(ImageFormat::Png));
    let path = dir.path().join(TRAIN_FILE);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let message = failure(dir.path());
    assert!(message.contains("train-00000-of-00001.parquet: not a readable parquet file: "), "{message}");
}

#[test]
fn another_number_of_rows_is_refused() {
    let dir = tempdir().unwrap();
    let rows = rows(ImageFormat::Png);
    write_parquet(dir.path(), &rows);
    write_rows(&dir.path().join(TEST_FILE), &rows[..3]);
    assert!(failure(dir.path()).contains("expected 4 values in column `label`, got 3"));
}

#[test]
fn images_of_another_size_are_refused() {
    let dir = tempdir().unwrap();
    let mut rows = rows(ImageFormat::Png);
    let small = hashlab_data::Rgb { width: 16, height: 32, pixels: vec![0; 16 * 32 * 3] };
    rows[21].0 = encode(&small, ImageFormat::Png);
    write_parquet(dir.path(), &rows);
    assert!(failure(dir.path()).contains("image of row 1: expected 32 × 32 pixels, got 16 × 32"));
}

#[test]
fn rows_without_an_image_are_refused() {
    let dir = tempdir().unwrap();
    write_parquet(dir.path(), &rows(ImageFormat::Png));
    let schema = "message schema { optional group img { optional binary bytes; } required int64 label; }";
    write_groups(&dir.path().join(TEST_FILE), schema, [()], |group, ()| {
        write_bytes(group, &[ByteArray::from("x")], &[0, 2, 1, 0]);
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&[0; 4], None, None).unwrap();
        column.close().unwrap();
    });
    assert!(failure(dir.path()).contains("expected 4 values in column `img.bytes`, got 1"));
}

#[test]
fn other_columns_are_refused() {
    let cases = [
        ("message schema { required int64 coarse; }", "expected a column `label`, got coarse"),
        ("message schema { required double label; }", "expected column `label` to hold INT64, got DOUBLE"),
        ("message schema { repeated int64 label; }", "expected column `label` to hold INT64, got lists of INT64"),
    ];
    for (schema, expected) in cases {
        let dir = tempdir().unwrap();
        write_parquet(dir.path(), &rows(ImageFormat::Png));
        write_groups::<()>(&dir.path().join(TRAIN_FILE), schema, [], |_, ()| ());
        let message = failure(dir.path());
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn damage_anywhere_is_an_error_or_harmless_but_never_a_panic() {
    let dir = tempdir().unwrap();
    write_parquet(dir.path(), &rows(ImageFormat::Png));
    let path = dir.path().join(TEST_FILE);
    let whole = fs::read(&path).unwrap();
    let mut rng = stream(0, "damage", &[]);
    for round in 0..300 {
        let mut bytes = whole.clone();
        // Every other round hits the metadata, which lies at the end.
        let from = if round % 2 == 0 { bytes.len() - 700 } else { 0 };
        let at = from + rng.below(bytes.len() - from);
        bytes[at] = rng.bits() as u8;
        fs::write(&path, bytes).unwrap();
        let Ok(dataset) = open(dir.path()) else { continue };
        for index in 0..ITEMS {
            let _ = dataset.image(index); // not verified by itself
        }
        if dataset.digest().is_ok() {
            assert_is_the_fixture(&dataset);
        }
    }
}

#[test]
fn threads_that_ask_at_once_get_the_same_pixels() {
    let dir = tempdir().unwrap();
    write_bin(dir.path());
    let dataset = open(dir.path()).unwrap();
    thread::scope(|scope| {
        for index in 0..8 {
            let dataset = &dataset;
            scope.spawn(move || {
                dataset.digest().unwrap();
                assert_eq!(dataset.image(index).unwrap(), image(index));
            });
        }
    });
}

#[test]
fn changed_files_are_answered() {
    let dir = tempdir().unwrap();
    write_parquet(dir.path(), &rows(ImageFormat::Png));
    crate::own::mutations::are_answered(dir.path(), 300, || open(dir.path()));
    let dir = tempdir().unwrap();
    write_bin(dir.path());
    crate::own::mutations::are_answered(dir.path(), 20, || open(dir.path()));
}
