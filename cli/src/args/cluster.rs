//! Arguments of sweeps on a cluster.

use std::path::PathBuf;

use clap::ValueEnum;
use hashlab_app::slurm::PROFILE;
use hashlab_sweep::Selector;

/// What starts the runs of a sweep.
#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExecutorArg {
    /// Processes of this machine.
    #[default]
    Local,
    /// Job arrays of a Slurm cluster.
    Slurm,
}

/// Where a sweep is executed.
#[derive(clap::Args, Clone)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct ClusterArgs {
    /// What starts the runs
    #[arg(long, value_enum, default_value_t)]
    pub(crate) executor: ExecutorArg,
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    /// Submit the jobs and return; `hashlab status` shows their state
    #[arg(long)]
    pub(crate) detach: bool,
}

/// The resources of tasks.
#[derive(clap::Args, Clone)]
pub(crate) struct ProfileArgs {
    /// Profile with partition, gres, cpus, mem, time and others of tasks; see docs/slurm.md [default:
    /// ~/.config/hashlab/slurm.toml, if it exists]
    #[arg(long, value_name = "FILE", env = PROFILE)]
    pub(crate) slurm: Option<PathBuf>,
}

#[derive(clap::Args)]
pub(crate) struct StatusArgs {
    /// Name of a sweep under the directory of runs
    pub(crate) sweep: String,
    /// Submit what failed, and what no task will execute, to the cluster again
    #[arg(long)]
    pub(crate) resubmit: bool,
}

#[derive(clap::Args)]
pub(crate) struct CancelArgs {
    /// Name of a sweep under the directory of runs
    pub(crate) sweep: String,
    /// Only these runs; SELECTOR as for `sweep --only` (repeatable)
    #[arg(long, value_name = "SELECTOR")]
    pub(crate) run: Vec<Selector>,
}
