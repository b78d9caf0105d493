//! Directories of data sets and weights.

use std::path::{Path, PathBuf};

use hashlab_store::counted;

use super::Finding;
use crate::context::Context;

/// Endings of weights.
const WEIGHTS: [&str; 4] = ["safetensors", "pth", "pt", "bin"];

pub(super) fn findings(context: &Context) -> Vec<Finding> {
    let dirs = &context.dirs().data.search;
    let here: Vec<&PathBuf> = dirs.iter().filter(|dir| dir.is_dir()).collect();
    let shown = |dirs: &[&PathBuf]| dirs.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", ");
    if here.is_empty() {
        let all: Vec<&PathBuf> = dirs.iter().collect();
        return vec![Finding::hint(
            "data",
            format!("there is no data directory; looked at {}", shown(&all)),
            "`hashlab fetch NAME` downloads a data set or weights; `--data-dir DIR` or HASHLAB_DATA names a directory",
        )];
    }
    let named = |dataset: &&str| here.iter().any(|dir| dir.join(dataset).is_dir());
    let sets: Vec<&str> = context.registry().datasets.iter().map(|set| set.summary.name).filter(named).collect();
    let sets = if sets.is_empty() { "no folder of a data set".to_owned() } else { sets.join(", ") };
    vec![Finding::ok("data", format!("{}: {sets}", shown(&here))), weights(&here)]
}

/// Files of weights in the folders `weights`, by hand or by `fetch`.
fn weights(dirs: &[&PathBuf]) -> Finding {
    let files: usize = dirs.iter().map(|dir| count(&dir.join("weights"), 3)).sum();
    match files {
        0 => Finding::hint("weights", "no file of weights", "`sweep` and `hashlab fetch ENCODER` download public ones"),
        _ => Finding::ok("weights", counted(files, "file")),
    }
}

/// Files of weights in a folder, a few levels deep.
fn count(folder: &Path, levels: usize) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let paths = entries.flatten().map(|entry| entry.path());
    paths
        .map(|path| match path.is_dir() {
            true if levels > 0 => count(&path, levels - 1),
            _ => usize::from(path.extension().is_some_and(|end| WEIGHTS.iter().any(|known| end == *known))),
        })
        .sum()
}
