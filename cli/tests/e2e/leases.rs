//! Sweeps that claim runs by leases, as on a file system without locks.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use hashlab_store::{RunDir, RunState};
use serde_json::json;

use crate::lab::{Ended, FILE, Lab, Started, TINY, files_named, until};

/// Long enough to be met while it runs.
const LONG: &str = "dataset = \"shapes\"\nbits = [16]\nseeds = [0]\n\n[data]\nitems = 200\nsize = 16\n\n[image]\n\
                    image_size = 16\nviews = 4\n\n[train]\nepochs = 400\nbatch_size = 32\nvalidate_every = 50\n\n\
                    [[method]]\nname = \"cibhash\"\n";

const SWEEP: [&str; 5] = ["sweep", FILE, "--no-times", "--jobs", "2"];

fn leased(lab: &Lab, args: &[&str]) -> Command {
    let mut command = lab.command(args);
    command.env("HASHLAB_LOCKS", "lease=1");
    command
}

fn lease_of(run: &RunDir) -> PathBuf {
    run.path().join(".lock.lease")
}

/// Puts the lease of a process on another machine in the place of whatever is there.
fn give_away(run: &RunDir) {
    let holder = json!({
        "token": "of another machine", "host": "elsewhere", "pid": 1, "started": 1, "kernel": "another", "limit": 2.0,
    });
    fs::create_dir_all(run.path()).unwrap();
    let new = run.path().join("lease");
    fs::write(&new, format!("{holder}\n")).unwrap();
    fs::rename(new, lease_of(run)).unwrap();
}

/// Beats for the other machine.
fn beat(run: &RunDir) {
    let text = fs::read_to_string(lease_of(run)).unwrap();
    assert!(text.contains("of another machine"), "its lease was taken: {text}");
    fs::write(lease_of(run), text + ".").unwrap();
}

#[test]
fn two_sweeps_with_leases_execute_each_run_once() {
    let lab = Lab::with(TINY);
    let sweeps = [(); 2].map(|()| Started::of(leased(&lab, &SWEEP)));
    let [first, second] = sweeps.map(Started::end);
    assert_eq!((first.code, second.code), (Some(0), Some(0)), "{first:#?}{second:#?}");
    assert_eq!(lab.attempts(), [1; 6]);
    assert_eq!(first.stdout, second.stdout);
    assert_eq!(first.stdout, lab.ok(&["--runs", "local", "sweep", FILE, "--no-times"]), "as with locks");
    assert_eq!(files_named(&lab.path("runs"), ".lock.lease"), Vec::<PathBuf>::new());
    assert_eq!(files_named(&lab.path("runs/store"), ".lock"), Vec::<PathBuf>::new(), "no lock was taken");
}

#[test]
fn a_killed_process_of_this_machine_loses_its_lease_at_once() {
    let lab = Lab::with(LONG);
    let run = &lab.runs()[0];
    let sweep = Started::of(leased(&lab, &SWEEP));
    until("epochs are done", || run.metrics().len() > 20);
    sweep.kill();
    until("its worker has ended, too", || run.state() != RunState::Running);
    assert!(lease_of(run).exists() && run.result().is_none(), "the lease outlives it, and counts for nothing");
    let ended: Ended = leased(&lab, &SWEEP).output().unwrap().into();
    assert_eq!((ended.code, lab.attempts()), (Some(0), vec![2]), "{ended:#?}");
    assert_eq!(ended.stdout, lab.ok(&["--runs", "local", "sweep", FILE, "--no-times"]));
}

/// Its last beat may be long ago or years ahead by the clock of its own machine.
#[test]
fn a_run_of_another_machine_is_waited_for_until_nothing_is_heard() {
    let lab = Lab::with(TINY);
    let runs = lab.runs();
    let run = &runs[5];
    give_away(run);
    let sweep = Started::of(leased(&lab, &SWEEP));
    for round in 0..30 {
        beat(run);
        let date = if round % 2 == 0 { "1990-01-01" } else { "2090-01-01" };
        assert!(Command::new("touch").args(["-d", date]).arg(lease_of(run)).status().unwrap().success());
        thread::sleep(Duration::from_millis(100));
    }
    assert!(run.result().is_none() && run.attempts().is_empty());
    let ended = sweep.end();
    assert_eq!((ended.code, lab.attempts()), (Some(0), vec![1; 6]), "{ended:#?}");
    assert_eq!(ended.stdout, lab.ok(&["--runs", "local", "sweep", FILE, "--no-times"]));
}

#[test]
fn a_process_that_lost_its_lease_writes_nothing_more() {
    let lab = Lab::with(LONG);
    let run = &lab.runs()[0];
    let sweep = Started::of(leased(&lab, &SWEEP));
    until("epochs are done", || run.metrics().len() > 20);
    give_away(run);
    let pid = run.attempts()[0].pid;
    until("the process has ended", || {
        beat(run);
        thread::sleep(Duration::from_millis(50));
        !PathBuf::from(format!("/proc/{pid}")).exists()
    });
    let points = run.metrics().len();
    assert!(points < 400, "it ended before its run did");
    for _ in 0..10 {
        beat(run);
        thread::sleep(Duration::from_millis(100));
    }
    assert!(run.result().is_none() && run.failure().is_none() && run.metrics().len() == points);
    let ended = sweep.end();
    assert_eq!((ended.code, lab.attempts()), (Some(0), vec![2]), "{ended:#?}");
    assert_eq!(ended.stdout, lab.ok(&["--runs", "local", "sweep", FILE, "--no-times"]));
}

#[test]
fn the_kind_of_locks_is_chosen_and_shown() {
    let lab = Lab::with(TINY);
    let mut wrong = lab.command(&["plan", FILE]);
    let wrong: Ended = wrong.env("HASHLAB_LOCKS", "flock").output().unwrap().into();
    assert_eq!(wrong.code, Some(2), "{wrong:#?}");
    assert!(wrong.stderr.contains("error: the variable HASHLAB_LOCKS is `flock`\n"), "{}", wrong.stderr);
    assert!(wrong.stderr.contains("help: it may be `kernel`, `lease`, or `lease=SECONDS`"), "{}", wrong.stderr);
    let doctor: Ended = leased(&lab, &["doctor"]).output().unwrap().into();
    let said = "runs are claimed by leases, not by locks: HASHLAB_LOCKS says so";
    assert!(doctor.stdout.contains(said), "{}", doctor.stdout);
    // A lease that is there counts for a process that takes locks.
    let run = &lab.runs()[0];
    give_away(run);
    let held: Ended = lab.command(&["exec", FILE, "--index", "1"]).output().unwrap().into();
    assert_eq!(held.code, Some(0), "another run: {held:#?}");
    assert!(lab.ok(&["plan", FILE]).contains("  running "), "a first look cannot tell more");
}
