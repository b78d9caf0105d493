//! `hashlab features`: an experiment's features, views, labels and splits as .npy files, for other programs.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use hashlab_app::worker::with_environment;
use hashlab_cache::npy;
use hashlab_data::Modality;
use hashlab_method::MethodEntry;
use hashlab_pipeline::run::{self, finetunes};
use hashlab_pipeline::{FeatureRows, RunEnvironment};
use hashlab_store::RunConfig;
use hashlab_sweep::PlannedRun;

use super::array_files::{Exported, check_apart, check_writable, export_labels, export_split};
use super::extract::extract;
use crate::args::FeaturesArgs;
use crate::context::{Context, print, say};
use crate::files::{self, Extent};
use crate::hub::Hub;

/// Rows copied at once.
const ROWS: usize = 4096;

pub(crate) fn run(context: &Context, args: &FeaturesArgs) -> Result<ExitCode> {
    let hub = Hub::from_env(args.network.offline);
    let planned = files::plan(context, &args.experiment, Extent::All, &hub, &say)?;
    let device = args.device.name.open()?;
    check_writable(&args.out)?;
    let config = &fullest(context, &planned.plan.runs)?.config();
    let method = context.registry().method(&config.method)?;
    let files = with_environment(&context.workspace, config, &planned.weights, &device, |environment| {
        check_apart(&args.out, environment.dataset)?;
        let files = export_all(&args.out, config, method, environment)?;
        remove_others(&args.out, &files)?;
        Ok(files)
    })?;
    print(&listing(&args.out, config, &files))?;
    Ok(ExitCode::SUCCESS)
}

/// Removes what an earlier export left beside the files of this one, e.g. views of which there are fewer now.
fn remove_others(out: &Path, files: &[Exported]) -> Result<()> {
    let exported = |name: &str| {
        let name = name.strip_suffix(".npy")?;
        let plain = ["image_", "text_"].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
        let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
        (plain == "features" || plain.strip_prefix("view_").is_some_and(number)).then_some(())
    };
    for entry in std::fs::read_dir(out).with_context(|| format!("cannot read {}", out.display()))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if exported(&name).is_some() && files.iter().all(|file| file.name != name) {
            std::fs::remove_file(entry.path()).with_context(|| format!("cannot remove {}", entry.path().display()))?;
        }
    }
    Ok(())
}

/// The run that needs most features: with views, if any draws them.
fn fullest<'r>(context: &Context, runs: &'r [PlannedRun]) -> Result<&'r PlannedRun> {
    let views = |run: &&PlannedRun| {
        let method = context.registry().method(&run.template().method);
        method.is_ok_and(|method| method.info.augmented) && matches!(finetunes(run.template()), Ok(false))
    };
    let stored = |run: &&PlannedRun| matches!(finetunes(run.template()), Ok(false));
    let fullest = runs.iter().find(views).or_else(|| runs.iter().find(stored)).or(runs.first());
    fullest.context("the experiment has no runs")
}

fn export_all(
    out: &Path,
    config: &RunConfig,
    method: &MethodEntry,
    environment: &RunEnvironment<'_>,
) -> Result<Vec<Exported>> {
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
    let labels = environment.dataset.labels();
    files.push(export_labels(out, "labels.npy", labels, 0..labels.len())?);
    files.extend(export_split(out, &run::split_of(config, environment.dataset)?)?);
    Ok(files)
}

fn prefix(modality: Modality, several: bool) -> String {
    if several { format!("{modality}_") } else { String::new() }
}

fn listing(out: &Path, config: &RunConfig, files: &[Exported]) -> String {
    let files: Vec<String> = files.iter().map(|file| format!("{}  {}", file.name, file.content)).collect();
    format!(
        "{}: features of {} with protocol {}\n  {}\nRows of features.npy and labels.npy are items; rows of view_*.npy are the items of train.npy.\n",
        out.display(),
        config.dataset,
        config.protocol,
        files.join("\n  ")
    )
}

fn export(out: &Path, name: &str, rows: &FeatureRows<'_>) -> Result<Exported> {
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
    Ok(Exported::new(name, format!("({count}, {dim}) f32")))
}
