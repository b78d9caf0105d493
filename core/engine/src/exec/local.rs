//! The local executor: a pool of child processes.

use std::collections::VecDeque;
use std::mem;
use std::num::NonZeroUsize;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use signal_hook::consts::{SIGINT, SIGKILL, SIGTERM};

use super::child::{BUSY, DONE, INTERRUPTED};
use super::process::Process;
use super::{Job, News, Observer, Outcome, Stop, StopFlag, Summary};
use crate::store::{RunDir, RunState};

/// Between two looks at the children; short beside any run, long beside the looks.
const TICK: Duration = Duration::from_millis(20);

/// Between two looks at the runs that other processes hold.
const REVISIT: Duration = Duration::from_millis(500);

/// How much is done at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolOptions {
    /// Processes at once.
    pub parallel: NonZeroUsize,
    /// Threads that each computes with.
    pub threads_per_job: NonZeroUsize,
}

impl Default for PoolOptions {
    /// As many processes as cores, one thread each: separate runs share cores better than the threads of one run.
    fn default() -> Self {
        let cores = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self { parallel: cores, threads_per_job: NonZeroUsize::MIN }
    }
}

/// Executes `jobs`, and returns when each is done, has failed, or has been stopped. One failure stops nothing else.
///
/// Runs that are finished already are not executed. Runs that another process holds are looked at until it finishes
/// or gives them up. To be called from a thread that lives as long as the program, best the main thread: see
/// [`die_with_parent`](super::child::die_with_parent).
pub fn run_all(jobs: &[Job], options: &PoolOptions, observer: &mut dyn Observer, stop: &StopFlag) -> Summary {
    let mut pool = Pool::new(jobs, options, observer, stop);
    while pool.step() {
        thread::sleep(TICK);
    }
    pool.close()
}

struct Pool<'a> {
    jobs: &'a [Job],
    options: &'a PoolOptions,
    observer: &'a mut dyn Observer,
    stop: &'a StopFlag,
    /// What the children have been told so far.
    told: Stop,
    pending: VecDeque<usize>,
    running: Vec<Running>,
    /// Jobs whose runs other processes hold, and when they were last looked at.
    waiting: Vec<usize>,
    visited: Instant,
    outcomes: Vec<Option<Outcome>>,
}

struct Running {
    job: usize,
    process: Process,
    /// The run's attempts before this one: what is recorded under a higher number is new.
    attempts: u32,
}

/// What the end of a process means.
enum Verdict {
    Over(Outcome),
    /// Another process has the run.
    Held,
}

impl<'a> Pool<'a> {
    fn new(jobs: &'a [Job], options: &'a PoolOptions, observer: &'a mut dyn Observer, stop: &'a StopFlag) -> Self {
        let finished = |job: &Job| Some(Outcome::Finished(Box::new(job.dir()?.result()?)));
        let outcomes: Vec<_> = jobs.iter().map(finished).collect();
        let (done, pending): (Vec<_>, Vec<_>) = (0..jobs.len()).partition(|job| outcomes[*job].is_some());
        observer.hear(News::Begin { jobs, done: &done, parallel: options.parallel });
        let pending = pending.into();
        let (told, visited) = (Stop::No, Instant::now());
        Self { jobs, options, observer, stop, told, pending, running: vec![], waiting: vec![], visited, outcomes }
    }

    /// Does what there is to do now. Returns whether anything is left.
    fn step(&mut self) -> bool {
        self.heed_stop();
        if self.told == Stop::No {
            self.revisit();
            self.launch();
        }
        self.listen();
        self.reap();
        self.observer.hear(News::Tick);
        !(self.pending.is_empty() && self.running.is_empty() && self.waiting.is_empty())
    }

    fn close(self) -> Summary {
        self.observer.hear(News::Over);
        Summary { outcomes: self.outcomes.into_iter().map(|outcome| outcome.unwrap_or(Outcome::NotStarted)).collect() }
    }

    /// Passes a new request to stop on to the children.
    fn heed_stop(&mut self) {
        let asked = self.stop.level();
        if asked <= self.told {
            return;
        }
        self.told = asked;
        self.pending.clear();
        self.waiting.clear();
        self.observer.hear(News::Stopping { stop: asked, running: self.running.len() });
        match asked {
            Stop::AtOnce => self.kill_all(),
            _ => self.signal_all(Signal::TERM),
        }
    }

    fn signal_all(&self, signal: Signal) {
        self.running.iter().for_each(|running| running.process.signal(signal));
    }

    /// Kills every child, and waits for none longer than it takes to die.
    fn kill_all(&mut self) {
        self.signal_all(Signal::KILL);
        for mut running in mem::take(&mut self.running) {
            running.process.kill();
            let result = self.jobs[running.job].dir().and_then(RunDir::result);
            let outcome = result.map_or(Outcome::Interrupted, |result| Outcome::Finished(Box::new(result)));
            self.end(running.job, outcome, Some(running.process.age()));
        }
    }

    /// Looks again at the runs that other processes held.
    fn revisit(&mut self) {
        if self.visited.elapsed() < REVISIT {
            return;
        }
        self.visited = Instant::now();
        for job in mem::take(&mut self.waiting) {
            match self.jobs[job].dir().map(RunDir::state) {
                Some(RunState::Finished(result)) => self.end(job, Outcome::Finished(result), None),
                // Every attempt begins by removing the record of the last, so this one is the holder's.
                Some(RunState::Failed(failure)) => self.end(job, Outcome::Failed { message: failure.message }, None),
                Some(RunState::Running) => self.waiting.push(job),
                // The holder was stopped or killed: the run is ours.
                _ => self.pending.push_front(job),
            }
        }
    }

    fn launch(&mut self) {
        while self.running.len() < self.options.parallel.get() {
            let Some(job) = self.pending.pop_front() else { return };
            match self.jobs[job].dir().map(RunDir::state) {
                Some(RunState::Finished(result)) => self.end(job, Outcome::Finished(result), None),
                Some(RunState::Running) => self.wait(job),
                _ => self.start(job),
            }
        }
    }

    fn start(&mut self, index: usize) {
        let job = &self.jobs[index];
        let attempts = last_attempt(job);
        match Process::start(&job.command, self.options.threads_per_job.get(), &job.log) {
            Ok(process) => {
                self.running.push(Running { job: index, process, attempts });
                self.observer.hear(News::Started { job: index });
            }
            Err(error) => match record(job, error.to_string()) {
                Verdict::Over(outcome) => self.end(index, outcome, None),
                Verdict::Held => self.wait(index),
            },
        }
    }

    /// Passes on what the children tell.
    fn listen(&mut self) {
        for running in &self.running {
            for event in running.process.told() {
                self.observer.hear(News::Told { job: running.job, event: &event });
            }
        }
    }

    /// Settles the children that have ended.
    fn reap(&mut self) {
        let mut still = Vec::with_capacity(self.running.len());
        for mut running in mem::take(&mut self.running) {
            let Some(status) = running.process.ended() else {
                still.push(running);
                continue;
            };
            for event in running.process.told() {
                self.observer.hear(News::Told { job: running.job, event: &event });
            }
            match self.judge(&running, status) {
                Verdict::Over(outcome) => self.end(running.job, outcome, Some(running.process.age())),
                Verdict::Held => self.wait(running.job),
            }
        }
        self.running = still;
    }

    /// Decides what the end of a process means; for a run, its directory has the first word.
    fn judge(&self, running: &Running, status: ExitStatus) -> Verdict {
        let job = &self.jobs[running.job];
        if let Some(result) = job.dir().and_then(RunDir::result) {
            return Verdict::Over(Outcome::Finished(Box::new(result)));
        }
        // A child that had not yet installed its handler dies of the signal that asks it to stop.
        let obeyed = self.told != Stop::No && matches!(status.signal(), Some(SIGTERM | SIGINT | SIGKILL));
        match status.code() {
            Some(INTERRUPTED) => return Verdict::Over(Outcome::Interrupted),
            None if obeyed => return Verdict::Over(Outcome::Interrupted),
            Some(BUSY) if job.dir().is_some() => return Verdict::Held,
            Some(DONE) if job.dir().is_none() => return Verdict::Over(Outcome::StageDone),
            _ => {}
        }
        match job.dir().and_then(RunDir::failure) {
            Some(failure) if failure.attempt > running.attempts => {
                Verdict::Over(Outcome::Failed { message: failure.message })
            }
            _ => record(job, running.process.epitaph(status, &job.log)),
        }
    }

    /// Puts off a run that another process holds.
    fn wait(&mut self, job: usize) {
        if self.told == Stop::No {
            self.waiting.push(job);
            self.observer.hear(News::Waiting { job });
        }
    }

    fn end(&mut self, job: usize, outcome: Outcome, took: Option<Duration>) {
        self.observer.hear(News::Ended { job, outcome: &outcome, took });
        self.outcomes[job] = Some(outcome);
    }
}

/// Records a failure that the process could not record itself, unless another process has the run by now.
fn record(job: &Job, message: String) -> Verdict {
    match job.dir().map(|dir| dir.record_crash(&message)) {
        Some(Ok(None)) => return Verdict::Held,
        Some(Err(error)) => tracing::warn!("cannot record why `{}` failed: {error}", job.title),
        Some(Ok(Some(_))) | None => {}
    }
    Verdict::Over(Outcome::Failed { message })
}

fn last_attempt(job: &Job) -> u32 {
    job.dir().and_then(|dir| dir.attempts().last().map(|attempt| attempt.attempt)).unwrap_or(0)
}
