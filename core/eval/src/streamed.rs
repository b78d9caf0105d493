//! Evaluation against a database that is read part by part, as often as the memory for what is found requires.

use crate::report::Measure;
use crate::search::{GROUP, Judgment, Part, Summary, sum_wave};
use crate::{Codes, EvalError, LabelSets, Options, Report};

/// Bytes that one relevant item of one query takes until its query is ranked.
const BYTES_PER_HIT: usize = 8;

/// A database that is read part by part.
pub trait Database {
    /// Error of reading.
    type Error: From<EvalError>;

    /// Number of items.
    fn len(&self) -> usize;

    /// Whether there are no items.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads all items from the first, and hands on each part's codes and labels, in order.
    ///
    /// # Errors
    /// If reading fails, or `visit` does.
    fn read(&mut self, visit: Visit<'_, Self::Error>) -> Result<(), Self::Error>;
}

/// Takes a part of a database: its codes and labels.
pub type Visit<'v, E> = &'v mut dyn FnMut(&Codes, LabelSets<'_>) -> Result<(), E>;

/// As [`evaluate`](crate::evaluate), with the same bits, for a database that is read part by part. It is read once for
/// its labels, and once for as many queries as have hits of `memory` bytes in all.
///
/// # Errors
/// As [`evaluate`](crate::evaluate), and if reading fails or yields another number of items than announced.
pub fn evaluate_streamed<D: Database>(
    query: &Codes,
    query_labels: LabelSets<'_>,
    database: &mut D,
    options: &Options,
    memory: usize,
) -> Result<Report, D::Error> {
    let relevant = relevant_at_most(query, query_labels, database)?;
    let measure = Measure::new(options, database.len(), query.bits())?;
    let mut totals = measure.zero();
    let groups: Vec<usize> = relevant.chunks(GROUP).map(|group| group.iter().sum::<usize>() * BYTES_PER_HIT).collect();
    let mut first = 0;
    while first < groups.len() {
        let mut bytes = 0;
        let fit = groups[first..].iter().take_while(|&&group| {
            bytes += group;
            bytes <= memory
        });
        let next = first + fit.count().max(1);
        sum_wave(&measure, query, first..next, &mut totals, |pass| {
            database.read(&mut |codes, labels| {
                pass(&Part { codes, judgment: Judgment::Labels(query_labels, labels) });
                Ok(())
            })
        })?;
        first = next;
    }
    Ok(measure.report(totals))
}

/// Bounds the number of relevant items of each query by the items of its labels; checks every part.
fn relevant_at_most<D: Database>(
    query: &Codes,
    query_labels: LabelSets<'_>,
    database: &mut D,
) -> Result<Vec<usize>, D::Error> {
    let mut of_label = vec![0usize; 64 * query_labels.words()];
    let mut items = 0;
    database.read(&mut |codes, labels| {
        Part { codes, judgment: Judgment::Labels(query_labels, labels) }.check(query)?;
        for item in 0..labels.len() {
            labels.labels(item).for_each(|label| of_label[label] += 1);
        }
        items += codes.len();
        Ok(())
    })?;
    if items == 0 {
        return Err(EvalError::Empty { side: "database" }.into());
    }
    if items != database.len() {
        return Err(EvalError::Changed { expected: database.len(), found: items }.into());
    }
    let bound = |index: usize| query_labels.labels(index).map(|label| of_label[label]).sum::<usize>().min(items);
    Ok((0..query.len()).map(bound).collect())
}
