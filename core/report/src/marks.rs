//! The best and the second best of a column, with what chance does not tell from them.

use hashlab_data::Task;
use hashlab_eval::{Paired, holm};

use crate::aggregate::{Cell, Comparison, Value};
use crate::document::{Content, Mark};
use crate::paired::by_seed;
use crate::wording::fraction;

/// A difference whose adjusted p value is at least this is noise.
const LEVEL: f64 = 0.05;

/// What marks mean where no row is marked for being within noise.
pub(crate) const LEGEND: [(Mark, &str); 2] = [(Mark::Bold, "best of the column"), (Mark::Underlined, "second best")];
/// What they mean otherwise.
pub(crate) const WITH_NOISE: [(Mark, &str); 2] =
    [(Mark::Bold, "best within noise"), (Mark::Underlined, "second, likewise")];

/// Says what noise is.
pub(crate) const NOISE: &str = "within noise: p ≥ 0.05 by a paired t test over equal seeds, with Holm's correction";

/// Marks the best and the second best of each column; returns what the marks mean, and whether noise has a part in it.
pub(crate) fn mark_columns(
    rows: &mut [Vec<Content>],
    comparison: &Comparison<'_>,
    metric: &str,
    tasks: &[Task],
) -> ([(Mark, &'static str); 2], bool) {
    let mut noise = false;
    let columns = tasks.iter().flat_map(|&task| (0..comparison.bits.len()).map(move |bits| (task, bits)));
    for (column, (task, bits)) in columns.enumerate() {
        let column_rows = comparison.rows.iter().map(|row| row.cells[bits].as_ref());
        let (marks, tied) = Column { cells: column_rows.collect(), task, metric }.rank();
        noise |= tied;
        rows.iter_mut().zip(marks).for_each(|(row, mark)| row[column + 1].mark = mark);
    }
    (if noise { WITH_NOISE } else { LEGEND }, noise)
}

/// The cells of a column, row by row; none where a row has none there.
struct Column<'a> {
    cells: Vec<Option<&'a Cell<'a>>>,
    task: Task,
    metric: &'a str,
}

impl Column<'_> {
    /// Marks the rows; says whether any is marked that only noise tells from a better one. A value without a rival gets no
    /// mark, and values that print alike share one.
    fn rank(&self) -> (Vec<Mark>, bool) {
        let means: Vec<Option<f64>> = self.cells.iter().map(|cell| self.mean((*cell)?)).collect();
        let mut marks = vec![Mark::Plain; means.len()];
        let mut noise = false;
        if means.iter().flatten().count() < 2 {
            return (marks, noise);
        }
        for mark in [Mark::Bold, Mark::Underlined] {
            let rest = (0..means.len()).filter(|&row| marks[row] == Mark::Plain);
            let rest: Vec<(usize, f64)> = rest.filter_map(|row| Some((row, means[row]?))).collect();
            let Some(&(best, highest)) = rest.iter().max_by(|a, b| a.1.total_cmp(&b.1)) else { break };
            let tied = self.tied(best, &rest);
            for (&(row, mean), tied) in rest.iter().zip(tied) {
                let alike = fraction(mean) == fraction(highest);
                if alike || tied {
                    marks[row] = mark;
                    noise |= !alike;
                }
            }
        }
        (marks, noise)
    }

    fn mean(&self, cell: &Cell<'_>) -> Option<f64> {
        match cell.value(self.task, self.metric) {
            Value::Measured(statistic) => Some(statistic.mean),
            _ => None,
        }
    }

    /// Which rows a test does not tell from the best; none where there are too few seeds for a test.
    fn tied(&self, best: usize, rows: &[(usize, f64)]) -> Vec<bool> {
        let p = |&(row, _): &(usize, f64)| {
            let (best, cell) = (self.cells[best]?, self.cells[row]?);
            Paired::of(&by_seed(best.shown(), cell.shown(), self.task, self.metric))?.p
        };
        let p: Vec<Option<f64>> = rows.iter().map(p).collect();
        let mut adjusted = holm(&p.iter().flatten().copied().collect::<Vec<_>>()).into_iter();
        let is_noise = |p: &Option<f64>| p.and_then(|_| adjusted.next()).is_some_and(|p| p >= LEVEL);
        p.iter().map(is_noise).collect()
    }
}
