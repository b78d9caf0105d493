//! Expansion of an experiment into the runs of its plan.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashlab_data::{ByModality, Modality};
use hashlab_settings::{Schema, Settings, canonical};
use hashlab_store::{RunConfig, RunId, SCHEMA};
use rayon::prelude::*;
use serde_json::Value;

use crate::active::{Tables, active, applicable, without_inactive};
use crate::experiment::Experiment;
use crate::generations::{self, Observe, Planned};
use crate::layers::{Base, Layer, Merged};
use crate::method_table::MethodTable;
use crate::plan::{MOST_RUNS, Plan, PlanError, PlannedRun};
use crate::pruning::Pruning;
use crate::row_point::{Key, differing, point};
use crate::scope::Scope;
use crate::search::SearchKind;
use crate::section::Section;

/// The key of `[eval]` for the depth of the primary metric.
const MAP_AT: &str = "map_at";

/// Resolves the encoder section of a modality.
type Resolve<'r> = &'r mut dyn FnMut(Modality, &Settings) -> Result<Settings, String>;

/// A method's runs at one point of its grid.
pub(crate) struct AtPoint<'a> {
    index: usize,
    table: &'a MethodTable,
    tables: Tables,
    bits: Vec<usize>,
    seeds: Vec<u64>,
    label: Arc<str>,
    /// The configuration of the runs, without code length and seed.
    template: Arc<RunConfig>,
}

impl Experiment {
    /// Lists the runs. A run that arises twice under one label is listed once.
    ///
    /// `resolve` is called once per different `[image]` or `[text]` and returns it with the digest of the weights
    /// instead of their file.
    ///
    /// # Errors
    /// If `resolve` fails, if two rows hold one run, or if there are more than [`MOST_RUNS`].
    pub fn plan(&self, resolve: Resolve<'_>) -> Result<Plan, PlanError> {
        Ok(self.plan_after(resolve, &|_| None)?.plan)
    }

    /// Lists the runs as [`Experiment::plan`] does, and those that a search by TPE proposes from the results of earlier
    /// ones. The same results give the same runs.
    ///
    /// # Errors
    /// As of [`Experiment::plan`].
    pub fn plan_after(&self, resolve: Resolve<'_>, observe: Observe<'_>) -> Result<Planned, PlanError> {
        let encoders = Encoders { resolve, known: BTreeMap::new() };
        let mut expansion = Expansion { experiment: self, encoders, expanded: Vec::new(), count: 0 };
        let mut further = 0;
        for (index, table) in self.methods.iter().enumerate() {
            if table.grid.search.kind == SearchKind::Tpe {
                further += generations::expand(&mut expansion, index, table, observe)?;
                continue;
            }
            let base = self.base(table);
            for point in table.points() {
                expansion.add((index, table), &base, &point)?;
            }
        }
        let plan = self.planned(&expansion.expanded, expansion.count)?;
        Ok(Planned { plan, further })
    }

    /// What a method's points are merged over.
    pub(crate) fn base<'a>(&'a self, table: &'a MethodTable) -> Base<'a> {
        Base::new(self.scope(Some(table)), self.layers.below(&table.fixed))
    }

    fn planned(&self, expanded: &[AtPoint<'_>], count: usize) -> Result<Plan, PlanError> {
        let differing = row_differences(expanded);
        let runs = |one: &AtPoint<'_>| one.runs(&differing[one.table.label.as_str()]);
        let runs = once_each(expanded.par_iter().map(runs).collect(), count)?;
        Ok(Plan {
            name: self.name.clone(),
            dataset: self.dataset.name.clone(),
            dataset_title: self.dataset.title.clone(),
            protocol: self.protocol.name.clone(),
            protocol_description: self.protocol.description.clone(),
            pruning: self.pruning(),
            runs,
            external: self.external_runs()?,
        })
    }

    /// How runs are stopped early.
    fn pruning(&self) -> Option<Pruning> {
        Pruning::of(Merged::new(self.scope(None), self.layers.around(&[])).table(Section::Pruning))
    }

    /// The declarations that apply to a method's settings, or to those of all.
    pub(crate) fn scope(&self, table: Option<&MethodTable>) -> Scope<'_> {
        Scope {
            catalog: &self.catalog,
            dataset: Some(&self.dataset),
            description: Some(&self.description),
            method: table.map(|table| &self.catalog.methods[table.method]),
        }
    }

    fn at_point<'a>(
        &'a self,
        (index, table): (usize, &'a MethodTable),
        point: &Layer,
        merged: &Merged<'_>,
        label: &Arc<str>,
        encoders: &mut Encoders<'_>,
    ) -> Result<AtPoint<'a>, PlanError> {
        let method = &self.catalog.methods[table.method];
        let general = merged.table(Section::General);
        let mut bits: Vec<usize> = integers(general, "bits");
        bits.retain(|bits| !table.grid.excludes_bits(point, *bits as u64));
        let mut seeds: Vec<u64> = integers(general, "seeds");
        if !method.seeded {
            seeds.truncate(1);
        }
        let tables = applicable(merged, &table.modalities);
        Ok(AtPoint {
            index,
            table,
            tables: active(merged, &tables),
            bits,
            seeds,
            label: Arc::clone(label),
            template: Arc::new(self.config(table, merged, tables, encoders)?),
        })
    }

    /// The configuration of a point's runs, of which `tables` are the applicable sections: in each, the keys that differ
    /// from their defaults and can change a result.
    fn config(
        &self,
        table: &MethodTable,
        merged: &Merged<'_>,
        mut tables: BTreeMap<Section, Settings>,
        encoders: &mut Encoders<'_>,
    ) -> Result<RunConfig, PlanError> {
        let method = &self.catalog.methods[table.method];
        let mut resolved = ByModality::default();
        for &modality in &table.modalities {
            let section = tables.remove(&Section::Encoder(modality)).unwrap_or_default();
            resolved.insert(modality, encoders.resolve(modality, &section)?);
        }
        let changed = |section: Section, settings: Settings| {
            let active = without_inactive(merged, section, settings);
            merged.scope.schema(section).map_or(Settings::new(), |schema| schema.changed(&active))
        };
        let mut own = |section: Section| changed(section, tables.remove(&section).unwrap_or_default());
        Ok(RunConfig {
            schema: SCHEMA,
            method: method.name.clone(),
            revision: method.revision,
            params: own(Section::Params),
            train: own(Section::Train),
            bits: 0,
            seed: 0,
            dataset: self.dataset.name.clone(),
            dataset_identity: self.description.identity.clone(),
            data: changed(Section::Data, merged.table(Section::Data).clone()),
            protocol: self.protocol.name.clone(),
            split_seed: merged.table(Section::General).get("split_seed").and_then(Value::as_u64).unwrap_or_default(),
            encoders: resolved.map(|modality, settings| changed(Section::Encoder(modality), settings.clone())),
            eval: self.eval(&self.catalog.eval, merged.table(Section::Eval)),
        })
    }

    /// `[eval]` with the depth of the primary metric filled in.
    pub(crate) fn eval(&self, schema: &Schema, eval: &Settings) -> Settings {
        let depth = match eval.get(MAP_AT) {
            Some(depth) if !depth.is_null() && depth != "protocol" => depth.clone(),
            _ => self.protocol.map_at.map_or(Value::from("all"), Value::from),
        };
        let mut changed = schema.changed(eval);
        changed.insert(MAP_AT.to_owned(), depth);
        changed
    }
}

impl<'a> AtPoint<'a> {
    /// Shares the sections that equal those of the point before.
    fn sharing(mut self, before: Option<&AtPoint<'a>>) -> Self {
        for (section, settings) in &mut self.tables {
            if let Some(known) = before.and_then(|before| before.tables.get(section)).filter(|known| *known == settings)
            {
                *settings = Arc::clone(known);
            }
        }
        self
    }

    /// The identities of the runs.
    pub(crate) fn ids(&self) -> Vec<RunId> {
        let ids = self.template.ids();
        self.bits.iter().flat_map(|&bits| ids.of_seeds(bits, &self.seeds)).collect()
    }

    /// The runs, and the digest of the configuration that they share.
    fn runs(&self, differing: &[Key]) -> (String, Vec<PlannedRun>) {
        let ids = self.template.ids();
        let point = Arc::new(point(&self.tables, &self.table.varied, differing));
        let mut runs = Vec::with_capacity(self.bits.len() * self.seeds.len());
        for &bits in &self.bits {
            let setting: Arc<str> = ids.setting(bits).into();
            runs.extend(ids.of_seeds(bits, &self.seeds).zip(&self.seeds).map(|(id, &seed)| PlannedRun {
                id,
                setting: Arc::clone(&setting),
                method: self.index,
                label: Arc::clone(&self.label),
                point: Arc::clone(&point),
                bits,
                seed,
                template: Arc::clone(&self.template),
            }));
        }
        (ids.setting(0), runs)
    }
}

/// An expansion under way.
pub(crate) struct Expansion<'a, 'r> {
    pub(crate) experiment: &'a Experiment,
    encoders: Encoders<'r>,
    expanded: Vec<AtPoint<'a>>,
    count: usize,
}

impl<'a> Expansion<'a, '_> {
    /// Adds a method's runs at a point over what its points share; returns them.
    pub(crate) fn add(
        &mut self,
        (index, table): (usize, &'a MethodTable),
        base: &Base<'a>,
        point: &Layer,
    ) -> Result<&AtPoint<'a>, PlanError> {
        let merged = base.merged(&self.experiment.layers.above(point));
        let before = self.expanded.last().filter(|before| before.index == index);
        let label: Arc<str> = before.map_or_else(|| table.label.as_str().into(), |before| Arc::clone(&before.label));
        let one = self.experiment.at_point((index, table), point, &merged, &label, &mut self.encoders)?;
        let one = one.sharing(self.expanded.last());
        self.count = self.count.saturating_add(one.bits.len().saturating_mul(one.seeds.len()));
        if self.count > MOST_RUNS {
            return Err(PlanError::TooManyRuns);
        }
        Ok(self.expanded.push_mut(one))
    }
}

/// The keys in which the settings of each row differ, by label.
fn row_differences<'a>(expanded: &'a [AtPoint<'_>]) -> BTreeMap<&'a str, Vec<Key>> {
    let mut rows: BTreeMap<&str, Vec<&Tables>> = BTreeMap::new();
    for one in expanded {
        rows.entry(&one.table.label).or_default().push(&one.tables);
    }
    rows.into_iter().map(|(label, row)| (label, differing(&row))).collect()
}

/// The numbers of a list, each once.
fn integers<T: serde::de::DeserializeOwned + Ord + Copy>(general: &Settings, key: &str) -> Vec<T> {
    let value = general.get(key).cloned().unwrap_or_default();
    let mut numbers: Vec<T> = serde_json::from_value(value).expect("the types of the top level were checked");
    let mut seen = BTreeSet::new();
    numbers.retain(|number| seen.insert(*number));
    numbers
}

/// Encoder sections and their resolved forms. Each different one is resolved once: weights may have to be digested.
struct Encoders<'r> {
    resolve: Resolve<'r>,
    known: BTreeMap<(Modality, String), Settings>,
}

impl Encoders<'_> {
    fn resolve(&mut self, modality: Modality, section: &Settings) -> Result<Settings, PlanError> {
        let key = (modality, canonical(&Value::Object(section.clone())));
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        let resolved = (self.resolve)(modality, section);
        let resolved = resolved.map_err(|message| PlanError::Encoder { modality, message })?;
        self.known.insert(key, resolved.clone());
        Ok(resolved)
    }
}

/// Drops repeated runs of points, `count` in all. Runs of different configurations are different, and so are those of one
/// point: only points of one configuration are looked at run by run.
fn once_each(points: Vec<(String, Vec<PlannedRun>)>, count: usize) -> Result<Vec<PlannedRun>, PlanError> {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    points.iter().for_each(|(template, _)| *times.entry(template.clone()).or_default() += 1);
    let mut labels: BTreeMap<RunId, Arc<str>> = BTreeMap::new();
    let mut kept = Vec::with_capacity(count);
    for (template, runs) in points {
        if times[&template] == 1 {
            kept.extend(runs);
        } else {
            keep_once(runs, &mut labels, &mut kept)?;
        }
    }
    Ok(kept)
}

/// Keeps the runs whose identities have no label yet.
fn keep_once(
    runs: Vec<PlannedRun>,
    labels: &mut BTreeMap<RunId, Arc<str>>,
    kept: &mut Vec<PlannedRun>,
) -> Result<(), PlanError> {
    for run in runs {
        match labels.get(&run.id) {
            None => {
                labels.insert(run.id.clone(), run.label.clone());
                kept.push(run);
            }
            Some(label) if *label == run.label => {}
            Some(label) => {
                let (first, second) = (label.to_string(), run.label.to_string());
                return Err(PlanError::SharedRun { id: run.id, first, second });
            }
        }
    }
    Ok(())
}
