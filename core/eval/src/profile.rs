//! What codes look like: balance and correlation of bits, distances between queries and database.

use crate::ranking::Ranking;
use crate::search::{self, Judgment, Part, Summary};
use crate::{Codes, EvalError, LabelSets};

/// Bins of equal width for the magnitude of a correlation.
const BINS: usize = 20;

/// Statistics of single bits over a list of codes.
#[derive(Clone, Debug, PartialEq)]
pub struct BitStatistics {
    /// The share of codes in which a bit is 1, by bit.
    pub ones: Vec<f64>,
    /// Pairs of bits by the magnitude of their Pearson correlation, in 20 bins of equal width. A pair with a constant bit
    /// has none.
    pub correlations: Vec<u64>,
    /// The mean magnitude; 0 without pairs.
    pub mean_correlation: f64,
    /// The largest magnitude.
    pub largest_correlation: f64,
    /// The correlation of each bit with the bits before it, bit after bit: 1 with 0, 2 with 0, 2 with 1 … None of a pair with
    /// a constant bit.
    pub pairs: Vec<Option<f64>>,
}

/// Pairs of a query and a database item by their Hamming distance, `0..=bits`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistanceCounts {
    /// Pairs that share a label.
    pub relevant: Vec<u64>,
    /// Pairs that share none.
    pub others: Vec<u64>,
}

impl Codes {
    /// Measures the balance of the bits and their correlations.
    ///
    /// ```
    /// # use hashlab_eval::Codes;
    /// let codes = Codes::from_signs(&[1.0, 1.0, -1.0, -1.0, 1.0, 1.0, -1.0, -1.0], 2)?; // 11, 00, 11, 00
    /// let statistics = codes.bit_statistics();
    /// assert_eq!(statistics.ones, [0.5, 0.5]);
    /// assert_eq!(statistics.largest_correlation, 1.0);
    /// # Ok::<(), hashlab_eval::EvalError>(())
    /// ```
    pub fn bit_statistics(&self) -> BitStatistics {
        let (items, columns) = (self.len().max(1) as f64, self.columns());
        let count = |column: &[u64]| column.iter().map(|word| u64::from(word.count_ones())).sum::<u64>() as f64;
        let ones: Vec<f64> = columns.iter().map(|column| count(column) / items).collect();
        let correlation = |i: usize, j: usize| {
            let both = columns[i].iter().zip(&columns[j]).map(|(a, b)| u64::from((a & b).count_ones())).sum::<u64>();
            let variance = ones[i] * (1.0 - ones[i]) * ones[j] * (1.0 - ones[j]);
            let covariance = both as f64 / items - ones[i] * ones[j];
            (variance > 0.0).then(|| (covariance / variance.sqrt()).clamp(-1.0, 1.0))
        };
        let pairs: Vec<Option<f64>> =
            (0..self.bits()).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| correlation(i, j)).collect();
        let (mut correlations, mut sum, mut largest) = (vec![0; BINS], 0.0, 0.0f64);
        for magnitude in pairs.iter().flatten().map(|correlation| correlation.abs()) {
            correlations[((magnitude * BINS as f64) as usize).min(BINS - 1)] += 1;
            sum += magnitude;
            largest = largest.max(magnitude);
        }
        let measured: u64 = correlations.iter().sum();
        let mean_correlation = if measured == 0 { 0.0 } else { sum / measured as f64 };
        BitStatistics { ones, correlations, mean_correlation, largest_correlation: largest, pairs }
    }

    /// The values of each bit over the codes, packed.
    fn columns(&self) -> Vec<Vec<u64>> {
        let mut columns = vec![vec![0u64; self.len().div_ceil(64)]; self.bits()];
        for item in 0..self.len() {
            let code = self.item(item);
            for (bit, column) in columns.iter_mut().enumerate() {
                column[item / 64] |= (code[bit / 64] >> (bit % 64) & 1) << (item % 64);
            }
        }
        columns
    }
}

/// Counts the distances of the first `queries` queries to all database items.
///
/// # Errors
/// If the two sides do not fit together, as in [`evaluate`](crate::evaluate).
pub fn distances(
    query: &Codes,
    query_labels: LabelSets<'_>,
    database: &Codes,
    database_labels: LabelSets<'_>,
    queries: usize,
) -> Result<DistanceCounts, EvalError> {
    let judged = |query_labels| Part { codes: database, judgment: Judgment::Labels(query_labels, database_labels) };
    judged(query_labels).check(query)?;
    let first: Vec<u32> = (0..queries.min(query.len()) as u32).collect();
    let first_labels = query_labels.first(first.len());
    Ok(search::sum(&Distances { bits: query.bits() }, &query.select(&first), &judged(first_labels)))
}

/// Counts distances of codes.
struct Distances {
    bits: usize,
}

impl Summary for Distances {
    type Sum = DistanceCounts;

    /// No item needs a rank.
    fn deepest(&self) -> usize {
        0
    }

    fn zero(&self) -> DistanceCounts {
        DistanceCounts { relevant: vec![0; self.bits + 1], others: vec![0; self.bits + 1] }
    }

    fn add(&self, counts: &mut DistanceCounts, ranking: &Ranking) {
        for (distance, group) in ranking.groups().iter().enumerate() {
            counts.relevant[distance] += group.relevant as u64;
            counts.others[distance] += (group.items - group.relevant) as u64;
        }
    }

    fn merge(&self, counts: &mut DistanceCounts, following: DistanceCounts) {
        let sides = [(&mut counts.relevant, following.relevant), (&mut counts.others, following.others)];
        for (sum, more) in sides.into_iter().flat_map(|(sum, more)| sum.iter_mut().zip(more)) {
            *sum += more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_of_bits_are_those_of_their_values() {
        let (bits, items) = (67, 130);
        let value = |item: usize, bit: usize| match bit {
            0 => 1.0,
            66 => 1.0 - 2.0 * f64::from(u8::from((item * 5 + 7) % 11 < 4)),
            _ => ((item * 31 + bit * bit * 7) as f64).sin(),
        };
        let relaxed: Vec<f32> = (0..items * bits).map(|at| value(at / bits, at % bits) as f32).collect();
        let statistics = Codes::from_signs(&relaxed, bits).unwrap().bit_statistics();
        let ones = |bit: usize| (0..items).map(|item| f64::from(u8::from(value(item, bit) >= 0.0))).collect::<Vec<_>>();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let (mut magnitudes, mut constant) = (Vec::new(), 0);
        for i in 0..bits {
            assert!((statistics.ones[i] - mean(&ones(i))).abs() < 1e-12, "bit {i}");
            for j in 0..i {
                let (a, b) = (ones(i), ones(j));
                let product: Vec<f64> =
                    a.iter().zip(&b).map(|(a, b)| (a - mean(&ones(i))) * (b - mean(&ones(j)))).collect();
                let deviation = |v: &[f64]| (mean(v) * (1.0 - mean(v))).sqrt();
                if deviation(&a) * deviation(&b) > 0.0 {
                    let correlation = mean(&product) / deviation(&a) / deviation(&b);
                    magnitudes.push(correlation.abs());
                    assert!((statistics.pairs[i * (i - 1) / 2 + j].unwrap() - correlation).abs() < 1e-9, "{i} and {j}");
                } else {
                    assert_eq!(statistics.pairs[i * (i - 1) / 2 + j], None, "{i} and {j}");
                    constant += 1;
                }
            }
        }
        assert_eq!(constant, bits - 1, "the constant bit has no correlation");
        assert_eq!(statistics.correlations.iter().sum::<u64>() as usize, magnitudes.len());
        assert!((statistics.mean_correlation - mean(&magnitudes)).abs() < 1e-9);
        let largest = magnitudes.iter().copied().fold(0.0, f64::max);
        assert!((statistics.largest_correlation - largest).abs() < 1e-9);
    }

    #[test]
    fn distances_are_counted_apart_by_relevance() {
        let query = Codes::from_signs(&[1.0, 1.0, -1.0, -1.0, 1.0, 1.0], 2).unwrap(); // 11, 00, 11
        let database = Codes::from_signs(&[1.0, 1.0, 1.0, -1.0, -1.0, -1.0], 2).unwrap(); // 11, 10, 00
        let labels = |packed| LabelSets::new(packed, 1).unwrap();
        let (query_labels, database_labels) = (labels(&[1, 2, 4]), labels(&[1, 1, 2]));
        let counts = distances(&query, query_labels, &database, database_labels, 2).unwrap();
        assert_eq!(counts.relevant, [2, 1, 0]); // 11 to 11 and 10, 00 to 00
        assert_eq!(counts.others, [0, 1, 2]); // 11 to 00, 00 to 10 and 11
        let all = distances(&query, query_labels, &database, database_labels, 99).unwrap();
        assert_eq!(all.relevant.iter().chain(&all.others).sum::<u64>(), 9);
    }

    #[test]
    fn no_codes_have_no_statistics() {
        let none = Codes::with_capacity(3, 0).bit_statistics();
        assert_eq!((none.ones, none.mean_correlation, none.largest_correlation), (vec![0.0; 3], 0.0, 0.0));
    }
}
