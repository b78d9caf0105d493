//! One file per subcommand.

mod array_files;
pub(crate) mod cache;
pub(crate) mod compare;
pub(crate) mod datasets;
pub(crate) mod encode;
pub(crate) mod encoders;
pub(crate) mod eval;
pub(crate) mod exec;
pub(crate) mod export;
mod extract;
pub(crate) mod features;
pub(crate) mod fetch;
pub(crate) mod gc;
pub(crate) mod index;
pub(crate) mod methods;
pub(crate) mod plan;
pub(crate) mod plot;
pub(crate) mod report;
pub(crate) mod runs;
pub(crate) mod search;
pub(crate) mod serve;
pub(crate) mod sweep;
pub(crate) mod table;
pub(crate) mod trace;
pub(crate) mod watch;
