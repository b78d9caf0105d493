//! Arguments of commands that read or write arrays: codes, features, training steps.

use std::path::PathBuf;

use clap::ValueEnum;
use hashlab_data::Task;
use hashlab_eval::{Definition, Depth};

use super::parse::{parse_definition, parse_depth};
use super::{DeviceArgs, ExperimentArgs, NetworkArgs};

#[derive(clap::Args)]
#[command(after_help = "Example:\n  hashlab eval --query-codes q.npy --database-codes db.npy --query-labels ql.npy \
                        --database-labels dl.npy --k 1000 --bootstrap 1000\n\nCodes become a row of a sweep's table by \
                        `[[external]]`, with `label` and `codes`, in the experiment file.")]
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
    /// Read the database part by part instead of holding it in memory: .npy files alone, as often as its relevant items
    /// require
    #[arg(long, conflicts_with_all = ["file", "grades", "asymmetric"])]
    pub(crate) stream: bool,
    /// uint8 arrays are packed, even if they hold nothing but 0 and 1
    #[arg(long)]
    pub(crate) packed: bool,
    /// Rank by the distance of the queries' sigmoids to the database's bits; the queries are real-valued
    #[arg(long, conflicts_with_all = ["packed", "radius"])]
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
