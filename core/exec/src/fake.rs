//! An executor for tests, of the scheduler and of programs that embed it: scripted outcomes, virtual time.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::{Cores, Executor, Exit, Handle, Job, Retry, SubmitError, Update, Urgency};
use crate::Event;
use hashlab_store::RunDir;

/// The longest pause, in virtual time.
const PAUSE: Duration = Duration::from_secs(1);

/// Action of a scripted job on its runs at its end, e.g. writing results.
pub type Action = Box<dyn FnMut(&[RunDir])>;

/// The course of a scripted job.
pub struct Script {
    after: Duration,
    events: Vec<Event>,
    action: Option<Action>,
    end: Result<Exit, SubmitError>,
    deaf: bool,
}

impl Script {
    fn new(end: Result<Exit, SubmitError>) -> Self {
        Self { after: Duration::from_secs(1), events: Vec::new(), action: None, end, deaf: false }
    }

    /// Ends with `exit` after a second.
    pub fn ending(exit: Exit) -> Self {
        Self::new(Ok(exit))
    }

    /// Ends well.
    pub fn done() -> Self {
        Self::ending(Exit::Done)
    }

    /// Ends badly.
    pub fn failing(message: &str) -> Self {
        Self::ending(Exit::Failed { message: message.to_owned() })
    }

    /// Cannot be submitted.
    pub fn refused(message: &str) -> Self {
        Self::new(Err(SubmitError(message.to_owned())))
    }

    /// Ends after `time`.
    #[must_use]
    pub fn after(mut self, time: Duration) -> Self {
        self.after = time;
        self
    }

    /// Reports an event when it starts.
    #[must_use]
    pub fn reporting(mut self, event: Event) -> Self {
        self.events.push(event);
        self
    }

    /// Applies an action to its runs just before it ends.
    #[must_use]
    pub fn doing(mut self, action: impl FnMut(&[RunDir]) + 'static) -> Self {
        self.action = Some(Box::new(action));
        self
    }

    /// Ignores a gentle request to stop.
    #[must_use]
    pub fn deaf(mut self) -> Self {
        self.deaf = true;
        self
    }
}

impl Default for Script {
    fn default() -> Self {
        Self::done()
    }
}

/// Executor that plays scripts instead of starting processes. A job without a script is done after a second.
#[derive(Default)]
pub struct FakeExecutor {
    capacity: usize,
    scripts: BTreeMap<String, VecDeque<Script>>,
    running: BTreeMap<Handle, Playing>,
    updates: Vec<(Handle, Update)>,
    submitted: Vec<Arc<str>>,
    retries: Vec<Retry>,
    memory: Option<u64>,
    now: Duration,
}

struct Playing {
    script: Script,
    runs: Vec<RunDir>,
    began: Duration,
    ends: Duration,
}

impl FakeExecutor {
    /// Creates an executor with `capacity` slots, at least one. A job with [`Cores::All`] takes all of them.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, ..Self::default() }
    }

    /// Adds the course of a job's next submission; jobs are named by their titles.
    pub fn script(&mut self, title: &str, script: Script) {
        self.scripts.entry(title.to_owned()).or_default().push_back(script);
    }

    /// Returns the titles of the submitted jobs, in order.
    pub fn submitted(&self) -> &[Arc<str>] {
        &self.submitted
    }

    /// Limits the memory of all jobs together.
    #[must_use]
    pub fn with_memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// Returns the repetitions that were submitted, in order.
    pub fn retries(&self) -> &[Retry] {
        &self.retries
    }

    /// Returns the virtual time.
    pub fn now(&self) -> Duration {
        self.now
    }
}

impl Executor for FakeExecutor {
    fn capacity(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.capacity).unwrap_or(NonZeroUsize::MIN)
    }

    fn slots(&self, job: &Job) -> NonZeroUsize {
        match job.cores {
            Cores::One => NonZeroUsize::MIN,
            Cores::All => self.capacity(),
        }
    }

    fn memory(&self) -> Option<u64> {
        self.memory
    }

    fn submit(&mut self, job: &Job, runs: &[RunDir], retry: Option<Retry>) -> Result<Handle, SubmitError> {
        let handle = Handle(self.submitted.len() as u64);
        self.retries.extend(retry);
        self.submitted.push(Arc::clone(&job.title));
        let mut script = self.scripts.get_mut(&*job.title).and_then(VecDeque::pop_front).unwrap_or_default();
        script.end.clone()?;
        self.updates.push((handle, Update::Started));
        self.updates.extend(script.events.drain(..).map(|event| (handle, Update::Event(event))));
        let playing = Playing { began: self.now, ends: self.now + script.after, script, runs: runs.to_vec() };
        self.running.insert(handle, playing);
        Ok(handle)
    }

    fn poll(&mut self) -> Vec<(Handle, Update)> {
        let mut updates = std::mem::take(&mut self.updates);
        let due: Vec<Handle> = self.running.iter().filter(|(_, job)| job.ends <= self.now).map(|(at, _)| *at).collect();
        for handle in due {
            let Some(mut job) = self.running.remove(&handle) else { continue };
            if let Some(action) = &mut job.script.action {
                action(&job.runs);
            }
            if let Ok(exit) = job.script.end {
                updates.push((handle, Update::Exited { exit, took: self.now - job.began }));
            }
        }
        updates
    }

    fn cancel(&mut self, handle: Handle, urgency: Urgency) {
        if let Some(job) = self.running.get_mut(&handle)
            && (urgency == Urgency::AtOnce || !job.script.deaf)
        {
            job.ends = self.now;
            job.script.action = None;
            job.script.end = Ok(Exit::Interrupted { reason: "cancelled".to_owned() });
        }
    }

    fn pause(&mut self) -> Duration {
        let next = self.running.values().map(|job| job.ends.saturating_sub(self.now)).min();
        let passed = if self.updates.is_empty() { next.unwrap_or(PAUSE).min(PAUSE) } else { Duration::ZERO };
        self.now += passed;
        passed
    }
}
