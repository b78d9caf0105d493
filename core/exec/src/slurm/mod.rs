//! Slurm: job arrays of runs, for clusters.
//!
//! A task of an array executes a pack of runs with the local executor inside of its allocation. Nothing here decides
//! whether a run is done: run directories do, and the scheduler's answers are hints. What it does not answer is unknown
//! and not failed; what it no longer lists is not running, and unfinished runs in it may be submitted again.
//!
//! [`Slurm`] calls `sbatch`, `squeue`, `scancel`, `scontrol` and `sacct`; [`BatchScript`] is what it submits, with the
//! resources of a [`SlurmProfile`]; [`chunks()`] divides packs among arrays.

mod chunks;
mod client;
mod command;
mod profile;
mod script;
mod states;

pub use chunks::chunks;
pub use client::{Slurm, SlurmError};
pub use profile::SlurmProfile;
pub use script::BatchScript;
pub use states::{Life, QueuedTask, ended_states, life, max_array_size, queued_tasks};
