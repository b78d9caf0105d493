//! Abilities of a terminal.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashlab_store::ascii;
use rustix::termios::tcgetwinsize;

/// The narrowest terminal with bars, in columns.
const BARS_WIDTH: u16 = 40;

/// The abilities of the terminal behind a stream; none if the stream is a file or a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Whether lines can be redrawn in place, and are wide enough for bars.
    pub bars: bool,
    /// Whether to use colors. Follows `NO_COLOR`, `CLICOLOR_FORCE` and `CLICOLOR`, in this order.
    pub colors: bool,
    /// Whether the locale's character set is UTF-8.
    pub utf8: bool,
    /// Whether it shows ASCII alone. What goes to files and pipes is UTF-8, whatever the locale.
    pub ascii: bool,
}

impl Terminal {
    /// Returns the abilities behind standard error.
    pub fn stderr() -> Self {
        Self::behind(&io::stderr())
    }

    /// Returns the abilities behind standard output.
    pub fn stdout() -> Self {
        Self::behind(&io::stdout())
    }

    fn behind(stream: &(impl IsTerminal + AsFd)) -> Self {
        let width = tcgetwinsize(stream).map_or(0, |size| size.ws_col);
        // A variable that is not UTF-8 counts as set.
        let variable = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        Self::new(stream.is_terminal(), width, variable)
    }

    /// Decides from the width in columns (0 if unknown) and the environment; an empty variable counts as unset.
    fn new(is_terminal: bool, width: u16, variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let capable = is_terminal && set("TERM").is_some_and(|term| term != "dumb" && term != "unknown");
        let colors = if set("NO_COLOR").is_some() {
            false
        } else if set("CLICOLOR_FORCE").is_some_and(|force| force != "0") {
            true
        } else {
            capable && set("CLICOLOR").is_none_or(|colors| colors != "0")
        };
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
        let utf8 = locale.is_some_and(|locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        });
        Self { bars: capable && width >= BARS_WIDTH, colors, utf8, ascii: is_terminal && !utf8 }
    }
}

/// Standard error, with ASCII in the place of symbols where its terminal shows nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Stderr {
    ascii: bool,
}

impl Stderr {
    /// Standard error as it is now.
    pub fn new() -> Self {
        Self { ascii: Terminal::stderr().ascii }
    }
}

impl Default for Stderr {
    fn default() -> Self {
        Self::new()
    }
}

/// What is written to [`Stderr`] meanwhile, if it is held.
static HELD: Mutex<Option<Vec<u8>>> = Mutex::new(None);

/// A time during which nothing is written over a picture on the terminal; on drop, what was held is written.
#[derive(Debug)]
pub struct Hold(());

impl Stderr {
    /// Keeps what all [`Stderr`]s write until the value is dropped.
    pub fn hold() -> Hold {
        held().get_or_insert_default();
        Hold(())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let kept = held().take().unwrap_or_default();
        // A terminal that went away takes nothing.
        let _ = io::stderr().write_all(&kept);
    }
}

fn held() -> MutexGuard<'static, Option<Vec<u8>>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(held) = held().as_mut() {
            held.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        match std::str::from_utf8(bytes) {
            Ok(text) if self.ascii => io::stderr().write_all(ascii(text).as_bytes()).map(|()| bytes.len()),
            _ => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal(width: u16, environment: &[(&str, &str)]) -> Terminal {
        let find = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Terminal::new(true, width, find)
    }

    #[test]
    fn bars_need_a_terminal_that_can_redraw() {
        let bars = |width, term: &str| terminal(width, &[("TERM", term)]).bars;
        assert!(bars(80, "xterm-256color") && bars(40, "screen"));
        assert!(!bars(80, "dumb") && !bars(80, "") && !bars(80, "unknown"));
        assert!(!bars(39, "xterm") && !bars(0, "xterm"), "too narrow, and of unknown width");
        assert!(!terminal(80, &[]).bars);
        assert!(!Terminal::new(false, 80, |_| Some("xterm".to_owned())).bars, "a pipe");
    }

    #[test]
    fn colors_follow_the_conventions() {
        let colors = |more: &[(&str, &str)]| terminal(80, &[&[("TERM", "xterm")], more].concat()).colors;
        assert!(colors(&[]) && colors(&[("NO_COLOR", "")]) && colors(&[("CLICOLOR", "1")]));
        assert!(!colors(&[("NO_COLOR", "1")]) && !colors(&[("CLICOLOR", "0")]));
        assert!(colors(&[("CLICOLOR_FORCE", "1"), ("CLICOLOR", "0")]));
        assert!(!colors(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
        assert!(!terminal(80, &[("TERM", "dumb")]).colors && !terminal(80, &[]).colors);
        let piped = |force: &'static str| {
            Terminal::new(false, 0, |name| (name == "CLICOLOR_FORCE").then(|| force.to_owned())).colors
        };
        assert!(piped("1") && !piped("0") && !piped(""));
    }

    #[test]
    fn the_first_locale_that_is_set_names_the_character_set() {
        let utf8 = |environment: &[(&str, &str)]| terminal(80, environment).utf8;
        assert!(utf8(&[("LANG", "de_DE.UTF-8")]) && utf8(&[("LC_ALL", "C.utf8"), ("LANG", "C")]));
        assert!(!utf8(&[]) && !utf8(&[("LANG", "C")]) && !utf8(&[("LANG", "de_DE.ISO-8859-1")]));
        assert!(!utf8(&[("LC_ALL", "POSIX"), ("LANG", "en_US.UTF-8")]));
        assert!(utf8(&[("LC_ALL", ""), ("LC_CTYPE", "en_US.UTF-8"), ("LANG", "C")]));
        assert!(terminal(80, &[("LANG", "C")]).ascii && !terminal(80, &[("LANG", "C.UTF-8")]).ascii);
        assert!(!Terminal::new(false, 0, |_| None).ascii, "a pipe");
    }
}
