//! `hashlab features`: an experiment's features, views, labels and splits as .npy files, for other programs.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use hashlab_bank::{Progress, Segment, npy};
use hashlab_data::{Dataset, Split};
use hashlab_engine::RunConfig;
use hashlab_engine::sweep::PlannedRun;
use hashlab_model::Entry;
use hashlab_model::features::Features;
use hashlab_model::run::{self, RunFeatures, finetunes};
use indicatif::{ProgressBar, ProgressStyle};

use super::exec::Workplace;
use super::sweep::plan;
use crate::args::FeaturesArgs;
use crate::context::{Context, print};

/// Rows copied at once.
const ROWS: usize = 4096;

pub(crate) fn run(context: &Context, args: &FeaturesArgs) -> Result<ExitCode> {
    let planned = plan(context, &args.experiment)?;
    let device = args.device.name.open()?;
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot create {}", args.out.display()))?;
    // The run that needs most: with views, if any draws them.
    let runs = &planned.plan.runs;
    let stored = |run: &&PlannedRun| matches!(finetunes(&run.config), Ok(false));
    let with_views = runs.iter().find(|run| run.config.backbone.contains_key("views"));
    let config = &with_views.or_else(|| runs.iter().find(stored)).unwrap_or(&runs[0]).config;
    let workplace = Workplace::open(context, config)?;
    let weights = planned.weights.path_of(&config.backbone).map(Path::to_owned);
    let features = workplace.features(config, weights, &device)?;
    let dataset = workplace.dataset.as_ref();
    let needs = extract(config, context.method(&config.method)?, dataset, &features)?;
    let mut files = vec![export(&args.out, "features.npy", &needs.plain)?];
    for (index, pool) in needs.pools.iter().enumerate() {
        // A method with two transforms has two sets of views.
        let set = if needs.pools.len() > 1 { format!("{index}_") } else { String::new() };
        for (view, segment) in pool.segments.iter().enumerate() {
            files.push(export(&args.out, &format!("view_{set}{view:03}.npy"), segment)?);
        }
    }
    files.extend(export_labels(&args.out, dataset)?);
    files.extend(export_split(&args.out, &run::split_of(config, dataset)?)?);
    print(&listing(&args.out, config, &files))?;
    Ok(ExitCode::SUCCESS)
}

/// Opens every feature that a run needs; shows how far it is with those that the bank lacks.
pub(super) fn extract(
    config: &RunConfig,
    method: &Entry,
    dataset: &dyn Dataset,
    features: &Features<'_>,
) -> Result<RunFeatures> {
    let bar = Bar::new();
    let mut progress = |name: &str, at: Progress| bar.hear(name, at);
    let needs = run::features_of(config, method, dataset, features, &mut progress)?;
    bar.0.finish_and_clear();
    Ok(needs)
}

/// Progress of extraction on standard error, where a person watches it.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        let style = ProgressStyle::with_template("{msg:24} {bar:30} {pos} of {len} images, {eta} left");
        Self(ProgressBar::new(0).with_style(style.expect("the template is well-formed")))
    }

    fn hear(&self, name: &str, at: Progress) -> Result<()> {
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
        "{}: {} of {} with protocol {}\n  {}\nRows of features.npy and labels.npy are items; rows of view_*.npy are the items of train.npy.\n",
        out.display(),
        config.backbone["name"].as_str().unwrap_or_default(),
        config.dataset,
        config.protocol,
        files.join("\n  ")
    )
}

fn export(out: &Path, name: &str, segment: &Segment) -> Result<String> {
    let (rows, dim) = (segment.rows(), segment.dim());
    let mut writer = npy::Writer::<f32>::create(&out.join(name), &[rows, dim])?;
    let mut values = Vec::new();
    for start in (0..rows).step_by(ROWS) {
        segment.read_range(start..rows.min(start + ROWS), &mut values)?;
        writer.write(&values)?;
    }
    writer.finish()?;
    Ok(format!("{name}  ({rows}, {dim}) f32"))
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
