//! Behaviors of the processes that the tests start.
#![allow(clippy::print_stdout, reason = "the processes have no other voice")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::exit;
use std::thread;
use std::time::Duration;

use hashlab_exec::Event;
use hashlab_exec::progress::Lines;
use hashlab_exec::worker::{self, BUSY, DONE, StopFlag};
use hashlab_exec::{Completion, Program, Scheduler, StopRequests, raise_open_files};
use hashlab_store::RunId;
use hashlab_store::{Claim, Store};

use crate::fixture::result;
use crate::roles::{GATE_AT, ROLE, ROOT, STEPS, STOPPED, gate, graph, job_of, local, open_gate};

/// Plays the behavior in the environment.
pub(crate) fn play() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let root = PathBuf::from(std::env::var(ROOT).unwrap());
    // The test harness has begun a line, which would spoil the first event.
    println!();
    match role.strip_prefix("sweep ") {
        Some(behaviors) => exit(sweep(&root, behaviors)),
        None => exit(process(&root, &role)),
    }
}

/// A sweep with one run per behavior; exits like the real one.
fn sweep(root: &Path, behaviors: &str) -> i32 {
    let behaviors: Vec<&str> = behaviors.split(' ').collect();
    let program = Program::current().unwrap();
    let stop = StopRequests::install().unwrap();
    let jobs = (0..).zip(&behaviors).map(|(seed, behavior)| job_of(&program, root, seed, behavior));
    let graph = graph(jobs.collect());
    let mut executor = local(2);
    let mut lines = Lines::new(std::io::stderr());
    match Scheduler::new(&graph, &mut executor, &mut lines, stop).run().completion() {
        Completion::Stopped => STOPPED,
        Completion::Incomplete => 3,
        Completion::Complete => 0,
    }
}

fn process(root: &Path, behavior: &str) -> i32 {
    if behavior == "raises-limit" {
        return raise_limit(root);
    }
    let stop = worker::init().unwrap();
    match behavior {
        "stage" => {
            for done in [1, 2] {
                worker::emit(&Event::Stage { name: "features".into(), done, total: 2, unit: "images".into() });
            }
            return DONE;
        }
        "bad-stage" => {
            complain("no images");
            return 1;
        }
        "telling-stage" => {
            worker::emit(&Event::failed("no space left for features\nhelp: free some"));
            return 1;
        }
        "declines-once" if open_gate(&root.join("declined")) => return BUSY,
        _ => {}
    }
    let ids: Vec<String> = std::env::args().filter(|argument| argument.starts_with("nsh-")).collect();
    let mut code = DONE;
    for id in ids {
        let run = Store::open(root).run(&RunId(id)).unwrap();
        match run.try_claim_again(worker::retry()).unwrap() {
            None => code = BUSY,
            Some(claim) => match execute_run(root, behavior, claim, &stop) {
                DONE => {}
                failed => code = failed,
            },
        }
    }
    code
}

fn execute_run(root: &Path, behavior: &str, claim: Claim, stop: &StopFlag) -> i32 {
    let run = claim.run().clone();
    match behavior {
        "is-killed-once" if open_gate(&root.join("killed")) => {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
            unreachable!("it is dead")
        }
        "trains" | "declines-once" | "is-killed-once" => train(claim, stop, || true),
        "gated" => train(claim, stop, || gate(root).exists()),
        "sees-gpu" => {
            let seen = std::env::var("CUDA_VISIBLE_DEVICES").unwrap_or_default();
            std::fs::write(root.join(format!("{}.gpu", run.id())), seen).unwrap();
            train(claim, stop, || {
                std::fs::read_dir(root)
                    .unwrap()
                    .flatten()
                    .filter(|file| file.path().extension().is_some_and(|end| end == "gpu"))
                    .count()
                    >= 4
            })
        }
        "sees-gpus" => {
            let seen = std::env::var("CUDA_VISIBLE_DEVICES").unwrap_or_default();
            std::fs::write(root.join(format!("{}.gpu", run.id())), seen).unwrap();
            train(claim, stop, || true)
        }
        "stubborn" => train_on(claim, || gate(root).exists()),
        "records" => {
            claim.fail("no such file\nhelp: make one").unwrap();
            1
        }
        "exits" => {
            complain("out of luck");
            7
        }
        "tells" => {
            worker::emit(&Event::failed("no space left for the result\nhelp: free some"));
            1
        }
        "panics" => panic!("the cache is full"),
        "aborts" => std::process::abort(),
        "runs-out-of-memory" => {
            let _ = std::io::stderr().write_all(b"memory allocation of 131072 bytes failed\n");
            std::process::abort()
        }
        "vanishes" => DONE,
        "finishes-then-aborts" => {
            claim.finish(&result(run.id(), 0.25)).unwrap();
            std::process::abort()
        }
        unknown => panic!("no behavior `{unknown}`"),
    }
}

/// Raises the limit on open files, and opens more than the first limit allowed.
fn raise_limit(root: &Path) -> i32 {
    let limit = raise_open_files();
    let files: Result<Vec<_>, _> = (0..200).map(|_| std::fs::File::open(root)).collect();
    println!("limit {limit:?}, opened {}", files.is_ok());
    DONE
}

/// Writes to standard error, which is the log, unless the disk is full.
fn complain(error: &str) {
    // In one piece: the sweep writes other lines into the same log.
    let _ = std::io::stderr().write_all(format!("error: {error}\nhelp: none\n").as_bytes());
}

/// Simulates a training: every step depends on all before it, and every third leaves a checkpoint.
fn train(claim: Claim, stop: &StopFlag, passes_gate: impl Fn() -> bool) -> i32 {
    let run = claim.run().clone();
    let resumed = run.read_checkpoint().map(|bytes| {
        let words: Vec<u64> = bytes.chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
        (words[0], words[1])
    });
    let mut journal = claim.journal(resumed.map(|(step, _)| step)).unwrap();
    let (mut step, mut state) = resumed.unwrap_or((0, 1));
    let save = |step: u64, state: u64| claim.write_checkpoint(&[step.to_le_bytes(), state.to_le_bytes()].concat());
    while step < STEPS {
        while step == GATE_AT && !stop.is_raised() && !passes_gate() {
            thread::sleep(Duration::from_millis(5));
        }
        if stop.is_raised() {
            save(step, state).unwrap();
            return stop.interrupted();
        }
        step += 1;
        state = state.wrapping_mul(6364136223846793005).wrapping_add(step);
        journal.append(step, &BTreeMap::from([("train/loss".into(), state as f64)])).unwrap();
        worker::emit(&Event::Epoch { epoch: step as usize, epochs: STEPS as usize, loss: 0.5, left: Some(1.0) });
        if step.is_multiple_of(3) {
            save(step, state).unwrap();
        }
    }
    claim.finish(&result(run.id(), state as f64 / u64::MAX as f64)).unwrap();
    DONE
}

/// Hangs in a step, and ignores requests to stop.
fn train_on(claim: Claim, passes_gate: impl Fn() -> bool) -> i32 {
    while !passes_gate() {
        thread::sleep(Duration::from_millis(5));
    }
    let run = claim.run().id().clone();
    claim.finish(&result(&run, 0.5)).unwrap();
    DONE
}
