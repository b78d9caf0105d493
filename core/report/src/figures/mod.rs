//! Which figures a sweep has, and how each comes from its runs.

mod ablations;
mod charts;
mod codes;
mod curves;
mod request;

use hashlab_data::Task;
use hashlab_store::BitProfile;

use crate::aggregate::{Comparison, Row, Setting};
use crate::details::Details;
use crate::encodings::apart;
use crate::error::ReportError;
use crate::figure::{Figure, Point, Series};
use crate::hyperparameters::Ablation;
use crate::metrics;
use crate::sweep_report::SweepReport;
use crate::wording::joined;
use curves::of_journals;
pub use request::{FigureKind, FigureRequest};

/// Makes a figure of a sweep.
///
/// # Errors
/// [`ReportError::NoFigure`] if the sweep has nothing to show there, [`ReportError::UnknownMetric`] or
/// [`ReportError::UnmeasuredMetric`].
pub fn figure(report: &SweepReport, details: &Details, request: &FigureRequest) -> Result<Figure, ReportError> {
    let runs = apart(&report.runs);
    let comparison = Comparison::of(&runs);
    metrics::chosen(report, request.metric.as_slice())?;
    Figures { report, comparison: &comparison, details }.of(request)
}

/// What figures are made of.
pub(crate) struct Figures<'a> {
    pub(crate) report: &'a SweepReport,
    pub(crate) comparison: &'a Comparison<'a>,
    pub(crate) details: &'a Details,
}

impl Figures<'_> {
    /// Makes a figure.
    pub(crate) fn of(&self, request: &FigureRequest) -> Result<Figure, ReportError> {
        let nothing = |what: String| ReportError::NoFigure { figure: request.kind.name(), what };
        let bits = self.bits(request).ok_or_else(|| nothing(self.known_bits()))?;
        let task = self.task(request).ok_or_else(|| nothing(self.known_tasks()))?;
        let made = match request.kind {
            FigureKind::MapBits => {
                self.over_bits(request.metric.as_deref().unwrap_or(self.report.header.primary()), task)
            }
            FigureKind::PrecisionRecall => self.precision_recall(bits, task),
            FigureKind::PrecisionAt => self.at_ranks(bits, task, "precision_at", "Precision@N"),
            FigureKind::RecallAt => self.at_ranks(bits, task, "recall_at", "Recall@N"),
            FigureKind::Radius => self.radius(bits, task),
            FigureKind::Loss => self.row(request).and_then(|row| self.loss(row)),
            FigureKind::Validation => self.validation(bits),
            FigureKind::HeatMap => self.heat_map(request),
            FigureKind::Parallel => self.ablation(request).and_then(|ablation| self.parallel(&ablation)),
            FigureKind::Balance => self.balance(bits),
            FigureKind::Correlation => self.correlation(bits),
            FigureKind::BitMatrix => self.row(request).and_then(|row| self.bit_matrix(row, bits)),
            FigureKind::Distances => self.row(request).and_then(|row| self.distances(row, bits, task)),
        };
        made.ok_or_else(|| nothing(self.known(request)))
    }

    fn bits(&self, request: &FigureRequest) -> Option<usize> {
        match request.bits {
            Some(bits) => self.comparison.bits.contains(&bits).then_some(bits),
            None => self.comparison.bits.last().copied(),
        }
    }

    fn known_bits(&self) -> String {
        format!("the sweep has codes of {} bits", joined(&self.comparison.bits))
    }

    fn task(&self, request: &FigureRequest) -> Option<Task> {
        match request.task {
            Some(task) => self.comparison.tasks.contains(&task).then_some(task),
            None => self.comparison.tasks.first().copied(),
        }
    }

    fn known_tasks(&self) -> String {
        format!("the sweep has the tasks {}", joined(self.comparison.tasks.iter().map(Task::key)))
    }

    /// What there is of a kind, for an error.
    fn known(&self, request: &FigureRequest) -> String {
        let ablations = Ablation::of(self.comparison, self.details);
        let rows = || format!("rows: {}", joined(self.comparison.rows.iter().map(|r| r.label)));
        match request.kind {
            FigureKind::HeatMap | FigureKind::Parallel if ablations.is_empty() => {
                "it needs a method with settings that differ in a hyperparameter".to_owned()
            }
            FigureKind::HeatMap | FigureKind::Parallel => {
                let keys = |a: &Ablation| format!("{}: {}", a.method, joined(a.keys.iter().map(|(key, _)| key)));
                format!("hyperparameters by method: {}", ablations.iter().map(keys).collect::<Vec<_>>().join("; "))
            }
            FigureKind::Loss => format!("it needs the journal of a method that trains by epochs; {}", rows()),
            FigureKind::Validation => "it needs journals of methods that validate during training".to_owned(),
            FigureKind::Balance | FigureKind::Correlation => {
                "it needs runs that kept statistics of their codes".to_owned()
            }
            FigureKind::BitMatrix => {
                let most = BitProfile::MOST_PAIRED;
                format!("it needs runs that kept correlations of pairs of bits, as of up to {most} bits; {}", rows())
            }
            FigureKind::Distances => format!("it needs runs that kept statistics of their codes; {}", rows()),
            _ => "no finished run has its curve".to_owned(),
        }
    }

    fn row(&self, request: &FigureRequest) -> Option<&Row<'_>> {
        let deep = |row: &Row<'_>| row.shown().any(|s| !of_journals(s, self.details, "loss").is_empty());
        match &request.row {
            Some(label) => self.comparison.rows.iter().find(|row| row.label == label),
            None if request.kind == FigureKind::Loss => self.comparison.rows.iter().find(|row| deep(row)),
            None => self.comparison.rows.iter().find(|row| row.shown().any(Setting::any_finished)),
        }
    }

    fn ablation(&self, request: &FigureRequest) -> Option<Ablation> {
        let mut all = Ablation::of(self.comparison, self.details).into_iter();
        match &request.row {
            Some(method) => all.find(|a| a.method == *method),
            None => all.next(),
        }
    }

    /// A line per row of what `points` finds at a code length.
    fn lines(&self, bits: usize, points: impl Fn(&Setting<'_>) -> Vec<Point>) -> Vec<Series> {
        let shown = |row: &Row<'_>| row.shown().find(|s| s.bits == bits).map(&points).unwrap_or_default();
        self.comparison.rows.iter().map(|row| Series { name: row.label.to_owned(), points: shown(row) }).collect()
    }

    /// Names the task where there are several.
    fn of_task(&self, task: Task) -> String {
        if self.comparison.tasks.len() > 1 { format!(", {task}") } else { String::new() }
    }
}
