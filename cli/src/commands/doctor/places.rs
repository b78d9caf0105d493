//! Directories of runs and features, and their file systems.

use hashlab_store::{FileSystem, LOCKS, Store};

use super::{Finding, size};
use crate::context::Context;

/// Less free space than this stops sweeps of deep methods.
const LITTLE: u64 = 1 << 30;

/// Less free space than this is soon filled by augmented views.
const SCARCE: u64 = 10 << 30;

/// Files that a sweep of a thousand runs makes.
const FILES: u64 = 15_000;

const ELSEWHERE: &str = "name a directory on a local disk with `--runs DIR` or HASHLAB_RUNS";

pub(super) fn findings(context: &Context) -> Vec<Finding> {
    let dirs = context.dirs();
    let runs = dirs.runs.display().to_string();
    let mut findings = match dirs.store().file_system() {
        Err(error) => vec![Finding::to_do("runs", format!("nothing can be written in {runs}: {error}"), ELSEWHERE)],
        Ok(found) => vec![of_runs(&runs, &found), space("disk", &runs, &found)],
    };
    let cache = dirs.cache_path();
    if !cache.starts_with(&dirs.runs) {
        let shown = cache.display().to_string();
        findings.push(match Store::open(&cache).file_system() {
            Err(error) => Finding::to_do(
                "cache",
                format!("nothing can be written in {shown}: {error}"),
                "name another directory with `--cache-dir DIR` or HASHLAB_CACHE_DIR",
            ),
            Ok(found) => space("cache", &shown, &found),
        });
    }
    findings
}

/// Whether the file system keeps runs apart and whole.
fn of_runs(runs: &str, found: &FileSystem) -> Finding {
    let kind = if found.name.is_empty() { "its file system" } else { &found.name };
    if let Some(why) = &found.renames {
        return Finding::to_do("runs", format!("{runs} is on {kind}, where renames fail: {why}"), ELSEWHERE);
    }
    if let Some(why) = &found.leases {
        return Finding::hint(
            "runs",
            format!("{runs} is on {kind}; runs are claimed by leases, not by locks: {why}"),
            "docs/runs.md says what follows from that; a feature cache there needs locks, which `--cache-dir DIR` on a \
             local disk has",
        );
    }
    if let Some(why) = &found.locks {
        let text = format!("{runs} is on {kind}, where locks fail: {why}");
        let help = format!("two processes could execute one run: set {LOCKS}=lease, or {ELSEWHERE}");
        return Finding::to_do("runs", text, help);
    }
    if let Some(why) = &found.syncs {
        return Finding::hint(
            "runs",
            format!("{runs} is on {kind}: locks and renames work, directories cannot be synced ({why})"),
            "a loss of power may lose the results of the last seconds; they are computed again",
        );
    }
    match (found.name.as_str(), found.network) {
        ("tmpfs" | "ramfs", _) => Finding::hint(
            "runs",
            format!("{runs} is on {kind}, in memory: locks, renames and syncs work"),
            "runs are lost when the machine is switched off; `--runs DIR` names another directory",
        ),
        (_, true) => Finding::hint(
            "runs",
            format!("{runs} is on {kind}, a network disk: locks, renames and syncs work on this machine"),
            "machines share it safely if locks reach across them; HASHLAB_LOCKS=lease needs none: docs/runs.md",
        ),
        _ => Finding::ok("runs", format!("{runs} is on {kind}: locks, renames and syncs work")),
    }
}

fn space(subject: &'static str, place: &str, found: &FileSystem) -> Finding {
    let text = format!("{} free for {place}", size(found.free_bytes));
    let help = "`hashlab gc` removes what no plan needs, `hashlab cache` lists and shrinks the feature cache";
    if found.free_files > 0 && found.free_files < FILES {
        return Finding::to_do(subject, format!("{text}, and {} more files", found.free_files), help);
    }
    match found.free_bytes {
        ..LITTLE => Finding::to_do(subject, text, help),
        LITTLE..SCARCE => Finding::hint(subject, text, help),
        _ => Finding::ok(subject, text),
    }
}
