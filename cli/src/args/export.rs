//! Arguments of `export`.

use std::path::PathBuf;

use clap::ValueEnum;

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  hashlab export cifar10 --to tensorboard --out tb && tensorboard --logdir tb\n  \
                        hashlab export cifar10 --to parquet --out cifar10.parquet\n  \
                        hashlab export cifar10 --to mlflow --url http://127.0.0.1:5000")]
pub(crate) struct ExportArgs {
    /// Sweep
    pub(crate) sweep: String,
    /// Form of the export
    #[arg(long, value_enum, value_name = "TOOL")]
    pub(crate) to: Target,
    /// Directory of tensorboard's event files, or the file of csv and parquet
    #[arg(long, value_name = "PATH", required_unless_present = "url")]
    pub(crate) out: Option<PathBuf>,
    /// Address of an MLflow server
    #[arg(long, value_name = "URL", conflicts_with = "out")]
    pub(crate) url: Option<String>,
}

/// Forms of an export.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// A folder of event files per run: curves of training, and the test metrics
    Tensorboard,
    /// A run per run of the sweep, in an experiment of its name
    Mlflow,
    /// A line per run: settings, metrics, times, provenance
    Csv,
    /// The same with types
    Parquet,
}
