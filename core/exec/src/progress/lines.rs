//! Plain lines, for logs and pipes.

use std::io::Write;
use std::time::{Duration, Instant};

use super::board::Board;
use super::phrases::{dropped, ending, memory_short, note, retrying, stopping, waiting};
use super::{ExecEvent, Observer};
use crate::{Event, JobGraph, JobId};
use hashlab_store::counted;

/// Interval between two summaries.
const INTERVAL: Duration = Duration::from_secs(30);

/// Prints a line when a job starts or ends, and a summary at intervals.
#[derive(Debug)]
pub struct Lines<W> {
    out: W,
    board: Board,
    interval: Duration,
    summed_up: Instant,
}

impl<W: Write> Lines<W> {
    /// Prints to `out`.
    pub fn new(out: W) -> Self {
        Self { out, board: Board::default(), interval: INTERVAL, summed_up: Instant::now() }
    }

    fn print(&mut self, line: &str) {
        // In one piece, because other processes may write to the same terminal. A closed output is no reason to stop.
        let _ = self.out.write_all(format!("{line}\n").as_bytes()).and_then(|()| self.out.flush());
    }

    fn begin(&mut self, graph: &JobGraph, done: &[(JobId, usize)], capacity: usize) {
        let stages = graph.jobs().iter().filter(|job| job.is_stage()).count();
        let runs = self.board.total - stages - done.len();
        let some = |count: usize, noun: &str| (count > 0).then(|| counted(count, noun));
        let parts: Vec<String> = some(stages, "shared stage").into_iter().chain(some(runs, "run")).collect();
        let before = if done.is_empty() { String::new() } else { format!(", {} finished before", done.len()) };
        let at_once = if runs > 1 { format!(", {capacity} at once") } else { String::new() };
        self.print(&format!("{} to do{before}{at_once}", parts.join(" and ")));
        self.summed_up = Instant::now();
    }

    fn sum_up(&mut self) {
        if self.summed_up.elapsed() < self.interval {
            return;
        }
        self.summed_up = Instant::now();
        self.print(&format!("{}/{} ended, {}", self.board.ended(), self.board.total, self.board.overall()));
        let running: Vec<String> =
            self.board.running.values().map(|row| format!("  {} {}", row.title, row.activity())).collect();
        running.iter().for_each(|line| self.print(line));
    }
}

impl<W: Write> Observer for Lines<W> {
    fn on_event(&mut self, event: ExecEvent<'_>) {
        self.board.note(event);
        match event {
            ExecEvent::Begin { graph, done, capacity, .. } => self.begin(graph, done, capacity.get()),
            ExecEvent::Started { job, .. } => self.print(&format!("{} started", job.title)),
            ExecEvent::Waiting { job, part, .. } => {
                self.print(&waiting(job, part));
            }
            ExecEvent::Retrying { job, message, retry, .. } => self.print(&retrying(job, message, retry)),
            ExecEvent::MemoryShort { job, needs, memory, running } => {
                self.print(&memory_short(job, needs, memory, running));
            }
            ExecEvent::Ended { job, part, outcome, execution, .. } => {
                if let Some(text) = ending(job, part, outcome, execution) {
                    self.print(&format!("[{}/{}] {text}", self.board.ended(), self.board.total));
                }
            }
            ExecEvent::Dropped { job, runs, .. } => self.print(&dropped(job, runs)),
            ExecEvent::Stopping { urgency, running, failures } => self.print(&stopping(urgency, running, failures)),
            ExecEvent::Progress { job, event: Event::Note { message }, .. } => self.print(&note(job, message)),
            ExecEvent::Tick => self.sum_up(),
            ExecEvent::Progress { .. } | ExecEvent::Exited { .. } | ExecEvent::Over => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::{CommandLine, Execution, Job, Outcome, Program};

    #[test]
    fn summaries_say_where_all_stand() {
        let command = CommandLine { program: Program::path("true"), args: vec![], env: vec![] };
        let mut graph = JobGraph::new();
        let ids = ["a", "b", "c", "d"].map(|title| graph.add(Job::stage("x", title, title, command.clone()), &[]));
        let job = |at: usize| graph.job(ids[at]);
        let one = NonZeroUsize::MIN;
        let mut lines = Lines { interval: Duration::ZERO, ..Lines::new(Vec::new()) };
        let capacity = NonZeroUsize::new(2).unwrap();
        lines.on_event(ExecEvent::Begin { graph: &graph, done: &[(ids[0], 0)], capacity, slots: &[one; 4] });
        let outcome = &Outcome::Failed { message: "no".into() };
        let (part, execution) = (0, Execution::Never);
        lines.on_event(ExecEvent::Ended { id: ids[1], job: job(1), part, outcome, execution });
        lines.on_event(ExecEvent::Started { id: ids[2], job: job(2) });
        lines.on_event(ExecEvent::Tick);
        let event = &Event::Epoch { epoch: 1, epochs: 9, loss: 0.5, left: Some(90.0) };
        lines.on_event(ExecEvent::Progress { id: ids[2], job: job(2), event });
        lines.on_event(ExecEvent::Tick);

        let text = String::from_utf8(lines.out).unwrap();
        let summaries: Vec<&str> = text.lines().skip(3).collect();
        // `d` has made no progress yet, so it is expected to take as long as `c`, beside it.
        let expected = [
            "2/4 ended, 1 failed, 1 running",
            "  c starting",
            "2/4 ended, 1 failed, 1 running, about 90 s left",
            "  c epoch 1/9, loss 0.5000, 90 s left",
        ];
        assert_eq!(summaries, expected);
    }

    #[test]
    fn summaries_are_rare() {
        let mut lines = Lines::new(Vec::new());
        lines.on_event(ExecEvent::Tick);
        assert!(lines.out.is_empty());
    }
}
