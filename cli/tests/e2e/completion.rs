//! Completion, as a shell asks for it.

use std::process::Command;

use crate::lab::{FILE, Lab, NAME, TINY};

/// What bash would propose for the last of some words.
fn proposed(lab: &Lab, words: &[&str]) -> Vec<String> {
    let mut command: Command = lab.command(&[&["--", "hashlab"], words].concat());
    command.env("COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", words.len().to_string());
    command.env("_CLAP_COMPLETE_COMP_TYPE", "9").env("_CLAP_COMPLETE_SPACE", "true").env("_CLAP_IFS", "\n");
    let output = command.output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn runs_sweeps_methods_and_keys_are_completed() {
    let lab = Lab::with(TINY);
    lab.ok(&["sweep", FILE]);
    let runs = proposed(&lab, &["show", "cibhash-"]);
    assert_eq!(runs.len(), 2, "{runs:?}");
    assert!(runs.iter().all(|run| run.starts_with("cibhash-b16-s")), "{runs:?}");
    assert_eq!(proposed(&lab, &["table", "ti"]), [NAME]);
    assert_eq!(proposed(&lab, &["sweep", FILE, "--set", "train.epo"]), ["train.epochs="]);
    assert_eq!(proposed(&lab, &["methods", "cibh"]), ["cibhash"]);
    assert_eq!(proposed(&lab, &["sw"]), ["sweep"]);
    assert_eq!(proposed(&lab, &["ls", "ti"]), [NAME]);
    assert_eq!(proposed(&lab, &["open", "ti"]), [NAME]);
    assert_eq!(proposed(&lab, &["open", "cibhash-"]), runs);
    // The directory that the line names, not the usual one.
    std::fs::rename(lab.path("runs"), lab.path("elsewhere")).unwrap();
    assert_eq!(proposed(&lab, &["show", "cibhash-"]), [""; 0]);
    assert_eq!(proposed(&lab, &["--runs", "elsewhere", "show", "cibhash-"]), runs);
    assert_eq!(proposed(&lab, &["table", "--runs=elsewhere", "ti"]), [NAME]);
}

#[test]
fn a_shell_gets_its_script() {
    let lab = Lab::with(TINY);
    let mut command = lab.command(&[]);
    command.env("COMPLETE", "bash");
    let script = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(script.contains("complete ") && script.contains("hashlab"), "{script}");
}
