//! Memory, limits of the system, and Slurm.

use std::path::PathBuf;

use hashlab_exec::raise_open_files;
use hashlab_exec::slurm::Slurm;

use super::{Finding, size};
use crate::args::ProfileArgs;
use crate::commands::cluster::profile;

/// Open files that a run with hundreds of augmented views needs.
const FILES: u64 = 1024;

/// Memory of a small run.
const LITTLE: u64 = 1 << 30;

pub(super) fn findings() -> Vec<Finding> {
    memory().into_iter().chain([open_files()]).collect()
}

/// The memory that is available, which a control group may limit; none where the system does not tell.
fn memory() -> Option<Finding> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let of = |key: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? << 10)
    };
    let limit = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    let (total, available) = (of("MemTotal")?, of("MemAvailable")?);
    let usable = available.min(limit.unwrap_or(u64::MAX));
    let limited = limit.filter(|limit| *limit < total).map(|limit| format!(", limited to {}", size(limit)));
    let found = format!("{} of {} available{}", size(usable), size(total), limited.unwrap_or_default());
    Some(match usable {
        ..LITTLE => Finding::to_do("memory", found, "end other programs, or run one at a time: `sweep --jobs 1`"),
        _ => Finding::ok("memory", found),
    })
}

/// The limit on open files, which the program has raised as far as it may.
fn open_files() -> Finding {
    match raise_open_files() {
        None => Finding::ok("files", "no limit on open files"),
        Some(limit) if limit < FILES => Finding::to_do(
            "files",
            format!("at most {limit} open files"),
            format!("methods with many augmented views need more: `ulimit -n {FILES}`, or ask the administrator"),
        ),
        Some(limit) => Finding::ok("files", format!("at most {limit} open files")),
    }
}

/// Whether Slurm is there, answers, and its profile is in order.
pub(super) fn slurm() -> Finding {
    if find("sbatch").is_none() {
        return Finding::ok("slurm", "no `sbatch` here: sweeps start their runs on this machine");
    }
    let named = std::env::var_os("HASHLAB_SLURM").filter(|path| !path.is_empty()).map(PathBuf::from);
    if let Err(error) = profile(&ProfileArgs { slurm: named }) {
        return Finding::to_do("slurm", format!("its profile is wrong: {error:#}"), "docs/slurm.md describes profiles");
    }
    match Slurm::default().queue() {
        Ok(tasks) => Finding::ok("slurm", format!("it answers; {} of yours in the queue", tasks.len())),
        Err(error) => Finding::to_do(
            "slurm",
            error.to_string().lines().next().unwrap_or_default(),
            "`sinfo` shows its state; without `--executor slurm` it is not used",
        ),
    }
}

/// A program in the search path.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
