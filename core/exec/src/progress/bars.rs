//! Bars, for terminals.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hashlab_store::ascii;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::board::Board;
use super::echo::NoEcho;
use super::phrases::{dropped, ending, memory_short, note, retrying, stopping, waiting};
use super::{ExecEvent, Observer};
use crate::{Event, Job, JobId};

/// Interval between redraws of the times left, which change by themselves.
const REDRAW: Duration = Duration::from_millis(250);

/// The characters of bars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BarStyle {
    /// Lines, for locales with UTF-8.
    #[default]
    Unicode,
    /// ASCII characters.
    Ascii,
}

/// Shows a bar for the whole and one for each job that runs. Ends and failures scroll by above them.
#[derive(Debug)]
pub struct Bars {
    board: Board,
    style: BarStyle,
    terminal: MultiProgress,
    overall: ProgressBar,
    running: BTreeMap<JobId, ProgressBar>,
    redrawn: Instant,
    /// Switches off the terminal's echo of `^C` while there are bars.
    silence_echo: fn() -> Option<NoEcho>,
    no_echo: Option<NoEcho>,
}

impl Bars {
    /// Draws on standard error.
    pub fn new(style: BarStyle) -> Self {
        Self { silence_echo: NoEcho::on_stderr, ..Self::on(ProgressDrawTarget::stderr(), style) }
    }

    /// Draws on `target`.
    pub fn on(target: ProgressDrawTarget, style: BarStyle) -> Self {
        Self {
            board: Board::default(),
            style,
            terminal: MultiProgress::with_draw_target(target),
            overall: ProgressBar::hidden(),
            running: BTreeMap::new(),
            redrawn: Instant::now(),
            silence_echo: || None,
            no_echo: None,
        }
    }

    /// Whether bars would be invisible: the target is not a terminal, or cannot redraw.
    pub fn is_hidden(&self) -> bool {
        self.terminal.is_hidden()
    }

    /// Returns the terminal, for other output above the bars: a log's lines between them would break them.
    pub fn terminal(&self) -> MultiProgress {
        self.terminal.clone()
    }

    fn print(&self, text: &str) {
        // A closed terminal is no reason to stop.
        let _ = self.terminal.println(self.shown(text));
    }

    /// The text in the characters of the bars.
    fn shown<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.style {
            BarStyle::Unicode => Cow::Borrowed(text),
            BarStyle::Ascii => ascii(text),
        }
    }

    fn begin(&mut self) {
        self.clear();
        self.no_echo = (self.silence_echo)();
        let bar = ProgressBar::new(self.board.total as u64).with_style(self.template("{bar:24} {pos}/{len} {msg}"));
        self.overall = self.terminal.add(bar);
        self.redraw();
    }

    fn start(&mut self, id: JobId, job: &Job) {
        let bar = ProgressBar::new(0).with_style(self.template("{prefix:34!} {bar:12} {msg}"));
        let bar = self.terminal.insert_before(&self.overall, bar);
        bar.set_prefix(self.shown(&job.title).into_owned());
        self.running.insert(id, bar);
        self.redraw();
    }

    fn remove(&mut self, id: JobId) {
        if let Some(bar) = self.running.remove(&id) {
            bar.finish_and_clear();
            self.terminal.remove(&bar);
        }
    }

    fn redraw(&mut self) {
        self.redrawn = Instant::now();
        for (id, bar) in &self.running {
            let Some(row) = self.board.running.get(id) else { continue };
            let (done, total) = row.progress();
            // An empty bar, not a full one, until the total is known.
            bar.set_length(total.max(1));
            bar.set_position(if total == 0 { 0 } else { done });
            bar.set_message(self.shown(&row.activity()).into_owned());
        }
        self.overall.set_position(self.board.ended() as u64);
        self.overall.set_message(self.shown(&self.board.overall()).into_owned());
    }

    /// Clears all bars from the terminal.
    fn clear(&mut self) {
        while let Some(id) = self.running.keys().next().copied() {
            self.remove(id);
        }
        self.overall.finish_and_clear();
        self.terminal.remove(&self.overall);
        self.no_echo = None;
    }

    fn template(&self, template: &str) -> ProgressStyle {
        let characters = match self.style {
            BarStyle::Unicode => "━╸─",
            BarStyle::Ascii => "=>-",
        };
        ProgressStyle::with_template(template).expect("the templates are fixed").progress_chars(characters)
    }
}

impl Observer for Bars {
    fn on_event(&mut self, event: ExecEvent<'_>) {
        self.board.note(event);
        match event {
            ExecEvent::Begin { .. } => self.begin(),
            ExecEvent::Started { id, job } => self.start(id, job),
            ExecEvent::Exited { id, .. } => self.remove(id),
            ExecEvent::Waiting { job, part, .. } => {
                self.print(&waiting(job, part));
            }
            ExecEvent::Retrying { job, message, retry, .. } => self.print(&retrying(job, message, retry)),
            ExecEvent::MemoryShort { job, needs, memory, running } => {
                self.print(&memory_short(job, needs, memory, running));
            }
            ExecEvent::Ended { job, part, outcome, execution, .. } => {
                if let Some(text) = ending(job, part, outcome, execution) {
                    self.print(&text);
                    self.redraw();
                }
            }
            ExecEvent::Dropped { job, runs, .. } => {
                self.print(&dropped(job, runs));
                self.redraw();
            }
            ExecEvent::Stopping { urgency, running, failures } => {
                self.print(&stopping(urgency, running, failures));
                self.redraw();
            }
            ExecEvent::Progress { job, event: Event::Note { message }, .. } => self.print(&note(job, message)),
            ExecEvent::Tick if self.redrawn.elapsed() >= REDRAW => self.redraw(),
            ExecEvent::Over => self.clear(),
            ExecEvent::Progress { .. } | ExecEvent::Tick => {}
        }
    }
}
