//! A search: every query against the database, in groups of queries that share a pass over each block of it.

use std::ops::Range;

use rayon::prelude::*;

use crate::bitmaps::{Bitmaps, WORD};
use crate::lists::Lists;
use crate::ranking::Ranking;
use crate::scan::{BLOCK, Found, Grading, Relevance, Sighting};
use crate::{Codes, EvalError, Grades, LabelSets};

/// Queries of a group. Fixed, so that the order of additions does not depend on the number of threads.
pub(crate) const GROUP: usize = 16;

/// Queries that share a pass over each block of a database in memory: what is found of them stays in the second-level
/// cache until they are ranked.
const TOGETHER: usize = 8;

/// Groups whose sums wait for each other, so that sums of curves take little memory.
const WAVE: usize = 128;

/// Words of codes of a block: they stay in the first-level cache while a group's queries pass.
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
                check_side("query", query.len(), queries.len())?;
                check_side("database", self.codes.len(), items.len())?;
                check_width("words per label set", queries.words(), items.words())?;
            }
            Judgment::Grades(grades) => {
                check_side("query", query.len(), grades.queries())?;
                check_side("database", self.codes.len(), grades.items())?;
            }
        }
        check_width("bits per code", query.bits(), self.codes.bits())?;
        if query.bits() > MOST_BITS { Err(EvalError::Bits { bits: query.bits() }) } else { Ok(()) }
    }
}

/// Fails if a side of a search is empty, or has codes of other items than it has labels or grades of.
pub(crate) fn check_side(side: &'static str, codes: usize, judged: usize) -> Result<(), EvalError> {
    match codes {
        0 => Err(EvalError::Empty { side }),
        _ if codes == judged => Ok(()),
        _ => Err(EvalError::Items { side, codes, labels: judged }),
    }
}

/// Fails if the two sides of a search are not equally wide.
pub(crate) fn check_width(what: &'static str, query: usize, database: usize) -> Result<(), EvalError> {
    if query == database { Ok(()) } else { Err(EvalError::Width { what, query, database }) }
}

/// A part of the database in blocks, ready for all queries.
pub(crate) struct Blocks<'a> {
    part: &'a Part<'a>,
    /// Items of a block.
    length: usize,
    /// Lists of the items of each label, where there are queries with a single label.
    lists: Option<Lists>,
    /// Bitmaps of the items of each label, where there are queries with several.
    bitmaps: Option<Bitmaps>,
}

impl<'a> Blocks<'a> {
    pub(crate) fn of(part: &'a Part<'a>) -> Self {
        let length = (BLOCK_WORDS / part.codes.words()).clamp(WORD, BLOCK) / WORD * WORD;
        let (mut lists, mut bitmaps) = (None, None);
        if let Judgment::Labels(queries, sets) = part.judgment {
            let has_single = |query| single(queries, query).is_some();
            lists = (0..queries.len()).any(has_single).then(|| Lists::of(sets, length));
            bitmaps = (!(0..queries.len()).all(has_single)).then(|| Bitmaps::of(sets, length));
        }
        Self { part, length, lists, bitmaps }
    }

    /// The items of each block.
    fn iter(&self) -> impl Iterator<Item = (usize, Range<usize>)> {
        let items = self.part.codes.len();
        (0..items).step_by(self.length).map(move |start| start..items.min(start + self.length)).enumerate()
    }

    /// The relevance of a block's items to a query. What `places` holds before does not matter.
    fn relevance<'s>(
        &'s self,
        query: usize,
        block: usize,
        items: Range<usize>,
        places: &'s mut [u16; BLOCK],
    ) -> Relevance<'s> {
        match self.part.judgment {
            Judgment::Grades(grades) => {
                let grades = &grades.of_query(query)[items];
                let graded = grades.iter().map(|&grade| grade > 0);
                Relevance { places: list(graded, places), grading: Grading::Given(grades) }
            }
            Judgment::Labels(queries, sets) => match (&self.lists, single(queries, query)) {
                (Some(lists), Some(label)) => Relevance { places: lists.places(block, label), grading: Grading::Alike },
                _ => {
                    let bitmaps = self.bitmaps.as_ref().expect("there are some where a query has not one label");
                    let places = bitmaps.places(block, queries.labels(query), places);
                    Relevance {
                        places,
                        grading: Grading::Shared { query: queries.item(query), items: sets.items(items) },
                    }
                }
            },
        }
    }

    /// Whether the grades of a query's relevant items can differ.
    fn graded(&self, query: usize) -> bool {
        match self.part.judgment {
            Judgment::Labels(queries, _) => single(queries, query).is_none(),
            Judgment::Grades(_) => true,
        }
    }
}

/// Lists the places of the items that are relevant.
fn list(relevant: impl Iterator<Item = bool>, places: &mut [u16; BLOCK]) -> &[u16] {
    let mut found = 0;
    for (place, relevant) in relevant.enumerate() {
        // Overwritten by the next one, unless it is relevant: a branch would be mispredicted every few items.
        places[found % BLOCK] = place as u16;
        found += usize::from(relevant);
    }
    &places[..found]
}

/// The label of a query that has no other.
fn single(labels: LabelSets<'_>, query: usize) -> Option<usize> {
    let mut labels = labels.labels(query);
    labels.next().filter(|_| labels.next().is_none())
}

/// Queries that are searched for together, and what was found for them.
struct Group {
    found: Vec<Found>,
    /// Whether grades of a query's relevant items can differ.
    graded: [bool; GROUP],
}

impl Group {
    fn of(queries: usize, bits: usize) -> Self {
        Self { found: (0..queries).map(|_| Found::nothing(bits)).collect(), graded: [false; GROUP] }
    }

    fn clear(&mut self) {
        self.found.iter_mut().for_each(Found::clear);
    }

    /// Passes over more of the database.
    fn pass(&mut self, queries: Range<usize>, query: &Codes, blocks: &Blocks<'_>) {
        for (at, graded) in queries.clone().zip(&mut self.graded) {
            *graded = blocks.graded(at);
        }
        let (mut sightings, mut places) = ([Sighting::first(0); BLOCK], [0; BLOCK]);
        for (block, items) in blocks.iter() {
            for (at, found) in queries.clone().zip(&mut self.found) {
                let codes = blocks.part.codes.items(items.clone());
                let relevance = blocks.relevance(at, block, items.clone(), &mut places);
                found.scan(query.item(at), codes, relevance, &mut sightings);
            }
        }
    }

    /// Ranks what was found for each query, and adds the rankings up.
    fn add<S: Summary>(
        &self,
        queries: Range<usize>,
        bits: usize,
        summary: &S,
        sum: &mut S::Sum,
        ranking: &mut Ranking,
    ) {
        for ((_, found), &graded) in queries.zip(&self.found).zip(&self.graded) {
            ranking.fill(found, bits, graded, summary.deepest());
            summary.add(sum, ranking);
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
    let blocks = Blocks::of(database);
    let scratch = || (Group::of(TOGETHER, query.bits()), Ranking::default());
    let of_group = |(group, ranking): &mut (Group, Ranking), index: usize| {
        let mut sum = summary.zero();
        let members = members(index, query.len());
        for start in members.clone().step_by(TOGETHER) {
            let queries = start..members.end.min(start + TOGETHER);
            group.clear();
            group.pass(queries.clone(), query, &blocks);
            group.add(queries, query.bits(), summary, &mut sum, ranking);
        }
        sum
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
    let members = |index: usize| members(index, query.len());
    let mut groups: Vec<(usize, Group)> = wave.map(|index| (index, Group::of(GROUP, query.bits()))).collect();
    read(&mut |part| {
        let blocks = Blocks::of(part);
        groups.par_iter_mut().for_each(|(index, group)| group.pass(members(*index), query, &blocks));
    })?;
    let of_group = |ranking: &mut Ranking, (index, group): (usize, Group)| {
        let mut sum = summary.zero();
        group.add(members(index), query.bits(), summary, &mut sum, ranking);
        sum
    };
    let parts: Vec<S::Sum> = groups.into_par_iter().map_init(Ranking::default, of_group).collect();
    parts.into_iter().for_each(|part| summary.merge(sum, part));
    Ok(())
}

fn waves(groups: usize) -> impl Iterator<Item = Range<usize>> {
    (0..groups).step_by(WAVE).map(move |start| start..groups.min(start + WAVE))
}
