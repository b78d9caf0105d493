//! Why a report cannot be written or read.

use hashlab_store::{RunId, counted};

/// Why a report cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A format that does not exist.
    #[error("unknown table format `{given}`\nhelp: one of {known}")]
    UnknownFormat {
        /// The name as given.
        given: String,
        /// The names of all formats.
        known: String,
    },
    /// A metric that does not exist.
    #[error("unknown metric `{metric}`\nhelp: {}known: {known}", suggestion(*closest))]
    UnknownMetric {
        /// The name as given.
        metric: String,
        /// A metric with a similar name.
        closest: Option<&'static str>,
        /// The names of all metrics.
        known: String,
    },
    /// A metric that no finished run has.
    #[error("no finished run of sweep `{sweep}` has metric `{metric}`\nhelp: measured: {measured}")]
    UnmeasuredMetric {
        /// The sweep.
        sweep: String,
        /// The metric asked for.
        metric: String,
        /// The metrics that were measured.
        measured: String,
    },
    /// Chosen metrics with [`Format::Jsonl`](crate::Format::Jsonl).
    #[error(
        "format jsonl holds every metric of every run\nhelp: choose metrics with another format, or none with this"
    )]
    MetricsOfJsonl,
    /// A kind of figure that does not exist.
    #[error("unknown figure `{given}`\nhelp: one of {known}")]
    UnknownFigure {
        /// The name as given.
        given: String,
        /// The names of all kinds.
        known: String,
    },
    /// Intervals in a format that holds deviations and every run.
    #[error(
        "intervals are printed as text, Markdown or LaTeX; CSV and JSON hold deviations and every run\n\
         help: leave `--interval` out, or choose another format"
    )]
    IntervalOfData,
    /// Two equal rows to compare.
    #[error("row `{0}` cannot be compared with itself\nhelp: name another row, or one row alone")]
    SameRow(String),
    /// A figure without anything to show.
    #[error("the sweep has nothing to show in figure `{figure}`\nhelp: {what}")]
    NoFigure {
        /// The kind.
        figure: &'static str,
        /// What there is, or what it needs.
        what: String,
    },
    /// A file for a figure whose name has another ending.
    #[error(
        "a figure's file cannot {}\nhelp: .svg, .pdf or .png",
        if given.is_empty() { "be without an ending".to_owned() } else { format!("end in `{given}`") }
    )]
    UnknownFileFormat {
        /// The ending.
        given: String,
    },
    /// No font to draw text with.
    #[error(
        "the system has no font to draw text with\nhelp: install one, e.g. Debian's fonts-dejavu-core, or write .svg"
    )]
    NoFont,
    /// A figure that cannot be converted.
    #[error("cannot convert the figure: {0}")]
    Figure(String),
    /// A template that cannot be rendered.
    #[error("cannot render a page: {0}")]
    Template(#[from] askama::Error),
    /// A row that a sweep does not have.
    #[error("no row `{row}`\nhelp: the rows are {known}")]
    UnknownRow {
        /// The name as given.
        row: String,
        /// The labels of all rows.
        known: String,
    },
    /// All settings of several sweeps.
    #[error("`all` shows the settings of one sweep, not of several\nhelp: print them sweep by sweep")]
    AllOfSeveral,
    /// Times of several sweeps.
    #[error("tables of several sweeps have no times\nhelp: leave `--latency` out, or print them sweep by sweep")]
    TimesOfSeveral,
    /// Several sweeps in [`Format::Jsonl`](crate::Format::Jsonl).
    #[error(
        "format jsonl holds the runs of one sweep, not of several\nhelp: write a file per sweep, or choose csv or json"
    )]
    JsonlOfSeveral,
    /// Sweeps whose primary metrics differ.
    #[error(
        "the sweeps have different definitions of mAP: {first} and {second}\n\
         help: choose one that all were measured by, e.g. `--metric map_at_k`"
    )]
    DifferentDefinitions {
        /// A sweep and its definition.
        first: String,
        /// Another.
        second: String,
    },
    /// A comparison in [`Format::Jsonl`](crate::Format::Jsonl).
    #[error("a comparison has no format jsonl\nhelp: `table` prints the runs in it; choose csv or json here")]
    JsonlOfComparison,
    /// A results file without its header line.
    #[error("results file is empty, expected a header line\nhelp: it is the output in format jsonl")]
    NoHeader,
    /// A results file of another version.
    #[error("results file has schema {found}, expected {expected}\nhelp: use the hashlab version that wrote it")]
    Schema {
        /// Schema in the file.
        found: u32,
        /// Schema of this version.
        expected: u32,
    },
    /// A results file that was cut, or has lines of another.
    #[error(
        "the first line announces {}, and {found} follow: the file was cut, or lines of another were added\n\
         help: write it again, with `hashlab table NAME --format jsonl`", counted(*announced, "run")
    )]
    Lines {
        /// Runs that the first line announces.
        announced: usize,
        /// Lines that follow it.
        found: usize,
    },
    /// A results file that holds a run twice.
    #[error(
        "line {line} holds run {run}, as a line before does\n\
         help: write the file again, with `hashlab table NAME --format jsonl`"
    )]
    RepeatedRun {
        /// Line, counted from 1.
        line: usize,
        /// The run.
        run: RunId,
    },
    /// A results file that cannot be read to its end.
    #[error("the results file cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// A line of a results file that cannot be read.
    #[error("line {line} of the results file: {source}\nhelp: each line is one JSON object as hashlab wrote it")]
    Line {
        /// Line, counted from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

fn suggestion(closest: Option<&str>) -> String {
    closest.map_or(String::new(), |name| format!("did you mean `{name}`? "))
}
