//! Gathers what a plan's runs left on disk into the data of a report.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Result, ensure};
use hashlab_data::{ByModality, Modality};
use hashlab_encoders::{EncoderEntry, ImageEntry, Pooling};
use hashlab_method::MethodEntry;
use hashlab_pipeline::config::{EvalConfig, ImageConfig, NO_ENCODER, NormMode, RANDOM_WEIGHTS, TextConfig, section};
use hashlab_report::{
    Depth, EncoderSummary, EncoderWeights, ExternalCodes, Finetuning, Header, Outcome, Published, ReportedRun,
    Selection, Setup, SweepReport, parse_published,
};
use hashlab_settings::{Settings, canonical};
use hashlab_store::{Name, PlanDir, RunConfig, RunDir, RunId, RunResult, RunState, Status, Store, StoreError};
use hashlab_sweep::{EXTERNAL_METHOD, Plan, PlanError, PlannedExternal, PlannedRun, did_you_mean};
use hashlab_train::{Select, TrainConfig};

use crate::error::bad_input;
use crate::rungs::saved;
use crate::{Registry, Workspace};

/// Name of the file that holds the command that made a plan.
pub(crate) const COMMAND: &str = "command";

impl Workspace {
    /// Reads the plan of the sweep `name` that was started last.
    ///
    /// # Errors
    /// [`BadInput`](crate::BadInput) if there is none.
    pub fn newest_plan(&self, name: &str) -> Result<(Plan, PlanDir)> {
        let store = self.dirs.store();
        let sweep = store.sweep(name)?;
        let Some(dir) = sweep.newest()? else {
            let (root, known) = (store.root().display(), store.sweeps());
            let help = if known.is_empty() {
                "`sweep FILE` makes one; its name is the file's, without .toml".to_owned()
            } else {
                did_you_mean(name, known.iter().map(String::as_str))
            };
            return Err(bad_input(format!("there is no sweep `{name}` under {root}\nhelp: {help}")));
        };
        self.plan_of(dir)
    }

    /// Reads the plan of a directory.
    ///
    /// # Errors
    /// [`BadInput`](crate::BadInput) if it is damaged; [`StoreError::Io`] if it cannot be read.
    pub(crate) fn plan_of(&self, dir: PlanDir) -> Result<(Plan, PlanDir)> {
        let path = dir.plan_path();
        let plan = Plan::read_jsonl(dir.open_plan()?).map_err(|error| match error {
            PlanError::Unreadable { error, .. } => anyhow::Error::from(StoreError::Io { action: "read", path, error }),
            damaged => {
                bad_input(format!("`{}` is damaged: {damaged}\nhelp: `sweep FILE` writes it anew", path.display()))
            }
        })?;
        Ok((plan, dir))
    }

    /// Collects the outcomes of a plan.
    ///
    /// # Errors
    /// If the plan holds no runs, or a configuration does not fit this program.
    pub fn report(&self, plan: &Plan, dir: &PlanDir) -> Result<SweepReport> {
        let command = dir.read(COMMAND).unwrap_or_else(|| format!("hashlab sweep {}.toml", plan.name));
        report(self, plan, command)
    }

    /// The published numbers of all registered methods.
    ///
    /// # Errors
    /// If a list cannot be read.
    pub fn published(&self) -> Result<Vec<Published>> {
        let mut all = Vec::new();
        for text in self.registry.published {
            all.extend(parse_published(text)?);
        }
        Ok(all)
    }
}

/// Collects the outcomes of a plan under the command that made it. Results are without their curves:
/// [`Workspace::details`] reads those of some runs.
///
/// # Errors
/// If the plan holds no runs, or a configuration does not fit this program.
pub fn report(workspace: &Workspace, plan: &Plan, command: String) -> Result<SweepReport> {
    ensure!(!plan.runs.is_empty(), "the plan holds no runs");
    let store = workspace.dirs.store();
    let planned = plan.runs.iter().chain(plan.external.iter().map(|row| &row.run));
    let results = store.results_as(planned.map(|run| &run.id), Box::new)?;
    let begun = if results.iter().all(Option::is_some) { BTreeSet::new() } else { store.begun()? };
    let mut results = results.into_iter();
    let mut runs = Vec::with_capacity(plan.runs.len());
    for group in plan.runs.chunk_by(PlannedRun::shares_template) {
        let config = group[0].template();
        let method = workspace.registry.method(&config.method)?;
        let setup = Arc::new(setup(&workspace.registry, method, config)?);
        for run in group {
            let outcome = outcome(&store, &begun, run, results.next().flatten())?;
            let (method, setup) = (Made { name: method.info.name, seeded: method.info.seeded }, Arc::clone(&setup));
            runs.push(reported(runs.len(), run, method, setup, outcome));
        }
    }
    for PlannedExternal { run, seeded, codes, files } in &plan.external {
        let files = files.iter().map(|file| file.facts.digest.clone()).collect();
        let external = Some(ExternalCodes { codes: codes.clone(), files });
        let setup = Arc::new(Setup { selection: Selection::None, encoders: ByModality::default(), external });
        let outcome = outcome(&store, &begun, run, results.next().flatten())?;
        runs.push(reported(runs.len(), run, Made { name: EXTERNAL_METHOD, seeded: *seeded }, setup, outcome));
    }
    let mut header = header(&workspace.registry, plan, command)?;
    if let Some(saved) = saved(workspace, plan)?.filter(|saved| saved.stopped > 0) {
        header.notes.push(format!("pruned by validation mAP: {}", saved.epochs_in_words()));
    }
    Ok(SweepReport { name: plan.name.clone(), header, runs })
}

fn header(registry: &Registry, plan: &Plan, command: String) -> Result<Header> {
    let config = plan.runs[0].template();
    let eval: EvalConfig = section(&config.eval)?;
    let description = registry.dataset(&plan.dataset).map_or("", |dataset| dataset.summary.description);
    Ok(Header {
        dataset: plan.dataset.clone(),
        dataset_display: plan.dataset_title.clone(),
        dataset_description: description.to_owned(),
        dataset_digest: Some(config.dataset_identity.clone()),
        protocol: plan.protocol.clone(),
        protocol_description: plan.protocol_description.clone(),
        map_at: eval.map_at.rank()?.map_or(Depth::All, Depth::At),
        definition: eval.definition,
        sample: Some(sample(config)),
        command,
        notes: vec![format!(
            "database order drawn by split_seed {}; ties in distance rank by position",
            config.split_seed
        )],
    })
}

/// Digest of the settings that draw a run's items and split.
fn sample(config: &RunConfig) -> String {
    let settings = canonical(&serde_json::json!([config.data, config.split_seed]));
    blake3::hash(settings.as_bytes()).to_hex()[..12].to_owned()
}

/// What became of a run, whose result was looked for.
fn outcome(
    store: &Store,
    begun: &BTreeSet<RunId>,
    run: &PlannedRun,
    result: Option<Box<RunResult>>,
) -> Result<Outcome> {
    Ok(match result {
        Some(result) => ended(result),
        None if begun.contains(&run.id) => unfinished(&store.run(&run.id)?),
        None => Outcome::Missing,
    })
}

fn ended(result: Box<RunResult>) -> Outcome {
    match result.status {
        Status::Finished => Outcome::Finished(result),
        Status::Diverged => Outcome::Diverged(result),
    }
}

/// What became of a run that had no result.
fn unfinished(dir: &RunDir) -> Outcome {
    match dir.state_of_unfinished() {
        RunState::Finished(result) => ended(result),
        RunState::Failed(failure) => {
            Outcome::Failed { first_line: failure.message.lines().next().unwrap_or_default().to_owned() }
        }
        RunState::Stopped { epoch } => Outcome::Stopped { epoch },
        RunState::Running | RunState::Interrupted { .. } | RunState::Missing => Outcome::Missing,
    }
}

/// What made a run's codes.
struct Made<'a> {
    /// The method's name.
    name: &'a str,
    /// Whether the result depends on the seed.
    seeded: bool,
}

fn reported(position: usize, planned: &PlannedRun, made: Made<'_>, setup: Arc<Setup>, outcome: Outcome) -> ReportedRun {
    ReportedRun {
        position,
        label: Name::new(&planned.label),
        method: Name::new(made.name),
        setting: Name::new(&planned.setting),
        point: Arc::clone(&planned.point),
        bits: planned.bits,
        seed: planned.seed,
        seeded: made.seeded,
        setup,
        run: planned.id.clone(),
        outcome,
    }
}

fn setup(registry: &Registry, method: &MethodEntry, config: &RunConfig) -> Result<Setup> {
    let selection = match (method.deep, section::<TrainConfig>(&config.train)?.select) {
        (false, _) => Selection::None,
        (true, Select::Best) => Selection::Best,
        (true, Select::Last) => Selection::Last,
    };
    let encoders: ByModality<EncoderSummary> = config.encoders.try_map(|modality, settings| match modality {
        Modality::Text => text_summary(settings),
        _ => image_summary(registry, method, settings),
    })?;
    Ok(Setup { selection, encoders, external: None })
}

fn text_summary(settings: &Settings) -> Result<EncoderSummary> {
    let config: TextConfig = section(settings)?;
    let mut summary = EncoderSummary::frozen(&config.encoder, weights(config.digest));
    summary.pooling = config.pooling.map(|pooling| Pooling::from(pooling).name().to_owned());
    summary.max_tokens = config.max_tokens;
    summary.dtype = text(&config.dtype)?;
    summary.cache_dtype = config.cache_dtype.to_string();
    summary.finetuning = config.finetune.then_some(Finetuning { lr_scale: config.lr_scale, norm: None });
    Ok(summary)
}

fn image_summary(registry: &Registry, method: &MethodEntry, settings: &Settings) -> Result<EncoderSummary> {
    let config: ImageConfig = section(settings)?;
    let mut networks = registry.encoders.iter().filter_map(EncoderEntry::image);
    let network: Option<&ImageEntry> = networks.find(|encoder| encoder.name == config.encoder);
    let mut summary = EncoderSummary::frozen(&config.encoder, weights(config.digest));
    if config.encoder == NO_ENCODER {
        return Ok(summary);
    }
    // A network that can be trained without a file starts from random weights.
    if network.is_some_and(|network| !network.needs_weights && network.train.is_some()) {
        summary.weights = EncoderWeights::Random;
    }
    summary.image_size = config.image_size.or(network.map(|network| network.image_size));
    summary.dtype = text(&config.dtype)?;
    summary.cache_dtype = config.cache_dtype.to_string();
    summary.frozen_until = config.frozen_until;
    summary.views = (method.info.augmented && !config.finetune).then_some(config.views);
    summary.finetuning = config.finetune.then(|| Finetuning {
        lr_scale: config.lr_scale,
        norm: network.is_some_and(|network| network.normed).then(|| match config.norm {
            NormMode::Batch => "batch".to_owned(),
            NormMode::Frozen => "frozen".to_owned(),
        }),
    });
    Ok(summary)
}

/// A unit variant as files write it.
fn text(value: &impl serde::Serialize) -> Result<String> {
    Ok(serde_json::to_value(value)?.as_str().unwrap_or_default().to_owned())
}

fn weights(digest: Option<String>) -> EncoderWeights {
    match digest {
        None => EncoderWeights::None,
        Some(digest) if digest == RANDOM_WEIGHTS => EncoderWeights::Random,
        Some(digest) => EncoderWeights::Digest(digest),
    }
}
