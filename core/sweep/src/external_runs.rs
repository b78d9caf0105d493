//! Expansion of `[[external]]` into the runs that measure its codes.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashlab_data::ByModality;
use hashlab_settings::Settings;
use hashlab_store::{EXTERNAL_METHOD, RunConfig, RunId, SCHEMA};
use serde_json::Value;

use crate::active::without_inactive;
use crate::diagnostic::Diagnostic;
use crate::experiment::Experiment;
use crate::external::{CodesFile, ExternalTable, check_rows};
use crate::layers::{Layers, Merged};
use crate::method_table::MethodTable;
use crate::plan::{PlanError, PlannedExternal, PlannedRun};
use crate::scope::Scope;
use crate::section::Section;

/// Raised when the same codes would give other results.
const REVISION: u32 = 1;

/// Checks the external rows: among each other, beside those of methods, and their files.
pub(crate) fn check(
    scope: Scope<'_>,
    layers: &Layers,
    tables: &mut [ExternalTable],
    methods: &[MethodTable],
) -> Vec<Diagnostic> {
    let merged = Merged::new(Scope { method: None, ..scope }, layers.around(&[]));
    if ["bits", "seeds"].iter().any(|key| merged.rejects(Section::General, key)) {
        return Vec::new();
    }
    let (bits, seeds) = lengths_and_seeds(&merged);
    let mut diagnostics = check_rows(tables, methods, &bits);
    if !diagnostics.is_empty() {
        return diagnostics;
    }
    for table in tables {
        let lengths = table.bits.as_deref().unwrap_or(&bits);
        let seeds = table.seeds(&seeds);
        let files = lengths.iter().flat_map(|&bits| seeds.iter().map(move |&seed| (bits, seed)));
        let files = files.flat_map(|(bits, seed)| table.files(bits, seed).map(move |(.., path)| (path, bits)));
        let wrong = files.filter_map(|(path, bits)| (scope.catalog.codes)(&path, bits).err());
        let report = |message: String| match message.split_once("\nhelp: ") {
            Some((message, help)) => Diagnostic::new(&table.span, message).help(help),
            None => Diagnostic::new(&table.span, message),
        };
        diagnostics.extend(wrong.map(report));
    }
    diagnostics
}

/// The code lengths and seeds at the top of the file; none where they were rejected.
fn lengths_and_seeds(merged: &Merged<'_>) -> (Vec<usize>, Vec<u64>) {
    let general = merged.table(Section::General);
    let list = |key: &str| general.get(key).cloned().unwrap_or_default();
    let (bits, seeds) = (serde_json::from_value(list("bits")), serde_json::from_value(list("seeds")));
    (bits.unwrap_or_default(), seeds.unwrap_or_default())
}

impl Experiment {
    /// The runs of the external rows: by row, then code length, then seed.
    pub(crate) fn external_runs(&self) -> Result<Vec<PlannedExternal>, PlanError> {
        let (catalog, dataset, description) = (&self.catalog, Some(&self.dataset), Some(&self.description));
        let merged = Merged::new(Scope { catalog, dataset, description, method: None }, self.layers.around(&[]));
        let (bits, seeds) = lengths_and_seeds(&merged);
        let mut runs = Vec::new();
        for (at, table) in self.external.iter().enumerate() {
            for &bits in table.bits.as_deref().unwrap_or(&bits) {
                // Seeds differ in their files; what they share is the setting of the first.
                let mut setting = None;
                for &seed in table.seeds(&seeds) {
                    let files = self.codes_files(table, bits, seed)?;
                    let template = self.external_config(&merged, &files);
                    let ids = template.ids();
                    let setting = setting.get_or_insert_with(|| Arc::<str>::from(ids.setting(bits)));
                    let run = PlannedRun {
                        id: ids.id(bits, seed),
                        setting: Arc::clone(setting),
                        method: self.methods.len() + at,
                        label: table.label.as_str().into(),
                        point: Arc::default(),
                        bits,
                        seed,
                        template: Arc::new(template),
                    };
                    let (seeded, codes) = (table.codes.differs_by_seed(), table.codes.as_str().to_owned());
                    runs.push(PlannedExternal { run, seeded, codes, files });
                }
            }
        }
        distinct(&runs)?;
        Ok(runs)
    }

    fn codes_files(&self, table: &ExternalTable, bits: usize, seed: u64) -> Result<Vec<CodesFile>, PlanError> {
        let file = |(side, modality, path): (_, _, String)| {
            let facts = (self.catalog.codes)(&path, bits).map_err(PlanError::Codes)?;
            Ok(CodesFile { side, modality, path, facts })
        };
        table.files(bits, seed).map(file).collect()
    }

    /// The configuration of a run, without code length and seed: the digests of its files in the place of
    /// hyperparameters.
    fn external_config(&self, merged: &Merged<'_>, files: &[CodesFile]) -> RunConfig {
        let digest = |file: &CodesFile| {
            (format!("{}_{}", file.side.name(), file.modality), Value::from(file.facts.digest.as_str()))
        };
        RunConfig {
            schema: SCHEMA,
            method: EXTERNAL_METHOD.to_owned(),
            revision: REVISION,
            params: files.iter().map(digest).collect::<Settings>(),
            train: Settings::new(),
            bits: 0,
            seed: 0,
            dataset: self.dataset.name.clone(),
            dataset_identity: self.description.identity.clone(),
            data: self.dataset.settings.changed(&without_inactive(
                merged,
                Section::Data,
                merged.table(Section::Data).clone(),
            )),
            protocol: self.protocol.name.clone(),
            split_seed: merged.table(Section::General).get("split_seed").and_then(Value::as_u64).unwrap_or_default(),
            encoders: ByModality::default(),
            eval: self.eval(&self.catalog.eval, merged.table(Section::Eval)),
        }
    }
}

/// Fails if two rows have the same files.
fn distinct(runs: &[PlannedExternal]) -> Result<(), PlanError> {
    let mut labels: BTreeMap<&RunId, &str> = BTreeMap::new();
    for PlannedExternal { run, .. } in runs {
        if let Some(first) = labels.insert(&run.id, &run.label) {
            let (first, second) = (first.to_owned(), run.label.to_string());
            return Err(PlanError::SharedCodes { id: run.id.clone(), first, second });
        }
    }
    Ok(())
}
