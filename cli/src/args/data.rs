//! Arguments of commands on data sets, downloads and the feature cache.

use std::path::PathBuf;

use clap::Subcommand;

use super::parse::parse_size;
use super::{ExperimentArgs, NetworkArgs};

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DatasetsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<DatasetsCommand>,
    /// Name; without one, all are listed
    pub(crate) name: Option<String>,
}

#[derive(Subcommand)]
pub(crate) enum DatasetsCommand {
    /// Read every item once, and report counts, sizes, and what cannot be read
    Check(CheckArgs),
    /// Draw some of an experiment's items, with labels, captions and the views that its method sees, as a web page
    Show(ShowArgs),
}

#[derive(clap::Args)]
pub(crate) struct CheckArgs {
    /// Data set, or experiment file whose `dataset` and `[data]` are read
    pub(crate) target: String,
    /// Override a setting of an experiment file, e.g. `--set data.dir="photos"`
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(clap::Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) experiment: ExperimentArgs,
    /// File to write
    #[arg(long, value_name = "FILE", default_value = "page.html")]
    pub(crate) out: PathBuf,
}

#[derive(clap::Args)]
pub(crate) struct FetchArgs {
    /// Data sets, encoders and experiment files, which get all that they need, e.g. cifar10 minilm first.toml; without one,
    /// all that can be fetched are listed
    pub(crate) names: Vec<String>,
    /// Override a setting of experiment files, as for `sweep`
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

#[derive(clap::Args)]
pub(crate) struct CacheArgs {
    /// Remove the least recently used features until at most this much is left, e.g. 5G
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) prune: Option<u64>,
}
