//! Processes that the tests start, and the files that they share.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use hashlab_exec::{
    CommandLine, ExecEvent, Execution, Executor, Job, JobGraph, LocalExecutor, LocalOptions, Observer, Outcome,
    Program, Scheduler, StopRequests, Summary,
};
use hashlab_store::{RunDir, RunState, Store};
use rustix::process::{Pid, Signal, kill_process};

use crate::fixture::prepared;

pub(crate) const ROLE: &str = "TEST_ROLE";
pub(crate) const ROOT: &str = "TEST_ROOT";

/// Steps of a simulated training, and the one at which it waits until the gate is open.
pub(crate) const STEPS: u64 = 12;
pub(crate) const GATE_AT: u64 = 7;

/// Exit code of a sweep that was stopped.
pub(crate) const STOPPED: i32 = 130;

/// The file that lets gated processes pass.
pub(crate) fn gate(root: &Path) -> PathBuf {
    root.join("gate")
}

/// Creates a file; returns whether it was not there.
pub(crate) fn open_gate(path: &Path) -> bool {
    std::fs::File::create_new(path).is_ok()
}

fn command(program: &Program, root: &Path, role: &str) -> CommandLine {
    CommandLine {
        program: program.clone(),
        args: ["role", "--exact", "--ignored", "--nocapture", "--test-threads=1"].map(Into::into).into(),
        env: vec![(ROLE.into(), role.into()), (ROOT.into(), root.into())],
    }
}

/// This test program.
pub(crate) fn program() -> Program {
    Program::path(std::env::current_exe().unwrap())
}

/// A run with the given behavior.
pub(crate) fn job(root: &Path, seed: u64, behavior: &str) -> Job {
    job_of(&program(), root, seed, behavior)
}

pub(crate) fn job_of(program: &Program, root: &Path, seed: u64, behavior: &str) -> Job {
    let run = prepared(&Store::open(root), seed);
    Job::run(run, "nsh", "mAP@1000", command(program, root, behavior))
}

/// One process of several runs, seeded from 0, with the given behavior.
pub(crate) fn pack(root: &Path, count: u64, behavior: &str) -> Job {
    let command = command(&program(), root, behavior);
    Job::pack("pack", runs(root, count), "nsh", "mAP@1000", command)
}

/// A run per behavior, seeded from 0.
pub(crate) fn jobs(root: &Path, behaviors: &[&str]) -> Vec<Job> {
    (0..).zip(behaviors).map(|(seed, behavior)| job(root, seed, behavior)).collect()
}

/// A shared stage with the given behavior.
pub(crate) fn stage(root: &Path, behavior: &str) -> Job {
    Job::stage("features", "features of shapes", root.join("features.log"), command(&program(), root, behavior))
}

/// Jobs that need nothing.
pub(crate) fn graph(jobs: Vec<Job>) -> JobGraph {
    let mut graph = JobGraph::new();
    for job in jobs {
        graph.add(job, &[]);
    }
    graph
}

pub(crate) fn local(jobs: usize) -> LocalExecutor {
    let memory_advice = "fewer runs at once: --jobs 1".to_owned();
    LocalExecutor::new(LocalOptions { jobs: jobs.try_into().ok(), memory_advice, ..LocalOptions::default() })
}

/// An observer that calls a closure.
pub(crate) struct OnEvent<F>(pub(crate) F);

impl<F: FnMut(ExecEvent<'_>)> Observer for OnEvent<F> {
    fn on_event(&mut self, event: ExecEvent<'_>) {
        (self.0)(event);
    }
}

/// Executes jobs that need nothing, each with one part, in processes of this one.
pub(crate) fn execute(jobs: Vec<Job>, on_event: impl FnMut(ExecEvent<'_>)) -> Summary {
    execute_on(&graph(jobs), &mut local(2), on_event)
}

pub(crate) fn execute_on(
    graph: &JobGraph,
    executor: &mut dyn Executor,
    on_event: impl FnMut(ExecEvent<'_>),
) -> Summary {
    Scheduler::new(graph, executor, &mut OnEvent(on_event), StopRequests::new()).run()
}

/// The outcomes of jobs with one part each.
pub(crate) fn outcomes(summary: &Summary) -> Vec<&Outcome> {
    assert!(summary.outcomes.iter().all(|parts| parts.len() == 1));
    summary.outcomes.iter().flatten().collect()
}

/// The message of a failure.
pub(crate) fn message(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Failed { message } => message,
        other => panic!("{other:?}"),
    }
}

/// Execution in this sweep for a simulated duration.
pub(crate) fn here(seconds: u64) -> Execution {
    Execution::Here(Duration::from_secs(seconds))
}

/// A sweep in a process of its own; killed when dropped.
pub(crate) struct Sweep {
    child: Child,
    log: PathBuf,
}

impl Sweep {
    /// Starts a sweep with one run per behavior.
    pub(crate) fn start(root: &Path, behaviors: &[&str]) -> Self {
        Self::start_as(Command::new(std::env::current_exe().unwrap()), root, behaviors)
    }

    /// Starts a sweep by another command, to which the arguments are added.
    pub(crate) fn start_as(mut program: Command, root: &Path, behaviors: &[&str]) -> Self {
        let log = root.join("sweep.log");
        let line = command(&self::program(), root, &format!("sweep {}", behaviors.join(" ")));
        program.args(line.args).envs(line.env);
        program.stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
        // A copied program is busy until every process that another test forked meanwhile has closed the copy.
        let mut busy = 0;
        let child = loop {
            match program.spawn() {
                Err(error) if error.kind() == ErrorKind::ExecutableFileBusy && busy < 100 => busy += 1,
                spawned => break spawned.unwrap(),
            }
            thread::sleep(Duration::from_millis(20));
        };
        Self { child, log }
    }

    /// Its output so far.
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

/// Asserts that `runs` equal undisturbed runs, byte for byte.
pub(crate) fn assert_undisturbed(runs: &[RunDir]) {
    let calm = tempfile::tempdir().unwrap();
    let behaviors = vec!["trains"; runs.len()];
    assert_eq!(execute(jobs(calm.path(), &behaviors), |_| {}).unfinished(), 0);
    for (run, calm) in runs.iter().zip(crate::roles::runs(calm.path(), runs.len() as u64)) {
        for file in ["config.json", "result.json", "metrics.jsonl"] {
            let read = |run: &RunDir| std::fs::read(run.path().join(file)).unwrap();
            assert!(read(run) == read(&calm), "{file} of {}", run.id());
        }
    }
}

/// Runs a role of this test program by a shell script that ends in `exec "$@"`; returns what it prints.
pub(crate) fn shell(script: &str, root: &Path, role: &str) -> String {
    let line = command(&program(), root, role);
    let output = shell_command(script).args(line.args).envs(line.env).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// A shell that prepares something, then becomes this test program.
pub(crate) fn shell_command(script: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{script}; exec \"$0\" \"$@\"")]).arg(std::env::current_exe().unwrap());
    shell
}

/// Sends a signal to the process that executes the run.
pub(crate) fn signal_run(run: &RunDir, signal: Signal) {
    let pid = run.attempts().last().expect("an attempt has begun").pid;
    kill_process(Pid::from_raw(pid as i32).unwrap(), signal).unwrap();
}
