//! Live progress: bars on a terminal, plain lines elsewhere.

mod bars;
mod board;
mod echo;
mod eta;
mod lines;

use std::io::{self, IsTerminal as _};
use std::num::NonZeroUsize;
use std::time::Duration;

pub use bars::Bars;
pub use lines::Lines;

use super::{Job, Outcome, Stop};
use crate::Event;

/// What happens while jobs are executed. Jobs are named by their index.
#[derive(Clone, Copy, Debug)]
pub enum News<'a> {
    /// It begins.
    Begin {
        /// All jobs.
        jobs: &'a [Job],
        /// Those that were finished before.
        done: &'a [usize],
        /// How many are executed at once.
        parallel: NonZeroUsize,
    },
    /// A process was started.
    Started {
        /// Its job.
        job: usize,
    },
    /// A process told something.
    Told {
        /// Its job.
        job: usize,
        /// What it told.
        event: &'a Event,
    },
    /// Another sweep executes the run; it is waited for.
    Waiting {
        /// The job.
        job: usize,
    },
    /// A job is over.
    Ended {
        /// The job.
        job: usize,
        /// What became of it.
        outcome: &'a Outcome,
        /// How long its process took; `None` if it was not started here.
        took: Option<Duration>,
    },
    /// The user asked to stop.
    Stopping {
        /// How urgently.
        stop: Stop,
        /// How many processes run.
        running: usize,
    },
    /// Time has passed.
    Tick,
    /// It is over.
    Over,
}

/// Follows the execution of jobs.
pub trait Observer {
    /// Hears what happens, from the thread that executes; must not dawdle.
    fn hear(&mut self, news: News<'_>);
}

/// Chooses how to show progress on standard error: [`Bars`] on a terminal, [`Lines`] elsewhere.
pub fn on_stderr() -> Box<dyn Observer> {
    if io::stderr().is_terminal() { Box::new(Bars::new()) } else { Box::new(Lines::new(io::stderr())) }
}

/// Writes a time span as briefly as it is read.
fn span(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
    match seconds {
        0..100 => format!("{seconds} s"),
        100..6000 => format!("{} min", (seconds + 30) / 60),
        _ => format!("{} h {:02} min", (seconds + 30) / 3600, (seconds + 30) / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_brief() {
        let text = |seconds| span(Duration::from_secs(seconds));
        assert_eq!([text(0), text(99), text(100), text(5999)], ["0 s", "99 s", "2 min", "100 min"]);
        assert_eq!([text(6000), text(7199)], ["1 h 40 min", "2 h 00 min"]);
    }
}
