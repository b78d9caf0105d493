//! Retrieval metrics over packed binary codes.
//!
//! Items are ranked by (Hamming distance, position in the database); an item is relevant if it shares at least one
//! label with the query. Input is codes and labels, not tensors.
//!
//! ```
//! use hashlab_eval::{Codes, LabelSets, Options, evaluate};
//!
//! let query = Codes::from_signs(&[0.3, -1.2], 2)?;
//! let database = Codes::from_signs(&[0.5, -0.1, 2.0, 0.4, -0.7, 0.9], 2)?;
//! let options = Options { map_at: Some(2), ..Options::default() };
//! let report =
//!     evaluate(&query, LabelSets::new(&[0b01], 1)?, &database, LabelSets::new(&[0b01, 0b10, 0b11], 1)?, &options)?;
//! assert_eq!(report.map_at_k, 1.0); // the first item is relevant, the second is not
//! assert_eq!(report.map_at_k_min_divisor, 0.5); // the third would have been
//! assert_eq!(report.average_precision, [1.0]); // per query
//! assert_eq!(database.counts().distinct, 3);
//! # Ok::<(), hashlab_eval::EvalError>(())
//! ```

mod average_precision;
mod codes;
mod counts;
mod curves;
mod error;
mod neighbors;
mod profile;
mod ranking;
mod relevance;
mod report;
mod scan;
mod search;
mod weights;

pub use codes::Codes;
pub use counts::CodeCounts;
pub use error::EvalError;
pub use neighbors::{Neighbor, extremes, nearest};
pub use profile::{BitStatistics, DistanceCounts, distances};
pub use relevance::LabelSets;
pub use report::{Options, Report};

use average_precision::{average_precision, ratio};
use report::Totals;
use search::Search;
use weights::Weights;

/// Ranks the database for every query and measures the rankings.
///
/// Runs on the current rayon pool; equal input gives equal bits, whatever its number of threads.
///
/// # Errors
/// If a side holds no items, codes and labels count different items, or query and database differ in bits or in
/// words per label set, or [`Options::ranks`] or [`Options::map_at`] holds 0.
pub fn evaluate(
    query: &Codes,
    query_labels: LabelSets<'_>,
    database: &Codes,
    database_labels: LabelSets<'_>,
    options: &Options,
) -> Result<Report, EvalError> {
    let search = Search::new((query, query_labels), (database, database_labels))?;
    if let Some(position) = options.ranks.iter().position(|&rank| rank == 0) {
        return Err(EvalError::Rank { position });
    }
    let weights = Weights::new(database.len(), search.depth(options.map_at)?);
    let zero = || Totals::zero(database.bits(), options);
    let totals = search.sum(database.len(), zero, |sum, ranking| sum.add(ranking, &weights), Totals::merge);
    Ok(totals.report())
}

/// Measures [`Report::map_at_k`] alone, with the same bits, for K as [`Options::map_at`]. Ranks only the nearest K
/// items, which is faster.
///
/// # Errors
/// As [`evaluate`].
pub fn map_at_k(
    query: &Codes,
    query_labels: LabelSets<'_>,
    database: &Codes,
    database_labels: LabelSets<'_>,
    k: Option<usize>,
) -> Result<f64, EvalError> {
    let search = Search::new((query, query_labels), (database, database_labels))?;
    let depth = search.depth(k)?;
    let sum =
        search.sum(depth, || 0.0, |sum, ranking| *sum += average_precision(ranking, depth), |sum, part| *sum += part);
    Ok(ratio(sum, query.len()))
}
