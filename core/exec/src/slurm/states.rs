//! Answers of Slurm's commands. They are read as text in formats of our own: its JSON changes between versions, and
//! once reported return code 0 for a failed task.

use std::collections::BTreeMap;

/// Columns of `squeue`, one line per task.
pub(super) const QUEUE_FORMAT: &str = "%F|%K|%T|%j";

/// Columns of `sacct`.
pub(super) const ACCOUNT_FORMAT: &str = "JobID,State,ExitCode";

/// Most tasks that one line may name; longer lists are a mistake.
const MOST_TASKS: u64 = 100_000;

/// A task that the queue lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedTask {
    /// Number of its array, or of its job.
    pub job: u64,
    /// Its index in the array; `None` for a job that is no array.
    pub index: Option<u64>,
    /// State as Slurm calls it.
    pub state: String,
    /// Name of the job.
    pub name: String,
}

/// Part of a task's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It waits.
    Waiting,
    /// It runs, or will run on: whatever is not known to be an end.
    Running,
    /// It is over.
    Ended,
}

/// Classifies a state. One that is unknown, such as a later version's, counts as running.
pub fn life(state: &str) -> Life {
    match state {
        "PENDING" | "CONFIGURING" | "REQUEUED" | "REQUEUE_FED" | "REQUEUE_HOLD" | "RESV_DEL_HOLD" => Life::Waiting,
        "COMPLETED" | "FAILED" | "CANCELLED" | "TIMEOUT" | "NODE_FAIL" | "OUT_OF_MEMORY" | "BOOT_FAIL" | "DEADLINE"
        | "PREEMPTED" | "REVOKED" => Life::Ended,
        _ => Life::Running,
    }
}

/// Reads the lines of `squeue` in the format that is asked for. A pending array that is listed in one line (`2-5,8%2`)
/// becomes one task per index. Lines of another form are left out.
pub fn queued_tasks(text: &str) -> Vec<QueuedTask> {
    let mut tasks = Vec::new();
    for line in text.lines() {
        let mut columns = line.trim().splitn(4, '|');
        let (Some(job), Some(index), Some(state), Some(name)) =
            (columns.next().and_then(|job| job.parse().ok()), columns.next(), columns.next(), columns.next())
        else {
            continue;
        };
        let task = |index| QueuedTask { job, index, state: first_word(state), name: name.to_owned() };
        match indices(index) {
            Some(indices) => tasks.extend(indices.into_iter().map(|index| task(Some(index)))),
            None => tasks.push(task(None)),
        }
    }
    tasks
}

/// Reads the lines of `sacct` in the format that is asked for: the states of tasks by job and index.
pub fn ended_states(text: &str) -> BTreeMap<(u64, Option<u64>), String> {
    let mut states = BTreeMap::new();
    for line in text.lines() {
        let mut columns = line.trim().split('|');
        let (Some(id), Some(state)) = (columns.next(), columns.next()) else { continue };
        let (job, list) = id.split_once('_').map_or((id, None), |(job, list)| (job, Some(list)));
        let Ok(job) = job.parse::<u64>() else { continue };
        let state = first_word(state);
        match list.and_then(|list| indices(list.trim_matches(['[', ']']))) {
            Some(indices) => states.extend(indices.into_iter().map(|index| ((job, Some(index)), state.clone()))),
            None => _ = states.insert((job, None), state),
        }
    }
    states
}

/// Reads `MaxArraySize` from `scontrol show config`.
pub fn max_array_size(text: &str) -> Option<usize> {
    let line = text.lines().find(|line| line.trim_start().starts_with("MaxArraySize"))?;
    line.split_once('=')?.1.trim().parse().ok()
}

/// The first word of a state: `CANCELLED by 0`, `CANCELLED+`.
fn first_word(state: &str) -> String {
    state.split_whitespace().next().unwrap_or_default().trim_end_matches('+').to_owned()
}

/// Indices such as `3`, `2-5,8%2` or `0-10:2`; `None` for `N/A` and other texts.
fn indices(text: &str) -> Option<Vec<u64>> {
    let list = text.trim().split('%').next()?;
    let mut indices = Vec::new();
    for part in list.split(',') {
        let (range, step) = part.split_once(':').map_or((part, 1), |(range, step)| (range, step.parse().unwrap_or(0)));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        if step == 0 || last.saturating_sub(first) > MOST_TASKS {
            return None;
        }
        indices.extend((first..=last).step_by(step));
    }
    Some(indices)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(job: u64, index: Option<u64>, state: &str) -> QueuedTask {
        QueuedTask { job, index, state: state.to_owned(), name: "hl".to_owned() }
    }

    #[test]
    fn the_queue_is_read_line_by_line() {
        let text = "1|2|PENDING|hl\n1|0|RUNNING|hl\n7|N/A|COMPLETING|hl\n\nslurm_load_jobs error: odd\n1|x\n";
        let expected = [task(1, Some(2), "PENDING"), task(1, Some(0), "RUNNING"), task(7, None, "COMPLETING")];
        assert_eq!(queued_tasks(text), expected);
        assert_eq!(queued_tasks("1|0|RUNNING|a|b\n")[0].name, "a|b", "a name may hold the separator");
    }

    #[test]
    fn a_throttled_array_in_one_line_is_many_tasks() {
        let listed = |text: &str| -> Vec<u64> { queued_tasks(text).iter().filter_map(|task| task.index).collect() };
        assert_eq!(listed("1|2-5%2|PENDING|hl\n"), [2, 3, 4, 5]);
        assert_eq!(listed("1|1,4-6,9|PENDING|hl\n"), [1, 4, 5, 6, 9]);
        assert_eq!(listed("1|0-6:3|PENDING|hl\n"), [0, 3, 6]);
        assert_eq!(listed("1|0-99999999999|PENDING|hl\n"), Vec::<u64>::new());
        assert_eq!(listed("1|0-4:0|PENDING|hl\n"), Vec::<u64>::new());
    }

    #[test]
    fn states_that_are_unknown_are_alive() {
        for state in ["COMPLETING", "SUSPENDED", "STAGE_OUT", "SIGNALING", "A_STATE_OF_2031"] {
            assert_eq!(life(state), Life::Running, "{state}");
        }
        for state in ["PENDING", "CONFIGURING", "REQUEUE_HOLD"] {
            assert_eq!(life(state), Life::Waiting, "{state}");
        }
        for state in ["COMPLETED", "FAILED", "NODE_FAIL", "TIMEOUT", "OUT_OF_MEMORY", "PREEMPTED"] {
            assert_eq!(life(state), Life::Ended, "{state}");
        }
    }

    #[test]
    fn accounts_name_states_with_decoration() {
        let text = "5_0|COMPLETED|0:0\n5_3|FAILED|7:0\n5_[4-5%2]|CANCELLED by 0|0:0\n6|OUT_OF_ME+|0:125\n\nodd\n";
        let states = ended_states(text);
        assert_eq!(states[&(5, Some(3))], "FAILED");
        assert_eq!(states[&(5, Some(4))], "CANCELLED");
        assert_eq!(states[&(6, None)], "OUT_OF_ME");
        assert_eq!(states.len(), 5);
    }

    #[test]
    fn the_limit_of_arrays_is_read_from_the_configuration() {
        assert_eq!(max_array_size("MaxDBDMsgs   = 20004\nMaxArraySize            = 64\nMaxJobCount = 1"), Some(64));
        assert_eq!(max_array_size("MaxArraySize = many"), None);
        assert_eq!(max_array_size(""), None);
    }
}
