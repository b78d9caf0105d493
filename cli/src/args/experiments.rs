//! Arguments of commands on experiment files and their plans.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use hashlab_app::Choice;
use hashlab_exec::Limits;
use hashlab_sweep::Selector;

use super::parse::{parse_duration, parse_jobs, parse_size};
use super::{DevicesArgs, ExperimentArgs, KeepArg, ProfileArgs};

#[derive(clap::Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) experiment: ExperimentArgs,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: PlanFormat,
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    /// Profile with what tasks are given, for --format k8s and hq; see docs/other-engines.md [default: placeholders]
    #[arg(long = "profile", value_name = "FILE")]
    pub(crate) engine: Option<PathBuf>,
}

/// Output formats of a plan.
#[derive(Clone, Copy, Default, ValueEnum)]
pub(crate) enum PlanFormat {
    /// Runs with their states, then the job graph and an estimate.
    #[default]
    Table,
    /// The number of runs alone, without a look at what is there of them.
    Count,
    /// One JSON object per job.
    Jsonl,
    /// One shell command per run without a result, for GNU parallel or xargs.
    Commands,
    /// The script that `sweep --executor slurm` submits.
    Sbatch,
    /// A Job of Kubernetes, for `kubectl apply`: one index executes a pack of runs.
    K8s,
    /// A job definition file of HyperQueue, for `hq job submit-file`: one task executes a pack of runs without a result.
    Hq,
}

#[derive(clap::Args)]
#[command(after_help = "Editors that read TOML with schemas (Even Better TOML, taplo) check files that begin with\n  \
                        #:schema ./experiment.schema.json")]
pub(crate) struct ConfigArgs {
    #[command(flatten)]
    pub(crate) experiment: ExperimentArgs,
    /// Show the values that nothing sets, too
    #[arg(long)]
    pub(crate) resolved: bool,
    /// Print the JSON Schema of experiment files
    #[arg(long, conflicts_with_all = ["file", "set", "resolved"])]
    pub(crate) schema: bool,
}

#[derive(clap::Args)]
pub(crate) struct LintArgs {
    /// Experiment files, or folders of them
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Let warnings count as errors
    #[arg(long)]
    pub(crate) strict: bool,
}

/// The runs that a command is about.
#[derive(clap::Args, Clone)]
#[command(next_help_heading = "Choice of runs")]
pub(crate) struct ChoiceArgs {
    /// Only the runs of a method, a label, a state such as `failed` or `missing`, the beginning of a run ID, or
    /// `key=value` or `key>number` of bits, seed or a grid's key; terms joined by commas must all apply (repeatable)
    #[arg(long, value_name = "SELECTOR")]
    pub(crate) only: Vec<Selector>,
    /// Repeat finished runs, e.g. of a method after a change of its sources; SELECTOR as for --only (repeatable)
    #[arg(long, value_name = "SELECTOR")]
    pub(crate) rerun: Vec<Selector>,
}

impl From<&ChoiceArgs> for Choice {
    fn from(args: &ChoiceArgs) -> Self {
        Self { only: args.only.clone(), rerun: args.rerun.clone() }
    }
}

/// What happens when runs fail.
#[derive(clap::Args, Clone, Copy)]
#[command(next_help_heading = "Failures and limits")]
pub(crate) struct FailureArgs {
    /// Go on when a run fails, with all that do not need it; the default
    #[arg(long, overrides_with_all = ["fail_fast", "max_failures"])]
    pub(crate) keep_going: bool,
    /// Stop at the first failure; the other runs end with a checkpoint
    #[arg(long, conflicts_with = "max_failures", overrides_with = "keep_going")]
    pub(crate) fail_fast: bool,
    /// Stop after N failures
    #[arg(long, value_name = "N", value_parser = parse_jobs, overrides_with = "keep_going")]
    pub(crate) max_failures: Option<std::num::NonZero<usize>>,
}

impl FailureArgs {
    /// The number of failures after which a sweep stops.
    pub(crate) fn most(self) -> Option<usize> {
        match self {
            Self { keep_going: true, .. } => None,
            Self { fail_fast: true, .. } => Some(1),
            Self { max_failures, .. } => max_failures.map(std::num::NonZero::get),
        }
    }
}

/// Limits of runs.
#[derive(clap::Args, Clone, Copy)]
#[command(next_help_heading = "Failures and limits")]
pub(crate) struct LimitArgs {
    /// Stop a run that takes longer, e.g. 90s, 30m or 2h: it fails, and goes on from its checkpoint if it is started again
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) time_limit: Option<Duration>,
    /// Stop a run that uses more memory, e.g. 4G: it fails
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) memory_limit: Option<u64>,
    /// Memory of all runs together, e.g. 12G: a run waits for others if it took more than is left when runs of its size ran
    /// before [default: what is free at the start]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) memory: Option<u64>,
    /// Repeat a run at most N times whose failure may pass: one that ran out of memory alone, then with one thread; one that
    /// met an error of the disk after 1, 4, 16 … seconds
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) retries: usize,
}

impl From<LimitArgs> for Limits {
    fn from(args: LimitArgs) -> Self {
        Self { time: args.time_limit, memory: args.memory_limit }
    }
}

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  hashlab exec first.toml --run itq-b16-s0-1f0c2a9b7d3e\n  \
                        hashlab plan first.toml --format commands | parallel -j 4")]
pub(crate) struct ExecArgs {
    /// Experiment file, or the name of a sweep under the directory of runs; without one, the built-in quickstart
    pub(crate) target: Option<String>,
    /// Run to execute; SELECTOR as for `sweep --only` (repeatable)
    #[arg(long, value_name = "SELECTOR", required_unless_present_any = ["index", "pack", "table"])]
    pub(crate) run: Vec<Selector>,
    /// Run by its number in the plan, counted from 0, e.g. of an array job (repeatable)
    #[arg(long, value_name = "N")]
    pub(crate) index: Vec<usize>,
    /// Let --index count packs of N runs in the place of runs
    #[arg(long, value_name = "N", value_parser = parse_jobs, requires = "index")]
    pub(crate) runs_per_index: Option<std::num::NonZero<usize>>,
    /// Override a setting of an experiment file, as for `sweep`
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    #[command(flatten)]
    pub(crate) device: DevicesArgs,
    /// Runs at once, as for `sweep`
    #[arg(long, short, value_name = "N", value_parser = parse_jobs)]
    pub(crate) jobs: Option<std::num::NonZero<usize>>,
    /// Stop after N failures of these runs
    #[arg(long, value_name = "N", value_parser = parse_jobs)]
    pub(crate) max_failures: Option<std::num::NonZero<usize>>,
    /// Which runs keep their trained model
    #[arg(long, value_enum, default_value_t)]
    pub(crate) keep: KeepArg,
    /// Runs of a task of a cluster, as the sweep wrote them down
    #[arg(long, value_name = "NAME:INDEX", hide = true, conflicts_with_all = ["run", "index"])]
    pub(crate) pack: Option<String>,
    /// Only extract the features that the runs need
    #[arg(long, hide = true)]
    pub(crate) features: bool,
    /// Only write the sweep's table and page
    #[arg(long, hide = true)]
    pub(crate) table: bool,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
}
