//! Comparison tables: method × bits, mean ± deviation over seeds, from what the runs left.
//!
//! A report is a pure function of a [`SweepReport`]: it reads no disk, and neither the order of the entries nor any
//! wall-clock time changes its metric tables. A cell shows the trial with the best mean *validation* mAP; nothing is
//! ever selected by the protocol's queries.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{RunId, RunResult, Settings};

mod aggregate;
mod csv;
mod document;
mod json;
mod jsonl;
mod latex;
mod layout;
mod markdown;
mod metric;
mod notes;
mod papers;
mod text;

pub use jsonl::results_jsonl;
pub use metric::HEADLINE;

/// Everything a sweep's tables are made of.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepReport {
    /// The sweep's name.
    pub name: String,
    /// What all its runs share.
    pub header: Header,
    /// One entry per planned run, in any order.
    pub entries: Vec<Entry>,
}

/// What all runs of a sweep share. Commits and versions are read from the runs' own provenance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Data set name, e.g. `cifar10`.
    pub dataset: String,
    /// The data set in one line.
    pub dataset_title: String,
    /// Digest of the data set's content, where it is known.
    pub dataset_digest: Option<String>,
    /// Protocol name, e.g. `cifar10-1`.
    pub protocol: String,
    /// The protocol in one line: sizes and source.
    pub protocol_description: String,
    /// Depth K of the headline mAP@K; 0 is the whole ranking.
    pub map_at: usize,
    /// Which epoch's state was evaluated: `best(validation)` or `last`.
    pub selection: String,
    /// The backbone in one line: name, pixels, views.
    pub backbone: String,
    /// Digest of the backbone's weights; none where it has none.
    pub weights_digest: Option<String>,
    /// The command that reproduces the sweep.
    pub command: String,
    /// What else a reader must know, e.g. "database shuffled by split_seed 0; ties ranked by position".
    pub notes: Vec<String>,
}

/// A planned run and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Position in the plan, counted from 0. It orders rows, trials and seeds.
    pub position: usize,
    /// The row it belongs to, e.g. `CIBHash`.
    pub label: String,
    /// Identity of its trial, see [`crate::RunConfig::trial`].
    pub trial: String,
    /// The trial's values of what the grid varies.
    pub point: Settings,
    /// Code length in bits.
    pub bits: usize,
    /// Seed of the run.
    pub seed: u64,
    /// The run.
    pub run: RunId,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a planned run.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It was trained and evaluated.
    Finished(RunResult),
    /// It was stopped by NaN or divergence; its metrics enter no mean.
    Diverged(RunResult),
    /// It failed and may be tried again.
    Failed {
        /// First line of the error.
        first_line: String,
    },
    /// It has not ended, or has not been started.
    Missing,
}

impl Outcome {
    /// The outcome's name in files and notes.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Finished(_) => "finished",
            Self::Diverged(_) => "diverged",
            Self::Failed { .. } => "failed",
            Self::Missing => "missing",
        }
    }
}

/// A published mAP to print beside the measured one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Published {
    /// The row it belongs to: equal to [`Entry::label`].
    pub method: String,
    /// Data set name. Values of other data sets than the sweep's are left out.
    pub dataset: String,
    /// Protocol name, or empty where the source does not say.
    pub protocol: String,
    /// Depth K of the mAP@K; 0 is the whole ranking.
    pub map_at: usize,
    /// mAP by code length in bits. Fractions.
    pub values: BTreeMap<usize, f64>,
    /// Paper and table, and how the value was come by.
    pub source: String,
    /// Whether the value was read in the paper itself.
    pub verified: bool,
    /// How its setting differs, e.g. another backbone. Empty where it does not.
    pub note: String,
}

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns for a terminal.
    Text,
    /// A page with pipe tables.
    Markdown,
    /// `table` environments; needs the package `booktabs`.
    Latex,
    /// One line per cell, or per trial with [`Options::all`]; full precision.
    Csv,
    /// One object; full precision.
    Json,
}

impl Format {
    /// Every format with its name.
    pub const ALL: [(&str, Self); 5] = [
        ("text", Self::Text),
        ("markdown", Self::Markdown),
        ("latex", Self::Latex),
        ("csv", Self::Csv),
        ("json", Self::Json),
    ];
}

impl FromStr for Format {
    type Err = ReportError;

    fn from_str(name: &str) -> Result<Self, ReportError> {
        let found = Self::ALL.into_iter().find(|(known, _)| *known == name);
        found.map(|(_, format)| format).ok_or_else(|| ReportError::Format { given: name.to_owned() })
    }
}

/// What [`render`] writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How it is written.
    pub format: Format,
    /// One table per metric, in this order. Empty asks for [`HEADLINE`] and, where it was measured, the mAP over the
    /// whole ranking in expectation over ties. Cells are selected by [`HEADLINE`] on validation whatever is shown.
    pub metrics: Vec<String>,
    /// One row per trial in place of one per method.
    pub all: bool,
    /// Whether to print wall-clock times and memory, the only parts that differ between repetitions.
    pub times: bool,
    /// Whether [`Format::Text`] marks by bold and underline, in place of `*` and `+`.
    pub colour: bool,
}

impl Options {
    /// The default tables in a format: with times, without colour.
    pub fn new(format: Format) -> Self {
        Self { format, metrics: Vec::new(), all: false, times: true, colour: false }
    }
}

/// Why a report cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A format that does not exist.
    #[error("unknown table format `{given}`\nhelp: one of text, markdown, latex, csv, json")]
    Format {
        /// The name as given.
        given: String,
    },
    /// A metric that no finished run has.
    #[error("no finished run of sweep `{sweep}` has metric `{metric}`\nhelp: measured: {known}")]
    Metric {
        /// The sweep.
        sweep: String,
        /// The metric asked for.
        metric: String,
        /// The metrics that were measured.
        known: String,
    },
    /// A results file without its header line.
    #[error("results file is empty, expected a header line\nhelp: write it again with `hashlab table`")]
    NoHeader,
    /// A results file of another version.
    #[error("results file has schema {found}, expected {expected}\nhelp: use the hashlab version that wrote it")]
    Schema {
        /// Schema in the file.
        found: u32,
        /// Schema of this version.
        expected: u32,
    },
    /// A line of a results file that cannot be read.
    #[error("line {line} of the results file: {source}\nhelp: each line is one JSON object as hashlab wrote it")]
    Line {
        /// Line, counted from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Renders a sweep's tables, with published values beside the measured ones.
///
/// # Errors
/// [`ReportError::Metric`] where [`Options::metrics`] names a metric that no finished run has.
pub fn render(report: &SweepReport, published: &[Published], options: &Options) -> Result<String, ReportError> {
    let comparison = aggregate::Comparison::of(report);
    let metrics = metric::chosen(report, &options.metrics)?;
    let view = layout::View { report, comparison: &comparison, published, metrics: &metrics, options };
    Ok(match options.format {
        Format::Text => text::write(&layout::document(&view), options.colour),
        Format::Markdown => markdown::write(&layout::document(&view)),
        Format::Latex => latex::write(&layout::document(&view), &report.name),
        Format::Csv => csv::write(&view),
        Format::Json => json::write(&view),
    })
}
