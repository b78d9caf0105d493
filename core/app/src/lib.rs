//! The application as a library: what `hashlab` does, without its command line.
//!
//! A [`Workspace`] holds the [`Registry`] of methods, data sets and encoders, and the [`Dirs`] of a user. It loads an
//! experiment into a [`PlannedSweep`], whose [`execute`](PlannedSweep::execute) turns it into one job graph (features, then
//! runs) and hands that to a scheduler; [`collect`](collect::report) turns what the runs left into a report.
//! [`worker`] is the other side: one run, or one extraction of features, in a process of its own.
//!
//! ```
//! use std::path::Path;
//! use hashlab_app::{Build, Dirs, ExperimentText, Registry, Workspace};
//! use hashlab_data::DataDirs;
//!
//! let workspace = Workspace {
//!     registry: Registry { methods: &[], datasets: &[], encoders: &[], published: &[] },
//!     dirs: Dirs { runs: "runs".into(), data: DataDirs::of(vec![]), data_dir: None, cache_dir: None, cache_limit: None },
//!     build: Build { version: "1.0", commit: "unknown", ..Build::default() },
//!     read_codes: |_, _| panic!("the experiment has no external row"),
//! };
//! let mistaken = ExperimentText {
//!     text: "dataset = \"cifar10\"".to_owned(),
//!     origin: Path::new("first.toml"),
//!     overrides: Default::default(),
//!     command: "hashlab sweep first.toml".to_owned(),
//!     color: false,
//! };
//! let error = workspace.plan(mistaken).err().unwrap().to_string();
//! assert!(error.contains("first.toml:1:11"), "{error}"); // the registry has no data set of that name
//! ```

mod asha;
pub mod bundle;
mod choice;
pub mod collect;
mod devices;
mod dirs;
mod encode;
mod error;
mod estimate;
mod external;
mod garbage;
mod graph;
mod hub_files;
mod lock;
mod machine;
mod memory;
mod missing;
mod models;
mod notes;
mod page;
mod passing;
mod preview;
mod provenance;
mod registry;
mod reproduce;
mod retrieval;
mod rungs;
pub mod shell;
mod shown;
pub mod slurm;
mod stale;
mod stored;
mod sweep;
pub mod weights;
pub mod worker;
mod workspace;

pub use choice::Choice;
pub use devices::Devices;
pub use dirs::Dirs;
pub use encode::EncodedRun;
pub use error::{BadInput, bad_input, explained};
pub use estimate::Estimate;
pub use external::ReadCodes;
pub use garbage::Garbage;
pub use graph::Launch;
pub use hub_files::{MissingFiles, Need, Unlocked, sha256};
pub use lock::{Lock, Locked};
pub use machine::facts as machine_facts;
pub use models::Keep;
pub use preview::{Preview, PreviewedRun, PreviewedStage, SinceLast};
pub use provenance::Build;
pub use registry::Registry;
pub use reproduce::{Comparison, Difference, Part, Reproduction, Target};
pub use retrieval::OpenModel;
pub use rungs::Saved;
pub use stale::{OtherSources, StaleRuns};
pub use sweep::{Executed, SweepOptions};
pub use workspace::{ExperimentText, PlannedSweep, Workspace};
