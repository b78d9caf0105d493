//! Results as lines: a header, then one line per run, from which every table can be rendered again.

use serde::{Deserialize, Serialize};

use super::{Entry, Header, Outcome, ReportError, SweepReport};
use crate::record::SCHEMA;
use crate::{RunId, RunResult, Settings};

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct First {
    schema: u32,
    name: String,
    header: Header,
}

/// The version of a file, read before its other fields, whose meaning depends on it.
#[derive(Deserialize)]
struct Version {
    schema: u32,
}

/// A line per run.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    position: usize,
    label: String,
    trial: String,
    point: Settings,
    bits: usize,
    seed: u64,
    run: RunId,
    outcome: State,
    /// First line of the error; empty unless it failed.
    error: String,
    /// Metrics, seconds and provenance; null unless it finished or diverged.
    result: Option<RunResult>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Finished,
    Diverged,
    Failed,
    Missing,
}

/// Writes a header line and one line per run, in plan order.
pub fn results_jsonl(report: &SweepReport) -> String {
    let first = First { schema: SCHEMA, name: report.name.clone(), header: report.header.clone() };
    let mut entries: Vec<&Entry> = report.entries.iter().collect();
    entries.sort_by_key(|e| (e.position, &e.label, &e.run));
    let lines = entries.into_iter().map(|e| text(&Line::of(e)));
    [text(&first)].into_iter().chain(lines).collect()
}

impl SweepReport {
    /// Reads what [`results_jsonl`] wrote.
    ///
    /// # Errors
    /// [`ReportError::NoHeader`], [`ReportError::Schema`] or, for a line that cannot be read, [`ReportError::Line`].
    pub fn from_jsonl(text: &str) -> Result<Self, ReportError> {
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let first = lines.next().ok_or(ReportError::NoHeader)?;
        let Version { schema } = parse(first)?;
        if schema != SCHEMA {
            return Err(ReportError::Schema { found: schema, expected: SCHEMA });
        }
        let First { name, header, .. } = parse(first)?;
        let entries = lines.map(|line| parse::<Line>(line)?.entry(line.0)).collect::<Result<_, _>>()?;
        Ok(Self { name, header, entries })
    }
}

impl Line {
    fn of(entry: &Entry) -> Self {
        let (outcome, error, result) = match entry.outcome.clone() {
            Outcome::Finished(result) => (State::Finished, String::new(), Some(result)),
            Outcome::Diverged(result) => (State::Diverged, String::new(), Some(result)),
            Outcome::Failed { first_line } => (State::Failed, first_line, None),
            Outcome::Missing => (State::Missing, String::new(), None),
        };
        let Entry { position, label, trial, point, bits, seed, run, .. } = entry.clone();
        Self { position, label, trial, point, bits, seed, run, outcome, error, result }
    }

    /// Fails where a run that ended has no result.
    fn entry(self, index: usize) -> Result<Entry, ReportError> {
        let outcome = match (self.outcome, self.result) {
            (State::Finished, Some(result)) => Outcome::Finished(result),
            (State::Diverged, Some(result)) => Outcome::Diverged(result),
            (State::Failed, _) => Outcome::Failed { first_line: self.error },
            (State::Missing, _) => Outcome::Missing,
            (_, None) => {
                let source = serde::de::Error::custom(format!("run {} ended but has no `result`", self.run));
                return Err(ReportError::Line { line: index + 1, source });
            }
        };
        let Self { position, label, trial, point, bits, seed, run, .. } = self;
        Ok(Entry { position, label, trial, point, bits, seed, run, outcome })
    }
}

fn text<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain data with text keys") + "\n"
}

fn parse<'a, T: Deserialize<'a>>((index, line): (usize, &'a str)) -> Result<T, ReportError> {
    serde_json::from_str(line).map_err(|source| ReportError::Line { line: index + 1, source })
}
