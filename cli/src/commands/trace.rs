//! `hashlab trace`: what the first training steps were fed with and what they found, for other implementations.
//!
//! The steps are those of a run, taken by its own loop: a journal writes them down and stops the training after the last.
//!
//! ```text
//! DIR/start/NAME.npy             the method's tensors before the first step
//! DIR/steps/SSSSS_items.npy      positions of the step's items among the training items, u32
//! DIR/steps/SSSSS_view_V.npy     features of their views, (items, dim)
//! DIR/steps/SSSSS_labels.npy     multi-hot, (items, classes); only where the method may see labels
//! DIR/end/NAME.npy               the method's tensors after the last step
//! DIR/trace.json                 the run's configuration, and each step's epoch and loss terms; written last
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use candle_core::{DType, Device, Tensor};
use hashlab_bank::npy;
use hashlab_data::Dataset;
use hashlab_engine::RunConfig;
use hashlab_engine::sweep::PlannedRun;
use hashlab_model::features::Features;
use hashlab_model::run::{Finish, Job, run as run_job};
use hashlab_model::train::{Checkpoint, Journal};
use hashlab_model::{Batch, Entry, Progress};
use serde::Serialize;

use super::exec::Workplace;
use super::features::extract;
use super::sweep::plan;
use crate::args::TraceArgs;
use crate::context::{Context, print};
use crate::exit::bad_input;

/// What `trace.json` holds.
#[derive(Serialize)]
struct Trace<'a> {
    config: &'a RunConfig,
    steps: &'a [Step],
}

/// A step that was recorded.
#[derive(Serialize)]
struct Step {
    /// Epoch, counted from 0.
    epoch: usize,
    /// Loss terms by name; `loss` is the total.
    terms: BTreeMap<String, f64>,
}

pub(crate) fn run(context: &Context, args: &TraceArgs) -> Result<ExitCode> {
    let planned = plan(context, &args.experiment)?;
    let trained = |run: &&PlannedRun| context.method(&run.config.method).is_ok_and(|method| method.info.gradient);
    let config = match planned.plan.runs.iter().find(trained) {
        Some(run) => &run.config,
        None => return Err(bad_input("no method of the experiment is trained by steps")),
    };
    let workplace = Workplace::open(context, config)?;
    let weights = planned.weights.path_of(&config.backbone).map(Path::to_owned);
    let features = workplace.features_with(config, weights)?;
    let (method, dataset) = (context.method(&config.method)?, workplace.dataset.as_ref());
    make_folders(&args.out)?;
    extract(config, method, dataset, &features)?;
    let part = Part { config, method, dataset, features: &features };
    let start = part.train(Recorder::new(&args.out, 0), None)?;
    let end = part.train(Recorder::new(&args.out, args.steps.get()), Some(start.checkpoint.clone()))?;
    write_state(&args.out.join("start"), &start.checkpoint)?;
    write_state(&args.out.join("end"), &end.checkpoint)?;
    let text = serde_json::to_string_pretty(&Trace { config, steps: &end.steps })? + "\n";
    let path = args.out.join("trace.json");
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    print(&format!("{}: {} steps of {}\n", args.out.display(), end.steps.len(), config.id()))?;
    Ok(ExitCode::SUCCESS)
}

/// Makes the folders of a trace. Files of an earlier one would mix with it.
fn make_folders(out: &Path) -> Result<()> {
    if out.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(bad_input(format!("{} is not empty\nhelp: remove it, or name another directory", out.display())));
    }
    for folder in ["start", "steps", "end"].map(|name| out.join(name)) {
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    Ok(())
}

/// The part of a run that is traced.
struct Part<'a> {
    config: &'a RunConfig,
    method: &'a Entry,
    dataset: &'a dyn Dataset,
    features: &'a Features<'a>,
}

impl Part<'_> {
    /// Executes the run until the recorder has its steps.
    fn train<'r>(&self, mut recorder: Recorder<'r>, checkpoint: Option<Vec<u8>>) -> Result<Recorder<'r>> {
        let finish = run_job(Job {
            config: self.config,
            method: self.method,
            dataset: self.dataset,
            features: self.features,
            device: Device::Cpu,
            journal: &mut recorder,
            checkpoint,
            provenance: BTreeMap::new(),
        })?;
        match finish {
            Finish::Result(result) if result.message.is_some() => {
                bail!("the training diverged: {}", result.message.unwrap_or_default())
            }
            // A training shorter than asked for ended by itself.
            Finish::Result(_) | Finish::Interrupted => Ok(recorder),
        }
    }
}

/// Writes steps down as they are done, and stops the training after the last.
struct Recorder<'a> {
    out: &'a Path,
    asked: usize,
    steps: Vec<Step>,
    checkpoint: Vec<u8>,
}

impl<'a> Recorder<'a> {
    fn new(out: &'a Path, asked: usize) -> Self {
        Self { out, asked, steps: Vec::new(), checkpoint: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.out.join(format!("steps/{:05}_{name}.npy", self.steps.len()))
    }
}

impl Journal for Recorder<'_> {
    fn step(&mut self, at: &Progress, batch: &Batch, terms: &[(&str, f64)]) -> Result<()> {
        npy::write(&self.path("items"), &[batch.items.len()], &batch.items)?;
        for (index, view) in batch.views.iter().enumerate() {
            write_tensor(&self.path(&format!("view_{index}")), view)?;
        }
        if let Some(labels) = &batch.labels {
            write_tensor(&self.path("labels"), labels)?;
        }
        let terms = terms.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
        self.steps.push(Step { epoch: at.epoch, terms });
        Ok(())
    }

    fn epoch(&mut self, _: usize, _: &BTreeMap<String, f64>, _: f64) -> Result<()> {
        Ok(())
    }

    fn validation(&mut self, _: usize, _: f64) -> Result<()> {
        Ok(())
    }

    fn checkpoint(&mut self, bytes: &[u8]) -> Result<()> {
        self.checkpoint = bytes.to_vec();
        Ok(())
    }

    fn stopped(&self) -> bool {
        self.steps.len() >= self.asked
    }
}

/// Writes the method's tensors of a checkpoint.
fn write_state(folder: &Path, checkpoint: &[u8]) -> Result<()> {
    for (name, tensor) in Checkpoint::from_bytes(checkpoint, &Device::Cpu)?.method {
        write_tensor(&folder.join(format!("{name}.npy")), &tensor)?;
    }
    Ok(())
}

fn write_tensor(path: &Path, tensor: &Tensor) -> Result<()> {
    let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    Ok(npy::write(path, tensor.dims(), &values)?)
}
