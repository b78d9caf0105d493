//! Resources of tasks, as a site and an account offer them. They are no part of a run's identity.

use std::num::NonZeroUsize;

use hashlab_settings::{Params, Violations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A profile: how tasks are submitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SlurmProfile {
    /// Partition; the cluster's default if not set.
    pub partition: Option<String>,
    /// Account that is charged.
    pub account: Option<String>,
    /// Generic resources of a task, e.g. `gpu:1`.
    pub gres: Option<String>,
    /// Processors of a task.
    #[schemars(range(min = 1))]
    pub cpus: usize,
    /// Memory of a task, e.g. `8G`. Without a request, Slurm reserves the whole memory of a node.
    pub mem: String,
    /// Time limit of a task, as Slurm reads it: `minutes`, `hours:minutes:seconds` or `days-hours`.
    pub time: String,
    /// Seconds before the time limit at which runs write a checkpoint and end. Slurm's clock is coarse, so the warning
    /// may come up to a minute late.
    #[schemars(range(min = 1))]
    pub warning: usize,
    /// Tasks that run at once; not limited if not set.
    #[schemars(range(min = 1))]
    pub max_running: Option<usize>,
    /// Runs of a task, one after the other where it has fewer slots; as many as it has slots if not set.
    #[schemars(range(min = 1))]
    pub runs_per_task: Option<usize>,
    /// Runs at once in a task; one per processor if not set.
    #[schemars(range(min = 1))]
    pub jobs: Option<NonZeroUsize>,
    /// Number of times that a run is submitted again after a time limit, a cancelled task or a lost node.
    pub resubmissions: usize,
    /// Further options of sbatch, e.g. `--constraint=a100`.
    pub options: Vec<String>,
    /// Shell lines before the command, e.g. `module load cuda`.
    pub lines: Vec<String>,
}

impl Default for SlurmProfile {
    fn default() -> Self {
        Self {
            partition: None,
            account: None,
            gres: None,
            cpus: 1,
            mem: "4G".to_owned(),
            time: "04:00:00".to_owned(),
            warning: 120,
            max_running: None,
            runs_per_task: None,
            jobs: None,
            resubmissions: 20,
            options: Vec::new(),
            lines: Vec::new(),
        }
    }
}

impl Params for SlurmProfile {
    fn check(&self) -> Violations {
        let text = |value: &str| !value.is_empty() && !value.chars().any(|c| c.is_whitespace() || c.is_control());
        let option = |value: &Option<String>| value.as_deref().is_none_or(text);
        let one_line = |line: &String| !line.chars().any(char::is_control);
        Violations::none()
            .require(text(&self.mem), ["mem"], "`mem` must be a size such as `8G`")
            .require(text(&self.time), ["time"], "`time` must be a limit such as `04:00:00`")
            .require(option(&self.partition), ["partition"], "`partition` must be a name")
            .require(option(&self.account), ["account"], "`account` must be a name")
            .require(option(&self.gres), ["gres"], "`gres` must be resources such as `gpu:1`")
            .require(
                self.options.iter().all(|option| option.starts_with('-') && one_line(option)),
                ["options"],
                "`options` must be options of sbatch, such as `--constraint=a100`",
            )
            .require(self.lines.iter().all(one_line), ["lines"], "`lines` must be single lines of shell")
    }
}

impl SlurmProfile {
    /// Runs of a task.
    pub fn pack(&self) -> usize {
        self.runs_per_task.unwrap_or(self.slots().get())
    }

    /// Runs at once in a task.
    pub fn slots(&self) -> NonZeroUsize {
        self.jobs.or(NonZeroUsize::new(self.cpus)).unwrap_or(NonZeroUsize::MIN)
    }
}
