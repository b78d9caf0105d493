//! The job graph of a sweep: extractions of features, and the runs that need them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use hashlab_data::Modality;
use hashlab_exec::{CommandLine, Job, JobGraph, JobId, Program};
use hashlab_kernels::device::DeviceName;
use hashlab_pipeline::config::{EncoderConfig, EvalConfig, RANDOM_WEIGHTS, section};
use hashlab_pipeline::device_count;
use hashlab_pipeline::run::{finetunes, has_tail};
use hashlab_settings::canonical;
use hashlab_store::{PlanDir, RunConfig};
use hashlab_sweep::PlannedRun;
use serde::Serialize;
use serde_json::{Value, json};

use crate::weights::EncoderFiles;
use crate::worker::FeatureExtent;
use crate::{Dirs, Keep, Workspace};

/// Name of the stage that runs share, and of its log.
const STAGE: &str = "features";

/// Variables of a worker's environment, unless this process has others: its log level, and the order to mimalloc to ask
/// the system for memory piece by piece. By default it asks for a gigabyte at once, whose pages of 2 MiB are taken whole
/// wherever a byte of them is written: a tenth of a run's memory. mimalloc reads the variable before the program begins.
const ENVIRONMENT: [(&str, &str); 2] = [("HASHLAB_LOG", "info"), ("MIMALLOC_ARENA_EAGER_COMMIT", "0")];

/// How the processes of workers are started: this program, in the same directories.
pub struct Launch<'a> {
    program: Program,
    dirs: &'a Dirs,
    weights: &'a EncoderFiles,
    device: DeviceName,
    keep: Keep,
}

impl<'a> Launch<'a> {
    /// Takes hold of the running program, so that jobs are started from it even if its file is replaced.
    ///
    /// # Errors
    /// If the system does not say where the program is.
    pub fn new(workspace: &'a Workspace, weights: &'a EncoderFiles, device: DeviceName, keep: Keep) -> Result<Self> {
        let program = Program::current().context("cannot find this program's own file")?;
        Ok(Self { program, dirs: &workspace.dirs, weights, device, keep })
    }

    /// The command of a worker. The executor appends the runs' ids; a stage works on behalf of one run.
    fn command(&self, config: &RunConfig, plan: &PlanDir, work: Work<'_>) -> Result<CommandLine> {
        let mut args: Vec<OsString> = vec!["--runs".into(), self.dirs.runs.clone().into()];
        let mut option = |name: &str, value: Option<OsString>| {
            if let Some(value) = value {
                args.extend([OsString::from(name), value]);
            }
        };
        option("--data-dir", self.dirs.data_dir.clone().map(Into::into));
        option("--cache-dir", self.dirs.cache_dir.clone().map(Into::into));
        option("--cache-limit", self.dirs.cache_limit.map(|bytes| bytes.to_string().into()));
        args.extend(["worker".into(), "--device".into(), self.device.to_string().into()]);
        args.extend(["--keep".into(), self.keep.name().into()]);
        for (digest, path) in used_files(config, self.weights)? {
            let mut pair = OsString::from(format!("{digest}="));
            pair.push(path);
            args.extend(["--weights".into(), pair]);
        }
        match work {
            Work::Stage(extent, run) => {
                args.extend(["--features".into(), extent.name().into(), run.id.to_string().into()]);
            }
            Work::Runs { goal, stacked } => {
                args.extend(stacked.then(|| "--stacked".into()));
                match goal {
                    Goal::Epochs(until) => args.extend(["--until".into(), until.to_string().into()]),
                    Goal::Rungs => args.extend(["--rungs-of".into(), plan.name().into()]),
                    Goal::End => {}
                }
            }
        }
        let value = |(name, value): &(&str, &str)| {
            (OsString::from(name), std::env::var_os(name).unwrap_or_else(|| value.into()))
        };
        let env = ENVIRONMENT.iter().map(value).collect();
        Ok(CommandLine { program: self.program.clone(), args, env })
    }
}

/// What a worker is to do.
enum Work<'r> {
    /// To extract features on behalf of a run.
    Stage(FeatureExtent, &'r PlannedRun),
    /// To execute runs, stacked if there are several.
    Runs { goal: Goal, stacked: bool },
}

/// How far a run is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Goal {
    /// To its end.
    End,
    /// To a number of epochs.
    Epochs(usize),
    /// To the rung at which it decides to stop, or to its end.
    Rungs,
}

/// The files, weights and tokenizers, that a run's encoders need.
fn used_files<'w>(config: &RunConfig, files: &'w EncoderFiles) -> Result<Vec<(String, &'w Path)>> {
    let known = |digest: String| files.path_of(&digest).map(|path| (digest, path));
    Ok(file_digests(config)?.into_iter().filter_map(known).collect())
}

/// The digests of the files, weights and tokenizers, that a run's encoders need.
pub(crate) fn file_digests(config: &RunConfig) -> Result<Vec<String>> {
    let mut digests = Vec::new();
    for encoder in encoders(config)? {
        let of_files = [encoder.weights_digest(), encoder.tokenizer_digest()].into_iter().flatten();
        digests.extend(of_files.filter(|digest| *digest != RANDOM_WEIGHTS).map(str::to_owned));
    }
    Ok(digests)
}

/// A run and what the graph needs to know of it.
pub(crate) struct PendingRun<'p> {
    pub(crate) run: &'p PlannedRun,
    /// Whether its method is deep, and so may want views of its own.
    pub(crate) deep: bool,
    /// How far it is executed.
    pub(crate) goal: Goal,
    /// Whether it has a result, which is discarded.
    pub(crate) repeated: bool,
}

/// How a graph's jobs are formed.
pub(crate) struct Shape<'m> {
    /// What a run is likely to take, in bytes.
    pub(crate) memory: &'m dyn Fn(&RunConfig) -> Option<u64>,
    /// The most runs that are trained stacked in one process; 1 for none.
    pub(crate) stack: usize,
}

impl Shape<'_> {
    /// A process per run, of unknown size.
    pub(crate) const SINGLE: Self = Self { memory: &|_| None, stack: 1 };
}

/// Builds the graph: stages first, then runs on frozen encoders, then the runs that train their encoder and so keep all
/// cores busy by themselves.
pub(crate) fn job_graph(
    workspace: &Workspace,
    launch: &Launch<'_>,
    plan: &PlanDir,
    pending: &[PendingRun<'_>],
    shape: &Shape<'_>,
) -> Result<JobGraph> {
    let store = workspace.dirs.store();
    let mut stages = Stages { graph: JobGraph::new(), launch, workspace, plan, known: BTreeMap::new() };
    // Runs that differ in code length and seed alone need the same stages and have one command.
    let groups = || pending.chunk_by(|a, b| a.run.shares_template(b.run));
    let needs: Vec<Vec<JobId>> = groups().map(|group| stages.needed_by(&group[0])).collect::<Result<_>>()?;
    let mut graph = stages.graph;
    let mut commands: BTreeMap<String, Arc<CommandLine>> = BTreeMap::new();
    let mut training = Vec::new();
    let mut single = Vec::with_capacity(pending.len());
    for (group, needs) in groups().zip(needs) {
        let config = group[0].run.template();
        let shared = Shared {
            metric: metric(config)?.into(),
            trains: finetunes(config)?,
            memory: (shape.memory)(config),
            shape: if shape.stack > 1 { stacked_shape(workspace, config)? } else { None },
            needs: needs.into(),
        };
        let shared = Arc::new(shared);
        single.extend(group.iter().map(|pending| (pending, Arc::clone(&shared))));
    }
    for runs in stacks(single, shape.stack) {
        let (PendingRun { run, goal, .. }, shared) = &runs[0];
        let (config, stacked) = (run.template(), runs.len() > 1);
        let command = match commands.entry(canonical(&json!([config.encoders, goal, stacked]))) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                new.insert(Arc::new(launch.command(config, plan, Work::Runs { goal: *goal, stacked })?))
            }
        };
        let dirs = runs.iter().map(|(pending, _)| store.run(&pending.run.id)).collect::<Result<Vec<_>, _>>()?;
        let title = match dirs.len() {
            1 => dirs[0].id().to_string(),
            count => format!("{} and {} more", dirs[0].id(), count - 1),
        };
        let memory = shared.memory.map(|bytes| bytes.saturating_mul(runs.len() as u64));
        let job = Job::pack(&title, dirs, &config.method, Arc::clone(&shared.metric), Arc::clone(command));
        let job = job.with_memory(memory).stopping_after(match goal {
            Goal::Epochs(until) => Some(*until),
            Goal::End | Goal::Rungs => None,
        });
        if shared.trains {
            training.push(job.on_all_cores().with_gpus(device_count(config)?));
        } else {
            graph.add(job, &runs.iter().flat_map(|(_, shared)| &shared.needs[..]).copied().collect::<Vec<_>>());
        }
    }
    for job in training {
        graph.add(job, &[]);
    }
    Ok(graph)
}

/// What runs have in common that differ in code length and seed alone.
struct Shared {
    metric: Arc<str>,
    /// Whether they train their encoders.
    trains: bool,
    memory: Option<u64>,
    /// What runs that are trained stacked have in common beside it; `None` for runs that are trained alone.
    shape: Option<String>,
    needs: Box<[JobId]>,
}

/// A run with what it shares with others.
type Single<'p> = (&'p PendingRun<'p>, Arc<Shared>);

/// Joins runs of one shape, at most `most` of them, in the places of their firsts.
fn stacks(runs: Vec<Single<'_>>, most: usize) -> Vec<Vec<Single<'_>>> {
    let mut stacks: Vec<Vec<Single<'_>>> = Vec::with_capacity(runs.len());
    let mut open: BTreeMap<(String, usize, Goal), usize> = BTreeMap::new();
    for run in runs {
        let (pending, shared) = &run;
        let Some(shape) = &shared.shape else {
            stacks.push(vec![run]);
            continue;
        };
        let key = (shape.clone(), pending.run.bits, pending.goal);
        match open.get(&key).map(|place| &mut stacks[*place]) {
            Some(stack) if stack.len() < most => stack.push(run),
            _ => {
                open.insert(key, stacks.len());
                stacks.push(vec![run]);
            }
        }
    }
    stacks
}

/// The configuration without what may differ between stacked runs; `None` if runs like this are not stacked.
pub(crate) fn stacked_shape(workspace: &Workspace, config: &RunConfig) -> Result<Option<String>> {
    const VARIED: [&str; 2] = ["learning_rate", "weight_decay"]; // of [train]
    let Some(varied) = workspace.registry.method(&config.method)?.varied() else { return Ok(None) };
    if finetunes(config)? || has_tail(config)? {
        return Ok(None);
    }
    let mut shape = RunConfig { seed: 0, ..config.clone() };
    shape.params.retain(|key, _| !varied.contains(&key.as_str()));
    shape.train.retain(|key, _| !VARIED.contains(&key.as_str()));
    Ok(Some(canonical(&json!(shape))))
}

/// The primary metric as progress prints it.
fn metric(config: &RunConfig) -> Result<String> {
    Ok(match section::<EvalConfig>(&config.eval)?.map_at.rank()? {
        Some(depth) => format!("mAP@{depth}"),
        None => "mAP".to_owned(),
    })
}

/// The stages of a graph, each added once.
struct Stages<'a> {
    graph: JobGraph,
    launch: &'a Launch<'a>,
    workspace: &'a Workspace,
    plan: &'a PlanDir,
    known: BTreeMap<String, JobId>,
}

impl Stages<'_> {
    /// Adds the stages that a run needs, unless they are there.
    fn needed_by(&mut self, pending: &PendingRun<'_>) -> Result<Vec<JobId>> {
        let (run, config) = (pending.run, pending.run.template());
        if finetunes(config)? || networks(config)?.is_empty() {
            return Ok(Vec::new()); // it works on images, or on features of the data set
        }
        let features = json!([config.data, without_views(config)]);
        let plain = self.stage(canonical(&features), run, FeatureExtent::Plain, &[])?;
        if !pending.deep {
            return Ok(vec![plain]);
        }
        let views =
            json!([config.data, config.protocol, config.split_seed, config.encoders, config.method, config.params]);
        Ok(vec![plain, self.stage(canonical(&views), run, FeatureExtent::Views, &[plain])?])
    }

    fn stage(&mut self, key: String, run: &PlannedRun, extent: FeatureExtent, needs: &[JobId]) -> Result<JobId> {
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        let config = run.template();
        let title = match extent {
            FeatureExtent::Plain => format!("features of {} by {}", config.dataset, networks(config)?.join(" and ")),
            FeatureExtent::Views => format!("views of {} for {}", config.dataset, with_params(run)),
        };
        let command = self.launch.command(config, self.plan, Work::Stage(extent, run))?;
        let job = Job::stage(STAGE, title.as_str(), self.plan.log_path(STAGE)?, command);
        let id = self.graph.add(job.reading(self.workspace.dirs.store().run(&run.id)?), needs);
        self.known.insert(key, id);
        Ok(id)
    }
}

/// A run's row and the hyperparameters that its grid varies, which its views may depend on.
fn with_params(run: &PlannedRun) -> String {
    let varied = run.point.iter().filter(|(key, value)| !key.contains('.') && !value.is_null());
    varied.fold(run.label.to_string(), |title, (key, value)| format!("{title} {key}={value}"))
}

/// The sections of a run's encoders.
fn encoders(config: &RunConfig) -> Result<Vec<EncoderConfig>> {
    config.encoders.iter().map(|(modality, settings)| EncoderConfig::read(modality, settings)).collect()
}

/// The names of the networks that encode a run's items.
pub(crate) fn networks(config: &RunConfig) -> Result<Vec<String>> {
    Ok(encoders(config)?.iter().filter_map(|encoder| Some(encoder.network()?.to_owned())).collect())
}

/// The encoders without the number of views, which features without augmentation do not depend on.
fn without_views(config: &RunConfig) -> Value {
    let mut encoders = config.encoders.clone();
    if let Some(image) = encoders.get_mut(Modality::Image) {
        image.shift_remove("views");
    }
    json!(encoders)
}
