//! The terminal as a view of a sweep, until a key or a signal ends it.

use std::mem::ManuallyDrop;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::Result;
use hashlab_exec::StopRequests;
use hashlab_exec::progress::{Stderr, Terminal};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::overview::Overview;
use super::screen::{Look, Pane, draw};
use crate::context::Context;
use crate::exit::{bad_input, one_line};

/// Time between two readings of the sweep.
const PERIOD: Duration = Duration::from_secs(1);

/// Runs that a page key moves over.
const PAGE: isize = 10;

/// Shows a sweep until `q`, Esc, Ctrl-C or a signal; the terminal is then as before.
pub(super) fn show(context: &Context, sweep: &str) -> Result<()> {
    let abilities = Terminal::stdout();
    if !abilities.bars {
        let help = format!("`hashlab status {sweep}` prints the state once, and `hashlab watch {sweep}` serves a page");
        return Err(bad_input(format!("`--tui` needs a terminal of 40 columns or more that can redraw\nhelp: {help}")));
    }
    let overview = Overview::read(context, sweep)?;
    let requests = StopRequests::install()?;
    let look = Look { colors: abilities.colors, utf8: abilities.utf8 };
    // Warnings would be written over the picture.
    let held = Stderr::hold();
    // Its own drop ends the process where the terminal went away, and cannot be restored.
    let mut terminal = ManuallyDrop::new(ratatui::try_init()?);
    let shown = follow(&mut terminal, context, overview, look, &requests);
    let _ = terminal.show_cursor();
    let _ = ratatui::try_restore();
    drop(held);
    shown
}

/// Draws, and does what keys say.
fn follow(
    terminal: &mut DefaultTerminal,
    context: &Context,
    mut overview: Overview,
    look: Look,
    requests: &StopRequests,
) -> Result<()> {
    let (mut pane, mut read, events) = (Pane::default(), Instant::now(), events());
    while requests.urgency().is_none() {
        terminal.draw(|frame| draw(frame, &overview, pane, look))?;
        // Signals are noticed within a quarter of a second.
        match events.recv_timeout(PERIOD.saturating_sub(read.elapsed()).min(PERIOD / 4)) {
            Ok(Event::Key(key)) => match action(key) {
                Some(Action::End) => return Ok(()),
                Some(Action::Choose(by)) => overview.choose(by, context)?,
                Some(Action::OtherPane) => pane = pane.other(),
                None => {}
            },
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        if read.elapsed() >= PERIOD {
            // What a file system refuses for a moment is read the next time.
            overview.trouble = overview.refresh(context).err().map(|error| one_line(&error));
            read = Instant::now();
        }
    }
    Ok(())
}

/// Keys and changes of the terminal, read by a thread: where the terminal goes away, a read may never return.
fn events() -> Receiver<Event> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if send.send(event).is_err() {
                return;
            }
        }
    });
    receive
}

/// What a key does.
#[derive(Debug, PartialEq)]
enum Action {
    End,
    /// Chooses a run so many places further down.
    Choose(isize),
    OtherPane,
}

fn action(key: KeyEvent) -> Option<Action> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Action::End),
        KeyCode::Char('q') | KeyCode::Esc => Some(Action::End),
        KeyCode::Down | KeyCode::Char('j') => Some(Action::Choose(1)),
        KeyCode::Up | KeyCode::Char('k') => Some(Action::Choose(-1)),
        KeyCode::PageDown => Some(Action::Choose(PAGE)),
        KeyCode::PageUp => Some(Action::Choose(-PAGE)),
        KeyCode::Home | KeyCode::Char('g') => Some(Action::Choose(isize::MIN)),
        KeyCode::End | KeyCode::Char('G') => Some(Action::Choose(isize::MAX)),
        KeyCode::Tab | KeyCode::Char('l') => Some(Action::OtherPane),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_choose_and_end() {
        let of = |code| action(KeyEvent::new(code, KeyModifiers::NONE));
        assert_eq!(of(KeyCode::Char('q')), Some(Action::End));
        assert_eq!(of(KeyCode::Char('c')), None);
        assert_eq!(action(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Some(Action::End));
        assert_eq!((of(KeyCode::Down), of(KeyCode::PageUp)), (Some(Action::Choose(1)), Some(Action::Choose(-PAGE))));
        assert_eq!(of(KeyCode::Tab), Some(Action::OtherPane));
    }
}
