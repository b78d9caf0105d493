//! Formats and extent of a report.

use std::str::FromStr;

use crate::error::ReportError;
use crate::metrics::check_names;

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns for a terminal.
    Text,
    /// A page with pipe tables.
    Markdown,
    /// `table` environments; needs the package `booktabs`.
    Latex,
    /// One line per method, code length and task, or per setting with [`Options::all`]; full precision.
    Csv,
    /// One object; full precision.
    Json,
    /// A header line and one line per run, of every setting whatever [`Options::all`] says. Can be read back.
    Jsonl,
}

impl Format {
    /// Every format with its name.
    pub const ALL: [(&str, Self); 6] = [
        ("text", Self::Text),
        ("markdown", Self::Markdown),
        ("latex", Self::Latex),
        ("csv", Self::Csv),
        ("json", Self::Json),
        ("jsonl", Self::Jsonl),
    ];
}

impl FromStr for Format {
    type Err = ReportError;

    fn from_str(name: &str) -> Result<Self, ReportError> {
        let found = Self::ALL.into_iter().find(|(known, _)| *known == name);
        let known = || Self::ALL.map(|(known, _)| known).join(", ");
        found.map(|(_, f)| f).ok_or_else(|| ReportError::UnknownFormat { given: name.to_owned(), known: known() })
    }
}

/// What [`render`](crate::render) writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How it is written.
    pub format: Format,
    /// One table per metric, in this order. Empty asks for the primary metric and, where it was measured, the mAP over
    /// the whole ranking expected over ties. Settings are selected by the primary metric whatever is shown.
    pub metrics: Vec<String>,
    /// One row per setting in place of one per method.
    pub all: bool,
    /// Prints intervals of 95 % in the place of deviations.
    pub interval: Option<IntervalOver>,
    /// Whether to write wall-clock times and memory, the only parts that differ between repetitions.
    pub times: bool,
    /// Whether to write the times of encoding an item and of a query, where other times are written.
    pub latency: bool,
    /// Whether [`Format::Text`] marks by bold and underline, in place of `*` and `+`.
    pub color: bool,
    /// Whether [`Format::Text`] has ASCII in the place of rules and symbols, for a terminal that is not UTF-8.
    pub ascii: bool,
}

/// Population that an interval is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntervalOver {
    /// Other seeds: by Student's t distribution.
    Seeds,
    /// Other queries, with the same trained states: by the bootstrap, of the primary metric.
    Queries,
}

impl Options {
    /// The default tables in a format: with times, without color.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            metrics: Vec::new(),
            all: false,
            interval: None,
            times: true,
            latency: false,
            color: false,
            ascii: false,
        }
    }

    /// Finds mistakes that need no report, so that they show before a sweep runs.
    ///
    /// # Errors
    /// [`ReportError::UnknownMetric`]; [`ReportError::MetricsOfJsonl`] where a format that holds every metric is to hold
    /// some; [`ReportError::IntervalOfData`] where a format without intervals is to have them.
    pub fn check(&self) -> Result<(), ReportError> {
        check_names(&self.metrics)?;
        if self.format == Format::Jsonl && !self.metrics.is_empty() {
            return Err(ReportError::MetricsOfJsonl);
        }
        if self.interval.is_some() && matches!(self.format, Format::Csv | Format::Json | Format::Jsonl) {
            return Err(ReportError::IntervalOfData);
        }
        Ok(())
    }
}
