//! What the processes of the tests do, and how the tests start them.
#![allow(clippy::print_stdout, reason = "the processes have no other voice")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio, exit};
use std::thread;
use std::time::{Duration, Instant};

use hashlab_engine::exec::child::{self, BUSY, DONE, INTERRUPTED};
use hashlab_engine::exec::progress::Lines;
use hashlab_engine::exec::{CommandLine, Job, News, Observer, PoolOptions, StopFlag, Summary, run_all};
use hashlab_engine::store::{Claim, RunDir, RunState, Store};
use hashlab_engine::{Event, RunId};
use rustix::process::{Pid, Signal, kill_process};

use crate::fixture::{prepared, result};

const ROLE: &str = "TEST_ROLE";
const ROOT: &str = "TEST_ROOT";
const RUN: &str = "TEST_RUN";

/// Steps of a pretended training, and the one at which it waits until the gate is open.
pub(crate) const STEPS: u64 = 12;
const GATE_AT: u64 = 7;

/// Exit code of a sweep that was stopped.
pub(crate) const STOPPED: i32 = 130;

/// Becomes what the environment says.
pub(crate) fn play() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let root = PathBuf::from(std::env::var(ROOT).unwrap());
    // The test harness has begun a line, which would spoil the first event.
    println!();
    match role.strip_prefix("sweep ") {
        Some(behaviours) => exit(sweep(&root, behaviours)),
        None => exit(process(&root, &role)),
    }
}

/// A sweep with one run per behaviour; exits like the real one.
fn sweep(root: &Path, behaviours: &str) -> i32 {
    let behaviours: Vec<&str> = behaviours.split(' ').collect();
    let stop = StopFlag::install().unwrap();
    let summary = run_all(&jobs(root, &behaviours), &pool(2), &mut Lines::new(std::io::stderr()), &stop);
    match (summary.failed(), summary.unfinished()) {
        (_, 1..) => STOPPED,
        (1.., _) => 3,
        _ => 0,
    }
}

fn process(root: &Path, behaviour: &str) -> i32 {
    child::die_with_parent().unwrap();
    let stop = child::StopFlag::install().unwrap();
    match behaviour {
        "stage" => {
            for done in [1, 2] {
                child::emit(&Event::Stage { name: "features".into(), done, total: 2, unit: "images".into() });
            }
            return DONE;
        }
        "bad-stage" => {
            complain("no images");
            return 1;
        }
        "declines-once" if open_gate(&root.join("declined")) => return BUSY,
        _ => {}
    }
    let run = Store::open(root).run(&RunId(std::env::var(RUN).unwrap())).unwrap();
    let Some(claim) = run.try_claim().unwrap() else { return BUSY };
    match behaviour {
        "trains" | "declines-once" => train(claim, &stop, || true),
        "gated" => train(claim, &stop, || gate(root).exists()),
        "stubborn" => train_on(claim, || gate(root).exists()),
        "records" => {
            claim.fail("no such bank\nhelp: make one").unwrap();
            1
        }
        "exits" => {
            complain("out of luck");
            7
        }
        "panics" => panic!("the bank is short"),
        "aborts" => std::process::abort(),
        "vanishes" => DONE,
        "finishes-then-aborts" => {
            claim.finish(&result(run.id(), 0.25)).unwrap();
            std::process::abort()
        }
        unknown => panic!("no behaviour `{unknown}`"),
    }
}

/// Complains on standard error, which is the log, as long as the disk has room.
fn complain(error: &str) {
    // In one piece: the sweep writes other lines into the same log.
    let _ = std::io::stderr().write_all(format!("error: {error}\nhelp: none\n").as_bytes());
}

/// Pretends to train: every step depends on all before it, and every third leaves a checkpoint.
fn train(claim: Claim, stop: &child::StopFlag, passes_gate: impl Fn() -> bool) -> i32 {
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
            return INTERRUPTED;
        }
        step += 1;
        state = state.wrapping_mul(6364136223846793005).wrapping_add(step);
        journal.append(step, &BTreeMap::from([("train/loss".into(), state as f64)])).unwrap();
        child::emit(&Event::Epoch { epoch: step as usize, epochs: STEPS as usize, loss: 0.5, left: 1.0 });
        if step.is_multiple_of(3) {
            save(step, state).unwrap();
        }
    }
    claim.finish(&result(run.id(), state as f64 / u64::MAX as f64)).unwrap();
    DONE
}

/// Hangs in a step, deaf to requests to stop.
fn train_on(claim: Claim, passes_gate: impl Fn() -> bool) -> i32 {
    while !passes_gate() {
        thread::sleep(Duration::from_millis(5));
    }
    let run = claim.run().id().clone();
    claim.finish(&result(&run, 0.5)).unwrap();
    DONE
}

/// The file that lets gated processes pass.
pub(crate) fn gate(root: &Path) -> PathBuf {
    root.join("gate")
}

/// Creates a file; returns whether it was not there.
pub(crate) fn open_gate(path: &Path) -> bool {
    std::fs::File::create_new(path).is_ok()
}

fn command(root: &Path, role: &str, run: Option<&RunDir>) -> CommandLine {
    let mut env = vec![(ROLE.into(), role.into()), (ROOT.into(), root.into())];
    env.extend(run.map(|run| (RUN.into(), run.id().0.clone().into())));
    CommandLine {
        program: std::env::current_exe().unwrap(),
        args: ["role", "--exact", "--ignored", "--nocapture", "--test-threads=1"].map(Into::into).into(),
        env,
    }
}

/// A run that behaves as told.
pub(crate) fn job(root: &Path, seed: u64, behaviour: &str) -> Job {
    let run = prepared(&Store::open(root), seed);
    let command = command(root, behaviour, Some(&run));
    Job::run(run, "nsh", "mAP@1000", command)
}

/// A run per behaviour, seeded from 0.
pub(crate) fn jobs(root: &Path, behaviours: &[&str]) -> Vec<Job> {
    (0..).zip(behaviours).map(|(seed, behaviour)| job(root, seed, behaviour)).collect()
}

/// A shared stage that behaves as told.
pub(crate) fn stage(root: &Path, behaviour: &str) -> Job {
    Job::stage("features of shapes", root.join("features.log"), command(root, behaviour, None))
}

pub(crate) fn pool(parallel: usize) -> PoolOptions {
    PoolOptions { parallel: parallel.try_into().unwrap(), ..PoolOptions::default() }
}

/// Executes jobs in this process, telling `hear` what happens.
pub(crate) fn execute(jobs: &[Job], hear: impl FnMut(News<'_>)) -> Summary {
    struct Hear<F>(F);
    impl<F: FnMut(News<'_>)> Observer for Hear<F> {
        fn hear(&mut self, news: News<'_>) {
            (self.0)(news);
        }
    }
    run_all(jobs, &pool(2), &mut Hear(hear), &StopFlag::new())
}

/// A sweep in a process of its own; killed when dropped.
pub(crate) struct Sweep {
    child: Child,
    log: PathBuf,
}

impl Sweep {
    /// Starts a sweep with one run per behaviour.
    pub(crate) fn start(root: &Path, behaviours: &[&str]) -> Self {
        let log = root.join("sweep.log");
        let line = command(root, &format!("sweep {}", behaviours.join(" ")), None);
        let child = Command::new(line.program)
            .args(line.args)
            .envs(line.env)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// What it has printed.
    pub(crate) fn printed(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it ends; returns its exit code, `None` if it was killed.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        eventually("the sweep ends", || self.child.try_wait().unwrap().is_some());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Sweep {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `condition` holds, longer than any loaded machine needs.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Whether the run waits at the gate.
pub(crate) fn at_gate(run: &RunDir) -> bool {
    run.state() == RunState::Running && run.metrics().last().is_some_and(|point| point.step == GATE_AT)
}

/// The runs with the seeds from 0 to `count`.
pub(crate) fn runs(root: &Path, count: u64) -> Vec<RunDir> {
    (0..count).map(|seed| prepared(&Store::open(root), seed)).collect()
}

/// Asserts that `runs` have, byte for byte, what they have when nothing disturbs them.
pub(crate) fn assert_undisturbed(runs: &[RunDir]) {
    let calm = tempfile::tempdir().unwrap();
    let behaviours = vec!["trains"; runs.len()];
    assert_eq!(execute(&jobs(calm.path(), &behaviours), |_| {}).unfinished(), 0);
    for (run, calm) in runs.iter().zip(crate::roles::runs(calm.path(), runs.len() as u64)) {
        for file in ["config.json", "result.json", "metrics.jsonl"] {
            let read = |run: &RunDir| std::fs::read(run.path().join(file)).unwrap();
            assert!(read(run) == read(&calm), "{file} of {}", run.id());
        }
    }
}
