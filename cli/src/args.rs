//! Arguments of the program; their documentation is what `--help` prints.

use std::path::PathBuf;

use clap::builder::{OsStr, Resettable};
use clap::{Parser, Subcommand, ValueEnum};
use hashlab_app::Keep;
use hashlab_app::worker::FeatureExtent;
use hashlab_data::Task;
use hashlab_eval::{Definition, Depth};
use hashlab_kernels::device::DeviceName;

/// Deep-hashing experiments: from a TOML grid to the comparison table that papers print.
///
/// `hashlab sweep` runs a built-in example; `hashlab sweep FILE` runs yours. Runs are kept under `runs/`: the same
/// command again starts only what is missing, whatever stopped it before.
#[derive(Parser)]
#[command(
    name = "hashlab",
    version,
    after_help = "Exit codes: 0 done, 1 internal error, 2 bad input, 3 some runs failed, 130 interrupted."
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
    /// List a sweep's runs and their status
    Plan(PlanArgs),
    /// Print the table of a sweep
    Table(TableArgs),
    /// Write a sweep as one HTML page: tables, figures, failures, queries, runs
    Report(ReportArgs),
    /// Write a figure of a sweep for a paper
    Plot(PlotArgs),
    /// Compare the methods of a sweep, paired by seed
    Compare(CompareArgs),
    /// Measure the retrieval of anyone's codes
    Eval(EvalArgs),
    /// Encode a data set with the models of a sweep, and export the codes as .npy files
    Encode(EncodeArgs),
    /// Extract an experiment's features and export them as .npy files
    Features(FeaturesArgs),
    /// Record an experiment's first training steps as .npy files, to compare other code with
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
    /// Execute prepared runs (a sweep starts this; of use to schedulers)
    #[command(hide = true)]
    Exec(ExecArgs),
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
    pub(crate) device: DeviceArgs,
    /// Runs at once [default: one per core, a thread each; on a GPU at most 4; runs that train their encoder one by one, on
    /// all cores]
    #[arg(long, short, value_name = "N", value_parser = parse_jobs)]
    pub(crate) jobs: Option<std::num::NonZero<usize>>,
    /// Repeat the finished runs of a method, e.g. after a change of its sources (repeatable)
    #[arg(long, value_name = "METHOD")]
    pub(crate) rerun: Vec<String>,
    /// Which runs keep their trained model, `model.safetensors`
    #[arg(long, value_enum, default_value_t)]
    pub(crate) keep: KeepArg,
    #[command(flatten)]
    pub(crate) table: TableOptions,
}

#[derive(clap::Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) experiment: ExperimentArgs,
}

#[derive(clap::Args)]
pub(crate) struct TableArgs {
    /// Names of sweeps under the directory of runs, e.g. `cifar10`, or results.jsonl files. Several share one table:
    /// method × (data set × bits)
    #[arg(required = true, value_name = "SWEEP")]
    pub(crate) sweeps: Vec<String>,
    /// Print intervals of 95 % in the place of deviations: over seeds, or over queries from what the runs kept
    #[arg(long, value_name = "OVER")]
    pub(crate) interval: Option<IntervalOver>,
    #[command(flatten)]
    pub(crate) options: TableOptions,
}

#[derive(clap::Args)]
pub(crate) struct ReportArgs {
    /// Name of a sweep under the directory of runs, e.g. `cifar10`, or a results.jsonl file, which has fewer figures
    pub(crate) sweep: String,
    /// File to write [default: the sweep's name and .html]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Open it in the browser
    #[arg(long)]
    pub(crate) open: bool,
}

#[derive(clap::Args)]
pub(crate) struct PlotArgs {
    /// Name of a sweep under the directory of runs, e.g. `cifar10`, or a results.jsonl file, which has fewer figures
    pub(crate) sweep: String,
    /// What to plot: map-bits, pr, pn, rn, radius, loss, validation, heat-map, parallel, balance, correlation, distances
    #[arg(long, value_name = "FIGURE")]
    pub(crate) figure: String,
    /// File to write; its ending chooses the format: .svg, .pdf or .png
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Metric of map-bits [default: the primary metric]
    #[arg(long, value_name = "NAME")]
    pub(crate) metric: Option<String>,
    /// Code length [default: the longest]
    #[arg(long, value_name = "BITS")]
    pub(crate) bits: Option<usize>,
    /// Retrieval task: i2i, i2t, t2i or t2t [default: the first of the sweep]
    #[arg(long, value_name = "TASK")]
    pub(crate) task: Option<hashlab_data::Task>,
    /// Row of loss and distances, method of heat-map and parallel [default: the first with data]
    #[arg(long, value_name = "NAME")]
    pub(crate) row: Option<String>,
    /// Hyperparameter on the x axis of heat-map [default: the first that varies]
    #[arg(long, value_name = "KEY", requires = "y")]
    pub(crate) x: Option<String>,
    /// Hyperparameter on its y axis
    #[arg(long, value_name = "KEY", requires = "x")]
    pub(crate) y: Option<String>,
}

#[derive(clap::Args, Clone)]
pub(crate) struct TableOptions {
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: TableFormat,
    /// One row per setting instead of each method's best on validation
    #[arg(long)]
    pub(crate) all: bool,
    /// Leave the times out: what remains is the same, bit for bit, however often the sweep is repeated
    #[arg(long)]
    pub(crate) no_times: bool,
    /// Further metric to print, e.g. map_at_k_min_divisor, precision_radius2, ndcg_at_k (repeatable)
    #[arg(long, value_name = "NAME")]
    pub(crate) metric: Vec<String>,
}

/// What an interval speaks of.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum IntervalOver {
    Seeds,
    Queries,
}

/// Output formats of a table.
#[derive(Clone, Copy, Default, ValueEnum)]
pub(crate) enum TableFormat {
    #[default]
    Text,
    Markdown,
    Latex,
    Csv,
    Json,
    /// One line per run, from which `table FILE` renders again.
    Jsonl,
}

/// Compares rows of a sweep, paired by seed: mean difference, 95 % interval of Student's t, and the p value of a paired t
/// test, adjusted by Holm's method over the comparisons of a column. Fewer than three seeds are not tested.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  hashlab compare cifar10 CIBHash ITQ")]
pub(crate) struct CompareArgs {
    /// Name of a sweep under the directory of runs, e.g. `cifar10`, or a results.jsonl file
    pub(crate) sweep: String,
    /// Labels of one row, to compare with every other, or of two; without one, every pair of rows is compared
    #[arg(num_args = 0..=2, value_name = "ROW")]
    pub(crate) rows: Vec<String>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: TableFormat,
    /// Metric to compare [default: the primary one]
    #[arg(long, value_name = "NAME")]
    pub(crate) metric: Option<String>,
}

/// Measures codes from files: every metric, with its definition.
///
/// Files are .npy, .npz or .safetensors; `FILE#NAME` names an array of an archive. Codes are (items, bits) of 0 and 1, of ±1,
/// or of real values, whose signs are the bits; or packed uint8 (items, bytes), as numpy.packbits writes them. Labels are
/// class numbers (items) or multi-hot (items, classes).
#[derive(clap::Args)]
#[command(after_help = "Example:\n  hashlab eval --query-codes q.npy --database-codes db.npy --query-labels ql.npy \
                        --database-labels dl.npy --k 1000 --bootstrap 1000")]
pub(crate) struct EvalArgs {
    /// One file of both modalities, as the cross-modal toolkits write it: codes q_img, q_txt, r_img, r_txt and labels q_l,
    /// r_l
    #[arg(conflicts_with_all = ["query_codes", "database_codes", "query_labels", "database_labels", "grades"])]
    pub(crate) file: Option<String>,
    /// Tasks to measure of FILE: i2i, i2t, t2i, t2t
    #[arg(long, value_name = "TASK", value_delimiter = ',', default_value = "i2t,t2i", requires = "file")]
    pub(crate) task: Vec<Task>,
    /// Codes of the queries: .npy, .npz, .safetensors or .mat; `#NAME` behind a file names an array in it
    #[arg(long, value_name = "FILE", required_unless_present = "file")]
    pub(crate) query_codes: Option<String>,
    /// Codes of the database
    #[arg(long, value_name = "FILE", required_unless_present = "file")]
    pub(crate) database_codes: Option<String>,
    /// Labels of the queries: class numbers (items), or multi-hot (items, classes)
    #[arg(long, value_name = "FILE", required_unless_present_any = ["grades", "file"], requires = "database_labels")]
    pub(crate) query_labels: Option<String>,
    /// Labels of the database
    #[arg(long, value_name = "FILE", requires = "query_labels")]
    pub(crate) database_labels: Option<String>,
    /// Graded relevance in the place of labels: (queries, database items), 0 to 255, 0 being irrelevant
    #[arg(long, value_name = "FILE", conflicts_with_all = ["query_labels", "database_labels", "asymmetric", "per_class"])]
    pub(crate) grades: Option<String>,
    /// uint8 arrays are packed, even if they hold nothing but 0 and 1
    #[arg(long)]
    pub(crate) packed: bool,
    /// Rank by the distance of the queries' sigmoids to the database's bits; the queries are real-valued
    #[arg(long, conflicts_with = "packed")]
    pub(crate) asymmetric: bool,
    /// Definition of mAP@K that is printed first: top_k, hit_queries, min_divisor, all_relevant or first_k
    #[arg(long, value_name = "NAME", default_value = "top_k", value_parser = parse_definition)]
    pub(crate) definition: Definition,
    /// Depth K of the metrics at K: a rank, or `all` for the whole ranking
    #[arg(long, value_name = "K", default_value = "all", value_parser = parse_depth)]
    pub(crate) k: Depth,
    /// Hamming radius of the precision within a ball
    #[arg(long, value_name = "R", default_value_t = 2)]
    pub(crate) radius: usize,
    /// Ranks N at which precision and recall are measured (JSON)
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 10, 100, 500, 1000])]
    pub(crate) ranks: Vec<usize>,
    /// Intervals of 95 % from so many resamples of the queries
    #[arg(long, value_name = "N")]
    pub(crate) bootstrap: Option<std::num::NonZero<usize>>,
    /// Seed of the resamples
    #[arg(long, value_name = "S", default_value_t = 0, requires = "bootstrap")]
    pub(crate) seed: u64,
    /// Print mAP by class, too
    #[arg(long)]
    pub(crate) per_class: bool,
    /// Output format; JSON holds curves and values per query, too
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: EvalFormat,
    /// As `--format json`
    #[arg(long, conflicts_with = "format")]
    pub(crate) json: bool,
}

/// Output formats of an evaluation.
#[derive(Clone, Copy, Default, ValueEnum)]
pub(crate) enum EvalFormat {
    #[default]
    Text,
    Json,
    Csv,
}

/// Encodes queries and database with the models that a sweep kept.
///
/// Each run gets a folder with packed codes, labels and index files, which `hashlab eval` and faiss's binary indexes read.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  hashlab encode experiments/cifar10.toml --out codes")]
pub(crate) struct EncodeArgs {
    #[command(flatten)]
    pub(crate) experiment: ExperimentArgs,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Run to encode with, as `plan` lists it (repeatable) [default: every run whose model was kept]
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Vec<String>,
    /// Directory for a folder per run
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

#[derive(clap::Args)]
pub(crate) struct FeaturesArgs {
    #[command(flatten)]
    pub(crate) experiment: ExperimentArgs,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Directory for the .npy files
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

#[derive(clap::Args)]
pub(crate) struct TraceArgs {
    #[command(flatten)]
    pub(crate) experiment: ExperimentArgs,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Directory for the trace; it must not exist, or be empty
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Steps to record
    #[arg(long, value_name = "N", default_value = "100")]
    pub(crate) steps: std::num::NonZero<usize>,
}

#[derive(clap::Args)]
pub(crate) struct NameArgs {
    /// Name; without one, all are listed
    pub(crate) name: Option<String>,
}

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
pub(crate) struct ExecArgs {
    /// Runs to execute, one after the other
    #[arg(required = true)]
    pub(crate) run: Vec<String>,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// File of an encoder, weights or tokenizer, by its digest, needed where the feature cache lacks features (repeatable)
    #[arg(long, value_name = "DIGEST=FILE", value_parser = parse_weights)]
    pub(crate) weights: Vec<(String, PathBuf)>,
    /// Only extract the features that the runs need
    #[arg(long, value_name = "EXTENT")]
    pub(crate) features: Option<FeatureExtent>,
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

#[derive(clap::Args)]
pub(crate) struct CacheArgs {
    /// Remove the least recently used features until at most this much is left, e.g. 5G
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) prune: Option<u64>,
}

/// Lets an empty environment variable count as unset, as scripts clear one by `NAME=`.
pub(crate) fn without_empty_variables(command: clap::Command) -> clap::Command {
    let empty = |arg: &clap::Arg| arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    let command = command.mut_args(|arg| if empty(&arg) { arg.env(Resettable::<OsStr>::Reset) } else { arg });
    command.mut_subcommands(without_empty_variables)
}

fn parse_weights(text: &str) -> Result<(String, PathBuf), String> {
    let (digest, path) = text.split_once('=').ok_or("it must be DIGEST=FILE")?;
    Ok((digest.to_owned(), path.into()))
}

/// Reads the name of a definition of mAP.
fn parse_definition(text: &str) -> Result<Definition, String> {
    let names = Definition::ALL.map(Definition::name).join(", ");
    Definition::ALL.into_iter().find(|known| known.name() == text).ok_or(format!("it must be one of {names}"))
}

/// Reads the depth of a metric.
fn parse_depth(text: &str) -> Result<Depth, String> {
    match text.parse() {
        Ok(rank) if rank > 0 => Ok(Depth::At(rank)),
        _ if text == "all" => Ok(Depth::All),
        _ => Err("it must be a rank from 1, or `all`".to_owned()),
    }
}

/// Reads a number of runs at once.
fn parse_jobs(text: &str) -> Result<std::num::NonZero<usize>, String> {
    text.parse().map_err(|_| "it must be a number from 1".to_owned())
}

/// No disk is larger.
const MOST_BYTES: f64 = 1e18;

/// Reads a size in bytes, with an optional suffix K, M, G or T (powers of 1024).
fn parse_size(text: &str) -> Result<u64, String> {
    let upper = text.trim().to_ascii_uppercase();
    let digits = upper.trim_end_matches(['B', 'I']).trim_end_matches(['K', 'M', 'G', 'T']);
    let suffix = upper[digits.len()..].chars().next();
    let power = match suffix {
        None => 0,
        Some(letter) => 1 + "KMGT".find(letter).ok_or_else(|| format!("unknown unit in `{text}`"))?,
    };
    let number: Option<f64> = digits.trim().parse().ok();
    let size = number.map(|number| number * 1024f64.powi(power as i32));
    match size.filter(|size| (0.0..=MOST_BYTES).contains(size)) {
        Some(size) => Ok(size as u64),
        None => Err(format!("`{text}` is not a size such as 500M or 20G")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_the_usual_suffixes() {
        for (text, bytes) in [("512", 512), ("1k", 1024), ("1.5GiB", 1610612736), ("20G", 20 << 30), ("2 MB", 2 << 20)]
        {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        assert!(parse_size("20X").is_err());
        for text in ["G", "-1", "nan", "inf", "1e400", "99999999T"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn arguments_are_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }
}
