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
    // Two results, and a warning about each, however often the sweep looks at them.
    assert_eq!(ended.stderr.matches("result.json` is damaged: ").count(), 2, "{}", ended.stderr);
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
fn a_changed_digit_of_a_result_is_noticed() {
    let lab = Lab::with(TINY);
    lab.ok(&["sweep", FILE]);
    let before = Findings::of(&lab);
    let path = lab.runs()[1].path().join("result.json");
    let text = fs::read_to_string(&path).unwrap();
    let (start, map) = text.split_once("\"map_at_k\": 0.").unwrap();
    let digit = if map.starts_with('9') { "8" } else { "9" };
    fs::write(&path, format!("{start}\"map_at_k\": 0.{digit}{}", &map[1..])).unwrap();
    let ended = lab.run(&["table", "tiny"]);
    assert!(ended.stderr.contains("is damaged: it has changed since it was written"), "{ended:#?}");
    assert!(ended.stdout.contains("1 missing of 2 runs"), "{ended:#?}");
    lab.ok(&["sweep", FILE]);
    assert_eq!(lab.attempts(), [1, 2, 1, 1, 1, 1]);
    assert_eq!(Findings::of(&lab), before);
}

/// The note of the newest plan is derived from the plans themselves.
#[test]
fn a_lost_note_of_the_newest_plan_is_made_up_for() {
    let lab = Lab::with(TINY);
    lab.ok(&["sweep", FILE]);
    let table = lab.ok(&["table", "tiny", "--no-times"]);
    let note = lab.path("runs/sweeps/tiny/newest");
    for damage in ["", "garbage", "../..", "\0", "0123456789ab"] {
        fs::write(&note, damage).unwrap();
        assert_eq!(lab.ok(&["table", "tiny", "--no-times"]), table, "{damage:?}");
    }
    fs::write(&note, [0xff, 0xfe]).unwrap();
    assert_eq!(lab.ok(&["table", "tiny", "--no-times"]), table);
    fs::remove_file(&note).unwrap();
    assert_eq!(lab.ok(&["table", "tiny", "--no-times"]), table);
    assert!(lab.refused(&["table", "tinny"]).contains("did you mean `tiny`"));
}

/// A plan is derived from its experiment.
#[test]
fn a_damaged_plan_is_named_and_written_anew_by_its_sweep() {
    let lab = Lab::with(TINY);
    lab.ok(&["sweep", FILE]);
    let table = lab.ok(&["table", "tiny", "--no-times"]);
    let plan = lab.path(&format!("runs/sweeps/tiny/{}/plan.jsonl", lab.newest()));
    let whole = fs::read_to_string(&plan).unwrap();
    let cut: String = whole.split_inclusive('\n').take(3).collect();
    for damage in ["garbage\n", &cut, ""] {
        fs::write(&plan, damage).unwrap();
        let said = lab.refused(&["table", "tiny"]);
        assert!(said.starts_with("error: `runs/sweeps/tiny/") && said.contains("plan.jsonl` is damaged: "), "{said}");
        assert!(said.contains("help: `sweep FILE` writes it anew"), "{said}");
        lab.ok(&["sweep", FILE]);
        assert_eq!(
            (fs::read_to_string(&plan).unwrap(), lab.ok(&["table", "tiny", "--no-times"])),
            (whole.clone(), table.clone())
        );
    }
}

/// A sweep does not execute a finished run by itself, so that the advice names what does.
#[test]
fn a_damaged_configuration_of_a_finished_run_is_mended_as_the_advice_says() {
    let lab = Lab::with(TINY);
    lab.ok(&["sweep", FILE]);
    let table = lab.ok(&["table", "tiny", "--no-times"]);
    let run = &lab.runs()[3];
    let (config, id) = (run.path().join("config.json"), run.id().to_string());
    let whole = fs::read_to_string(&config).unwrap();
    fs::write(&config, "{").unwrap();
    assert_eq!(lab.ok(&["sweep", FILE, "--no-times"]), table, "tables need no configuration");
    let refused = lab.refused(&["reproduce", &id]);
    let advice = format!(
        "help: the run has a result, so that a sweep leaves it alone; `sweep FILE --rerun {id}` executes it again and \
         writes the file anew"
    );
    assert!(refused.contains("config.json` is damaged: ") && refused.contains(&advice), "{refused}");
    lab.ok(&["sweep", FILE, "--rerun", &id]);
    assert_eq!((fs::read_to_string(&config).unwrap(), lab.ok(&["table", "tiny", "--no-times"])), (whole, table));
    // One that was edited.
    fs::write(&config, fs::read_to_string(&config).unwrap().replace("\"seed\": 1", "\"seed\": 7")).unwrap();
    let refused = lab.refused(&["reproduce", &id]);
    assert!(
        refused.contains("help: move the directory that holds it away; a sweep then executes the run"),
        "{refused}"
    );
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
