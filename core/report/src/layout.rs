//! What a report shows: cells, metrics and options together.

use hashlab_data::Task;
use hashlab_eval::{Interval, bootstrap, student_interval};

use crate::aggregate::{Cell, Comparison, Setting, Statistic, Value};
use crate::details::Details;
use crate::metrics;
use crate::options::{IntervalOver, Options};
use crate::paired::of_queries;
use crate::published::Published;
use crate::sweep_report::SweepReport;
use crate::wording::fraction;

/// Resamples of the queries that an interval comes from.
pub(crate) const RESAMPLES: usize = 1000;

/// What is rendered and how.
pub(crate) struct Layout<'a> {
    /// The sweep.
    pub(crate) report: &'a SweepReport,
    /// Its cells.
    pub(crate) comparison: &'a Comparison<'a>,
    /// Published values, of any method and data set.
    pub(crate) published: &'a [Published],
    /// Metrics to show, at least one.
    pub(crate) metrics: &'a [String],
    /// What runs left beside their results.
    pub(crate) details: &'a Details,
    /// Format and extent.
    pub(crate) options: &'a Options,
}

impl<'a> Layout<'a> {
    /// Name of the primary metric.
    pub(crate) fn primary(&self) -> &'static str {
        self.report.header.primary()
    }

    /// Heading of a metric.
    pub(crate) fn title(&self, metric: &str) -> String {
        metrics::title(metric, self.report.header.map_at)
    }

    /// A metric of what a row shows: a setting where each has its own row, a cell otherwise.
    pub(crate) fn value(&self, cell: &Cell<'_>, setting: usize, task: Task, metric: &str) -> Value {
        if self.options.all { cell.settings[setting].value(task, metric) } else { cell.value(task, metric) }
    }

    /// Text behind a mean: the deviation over seeds, or the interval that was asked for.
    pub(crate) fn spread(&self, statistic: &Statistic, setting: &Setting<'_>, task: Task, metric: &str) -> String {
        let interval = |found: Option<Interval>| {
            found.map_or(String::new(), |i| format!(" [{}, {}]", fraction(i.low), fraction(i.high)))
        };
        match self.options.interval {
            None => statistic.std.map_or(String::new(), |std| format!(" ± {}", fraction(std))),
            Some(IntervalOver::Seeds) => {
                interval(statistic.std.and_then(|std| student_interval(statistic.mean, std, statistic.n)))
            }
            Some(IntervalOver::Queries) if metric == self.primary() => {
                let queries = of_queries(setting, task, self.details, self.report.header.definition);
                interval(queries.map(|values| bootstrap(&values, RESAMPLES, 0)))
            }
            Some(IntervalOver::Queries) => String::new(),
        }
    }

    /// The settings that have a row: their label, their cell and their index in it.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&'a str, &Cell<'a>, usize)> {
        let shown = |cell: &Cell<'_>, i: usize| self.options.all || i == cell.selected;
        self.comparison.cells().flat_map(move |(label, cell)| {
            (0..cell.settings.len()).filter(move |&i| shown(cell, i)).map(move |i| (label, cell, i))
        })
    }

    /// The settings that are shown, with their labels.
    pub(crate) fn shown(&self) -> impl Iterator<Item = (&'a str, &Setting<'a>)> {
        self.rows().map(|(label, cell, i)| (label, &cell.settings[i]))
    }

    /// Whether numbers need their task beside them.
    pub(crate) fn several_tasks(&self) -> bool {
        self.comparison.tasks.len() > 1
    }
}
