//! Jobs: the work of one process, and the resources that it takes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Program;
use hashlab_store::RunDir;

/// A program with its arguments, before it is started.
#[derive(Clone, Debug)]
pub struct CommandLine {
    /// The program.
    pub program: Program,
    /// Its arguments; an executor appends the ids of the runs to execute.
    pub args: Vec<OsString>,
    /// Variables added to the environment.
    pub env: Vec<(OsString, OsString)>,
}

/// The part of a machine's cores that a job uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cores {
    /// One core, e.g. the training of a head on stored features.
    #[default]
    One,
    /// Every core, e.g. feature extraction, or a run that trains its encoder.
    All,
}

/// The work of one process. Cheap to clone; jobs share equal commands.
#[derive(Clone, Debug)]
pub struct Job {
    /// Name for users: the run id, or the stage and its subject.
    pub title: Arc<str>,
    /// Group of jobs of similar duration, e.g. the method; for a stage its noun, e.g. `features`.
    pub kind: Arc<str>,
    /// Work of the process.
    pub work: Work,
    /// Command to start.
    pub command: Arc<CommandLine>,
    /// File for the process's standard error, and for lines of its standard output that are not events.
    pub log: Arc<Path>,
    /// The cores that the job uses.
    pub cores: Cores,
    /// The run whose configuration a stage reads.
    pub reads: Option<RunDir>,
    /// Memory in bytes that its process is likely to take, if known.
    pub memory: Option<u64>,
    /// GPUs that its process uses, where jobs are divided among several.
    pub gpus: usize,
}

/// Work of a process.
#[derive(Clone, Debug)]
pub enum Work {
    /// A stage that several runs share, such as feature extraction. Its exit code decides whether it is done. A stage
    /// waits by itself for other processes with the same work.
    Stage,
    /// One or more runs. The directory of each decides whether it is done.
    Runs {
        /// The directories of the runs.
        dirs: Vec<RunDir>,
        /// The primary metric as tables print it, e.g. `mAP@1000`.
        metric: Arc<str>,
        /// Number of epochs of each run, if known; a run's journal does not contain it.
        epochs: Option<usize>,
        /// Number of epochs after which each run is to stop with a checkpoint; `None` for its end.
        until: Option<usize>,
    },
}

impl Job {
    /// Describes the process of a shared stage, e.g. `features` (`kind`) of `features of cifar10` (`title`).
    pub fn stage(kind: &str, title: &str, log: impl Into<PathBuf>, command: impl Into<Arc<CommandLine>>) -> Self {
        Self {
            title: title.into(),
            kind: kind.into(),
            work: Work::Stage,
            command: command.into(),
            log: log.into().into(),
            cores: Cores::All,
            reads: None,
            memory: None,
            gpus: 1,
        }
    }

    /// Describes the process of one run. Runs of one method share `kind`.
    pub fn run(dir: RunDir, kind: &str, metric: impl Into<Arc<str>>, command: impl Into<Arc<CommandLine>>) -> Self {
        let title = dir.id().to_string();
        Self::pack(&title, vec![dir], kind, metric, command)
    }

    /// Describes a process of several runs. Its log is that of the first.
    ///
    /// # Panics
    /// If there are no runs.
    pub fn pack(
        title: &str,
        dirs: Vec<RunDir>,
        kind: &str,
        metric: impl Into<Arc<str>>,
        command: impl Into<Arc<CommandLine>>,
    ) -> Self {
        let first = dirs.first().expect("a job holds at least one run");
        Self {
            title: title.into(),
            kind: kind.into(),
            log: first.log_path().into(),
            work: Work::Runs { dirs, metric: metric.into(), epochs: None, until: None },
            command: command.into(),
            cores: Cores::One,
            reads: None,
            memory: None,
            gpus: 1,
        }
    }

    /// Declares the run whose configuration the stage reads; it is prepared before the stage is submitted.
    #[must_use]
    pub fn reading(mut self, dir: RunDir) -> Self {
        self.reads = Some(dir);
        self
    }

    /// Declares the memory in bytes that the process is likely to take.
    #[must_use]
    pub fn with_memory(mut self, bytes: Option<u64>) -> Self {
        self.memory = bytes;
        self
    }

    /// Declares the number of GPUs that the process uses, where there are several.
    #[must_use]
    pub fn with_gpus(mut self, count: usize) -> Self {
        self.gpus = count;
        self
    }

    /// Takes every core.
    #[must_use]
    pub fn on_all_cores(mut self) -> Self {
        self.cores = Cores::All;
        self
    }

    /// Declares the number of epochs of each run.
    #[must_use]
    pub fn with_epochs(mut self, count: usize) -> Self {
        if let Work::Runs { epochs, .. } = &mut self.work {
            *epochs = Some(count);
        }
        self
    }

    /// Declares the number of epochs after which each run stops. The job's command must ask for it, too.
    #[must_use]
    pub fn stopping_after(mut self, count: Option<usize>) -> Self {
        if let Work::Runs { until, .. } = &mut self.work {
            *until = count;
        }
        self
    }

    /// The number of epochs after which each run stops with a checkpoint; `None` for its end.
    pub fn until(&self) -> Option<usize> {
        match &self.work {
            Work::Runs { until, .. } => *until,
            Work::Stage => None,
        }
    }

    /// Returns the directories of the runs; none for a stage.
    pub fn dirs(&self) -> &[RunDir] {
        match &self.work {
            Work::Runs { dirs, .. } => dirs,
            Work::Stage => &[],
        }
    }

    /// Whether this is a shared stage.
    pub fn is_stage(&self) -> bool {
        matches!(self.work, Work::Stage)
    }

    /// Returns the number of outcomes: one per run, or one for a stage.
    pub fn parts(&self) -> usize {
        self.dirs().len().max(1)
    }

    /// Names one part: the run's id, or the stage's title.
    pub fn part_title(&self, part: usize) -> String {
        self.dirs().get(part).map_or_else(|| self.title.to_string(), |dir| dir.id().to_string())
    }
}
