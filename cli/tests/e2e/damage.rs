//! Files that were damaged behind the program's back are made again.

use std::fs;
use std::path::Path;

use crate::findings::Findings;
use crate::lab::{FILE, Lab, TINY, files_named};

fn undamaged() -> Findings {
    let lab = Lab::with(TINY);
    lab.ok(&["sweep", FILE]);
    Findings::of(&lab)
}

/// Flips the bits of the byte in the middle of a file.
fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] = !bytes[middle];
    fs::write(path, bytes).unwrap();
}

#[test]
fn damaged_features_are_extracted_again() {
    let lab = Lab::with(&TINY.replace("seeds = [0, 1]", "seeds = [0]"));
    lab.ok(&["sweep", FILE]);
    let files = files_named(&lab.path("runs/cache"), "data.f32");
    let sound: Vec<Vec<u8>> = files.iter().map(|path| fs::read(path).unwrap()).collect();
    files.iter().for_each(|path| flip(path));

    lab.write(FILE, TINY);
    lab.ok(&["sweep", FILE]);
    let log = lab.read(&format!("runs/sweeps/tiny/{}/features.log", lab.newest()));
    assert_eq!(
        log.matches("damaged feature file: its damaged chunks are extracted again").count(),
        files.len(),
        "{log}"
    );
    assert_eq!(files.iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>(), sound);
    assert_eq!(Findings::of(&lab), undamaged());
}

#[test]
fn a_run_with_a_truncated_result_is_executed_again() {
    let lab = Lab::with(TINY);
    lab.ok(&["sweep", FILE]);
    let before = Findings::of(&lab);
    for run in [&lab.runs()[1], &lab.runs()[4]] {
        let path = run.path().join("result.json");
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    }
    let ended = lab.run(&["sweep", FILE]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(ended.stderr.contains("result.json` is damaged: "), "{}", ended.stderr);
    assert_eq!(lab.attempts(), [1, 2, 1, 1, 2, 1]);
    assert_eq!(Findings::of(&lab), before);
}

#[test]
fn a_result_of_another_schema_counts_as_absent() {
    let lab = Lab::with(TINY);
    lab.ok(&["sweep", FILE]);
    let path = lab.runs()[1].path().join("result.json");
    let text = fs::read_to_string(&path).unwrap();
    let newer = text.replacen("\"schema\": 2", "\"schema\": 3", 1);
    assert_ne!(text, newer);
    fs::write(&path, newer).unwrap();
    let ended = lab.run(&["sweep", FILE]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(ended.stderr.contains("has schema 3, not 2; it counts as absent"), "{}", ended.stderr);
    assert_eq!(lab.attempts(), [1, 2, 1, 1, 1, 1]);
}

#[test]
fn runs_of_a_removed_folder_are_executed_again() {
    let lab = Lab::with(TINY);
    lab.ok(&["sweep", FILE]);
    let before = Findings::of(&lab);
    fs::remove_dir_all(lab.runs()[2].path()).unwrap();
    fs::remove_dir_all(lab.path("runs/cache")).unwrap();
    lab.ok(&["sweep", FILE]);
    assert_eq!(lab.attempts(), [1; 6]);
    assert_eq!(Findings::of(&lab), before);
}
