//! Experiment files, and the plans of runs that they expand to.
//!
//! [`load`] parses the file, the environment and the flags, checks every key and value against the [`Catalog`], and
//! reports all [`Diagnostics`] at once, each with file, line and column. [`Experiment::plan`] merges the layers at
//! every grid point and lists the runs.
//!
//! ```toml
//! dataset = "…"
//! protocol = "…"               # default: the data set's first
//! split_seed = 0
//! bits = [16, 32]
//! seeds = [0, 1, 2]            # default: [0]
//! [data]                       # settings of the data set
//! [image]                      # encoder of the images
//! [text]                       # encoder of the texts
//! [train]                      # of deep methods
//! [eval]                       # map_at: "protocol", "all" or K
//! [pruning]                    # stops runs early
//! [[method]]                   # one per method, or several that compete in one row
//! name = "…"
//! label = "…"                  # the row in tables; default: the method's title
//! bits = [16]                  # instead of the shared ones; `seeds` likewise
//! params = { beta = 0.001 }    # hyperparameters
//! train = { epochs = 80 }      # over `[train]`, key by key; `image` and `text` likewise
//! grid = { tau = [0.2, 0.3], "train.batch_size" = [64, 128], "image.views" = [2, 10] }
//! zip = { beta = [0.1, 0.2], "train.epochs" = [50, 100] }      # keys that move together
//! when = { "image.views" = { tau = 0.2 } }                     # elsewhere the key keeps its value from below
//! exclude = [{ tau = 0.3, "train.batch_size" = 128, bits = 16 }]
//! [[method]]
//! name = "…"
//! search = "sobol"             # or "random"; default: "grid". At the top of the file, for all methods
//! trials = 20                  # number of points
//! grid = { tau = [0.2, 0.3], beta = { low = 1e-4, high = 1e-1, scale = "log" } }
//! [[external]]                 # one per row of codes that others computed
//! label = "…"
//! codes = "…_{bits}_{seed}.npz#{side}"
//! ```
//!
//! `extends = "base.toml"` at the top puts the file on another one, named relative to it: tables merge key by key, and
//! every other value, lists and `[[method]]` included, replaces the one below.
//!
//! Later layers win: defaults, file, method, grid point, environment (`HASHLAB_SET_TRAIN__EPOCHS=5`), flags
//! (`--set train.epochs=5`). The last two thus override the whole file, and replace a grid's axis.
//!
//! A method that needs several modalities runs on all of them. One that takes any modality runs on the one whose
//! section the file has, else on the data set's only one, else on images.
//!
//! ```
//! use std::path::Path;
//! use std::sync::Arc;
//!
//! use hashlab_data::{ByModality, DataKind, EncoderFacts, Modality, Needs};
//! use hashlab_settings::{NoParams, Params, Schema, Violations};
//! use hashlab_sweep::{Catalog, DatasetDecl, DatasetDescription, MethodDecl, Overrides, ProtocolDecl, load};
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Default, Serialize, Deserialize, JsonSchema)]
//! #[serde(default, deny_unknown_fields)]
//! struct Itq {
//!     /// Iterations.
//!     #[schemars(range(min = 1))]
//!     iterations: usize,
//! }
//! impl Params for Itq {}
//!
//! let itq = MethodDecl {
//!     name: "itq".into(),
//!     title: "ITQ".into(),
//!     paper: "Gong and Lazebnik, CVPR 2011".into(),
//!     revision: 1,
//!     deep: false,
//!     augmented: false,
//!     seeded: true,
//!     needs: Needs::Any,
//!     params: Schema::of::<Itq>(),
//!     check: Arc::new(|_, _| Violations::none()),
//! };
//! let photos = DatasetDecl {
//!     name: "photos".into(),
//!     title: "Photos".into(),
//!     settings: Schema::of::<NoParams>(),
//!     describe: Arc::new(|_| {
//!         let protocol = ProtocolDecl { name: "all".into(), description: "every photo".into(), map_at: Some(100) };
//!         Ok(DatasetDescription {
//!             identity: "photos-v1".into(),
//!             modalities: ByModality::one(Modality::Image, DataKind::Pixels),
//!             protocols: vec![protocol],
//!         })
//!     }),
//!     train_items: Arc::new(|_, _, _| Ok(Some(1000))),
//! };
//! let catalog = Catalog {
//!     methods: vec![itq],
//!     datasets: vec![photos],
//!     encoders: ByModality::one(Modality::Image, Schema::of::<NoParams>()),
//!     inspect: Arc::new(|_, _| Ok(EncoderFacts::default())),
//!     codes: Arc::new(|path, _| Err(format!("there is no file {path}"))),
//!     train: Schema::of::<NoParams>(),
//!     eval: Schema::of::<NoParams>(),
//! };
//!
//! let file = r#"
//! dataset = "photos"
//! bits = [16, 32]
//! seeds = [0, 1, 2]
//! [[method]]
//! name = "itq"
//! grid = { iterations = [20, 50] }
//! "#;
//! let experiment = load(file, Path::new("first.toml"), &catalog, &Overrides::default())?;
//! let plan = experiment.plan(&mut |_modality, encoder| Ok(encoder.clone()))?;
//! println!("{}: {} runs", plan.name, plan.runs.len());
//! assert_eq!(plan.runs.len(), 2 * 2 * 3);
//!
//! let wrong = load(&file.replace("50", "0"), Path::new("first.toml"), &catalog, &Overrides::default());
//! assert!(wrong.err().unwrap().to_string().starts_with("error: `iterations` must be at least 1, got the integer 0"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod active;
mod applicability;
mod catalog;
mod codes_path;
mod constraints;
mod dataset;
mod diagnostic;
mod expand;
mod experiment;
mod extends;
mod external;
mod external_runs;
mod facts;
mod flat_file;
mod generations;
mod grid;
mod inactive;
mod json_schema;
mod known_keys;
mod layers;
mod lint;
mod method_table;
mod modalities;
mod overrides;
mod partial_point;
mod parzen;
mod plan;
mod plan_file;
mod plan_line;
mod points;
mod pruning;
mod range;
mod read_file;
mod reader;
mod required;
mod resolved;
mod row_point;
mod scope;
mod search;
mod section;
mod selector;
mod suggest;
mod toml_text;
mod toml_tree;
mod typed_value;

pub use catalog::{
    Catalog, CheckRun, CodesFacts, CountTrainItems, DatasetDecl, DatasetDescription, Describe, Inspect, InspectCodes,
    MethodDecl, ProtocolDecl,
};
pub use codes_path::Side;
pub use diagnostic::{Diagnostic, Diagnostics};
pub use experiment::{Experiment, load};
pub use external::CodesFile;
pub use flat_file::read_table;
pub use generations::{Observe, Planned};
pub use hashlab_settings::did_you_mean;
pub use hashlab_store::EXTERNAL_METHOD;
pub use json_schema::json_schema;
pub use overrides::{Overrides, PREFIX};
pub use parzen::{STARTUP, Tpe, TpeAxis};
pub use plan::{MOST_RUNS, Plan, PlanError, PlannedExternal, PlannedRun};
pub use pruning::{Pruning, PruningMethod, Standing, Turn};
pub use read_file::{ReadError, read_file};
pub use selector::{Selectable, Selector};
