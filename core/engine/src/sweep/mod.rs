//! From an experiment file to a plan of runs.
//!
//! [`load`] parses the file, the environment and the flags into trees that remember their places, checks every key
//! and value against the [`Catalog`](crate::Catalog), and reports all [`Mistakes`] at once. [`Experiment::plan`]
//! merges the layers at every grid point and lists the runs.
//!
//! ```toml
//! dataset = "…"
//! protocol = "…"               # default: the data set's first
//! split_seed = 0
//! bits = [16, 32]
//! seeds = [0, 1, 2]            # default: [0]
//! [data]                       # settings of the data set
//! [backbone]
//! [train]
//! [eval]                       # a negative `map_at` means the protocol's depth
//! [[arm]]                      # one per method, or several that compete in one row
//! method = "…"
//! label = "…"                  # the row in tables; default: the method's title
//! bits = [16]                  # instead of the shared ones; `train` and `backbone` override key by key
//! params = { beta = 0.001 }    # fixed
//! train = { epochs = 80 }
//! grid = { tau = [0.2, 0.3], "train.batch_size" = [64, 128], "backbone.views" = [2, 10] }
//! ```
//!
//! Later layers win: defaults, file, arm, grid point, environment (`HASHLAB_SET_TRAIN__EPOCHS=5`), flags
//! (`--set train.epochs=5`). The two from outside thus beat whatever the file says, and take the place of a grid's
//! axis. figment's own `Env` is not used: it takes `1e-3` for a string.

mod arm;
mod diagnose;
mod experiment;
mod faults;
mod grid;
mod idle;
mod keys;
mod layer;
mod overrides;
mod plan;
mod read;
mod stored;
mod tree;
mod whole;

pub use diagnose::{Mistake, Mistakes, did_you_mean};
pub use experiment::{Experiment, load};
pub use overrides::{Overrides, PREFIX};
pub use plan::{Plan, PlanError, PlannedRun};
