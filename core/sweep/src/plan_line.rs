//! Lines of a plan that differ from the one before in a few fields.

use hashlab_store::RunId;

use crate::plan::PlannedRun;

/// What stands before a run's identity, at the start of its line.
const ID: &str = "{\"id\":\"";

/// What stands between its identity and that of its setting.
const SETTING: &str = "\",\"setting\":\"";

/// The text of a run's line without the fields that differ between neighboring runs: id, setting, bits, seed. As
/// neighbors of a plan share the rest, their lines need be neither parsed nor rendered.
pub(crate) struct Frame {
    middle: String,
    end: String,
}

/// The fields that differ between neighboring runs.
pub(crate) struct Varying<'a> {
    pub(crate) id: &'a str,
    pub(crate) setting: &'a str,
    pub(crate) bits: usize,
    pub(crate) seed: u64,
}

impl Frame {
    /// The frame of a run's line; `None` where it is not certain which numbers are those of the run.
    pub(crate) fn of(line: &str, run: &PlannedRun) -> Option<Self> {
        let numbers = numbers(run.bits, run.seed);
        let (middle, end) = line.strip_prefix(&start(&run.id, &run.setting))?.split_once(&numbers)?;
        (!end.contains(&numbers)).then(|| Self { middle: middle.to_owned(), end: end.to_owned() })
    }

    /// The line of a run that differs in these fields alone.
    pub(crate) fn line(&self, run: &PlannedRun) -> String {
        let Self { middle, end } = self;
        [&start(&run.id, &run.setting), middle, &numbers(run.bits, run.seed), end].map(String::as_str).concat()
    }

    /// The varying fields of a line; `None` if it differs in others.
    pub(crate) fn varying<'l>(&self, line: &'l str) -> Option<Varying<'l>> {
        let (id, rest) = line.strip_prefix(ID)?.split_once(SETTING)?;
        let (setting, rest) = rest.split_once('"')?;
        let middle = self.middle.strip_prefix('"')?;
        let numbers = rest.strip_prefix(middle)?.strip_suffix(&self.end)?;
        let (bits, seed) = numbers.strip_prefix("\"bits\":")?.strip_suffix(',')?.split_once(",\"seed\":")?;
        let (bits, seed) = (plain(bits)?.parse().ok()?, plain(seed)?.parse().ok()?);
        // A text with a backslash stands for another.
        (!id.contains('\\') && !setting.contains('\\')).then_some(Varying { id, setting, bits, seed })
    }
}

fn start(id: &RunId, setting: &str) -> String {
    [ID, &id.0, SETTING, setting].concat()
}

/// Code length and seed as a configuration has them, with what follows.
fn numbers(bits: usize, seed: u64) -> String {
    format!("\"bits\":{bits},\"seed\":{seed},")
}

/// A number as JSON writes it.
fn plain(number: &str) -> Option<&str> {
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    (digits && (number.len() == 1 || !number.starts_with('0'))).then_some(number)
}
