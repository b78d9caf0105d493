//! Calls of Slurm's commands, repeated where the controller does not answer.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::command::{Answer, call};
use super::states::{ACCOUNT_FORMAT, QUEUE_FORMAT, QueuedTask, ended_states, max_array_size, queued_tasks};

/// Tries of a submission that the controller does not answer.
const TRIES: u32 = 6;

/// Slurm's own limit, where its configuration cannot be read.
const MAX_ARRAY_SIZE: usize = 1001;

/// Parts of messages after which a call is worth repeating.
const TEMPORARY: [&str; 8] = [
    "connect failure",
    "Unable to contact slurm controller",
    "Socket timed out",
    "Connection refused",
    "Zero Bytes were transmitted",
    "temporarily unable to accept job",
    "Resource temporarily unavailable",
    "Protocol authentication error",
];

/// Parts of messages of a limit on the jobs of a user, which other jobs' ends lift.
const FULL: [&str; 4] = ["SubmitJob", "SubmitLimit", "job submit limit", "Job violates accounting/QOS policy"];

/// A call that brought nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SlurmError {
    /// The scheduler does not answer: nothing is known.
    #[error("Slurm does not answer: {0}")]
    Unknown(String),
    /// A limit on the number of jobs is reached.
    #[error("Slurm takes no more jobs for now: {0}")]
    Full(String),
    /// It refuses for another reason.
    #[error("Slurm refuses: {0}")]
    Refused(String),
}

/// The commands of Slurm.
#[derive(Clone, Debug)]
pub struct Slurm {
    path: Option<OsString>,
    back_off: Duration,
}

impl Default for Slurm {
    fn default() -> Self {
        Self { path: None, back_off: Duration::from_secs(1) }
    }
}

impl Slurm {
    /// Uses the commands in `path`, and waits `back_off` after the first failed try: for tests.
    pub fn with_path(path: impl Into<OsString>, back_off: Duration) -> Self {
        Self { path: Some(path.into()), back_off }
    }

    fn call(&self, program: &str, args: &[&str]) -> Result<Answer, SlurmError> {
        let answer = call(program, args, self.path.as_ref());
        let answer = answer.map_err(|error| SlurmError::Unknown(format!("{program}: {error}")))?;
        let message = answer.stderr.trim();
        let holds = |parts: &[&str]| parts.iter().any(|part| message.contains(part));
        match answer.success {
            true => Ok(answer),
            false if holds(&TEMPORARY) => Err(SlurmError::Unknown(message.to_owned())),
            false if holds(&FULL) => Err(SlurmError::Full(message.to_owned())),
            false => Err(SlurmError::Refused(format!("{program}: {message}"))),
        }
    }

    /// Lists the tasks of this user that wait, run, or ended a short time ago, in all partitions: jobs may be moved
    /// between them. One call serves all jobs, and names none: Slurm reports an error for a number that it has
    /// forgotten.
    ///
    /// # Errors
    /// [`SlurmError`]; the tasks are then unknown.
    pub fn queue(&self) -> Result<Vec<QueuedTask>, SlurmError> {
        let user = rustix::process::getuid().as_raw().to_string();
        let args = ["--noheader", "--array", "--states=all", "--user", &user, "--format", QUEUE_FORMAT];
        Ok(queued_tasks(&self.call("squeue", &args)?.stdout))
    }

    /// The number of tasks that an array may have.
    ///
    /// # Errors
    /// [`SlurmError::Unknown`] if the scheduler does not answer.
    pub fn max_array_size(&self) -> Result<usize, SlurmError> {
        let answer = self.call("scontrol", &["show", "config"])?;
        Ok(max_array_size(&answer.stdout).unwrap_or(MAX_ARRAY_SIZE).max(1))
    }

    /// Submits a script; returns the number of its job. `name` is the job's, and no other job's. A submission without an
    /// answer may have been accepted, so the queue is asked for the name before it is repeated.
    ///
    /// # Errors
    /// [`SlurmError`] of the last try.
    pub fn submit(&self, script: &Path, name: &str) -> Result<u64, SlurmError> {
        let script = script.to_string_lossy();
        let (mut wait, mut error) = (self.back_off, SlurmError::Unknown("not asked".to_owned()));
        for attempt in 0..TRIES {
            if attempt > 0 {
                thread::sleep(wait);
                wait *= 2;
                match self.find(name) {
                    Ok(Some(job)) => return Ok(job),
                    Ok(None) => {}
                    Err(unknown) => {
                        // To submit it now could be to submit it twice.
                        error = unknown;
                        continue;
                    }
                }
            }
            error = match self.call("sbatch", &["--parsable", &script]) {
                Ok(answer) => match job_number(&answer.stdout) {
                    Some(job) => return Ok(job),
                    None => SlurmError::Unknown(format!("sbatch answered {:?}", answer.stdout.trim())),
                },
                Err(error @ SlurmError::Unknown(_)) => error,
                Err(error) => return Err(error),
            };
        }
        Err(error)
    }

    /// The number of the job with a name, if the queue lists one.
    ///
    /// # Errors
    /// [`SlurmError`]; it is then unknown.
    pub fn find(&self, name: &str) -> Result<Option<u64>, SlurmError> {
        Ok(self.queue()?.into_iter().find(|task| task.name == name).map(|task| task.job))
    }

    /// Cancels jobs. One that has ended is no error.
    ///
    /// # Errors
    /// [`SlurmError`].
    pub fn cancel(&self, jobs: &[u64]) -> Result<(), SlurmError> {
        let targets: Vec<String> = jobs.iter().map(u64::to_string).collect();
        self.cancel_targets(&targets)
    }

    /// Cancels one task of an array.
    ///
    /// # Errors
    /// [`SlurmError`].
    pub fn cancel_task(&self, job: u64, index: u64) -> Result<(), SlurmError> {
        self.cancel_targets(&[format!("{job}_{index}")])
    }

    fn cancel_targets(&self, targets: &[String]) -> Result<(), SlurmError> {
        if targets.is_empty() {
            return Ok(());
        }
        let args: Vec<&str> = ["--quiet"].into_iter().chain(targets.iter().map(String::as_str)).collect();
        match self.call("scancel", &args) {
            Err(SlurmError::Refused(message)) if message.contains("Invalid job id") => Ok(()),
            other => other.map(drop),
        }
    }

    /// The final states of jobs, where the site keeps accounts; for messages only. Numbers of jobs come again after
    /// years, so that only records since `start`, in seconds since 1970, and of this user are asked for.
    pub fn accounts(&self, jobs: &[u64], start: u64) -> BTreeMap<(u64, Option<u64>), String> {
        let list = jobs.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        let (user, start) = (rustix::process::getuid().as_raw().to_string(), format!("uts{start}"));
        let args = [
            "--allocations",
            "--noheader",
            "--parsable2",
            "--uid",
            &user,
            "--starttime",
            &start,
            "--jobs",
            &list,
            "--format",
            ACCOUNT_FORMAT,
        ];
        if jobs.is_empty() {
            return BTreeMap::new();
        }
        self.call("sacct", &args).map(|answer| ended_states(&answer.stdout)).unwrap_or_default()
    }
}

/// The number in the answer of `sbatch --parsable`: `17`, or `17;cluster`, perhaps after lines of a site's plugins.
fn job_number(answer: &str) -> Option<u64> {
    answer.lines().rev().find_map(|line| line.trim().split(';').next()?.parse().ok())
}
