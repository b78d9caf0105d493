//! Marks of the best of a column, of rows within noise of it, and of the second best.

use hashlab_data::Task;
use hashlab_eval::Paired;

use crate::aggregate::{Cell, Comparison, Value};
use crate::document::{Content, Mark};
use crate::paired::by_seed;
use crate::wording::fraction;

/// A difference whose p value is at least this is noise. It is not adjusted for the number of rows: an adjustment guards
/// against false claims of a difference, and would call more rows equal the more there are.
const LEVEL: f64 = 0.05;

/// Meaning of the marks where no row is marked for being within noise.
pub(crate) const LEGEND: [(Mark, &str); 2] = [(Mark::Bold, "best of the column"), (Mark::Underlined, "second best")];
/// Their meaning otherwise.
pub(crate) const WITH_NOISE: [(Mark, &str); 2] =
    [(Mark::Bold, "best, or within noise of it"), (Mark::Underlined, "second best")];

/// Definition of noise.
pub(crate) const NOISE: &str = "within noise of the best: p ≥ 0.05 by a paired t test over equal seeds";

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
    /// Marks of the rows, and whether one is marked that only noise tells from the best. A value without a rival gets no
    /// mark, and values that print alike share one. The second best is marked unless it is within noise of the best.
    fn rank(&self) -> (Vec<Mark>, bool) {
        let means: Vec<Option<f64>> = self.cells.iter().map(|cell| self.mean((*cell)?)).collect();
        let mut marks = vec![Mark::Plain; means.len()];
        let mut found: Vec<(usize, f64)> = (0..means.len()).filter_map(|row| Some((row, means[row]?))).collect();
        found.sort_by(|a, b| b.1.total_cmp(&a.1));
        let [(best, highest), others @ ..] = found.as_slice() else { return (marks, false) };
        if others.is_empty() {
            return (marks, false);
        }
        let alike = |a: f64, b: f64| fraction(a) == fraction(b);
        marks[*best] = Mark::Bold;
        let mut noise = false;
        for &(row, mean) in others {
            let tied = self.is_noise(*best, row);
            if tied || alike(mean, *highest) {
                marks[row] = Mark::Bold;
                noise |= !alike(mean, *highest);
            }
        }
        if let Some(&(_, second)) = others.iter().find(|(_, mean)| !alike(*mean, *highest)) {
            let seconds = others.iter().filter(|&&(row, mean)| alike(mean, second) && marks[row] == Mark::Plain);
            seconds.map(|&(row, _)| row).collect::<Vec<_>>().into_iter().for_each(|row| marks[row] = Mark::Underlined);
        }
        (marks, noise)
    }

    fn mean(&self, cell: &Cell<'_>) -> Option<f64> {
        match cell.value(self.task, self.metric) {
            Value::Measured(statistic) => Some(statistic.mean),
            _ => None,
        }
    }

    /// Whether a test does not tell a row from the best; false with too few seeds for a test.
    fn is_noise(&self, best: usize, row: usize) -> bool {
        let p = || {
            let (best, cell) = (self.cells[best]?, self.cells[row]?);
            Paired::of(&by_seed(best.shown(), cell.shown(), self.task, self.metric))?.p
        };
        p().is_some_and(|p| p >= LEVEL)
    }
}
