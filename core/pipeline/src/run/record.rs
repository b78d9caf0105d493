//! Evaluation of a trained method, and the record of its result.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, Result};
use hashlab_data::{ByModality, SmallMap, Task};
use hashlab_eval::{BitStatistics, Codes, Report};
use hashlab_method::HashMethod;
use hashlab_store::{
    BitProfile, CodeProfile, CodeStatistics, ENCODE_ITEM, EncodingResult, QueryResults, SEARCH_QUERY, Status,
    TaskResult,
};
use hashlab_train::TrainConfig;

use crate::config::section;
use crate::evaluator::{AllCodes, Evaluator, Queries};
use crate::model::Model;

use super::{RunEnd, RunJob};

/// A training or fit that is done.
pub(super) struct Training {
    /// Epoch of the selected state, counted from 1; none of a fit.
    pub(super) epoch: Option<usize>,
    /// Time of the training or fit.
    pub(super) seconds: f64,
}

pub(super) fn evaluated(
    job: &RunJob<'_>,
    mut evaluator: Evaluator<'_>,
    method: &dyn HashMethod,
    training: Training,
) -> Result<RunEnd> {
    let codes = tracing::debug_span!("encode").in_scope(|| evaluator.encode(method))?;
    let started = Instant::now();
    let _span = tracing::debug_span!("evaluate").entered();
    let validation = evaluator.measure(method, &codes, Queries::Validation)?;
    let (mut test, mut queries) = (BTreeMap::new(), QueryResults::default());
    let mut profile = CodeProfile { bits: bit_profiles(&codes), ..CodeProfile::default() };
    let mut searches = Vec::new();
    for (task, found) in evaluator.test(method, &codes)? {
        searches.push(found.search.as_secs_f64());
        test.insert(task, found.report);
        queries.tasks.insert(task, found.queries);
        profile.distances.insert(task, found.distances);
    }
    let mut result = job.empty_result(Status::Finished);
    result.epoch = training.epoch;
    if training.epoch.is_some() {
        result.epochs_done = Some(section::<TrainConfig>(&job.config.train)?.epochs);
    }
    result.primary = job.setup().options()?.definition.metric().into();
    result.validation = task_results(validation, false);
    result.test = task_results(test, true);
    result.codes = statistics(&codes);
    result.encoding = evaluator.encoding().map(str::to_owned);
    for encoding in method.other_encodings() {
        let (name, found) = encoded_otherwise(evaluator.of(encoding), method)?;
        result.other_encodings.insert(name, found);
    }
    let evaluate = started.elapsed().as_secs_f64();
    let encode = codes.time.as_secs_f64();
    let encoded: usize = codes.codes.values().map(Codes::len).sum();
    result.seconds = [
        ("train", training.seconds),
        ("encode", encode),
        ("evaluate", evaluate),
        (ENCODE_ITEM, encode / encoded.max(1) as f64),
        (SEARCH_QUERY, mean(&searches)),
    ]
    .into();
    let (classes, items) = evaluator.facts();
    let model = Some(Model { state: method.state()?, classes, items });
    Ok(RunEnd::Result { result: Box::new(result), model, queries: Some(queries), profile: Some(profile) })
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Measures another of a method's encodings.
fn encoded_otherwise(mut evaluator: Evaluator<'_>, method: &dyn HashMethod) -> Result<(String, EncodingResult)> {
    let name = evaluator.encoding().context("the method has an encoding without a name beside its own")?.to_owned();
    let codes = evaluator.encode(method)?;
    let [validation, test] =
        [Queries::Validation, Queries::Test].map(|queries| evaluator.measure(method, &codes, queries));
    let (validation, test) = (task_results(validation?, false), task_results(test?, true));
    Ok((name, EncodingResult { test, validation, codes: statistics(&codes) }))
}

pub(super) fn task_results(reports: BTreeMap<Task, Report>, curves: bool) -> SmallMap<Task, TaskResult> {
    let result = |report: Report| TaskResult {
        metrics: report.scalars().into_iter().collect(),
        curves: if curves { report.curves().clone().into_iter().collect() } else { SmallMap::new() },
    };
    reports.into_iter().map(|(task, report)| (task, result(report))).collect()
}

/// Measures balance and correlation of the bits of all codes.
pub(super) fn bit_profiles(codes: &AllCodes) -> ByModality<BitProfile> {
    codes.codes.map(|_, codes| {
        let BitStatistics { ones, correlations, mean_correlation, largest_correlation, pairs } = codes.bit_statistics();
        let hundredths = |pair: Option<f64>| pair.map(|correlation| (correlation * 100.0).round() as i8);
        let pairs =
            if ones.len() > BitProfile::MOST_PAIRED { vec![] } else { pairs.into_iter().map(hundredths).collect() };
        let digest = Some(digest(codes));
        BitProfile { ones, correlations, mean_correlation, largest_correlation, digest, pairs }
    })
}

/// Sixteen digits of the digest of packed codes.
fn digest(codes: &Codes) -> String {
    let mut hasher = blake3::Hasher::new();
    for word in codes.packed() {
        hasher.update(&word.to_le_bytes());
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

/// Counts what shows a collapse of the codes.
pub(super) fn statistics(codes: &AllCodes) -> ByModality<CodeStatistics> {
    codes.codes.map(|_, codes| {
        let counts = codes.counts();
        CodeStatistics {
            items: codes.len(),
            distinct: counts.distinct,
            most_common: counts.most_common,
            constant_bits: counts.constant_bits,
            zero_outputs: codes.zeros(),
            collapsed: counts.collapsed(),
        }
    })
}
