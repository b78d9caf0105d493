//! Sentences of a sweep's progress.

use super::span;
use crate::{Execution, Job, Outcome, ResultSummary, Retry, Score, Urgency, Work};
use hashlab_store::{Status, counted};

/// Describes the end of a part of a job, e.g. `nsh-b16-s0-… finished in 83 s, mAP@1000 0.613`; further lines are
/// details. `None` if the user has been informed already: the sweep was stopped, or a need's failure was reported.
pub(super) fn ending(job: &Job, part: usize, outcome: &Outcome, execution: Execution) -> Option<String> {
    let title = job.part_title(part);
    let after = match execution {
        Execution::Here(took) => format!("after {}", span(took)),
        Execution::Elsewhere => "in another sweep".to_owned(),
        Execution::Never => "before it started".to_owned(),
        Execution::Dropped => return None,
    };
    let text = match outcome {
        Outcome::Finished(result) => finished(job, result, execution, &after),
        Outcome::Stopped { epoch } => format!("stopped at epoch {epoch} {after}, to be compared with others"),
        Outcome::StageDone => format!("done {}", after.replacen("after", "in", 1)),
        Outcome::Failed { message } => format!("FAILED {after}: {}", failure(job, message)),
        Outcome::Interrupted { reason: None } => "stopped; the same command resumes it".to_owned(),
        Outcome::Interrupted { reason: Some(reason) } => {
            format!("INTERRUPTED {after}, by nobody in this sweep: {reason}\n  the same command resumes it")
        }
        Outcome::NotStarted { .. } => return None,
    };
    Some(format!("{title} {text}"))
}

fn finished(job: &Job, result: &ResultSummary, execution: Execution, after: &str) -> String {
    if result.status == Status::Diverged {
        let why = result.message.as_deref().unwrap_or("its loss is not finite");
        return format!("diverged {after}: {why}");
    }
    let time = match execution {
        Execution::Here(took) => format!("in {}", span(took)),
        _ => "by another sweep".to_owned(),
    };
    format!("finished {time}{}", score(job, result))
}

/// The primary metric, e.g. `, mAP@1000 0.612`.
fn score(job: &Job, result: &ResultSummary) -> String {
    let Work::Runs { metric, .. } = &job.work else { return String::new() };
    match result.score {
        Some(Score::Test(map)) => format!(", {metric} {map:.3}"),
        Some(Score::Validation(map)) => format!(", validation {metric} {map:.3}"),
        None => String::new(),
    }
}

/// The first line of an error, its advice, and its log if it is not empty.
fn failure(job: &Job, message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    let advice: String =
        message.lines().filter(|line| line.starts_with("help: ")).map(|line| format!("\n  {line}")).collect();
    let written = job.log.metadata().is_ok_and(|log| log.is_file() && log.len() > 0);
    let log = if written { format!("\n  log: {}", job.log.display()) } else { String::new() };
    format!("{first}{advice}{log}")
}

/// Message on a job that is repeated.
pub(super) fn retrying(job: &Job, message: &str, retry: Retry) -> String {
    let first = message.lines().next().unwrap_or_default();
    format!("{} failed, and is tried again ({}): {first}", job.title, retry.describe())
}

/// Message on memory that keeps slots empty.
pub(super) fn memory_short(job: &Job, needs: u64, memory: u64, running: usize) -> String {
    let mib = |bytes: u64| bytes >> 20;
    format!(
        "{} waits for memory beside {}: it is likely to take {} MiB, and all have {} MiB (`--memory`)",
        job.title,
        counted(running, "job"),
        mib(needs),
        mib(memory)
    )
}

/// Message on a run that another sweep executes.
pub(super) fn waiting(job: &Job, part: usize) -> String {
    format!("{} is executed by another sweep: waiting for it", job.part_title(part))
}

/// Message on an optional file that a process could not store.
pub(super) fn note(job: &Job, message: &str) -> String {
    format!("{}: {}", job.title, message.replace('\n', "\n  "))
}

/// Message on the jobs that will not start because a job is not done.
pub(super) fn dropped(job: &Job, runs: usize) -> String {
    let need = if runs == 1 { "needs" } else { "need" };
    format!("{} that {need} {} will not start", counted(runs, "run"), job.title)
}

/// Message on the effect of a request to stop.
pub(super) fn stopping(urgency: Urgency, running: usize, failures: Option<usize>) -> String {
    let processes = if running == 1 { "1 process".to_owned() } else { format!("{running} processes") };
    match urgency {
        Urgency::AtOnce => format!("stopped at once: {processes} killed"),
        Urgency::Gently => {
            let why = failures.map(|count| format!(" after {}", counted(count, "failure"))).unwrap_or_default();
            format!("stopping{why}: {processes} will end, with a checkpoint if in training; Ctrl-C again kills them")
        }
    }
}
