//! A search: every query against the database, in groups of queries that share a pass over each block of it.

use std::ops::Range;

use rayon::prelude::*;

use crate::ranking::Ranking;
use crate::scan::{BLOCK, Block, Relevance, Sighting, counters, scan};
use crate::{Codes, EvalError, Grades, LabelSets};

/// Queries of a group. Fixed, so that the order of additions does not depend on the number of threads.
pub(crate) const GROUP: usize = 16;

/// Groups whose sums wait for each other, so that sums of curves take little memory.
const WAVE: usize = 128;

/// Words of codes and labels of a block: they stay in the first-level cache while a group's queries pass.
const BLOCK_WORDS: usize = 2 * BLOCK;

/// Longest code in bits.
pub(crate) const MOST_BITS: usize = 4096;

/// Source of relevance.
#[derive(Clone, Copy)]
pub(crate) enum Judgment<'a> {
    /// Shared labels: those of the queries, and those of the database.
    Labels(LabelSets<'a>, LabelSets<'a>),
    /// A grade for every query and item.
    Grades(Grades<'a>),
}

/// Consecutive items of the database, and how relevant they are.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    pub(crate) codes: &'a Codes,
    pub(crate) judgment: Judgment<'a>,
}

impl Part<'_> {
    /// Fails unless the part and the queries hold items and are equally wide.
    pub(crate) fn check(&self, query: &Codes) -> Result<(), EvalError> {
        match self.judgment {
            Judgment::Labels(queries, items) => {
                check_side("query", query, queries.len())?;
                check_side("database", self.codes, items.len())?;
                check_width("words per label set", queries.words(), items.words())?;
            }
            Judgment::Grades(grades) => {
                check_side("query", query, grades.queries())?;
                check_side("database", self.codes, grades.items())?;
            }
        }
        check_width("bits per code", query.bits(), self.codes.bits())?;
        if query.bits() > MOST_BITS { Err(EvalError::Bits { bits: query.bits() }) } else { Ok(()) }
    }

    /// The relevance of some of the part's items to a query.
    fn relevance(&self, query: usize, items: Range<usize>) -> Relevance<'_> {
        match self.judgment {
            Judgment::Labels(queries, sets) => {
                Relevance::Labels { query: queries.item(query), items: sets.items(items) }
            }
            Judgment::Grades(grades) => Relevance::Grades(&grades.of_query(query)[items]),
        }
    }

    /// Whether grades of items relevant to a query can differ.
    fn graded(&self, query: usize) -> bool {
        match self.judgment {
            Judgment::Labels(queries, _) => queries.item(query).iter().map(|word| word.count_ones()).sum::<u32>() > 1,
            Judgment::Grades(_) => true,
        }
    }

    /// Items of a block.
    fn block(&self) -> usize {
        let words = match self.judgment {
            Judgment::Labels(_, sets) => sets.words(),
            Judgment::Grades(_) => 0,
        };
        (BLOCK_WORDS / (self.codes.words() + words)).clamp(16, BLOCK)
    }
}

/// Fails if a side of a search is empty, or has codes of other items than it has labels or grades of.
fn check_side(side: &'static str, codes: &Codes, judged: usize) -> Result<(), EvalError> {
    if codes.is_empty() {
        return Err(EvalError::Empty { side });
    }
    if codes.len() == judged { Ok(()) } else { Err(EvalError::Items { side, codes: codes.len(), labels: judged }) }
}

/// Fails if the two sides of a search are not equally wide.
pub(crate) fn check_width(what: &'static str, query: usize, database: usize) -> Result<(), EvalError> {
    if query == database { Ok(()) } else { Err(EvalError::Width { what, query, database }) }
}

/// Sightings and counters of one query.
struct Found {
    /// The next sighting of each distance.
    next: Vec<Sighting>,
    /// Those of relevant items, by position.
    sightings: Vec<Sighting>,
    graded: bool,
}

impl Found {
    fn nothing(bits: usize) -> Self {
        Self { next: vec![Sighting::first(0); counters(bits)], sightings: Vec::new(), graded: false }
    }

    fn clear(&mut self) {
        self.sightings.clear();
        self.next.iter_mut().enumerate().for_each(|(distance, next)| *next = Sighting::first(distance));
    }
}

/// A group of queries and what was found for them.
struct Group(Vec<Found>);

impl Group {
    fn new(bits: usize) -> Self {
        Self((0..GROUP).map(|_| Found::nothing(bits)).collect())
    }

    fn clear(&mut self) {
        self.0.iter_mut().for_each(Found::clear);
    }

    /// Passes over more of the database with the queries of group `index`.
    fn pass(&mut self, index: usize, query: &Codes, part: &Part<'_>) {
        let mut out = [Sighting::first(0); BLOCK];
        let block = part.block();
        for start in (0..part.codes.len()).step_by(block) {
            let items = start..part.codes.len().min(start + block);
            for (at, found) in members(index, query.len()).zip(&mut self.0) {
                found.graded = part.graded(at);
                let codes = part.codes.items(items.clone());
                let relevance = part.relevance(at, items.clone());
                let block = Block { code: query.item(at), codes, relevance, graded: found.graded };
                let count = scan(&block, &mut found.next, &mut out);
                found.sightings.extend_from_slice(&out[..count]);
            }
        }
    }
}

/// The queries of a group.
fn members(group: usize, queries: usize) -> Range<usize> {
    group * GROUP..queries.min((group + 1) * GROUP)
}

/// Summary of rankings.
pub(crate) trait Summary: Sync {
    /// A sum over queries.
    type Sum: Send;
    /// Rank down to which rankings are needed.
    fn deepest(&self) -> usize;
    /// The sum over no queries.
    fn zero(&self) -> Self::Sum;
    /// Adds the ranking of one query.
    fn add(&self, sum: &mut Self::Sum, ranking: &Ranking);
    /// Adds the sum of the queries that follow.
    fn merge(&self, sum: &mut Self::Sum, following: Self::Sum);
}

/// Sums over all queries, with the whole database in memory.
pub(crate) fn sum<S: Summary>(summary: &S, query: &Codes, database: &Part<'_>) -> S::Sum {
    let scratch = || (Group::new(query.bits()), Ranking::default());
    let of_group = |(group, ranking): &mut (Group, Ranking), index: usize| {
        group.clear();
        group.pass(index, query, database);
        sum_group(summary, group, index, query, ranking)
    };
    let mut sum = summary.zero();
    for wave in waves(query.len().div_ceil(GROUP)) {
        let parts: Vec<S::Sum> = wave.into_par_iter().map_init(scratch, of_group).collect();
        parts.into_iter().for_each(|part| summary.merge(&mut sum, part));
    }
    sum
}

/// Sums over the groups of a wave, with the database read by `read`, which hands every part of it on, in order.
pub(crate) fn sum_wave<S: Summary, E>(
    summary: &S,
    query: &Codes,
    wave: Range<usize>,
    sum: &mut S::Sum,
    read: impl FnOnce(&mut dyn FnMut(&Part<'_>)) -> Result<(), E>,
) -> Result<(), E> {
    let mut groups: Vec<(usize, Group)> = wave.map(|index| (index, Group::new(query.bits()))).collect();
    groups.iter_mut().for_each(|(_, group)| group.clear());
    read(&mut |part| groups.par_iter_mut().for_each(|(index, group)| group.pass(*index, query, part)))?;
    let of_group =
        |ranking: &mut Ranking, (index, group): (usize, Group)| sum_group(summary, &group, index, query, ranking);
    let parts: Vec<S::Sum> = groups.into_par_iter().map_init(Ranking::default, of_group).collect();
    parts.into_iter().for_each(|part| summary.merge(sum, part));
    Ok(())
}

fn sum_group<S: Summary>(summary: &S, group: &Group, index: usize, query: &Codes, ranking: &mut Ranking) -> S::Sum {
    let mut sum = summary.zero();
    for (_, found) in members(index, query.len()).zip(&group.0) {
        ranking.fill(&found.next[..=query.bits()], &found.sightings, found.graded, summary.deepest());
        summary.add(&mut sum, ranking);
    }
    sum
}

fn waves(groups: usize) -> impl Iterator<Item = Range<usize>> {
    (0..groups).step_by(WAVE).map(move |start| start..groups.min(start + WAVE))
}
