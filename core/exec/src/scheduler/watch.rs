//! Progress from the journals of runs, for executors whose processes have no pipe to the scheduler.

use std::time::Duration;

use crate::Event;
use crate::{Job, Work};
use hashlab_store::{Point, RunDir};

/// Polling interval of the journals of a process without events.
const INTERVAL: Duration = Duration::from_secs(5);

/// The journals of a job's runs.
#[derive(Debug)]
pub(super) struct JournalWatch {
    runs: Vec<(RunDir, Option<Point>)>,
    /// Time since the process last reported, or the journals were last read.
    quiet: Duration,
}

impl JournalWatch {
    pub(super) fn new(runs: &[RunDir]) -> Self {
        Self { runs: runs.iter().map(|run| (run.clone(), run.metrics().pop())).collect(), quiet: Duration::ZERO }
    }

    /// Records that the process reported by itself.
    pub(super) fn reported(&mut self) {
        self.quiet = Duration::ZERO;
    }

    /// Returns the new points of the journals as events, once the process has not reported for a while.
    pub(super) fn new_events(&mut self, job: &Job, passed: Duration) -> Vec<Event> {
        self.quiet += passed;
        let Work::Runs { epochs, .. } = job.work else { return Vec::new() };
        if self.quiet < INTERVAL {
            return Vec::new();
        }
        self.quiet = Duration::ZERO;
        let mut events = Vec::new();
        for (run, seen) in &mut self.runs {
            let mut points = run.metrics();
            if points.last() == seen.as_ref() {
                continue;
            }
            // The last epoch and the last validation are points of their own.
            let recent = points.len().saturating_sub(2);
            for point in &points[recent..] {
                events.extend(Event::from_journal(point.step as usize, epochs.unwrap_or(0), &point.values));
            }
            *seen = points.pop();
        }
        events
    }
}
