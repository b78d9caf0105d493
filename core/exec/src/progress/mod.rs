//! Live progress: bars on a terminal, plain lines elsewhere.

mod bars;
mod board;
mod echo;
mod eta;
mod event;
mod lines;
mod phrases;
mod row;
mod terminal;

use std::time::Duration;

pub use bars::{BarStyle, Bars};
pub use event::{ExecEvent, Observer, Quiet};
pub use lines::Lines;
pub use terminal::{Hold, Stderr, Terminal};

/// Chooses the display of progress on standard error: [`Bars`] on a terminal that can redraw them, [`Lines`] elsewhere.
pub fn on_stderr() -> Box<dyn Observer> {
    let terminal = Terminal::stderr();
    let style = if terminal.utf8 { BarStyle::Unicode } else { BarStyle::Ascii };
    let bars = terminal.bars.then(|| Bars::new(style)).filter(|bars| !bars.is_hidden());
    match bars {
        Some(bars) => Box::new(bars),
        None => Box::new(Lines::new(Stderr::new())),
    }
}

/// Formats a time span in seconds, minutes, or hours and minutes.
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
