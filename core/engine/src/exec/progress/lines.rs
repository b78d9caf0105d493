//! Plain lines, for logs and pipes.

use std::io::Write;
use std::time::{Duration, Instant};

use super::board::{Board, Phase};
use super::{News, Observer};
use crate::exec::{Outcome, Stop};

/// Between two summaries.
const INTERVAL: Duration = Duration::from_secs(30);

/// Prints a line when a job starts or ends, and a summary now and then.
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
        // Progress that nobody can read is no reason to stop.
        let _ = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
    }

    fn begin(&mut self, done: usize, parallel: usize) {
        let total = self.board.entries.len();
        let before = if done == 0 { String::new() } else { format!(", {done} finished before") };
        let at_once = if total - done > 1 { format!(", {parallel} at once") } else { String::new() };
        self.print(&format!("{} to do{before}{at_once}", total - done));
        self.summed_up = Instant::now();
    }

    fn end(&mut self, job: usize, outcome: &Outcome, took: Option<Duration>) {
        let entry = &self.board.entries[job];
        let counter = format!("[{}/{}]", self.board.ended(), self.board.entries.len());
        self.print(&format!("{counter} {} {}", entry.title, entry.ending(outcome, took)));
    }

    fn sum_up(&mut self) {
        if self.summed_up.elapsed() < self.interval {
            return;
        }
        self.summed_up = Instant::now();
        self.print(&format!("{}/{} ended, {}", self.board.ended(), self.board.entries.len(), self.board.overall()));
        let running = self.board.entries.iter().filter(|entry| entry.phase == Phase::Running);
        let running: Vec<String> = running.map(|entry| format!("  {} {}", entry.title, entry.activity())).collect();
        running.iter().for_each(|line| self.print(line));
    }
}

impl<W: Write> Observer for Lines<W> {
    fn hear(&mut self, news: News<'_>) {
        self.board.note(news);
        match news {
            News::Begin { done, parallel, .. } => self.begin(done.len(), parallel.get()),
            News::Started { job } => self.print(&format!("{} started", self.board.entries[job].title)),
            News::Waiting { job } => {
                self.print(&format!("{} is executed by another sweep: waiting for it", self.board.entries[job].title));
            }
            News::Ended { job, outcome, took } => self.end(job, outcome, took),
            News::Stopping { stop, running } => self.print(&stopping(stop, running)),
            News::Tick => self.sum_up(),
            News::Told { .. } | News::Over => {}
        }
    }
}

/// Says what a request to stop does.
pub(super) fn stopping(stop: Stop, running: usize) -> String {
    let runs = if running == 1 { "1 process".to_owned() } else { format!("{running} processes") };
    match stop {
        Stop::AtOnce => format!("stopped at once: {runs} killed"),
        _ => format!("stopping: {runs} will write a checkpoint and end; Ctrl-C again kills them"),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::Event;
    use crate::exec::{CommandLine, Job};

    #[test]
    fn summaries_say_where_all_stand() {
        let command = CommandLine { program: "true".into(), args: vec![], env: vec![] };
        let jobs = ["a", "b", "c", "d"].map(|title| Job::stage(title, title.into(), command.clone()));
        let mut lines = Lines { interval: Duration::ZERO, ..Lines::new(Vec::new()) };
        lines.hear(News::Begin { jobs: &jobs, done: &[0], parallel: NonZeroUsize::new(2).unwrap() });
        lines.hear(News::Ended { job: 1, outcome: &Outcome::Failed { message: "no".into() }, took: None });
        lines.hear(News::Started { job: 2 });
        lines.hear(News::Tick);
        lines.hear(News::Told { job: 2, event: &Event::Epoch { epoch: 1, epochs: 9, loss: 0.5, left: 90.0 } });
        lines.hear(News::Tick);

        let text = String::from_utf8(lines.out).unwrap();
        let summaries: Vec<&str> = text.lines().skip(4).collect();
        // Nothing is known of `d`, which is therefore taken to last as long as `c`, beside it.
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
        lines.hear(News::Tick);
        assert!(lines.out.is_empty());
    }
}
