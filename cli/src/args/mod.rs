//! Arguments of the program; their documentation is what `--help` prints.

mod cluster;
mod codes;
mod data;
mod experiments;
mod export;
mod parse;
mod results;
mod retrieval;
mod runs;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use hashlab_app::worker::FeatureExtent;
use hashlab_app::{Devices, Keep};
use hashlab_kernels::device::DeviceName;

pub(crate) use cluster::{CancelArgs, ClusterArgs, ExecutorArg, ProfileArgs, StatusArgs};
pub(crate) use codes::{EncodeArgs, EvalArgs, EvalFormat, FeaturesArgs, TraceArgs};
pub(crate) use data::{CacheArgs, CheckArgs, DatasetsArgs, DatasetsCommand, FetchArgs, ShowArgs};
pub(crate) use experiments::{
    ChoiceArgs, ConfigArgs, ExecArgs, FailureArgs, LimitArgs, LintArgs, PlanArgs, PlanFormat,
};
pub(crate) use export::{ExportArgs, Target};
pub(crate) use results::{
    BundleArgs, CompareArgs, CompareFormat, IntervalOver, PlotArgs, ReportArgs, TableArgs, TableFormat, TableOptions,
    WatchArgs,
};
pub(crate) use retrieval::{IndexArgs, Orientation, SearchArgs, ServeArgs, Unreadable};
pub(crate) use runs::{
    DiffArgs, DoctorArgs, GcArgs, ListFormat, LogsArgs, LsArgs, NoteArgs, OpenArgs, ReproduceArgs, RmArgs, ShowRunArgs,
    TagArgs, TextOrJson,
};

use parse::{parse_jobs, parse_size, parse_weights};

/// Deep-hashing experiments: from a TOML grid to the comparison table that papers print.
///
/// `hashlab sweep` runs a built-in example; `hashlab sweep FILE` runs yours. Runs are kept under `runs/`: the same
/// command again starts only what is missing, whatever stopped it before.
#[derive(Parser)]
#[command(
    name = "hashlab",
    version,
    after_help = "Exit codes: 0 done, 1 internal error, 2 bad input, 3 some runs failed, 130 interrupted.\n\
                  HASHLAB_LOCKS=lease claims runs without locks of the file system: docs/runs.md"
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) dirs: DirArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Directories.
#[derive(clap::Args, Clone)]
#[command(next_help_heading = "Directories")]
pub(crate) struct DirArgs {
    /// Directory with data sets, and weights in its folder `weights`. Looked at before $HASHLAB_DATA and ./data
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Directory of runs and tables
    #[arg(long, global = true, value_name = "DIR", env = "HASHLAB_RUNS", default_value = "runs")]
    pub(crate) runs: PathBuf,
    /// Directory of the feature cache, where extracted features are kept [default: `cache` in the directory of runs]
    #[arg(long, global = true, value_name = "DIR", env = "HASHLAB_CACHE_DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// Largest size of the feature cache, e.g. 20G; the least recently used files make room [default: no limit]
    #[arg(long, global = true, value_name = "SIZE", env = "HASHLAB_CACHE_LIMIT", value_parser = parse_size)]
    pub(crate) cache_limit: Option<u64>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run an experiment file's grid and print its table
    Sweep(SweepArgs),
    /// List a sweep's runs and their status, its job graph, and an estimate of what is left
    Plan(PlanArgs),
    /// List runs by settings, states, metrics, tags, or list sweeps
    Ls(LsArgs),
    /// Open the page of a sweep in the browser, or the directory of a run
    Open(OpenArgs),
    /// Show a run: settings, state, metrics, provenance
    Show(ShowRunArgs),
    /// Print the log of a run
    Logs(LogsArgs),
    /// List the settings and facts in which two runs differ
    Diff(DiffArgs),
    /// Execute runs again in a directory of their own, and compare what they find bit for bit
    Reproduce(ReproduceArgs),
    /// Tag a run, or list its tags
    Tag(TagArgs),
    /// Write a note about a run, or print it
    Note(NoteArgs),
    /// Remove runs, after a question
    Rm(RmArgs),
    /// Show an experiment's settings with the origin of each, or the JSON Schema of experiment files
    Config(ConfigArgs),
    /// Check experiment files, all at once
    Lint(LintArgs),
    /// Show the state of a sweep's runs, wherever they are executed, or submit what a cluster lost
    Status(StatusArgs),
    /// Cancel a sweep, or some of its runs, wherever they are executed
    Cancel(CancelArgs),
    /// Execute some runs of a plan, each under its lock: what schedulers, GNU parallel and xargs start
    Exec(ExecArgs),
    /// Print the table of a sweep
    Table(TableArgs),
    /// Write a sweep as one HTML page: tables, figures, failures, queries, runs
    Report(ReportArgs),
    /// Show a sweep while it runs, as a page in the browser or in the terminal
    ///
    /// The page of `report`, which loads itself anew when a run has got further. It reads the directory of runs alone, so that
    /// it does not matter what executes them. The server listens on the loopback interface.
    Watch(WatchArgs),
    /// Write a sweep as one archive that others check and repeat, or check one
    Bundle(BundleArgs),
    /// Write a figure of a sweep for a paper
    Plot(PlotArgs),
    /// Export a sweep's runs to TensorBoard, MLflow, CSV or Parquet
    Export(ExportArgs),
    /// Compare the methods of a sweep, paired by seed
    ///
    /// A line holds the mean difference of two rows, its 95 % interval of Student's t, and the p value of a paired t test,
    /// adjusted by Holm's method over the comparisons of a column. Fewer than three seeds are not tested.
    Compare(CompareArgs),
    /// Measure the retrieval of anyone's codes
    ///
    /// Files are .npy, .npz, .safetensors or .mat; `FILE#NAME` names an array of an archive. Codes are (items, bits) of 0 and
    /// 1, of ±1, or of real values, whose signs are the bits; or packed uint8 (items, bytes), as numpy.packbits writes them.
    /// Labels are class numbers (items) or multi-hot (items, classes).
    Eval(EvalArgs),
    /// Encode a data set with the models of a sweep, and export the codes as .npy files
    ///
    /// Each run whose model was kept gets a folder with packed codes, labels and index files of queries and database, which
    /// `hashlab eval` and faiss's binary indexes read.
    Encode(EncodeArgs),
    /// Encode a collection of images or texts with a trained model, for `search` and `serve`
    ///
    /// The index is a folder with packed codes (codes.npy, which faiss's binary indexes take) and the items (items.jsonl).
    /// The same command again adds what is new; a run that was stopped goes on where it was. Models are kept by `sweep`.
    Index(IndexArgs),
    /// Search an index by a text or an image
    ///
    /// Results are ordered by Hamming distance, the search is exact. A model of a cross-modal method finds images by texts
    /// and texts by images; one of images finds images by images.
    Search(SearchArgs),
    /// Search an index in the browser, on this machine alone
    ///
    /// The page takes texts and dropped images. Programs ask `GET /search?text=…&top=N`, or `POST /search` with an image as
    /// the body, and get JSON. The server listens on the loopback interface and shows items of the index, and no other file.
    Serve(ServeArgs),
    /// Extract an experiment's features and export them as .npy files
    Features(FeaturesArgs),
    /// Record an experiment's first training steps as .npy files, for comparison with other implementations
    Trace(TraceArgs),
    /// List the methods, or describe one and its hyperparameters
    Methods(NameArgs),
    /// List the data sets, describe one and its protocols, check one or show its items
    Datasets(DatasetsArgs),
    /// List the encoders and the settings of `[image]` and `[text]`, or describe one
    Encoders(NameArgs),
    /// Download data sets and weights from the Hugging Face hub, or list what can be had there
    Fetch(FetchArgs),
    /// List the content of the feature cache, or shrink it
    Cache(CacheArgs),
    /// Remove features, checkpoints and models that no plan refers to, after a question
    ///
    /// Results, logs and curves stay. Features are those of data sets, encoders or weights that no plan names; checkpoints and
    /// models are those of runs in no plan.
    Gc(GcArgs),
    /// Check whether this machine has what runs need, and say what to do where it has not
    ///
    /// File system, disk, memory, open files, processor, GPU, data, weights and Slurm; each line says `ok`, a hint, or what is
    /// to be done.
    Doctor(DoctorArgs),
    /// Execute prepared runs in this process (a sweep starts this)
    #[command(hide = true)]
    Worker(WorkerArgs),
}

/// An experiment and what overrides it.
#[derive(clap::Args, Clone)]
pub(crate) struct ExperimentArgs {
    /// Experiment file; without one, the built-in quickstart
    pub(crate) file: Option<PathBuf>,
    /// Override a setting, e.g. `--set train.epochs=5` or `--set seeds=[0]`. Layers: defaults < file < HASHLAB_SET_… < --set
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

/// Where tensors live.
#[derive(clap::Args, Clone, Copy)]
pub(crate) struct DeviceArgs {
    /// Where to compute: cpu, cuda or cuda:N, N counting the visible GPUs from 0
    #[arg(long = "device", value_name = "DEVICE", env = "HASHLAB_DEVICE", default_value_t)]
    pub(crate) name: DeviceName,
}

/// Where the runs of a sweep compute.
#[derive(clap::Args, Clone)]
pub(crate) struct DevicesArgs {
    /// Where to compute: cpu, cuda, cuda:N, N counting the visible GPUs from 0, or several GPUs, e.g. cuda:0,cuda:1, of
    /// which each run gets one, or as many as `train.devices` says
    #[arg(long = "device", value_name = "DEVICE", env = "HASHLAB_DEVICE", default_value_t)]
    pub(crate) names: Devices,
    /// Runs at once on each GPU [default: 4, but at most one per core in all]
    #[arg(long, value_name = "N", value_parser = parse_jobs, conflicts_with = "jobs")]
    pub(crate) slots: Option<std::num::NonZero<usize>>,
    /// Train up to N runs of one shape together in one process, stacked: runs that differ in seed, learning rate,
    /// weight decay or in numbers of the loss, such as tau and beta. Results are those of single runs. For a GPU, whose
    /// launches then serve N runs
    #[arg(long, value_name = "N", value_parser = parse_jobs, default_value = "1")]
    pub(crate) stack: std::num::NonZero<usize>,
}

impl DevicesArgs {
    /// Runs at once, if the user chose their number.
    pub(crate) fn jobs(&self, jobs: Option<std::num::NonZero<usize>>) -> Option<std::num::NonZero<usize>> {
        let devices = std::num::NonZero::new(self.names.count())?;
        self.slots.map(|slots| slots.saturating_mul(devices)).or(jobs)
    }
}

/// Whether files may be downloaded.
#[derive(clap::Args, Clone, Copy)]
pub(crate) struct NetworkArgs {
    /// Never touch the network, as HF_HUB_OFFLINE=1: files that are not here are named, with the command that fetches them
    #[arg(long)]
    pub(crate) offline: bool,
}

#[derive(clap::Args)]
pub(crate) struct SweepArgs {
    #[command(flatten)]
    pub(crate) experiment: ExperimentArgs,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    #[command(flatten)]
    pub(crate) device: DevicesArgs,
    /// Runs at once [default: one per core, a thread each; on a GPU at most 4; runs that train their encoder one by one, on
    /// all cores]
    #[arg(long, short, value_name = "N", value_parser = parse_jobs)]
    pub(crate) jobs: Option<std::num::NonZero<usize>>,
    /// Which runs keep their trained model, `model.safetensors`
    #[arg(long, value_enum, default_value_t)]
    pub(crate) keep: KeepArg,
    #[command(flatten)]
    pub(crate) choice: ChoiceArgs,
    #[command(flatten)]
    pub(crate) failures: FailureArgs,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    #[command(flatten)]
    pub(crate) table: TableOptions,
}

#[derive(clap::Args)]
pub(crate) struct NameArgs {
    /// Name; without one, all are listed
    pub(crate) name: Option<String>,
}

#[derive(clap::Args)]
pub(crate) struct WorkerArgs {
    /// Runs to execute, one after the other
    #[arg(required = true)]
    pub(crate) run: Vec<String>,
    /// Train the runs together; they differ in numbers of the loss, rates and seeds alone
    #[arg(long, conflicts_with = "features")]
    pub(crate) stacked: bool,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// File of an encoder, weights or tokenizer, by its digest, needed where the feature cache lacks features (repeatable)
    #[arg(long, value_name = "DIGEST=FILE", value_parser = parse_weights)]
    pub(crate) weights: Vec<(String, PathBuf)>,
    /// Only extract the features that the runs need
    #[arg(long, value_name = "EXTENT")]
    pub(crate) features: Option<FeatureExtent>,
    /// Stop the runs with a checkpoint after so many epochs
    #[arg(long, value_name = "EPOCHS")]
    pub(crate) until: Option<usize>,
    /// Let the runs decide at the rungs of a plan whether they go on
    #[arg(long, value_name = "NAME/DIGEST")]
    pub(crate) rungs_of: Option<String>,
    /// Which runs keep their trained model
    #[arg(long, value_enum, default_value_t)]
    pub(crate) keep: KeepArg,
}

/// Runs that keep their model.
#[derive(Clone, Copy, Default, ValueEnum)]
pub(crate) enum KeepArg {
    /// Those of the setting that the table selects.
    #[default]
    Selected,
    /// All.
    All,
    /// None.
    None,
}

impl From<KeepArg> for Keep {
    fn from(keep: KeepArg) -> Self {
        match keep {
            KeepArg::Selected => Self::Selected,
            KeepArg::All => Self::All,
            KeepArg::None => Self::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }
}
