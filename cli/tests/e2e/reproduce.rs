//! Runs that are executed again and compared, and bundles in which they travel.

use std::fs;
use std::path::Path;
use std::process::Command;

use hashlab_store::RunDir;
use serde_json::Value;

use crate::lab::{Ended, FILE, Lab, NAME, TINY};

fn lab() -> Lab {
    let lab = Lab::with(TINY);
    lab.ok(&["sweep", FILE]);
    lab
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Writes a result as programs did that kept no digest of its text.
fn write_plain(run: &RunDir, mut result: Value) {
    result.as_object_mut().unwrap().remove("digest");
    fs::write(run.path().join("result.json"), result.to_string()).unwrap();
}

#[test]
fn results_record_what_made_them() {
    let lab = lab();
    let facts = json(&lab.runs()[0].path().join("result.json"))["provenance"].clone();
    let known = |key: &str| facts[key].as_str().unwrap_or_else(|| panic!("{key}: {facts:#}")).to_owned();
    for key in
        ["hashlab", "commit", "core_digest", "sources_digest", "dataset_digest", "host", "device", "threads", "system"]
    {
        assert!(!known(key).is_empty(), "{key}");
    }
    assert_eq!(known("lock_digest").len(), 12);
    assert!(known("toolchain").starts_with("rustc 1."), "{facts:#}");
    assert!(known("argv").contains(" worker ") && !known("argv").contains("lsh-b16"), "{facts:#}");
    if Path::new("/proc/cpuinfo").exists() {
        assert!(!known("processor").is_empty() && !known("processor_features").is_empty(), "{facts:#}");
    }
    assert_eq!(facts.get("gpu_driver"), None, "no GPU was used");
    let codes = json(&lab.runs()[0].path().join("codes.json"));
    assert_eq!(codes["bits"]["image"]["digest"].as_str().unwrap().len(), 16);
    assert_eq!(codes["bits"]["image"]["pairs"].as_array().unwrap().len(), 16 * 15 / 2);
}

#[test]
fn a_run_is_reproduced_bit_for_bit() {
    let lab = lab();
    let run = &lab.runs_of("cibhash")[0];
    let digits = run.id().0.rsplit('-').next().unwrap();
    let before = fs::read(run.path().join("result.json")).unwrap();
    let said = lab.ok(&["reproduce", &digits[..8]]);
    assert!(said.starts_with(&format!("{}: equal\n", run.id())), "{said}");
    for part in ["result", "training", "queries", "codes", "model"] {
        let line = said
            .lines()
            .find(|line| line.starts_with(&format!("  {part} ")))
            .unwrap_or_else(|| panic!("{part}: {said}"));
        assert!(line.ends_with(" values equal") && !line.contains(" 0 values"), "{said}");
    }
    assert!(said.ends_with(&format!("1 run reproduced bit for bit in runs/reproduced/{}\n", run.id())), "{said}");
    assert!(!said.contains("executed differently"), "on the same machine by the same program: {said}");
    assert_eq!(
        (run.attempts().len(), fs::read(run.path().join("result.json")).unwrap()),
        (1, before),
        "it is as it was"
    );
    // It is executed anew every time, with features from the cache if the user says so.
    let again = lab.ok(&["reproduce", &run.id().0, "--cached", "--format", "json"]);
    let again: Value = serde_json::from_str(&again).unwrap();
    assert_eq!((&again["equal"], again["runs"][0]["provenance"].as_array().unwrap().len()), (&true.into(), 0));
    let own = lab.path(&format!("runs/reproduced/{0}/store/{1}/{0}/attempts.jsonl", run.id(), &digits[..2]));
    assert_eq!(fs::read_to_string(own).unwrap().lines().count(), 2);
}

#[test]
fn the_runs_of_a_sweep_are_reproduced_together() {
    let lab = lab();
    let said = lab.ok(&["reproduce", NAME, "--out", "again"]);
    assert_eq!(said.matches(": equal\n").count(), 6, "{said}");
    assert!(said.ends_with("6 runs reproduced bit for bit in again\n"), "{said}");
    let some = lab.run(&["reproduce", NAME, "--only", "itq", "--out", "again", "--format", "json"]);
    let some: Value = serde_json::from_str(&some.stdout).unwrap();
    assert_eq!(some["runs"].as_array().unwrap().len(), 2);
    fs::remove_file(lab.runs()[0].path().join("result.json")).unwrap();
    let rest = lab.run(&["reproduce", NAME, "--out", "again"]);
    assert_eq!(rest.code, Some(0), "{rest:#?}");
    assert!(
        rest.stderr.contains("1 run without a result left out") && rest.stdout.contains("5 runs reproduced"),
        "{rest:#?}"
    );
}

#[test]
fn what_differs_is_named() {
    let lab = lab();
    let run = &lab.runs_of("itq")[0];
    let mut result = json(&run.path().join("result.json"));
    let map = result["test"]["i2i"]["metrics"]["map_at_k"].as_f64().unwrap();
    result["test"]["i2i"]["metrics"]["map_at_k"] = map.next_up().into();
    result["provenance"]["commit"] = "0123456789ab".into();
    result["provenance"]["processor"] = "Another Processor".into();
    write_plain(run, result);
    let ended = lab.run(&["reproduce", &run.id().0]);
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    let said = &ended.stdout;
    assert!(said.starts_with(&format!("{}: DIFFERENT\n", run.id())), "{said}");
    assert!(
        said.contains(&format!("    test.i2i.metrics.map_at_k: {:?} then, {map:?} now\n", map.next_up())),
        "{said}"
    );
    assert!(
        said.contains("    commit: 0123456789ab then, ") && said.contains("    processor: Another Processor then, "),
        "{said}"
    );
    assert!(said.contains("1 of 1 run differ"), "{said}");
    let whole: Value = serde_json::from_str(&lab.run(&["reproduce", &run.id().0, "--format", "json"]).stdout).unwrap();
    assert_eq!(whole["runs"][0]["parts"][0]["differences"][0]["key"], "test.i2i.metrics.map_at_k");
}

#[test]
fn older_results_lack_facts_and_are_compared_in_the_others() {
    let lab = lab();
    let run = &lab.runs_of("lsh")[0];
    let mut result = json(&run.path().join("result.json"));
    for key in ["toolchain", "lock_digest", "argv", "processor", "processor_features", "system"] {
        result["provenance"].as_object_mut().unwrap().remove(key);
    }
    write_plain(run, result);
    let path = run.path().join("codes.json");
    let mut codes = json(&path);
    for key in ["digest", "pairs"] {
        codes["bits"]["image"].as_object_mut().unwrap().remove(key);
    }
    fs::write(&path, codes.to_string()).unwrap();
    let said = lab.ok(&["reproduce", &run.id().0]);
    assert!(said.contains(": equal\n") && said.contains("    toolchain: nothing then, rustc "), "{said}");
    for command in [["show", run.id().0.as_str()], ["table", NAME], ["report", NAME]] {
        lab.ok(&command);
    }
}

#[test]
fn what_cannot_be_reproduced_is_refused() {
    let lab = lab();
    let run = lab.runs_of("lsh")[0].clone();
    assert!(lab.refused(&["reproduce", "nothing"]).contains("there is no run `nothing`"));
    assert!(lab.refused(&["reproduce", NAME, "--only", "bits=99"]).contains("there is nothing to reproduce of `tiny`"));
    assert!(lab.refused(&["reproduce", &run.id().0, "--only", "lsh"]).contains("selects runs of a sweep"));
    assert!(lab.refused(&["reproduce", &run.id().0, "--out", "./runs"]).contains("holds the runs themselves"));
    fs::remove_file(run.path().join("result.json")).unwrap();
    assert!(
        lab.refused(&["reproduce", &run.id().0]).contains("is interrupted, so that there is nothing to compare with")
    );
}

/// Runs a program of the system in a folder.
fn system(folder: &Path, program: &str, args: &[&str]) {
    let done = Command::new(program).args(args).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "{program} {args:?}: {done:?}");
}

#[test]
fn a_bundle_is_reproduced_in_an_empty_folder() {
    let lab = Lab::with("");
    fs::create_dir(lab.path("shared")).unwrap();
    lab.write("shared/base.toml", TINY);
    lab.write(FILE, "extends = 'shared/base.toml' # of the group\nseeds = [3]\n");
    lab.ok(&["sweep", FILE, "--set", "train.epochs=4"]);
    let table = lab.ok(&["table", NAME]);
    let ids = lab.run(&["plan", FILE, "--set", "train.epochs=4", "--format", "jsonl"]).stdout;
    let written = lab.ok(&["bundle", NAME]);
    assert!(written.starts_with("tiny.tar.gz: 3 runs, "), "{written}");
    lab.ok(&["bundle", NAME, "--out", "again.tar.gz"]);
    let bundle = fs::read(lab.path("tiny.tar.gz")).unwrap();
    assert_eq!(bundle, fs::read(lab.path("again.tar.gz")).unwrap(), "equal runs give equal bytes");
    let sound = lab.ok(&["bundle", "--check", "tiny.tar.gz"]);
    let plan = lab.newest();
    assert!(
        sound.starts_with(&format!("tiny.tar.gz: sound; sweep tiny, plan {plan}, 3 of 3 runs with a result, ")),
        "{sound}"
    );

    let elsewhere = Lab::with("");
    elsewhere.write("b.tar.gz", &bundle);
    system(&elsewhere.path(""), "tar", &["xzf", "b.tar.gz"]);
    let folder = elsewhere.path(&format!("tiny-{plan}"));
    system(&folder, "sha256sum", &["--check", "--quiet", "SHA256SUMS"]);
    let run = |args: &[&str]| {
        let mut command = elsewhere.command(args);
        command.current_dir(&folder);
        Ended::from(command.output().unwrap())
    };
    let shown = run(&["table", NAME]);
    assert_eq!(shown.code, Some(0), "{shown:#?}");
    assert_eq!(shown.stdout, table);
    // The file makes the same plan, and all its runs are there.
    let planned = run(&["plan", FILE, "--set", "train.epochs=4", "--format", "jsonl"]);
    let finished = |text: &str| text.matches("\"state\":\"finished\"").count();
    assert_eq!((finished(&planned.stdout), finished(&ids)), (3, 3), "{planned:#?}");
    assert!(
        fs::read_to_string(folder.join("README.md"))
            .unwrap()
            .contains("`hashlab sweep tiny.toml --set train.epochs=4`")
    );
    let again = run(&["reproduce", NAME]);
    assert_eq!(again.code, Some(0), "{again:#?}");
    assert!(again.stdout.ends_with("3 runs reproduced bit for bit in runs/reproduced/tiny\n"), "{again:#?}");
    let fresh = run(&["--runs", "fresh", "sweep", FILE, "--set", "train.epochs=4", "--no-times"]);
    assert_eq!(fresh.stdout, lab.ok(&["table", NAME, "--no-times"]));
}

#[test]
fn a_damaged_bundle_is_refused() {
    let lab = lab();
    fs::remove_file(lab.runs()[5].path().join("result.json")).unwrap();
    let ended = lab.run(&["bundle", NAME]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(ended.stderr.contains("1 of 6 runs have no result"), "{ended:#?}");
    assert!(lab.ok(&["bundle", "--check", "tiny.tar.gz"]).contains("5 of 6 runs with a result"));
    let whole = fs::read(lab.path("tiny.tar.gz")).unwrap();
    lab.write("cut.tar.gz", &whole[..whole.len() / 2]);
    assert!(lab.refused(&["bundle", "--check", "cut.tar.gz"]).contains("it is no bundle, or was cut"));
    lab.write("odd.tar.gz", "nothing of the kind");
    assert!(lab.refused(&["bundle", "--check", "odd.tar.gz"]).contains("it is no bundle"));
    assert!(lab.refused(&["bundle", "--check", "none.tar.gz"]).contains("there is no file none.tar.gz"));
    fs::create_dir(lab.path("folder")).unwrap();
    system(&lab.path(""), "mkfifo", &["pipe"]);
    for (place, what) in [("folder", "a directory"), ("pipe", "a pipe"), ("/dev/null", "a device")] {
        let expected = format!("error: {place} is {what}\nhelp: name a file that `hashlab bundle SWEEP` has written\n");
        assert_eq!(lab.refused(&["bundle", "--check", place]), expected);
    }
    // A changed number, a new file and a lost one, in an archive that is whole.
    fs::create_dir(lab.path("work")).unwrap();
    system(&lab.path("work"), "tar", &["xzf", "../tiny.tar.gz"]);
    let folder = format!("tiny-{}", lab.newest());
    let place = lab.path("work").join(&folder);
    let result = crate::lab::files_named(&place, "result.json")[0].clone();
    fs::write(&result, fs::read_to_string(&result).unwrap().replace("map_at_k", "map_at_l")).unwrap();
    fs::write(place.join("more.txt"), "more").unwrap();
    fs::remove_file(place.join("README.md")).unwrap();
    let files = Command::new("find").args([&folder, "-type", "f"]).current_dir(lab.path("work")).output().unwrap();
    fs::write(lab.path("list"), files.stdout).unwrap();
    system(&lab.path("work"), "tar", &["czf", "../other.tar.gz", "--files-from=../list"]);
    let refused = lab.refused(&["bundle", "--check", "other.tar.gz"]);
    for part in ["3 files wrong:", "result.json has changed", "README.md is missing", "more.txt has no digest"] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    assert!(lab.refused(&["bundle", "nothing"]).contains("there is no sweep `nothing`"));
    assert_eq!(lab.run(&["bundle"]).code, Some(2));
}
