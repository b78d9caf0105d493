//! Sweeps: from an experiment file to runs, from runs to tables.
//!
//! `sweep` expands a file into a plan of runs, `store` keeps them on disk, `exec` runs them in processes of their
//! own, `report` renders what they left. The engine knows methods, data sets and backbones only as the
//! declarations of a [`Catalog`].

pub mod catalog;
pub mod event;
pub mod exec;
pub mod record;
pub mod report;
pub mod store;
pub mod sweep;

pub use catalog::{Catalog, DatasetDecl, MethodDecl, ProtocolDecl, Schema, SchemaError};
pub use event::Event;
pub use record::{RunConfig, RunId, RunResult, Status};

/// A table of settings, in the order of its declaration.
pub type Settings = serde_json::Map<String, serde_json::Value>;
