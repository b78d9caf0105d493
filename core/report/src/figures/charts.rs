//! Lines per row: metrics, curves and what training measured.

use hashlab_data::Task;
use hashlab_eval::MetricInfo;
use hashlab_store::RunResult;

use super::Figures;
use super::curves::{VALIDATION, at_bits, of_journals, of_results};
use crate::aggregate::{Row, Setting};
use crate::figure::{Figure, LineChart, Range, Scale, Series};
use crate::metrics;

impl Figures<'_> {
    pub(super) fn over_bits(&self, metric: &str, task: Task) -> Option<Figure> {
        let title = metrics::title(metric, self.report.header.map_at);
        let fraction = metrics::info(metric).is_none_or(MetricInfo::more_is_better);
        let line = |row: &Row<'_>| {
            let cells = row.cells.iter().flatten();
            let points = cells.filter_map(|cell| at_bits(cell.shown(), cell.value(task, metric))).collect();
            Series { name: row.label.to_owned(), points }
        };
        LineChart {
            title: format!("{title} by code length{}", self.of_task(task)),
            x: "bits".to_owned(),
            y: title,
            x_scale: Scale::LogAtValues,
            y_range: if fraction { Range::Data } else { Range::FromZero },
            series: self.comparison.rows.iter().map(line).collect(),
        }
        .figure()
    }

    pub(super) fn precision_recall(&self, bits: usize, task: Task) -> Option<Figure> {
        let points = |s: &Setting<'_>| of_results(s, task, curve("radius_recall"), radius_precision);
        LineChart {
            title: format!("Precision over recall as the Hamming radius grows, {bits} bits{}", self.of_task(task)),
            x: "recall".to_owned(),
            y: "precision".to_owned(),
            x_scale: Scale::Linear,
            y_range: Range::Fraction,
            series: self.lines(bits, points),
        }
        .figure()
    }

    pub(super) fn at_ranks(&self, bits: usize, task: Task, name: &'static str, title: &str) -> Option<Figure> {
        LineChart {
            title: format!("{title}, {bits} bits{}", self.of_task(task)),
            x: "N".to_owned(),
            y: title.to_owned(),
            x_scale: Scale::LogAtValues,
            y_range: Range::Data,
            series: self.lines(bits, |s| of_results(s, task, curve("ranks"), curve(name))),
        }
        .figure()
    }

    pub(super) fn radius(&self, bits: usize, task: Task) -> Option<Figure> {
        let radii = |r: &RunResult, task: Task| {
            let length = curve("radius_precision")(r, task)?.len();
            Some((0..length).map(|radius| radius as f64).collect())
        };
        LineChart {
            title: format!("Precision within a Hamming radius, {bits} bits{}", self.of_task(task)),
            x: "radius".to_owned(),
            y: "precision".to_owned(),
            x_scale: Scale::Linear,
            y_range: Range::FromZero,
            series: self.lines(bits, |s| of_results(s, task, radii, radius_precision)),
        }
        .figure()
    }

    pub(super) fn loss(&self, row: &Row<'_>) -> Option<Figure> {
        let line =
            |s: &Setting<'_>| Series { name: format!("{} bits", s.bits), points: of_journals(s, self.details, "loss") };
        LineChart {
            title: format!("Training loss of {}", row.label),
            x: "epoch".to_owned(),
            y: "loss".to_owned(),
            x_scale: Scale::Linear,
            y_range: Range::Data,
            series: row.shown().map(line).collect(),
        }
        .figure()
    }

    pub(super) fn validation(&self, bits: usize) -> Option<Figure> {
        let title = self.report.header.primary_title();
        LineChart {
            title: format!("Validation {title} during training, {bits} bits"),
            x: "epoch".to_owned(),
            y: format!("validation {title}"),
            x_scale: Scale::Linear,
            y_range: Range::Data,
            series: self.lines(bits, |s| of_journals(s, self.details, VALIDATION)),
        }
        .figure()
    }
}

fn curve(name: &'static str) -> impl Fn(&RunResult, Task) -> Option<Vec<f64>> {
    move |result, task| result.test.get(&task)?.curves.get(name).cloned()
}

/// Precision within radius `0..=bits`; NaN where no query has anything within.
fn radius_precision(result: &RunResult, task: Task) -> Option<Vec<f64>> {
    let (precision, nonempty) = (curve("radius_precision")(result, task)?, curve("radius_nonempty")(result, task)?);
    Some(precision.into_iter().zip(nonempty).map(|(p, queries)| if queries > 0.0 { p } else { f64::NAN }).collect())
}
