//! Codes of a data set's items, and the searches among them.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use candle_core::DType;
use hashlab_data::{ByModality, Labels, Split};
use hashlab_eval::{
    Codes, EvalError, LabelSets, Neighbor, Options, Report, distances, evaluate, extremes, map_at_k, nearest,
};
use hashlab_method::{EncodeSpec, Features, HashMethod, Modality, Task};

use hashlab_store::{DistanceProfile, Neighbors, TaskQueries};

use crate::inputs::Inputs;

/// Encodes items and searches among them. Labels of queries reach the metrics and nothing else.
pub(crate) struct Evaluator<'a> {
    setup: EvaluatorSetup<'a>,
    /// Items per call of `encode`.
    chunk: usize,
    /// Whether a chunk of items holds one that a validation searches with or in.
    validated: Vec<bool>,
    /// What the last validation encoded, by modality and chunk.
    known: ByModality<Vec<Option<Encoded>>>,
}

/// What is encoded and how it is measured.
#[derive(Clone)]
pub(crate) struct EvaluatorSetup<'a> {
    pub(crate) options: Options,
    pub(crate) bits: usize,
    pub(crate) labels: &'a Labels,
    pub(crate) split: &'a Split,
    /// The items in every modality of the run.
    pub(crate) inputs: ByModality<&'a dyn Inputs>,
    pub(crate) tasks: Vec<Task>,
    /// Whether a code may depend on an item's other modalities.
    pub(crate) fused: bool,
    pub(crate) encode: EncodeSpec,
    /// The name of the encoding that is measured in place of the method's own.
    pub(crate) other: Option<&'static str>,
}

/// Codes of items, and how long it took to encode them.
#[derive(Clone)]
pub(crate) struct Encoded {
    pub(crate) codes: Codes,
    pub(crate) time: Duration,
}

/// The codes of all items, by modality.
pub(crate) struct AllCodes {
    /// Row = item.
    pub(crate) codes: ByModality<Codes>,
    pub(crate) time: Duration,
}

/// One side of a search.
pub(crate) struct Side<'s> {
    pub(crate) items: &'s [u32],
    pub(crate) codes: &'s Codes,
    pub(crate) labels: LabelSets<'s>,
}

/// How many of the best and of the worst test queries are kept, and how many neighbors of each.
const KEPT: usize = 10;

/// How many test queries' distances to the database are counted.
const DISTANT: usize = 200;

/// How many test queries' searches are timed.
const TIMED: usize = 101;

/// What is found of a task's test queries.
pub(crate) struct TestResult {
    pub(crate) report: Report,
    /// The average precision of each query, and the neighbors of the best and the worst.
    pub(crate) queries: TaskQueries,
    /// The distances of the first queries to the database.
    pub(crate) distances: DistanceProfile,
    /// Time of a query in an index of the database.
    pub(crate) search: Duration,
}

/// The two sides of a search: positions in the split.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Queries {
    /// The validation queries, in the validation database.
    Validation,
    /// The test queries, in the database.
    Test,
}

impl<'a> Evaluator<'a> {
    /// Prepares to encode and to measure.
    pub(crate) fn new(setup: EvaluatorSetup<'a>) -> Self {
        let chunk = setup
            .encode
            .batch_size
            .unwrap_or_else(|| setup.inputs.values().map(|inputs| inputs.chunk()).min().unwrap_or(1));
        let mut validated = vec![false; setup.items().div_ceil(chunk)];
        for &item in setup.split.validation_query.iter().chain(&setup.split.validation_database) {
            validated[item as usize / chunk] = true;
        }
        let known = setup.inputs.map(|_, _| vec![None; validated.len()]);
        Self { setup, chunk, validated, known }
    }

    /// Name of the encoding that is measured, for a method that has several.
    pub(crate) fn encoding(&self) -> Option<&'static str> {
        self.setup.encode.name
    }

    /// Numbers of label classes and of training items.
    pub(crate) fn facts(&self) -> (usize, usize) {
        (self.setup.labels.classes(), self.setup.split.train.len())
    }

    /// An evaluator of another of the method's encodings.
    pub(crate) fn of(&self, encoding: EncodeSpec) -> Self {
        Self::new(EvaluatorSetup { encode: encoding, other: encoding.name, ..self.setup.clone() })
    }

    /// Encodes every item of the data set, whatever its role; not again what the last validation encoded, unless that was
    /// [forgotten](Self::forget). The time is that of all items, whenever they were encoded.
    pub(crate) fn encode(&mut self, method: &dyn HashMethod) -> Result<AllCodes> {
        let mut all = AllCodes { codes: ByModality::default(), time: Duration::ZERO };
        for modality in self.setup.inputs.modalities().collect::<Vec<_>>() {
            let mut codes = Codes::with_capacity(self.setup.bits, self.setup.items());
            for (index, chunk) in self.chunks().enumerate() {
                let known = self.known.get_mut(modality).and_then(|chunks| chunks[index].take());
                let part = match known {
                    Some(known) => known,
                    None => self.setup.encode_items(method, modality, &chunk.collect::<Vec<_>>())?,
                };
                codes.extend(&part.codes);
                all.time += part.time;
            }
            all.codes.insert(modality, codes);
        }
        Ok(all)
    }

    /// Drops the codes of the last validation: the method is another than it saw.
    pub(crate) fn forget(&mut self) {
        self.known = self.setup.inputs.map(|_, _| vec![None; self.validated.len()]);
    }

    /// The primary metric of the validation queries, averaged over the run's tasks: that of [`Evaluator::measure`], without
    /// the codes of other items and without other metrics.
    pub(crate) fn validate(&mut self, method: &dyn HashMethod) -> Result<f64> {
        self.forget();
        let source = if self.setup.encode.by_role { None } else { Some(self.validation_codes(method)?) };
        let mut sum = 0.0;
        for task in &self.setup.tasks {
            let Options { map_at, definition, .. } = self.setup.options;
            let metric = |query: &Side<'_>, database: &Side<'_>| {
                map_at_k(query.codes, query.labels, database.codes, database.labels, definition, map_at)
            };
            sum += self.setup.search(method, source.as_ref(), *task, Queries::Validation, metric)?;
        }
        Ok(sum / self.setup.tasks.len() as f64)
    }

    /// Codes of the items that a validation looks at, with blanks in the places of the others.
    fn validation_codes(&mut self, method: &dyn HashMethod) -> Result<ByModality<Codes>> {
        let mut all = ByModality::default();
        for modality in self.setup.inputs.modalities().collect::<Vec<_>>() {
            let mut codes = Codes::with_capacity(self.setup.bits, self.setup.items());
            for (index, chunk) in self.chunks().enumerate() {
                if self.validated[index] {
                    let encoded = self.setup.encode_items(method, modality, &chunk.collect::<Vec<_>>())?;
                    codes.extend(&encoded.codes);
                    if let Some(known) = self.known.get_mut(modality) {
                        known[index] = Some(encoded);
                    }
                } else {
                    codes.extend_blank(chunk.len());
                }
            }
            all.insert(modality, codes);
        }
        Ok(all)
    }

    /// The items, in chunks that are the same for every search: a product's rounding may depend on its shape, and an
    /// item has one code.
    fn chunks(&self) -> impl Iterator<Item = Range<u32>> + use<> {
        let (items, chunk) = (self.setup.items() as u32, self.chunk);
        (0..items).step_by(chunk).map(move |start| start..items.min(start + chunk as u32))
    }

    /// Searches with the test or the validation queries, for every task.
    pub(crate) fn measure(
        &self,
        method: &dyn HashMethod,
        codes: &AllCodes,
        queries: Queries,
    ) -> Result<BTreeMap<Task, Report>> {
        self.each_task(method, codes, queries, |query, database| self.setup.report(query, database))
    }

    /// Searches with the test queries, for every task.
    pub(crate) fn test(&self, method: &dyn HashMethod, codes: &AllCodes) -> Result<BTreeMap<Task, TestResult>> {
        self.each_task(method, codes, Queries::Test, |query, database| tested(query, database, &self.setup.options))
    }

    fn each_task<T>(
        &self,
        method: &dyn HashMethod,
        codes: &AllCodes,
        queries: Queries,
        measure: impl Fn(&Side<'_>, &Side<'_>) -> Result<T, EvalError>,
    ) -> Result<BTreeMap<Task, T>> {
        let source = (!self.setup.encode.by_role).then_some(&codes.codes);
        let tasks = self.setup.tasks.iter();
        tasks.map(|task| Ok((*task, self.setup.search(method, source, *task, queries, &measure)?))).collect()
    }
}

/// What is kept of a search with the test queries.
pub(crate) fn tested(query: &Side<'_>, database: &Side<'_>, options: &Options) -> Result<TestResult, EvalError> {
    let report = evaluate(query.codes, query.labels, database.codes, database.labels, options)?;
    let average_precision = report.average_precision();
    let (best, worst) = extremes(&average_precision, KEPT);
    let neighbors = |queries| neighbors(query, database, &average_precision, queries);
    let (best, worst) = (neighbors(best)?, neighbors(worst)?);
    let queries = TaskQueries { average_precision, best, worst };
    let counts = distances(query.codes, query.labels, database.codes, database.labels, DISTANT)?;
    let distances =
        DistanceProfile { queries: query.items.len().min(DISTANT), relevant: counts.relevant, others: counts.others };
    Ok(TestResult { report, queries, distances, search: search_time(query.codes, database.codes) })
}

/// Median time in which one thread finds the nearest items of a query, as `hashlab search` does.
fn search_time(queries: &Codes, database: &Codes) -> Duration {
    let time = |query: usize| {
        let started = Instant::now();
        std::hint::black_box(hashlab_index::nearest(database, queries.item(query), KEPT));
        started.elapsed()
    };
    let mut times: Vec<Duration> = (0..queries.len().min(TIMED)).map(time).collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// The nearest items of some queries, given by their positions.
fn neighbors(
    query: &Side<'_>,
    database: &Side<'_>,
    average_precision: &[f32],
    queries: Vec<usize>,
) -> Result<Vec<Neighbors>, EvalError> {
    let found = nearest(query.codes, query.labels, database.codes, database.labels, &queries, KEPT)?;
    let of_query = |(position, found): (usize, Vec<Neighbor>)| Neighbors {
        query: query.items[position],
        average_precision: average_precision[position],
        items: found.iter().map(|neighbor| database.items[neighbor.position as usize]).collect(),
        relevant: found.iter().map(|neighbor| neighbor.relevant).collect(),
    };
    Ok(queries.into_iter().zip(found).map(of_query).collect())
}

impl EvaluatorSetup<'_> {
    fn items(&self) -> usize {
        self.labels.len()
    }

    fn report(&self, query: &Side<'_>, database: &Side<'_>) -> Result<Report, EvalError> {
        evaluate(query.codes, query.labels, database.codes, database.labels, &self.options)
    }

    /// Encodes `items` in their role as `modality`, in one call.
    fn encode_items(&self, method: &dyn HashMethod, modality: Modality, items: &[u32]) -> Result<Encoded> {
        let started = Instant::now();
        let load = |inputs: &&dyn Inputs| inputs.load(items);
        let features = if self.fused {
            self.inputs.try_map(|_, inputs| load(inputs))?
        } else {
            let inputs = self.inputs.get(modality).expect("tasks are between the run's modalities");
            ByModality::one(modality, load(inputs)?)
        };
        let features = Features::from(features);
        let relaxed = match self.other {
            None => method.encode(&features, modality)?,
            Some(name) => method.encode_otherwise(name, &features, modality)?,
        };
        let relaxed = relaxed.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        let codes = Codes::from_signs(&relaxed, self.bits).map_err(|error| match error {
            EvalError::NotANumber { item, bit } => EvalError::NotANumber { item: items[item] as usize, bit },
            other => other,
        })?;
        ensure!(codes.len() == items.len(), "the method made {} codes of {} items", codes.len(), items.len());
        Ok(Encoded { codes, time: started.elapsed() })
    }

    /// Encodes the items of a role by themselves, and returns those that got a code.
    fn encode_role<'i>(
        &self,
        method: &dyn HashMethod,
        modality: Modality,
        items: &'i [u32],
    ) -> Result<(Codes, &'i [u32])> {
        let batch = self.encode.batch_size.unwrap_or(items.len().max(1));
        let kept = if self.encode.drop_last { items.len() / batch * batch } else { items.len() };
        ensure!(
            kept > 0 || items.is_empty(),
            "the method encodes whole batches of {batch}, and {} items of a role are not one",
            items.len()
        );
        let mut codes = Codes::with_capacity(self.bits, kept);
        for part in items[..kept].chunks(batch) {
            codes.extend(&self.encode_items(method, modality, part)?.codes);
        }
        Ok((codes, &items[..kept]))
    }

    /// Hands the items, codes and labels of a task's queries and database to `measure`. Without `source`, the codes of all items,
    /// each role is encoded by itself.
    fn search<T>(
        &self,
        method: &dyn HashMethod,
        source: Option<&ByModality<Codes>>,
        task: Task,
        queries: Queries,
        measure: impl FnOnce(&Side<'_>, &Side<'_>) -> Result<T, EvalError>,
    ) -> Result<T> {
        let split = self.split;
        let (query, database) = match queries {
            Queries::Validation => (&split.validation_query, &split.validation_database),
            Queries::Test => (&split.query, &split.database),
        };
        let side = |modality: Modality, items| -> Result<(Codes, &[u32])> {
            match source.and_then(|codes| codes.get(modality)) {
                Some(codes) => Ok((codes.select(items), items)),
                None => self.encode_role(method, modality, items),
            }
        };
        let (query_codes, query) = side(task.query, query)?;
        let (database_codes, database) = side(task.database, database)?;
        let (query_labels, database_labels) = (self.labels.gather(query), self.labels.gather(database));
        let sets = |labels| LabelSets::new(labels, self.labels.words());
        let query = Side { items: query, codes: &query_codes, labels: sets(&query_labels)? };
        let database = Side { items: database, codes: &database_codes, labels: sets(&database_labels)? };
        Ok(measure(&query, &database)?)
    }
}
