//! Job definition files of HyperQueue, which `hq job submit-file` reads.

use std::collections::BTreeMap;

use hashlab_settings::{Params, Violations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::is_word;

/// What a job's tasks are given. It is no part of a run's identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HyperQueueProfile {
    /// Processors of a task.
    #[schemars(range(min = 1))]
    pub cpus: usize,
    /// NVIDIA GPUs of a task; with any, runs compute on them.
    pub gpus: usize,
    /// Time limit of a task, e.g. `2h` or `30m`; none if not set.
    pub time: Option<String>,
    /// Runs of a task; as many as it has processors if not set.
    #[schemars(range(min = 1))]
    pub runs_per_task: Option<usize>,
    /// Number of failed tasks after which HyperQueue cancels the others; not limited if not set.
    #[schemars(range(min = 1))]
    pub max_fails: Option<usize>,
}

impl Default for HyperQueueProfile {
    fn default() -> Self {
        Self { cpus: 1, gpus: 0, time: None, runs_per_task: None, max_fails: None }
    }
}

impl Params for HyperQueueProfile {
    fn check(&self) -> Violations {
        let time = self.time.as_deref().is_none_or(|time| is_word(&time.replace(' ', "")));
        Violations::none().require(time, ["time"], "`time` must be a limit such as `2h` or `1h 30m`")
    }
}

impl HyperQueueProfile {
    /// Runs of a task.
    pub fn pack(&self) -> usize {
        self.runs_per_task.unwrap_or(self.cpus)
    }
}

/// A job with a task for each pack of runs.
#[derive(Clone, Debug)]
pub struct HyperQueueJob<'a> {
    /// Name of the sweep.
    pub sweep: &'a str,
    /// Resources.
    pub profile: &'a HyperQueueProfile,
    /// Program and arguments of each task.
    pub commands: Vec<Vec<String>>,
    /// Environment variables.
    pub env: &'a [(String, String)],
}

#[derive(Serialize)]
struct JobFile {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_fails: Option<usize>,
    task: Vec<Task>,
}

#[derive(Serialize)]
struct Task {
    id: usize,
    command: Vec<String>,
    /// By this, the program sees the processors of its task alone, and starts as many runs at once.
    pin: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_limit: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    env: BTreeMap<String, String>,
    request: [Request; 1],
}

#[derive(Serialize)]
struct Request {
    resources: BTreeMap<&'static str, usize>,
}

impl HyperQueueJob<'_> {
    /// Renders the file, TOML.
    pub fn render(self) -> String {
        let Self { sweep, profile, commands, env } = self;
        let gpus = (profile.gpus > 0).then_some(("gpus/nvidia", profile.gpus));
        let resources: BTreeMap<_, _> = [("cpus", profile.cpus)].into_iter().chain(gpus).collect();
        let task = |(id, command)| Task {
            id,
            command,
            pin: "taskset",
            time_limit: profile.time.clone(),
            env: env.iter().cloned().collect(),
            request: [Request { resources: resources.clone() }],
        };
        let task = commands.into_iter().enumerate().map(task).collect();
        let file = JobFile { name: format!("hashlab {sweep}"), max_fails: profile.max_fails, task };
        toml::to_string(&file).expect("a job is plain data")
    }
}
