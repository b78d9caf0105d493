//! The local executor: child processes of this one.

mod exit_report;
mod limit;
mod options;
mod process;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use signal_hook::consts::SIGKILL;

use super::signals::{STOPPING, name};
use super::worker::{BUSY, DONE, INTERRUPTED};
use super::{Executor, Exit, Handle, Job, Retry, SubmitError, Update, Urgency};
use crate::Event;
use crate::limits::keep_exits_of_children;
use exit_report::exit_report;
use hashlab_store::RunDir;
pub use limit::Limits;
use limit::{Verdict, Watch};
pub use options::LocalOptions;
use process::{Process, Start};

/// Polling interval of the children; short compared with any run, long compared with the polling.
const PAUSE: Duration = Duration::from_millis(20);

/// The same where a child is about to end.
const ENDING: Duration = Duration::from_millis(1);

/// Time after which a child without events counts as begun.
const SILENCE: Duration = Duration::from_secs(1);

/// Time to wait for a killed child: one that hangs in the kernel must not block the sweep.
const REAP: Duration = Duration::from_secs(2);

/// Executes each job in a child process, the leader of its own process group.
///
/// The children die with the *thread* that submits them, so that should be the main thread. Dropped, the executor
/// kills them.
pub struct LocalExecutor {
    options: LocalOptions,
    children: BTreeMap<Handle, Child>,
    next: u64,
    /// A word from each child that closes its output.
    closed: (Sender<()>, Receiver<()>),
}

struct Child {
    process: Process,
    /// Whether it extracts features, rather than executing a run.
    stage: bool,
    /// The GPUs that it sees, by their numbers among those of the options.
    gpus: Vec<usize>,
    announced: bool,
    watch: Watch,
    /// The most urgent request to stop, and its time.
    cancelled: Option<(Urgency, Instant)>,
    /// The signal that it reported.
    received: Option<String>,
}

impl LocalExecutor {
    /// Creates an executor without children.
    pub fn new(options: LocalOptions) -> Self {
        keep_exits_of_children();
        Self { options, children: BTreeMap::new(), next: 0, closed: channel() }
    }

    /// The `count` GPUs with the fewest jobs, the first ones of equals, in the order of the options.
    fn free_gpus(&self, count: usize) -> Vec<usize> {
        let jobs = |gpu: &usize| self.children.values().filter(|child| child.gpus.contains(gpu)).count();
        let mut gpus: Vec<usize> = (0..self.options.gpus.len()).collect();
        gpus.sort_by_key(jobs);
        gpus.truncate(count);
        gpus.sort_unstable();
        gpus
    }
}

impl Executor for LocalExecutor {
    fn capacity(&self) -> NonZeroUsize {
        self.options.capacity()
    }

    fn slots(&self, job: &Job) -> NonZeroUsize {
        self.options.share(job).slots
    }

    fn memory(&self) -> Option<u64> {
        self.options.memory
    }

    fn submit(&mut self, job: &Job, runs: &[RunDir], retry: Option<Retry>) -> Result<Handle, SubmitError> {
        let ids: Vec<OsString> = runs.iter().map(|run| run.id().to_string().into()).collect();
        let gpus = self.free_gpus(job.gpus);
        let visible: Vec<&str> = gpus.iter().map(|gpu| self.options.gpus[*gpu].as_str()).collect();
        let start = Start {
            command: &job.command,
            runs: &ids,
            threads: if retry.is_some_and(Retry::is_single_threaded) {
                1
            } else {
                self.options.share(job).threads.get()
            },
            gpus: (!visible.is_empty()).then(|| visible.join(",")),
            log: &job.log,
            retry: retry.map(Retry::describe),
            closed: self.closed.0.clone(),
        };
        let process = start.process().map_err(|error| SubmitError(error.to_string()))?;
        let handle = Handle(self.next);
        self.next += 1;
        self.children.insert(
            handle,
            Child {
                process,
                stage: job.is_stage(),
                gpus,
                announced: false,
                watch: Watch::default(),
                cancelled: None,
                received: None,
            },
        );
        Ok(handle)
    }

    fn poll(&mut self) -> Vec<(Handle, Update)> {
        let mut updates = Vec::new();
        let mut exited = Vec::new();
        for (handle, child) in &mut self.children {
            child.enforce(&self.options);
            // Read before the events, so that those of an exited child are complete.
            let end = child.end();
            let events = child.events();
            let exit = end.map(|end| child.exit(end, &self.options));
            // A child whose run is held by another process has not begun.
            let begun = !events.is_empty() || child.process.age() > SILENCE || exit.is_some();
            if begun && exit != Some(Exit::Busy) && !std::mem::replace(&mut child.announced, true) {
                updates.push((*handle, Update::Started));
            }
            updates.extend(events.into_iter().map(|event| (*handle, Update::Event(event))));
            if let Some(exit) = exit {
                updates.push((*handle, Update::Exited { exit, took: child.process.age() }));
                exited.push(*handle);
            }
        }
        exited.iter().for_each(|handle| drop(self.children.remove(handle)));
        updates
    }

    fn cancel(&mut self, handle: Handle, urgency: Urgency) {
        let Some(child) = self.children.get_mut(&handle) else { return };
        child.cancelled = Some((urgency, Instant::now()));
        child.process.signal(match urgency {
            Urgency::Gently => Signal::TERM,
            Urgency::AtOnce => Signal::KILL,
        });
    }

    fn pause(&mut self) -> Duration {
        let started = Instant::now();
        let ending = self.children.values().any(|child| child.process.ends());
        // A child that ends is noticed at once, so that its slot is not idle: short runs would wait longer than they take.
        let _ = self.closed.1.recv_timeout(if ending { ENDING } else { PAUSE });
        started.elapsed()
    }
}

/// Advice for an extraction that ran out of memory: no other job runs beside it.
const STAGE_MEMORY: &str = "features are extracted by one process at a time, so that only more free memory helps: close \
                            other programs, or ask for smaller images";

/// End of a child.
#[derive(Clone, Copy)]
enum End {
    Exited(ExitStatus),
    /// It was killed, and hangs in the kernel.
    Hanging,
}

impl Child {
    fn events(&mut self) -> Vec<Event> {
        let events = self.process.events();
        for event in &events {
            if let Event::Interrupted { signal } = event {
                self.received = Some(signal.clone());
            }
        }
        events
    }

    /// Stops a child that exceeds a limit: gently, so that training leaves a checkpoint, and then by force.
    fn enforce(&mut self, options: &LocalOptions) {
        if self.stage {
            return;
        }
        match self.watch.judge(options.limits, self.process.age(), self.process.pid()) {
            Verdict::Nothing => {}
            Verdict::Stop => self.process.signal(Signal::TERM),
            Verdict::Kill => self.process.signal(Signal::KILL),
        }
    }

    fn end(&mut self) -> Option<End> {
        if let Some(status) = self.process.ended() {
            return Some(End::Exited(status));
        }
        let killed = self.cancelled.filter(|(urgency, _)| *urgency == Urgency::AtOnce);
        killed.filter(|(_, at)| at.elapsed() > REAP).map(|_| End::Hanging)
    }

    fn exit(&self, end: End, options: &LocalOptions) -> Exit {
        let End::Exited(status) = end else {
            return Exit::Interrupted { reason: "killed, but it hangs in the kernel".to_owned() };
        };
        if let Some(message) = self.watch.exceeded().filter(|_| status.code() != Some(DONE) && self.cancelled.is_none())
        {
            return Exit::Failed { message: message.to_owned() };
        }
        match (status.code(), status.signal()) {
            (Some(DONE), _) => Exit::Done,
            (Some(BUSY), _) => Exit::Busy,
            (Some(INTERRUPTED), _) => {
                let reason = self.received.as_ref().map(|signal| format!("received {signal}"));
                Exit::Interrupted { reason: reason.unwrap_or_else(|| "asked to stop".to_owned()) }
            }
            // The signal arrived before its handler was installed.
            (_, Some(signal)) if STOPPING.contains(&signal) => {
                Exit::Interrupted { reason: format!("killed by {}", name(signal)) }
            }
            (_, Some(SIGKILL)) if self.cancelled.is_some() => Exit::Interrupted { reason: "killed".to_owned() },
            _ => {
                let process = &self.process;
                let advice = if self.stage { STAGE_MEMORY } else { &options.memory_advice };
                exit_report(status, &process.log, process.log_start, advice)
            }
        }
    }
}
