//! `hashlab features`: an experiment's features, views, labels and splits as .npy files, for other programs.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use hashlab_app::worker::with_environment;
use hashlab_cache::{Progress, npy};
use hashlab_data::{Dataset, Modality, Split};
use hashlab_method::MethodEntry;
use hashlab_pipeline::run::{self, RunFeatures, finetunes};
use hashlab_pipeline::{FeatureRows, RunEnvironment};
use hashlab_store::RunConfig;
use hashlab_sweep::PlannedRun;
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::FeaturesArgs;
use crate::context::{Context, print};

/// Rows copied at once.
const ROWS: usize = 4096;

pub(crate) fn run(context: &Context, args: &FeaturesArgs) -> Result<ExitCode> {
    let planned = context.plan(&args.experiment)?;
    let device = args.device.name.open()?;
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot create {}", args.out.display()))?;
    let config = &fullest(context, &planned.plan.runs)?.config;
    let method = context.registry().method(&config.method)?;
    let weights = planned.weights.iter().map(|(digest, path)| (digest.to_owned(), path.to_owned())).collect();
    let files = with_environment(&context.workspace, config, &weights, &device, |environment| {
        export_all(&args.out, config, method, environment)
    })?;
    print(&listing(&args.out, config, &files))?;
    Ok(ExitCode::SUCCESS)
}

/// The run that needs most features: with views, if any draws them.
fn fullest<'r>(context: &Context, runs: &'r [PlannedRun]) -> Result<&'r PlannedRun> {
    let views = |run: &&PlannedRun| {
        let method = context.registry().method(&run.config.method);
        method.is_ok_and(|method| method.info.augmented) && matches!(finetunes(&run.config), Ok(false))
    };
    let stored = |run: &&PlannedRun| matches!(finetunes(&run.config), Ok(false));
    let fullest = runs.iter().find(views).or_else(|| runs.iter().find(stored)).or(runs.first());
    fullest.context("the experiment has no runs")
}

fn export_all(
    out: &Path,
    config: &RunConfig,
    method: &MethodEntry,
    environment: &RunEnvironment<'_>,
) -> Result<Vec<String>> {
    let needs = extract(config, method, environment)?;
    let mut files = Vec::new();
    let several = needs.plain.len() > 1;
    for (modality, rows) in needs.plain.iter() {
        files.push(export(out, &format!("{}features.npy", prefix(modality, several)), rows)?);
    }
    let mut sets: BTreeMap<Modality, usize> = BTreeMap::new();
    for pool in &needs.pools {
        // A method with two transforms has two sets of views.
        let set = sets.entry(pool.modality).or_default();
        let same = needs.pools.iter().filter(|other| other.modality == pool.modality).count();
        let number = if same > 1 { format!("{set}_") } else { String::new() };
        *set += 1;
        for (view, rows) in pool.views.iter().enumerate() {
            let name = format!("{}view_{number}{view:03}.npy", prefix(pool.modality, several));
            files.push(export(out, &name, rows)?);
        }
    }
    files.extend(export_labels(out, environment.dataset)?);
    files.extend(export_split(out, &run::split_of(config, environment.dataset)?)?);
    Ok(files)
}

fn prefix(modality: Modality, several: bool) -> String {
    if several { format!("{modality}_") } else { String::new() }
}

/// Opens every feature that a run needs; shows progress with those that the cache lacks.
pub(super) fn extract<'a>(
    config: &RunConfig,
    method: &MethodEntry,
    environment: &RunEnvironment<'a>,
) -> Result<RunFeatures<'a>> {
    let bar = Bar::new();
    let mut progress = |name: &str, at: Progress| bar.on_progress(name, at);
    let needs = run::features_of(config, method, environment, &mut progress)?;
    bar.0.finish_and_clear();
    Ok(needs)
}

/// Progress of extraction on standard error, where a person watches it.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        let style = ProgressStyle::with_template("{msg:24} {bar:30} {pos} of {len} items, {eta} left");
        Self(ProgressBar::new(0).with_style(style.expect("the template is well-formed")))
    }

    fn on_progress(&self, name: &str, at: Progress) -> Result<()> {
        let (Progress::Waiting { done, total } | Progress::Extracting { done, total }) = at;
        if self.0.message() != name {
            self.0.reset();
            self.0.set_message(name.to_owned());
        }
        self.0.set_length(total as u64);
        self.0.set_position(done as u64);
        Ok(())
    }
}

fn listing(out: &Path, config: &RunConfig, files: &[String]) -> String {
    format!(
        "{}: features of {} with protocol {}\n  {}\nRows of features.npy and labels.npy are items; rows of view_*.npy are the items of train.npy.\n",
        out.display(),
        config.dataset,
        config.protocol,
        files.join("\n  ")
    )
}

fn export(out: &Path, name: &str, rows: &FeatureRows<'_>) -> Result<String> {
    let (count, dim) = (rows.rows(), rows.dim());
    let mut writer = npy::Writer::<f32>::create(&out.join(name), &[count, dim])?;
    let indices: Vec<u32> = (0..count as u32).collect();
    let mut values = Vec::new();
    for part in indices.chunks(ROWS) {
        values.resize(part.len() * dim, 0.0);
        rows.read(part, &mut values)?;
        writer.write(&values)?;
    }
    writer.finish()?;
    Ok(format!("{name}  ({count}, {dim}) f32"))
}

/// Multi-hot labels, one row per item.
fn export_labels(out: &Path, dataset: &dyn Dataset) -> Result<Vec<String>> {
    let labels = dataset.labels();
    let (items, classes) = (labels.len(), labels.classes());
    let mut writer = npy::Writer::<u8>::create(&out.join("labels.npy"), &[items, classes])?;
    for item in 0..items {
        let row: Vec<u8> = (0..classes).map(|class| labels.has(item, class).into()).collect();
        writer.write(&row)?;
    }
    writer.finish()?;
    Ok(vec![format!("labels.npy  ({items}, {classes}) u8, multi-hot")])
}

fn export_split(out: &Path, split: &Split) -> Result<Vec<String>> {
    let parts = [
        ("train", &split.train),
        ("validation_query", &split.validation_query),
        ("validation_database", &split.validation_database),
        ("query", &split.query),
        ("database", &split.database),
    ];
    let mut files = Vec::new();
    for (name, items) in parts {
        npy::write(&out.join(format!("{name}.npy")), &[items.len()], items)?;
        files.push(format!("{name}.npy  ({},) u32, item indices", items.len()));
    }
    Ok(files)
}
