//! What `doctor` finds on this machine, and on ones that lack something.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::lab::{Ended, Lab, TINY};

/// What is found under some variables.
fn findings(lab: &Lab, args: &[&str], path: &str) -> (Option<i32>, Vec<Value>) {
    let mut command = lab.command(&[args, &["doctor", "--format", "json"]].concat());
    command.env("PATH", path);
    let ended = Ended::from(command.output().unwrap());
    (ended.code, serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:#?}")))
}

fn of<'f>(findings: &'f [Value], subject: &str) -> &'f Value {
    findings.iter().find(|finding| finding["subject"] == subject).unwrap_or_else(|| panic!("{subject}: {findings:#?}"))
}

#[test]
fn a_machine_is_described_line_by_line() {
    let lab = Lab::with(TINY);
    let (_, found) = findings(&lab, &[], "");
    for subject in ["runs", "disk", "files", "processor", "gpu", "data", "slurm"] {
        assert!(["ok", "hint", "to_do"].contains(&of(&found, subject)["state"].as_str().unwrap()), "{subject}");
    }
    assert!(of(&found, "runs")["text"].as_str().unwrap().contains("locks"), "{found:#?}");
    assert_eq!(of(&found, "data")["state"], "hint", "there is no data directory");
    assert_eq!(of(&found, "slurm")["state"], "ok", "there is none");
    assert!(!lab.path("runs").exists(), "nothing is left behind");
    let text = lab.run(&["doctor"]).stdout;
    assert!(text.lines().any(|line| line.starts_with("hint   data       there is no data directory")), "{text}");
    // With data and weights.
    fs::create_dir_all(lab.path("data/cifar10")).unwrap();
    fs::create_dir_all(lab.path("data/weights/small")).unwrap();
    lab.write("data/weights/small/model.safetensors", "");
    let (_, found) = findings(&lab, &[], "");
    assert!(of(&found, "data")["text"].as_str().unwrap().ends_with("data: cifar10"), "{found:#?}");
    assert_eq!(of(&found, "weights")["text"], "1 file");
}

#[test]
fn what_is_to_be_done_is_said_and_is_an_exit_code() {
    let lab = Lab::with(TINY);
    let (code, found) = findings(&lab, &["--runs", "/proc/runs"], "");
    let runs = of(&found, "runs");
    assert_eq!((code, &runs["state"]), (Some(1), &Value::from("to_do")));
    assert!(runs["text"].as_str().unwrap().starts_with("nothing can be written in /proc/runs: "), "{runs}");
    assert!(runs["help"].as_str().unwrap().contains("--runs DIR"), "{runs}");
    // A controller that refuses.
    fs::create_dir(lab.path("bin")).unwrap();
    for name in ["sbatch", "squeue"] {
        let path = lab.path(&format!("bin/{name}"));
        fs::write(&path, "#!/bin/sh\necho 'squeue: error: no such cluster' >&2\nexit 1\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:/usr/bin:/bin", lab.path("bin").display());
    let (code, found) = findings(&lab, &[], &path);
    assert_eq!((code, &of(&found, "slurm")["state"]), (Some(1), &Value::from("to_do")));
    assert!(of(&found, "slurm")["text"].as_str().unwrap().contains("no such cluster"), "{found:#?}");
}
