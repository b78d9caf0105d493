//! Nearest neighbors of single queries, and the best and worst queries.

use crate::relevance::shared;
use crate::search::{Judgment, Part};
use crate::{Codes, EvalError, LabelSets};

/// A database item in the ranking of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbor {
    /// Position in the database, counted from 0.
    pub position: u32,
    /// Hamming distance to the query.
    pub distance: u32,
    /// Whether it shares a label with the query.
    pub relevant: bool,
}

/// Finds the nearest `count` database items of each of `queries`, nearest first and ties by position.
///
/// # Errors
/// If the two sides do not fit together, as in [`evaluate`](crate::evaluate).
///
/// # Panics
/// If a query does not exist.
pub fn nearest(
    query: &Codes,
    query_labels: LabelSets<'_>,
    database: &Codes,
    database_labels: LabelSets<'_>,
    queries: &[usize],
    count: usize,
) -> Result<Vec<Vec<Neighbor>>, EvalError> {
    let judgment = Judgment::Labels(query_labels, database_labels);
    Part { codes: database, judgment }.check(query)?;
    let of_query = |&index: &usize| {
        let labels = query_labels.item(index);
        let neighbor = |(distance, position): (u32, u32)| Neighbor {
            position,
            distance,
            relevant: shared(labels, database_labels.item(position as usize)) > 0,
        };
        nearest_positions(query, index, database, count).into_iter().map(neighbor).collect()
    };
    Ok(queries.iter().map(of_query).collect())
}

/// Distances and positions of the nearest `count` items.
fn nearest_positions(query: &Codes, index: usize, database: &Codes, count: usize) -> Vec<(u32, u32)> {
    let mut items: Vec<(u32, u32)> =
        (0..database.len()).map(|position| (query.hamming(index, database, position), position as u32)).collect();
    if count < items.len() {
        items.select_nth_unstable(count);
        items.truncate(count);
    }
    items.sort_unstable();
    items
}

/// Indices of the `count` queries with the highest and with the lowest average precision, the extreme ones first and
/// ties in the order of the queries.
///
/// ```
/// let (best, worst) = hashlab_eval::extremes(&[0.5, 0.9, 0.1, 0.9], 2);
/// assert_eq!((best, worst), (vec![1, 3], vec![2, 0]));
/// ```
pub fn extremes(average_precision: &[f32], count: usize) -> (Vec<usize>, Vec<usize>) {
    let mut ascending: Vec<usize> = (0..average_precision.len()).collect();
    ascending.sort_by(|&a, &b| average_precision[a].total_cmp(&average_precision[b]));
    let mut descending: Vec<usize> = (0..average_precision.len()).collect();
    descending.sort_by(|&a, &b| average_precision[b].total_cmp(&average_precision[a]));
    descending.truncate(count);
    ascending.truncate(count);
    (descending, ascending)
}
