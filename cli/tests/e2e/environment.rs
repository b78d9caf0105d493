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

/// A variable that is misspelt would be ignored; the others have uses of their own.
#[test]
fn a_variable_that_nothing_reads_is_named() {
    let lab = Lab::with(TINY);
    let said = |variables: &[&str]| {
        let mut plan = lab.command(&["plan", FILE]);
        plan.envs(variables.iter().map(|name| (name, "1")));
        let ended = Ended::from(plan.output().unwrap());
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        ended.stderr
    };
    assert_eq!(
        said(&["HASHLAB_RUN", "HASHLAB_NONSENSE"]),
        "warning: nothing reads the variable HASHLAB_NONSENSE\nhelp: the flags in `hashlab --help` name their variables; \
         HASHLAB_SET_… override an experiment\nwarning: nothing reads the variable HASHLAB_RUN\nhelp: did you mean \
         HASHLAB_RUNS?\n"
    );
    let known = ["HASHLAB_SET_TRAIN__EPOCHS", "HASHLAB_GOLDEN", "HASHLAB_BENCH_PYTHON", "HASHLAB_TEST_DEVICE"];
    assert_eq!(said(&known), "");
    // The processes of a sweep do not say it again.
    let mut sweep = lab.command(&["sweep", FILE]);
    let ended = Ended::from(sweep.env("HASHLAB_RUN", "elsewhere").output().unwrap());
    assert_eq!((ended.code, ended.stderr.matches("HASHLAB_RUN\n").count()), (Some(0), 1), "{ended:#?}");
    assert!(!lab.runs()[0].log_tail(10_000).contains("HASHLAB_RUN"));
}

/// What is wrong with a variable is not blamed on a flag that nobody gave.
#[test]
fn a_bad_value_is_blamed_on_its_variable() {
    let lab = Lab::with(TINY);
    lab.write("file", "no folder");
    let said = |variable: &str, value: &str, more: &[&str]| {
        let mut sweep = lab.command(&[&["sweep", FILE], more].concat());
        sweep.env(variable, value);
        refused(sweep)
    };
    let device = said("HASHLAB_DEVICE", "gpu0", &[]);
    assert!(device.starts_with("error: invalid value 'gpu0' for 'HASHLAB_DEVICE': "), "{device}");
    let limit = said("HASHLAB_CACHE_LIMIT", "much", &[]);
    assert!(limit.starts_with("error: invalid value 'much' for 'HASHLAB_CACHE_LIMIT': "), "{limit}");
    // The flag counts, and is at fault.
    let flag = said("HASHLAB_DEVICE", "gpu0", &["--device", "gpu1"]);
    assert!(flag.starts_with("error: invalid value 'gpu1' for '--device <DEVICE>': "), "{flag}");
    let jobs = said("HASHLAB_DEVICE", "cpu", &["--jobs", "none"]);
    assert!(jobs.contains("for '--jobs <N>'"), "{jobs}");
    let cpu = said("HASHLAB_CPU", "sse2", &[]);
    assert!(cpu.starts_with("error: HASHLAB_CPU=sse2 names no instruction set\nhelp: known: avx2, "), "{cpu}");
    let cuda = said("HASHLAB_DEVICE", "cuda:99", &[]);
    assert!(cuda.ends_with("\nnote: the variable HASHLAB_DEVICE=cuda:99 names it\n"), "{cuda}");
    assert!(!lab.refused(&["sweep", FILE, "--device", "cuda:99"]).contains("HASHLAB_DEVICE"));
    let profile = said("HASHLAB_SLURM", "none.toml", &["--executor", "slurm"]);
    assert!(profile.starts_with("error: `HASHLAB_SLURM=none.toml`: there is no file none.toml"), "{profile}");
    for (variable, flag) in
        [("HASHLAB_RUNS", "--runs"), ("HASHLAB_CACHE_DIR", "--cache-dir"), ("HASHLAB_DATA", "--data-dir")]
    {
        let error = said(variable, "file", &[]);
        assert!(error.starts_with(&format!("error: `{variable}=file` names a file\nhelp: ")), "{error}");
        let error = lab.refused(&["sweep", FILE, flag, "file"]);
        assert!(error.starts_with(&format!("error: `{flag} file` names a file\nhelp: ")), "{error}");
    }
    assert!(!lab.path("runs").exists(), "nothing has started");
}

fn set_mode(lab: &Lab, name: &str, mode: u32) {
    std::fs::set_permissions(lab.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Runs the program as a user without rights of root.
fn by_another_user(lab: &Lab, args: &[&str]) -> Ended {
    let mut command = lab.command(args);
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    Ended::from(command.output().unwrap())
}

/// A feature cache that cannot be used is found before anything starts. One that can only be read serves where it holds
/// features.
#[test]
fn a_useless_cache_is_refused_at_the_start() {
    let lab = Lab::with(TINY);
    let mode = |name: &str, mode: u32| set_mode(&lab, name, mode);
    let other = |args: &[&str]| by_another_user(&lab, args);
    mode("", 0o777);
    lab.write("file", "no folder");
    std::fs::create_dir(lab.path("theirs")).unwrap();
    mode("theirs", 0o555);
    for (place, reason) in
        [("theirs", "Permission denied"), ("theirs/new", "Permission denied"), ("/proc/cache", ""), ("file/in", "")]
    {
        let ended = other(&["sweep", FILE, "--cache-dir", place]);
        assert_eq!(ended.code, Some(2), "{place}: {ended:#?}");
        assert!(ended.stderr.contains(place) && ended.stderr.contains(reason), "{place}: {}", ended.stderr);
        assert!(ended.stderr.contains("\nhelp: ") && ended.stderr.contains("--cache-dir"), "{place}: {}", ended.stderr);
        assert!(!ended.stderr.contains("to do"), "nothing has started: {}", ended.stderr);
        assert!(lab.attempts().iter().all(|attempts| *attempts == 0));
    }
    lab.ok(&["sweep", FILE, "--cache-dir", "full"]);
    assert!(std::process::Command::new("chmod").args(["-R", "a-w"]).arg(lab.path("full")).status().unwrap().success());
    let ended = other(&["--runs", "own", "sweep", FILE, "--cache-dir", "full"]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    // More views than are there.
    let ended = other(&["--runs", "more", "sweep", FILE, "--cache-dir", "full", "--set", "image.views=6"]);
    assert_eq!(ended.code, Some(2), "{ended:#?}");
    let said =
        "error: the feature cache at full lacks 2 of the feature files that a run needs, and cannot be written: ";
    assert!(ended.stderr.starts_with(said) && ended.stderr.contains("--cache-dir DIR"), "{}", ended.stderr);
    assert!(!lab.path("more/sweeps").exists(), "nothing has started");
}

/// The size that the refusal asks for is enough.
#[test]
fn a_cache_limit_below_what_a_run_needs_is_refused_at_the_start() {
    let lab = Lab::with(TINY);
    let said = lab.refused(&["sweep", FILE, "--cache-limit", "50000"]);
    assert!(said.starts_with("error: `--cache-limit` or HASHLAB_CACHE_LIMIT allows 50.0 kB for the feature"), "{said}");
    let (_, rest) = said.split_once("help: raise the limit to ").unwrap();
    let (needed, _) = rest.split_once(" bytes or more").unwrap();
    assert!(!lab.path("runs/sweeps").exists(), "nothing has started");
    let less = (needed.parse::<u64>().unwrap() - 1).to_string();
    assert_eq!(lab.run(&["sweep", FILE, "--cache-limit", &less]).code, Some(2));
    lab.ok(&["sweep", FILE, "--cache-limit", needed]);
    // Features that are there are read whatever the limit.
    lab.ok(&["--runs", "others", "sweep", FILE, "--cache-dir", "runs/cache", "--cache-limit", "50000"]);
}

/// Denied is not missing. Root may do everything, so that another user looks.
#[test]
fn what_another_user_keeps_is_not_taken_for_absent() {
    let lab = Lab::with(TINY);
    let table = lab.ok(&["sweep", FILE, "--no-times"]);
    let mode = |name: &str, mode: u32| set_mode(&lab, name, mode);
    let other = |args: &[&str]| by_another_user(&lab, args);
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
