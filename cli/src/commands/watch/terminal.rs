//! The terminal as a view of a sweep, until a key or a signal ends it.

use std::time::{Duration, Instant};

use anyhow::Result;
use hashlab_exec::StopRequests;
use hashlab_exec::progress::Terminal;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::overview::Overview;
use super::screen::{Look, Pane, draw};
use crate::context::Context;
use crate::exit::bad_input;

/// Time between two readings of the sweep.
const PERIOD: Duration = Duration::from_secs(1);

/// Runs that a page key moves over.
const PAGE: isize = 10;

/// Shows a sweep until `q`, Esc, Ctrl-C or a signal; the terminal is then as before.
pub(super) fn show(context: &Context, sweep: &str) -> Result<()> {
    let abilities = Terminal::stdout();
    if !abilities.bars {
        let help = "`hashlab status` prints the state once, and `hashlab watch` without `--tui` serves a page";
        return Err(bad_input(format!("`--tui` needs a terminal of 40 columns or more that can redraw\nhelp: {help}")));
    }
    let overview = Overview::read(context, sweep)?;
    let requests = StopRequests::install()?;
    let look = Look { colors: abilities.colors, utf8: abilities.utf8 };
    let shown = follow(&mut ratatui::try_init()?, context, overview, look, &requests);
    ratatui::restore();
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
    let (mut pane, mut read) = (Pane::default(), Instant::now());
    while requests.urgency().is_none() {
        terminal.draw(|frame| draw(frame, &overview, pane, look))?;
        // Signals are noticed within a quarter of a second.
        if event::poll(PERIOD.saturating_sub(read.elapsed()).min(PERIOD / 4))? {
            let Event::Key(key) = event::read()? else { continue };
            match action(key) {
                Some(Action::End) => return Ok(()),
                Some(Action::Choose(by)) => overview.choose(by, context)?,
                Some(Action::NextPane) => pane = pane.next(),
                None => {}
            }
        }
        if read.elapsed() >= PERIOD {
            overview.refresh(context)?;
            read = Instant::now();
        }
    }
    Ok(())
}

/// What a key does.
#[derive(Debug, PartialEq)]
enum Action {
    End,
    /// Chooses a run so many places further down.
    Choose(isize),
    NextPane,
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
        KeyCode::Tab | KeyCode::Char('l') => Some(Action::NextPane),
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
        assert_eq!(of(KeyCode::Tab), Some(Action::NextPane));
    }
}
