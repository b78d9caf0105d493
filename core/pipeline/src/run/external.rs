//! Measurement of codes that others computed.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Result, ensure};
use hashlab_data::{ByModality, Dataset, Modality, Task};
use hashlab_eval::{Codes, LabelSets};
use hashlab_store::{CodeProfile, QueryResults, RunConfig, RunResult, SEARCH_QUERY, SPLIT, Status};

use crate::evaluator::{AllCodes, Side, tested};

use super::record::{bit_profiles, mean, statistics, task_results};
use super::setup::{options, split_of};

/// Codes of one modality's items, in the order of a protocol or of the data set.
pub enum ExternalCodes {
    /// Of the queries, and of the database.
    Sides(Codes, Codes),
    /// Of every item of the data set.
    All(Codes),
}

/// What was found of external codes.
pub struct ExternalResult {
    /// The result, without provenance.
    pub result: RunResult,
    /// What is kept of single queries.
    pub queries: QueryResults,
    /// Statistics of single bits and of distances.
    pub profile: CodeProfile,
}

/// Measures codes as those of a method are measured: against the data set's own labels, by the protocol of the
/// configuration.
///
/// # Errors
/// If codes are of other items than the protocol's or the data set's, with both numbers; if the data set cannot be split.
pub fn measure_external(
    config: &RunConfig,
    dataset: &dyn Dataset,
    codes: ByModality<ExternalCodes>,
) -> Result<ExternalResult> {
    let started = Instant::now();
    let (split, labels, options) = (split_of(config, dataset)?, dataset.labels(), options(config)?);
    let of_sides = codes.try_map(|modality, codes| match codes {
        ExternalCodes::Sides(query, database) => {
            check("queries of the protocol", modality, query, split.query.len())?;
            check("database items of the protocol", modality, database, split.database.len())?;
            Ok::<_, anyhow::Error>((query.clone(), database.clone()))
        }
        ExternalCodes::All(all) => {
            check("items of the data set", modality, all, labels.len())?;
            Ok((all.select(&split.query), all.select(&split.database)))
        }
    })?;
    let [query_labels, database_labels] = [&split.query, &split.database].map(|items| labels.gather(items));
    let sets = |packed| LabelSets::new(packed, labels.words());
    let mut result = RunResult::empty(config.id(), Status::Finished);
    result.provenance.insert(SPLIT, split.sizes().to_string());
    let (mut reports, mut queries) = (BTreeMap::new(), QueryResults::default());
    let all = AllCodes { codes: codes.map(|_, codes| codes.joined()), time: Default::default() };
    let mut profile = CodeProfile { bits: bit_profiles(&all), ..CodeProfile::default() };
    let mut searches = Vec::new();
    for task in Task::of(&of_sides.modalities().collect::<Vec<_>>()) {
        let side = |modality| of_sides.get(modality).expect("tasks are between the modalities of the codes");
        let query = Side { items: &split.query, codes: &side(task.query).0, labels: sets(&query_labels)? };
        let database = Side { items: &split.database, codes: &side(task.database).1, labels: sets(&database_labels)? };
        let found = tested(&query, &database, &options)?;
        searches.push(found.search.as_secs_f64());
        reports.insert(task, found.report);
        queries.tasks.insert(task, found.queries);
        profile.distances.insert(task, found.distances);
    }
    result.primary = options.definition.metric().into();
    result.test = task_results(reports, true);
    result.codes = statistics(&all);
    result.seconds = [("evaluate", started.elapsed().as_secs_f64()), (SEARCH_QUERY, mean(&searches))].into();
    Ok(ExternalResult { result, queries, profile })
}

impl ExternalCodes {
    /// All codes that there are.
    fn joined(&self) -> Codes {
        match self {
            Self::All(all) => all.clone(),
            Self::Sides(query, database) => {
                let mut joined = query.clone();
                joined.extend(database);
                joined
            }
        }
    }
}

fn check(what: &str, modality: Modality, codes: &Codes, expected: usize) -> Result<()> {
    ensure!(codes.len() == expected, "{} {modality} codes for the {expected} {what}", codes.len());
    Ok(())
}
