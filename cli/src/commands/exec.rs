//! `hashlab exec`: one prepared run, in a process of its own.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::{Result, anyhow, ensure};
use candle_core::Device;
use hashlab_bank::Progress;
use hashlab_engine::exec::child::{self, StopFlag};
use hashlab_engine::store::{Claim, Journal as Metrics, RunDir};
use hashlab_engine::{Event, RunConfig, RunId};
use hashlab_kernels::device::describe;
use hashlab_model::features::Features;
use hashlab_model::run::{self, Finish, Job};
use hashlab_model::train::{Checkpoint, Journal};

use crate::args::ExecArgs;
use crate::context::Context;

pub(crate) fn run(context: &Context, args: &ExecArgs) -> Result<ExitCode> {
    child::die_with_parent()?;
    let stop = StopFlag::install()?;
    let device = args.device.name.open()?;
    let store = context.store();
    for id in &args.run {
        let dir = store.run(&RunId(id.clone()))?;
        let code = if args.features_only {
            extract(context, args, &device, &dir, &stop)?
        } else {
            execute(context, args, &device, &dir, &stop)?
        };
        if code != child::DONE {
            return Ok(ExitCode::from(code as u8));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Fills the view bank with what the run needs.
fn extract(context: &Context, args: &ExecArgs, device: &Device, dir: &RunDir, stop: &StopFlag) -> Result<i32> {
    let config = dir.config()?;
    let workplace = Workplace::open(context, &config)?;
    let features = workplace.features(&config, args.weights.clone(), device)?;
    let mut progress = |name: &str, at: Progress| {
        let (name, done, total) = match at {
            Progress::Waiting { done, total } => (format!("{name} (another process extracts)"), done, total),
            Progress::Extracting { done, total } => (name.to_owned(), done, total),
        };
        child::emit(&Event::Stage { name, done: done as u64, total: total as u64, unit: "images".into() });
        ensure!(!stop.is_raised(), Interrupted);
        Ok(())
    };
    let method = context.method(&config.method)?;
    match run::features_of(&config, method, workplace.dataset.as_ref(), &features, &mut progress) {
        Err(error) if error.is::<Interrupted>() => Ok(child::INTERRUPTED),
        done => done.map(|_| child::DONE),
    }
}

/// Executes the run unless another process does, or has.
fn execute(context: &Context, args: &ExecArgs, device: &Device, dir: &RunDir, stop: &StopFlag) -> Result<i32> {
    let Some(claim) = dir.try_claim()? else { return Ok(child::BUSY) };
    match train_and_evaluate(context, args, device, dir, (&claim, stop)) {
        Ok(Finish::Interrupted) => Ok(child::INTERRUPTED),
        Ok(Finish::Result(result)) => {
            claim.finish(&result)?;
            Ok(child::DONE)
        }
        Err(error) => {
            claim.fail(&format!("{error:#}"))?;
            Err(error)
        }
    }
}

fn train_and_evaluate(
    context: &Context,
    args: &ExecArgs,
    device: &Device,
    dir: &RunDir,
    (claim, stop): (&Claim, &StopFlag),
) -> Result<Finish> {
    let config = dir.config()?;
    let workplace = Workplace::open(context, &config)?;
    let features = workplace.features(&config, args.weights.clone(), device)?;
    let checkpoint = dir.read_checkpoint();
    let mut journal = RunJournal::open(claim, checkpoint.as_deref(), stop, &config)?;
    let mut finish = run::run(Job {
        config: &config,
        method: context.method(&config.method)?,
        dataset: workplace.dataset.as_ref(),
        features: &features,
        journal: &mut journal,
        checkpoint,
        provenance: provenance(&config, device),
    })?;
    if let Finish::Result(result) = &mut finish
        && let Some(peak) = peak_memory_mb()
    {
        result.provenance.insert("peak_rss_mb".into(), peak.to_string());
    }
    Ok(finish)
}

/// What the program was asked to stop for, carried through the view bank.
#[derive(Debug)]
struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// The data set and the bank of a run.
pub(crate) struct Workplace {
    pub(crate) dataset: Box<dyn hashlab_data::Dataset>,
    bank: hashlab_bank::Bank,
}

impl Workplace {
    pub(crate) fn open(context: &Context, config: &RunConfig) -> Result<Self> {
        Ok(Self { dataset: context.open_dataset(&config.dataset, &config.data)?, bank: context.bank()? })
    }

    pub(crate) fn features(
        &self,
        config: &RunConfig,
        weights: Option<std::path::PathBuf>,
        device: &Device,
    ) -> Result<Features<'_>> {
        let settings = serde_json::Value::from(config.data.clone());
        let identity =
            format!("{} {} {}", config.dataset, config.dataset_identity, hashlab_engine::record::canonical(&settings));
        Features::new(&self.bank, self.dataset.as_ref(), identity, &run::section(&config.backbone)?, weights, device)
    }
}

/// Facts about this execution that do not change its result.
fn provenance(config: &RunConfig, device: &Device) -> BTreeMap<String, String> {
    let text = |key: &str| config.backbone.get(key).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
    let uname = rustix::system::uname();
    [
        ("hashlab", env!("CARGO_PKG_VERSION").to_owned()),
        ("commit", env!("HASHLAB_COMMIT").to_owned()),
        ("dataset_digest", config.dataset_identity.clone()),
        ("weights_digest", text("digest")),
        ("host", uname.nodename().to_string_lossy().into_owned()),
        ("device", describe(device)),
        ("threads", rayon::current_num_threads().to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// The largest resident size of this process so far, in MiB, where the system tells.
fn peak_memory_mb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()? / 1024)
}

/// Writes what training reports into the run's directory, and tells the sweep.
struct RunJournal<'a> {
    claim: &'a Claim,
    metrics: Metrics,
    stop: &'a StopFlag,
    epochs: usize,
    /// Whether a person started this process and watches it.
    watched: bool,
}

impl<'a> RunJournal<'a> {
    fn open(claim: &'a Claim, checkpoint: Option<&[u8]>, stop: &'a StopFlag, config: &RunConfig) -> Result<Self> {
        let resumed = match checkpoint {
            None => None,
            Some(bytes) => Some(Checkpoint::from_bytes(bytes, &Device::Cpu)?.cursor.epoch as u64),
        };
        let epochs = config.train.get("epochs").and_then(serde_json::Value::as_u64).unwrap_or(0) as usize;
        Ok(Self { claim, metrics: claim.journal(resumed)?, stop, epochs, watched: std::io::stdout().is_terminal() })
    }

    fn tell(&self, event: &Event) {
        if !self.watched {
            child::emit(event);
        }
    }
}

impl Journal for RunJournal<'_> {
    fn epoch(&mut self, epoch: usize, terms: &BTreeMap<String, f64>, left: f64) -> Result<()> {
        let loss = *terms.get("loss").ok_or_else(|| anyhow!("an epoch without a loss"))?;
        tracing::info!(epoch, loss, "epoch done");
        self.tell(&Event::Epoch { epoch, epochs: self.epochs, loss, left });
        Ok(self.metrics.append(epoch as u64, terms)?)
    }

    fn validation(&mut self, epoch: usize, map: f64) -> Result<()> {
        tracing::info!(epoch, map, "validated");
        self.tell(&Event::Validation { epoch, map });
        Ok(self.metrics.append(epoch as u64, &BTreeMap::from([("validation_map".to_owned(), map)]))?)
    }

    fn checkpoint(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.claim.write_checkpoint(bytes)?)
    }

    fn stopped(&self) -> bool {
        self.stop.is_raised()
    }
}
