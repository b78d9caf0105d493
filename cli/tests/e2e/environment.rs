//! Environment variables, and places that cannot be written.

use crate::lab::{FILE, Lab, TINY, refused};

/// As scripts clear a variable: `HASHLAB_RUNS= hashlab …`.
#[test]
fn empty_variables_count_as_unset() {
    let lab = Lab::with(TINY);
    let names = ["RUNS", "CACHE_DIR", "CACHE_LIMIT", "DEVICE", "DATA", "LOG"].map(|name| format!("HASHLAB_{name}"));
    let mut sweep = lab.command(&["sweep", FILE]);
    sweep.envs(names.iter().map(|name| (name, "")));
    let ended = sweep.output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(lab.path("runs/store").is_dir() && lab.path("runs/cache").is_dir(), "the defaults");
    // A variable that is set still counts.
    let mut cache = lab.command(&["cache"]);
    cache.env("HASHLAB_RUNS", "").env("HASHLAB_CACHE_DIR", "elsewhere");
    assert!(String::from_utf8(cache.output().unwrap().stdout).unwrap().starts_with("elsewhere: no features yet"));
}

/// Found at the start, not by every run.
#[test]
fn runs_that_cannot_be_kept_are_refused_at_the_start() {
    let lab = Lab::with(TINY);
    std::fs::create_dir(lab.path("runs")).unwrap();
    lab.write("runs/store", "no folder");
    let said = lab.refused(&["sweep", FILE]);
    assert!(said.starts_with("error: cannot write in `runs/store`: "), "{said}");
    assert!(said.contains("\nhelp: ") && said.contains("--runs DIR"), "{said}");
    assert!(!lab.path("runs/sweeps").exists());
    // A file system that even root cannot write.
    let said = lab.refused(&["sweep", FILE, "--runs", "/proc/hashlab"]);
    assert!(said.starts_with("error: cannot write in `/proc/hashlab/store`: "), "{said}");
    assert!(said.contains("\nhelp: ") && said.contains("--runs DIR"), "{said}");
}

#[test]
fn a_directory_that_cannot_be_exported_to_is_refused_before_anything_is_computed() {
    let lab = Lab::with(TINY);
    lab.write("out", "no folder");
    for out in ["out", "/proc/out"] {
        let said = refused(lab.command(&["features", FILE, "--out", out]));
        assert!(said.starts_with(&format!("error: cannot write to {out}: ")) && said.contains("\nhelp: "), "{said}");
    }
    assert!(!lab.path("runs/cache").exists());
}
