//! Asymmetric search: real-valued queries against binary codes.

use rayon::prelude::*;

use crate::ranking::Ranking;
use crate::relevance::shared;
use crate::report::{Measure, Totals};
use crate::search::{Summary, check_side, check_width};
use crate::{Codes, EvalError, LabelSets, Options, Report};

/// Real-valued queries `(n, bits)`, row by row, before the sigmoid.
#[derive(Clone, Copy, Debug)]
pub struct Logits<'a> {
    bits: usize,
    values: &'a [f32],
}

impl<'a> Logits<'a> {
    /// Borrows the values of shape `(n, bits)`.
    ///
    /// # Errors
    /// If they end within a query, or one is NaN.
    pub fn new(values: &'a [f32], bits: usize) -> Result<Self, EvalError> {
        if bits == 0 || !values.len().is_multiple_of(bits) {
            return Err(EvalError::Chunk { values: values.len(), bits });
        }
        match values.iter().position(|value| value.is_nan()) {
            Some(at) => Err(EvalError::NanQuery { item: at / bits, bit: at % bits }),
            None => Ok(Self { bits, values }),
        }
    }

    /// Number of queries.
    pub fn len(&self) -> usize {
        self.values.len() / self.bits
    }

    /// Whether there are no queries.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The distance of query `index` to every code: `Σ |σ(logit) − bit|`, as CroVCA measures it.
    ///
    /// # Panics
    /// If there is no such query, or codes are shorter or longer than it.
    pub fn distances(&self, index: usize, codes: &Codes) -> Vec<f64> {
        assert_eq!(self.bits, codes.bits(), "queries and codes have equal lengths");
        let table = DistanceTable::of(&self.values[index * self.bits..(index + 1) * self.bits]);
        (0..codes.len()).map(|item| table.distance(codes.item(item))).collect()
    }
}

/// Contribution of each value of each byte of a code to its distance. A code's sum depends on the code alone, so that equal codes
/// tie.
struct DistanceTable(Vec<[f64; 256]>);

impl DistanceTable {
    fn of(logits: &[f32]) -> Self {
        let sigmoid = |logit: &f32| 1.0 / (1.0 + (-f64::from(*logit)).exp());
        let of_byte = |logits: &[f32]| {
            let one: Vec<f64> = logits.iter().map(sigmoid).collect();
            let add = |byte: usize| {
                one.iter().enumerate().map(move |(bit, p)| if byte >> bit & 1 == 1 { 1.0 - p } else { *p })
            };
            std::array::from_fn(|byte| add(byte).sum())
        };
        Self(logits.chunks(8).map(of_byte).collect())
    }

    fn distance(&self, code: &[u64]) -> f64 {
        let bytes = code.iter().flat_map(|word| word.to_le_bytes());
        self.0.iter().zip(bytes).map(|(table, byte)| table[usize::from(byte)]).sum()
    }
}

/// As [`evaluate`](crate::evaluate), for real-valued queries: items are ranked by (asymmetric distance, position). Metrics
/// and curves of Hamming radii are left out.
///
/// # Errors
/// As [`evaluate`](crate::evaluate).
pub fn evaluate_asymmetric(
    query: Logits<'_>,
    query_labels: LabelSets<'_>,
    database: &Codes,
    database_labels: LabelSets<'_>,
    options: &Options,
) -> Result<Report, EvalError> {
    check_side("query", query.len(), query_labels.len())?;
    check_side("database", database.len(), database_labels.len())?;
    check_width("bits per code", query.bits, database.bits())?;
    check_width("words per label set", query_labels.words(), database_labels.words())?;
    let measure = Measure::new(options, database.len(), 0)?;
    let of_query = |ranking: &mut Ranking, index: usize| {
        rank(ranking, &query.distances(index, database), query_labels.item(index), database_labels);
        let mut totals = measure.zero();
        measure.add(&mut totals, ranking);
        totals
    };
    let parts: Vec<Totals> = (0..query.len()).into_par_iter().map_init(Ranking::default, of_query).collect();
    let mut totals = measure.zero();
    parts.into_iter().for_each(|part| measure.merge(&mut totals, part));
    Ok(measure.report(totals))
}

/// Ranks items by (distance, position).
fn rank(ranking: &mut Ranking, distances: &[f64], labels: &[u64], sets: LabelSets<'_>) {
    let mut order: Vec<u32> = (0..distances.len() as u32).collect();
    order.sort_by(|&a, &b| distances[a as usize].total_cmp(&distances[b as usize]));
    let grade = |item: u32| shared(labels, sets.item(item as usize)).min(u32::from(u16::MAX)) as u16;
    let mut before = f64::NEG_INFINITY;
    let sorted = order.iter().map(|&item| {
        let distance = distances[item as usize];
        let farther = distance > before;
        before = distance;
        (farther, grade(item))
    });
    ranking.fill_sorted(sorted);
}
