//! Commands on experiment files and plans: `config`, `lint`, `plan`, `exec`, and the choice of a sweep's runs.

use insta::assert_snapshot;
use serde_json::Value;

use crate::lab::{ALIKE, FILE, Lab, NAME, PROGRAM, TINY};

/// A grid whose second hyperparameter applies to one value of the first.
const GRID: &str =
    "zip = { tau = [0.2, 0.3], \"train.epochs\" = [1, 2] }\nexclude = [{ tau = 0.3, \"train.epochs\" = 2 }]\n";

fn jobs(lab: &Lab) -> Vec<Value> {
    let text = lab.ok(&["plan", FILE, "--format", "jsonl"]);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn settings_are_shown_with_their_origins() {
    let lab = Lab::with(&format!("{TINY}{GRID}"));
    lab.write("small.toml", "extends = \"tiny.toml\"\nseeds = [5]\n[data]\nitems = 200\n");
    let config = ["config", "small.toml", "--set", "train.epochs=3"];
    let shown = lab.command(&config).env("HASHLAB_SET_IMAGE__VIEWS", "3").output().unwrap();
    assert_snapshot!(String::from_utf8(shown.stdout).unwrap());
    let all = lab.ok(&["config", "small.toml", "--resolved"]);
    assert!(all.contains("learning_rate = ") && all.contains("# default"), "{all}");

    // What is shown is an experiment of its own, with the same runs.
    let ids = lab.ids();
    lab.write(FILE, lab.ok(&["config", FILE, "--resolved"]));
    assert_eq!(lab.ids(), ids);
}

#[test]
fn files_of_a_folder_are_checked_together() {
    let lab = Lab::with(TINY);
    std::fs::create_dir_all(lab.path("all/more")).unwrap();
    lab.write("all/sound.toml", TINY);
    lab.write("all/top.toml", "extends = \"more/base.toml\"\nbits = [16]\n");
    lab.write("all/more/base.toml", TINY.replace("bits = [16]\n", ""));
    lab.write("all/notes.txt", "not an experiment");
    assert_eq!(lab.ok(&["lint", "all"]), "3 files: 0 with errors, 0 with warnings\n");

    lab.write("all/warned.toml", format!("{TINY}grid = {{ tau = [0.2] }}\n"));
    let warned = lab.run(&["lint", "all"]);
    assert_eq!((warned.code, warned.stdout.as_str()), (Some(0), "4 files: 0 with errors, 1 with warnings\n"));
    assert!(warned.stderr.contains("warning: `tau` has one value, so it varies nothing"), "{}", warned.stderr);
    assert_eq!(lab.run(&["lint", "--strict", "all"]).code, Some(2));

    lab.write("all/wrong.toml", TINY.replace("epochs = 8", "epochs = 0").replace("items", "itms"));
    lab.write("all/more/syntax.toml", "dataset = ");
    let wrong = lab.run(&["lint", "all"]);
    assert_eq!((wrong.code, wrong.stdout.as_str()), (Some(2), "6 files: 2 with errors, 1 with warnings\n"));
    for part in ["all/wrong.toml:", "`epochs` must be at least 1", "no setting `itms`", "all/more/syntax.toml:1:11"] {
        assert!(wrong.stderr.contains(part), "{part}: {}", wrong.stderr);
    }
    let missing = lab.run(&["lint", "nowhere.toml"]);
    assert_eq!(missing.code, Some(2));
    assert!(missing.stderr.contains("there is no file nowhere.toml"), "{}", missing.stderr);
    // What must be fetched by hand is no mistake of a file.
    let absent = "dataset = \"cub200\"\nbits = [16]\nseeds = [0]\n[image]\nencoder = \"filterbank\"\n[[method]]\nname = \"lsh\"\n";
    lab.write("absent.toml", absent);
    let without = lab.run(&["lint", "absent.toml"]);
    assert_eq!(without.stdout, "1 file: 0 with errors, 0 with warnings, 1 without their data set\n", "{without:#?}");
    assert_eq!((without.code, without.stderr.contains("`cub200` is not here")), (Some(0), true), "{without:#?}");
    lab.write("absent.toml", absent.replace("bits = [16]", "bits = 0"));
    assert_eq!(lab.run(&["lint", "absent.toml"]).code, Some(2));
    std::fs::create_dir_all(lab.path("empty")).unwrap();
    assert!(lab.refused(&["lint", "empty"]).contains("there is no experiment file"));
}

#[test]
fn a_plan_shows_what_is_left_and_estimates_it() {
    let lab = Lab::with(TINY);
    let before = lab.ok(&["plan", FILE]);
    assert!(before.contains("job 1: features of shapes by convnet, for 6 runs\n"), "{before}");
    assert!(before.contains("job 2: views of shapes for CIBHash, after job 1, for 2 runs\n"), "{before}");
    assert!(before.contains("no estimate: "), "{before}");

    lab.ok(&["sweep", FILE]);
    let done = lab.ok(&["plan", FILE]);
    assert!(done.contains("runs: 6 finished\n") && !done.contains("job 1") && !done.contains("estimate"), "{done}");

    lab.write(FILE, TINY.replace("seeds = [0, 1]", "seeds = [1, 2]").replace("\n[[method]]\nname = \"itq\"\n", ""));
    let changed = lab.ok(&["plan", FILE]);
    assert!(changed.contains("runs: 2 finished, 2 missing\n"), "{changed}");
    assert!(changed.contains("against the last sweep of this name: 2 kept, 2 added, 4 dropped\n"), "{changed}");
    assert!(changed.contains("estimate for 2 runs: "), "{changed}");
    assert!(changed.contains("from at least 2 earlier runs of each size on this machine\n"), "{changed}");
    let estimates: Vec<u64> = jobs(&lab).iter().filter_map(|job| job["estimate"]["runs"].as_u64()).collect();
    assert_eq!(estimates, [2; 4]);
}

#[test]
fn commands_of_a_plan_execute_it_in_any_order() {
    let lab = Lab::with(TINY);
    let commands = lab.ok(&["plan", FILE, "--format", "commands", "--set", "seeds=[0]"]);
    assert_eq!(commands.lines().count(), 3);
    for line in commands.lines().rev() {
        let command = line.strip_prefix("hashlab ").expect("it is a command of the program");
        let ended = lab.command_of("sh", &["-c", &format!("exec {PROGRAM} {command}")]).output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{line}: {ended:?}");
    }
    assert_eq!(lab.ok(&["plan", FILE, "--format", "commands", "--set", "seeds=[0]"]), "");
    let sweep = lab.run(&["sweep", FILE, "--set", "seeds=[0]"]);
    assert_eq!(sweep.code, Some(0));
    assert_eq!(lab.attempts(), [1, 0, 1, 0, 1, 0]);

    // By number, and by the name of a sweep that was started.
    lab.ok(&["exec", FILE, "--index", "1"]);
    assert_eq!(lab.attempts(), [1, 1, 1, 0, 1, 0]);
    lab.ok(&["exec", NAME, "--run", "itq"]);
    assert_eq!(lab.attempts(), [1, 1, 1, 0, 1, 0], "the sweep has one seed, and its run is finished");
    assert!(lab.refused(&["exec", FILE, "--index", "6"]).contains("it has runs 0 to 5"));
    assert!(lab.refused(&["exec", FILE, "--run", "pcah"]).contains("`--run pcah` selects no run"));
}

#[test]
fn some_runs_of_a_sweep_are_chosen() {
    let lab = Lab::with(TINY);
    lab.ok(&["sweep", FILE, "--only", "itq", "--only", "lsh,seed=1"]);
    assert_eq!(lab.attempts(), [0, 1, 1, 1, 0, 0]);
    let id = lab.ids().remove(0);
    lab.ok(&["sweep", FILE, "--only", &id, "--rerun", "itq"]);
    assert_eq!(lab.attempts(), [1, 1, 1, 1, 0, 0], "what is not chosen is not repeated");
    lab.ok(&["sweep", FILE, "--only", "missing"]);
    assert_eq!(lab.attempts(), [1; 6]);
    lab.ok(&["sweep", FILE, "--rerun", "itq,seed=0"]);
    assert_eq!(lab.attempts(), [1, 1, 2, 1, 1, 1]);
    let refused = lab.refused(&["sweep", FILE, "--only", "seed=7"]);
    assert!(refused.contains("`--only seed=7` selects no run of the sweep"), "{refused}");
    assert!(lab.refused(&["sweep", FILE, "--only", "failed"]).contains("selects no run"));
    assert!(lab.run(&["sweep", FILE, "--only", "a,,b"]).stderr.contains("holds an empty term"));
}

#[test]
fn a_sweep_stops_after_failures_if_it_is_asked_to() {
    let first = "[[method]]\nname = \"sh\"\nlabel = \"first\"\nbits = [4, 5, 6, 7]\n\n[[method]]";
    let lab = Lab::alike(&ALIKE.replacen("[[method]]", first, 1));
    let ended = lab.run(&["sweep", FILE, "--jobs", "1", "--fail-fast"]);
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    assert!(ended.stderr.contains("stopping after 1 failure: "), "{}", ended.stderr);
    assert_eq!(lab.attempts().iter().sum::<usize>(), 1);
    let ended = lab.run(&["sweep", FILE, "--jobs", "1", "--max-failures", "3"]);
    assert_eq!((ended.code, lab.attempts().iter().sum::<usize>()), (Some(3), 1 + 3));
    // The default goes on.
    let ended = lab.run(&["sweep", FILE, "--fail-fast", "--keep-going"]);
    assert_eq!(ended.code, Some(3));
    assert_eq!(lab.attempts()[4..], [1; 6]);
    assert_eq!(lab.run(&["sweep", FILE, "--only", "failed"]).code, Some(3));
}
