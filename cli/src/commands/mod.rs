//! One file per subcommand.

pub(crate) mod cache;
pub(crate) mod compare;
pub(crate) mod datasets;
pub(crate) mod encode;
pub(crate) mod encoders;
pub(crate) mod eval;
pub(crate) mod exec;
mod export;
mod extract;
pub(crate) mod features;
pub(crate) mod fetch;
pub(crate) mod methods;
pub(crate) mod plan;
pub(crate) mod plot;
pub(crate) mod report;
pub(crate) mod sweep;
pub(crate) mod table;
pub(crate) mod trace;
