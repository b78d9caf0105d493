//! Limits of a run's time and memory.

use std::time::{Duration, Instant};

/// Pause between two looks at a process's memory.
const LOOK: Duration = Duration::from_secs(1);

/// Time for a process to end after it was asked to; then it is killed.
const GRACE: Duration = Duration::from_secs(30);

/// Limits of a process that executes runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Time of one attempt.
    pub time: Option<Duration>,
    /// Resident memory, in bytes.
    pub memory: Option<u64>,
}

/// What is to be done with a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Nothing,
    /// It exceeds a limit for the first time.
    Stop,
    /// It did not stop.
    Kill,
}

/// Watches one process.
#[derive(Debug, Default)]
pub(super) struct Watch {
    looked: Option<Instant>,
    /// The limit that it exceeded, in words, and when.
    exceeded: Option<(String, Instant)>,
}

impl Watch {
    /// Judges a process by its age and number.
    pub(super) fn judge(&mut self, limits: Limits, age: Duration, pid: u32) -> Verdict {
        if let Some((_, at)) = &self.exceeded {
            return if at.elapsed() > GRACE { Verdict::Kill } else { Verdict::Nothing };
        }
        let over_time = limits.time.filter(|limit| age > *limit).map(|limit| {
            format!(
                "took longer than its limit of {} s; started again, it goes on from its checkpoint",
                limit.as_secs_f64()
            )
        });
        let Some(message) = over_time.or_else(|| self.over_memory(limits, pid)) else { return Verdict::Nothing };
        self.exceeded = Some((message, Instant::now()));
        Verdict::Stop
    }

    fn over_memory(&mut self, limits: Limits, pid: u32) -> Option<String> {
        let limit = limits.memory?;
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return None;
        }
        self.looked = Some(Instant::now());
        let used = resident(pid).filter(|used| *used > limit)?;
        let mib = |bytes: u64| bytes as f64 / (1 << 20) as f64;
        Some(format!("used {:.0} MiB of memory, more than its limit of {:.0} MiB", mib(used), mib(limit)))
    }

    /// The limit that the process exceeded, in words.
    pub(super) fn exceeded(&self) -> Option<&str> {
        self.exceeded.as_ref().map(|(message, _)| message.as_str())
    }
}

/// The resident memory of a process in bytes, where the system tells.
fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_stopped_once() {
        let limits = Limits { time: Some(Duration::from_secs(2)), memory: None };
        let (mut watch, pid) = (Watch::default(), std::process::id());
        assert_eq!(watch.judge(limits, Duration::from_secs(2), pid), Verdict::Nothing);
        assert_eq!(watch.exceeded(), None);
        assert_eq!(watch.judge(limits, Duration::from_secs(3), pid), Verdict::Stop);
        assert_eq!(watch.judge(limits, Duration::from_secs(4), pid), Verdict::Nothing, "it has time to end");
        assert!(watch.exceeded().unwrap().starts_with("took longer than its limit of 2 s"));
    }

    #[test]
    fn memory_is_that_of_the_process() {
        let judge = |memory| {
            let mut watch = Watch::default();
            let limits = Limits { time: None, memory: Some(memory) };
            (watch.judge(limits, Duration::ZERO, std::process::id()), watch.exceeded().map(str::to_owned))
        };
        assert_eq!(judge(u64::MAX), (Verdict::Nothing, None));
        if resident(std::process::id()).is_some() {
            let (verdict, message) = judge(1 << 10);
            assert_eq!(verdict, Verdict::Stop);
            assert!(message.unwrap().ends_with(" MiB of memory, more than its limit of 0 MiB"));
        }
    }
}
