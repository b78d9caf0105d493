//! The scheduler: submission of a graph's jobs, and the consequences of their ends for others.

mod exits;
mod needs;
mod retries;
mod state;
mod watch;

use std::collections::BTreeSet;
use std::time::Duration;

use super::{
    ExecEvent, Execution, Executor, JobGraph, JobId, Observer, Outcome, StopRequests, Summary, Update, Urgency,
};
use hashlab_store::{RunDir, RunState, counted};
use state::{Attempt, Doom, Phase, State, Submitted};
use watch::JournalWatch;

/// Polling interval of the runs that other processes hold.
const REVISIT: Duration = Duration::from_millis(500);

/// Executes a graph of jobs. Each job starts when all jobs that it needs are done and the executor has room for it. A
/// failure stops only the jobs that need the failed one.
///
/// Finished runs are not executed again. For runs that another process holds, the scheduler waits until that process
/// finishes or releases them.
pub struct Scheduler<'a> {
    graph: &'a JobGraph,
    executor: &'a mut dyn Executor,
    observer: &'a mut dyn Observer,
    stop: StopRequests,
    prepare: Box<Prepare<'a>>,
    state: State,
    /// The urgency with which the jobs were cancelled.
    stopping: Option<Urgency>,
    /// Number of failures after which no other job is started.
    most_failures: Option<usize>,
    /// Number of times that a job is repeated.
    most_retries: usize,
    since_revisit: Duration,
    /// Failures whose reason could not be written into the run's directory.
    unrecorded: usize,
}

/// Prepares a run's directory.
type Prepare<'a> = dyn FnMut(&RunDir) -> Result<(), String> + 'a;

impl<'a> Scheduler<'a> {
    /// Creates a scheduler. With a [`LocalExecutor`](super::LocalExecutor) it must run on a thread that lives as long
    /// as the program, best the main thread: the processes die with it.
    pub fn new(
        graph: &'a JobGraph,
        executor: &'a mut dyn Executor,
        observer: &'a mut dyn Observer,
        stop: StopRequests,
    ) -> Self {
        let state = State::new(graph);
        let prepare = Box::new(|_: &RunDir| Ok(()));
        Self {
            graph,
            executor,
            observer,
            stop,
            prepare,
            state,
            stopping: None,
            most_failures: None,
            most_retries: 0,
            since_revisit: Duration::ZERO,
            unrecorded: 0,
        }
    }

    /// Prepares each run just before it is submitted, or before the stage that reads its configuration, so that a large
    /// sweep starts at once. A run that cannot be prepared has failed, and so has the stage.
    #[must_use]
    pub fn prepare_runs(mut self, prepare: impl FnMut(&RunDir) -> Result<(), String> + 'a) -> Self {
        self.prepare = Box::new(prepare);
        self
    }

    /// Stops gently after this many failures of runs and stages, those included that are dropped because of another.
    /// Without it, a failure stops only the jobs that need the failed one.
    #[must_use]
    pub fn stop_after_failures(mut self, most: Option<usize>) -> Self {
        self.most_failures = most;
        self
    }

    /// Repeats each job that failed for a reason that may pass at most so many times: see [`Retry`](crate::Retry).
    #[must_use]
    pub fn retry(mut self, times: usize) -> Self {
        self.most_retries = times;
        self
    }

    /// Executes the graph, and returns when every job is done, has failed or has been stopped.
    pub fn run(mut self) -> Summary {
        self.begin();
        while self.step() {
            let passed = self.executor.pause();
            self.since_revisit += passed;
            self.state.pass(passed);
            self.read_journals(passed);
        }
        self.observer.on_event(ExecEvent::Over);
        if let more @ 1.. = self.unrecorded.saturating_sub(1) {
            tracing::warn!("cannot record why {} failed, either", counted(more, "more run"));
        }
        Summary { stop_requested: self.stop.urgency().is_some(), outcomes: self.state.into_outcomes() }
    }

    fn begin(&mut self) {
        let capacity = self.executor.capacity();
        let slots: Vec<_> = self.graph.jobs().iter().map(|job| self.executor.slots(job).min(capacity)).collect();
        let mut done = Vec::new();
        for id in self.graph.ids() {
            for (part, dir) in self.graph.job(id).dirs().iter().enumerate() {
                if let Some(result) = dir.result() {
                    self.state.end(id, part, Outcome::from(&result));
                    done.push((id, part));
                }
            }
        }
        for id in self.state.unneeded_stages(self.graph) {
            self.state.end(id, 0, Outcome::StageDone);
            done.push((id, 0));
        }
        self.observer.on_event(ExecEvent::Begin { graph: self.graph, done: &done, capacity, slots: &slots });
        self.state.slots = slots.iter().map(|slots| slots.get()).collect();
        let jobs: BTreeSet<JobId> = done.into_iter().map(|(id, _)| id).collect();
        jobs.into_iter().for_each(|id| self.settle(id));
    }

    /// Does all work that is due. Returns whether any is left.
    fn step(&mut self) -> bool {
        self.check_stop();
        for (handle, update) in self.executor.poll() {
            self.on_update(handle, update);
        }
        // A failure among the updates may have been the last one that is allowed.
        self.check_stop();
        if self.stopping.is_none() {
            self.revisit();
            self.submit_ready();
        }
        self.observer.on_event(ExecEvent::Tick);
        self.state.open > 0
    }

    /// Carries out a new request to stop.
    fn check_stop(&mut self) {
        let failures = self.most_failures.filter(|most| self.state.failures >= *most);
        let requested = self.stop.urgency().max(failures.map(|_| Urgency::Gently));
        let Some(urgency) = requested.filter(|_| requested > self.stopping) else { return };
        self.stopping = requested;
        let running = self.state.submitted.len();
        self.observer.on_event(ExecEvent::Stopping { urgency, running, failures });
        for id in self.state.unsubmitted() {
            for part in self.state.open_parts(id) {
                let reason = self.gave_up();
                self.end(id, part, Outcome::NotStarted { reason }, Execution::Never);
            }
            self.state.close(id);
        }
        self.state.submitted.keys().for_each(|handle| self.executor.cancel(*handle, urgency));
    }

    /// The reason of a stop, unless the user asked for it.
    fn gave_up(&self) -> Option<String> {
        let failures = self.state.failures;
        self.stop.urgency().is_none().then(|| format!("stopped after {}", counted(failures, "failure")))
    }

    /// Submits ready jobs in the graph's order, until the next one does not fit: otherwise smaller jobs could delay a
    /// job that takes all slots for ever.
    fn submit_ready(&mut self) {
        let capacity = self.executor.capacity().get();
        while let Some(id) = self.state.ready.first().copied() {
            if self.state.used + self.slots(id) > capacity || !self.memory_suffices(id) {
                return;
            }
            self.state.ready.remove(&id);
            self.launch(id);
        }
    }

    /// Submits a job with those of its runs that are neither running elsewhere nor finished.
    fn launch(&mut self, id: JobId) {
        let job = self.graph.job(id);
        let mut attempts = Vec::new();
        for part in self.state.open_parts(id) {
            let Some(dir) = job.dirs().get(part) else {
                match job.reads.as_ref().map_or(Ok(()), |dir| (self.prepare)(dir)) {
                    Ok(()) => attempts.push(Attempt { part, before: 0 }),
                    Err(message) => self.fail(id, part, message, Execution::Never),
                }
                continue;
            };
            match dir.state() {
                RunState::Finished(result) => self.end(id, part, Outcome::from(&*result), Execution::Elsewhere),
                RunState::Running => self.hold(id, part),
                RunState::Stopped { epoch } if job.until().is_some_and(|until| epoch >= until) => {
                    self.end(id, part, Outcome::Stopped { epoch }, Execution::Elsewhere);
                }
                _ => match (self.prepare)(dir) {
                    Ok(()) => attempts.push(Attempt { part, before: last_attempt(dir) }),
                    Err(message) => self.fail(id, part, message, Execution::Never),
                },
            }
        }
        if attempts.is_empty() {
            return self.rest(id);
        }
        let runs: Vec<RunDir> = attempts.iter().filter_map(|attempt| job.dirs().get(attempt.part)).cloned().collect();
        match self.executor.submit(job, &runs, self.state.retries.get(&id).copied()) {
            Ok(handle) => {
                let (slots, memory) = (self.slots(id), job.memory.unwrap_or(0));
                self.state.used += slots;
                self.state.memory += memory;
                self.state.phases[id.index()] = Phase::Submitted;
                let watch = JournalWatch::new(&runs);
                self.state.submitted.insert(handle, Submitted { id, slots, memory, attempts, failures: vec![], watch });
            }
            Err(error) => {
                for attempt in attempts {
                    self.fail(id, attempt.part, error.to_string(), Execution::Never);
                }
                self.rest(id);
            }
        }
    }

    fn on_update(&mut self, handle: super::Handle, update: Update) {
        let Some(submitted) = self.state.submitted.get_mut(&handle) else { return };
        let id = submitted.id;
        match update {
            Update::Started => self.observer.on_event(ExecEvent::Started { id, job: self.graph.job(id) }),
            Update::Event(event) => {
                submitted.note(&event);
                self.observer.on_event(ExecEvent::Progress { id, job: self.graph.job(id), event: &event });
            }
            Update::Exited { exit, took } => self.on_exit(handle, exit, took),
        }
    }

    /// Reads progress from the journals of runs whose processes send no events.
    fn read_journals(&mut self, passed: Duration) {
        for submitted in self.state.submitted.values_mut() {
            let (id, job) = (submitted.id, self.graph.job(submitted.id));
            for event in submitted.watch.new_events(job, passed) {
                self.observer.on_event(ExecEvent::Progress { id, job, event: &event });
            }
        }
    }

    /// Checks the runs that other processes held again.
    fn revisit(&mut self) {
        if self.since_revisit < REVISIT {
            return;
        }
        self.since_revisit = Duration::ZERO;
        for id in self.state.held.clone() {
            let (mut free, mut held) = (Vec::new(), false);
            for part in self.state.open_parts(id) {
                match self.graph.job(id).dirs()[part].state() {
                    RunState::Finished(result) => self.end(id, part, Outcome::from(&*result), Execution::Elsewhere),
                    // Every attempt begins by removing the last failure's record, so this one belongs to the holder.
                    RunState::Failed(failure) => {
                        self.end(id, part, Outcome::Failed { message: failure.message }, Execution::Elsewhere);
                    }
                    RunState::Running => held = true,
                    // The holder was stopped or killed.
                    _ => free.push(part),
                }
            }
            match self.state.doomed.get(&id).cloned() {
                Some(doom) => free.into_iter().for_each(|part| self.doom_part(id, part, &doom, Execution::Dropped)),
                None if !free.is_empty() => self.state.make_ready(id),
                None => {}
            }
            if !held {
                self.settle(id);
            }
        }
    }

    /// Waits for a run that another process holds.
    fn hold(&mut self, id: JobId, part: usize) {
        if self.state.announced.insert((id, part)) {
            self.observer.on_event(ExecEvent::Waiting { id, job: self.graph.job(id), part });
        }
    }

    /// Sets a job without a process aside: until its held runs are free, or for good.
    fn rest(&mut self, id: JobId) {
        if self.state.open_parts(id).is_empty() {
            self.settle(id);
        } else {
            self.state.put_on_hold(id);
        }
    }

    /// Ends a run or a stage, and records the failure of a run unless another process has claimed it.
    fn fail(&mut self, id: JobId, part: usize, message: String, execution: Execution) {
        let graph = self.graph;
        let recorded = graph.job(id).dirs().get(part).map(|dir| {
            // A run that is dropped before its turn has no directory yet. An error of its preparation shows below.
            let _ = (self.prepare)(dir);
            dir.record_crash(&message)
        });
        match recorded {
            Some(Ok(None)) => return self.hold(id, part),
            Some(Err(error)) => {
                if self.unrecorded == 0 {
                    tracing::warn!("cannot record why `{}` failed: {error}", self.graph.job(id).part_title(part));
                }
                self.unrecorded += 1;
            }
            Some(Ok(Some(_))) | None => {}
        }
        self.end(id, part, Outcome::Failed { message }, execution);
    }

    fn end(&mut self, id: JobId, part: usize, outcome: Outcome, execution: Execution) {
        let job = self.graph.job(id);
        self.observer.on_event(ExecEvent::Ended { id, job, part, outcome: &outcome, execution });
        self.state.end(id, part, outcome);
    }
}

/// The number of a run's last attempt: a failure that is recorded under a higher number is new.
fn last_attempt(dir: &RunDir) -> u32 {
    dir.attempts().last().map_or(0, |attempt| attempt.attempt)
}
