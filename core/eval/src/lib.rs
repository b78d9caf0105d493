//! Retrieval metrics over packed binary codes.
//!
//! Items are ranked by (Hamming distance, position in the database); an item is relevant if it shares at least one
//! label with the query. The module sees codes and labels, never tensors or methods.
//!
//! ```
//! use hashlab_eval::{Codes, LabelSets, Options, evaluate};
//!
//! let query = Codes::from_signs(&[0.3, -1.2], 2)?;
//! let database = Codes::from_signs(&[0.5, -0.1, 2.0, 0.4, -0.7, 0.9], 2)?;
//! let options = Options { map_at: 2, ..Options::default() };
//! let report =
//!     evaluate(&query, LabelSets::new(&[0b01], 1)?, &database, LabelSets::new(&[0b01, 0b10, 0b11], 1)?, &options)?;
//! assert_eq!(report.map_at_k, 1.0); // the first item is relevant, the second is not
//! assert_eq!(report.map_at_k_total, 0.5); // the third would have been
//! # Ok::<(), hashlab_eval::EvalError>(())
//! ```

mod average_precision;
mod codes;
mod curves;
mod error;
mod ranking;
mod relevance;
mod report;
mod scan;
mod weights;

pub use codes::Codes;
pub use error::EvalError;
pub use relevance::LabelSets;
pub use report::{Options, Report};

use rayon::prelude::*;

use ranking::Ranker;
use report::Totals;
use weights::Weights;

/// Queries summed by one task. Fixed, so that the order of additions does not depend on the number of threads.
const QUERIES_PER_TASK: usize = 16;

/// Ranks the database for every query and measures the rankings.
///
/// Runs on the current rayon pool; equal input gives equal bits, whatever its number of threads.
///
/// # Errors
/// If a side holds no items, codes and labels count different items, or query and database differ in bits or in
/// words per label set, or the grid holds 0.
pub fn evaluate(
    query: &Codes,
    query_labels: LabelSets<'_>,
    database: &Codes,
    database_labels: LabelSets<'_>,
    options: &Options,
) -> Result<Report, EvalError> {
    check_side("query", query, query_labels)?;
    check_side("database", database, database_labels)?;
    check_width("bits per code", query.bits(), database.bits())?;
    check_width("words per label set", query_labels.words(), database_labels.words())?;
    if let Some(position) = options.grid.iter().position(|&depth| depth == 0) {
        return Err(EvalError::Depth { position });
    }
    let depth = if options.map_at == 0 { database.len() } else { options.map_at.min(database.len()) };
    let weights = Weights::new(database.len(), depth);
    let sum_task = |ranker: &mut Ranker<'_>, task: usize| {
        let first = task * QUERIES_PER_TASK;
        let mut totals = Totals::zero(database.bits(), options);
        for index in first..query.len().min(first + QUERIES_PER_TASK) {
            totals.add(ranker.rank(query.item(index), query_labels.item(index)), &weights);
        }
        totals
    };
    let tasks = query.len().div_ceil(QUERIES_PER_TASK);
    let parts: Vec<Totals<'_>> =
        (0..tasks).into_par_iter().map_init(|| Ranker::new(database, database_labels), sum_task).collect();
    let mut totals = Totals::zero(database.bits(), options);
    parts.iter().for_each(|part| totals.merge(part));
    Ok(totals.report())
}

fn check_side(side: &'static str, codes: &Codes, labels: LabelSets<'_>) -> Result<(), EvalError> {
    if codes.is_empty() {
        return Err(EvalError::Empty { side });
    }
    if codes.len() != labels.len() {
        return Err(EvalError::Items { side, codes: codes.len(), labels: labels.len() });
    }
    Ok(())
}

fn check_width(what: &'static str, query: usize, database: usize) -> Result<(), EvalError> {
    if query == database { Ok(()) } else { Err(EvalError::Width { what, query, database }) }
}
