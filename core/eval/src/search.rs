//! A search: every query against the database, and sums over the rankings.

use rayon::prelude::*;

use crate::ranking::{Ranker, Ranking};
use crate::{Codes, EvalError, LabelSets};

/// Queries summed by one task. Fixed, so that the order of additions does not depend on the number of threads.
const QUERIES_PER_TASK: usize = 16;

/// A side's codes and labels.
type Side<'a> = (&'a Codes, LabelSets<'a>);

/// Queries and a database that fit together.
pub(crate) struct Search<'a> {
    query: Side<'a>,
    database: Side<'a>,
}

impl<'a> Search<'a> {
    /// Checks that both sides hold items and are equally wide.
    pub(crate) fn new(query: Side<'a>, database: Side<'a>) -> Result<Self, EvalError> {
        check_side("query", query)?;
        check_side("database", database)?;
        check_width("bits per code", query.0.bits(), database.0.bits())?;
        check_width("words per label set", query.1.words(), database.1.words())?;
        Ok(Self { query, database })
    }

    /// The depth K of an mAP: all of the database where none is given.
    pub(crate) fn depth(&self, map_at: Option<usize>) -> Result<usize, EvalError> {
        let items = self.database.0.len();
        if map_at == Some(0) { Err(EvalError::Depth) } else { Ok(map_at.map_or(items, |depth| depth.min(items))) }
    }

    /// Ranks the nearest `depth` items for every query, and sums what is found in an order that does not depend on
    /// threads.
    pub(crate) fn sum<T: Send>(
        &self,
        depth: usize,
        zero: impl Fn() -> T + Sync,
        add: impl Fn(&mut T, &Ranking) + Sync,
        merge: impl Fn(&mut T, &T),
    ) -> T {
        let ((query, labels), (database, database_labels)) = (self.query, self.database);
        let sum_task = |ranker: &mut Ranker<'_>, task: usize| {
            let first = task * QUERIES_PER_TASK;
            let mut sum = zero();
            for index in first..query.len().min(first + QUERIES_PER_TASK) {
                add(&mut sum, ranker.rank(query.item(index), labels.item(index)));
            }
            sum
        };
        let tasks = query.len().div_ceil(QUERIES_PER_TASK);
        let ranker = || Ranker::new(database, database_labels, depth);
        let parts: Vec<T> = (0..tasks).into_par_iter().map_init(ranker, sum_task).collect();
        let mut sum = zero();
        parts.iter().for_each(|part| merge(&mut sum, part));
        sum
    }
}

fn check_side(side: &'static str, (codes, labels): Side<'_>) -> Result<(), EvalError> {
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
