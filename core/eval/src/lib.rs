//! Retrieval metrics over packed binary codes.
//!
//! Items are ranked by (Hamming distance, position in the database); an item is relevant if it shares at least one
//! label with the query, and the number of shared labels is its grade. Input is codes and labels, not tensors.
//! [`known_metrics`] lists what is measured, with every definition.
//!
//! ```
//! use hashlab_eval::{Codes, LabelSets, Options, evaluate};
//!
//! let query = Codes::from_signs(&[0.3, -1.2], 2)?;
//! let database = Codes::from_signs(&[0.5, -0.1, 2.0, 0.4, -0.7, 0.9], 2)?;
//! let options = Options { map_at: Some(2), ..Options::default() };
//! let report =
//!     evaluate(&query, LabelSets::new(&[0b01], 1)?, &database, LabelSets::new(&[0b01, 0b10, 0b11], 1)?, &options)?;
//! assert_eq!(report.scalar("map_at_k"), 1.0); // the first item is relevant, the second is not
//! assert_eq!(report.scalar("map_at_k_min_divisor"), 0.5); // the third would have been
//! assert_eq!(report.average_precision(), [1.0]); // per query
//! assert_eq!(database.counts().distinct, 3);
//! # Ok::<(), hashlab_eval::EvalError>(())
//! ```

mod asymmetric;
mod average_precision;
mod bitmaps;
mod bootstrap;
mod codes;
mod counts;
mod curves;
mod error;
mod expectation;
mod gains;
mod harmonic;
mod lists;
mod metrics;
mod neighbors;
mod per_class;
mod profile;
mod ranking;
mod relevance;
mod report;
mod scan;
mod search;
mod statistics;
mod streamed;

pub use asymmetric::{Logits, evaluate_asymmetric};
pub use bootstrap::{Interval, bootstrap};
pub use codes::Codes;
pub use counts::CodeCounts;
pub use error::EvalError;
pub use metrics::{Definition, Depth, MetricInfo, Search, known_metrics};
pub use neighbors::{Neighbor, extremes, nearest};
pub use per_class::{ClassMean, per_class};
pub use profile::{BitStatistics, DistanceCounts, distances};
pub use relevance::{Grades, LabelSets};
pub use report::{Options, Report};
pub use statistics::{Paired, holm, student_interval};
pub use streamed::{Database, Visit, evaluate_streamed};

use average_precision::Primary;
use report::Measure;
use search::{Judgment, Part};

/// Ranks the database for every query and measures the rankings.
///
/// Runs on the current rayon pool; equal input gives equal bits, whatever its number of threads. Besides codes and labels,
/// it takes memory for the relevant items of 8 queries per thread, 8 bytes each, for the places of the database's labels,
/// 2 bytes each, and for the results.
///
/// # Errors
/// If a side holds no items, codes and labels count different items, query and database differ in bits or in words per
/// label set, codes are longer than 4,096 bits, or [`Options::ranks`] or [`Options::map_at`] holds 0.
pub fn evaluate(
    query: &Codes,
    query_labels: LabelSets<'_>,
    database: &Codes,
    database_labels: LabelSets<'_>,
    options: &Options,
) -> Result<Report, EvalError> {
    let judgment = Judgment::Labels(query_labels, database_labels);
    measured(query, &Part { codes: database, judgment }, options)
}

/// As [`evaluate`], with a grade for every query and item in the place of labels. An item of grade 0 is not relevant.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_graded(
    query: &Codes,
    database: &Codes,
    grades: Grades<'_>,
    options: &Options,
) -> Result<Report, EvalError> {
    measured(query, &Part { codes: database, judgment: Judgment::Grades(grades) }, options)
}

fn measured(query: &Codes, database: &Part<'_>, options: &Options) -> Result<Report, EvalError> {
    database.check(query)?;
    let measure = Measure::new(options, database.codes.len(), query.bits())?;
    Ok(measure.report(search::sum(&measure, query, database)))
}

/// Measures mAP@K by one definition alone, with the bits of [`Report::primary`], for K as [`Options::map_at`]. Ranks only
/// the nearest items, which is faster.
///
/// # Errors
/// As [`evaluate`].
pub fn map_at_k(
    query: &Codes,
    query_labels: LabelSets<'_>,
    database: &Codes,
    database_labels: LabelSets<'_>,
    definition: Definition,
    k: Option<usize>,
) -> Result<f64, EvalError> {
    let part = Part { codes: database, judgment: Judgment::Labels(query_labels, database_labels) };
    part.check(query)?;
    let depth = report::depth(k, database.len())?;
    let primary = Primary { definition, depth, items: database.len() };
    Ok(report::mean(search::sum(&primary, query, &part).into_iter()))
}
