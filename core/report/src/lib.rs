//! Comparison tables: method × task × bits, mean ± deviation over seeds, from the results of a sweep's runs.
//!
//! A report is a pure function of a [`SweepReport`]: it reads no disk, and neither the order of the runs nor any
//! wall-clock time changes its metric tables. A cell shows the setting with the best mean *validation* metric; the
//! protocol's queries select nothing.
//!
//! ```
//! use hashlab_data::{ByModality, Modality, Task};
//! use hashlab_report::*;
//! use hashlab_store::{RunId, RunResult, Status, TaskResult};
//!
//! let run = RunId("lsh-b16-s0-1f0c2a9b7d3e".into());
//! let mut result = RunResult::empty(run.clone(), Status::Finished);
//! let metrics = [(PRIMARY_METRIC, 0.221)].into();
//! result.test.insert(Task::within(Modality::Image), TaskResult { metrics, ..TaskResult::default() });
//!
//! let encoder = EncoderSummary::frozen("resnet18", EncoderWeights::Random);
//! let report = SweepReport {
//!     name: "quick".into(),
//!     header: Header {
//!         dataset: "cifar10".into(),
//!         dataset_display: "CIFAR-10".into(),
//!         dataset_description: "60,000 color photos of 32 × 32 pixels, ten classes".into(),
//!         dataset_digest: None,
//!         protocol: "cibhash".into(),
//!         protocol_description: "5,000 training items".into(),
//!         map_at: Depth::At(1000),
//!         definition: Definition::TopK,
//!         sample: None,
//!         command: "hashlab sweep quick.toml".into(),
//!         notes: vec![],
//!     },
//!     runs: vec![ReportedRun {
//!         position: 0,
//!         label: "LSH".into(),
//!         method: "lsh".into(),
//!         setting: "1f0c2a9b7d3e".into(),
//!         point: Default::default(),
//!         bits: 16,
//!         seed: 0,
//!         seeded: true,
//!         setup: Setup {
//!             selection: Selection::None,
//!             encoders: ByModality::one(Modality::Image, encoder),
//!             external: None,
//!         }
//!         .into(),
//!         run,
//!         outcome: Outcome::Finished(result.into()),
//!     }],
//! };
//! let table = render(&report, &[], &Details::new(), &Options::new(Format::Text))?;
//! assert!(table.starts_with("CIFAR-10 (protocol cibhash): mAP@1000\n"));
//! assert!(table.contains(" LSH      0.221"));
//! # Ok::<(), ReportError>(())
//! ```

mod aggregate;
mod citations;
mod compare;
mod csv;
mod data_groups;
mod details;
mod document;
mod encodings;
mod error;
mod extent;
mod facts;
mod figure;
mod figures;
mod hyperparameters;
mod joined;
mod json;
mod jsonl;
mod latex;
mod latex_symbols;
mod latex_text;
mod layout;
mod markdown;
mod marks;
mod metrics;
mod notes;
mod options;
mod page;
mod paired;
mod published;
mod setup;
mod sweep_report;
mod tables;
mod text;
mod warnings;
mod wording;

pub use compare::compare;
pub use details::{Details, RunDetails, runs_with_queries};
pub use error::ReportError;
pub use extent::{run_of_each_setting, runs_of_page, shown_runs};
pub use figure::{Figure, FileFormat};
pub use figures::{FigureKind, FigureRequest, figure};
pub use hashlab_eval::{Definition, Depth, MetricInfo, known_metrics};
pub use hashlab_store::PRIMARY_METRIC;
pub use jsonl::{results_jsonl, results_lines};
pub use latex::PRINTED_AS;
pub use options::{Format, IntervalOver, Options};
pub use page::{live_page, page, source_hash};
pub use published::{Published, PublishedError, parse_published};
pub use setup::{EncoderSummary, EncoderWeights, ExternalCodes, Finetuning, Selection, Setup};
pub use sweep_report::{Header, Outcome, ReportedRun, SweepReport};

/// Renders a sweep's tables, with published values beside the measured ones. Intervals over queries need the queries of all
/// runs in `details`, and nothing else needs details.
///
/// # Errors
/// As [`Options::check`], and [`ReportError::UnmeasuredMetric`] where no finished run has a metric of
/// [`Options::metrics`].
pub fn render(
    report: &SweepReport,
    published: &[Published],
    details: &Details,
    options: &Options,
) -> Result<String, ReportError> {
    options.check()?;
    let runs = encodings::apart(&report.runs);
    let comparison = aggregate::Comparison::of(&runs);
    let metrics = metrics::chosen(report, &options.metrics)?;
    let layout = layout::Layout { report, comparison: &comparison, published, metrics: &metrics, details, options };
    Ok(match options.format {
        Format::Text => text::write(&tables::document(&layout), options),
        Format::Markdown => markdown::write(&tables::document(&layout)),
        Format::Latex => latex::write(&tables::document(&layout), &report.name),
        Format::Csv => csv::write(&layout),
        Format::Json => json::write(&layout),
        Format::Jsonl => results_lines(report, options.times, |_| None).collect(),
    })
}

/// Renders several sweeps as one table, method × (data set × bits): those on one data set, with one protocol and depth of
/// the primary metric, share columns. Tasks are blocks of rows. `details` are those of all sweeps.
///
/// # Errors
/// As [`render`]; [`ReportError::AllOfSeveral`], [`ReportError::JsonlOfSeveral`], and
/// [`ReportError::DifferentDefinitions`] where no metric is chosen.
///
/// # Panics
/// If there is no sweep.
pub fn render_joined(
    reports: &[SweepReport],
    published: &[Published],
    details: &Details,
    options: &Options,
) -> Result<String, ReportError> {
    joined::write(reports, published, details, options)
}
