//! Mutations of files: whatever a file holds, its reader answers, and takes no more memory than the file can fill.

mod look;

use std::fs;
use std::path::{Path, PathBuf};

use hashlab_data::{DataError, Dataset};
use hashlab_rng::{Stream, stream};

use look::look;

/// Bytes that no reader of small files may take in one piece, whatever sizes these state.
const MOST_MEMORY: u64 = 8 << 30;

/// Opens a data set again and again, each time with one of its files below `root` changed. Files of images stay as they
/// are: `core/image` changes them.
pub(crate) fn are_answered<D: Dataset + 'static>(root: &Path, rounds: u64, open: impl Fn() -> Result<D, DataError>) {
    answered(root, rounds, || Ok(Box::new(open()?)));
}

fn answered(root: &Path, rounds: u64, open: impl Fn() -> Result<Box<dyn Dataset>, DataError>) {
    look(&*open().unwrap_or_else(|error| panic!("the files are whole: {error}")));
    let (mut refused, mut files) = (0, Vec::new());
    below(root, &mut files);
    assert!(!files.is_empty());
    for file in files {
        let whole = fs::read(&file).unwrap();
        for round in 0..rounds {
            fs::write(&file, changed(&whole, &mut stream(round, "mutation", &[whole.len() as u64]))).unwrap();
            match open() {
                Ok(set) => look(&*set),
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    refused += 1;
                }
            }
        }
        fs::write(&file, &whole).unwrap();
    }
    assert!(refused > 0, "no change was noticed");
    assert!(most_memory() < MOST_MEMORY, "{} bytes were taken", most_memory());
}

/// The most memory that this process ever asked for; 0 where the system does not say.
fn most_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmPeak:")?.trim().strip_suffix(" kB")?.parse().ok());
    peak.unwrap_or(0u64) * 1024
}

/// The files below a folder that are no images, in the order of their paths.
fn below(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        match path.is_dir() {
            true => below(&path, files),
            false if ["jpg", "png", "JPEG"].contains(&ending) => {}
            false => files.push(path),
        }
    }
}

/// What text files and headers are sensitive to.
const WORDS: [&[u8]; 12] = [
    b"-1",
    b"99999999999999999999",
    b"1e99",
    b"nan",
    b"\n",
    b"\t",
    b"\"",
    b"[[[[",
    b"\xff\xfe",
    b"\0\0\0\0\0\0\0\0",
    b"\xff\xff\xff\x7f",
    b"\xff\xff\xff\xff\xff\xff\xff\x7f",
];

/// Cuts, flips, doubles, removes and overwrites parts.
fn changed(whole: &[u8], draws: &mut Stream) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    if bytes.is_empty() {
        return WORDS[draws.below(WORDS.len())].to_vec();
    }
    let (at, length) = (draws.below(bytes.len()), 1 + draws.below(64));
    let end = (at + length).min(bytes.len());
    match draws.below(6) {
        0 => bytes.truncate(at),
        1 => (0..1 + draws.below(8)).for_each(|_| {
            let flipped = draws.below(bytes.len());
            bytes[flipped] ^= 1 << draws.below(8);
        }),
        2 => drop(bytes.splice(at..at, whole[at..end].to_vec())),
        3 => drop(bytes.drain(at..end)),
        4 => {
            let word = WORDS[draws.below(WORDS.len())];
            let end = (at + word.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&word[..end - at]);
        }
        _ => drop(bytes.splice(at..end, WORDS[draws.below(WORDS.len())].to_vec())),
    }
    bytes
}

#[cfg(test)]
mod tests {
    use hashlab_data::DataDirs;
    use serde_json::json;

    use super::*;

    /// Copies files of the fixtures, and opens a data set of them with changes; its images are those of the fixtures.
    fn of_fixtures(set: &str, files: &[&str], rounds: u64, settings: serde_json::Value) {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let root = tempfile::tempdir().unwrap();
        for file in files {
            fs::copy(fixtures.join(file), root.path().join(Path::new(file).file_name().unwrap())).unwrap();
        }
        let mut settings = settings.as_object().unwrap().clone();
        settings.insert("queries".into(), json!(8));
        if set != "parquet" {
            settings.insert("root".into(), fixtures.join("photos").display().to_string().into());
        }
        if set == "mat" {
            settings.insert("dir".into(), root.path().display().to_string().into());
        }
        let entry = crate::DATASETS.iter().find(|entry| entry.summary.name == set).unwrap();
        let dirs = DataDirs::of(vec![root.path().to_owned()]);
        answered(root.path(), rounds, || entry.open(&settings, &dirs));
    }

    #[test]
    fn of_lists() {
        of_fixtures("image_list", &["train.txt"], 500, json!({"files": "train.txt"}));
    }

    #[test]
    fn of_tables() {
        let columns = json!({"image": "file", "labels": ["kind"]});
        for file in ["photos.csv", "photos.jsonl"] {
            let mut settings = columns.clone();
            settings["files"] = json!(file);
            settings["captions"] = json!([if file.ends_with("csv") { "title" } else { "captions" }]);
            of_fixtures("table", &[file], 500, settings);
        }
    }

    #[test]
    fn of_parquet_files() {
        let settings =
            json!({"files": "hub-*.parquet", "image": "image", "captions": ["captions"], "labels": ["label"]});
        of_fixtures("parquet", &["hub-00000-of-00002.parquet", "hub-00001-of-00002.parquet"], 500, settings);
    }

    #[test]
    fn of_matlabs_files() {
        for form in ["plain", "cells", "v73"] {
            let files = ["index.mat", "caption.mat", "label.mat"].map(|file| format!("mat/{form}/{file}"));
            of_fixtures("mat", &files.each_ref().map(String::as_str), 400, json!({"strip": "dataset/photos/"}));
        }
    }
}
