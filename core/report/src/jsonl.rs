//! Results as lines: a header, then one line per run, from which every table can be rendered again.

use hashlab_store::{RunResult, SCHEMA};
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
    header: Header,
}

/// The version of a file, read before its other fields, whose meaning depends on it.
#[derive(Deserialize)]
struct Version {
    schema: u32,
}

/// Writes a header line and one line per run, in plan order.
pub fn results_jsonl(report: &SweepReport) -> String {
    let first = First { schema: SCHEMA, name: report.name.clone(), header: report.header.clone() };
    let mut runs: Vec<&ReportedRun> = report.runs.iter().collect();
    runs.sort_by_key(|r| (r.position, &r.label, &r.run));
    [text(&first)].into_iter().chain(runs.into_iter().map(text)).collect()
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
        let runs = lines.map(parse).collect::<Result<_, _>>()?;
        Ok(Self { name, header, runs })
    }

    /// The report without what differs between repetitions of the same runs: times, memory, attempts.
    pub(crate) fn without_times(&self) -> Self {
        let mut report = self.clone();
        for run in &mut report.runs {
            if let Outcome::Finished(result) | Outcome::Diverged(result) = &mut run.outcome {
                drop_times(result);
            }
        }
        report
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
