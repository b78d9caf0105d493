//! Repetition of jobs that failed for reasons that may pass.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The first pause before a repetition; each further one is four times as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A reason of a failure that may not hold the next time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Passing {
    /// Memory ran out: the kernel killed the process, or an allocation failed.
    Memory,
    /// The system failed to read or write, as a disk or a network file system does for a while.
    Io,
}

/// A repetition of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Its number, counted from 1.
    pub number: usize,
    /// Why the attempt before it failed.
    pub cause: Passing,
}

impl Retry {
    /// Whether no other job of the sweep runs beside it.
    pub fn is_alone(self) -> bool {
        self.cause == Passing::Memory
    }

    /// Whether its process computes with one thread. Each thread holds a micro-batch of its own, and the bits of a result
    /// do not depend on their number.
    pub fn is_single_threaded(self) -> bool {
        self.cause == Passing::Memory && self.number > 1
    }

    /// The pause before it.
    pub fn pause(self) -> Duration {
        let doublings = 2 * u32::try_from(self.number.saturating_sub(1)).unwrap_or(u32::MAX).min(8);
        (FIRST_PAUSE * (1 << doublings)).min(LONGEST_PAUSE)
    }

    /// What is done in it and why, e.g. `out of memory: alone`.
    pub fn describe(self) -> String {
        let seconds = self.pause().as_secs();
        match self.cause {
            Passing::Memory if self.is_single_threaded() => "out of memory: alone, with one thread".to_owned(),
            Passing::Memory => "out of memory: alone".to_owned(),
            Passing::Io => format!("error of the system: after {seconds} s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_minute() {
        let seconds = |number| Retry { number, cause: Passing::Io }.pause().as_secs();
        assert_eq!([1, 2, 3, 4, 5, usize::MAX].map(seconds), [1, 4, 16, 60, 60, 60]);
    }

    #[test]
    fn less_memory_is_taken_step_by_step() {
        let retry = |number, cause| Retry { number, cause };
        let steps = [1, 2, 3].map(|number| retry(number, Passing::Memory).describe());
        let single = "out of memory: alone, with one thread";
        assert_eq!(steps, ["out of memory: alone", single, single]);
        let io = retry(2, Passing::Io);
        assert_eq!(
            (io.is_alone(), io.is_single_threaded(), io.describe()),
            (false, false, "error of the system: after 4 s".to_owned())
        );
    }
}
