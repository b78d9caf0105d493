//! Arguments of commands that show the results of sweeps.

use std::path::PathBuf;

use clap::ValueEnum;

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
#[command(
    after_help = "The archive holds the experiment file, plan, results, table, page and digests, and a README.md that says how to \
                  repeat it; data, weights and models stay outside. Equal runs give equal bytes.\n\nExamples:\n  hashlab bundle \
                  cifar10\n  hashlab bundle --check cifar10.tar.gz\n  tar xzf cifar10.tar.gz && cd cifar10-* && hashlab \
                  reproduce cifar10"
)]
pub(crate) struct BundleArgs {
    /// Name of a sweep under the directory of runs
    #[arg(required_unless_present = "check")]
    pub(crate) sweep: Option<String>,
    /// File to write [default: the sweep's name and .tar.gz]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Check the digests of a bundle, and that its results are those of its plan
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sweep", "out"])]
    pub(crate) check: Option<PathBuf>,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  hashlab watch cifar10 --open\n  hashlab watch cifar10 --tui")]
pub(crate) struct WatchArgs {
    /// Name of a sweep under the directory of runs
    pub(crate) sweep: String,
    /// Port on this machine's loopback interface; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8751)]
    pub(crate) port: u16,
    /// Open the page in the browser
    #[arg(long)]
    pub(crate) open: bool,
    /// Show runs, curves and logs in the terminal, without a page
    #[arg(long, conflicts_with_all = ["port", "open"])]
    pub(crate) tui: bool,
}

#[derive(clap::Args)]
pub(crate) struct PlotArgs {
    /// Name of a sweep under the directory of runs, e.g. `cifar10`, or a results.jsonl file, which has fewer figures
    pub(crate) sweep: String,
    /// What to plot: map-bits, pr, pn, rn, radius, loss, validation, heat-map, parallel, balance, correlation, bit-matrix,
    /// distances
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
    /// Row of loss, bit-matrix and distances, method of heat-map and parallel [default: the first with data]
    #[arg(long, value_name = "NAME")]
    pub(crate) row: Option<String>,
    /// Hyperparameter on the x axis of heat-map [default: the first that varies]
    #[arg(long, value_name = "KEY", requires = "y")]
    pub(crate) x: Option<String>,
    /// Hyperparameter on its y axis
    #[arg(long, value_name = "KEY", requires = "x")]
    pub(crate) y: Option<String>,
}

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
    pub(crate) format: CompareFormat,
    /// Metric to compare [default: the primary one]
    #[arg(long, value_name = "NAME")]
    pub(crate) metric: Option<String>,
}

#[derive(clap::Args, Clone)]
#[command(next_help_heading = "Table")]
pub(crate) struct TableOptions {
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: TableFormat,
    /// One row per setting instead of each method's best on validation
    #[arg(long)]
    pub(crate) all: bool,
    /// Omit times and memory, so that repeated sweeps print identical tables
    #[arg(long)]
    pub(crate) no_times: bool,
    /// Add the times of an item in the encoding and of a query in the search (CSV and JSON always do)
    #[arg(long, conflicts_with = "no_times")]
    pub(crate) latency: bool,
    /// Metric to print in the place of the default ones, e.g. map_at_k_min_divisor, precision_radius2, ndcg_at_k (repeatable)
    #[arg(long, value_name = "NAME")]
    pub(crate) metric: Vec<String>,
}

/// Population that an interval is about.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum IntervalOver {
    Seeds,
    Queries,
}

/// Output formats of a comparison.
#[derive(Clone, Copy, Default, ValueEnum)]
pub(crate) enum CompareFormat {
    #[default]
    Text,
    Markdown,
    Latex,
    Csv,
    Json,
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
