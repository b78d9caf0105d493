//! A sweep whose program is replaced meanwhile, by a build or a new version.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use hashlab_store::RunState;

use crate::roles::{Sweep, assert_undisturbed, at_gate, eventually, gate, open_gate, runs};

/// Copies this test program.
fn copy_to(path: &Path) {
    fs::copy(std::env::current_exe().unwrap(), path).unwrap();
}

/// Does something to the program of a sweep while its first run waits; the others start afterwards.
fn survives(change: impl Fn(&Path)) {
    let root = tempfile::tempdir().unwrap();
    let runs = runs(root.path(), 4);
    let program = root.path().join("program-under-test");
    copy_to(&program);
    let mut sweep = Sweep::start_as(Command::new(&program), root.path(), &["gated", "gated", "trains", "trains"]);
    eventually("the first runs wait", || at_gate(&runs[0]) && at_gate(&runs[1]));
    let pid = runs[0].attempts()[0].pid;
    let argument = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(argument.starts_with("program-under-test\0"), "{argument:?}");
    assert_eq!(fs::read_to_string(format!("/proc/{pid}/comm")).unwrap(), "program-under-t\n", "the name in `top`");
    assert_eq!(runs[2].state(), RunState::Missing);
    change(&program);
    open_gate(&gate(root.path()));
    assert_eq!(sweep.wait(), Some(0), "{}", sweep.printed());
    assert_undisturbed(&runs);
}

#[test]
fn a_sweep_survives_that_its_program_is_replaced() {
    survives(|program| {
        let new = program.with_extension("new");
        fs::write(&new, "#!/bin/sh\necho the new program >&2\nexit 1\n").unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&new, program).unwrap();
    });
}

#[test]
fn a_sweep_survives_that_its_program_is_removed() {
    survives(|program| fs::remove_file(program).unwrap());
}
