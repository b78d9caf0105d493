//! Results as lines: a header, then one line per run, from which every table can be rendered again.

use std::collections::BTreeSet;
use std::io::BufRead;

use hashlab_store::{RunId, RunResult, SCHEMA};
use serde::{Deserialize, Serialize};

use crate::aggregate::PEAK_MEMORY;
use crate::error::ReportError;
use crate::sweep_report::{Header, Outcome, ReportedRun, SweepReport};

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct First {
    schema: u32,
    name: String,
    /// Number of lines that follow, so that a file that was cut is noticed.
    runs: usize,
    header: Header,
}

/// The version of a file, read before its other fields, whose meaning depends on it.
#[derive(Deserialize)]
struct Version {
    schema: u32,
}

/// Writes a header line and one line per run, in plan order.
pub fn results_jsonl(report: &SweepReport) -> String {
    results_lines(report, true, |_| None).collect()
}

/// The lines of [`results_jsonl`], one by one, as all may be too many for memory. `whole` reads the result of a run again,
/// with its curves, where the report may hold it without. Without `times`, they hold nothing that differs between
/// repetitions.
pub fn results_lines(
    report: &SweepReport,
    times: bool,
    whole: impl Fn(&RunId) -> Option<RunResult>,
) -> impl Iterator<Item = String> {
    let (name, header) = (report.name.clone(), report.header.clone());
    let first = First { schema: SCHEMA, name, runs: report.runs.len(), header };
    let mut runs: Vec<&ReportedRun> = report.runs.iter().collect();
    runs.sort_by_key(|r| (r.position, &r.label, &r.run));
    let line = move |run: &ReportedRun| {
        let mut run = run.clone();
        if let Outcome::Finished(result) | Outcome::Diverged(result) = &mut run.outcome {
            if let Some(read) = whole(&run.run) {
                **result = read;
            }
            if !times {
                drop_times(result);
            }
        }
        text(&run)
    };
    [text(&first)].into_iter().chain(runs.into_iter().map(line))
}

impl SweepReport {
    /// Reads what [`results_jsonl`] wrote.
    ///
    /// # Errors
    /// [`ReportError::NoHeader`], [`ReportError::Schema`] or, for a line that cannot be read, [`ReportError::Line`];
    /// [`ReportError::Lines`] or [`ReportError::RepeatedRun`] if lines were lost or doubled.
    pub fn from_jsonl(text: &str) -> Result<Self, ReportError> {
        Self::read_jsonl(text.as_bytes())
    }

    /// Reads what [`results_jsonl`] wrote, line by line.
    ///
    /// # Errors
    /// As [`from_jsonl`](Self::from_jsonl), and [`ReportError::Read`].
    pub fn read_jsonl(file: impl BufRead) -> Result<Self, ReportError> {
        let mut lines =
            file.lines().enumerate().filter(|(_, line)| !line.as_ref().is_ok_and(|line| line.trim().is_empty()));
        let (at, first) = lines.next().ok_or(ReportError::NoHeader)?;
        let first = first?;
        let Version { schema } = parse((at, &first))?;
        if schema != SCHEMA {
            return Err(ReportError::Schema { found: schema, expected: SCHEMA });
        }
        let First { name, header, runs: announced, .. } = parse((at, &first))?;
        let mut runs: Vec<ReportedRun> = Vec::new();
        let mut seen = BTreeSet::new();
        for (at, line) in lines {
            let mut run: ReportedRun = parse((at, &line?))?;
            if !seen.insert(run.run.clone()) {
                return Err(ReportError::RepeatedRun { line: at + 1, run: run.run });
            }
            if let Some(before) = runs.last() {
                run.sharing(before);
            }
            runs.push(run);
        }
        if runs.len() != announced {
            return Err(ReportError::Lines { announced, found: runs.len() });
        }
        Ok(Self { name, header, runs })
    }
}

fn drop_times(result: &mut RunResult) {
    result.seconds.clear();
    result.attempts = 0;
    result.provenance.remove(PEAK_MEMORY);
}

fn text<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain data with text keys") + "\n"
}

fn parse<'a, T: Deserialize<'a>>((index, line): (usize, &'a str)) -> Result<T, ReportError> {
    serde_json::from_str(line).map_err(|source| ReportError::Line { line: index + 1, source })
}
