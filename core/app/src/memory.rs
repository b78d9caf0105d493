//! Memory that jobs may take together.

use std::path::Path;

/// The memory in bytes that is free for this process and its children, where the system tells: that of the machine, of the
/// control group, and what Slurm gave to the task.
pub(crate) fn available() -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok();
    let machine = meminfo.as_deref().and_then(available_in);
    let group = free_in_group(Path::new("/sys/fs/cgroup"));
    let task = std::env::var("SLURM_MEM_PER_NODE").ok().and_then(|mib| mib.parse::<u64>().ok()?.checked_mul(1 << 20));
    [machine, group, task].into_iter().flatten().min()
}

/// `MemAvailable` of `/proc/meminfo`.
fn available_in(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok()?.checked_mul(1024)
}

/// What is left below the limit of a control group, version 2; `None` without a limit.
fn free_in_group(group: &Path) -> Option<u64> {
    let read = |name: &str| std::fs::read_to_string(group.join(name)).ok()?.trim().parse::<u64>().ok();
    Some(read("memory.max")?.saturating_sub(read("memory.current")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_memory_is_read() {
        assert_eq!(available_in("MemTotal:  9 kB\nMemAvailable:   2048 kB\n"), Some(2 << 20));
        assert_eq!(available_in("MemTotal: 9 kB\n"), None);
        let group = tempfile::tempdir().unwrap();
        assert_eq!(free_in_group(group.path()), None);
        std::fs::write(group.path().join("memory.current"), "100\n").unwrap();
        std::fs::write(group.path().join("memory.max"), "max\n").unwrap();
        assert_eq!(free_in_group(group.path()), None);
        std::fs::write(group.path().join("memory.max"), "400\n").unwrap();
        assert_eq!(free_in_group(group.path()), Some(300));
    }
}
