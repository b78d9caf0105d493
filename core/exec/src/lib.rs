//! Executes a graph of jobs: shared stages, such as feature extraction, and the runs that need them.
//!
//! A [`Scheduler`] orders the jobs of a [`JobGraph`]; an [`Executor`] starts them. [`LocalExecutor`] gives each a
//! process of its own, so that a crash costs one job; [`FakeExecutor`] plays scripts in virtual time, for tests. An
//! [`Observer`] shows progress ([`progress::on_stderr`] chooses bars or lines), [`StopRequests`] turn signals into
//! requests to stop. [`worker`] is the worker side of the protocol, in the process of a run.
//!
//! A run's outcome is read from its directory and not from its process alone: a run that another sweep finished counts,
//! and after a vanished process the run can be executed again.
//!
//! ```
//! use hashlab_exec::{
//!     CommandLine, FakeExecutor, Job, JobGraph, Outcome, Program, Quiet, Scheduler, Script, StopRequests,
//! };
//!
//! let command = CommandLine { program: Program::path("hashlab"), args: vec![], env: vec![] };
//! let stage = |title: &str| Job::stage("features", title, "features.log", command.clone());
//! let mut graph = JobGraph::new();
//! let images = graph.add(stage("images"), &[]);
//! let bad = graph.add(stage("texts"), &[]);
//! let joined = graph.add(stage("images and texts"), &[images, bad]);
//!
//! let mut executor = FakeExecutor::new(2);
//! executor.script("texts", Script::failing("no tokenizer"));
//! let summary = Scheduler::new(&graph, &mut executor, &mut Quiet, StopRequests::new()).run();
//! assert_eq!(summary.of(images), [Outcome::StageDone]);
//! assert_eq!(summary.of(joined), [Outcome::Failed { message: "its features failed: no tokenizer".into() }]);
//! ```

pub mod engines;
pub mod event;
mod executor;
mod fake;
mod graph;
mod job;
mod limits;
mod local;
mod outcome;
mod program;
pub mod progress;
mod retry;
mod scheduler;
mod signals;
pub mod slurm;
pub mod worker;

pub use event::Event;
pub use executor::{Executor, Exit, Handle, SubmitError, Update, Urgency};
pub use fake::{Action, FakeExecutor, Script};
pub use graph::{JobGraph, JobId};
pub use job::{CommandLine, Cores, Job, Work};
pub use limits::{raise_open_files, report_large_files};
pub use local::{Limits, LocalExecutor, LocalOptions};
pub use outcome::{Completion, Execution, Outcome, ResultSummary, Score, Summary};
pub use program::Program;
pub use progress::{ExecEvent, Observer, Quiet};
pub use retry::{Passing, Retry};
pub use scheduler::Scheduler;
pub use signals::StopRequests;
