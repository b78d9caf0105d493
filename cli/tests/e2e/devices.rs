//! Which device a sweep computes on.

use crate::lab::{FILE, Lab, TINY, refused};

/// No machine has so many GPUs, whether or not the program can use any.
const ABSENT: &str = "cuda:4096";

#[test]
fn a_device_that_cannot_be_used_is_refused_before_anything_starts() {
    let lab = Lab::with(TINY);
    for command in [&["sweep", FILE][..], &["features", FILE, "--out", "out"], &["trace", FILE, "--out", "out"]] {
        let said = lab.refused(&[command, &["--device", ABSENT]].concat());
        assert!(said.starts_with("error: cannot use `cuda:4096`: ") && said.contains("\nhelp: "), "{said}");
    }
    for made in ["runs/store", "runs/sweeps", "out"] {
        assert!(!lab.path(made).exists(), "{made}");
    }
}

#[test]
fn a_misspelt_device_is_refused_with_the_forms_there_are() {
    let lab = Lab::with(TINY);
    for name in ["gpu", "cuda:x", "cuda:-1", "CUDA"] {
        let said = lab.refused(&["sweep", FILE, "--device", name]);
        assert!(said.contains(&format!("'{name}'")) && said.contains("`cpu`, `cuda` or `cuda:N`"), "{said}");
    }
    let mut command = lab.command(&["sweep", FILE]);
    command.env("HASHLAB_DEVICE", "gpu");
    assert!(refused(command).contains("`cuda:N`"));
}

#[test]
fn the_option_goes_before_the_environment_and_reaches_the_runs() {
    let lab = Lab::with(TINY);
    let mut command = lab.command(&["sweep", FILE, "--device", "cpu"]);
    let ended = command.env("HASHLAB_DEVICE", ABSENT).output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    for run in lab.runs() {
        assert_eq!(run.result().unwrap().provenance["device"], "cpu");
    }
    // A sweep without anything left to do needs no device, but one that the program could use.
    let again = lab.run(&["sweep", FILE, "--device", ABSENT]);
    let unusable = again.stderr.contains("this hashlab was built without CUDA");
    assert_eq!(again.code, Some(if unusable { 2 } else { 0 }), "{again:#?}");
    // One that cannot repeat a run keeps the result that it has.
    lab.refused(&["sweep", FILE, "--device", ABSENT, "--rerun", "lsh"]);
    assert!(lab.runs().iter().all(|run| run.result().is_some()));
}
