//! Bars, for terminals.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::board::Board;
use super::echo::NoEcho;
use super::lines::stopping;
use super::{News, Observer};
use crate::exec::{Outcome, Stop};

/// Between two redraws of the times left, which change by themselves.
const REDRAW: Duration = Duration::from_millis(250);

/// Shows a bar for all jobs and one for each that runs. Ends and failures scroll by above them.
#[derive(Debug)]
pub struct Bars {
    board: Board,
    terminal: MultiProgress,
    overall: ProgressBar,
    running: BTreeMap<usize, ProgressBar>,
    redrawn: Instant,
    /// Switches the terminal's echo of `^C` off while there are bars.
    quieten: fn() -> Option<NoEcho>,
    quiet: Option<NoEcho>,
}

impl Bars {
    /// Draws on standard error.
    pub fn new() -> Self {
        Self { quieten: NoEcho::on_stderr, ..Self::on(ProgressDrawTarget::stderr()) }
    }

    /// Draws on `target`.
    pub fn on(target: ProgressDrawTarget) -> Self {
        Self {
            board: Board::default(),
            terminal: MultiProgress::with_draw_target(target),
            overall: ProgressBar::hidden(),
            running: BTreeMap::new(),
            redrawn: Instant::now(),
            quieten: || None,
            quiet: None,
        }
    }

    /// Returns the terminal, for others to print above the bars: a log's lines between them would tear them.
    pub fn terminal(&self) -> MultiProgress {
        self.terminal.clone()
    }

    fn print(&self, text: &str) {
        // Progress that nobody can read is no reason to stop.
        let _ = self.terminal.println(text);
    }

    fn begin(&mut self, total: usize) {
        self.clear();
        self.quiet = (self.quieten)();
        self.overall =
            self.terminal.add(ProgressBar::new(total as u64).with_style(style("{bar:24} {pos}/{len} {msg}")));
        self.redraw();
    }

    fn start(&mut self, job: usize) {
        let bar = ProgressBar::new(0).with_style(style("{prefix:34!} {bar:12} {msg}"));
        let bar = self.terminal.insert_before(&self.overall, bar);
        bar.set_prefix(self.board.entries[job].title.clone());
        self.running.insert(job, bar);
        self.redraw();
    }

    fn end(&mut self, job: usize, outcome: &Outcome, took: Option<Duration>) {
        self.remove(job);
        let entry = &self.board.entries[job];
        self.print(&format!("{} {}", entry.title, entry.ending(outcome, took)));
        self.redraw();
    }

    fn remove(&mut self, job: usize) {
        if let Some(bar) = self.running.remove(&job) {
            bar.finish_and_clear();
            self.terminal.remove(&bar);
        }
    }

    fn redraw(&mut self) {
        self.redrawn = Instant::now();
        for (job, bar) in &self.running {
            let entry = &self.board.entries[*job];
            let (done, total) = entry.progress();
            // An empty bar, not a full one, as long as nothing is known.
            bar.set_length(total.max(1));
            bar.set_position(done);
            bar.set_message(entry.activity());
        }
        self.overall.set_position(self.board.ended() as u64);
        self.overall.set_message(self.board.overall());
    }

    fn stop(&mut self, stop: Stop, running: usize) {
        self.print(&stopping(stop, running));
        self.redraw();
    }

    /// Takes all bars off the terminal.
    fn clear(&mut self) {
        while let Some(job) = self.running.keys().next().copied() {
            self.remove(job);
        }
        self.overall.finish_and_clear();
        self.terminal.remove(&self.overall);
        self.quiet = None;
    }
}

impl Default for Bars {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer for Bars {
    fn hear(&mut self, news: News<'_>) {
        self.board.note(news);
        match news {
            News::Begin { jobs, .. } => self.begin(jobs.len()),
            News::Started { job } => self.start(job),
            News::Waiting { job } => {
                // A process that found its run held has ended.
                self.remove(job);
                self.print(&format!("{} is executed by another sweep: waiting for it", self.board.entries[job].title));
            }
            News::Ended { job, outcome, took } => self.end(job, outcome, took),
            News::Stopping { stop, running } => self.stop(stop, running),
            News::Tick if self.redrawn.elapsed() >= REDRAW => self.redraw(),
            News::Over => self.clear(),
            News::Told { .. } | News::Tick => {}
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates are fixed").progress_chars("━╸─")
}
