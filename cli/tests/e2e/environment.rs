//! Environment variables, and places that cannot be written.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;

use crate::lab::{Ended, FILE, Lab, NAME, TINY, refused};

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
    assert!(!lab.path("elsewhere").exists(), "looking makes nothing");
}

/// Denied is not missing. Root may do everything, so that another user looks.
#[test]
fn what_another_user_keeps_is_not_taken_for_absent() {
    let lab = Lab::with(TINY);
    let table = lab.ok(&["sweep", FILE, "--no-times"]);
    let mode = |name: &str, mode: u32| {
        std::fs::set_permissions(lab.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let other = |args: &[&str]| {
        let mut command = lab.command(args);
        if rustix::process::geteuid().is_root() {
            command.uid(65534).gid(65534);
        }
        Ended::from(command.output().unwrap())
    };
    mode("", 0o755);
    let theirs = other(&["table", NAME, "--no-times"]);
    assert_eq!((theirs.code, theirs.stdout), (Some(0), table.clone()), "{}", theirs.stderr);
    // A finished sweep of someone else: its table, and a word about what cannot be written.
    let finished = other(&["sweep", FILE, "--no-times"]);
    assert_eq!(finished.stdout, table, "{}", finished.stderr);
    std::fs::create_dir_all(lab.path("mine/cifar10")).unwrap();
    mode("mine", 0o000);
    mode("runs", 0o000);
    for args in
        [&["plan", FILE][..], &["table", NAME], &["report", NAME, "--out", "/dev/null"], &["cache"], &["sweep", FILE]]
    {
        let said = other(args);
        assert_eq!(said.code, Some(2), "{args:?}: {said:#?}");
        assert!(
            said.stderr.contains("Permission denied") && said.stderr.contains("\nhelp: "),
            "{args:?}: {}",
            said.stderr
        );
    }
    let said = other(&["datasets", "cifar10", "--data-dir", "mine"]);
    assert!(said.stdout.contains("no permission to look at mine/cifar10"), "{said:#?}");
    // A folder that can be looked at, and its files cannot.
    mode("mine", 0o755);
    mode("mine/cifar10", 0o700);
    let said = other(&["datasets", "cifar10", "--data-dir", "mine"]);
    assert!(said.stdout.contains("no permission to look at mine/cifar10"), "{said:#?}");
    mode("runs", 0o755);
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
