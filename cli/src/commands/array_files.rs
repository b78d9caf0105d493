//! Files of an export, and the parts that exports share: labels and splits.

use std::path::Path;

use anyhow::Result;
use hashlab_cache::npy;
use hashlab_data::{Dataset, Labels, Split};

use crate::exit::bad_input;

/// Makes the directory, and a file in it for a moment, before anything is computed.
pub(super) fn check_writable(out: &Path) -> Result<()> {
    let made = std::fs::create_dir_all(out).and_then(|()| tempfile::tempfile_in(out));
    made.map(drop).map_err(|error| {
        bad_input(format!(
            "cannot write to {}: {error}\nhelp: `--out` names a directory that you can write to",
            out.display()
        ))
    })
}

/// Refuses the directory that the data set is read from.
pub(super) fn check_apart(out: &Path, dataset: &dyn Dataset) -> Result<()> {
    let folder = |path: &Path| path.parent().and_then(|folder| std::fs::canonicalize(folder).ok());
    let target = std::fs::canonicalize(out).ok();
    match dataset.found_at().into_iter().find(|path| folder(path) == target) {
        None => Ok(()),
        Some(path) => {
            let message = format!("the data set is read from {}, which `--out` would write over", path.display());
            Err(bad_input(format!("{message}\nhelp: name another directory")))
        }
    }
}

/// A file that was written.
pub(super) struct Exported {
    pub(super) name: String,
    /// Shape, type and meaning.
    pub(super) content: String,
}

impl Exported {
    pub(super) fn new(name: impl Into<String>, content: impl Into<String>) -> Self {
        Self { name: name.into(), content: content.into() }
    }
}

/// Multi-hot labels, one row per item.
pub(super) fn export_labels(
    out: &Path,
    name: &str,
    labels: &Labels,
    items: impl ExactSizeIterator<Item = usize>,
) -> Result<Exported> {
    let (rows, classes) = (items.len(), labels.classes());
    let mut writer = npy::Writer::<u8>::create(&out.join(name), &[rows, classes])?;
    for item in items {
        let row: Vec<u8> = (0..classes).map(|class| labels.has(item, class).into()).collect();
        writer.write(&row)?;
    }
    writer.finish()?;
    Ok(Exported::new(name, format!("({rows}, {classes}) u8, multi-hot")))
}

pub(super) fn export_split(out: &Path, split: &Split) -> Result<Vec<Exported>> {
    let parts = [
        ("train", &split.train),
        ("validation_query", &split.validation_query),
        ("validation_database", &split.validation_database),
        ("query", &split.query),
        ("database", &split.database),
    ];
    let mut files = Vec::new();
    for (name, items) in parts {
        npy::write(&out.join(format!("{name}.npy")), &[items.len()], items)?;
        files.push(Exported::new(format!("{name}.npy"), format!("({},) u32, item indices", items.len())));
    }
    Ok(files)
}
