//! `hashlab trace`: what the first training steps were fed with and what they found, for other implementations.
//!
//! The steps are those of a run, taken by its own loop: an observer writes them down and stops the training after the last.
//!
//! ```text
//! DIR/states/SSSSS/NAME.npy      the method's tensors before step SSSSS; the last folder holds them after the last step
//! DIR/steps/SSSSS_items.npy      positions of the step's items among the training items, u32
//! DIR/steps/SSSSS_view_V.npy     features of their views, (items, dim)
//! DIR/steps/SSSSS_labels.npy     multi-hot, (items, classes); only where the method may see labels
//! DIR/steps/SSSSS_draw_DDD.npy   the method's random draws in their order, such as masks of dropout (0, or the factor
//!                                on what is kept)
//! DIR/trace.json                 the run's configuration, the number of training items, the modalities of the views,
//!                                and each step's epoch and loss terms; written last
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use candle_core::{DType, Device, Tensor};
use hashlab_app::worker::with_environment;
use hashlab_cache::npy;
use hashlab_kernels::device::devices_from;
use hashlab_method::{HashMethod, Modality, State, draws};
use hashlab_pipeline::config::section;
use hashlab_pipeline::run::{RunEnd, RunJob, finetunes, run as run_job, split_of};
use hashlab_pipeline::{check_devices, device_count};
use hashlab_settings::Settings;
use hashlab_store::RunConfig;
use hashlab_sweep::PlannedRun;
use hashlab_train::{Checkpoint, StepReport, TrainConfig, TrainObserver};
use serde::Serialize;

use super::extract::extract;
use crate::args::TraceArgs;
use crate::context::{Context, print, say};
use crate::exit::bad_input;
use crate::files::{self, Extent};
use crate::hub::Hub;

/// What `trace.json` holds.
#[derive(Serialize)]
struct Trace<'a> {
    config: &'a RunConfig,
    /// `[train]` with its defaults.
    train: TrainConfig,
    /// Hyperparameters with their defaults.
    params: Settings,
    /// Number of training items, which with the batch size gives the length of an epoch.
    training_items: usize,
    /// Modalities of a step's views.
    views: &'a [Modality],
    steps: &'a [Recorded],
}

/// A step that was recorded.
#[derive(Serialize)]
struct Recorded {
    /// Epoch, counted from 0.
    epoch: usize,
    /// Loss terms by name; `loss` is the total.
    terms: BTreeMap<String, f64>,
}

pub(crate) fn run(context: &Context, args: &TraceArgs) -> Result<ExitCode> {
    let hub = Hub::from_env(args.network.offline);
    let planned = files::plan(context, &args.experiment, Extent::All, &hub, &say)?;
    let deep = |run: &&PlannedRun| context.registry().method(&run.template().method).is_ok_and(|method| method.deep);
    let config = &match planned.plan.runs.iter().find(deep) {
        Some(run) => run.config(),
        None => return Err(bad_input("no method of the experiment is trained by steps")),
    };
    let device = args.device.name.open()?;
    check_devices(config, context.registry().encoders).map_err(|error| bad_input(error.to_string()))?;
    devices_from(&device, device_count(config)?)?;
    let method = context.registry().method(&config.method)?;
    check_empty(&args.out)?;
    let steps = with_environment(&context.workspace, config, &planned.weights, &device, |environment| {
        if !finetunes(config)? {
            extract(config, method, environment)?;
        }
        make_folder(&args.out)?;
        let mut recorder = Recorder::new(&args.out, args.steps.get());
        let end = run_job(RunJob {
            config,
            method,
            environment,
            observer: &mut recorder,
            checkpoint: None,
            provenance: BTreeMap::new(),
        })?;
        // A training shorter than asked for ends by itself.
        if let RunEnd::Result { result, .. } = end
            && let Some(message) = result.message
        {
            bail!("the training diverged: {message}");
        }
        let mut params = method.schema().defaults;
        params.extend(config.params.clone());
        recorder.finish(config, params, split_of(config, environment.dataset)?.train.len())?;
        Ok(recorder.steps.len())
    })?;
    print(&format!("{}: {steps} steps of {}\n", args.out.display(), config.id()))?;
    Ok(ExitCode::SUCCESS)
}

/// Refuses a folder with files: those of an earlier trace would mix with the new ones.
fn check_empty(out: &Path) -> Result<()> {
    if out.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(bad_input(format!("{} is not empty\nhelp: remove it, or name another directory", out.display())));
    }
    Ok(())
}

fn make_folder(out: &Path) -> Result<()> {
    std::fs::create_dir_all(out.join("steps")).with_context(|| format!("cannot create {}", out.display()))
}

/// Writes steps down, and stops the training after the last.
struct Recorder<'a> {
    out: &'a Path,
    asked: usize,
    steps: Vec<Recorded>,
    /// Modalities of the last step's views.
    views: Vec<Modality>,
    /// The method's tensors at the last checkpoint; a training ends with one.
    end: State,
}

impl<'a> Recorder<'a> {
    fn new(out: &'a Path, asked: usize) -> Self {
        Self { out, asked, steps: Vec::new(), views: Vec::new(), end: State::new() }
    }

    /// Where something of the step under way is written.
    fn path(&self, name: &str) -> PathBuf {
        self.out.join(format!("steps/{:05}_{name}.npy", self.steps.len()))
    }

    /// Writes the method's tensors before the step under way.
    fn write_state(&self, state: &State) -> Result<()> {
        let folder = self.out.join(format!("states/{:05}", self.steps.len()));
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        state.iter().try_for_each(|(name, tensor)| write_tensor(&folder.join(format!("{name}.npy")), tensor))
    }

    /// Writes what comes after the last step.
    fn finish(&self, config: &RunConfig, params: Settings, training_items: usize) -> Result<()> {
        self.write_state(&self.end)?;
        let train = section(&config.train)?;
        let trace = Trace { config, train, params, training_items, views: &self.views, steps: &self.steps };
        let path = self.out.join("trace.json");
        std::fs::write(&path, serde_json::to_string_pretty(&trace)? + "\n")
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

impl TrainObserver for Recorder<'_> {
    fn before_step(&mut self, method: &dyn HashMethod) -> Result<()> {
        self.write_state(&method.state()?)?;
        draws::record();
        Ok(())
    }

    fn step(&mut self, step: &StepReport<'_>) -> Result<()> {
        for (index, draw) in draws::take().iter().enumerate() {
            write_tensor(&self.path(&format!("draw_{index:03}")), draw)?;
        }
        npy::write(&self.path("items"), &[step.batch.items.len()], &step.batch.items)?;
        for (index, view) in step.batch.views.iter().enumerate() {
            write_tensor(&self.path(&format!("view_{index}")), &view.x)?;
        }
        if let Some(labels) = &step.batch.labels {
            write_tensor(&self.path("labels"), labels)?;
        }
        self.views = step.batch.views.iter().map(|view| view.modality).collect();
        let terms = step.terms()?.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        self.steps.push(Recorded { epoch: step.at.epoch, terms });
        Ok(())
    }

    fn epoch(&mut self, _: usize, _: &BTreeMap<String, f64>, _: f64) -> Result<()> {
        Ok(())
    }

    fn validation(&mut self, _: usize, _: f64) -> Result<()> {
        Ok(())
    }

    fn checkpoint(&mut self, bytes: &[u8]) -> Result<()> {
        self.end = Checkpoint::from_bytes(bytes, &Device::Cpu)?.method;
        Ok(())
    }

    fn stopped(&self) -> bool {
        self.steps.len() >= self.asked
    }
}

fn write_tensor(path: &Path, tensor: &Tensor) -> Result<()> {
    let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    Ok(npy::write(path, tensor.dims(), &values)?)
}
