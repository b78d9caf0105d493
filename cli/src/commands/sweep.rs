//! `hashlab sweep`: plan, extract what is shared, execute what is missing, print the table.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use hashlab_engine::exec::progress::on_stderr;
use hashlab_engine::exec::{CommandLine, Job, PoolOptions, StopFlag, Summary, run_all};
use hashlab_engine::record::canonical;
use hashlab_engine::report::{Format, Options, results_jsonl};
use hashlab_engine::store::{RunState, Store, SweepDir};
use hashlab_engine::sweep::{Plan, PlannedRun};
use hashlab_kernels::device::DeviceName;
use hashlab_model::run::{finetunes, split_of};

use super::table;
use crate::args::{ExperimentArgs, SweepArgs};
use crate::context::{Context, overriding_env};
use crate::exit::bad_input;
use crate::report_of::{COMMAND, PRESENT, report_of};
use crate::resolve::WeightFiles;

/// The stage that runs share, as its log is called.
const STAGE: &str = "features";

/// Runs that share a GPU, where no number is given: each holds a context of some hundred MiB there.
const GPU_JOBS: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// Exit codes beside success.
const SOME_FAILED: u8 = 3;
const INTERRUPTED: u8 = 130;

pub(crate) fn run(context: &Context, args: &SweepArgs) -> Result<ExitCode> {
    let Planned { plan, weights, text } = plan(context, &args.experiment)?;
    let store = context.store();
    let pending = pending(&store, &plan)?;
    check_data(context, &pending)?;
    if !pending.is_empty() {
        args.device.name.open()?; // and closed again: the runs open it themselves
    }
    let sweep = store.sweep(&plan.name)?;
    record(&sweep, &plan, &text, &reproduction(&args.experiment))?;
    let end = if pending.is_empty() { End::Done } else { execute(context, args, &sweep, &weights, &pending)? };
    match end {
        End::Interrupted => return Ok(ExitCode::from(INTERRUPTED)),
        End::NothingRan => bail!(
            "features could not be extracted, so no run was started\nhelp: the reason is above, and in {}",
            sweep.log_path(STAGE)?.display()
        ),
        End::Done | End::SomeFailed => {}
    }
    let report = report_of(&store, &plan)?;
    sweep.write("results.jsonl", results_jsonl(&report).as_bytes())?;
    sweep.write("table.md", table::text(&report, &Options::new(Format::Markdown))?.as_bytes())?;
    table::show(&report, &args.table)?;
    Ok(if end == End::SomeFailed { ExitCode::from(SOME_FAILED) } else { ExitCode::SUCCESS })
}

/// A plan, where its weights lie, and the text it was made of.
pub(crate) struct Planned {
    pub(crate) plan: Plan,
    pub(crate) weights: WeightFiles,
    text: String,
}

/// Reads, checks and expands an experiment.
pub(crate) fn plan(context: &Context, args: &ExperimentArgs) -> Result<Planned> {
    let loaded = context.load(args)?;
    let mut weights = WeightFiles::default();
    let plan = loaded
        .experiment
        .plan(&mut |section| weights.resolve(section, &context.dirs))
        .map_err(|error| bad_input(error.to_string()))?;
    Ok(Planned { plan, weights, text: loaded.text })
}

/// The command that makes the same plan: the file, and what overrides it.
fn reproduction(args: &ExperimentArgs) -> String {
    let quoted = |text: &str| if text.contains([' ', '[', '"', '*']) { format!("'{text}'") } else { text.to_owned() };
    let env = overriding_env().into_iter().map(|(name, value)| format!("{name}={} ", quoted(&value)));
    let file = args.file.iter().map(|path| format!(" {}", quoted(&path.display().to_string())));
    let set = args.set.iter().map(|assignment| format!(" --set {}", quoted(assignment)));
    format!("{}hashlab sweep{}{}", env.collect::<String>(), file.collect::<String>(), set.collect::<String>())
}

/// Keeps the file as run, the plan, and the command.
fn record(sweep: &SweepDir, plan: &Plan, text: &str, command: &str) -> Result<()> {
    sweep.write_spec(text)?;
    sweep.write(COMMAND, command.as_bytes())?;
    let digest = plan.digest();
    sweep.write_plan(&digest, plan.to_jsonl().as_bytes())?;
    sweep.write(PRESENT, digest.as_bytes())?;
    Ok(())
}

/// The runs without a result.
fn pending<'p>(store: &Store, plan: &'p Plan) -> Result<Vec<&'p PlannedRun>> {
    let mut pending = Vec::new();
    for run in &plan.runs {
        if !matches!(store.run(&run.id)?.state(), RunState::Finished(_)) {
            pending.push(run);
        }
    }
    Ok(pending)
}

/// Opens and splits the data once, so that what every run would fail at is said before anything starts.
fn check_data(context: &Context, pending: &[&PlannedRun]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for config in pending.iter().map(|run| &run.config) {
        let parts = serde_json::json!([config.dataset, config.data, config.protocol, config.split_seed]);
        if seen.insert(canonical(&parts)) {
            split_of(config, context.open_dataset(&config.dataset, &config.data)?.as_ref())?;
        }
    }
    Ok(())
}

/// Extracts features, then executes the runs, many at once.
fn execute(
    context: &Context,
    args: &SweepArgs,
    sweep: &SweepDir,
    weights: &WeightFiles,
    pending: &[&PlannedRun],
) -> Result<End> {
    let cores = std::thread::available_parallelism()?;
    let stop = StopFlag::install()?;
    let mut observer = on_stderr();
    let store = context.store();
    for run in pending {
        store.run(&run.id)?.prepare(&run.config)?;
    }

    let stages = stages(context, args, sweep, weights, pending)?;
    let one = PoolOptions { parallel: NonZeroUsize::MIN, threads_per_job: cores };
    match End::of(&run_all(&stages, &one, observer.as_mut(), &stop)) {
        End::Done => {}
        End::Interrupted => return Ok(End::Interrupted),
        End::SomeFailed | End::NothingRan => return Ok(End::NothingRan),
    }
    let metric = |run: &PlannedRun| match run.config.eval.get("map_at").and_then(serde_json::Value::as_u64) {
        Some(0) | None => "mAP".to_owned(),
        Some(depth) => format!("mAP@{depth}"),
    };
    let jobs: Result<Vec<Job>> = pending
        .iter()
        .map(|run| {
            let dir = store.run(&run.id)?;
            let command = command(context, args, weights, run, &[])?;
            Ok(Job::run(dir, &run.config.method, &metric(run), command))
        })
        .collect();
    // Heads are small: many at once, a thread each, or, sharing a GPU, a few, with the cores divided among them. A run that
    // trains its backbone keeps all cores busy by itself.
    let (mut heads, mut networks) = (Vec::new(), Vec::new());
    for (run, job) in pending.iter().zip(jobs?) {
        if finetunes(&run.config)? { networks.push(job) } else { heads.push(job) }
    }
    let gpu = args.device.name != DeviceName::Cpu;
    let parallel = args.jobs.unwrap_or(if gpu { cores.min(GPU_JOBS) } else { cores });
    let threads_per_job = if gpu { share(cores, parallel) } else { NonZeroUsize::MIN };
    let pool = PoolOptions { parallel, threads_per_job };
    let end = End::of(&run_all(&heads, &pool, observer.as_mut(), &stop));
    if networks.is_empty() || end == End::Interrupted {
        return Ok(end);
    }
    let parallel = args.jobs.unwrap_or(NonZeroUsize::MIN);
    let pool = PoolOptions { parallel, threads_per_job: share(cores, parallel) };
    Ok(match End::of(&run_all(&networks, &pool, observer.as_mut(), &stop)) {
        End::Done => end,
        other => other,
    })
}

/// The threads of each of `parallel` processes.
fn share(cores: NonZeroUsize, parallel: NonZeroUsize) -> NonZeroUsize {
    NonZeroUsize::new(cores.get() / parallel).unwrap_or(NonZeroUsize::MIN)
}

/// One job per set of features: all runs share the plain ones of a backbone; those of a method share its views, too.
fn stages(
    context: &Context,
    args: &SweepArgs,
    sweep: &SweepDir,
    weights: &WeightFiles,
    pending: &[&PlannedRun],
) -> Result<Vec<Job>> {
    let (mut plain, mut views) = (BTreeSet::new(), BTreeSet::new());
    let mut jobs = Vec::new();
    // Methods with views first: their extraction covers the plain features of the others.
    let views_first = pending.iter().filter(|run| gradient(run)).chain(pending.iter().filter(|run| !gradient(run)));
    for run in views_first {
        let config = &run.config;
        if finetunes(config)? {
            continue; // it works on images
        }
        let mut network = config.backbone.clone();
        network.shift_remove("views");
        let new_plain = plain.insert(canonical(&serde_json::json!([config.data, network])));
        let split = serde_json::json!([config.data, config.protocol, config.split_seed, config.backbone]);
        let new_views = gradient(run) && views.insert((canonical(&split), &config.method));
        if new_plain || new_views {
            let command = command(context, args, weights, run, &["--features-only"])?;
            let log = sweep.log_path(STAGE)?;
            jobs.push(Job::stage(&format!("features of {}", config.dataset), log, command));
        }
    }
    Ok(jobs)
}

/// Whether the run trains by gradient steps, and so may want views of its own; the others have no `[train]`.
fn gradient(run: &PlannedRun) -> bool {
    !run.config.train.is_empty()
}

/// The command line of a run's process: this program, in the same places.
fn command(
    context: &Context,
    sweep: &SweepArgs,
    weights: &WeightFiles,
    run: &PlannedRun,
    flags: &[&str],
) -> Result<CommandLine> {
    let mut args: Vec<OsString> = vec!["--runs".into(), context.places.runs.clone().into()];
    let mut option = |name: &str, value: Option<OsString>| {
        if let Some(value) = value {
            args.extend([OsString::from(name), value]);
        }
    };
    option("--data-dir", context.places.data_dir.clone().map(Into::into));
    option("--bank", context.places.bank.clone().map(Into::into));
    option("--bank-limit", context.places.bank_limit.map(|bytes| bytes.to_string().into()));
    args.extend(["exec".into(), "--device".into(), sweep.device.name.to_string().into()]);
    args.extend(flags.iter().map(OsString::from));
    if let Some(path) = weights.path_of(&run.config.backbone) {
        args.extend([OsString::from("--weights"), Path::new(path).into()]);
    }
    args.push(run.id.to_string().into());
    let log = std::env::var_os("HASHLAB_LOG").unwrap_or_else(|| "info".into());
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    Ok(CommandLine { program, args, env: vec![("HASHLAB_LOG".into(), log)] })
}

/// How executing runs ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Done,
    SomeFailed,
    /// The shared stage failed.
    NothingRan,
    Interrupted,
}

impl End {
    fn of(summary: &Summary) -> Self {
        if summary.unfinished() > 0 {
            Self::Interrupted
        } else if summary.failed() > 0 {
            Self::SomeFailed
        } else {
            Self::Done
        }
    }
}
