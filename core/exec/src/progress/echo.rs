//! Suppression of the terminal's echo of Ctrl-C, which would break the bars.

use std::io;

use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};

/// A terminal that does not print `^C` when Ctrl-C is pressed; its modes are restored on drop.
///
/// Bars end at the right border, where the echo would begin a line unknown to indicatif, and a stale bar would stay on
/// the screen.
#[derive(Debug)]
pub(super) struct NoEcho {
    before: Termios,
}

impl NoEcho {
    /// Switches the echo off on standard error; `None` if that is not a terminal in the foreground.
    pub(super) fn on_stderr() -> Option<Self> {
        let before = tcgetattr(io::stderr()).ok()?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHOCTL);
        set(&quiet).then_some(Self { before })
    }
}

impl Drop for NoEcho {
    fn drop(&mut self) {
        set(&self.before);
    }
}

/// Sets the modes of the terminal on standard error. Returns whether it did.
fn set(modes: &Termios) -> bool {
    // The kernel would stop a background process that changes the modes.
    let in_foreground = tcgetpgrp(io::stderr()).is_ok_and(|group| group == getpgrp());
    in_foreground && tcsetattr(io::stderr(), OptionalActions::Now, modes).is_ok()
}
