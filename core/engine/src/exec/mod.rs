//! Executes runs, each in a process of its own: a crash sinks one run, and memory is returned.
//!
//! [`run_all`] starts a [`Job`] per run, tells an [`Observer`] what happens, and heeds a [`StopFlag`]. What became of
//! a run is read from its directory, never from its process alone, so that a run finished by another sweep counts,
//! and one whose process vanished is not lost. [`child`] is the other side: what a run's process calls.

pub mod child;
mod job;
mod local;
mod process;
pub mod progress;
mod signals;

pub use job::{CommandLine, Job, Outcome, Summary, Work};
pub use local::{PoolOptions, run_all};
pub use progress::{News, Observer};
pub use signals::{Stop, StopFlag};
