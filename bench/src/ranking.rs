//! mAP@1000 of stored codes.

use std::path::Path;

use anyhow::{Context as _, Result};
use hashlab_eval::{Codes, LabelSets, Options, evaluate};

use crate::Work;
use crate::prepare::{BITS, codes_path, labels_path};

pub(crate) fn work(dir: &Path) -> Result<Work> {
    let [query, database] = ["query", "database"].map(|side| read(dir, side));
    let ((query, query_labels), (database, labels)) = (query?, database?);
    let options = Options { map_at: Some(1_000), ..Options::default() };
    Ok(Box::new(move |iterations| {
        let mut map = None;
        for _ in 0..iterations {
            let sets = |labels| LabelSets::new(labels, 1);
            map = Some(evaluate(&query, sets(&query_labels)?, &database, sets(&labels)?, &options)?.map_at_k);
        }
        Ok(map)
    }))
}

/// Reads codes and label sets of one side.
fn read(dir: &Path, side: &str) -> Result<(Codes, Vec<u64>)> {
    let bytes = |path: std::path::PathBuf| std::fs::read(&path).with_context(|| path.display().to_string());
    let signs: Vec<f32> = bytes(codes_path(dir, side))?.iter().map(|&bit| if bit == 1 { 1.0 } else { -1.0 }).collect();
    let labels = bytes(labels_path(dir, side))?.iter().map(|&class| 1 << class).collect();
    Ok((Codes::from_signs(&signs, BITS)?, labels))
}
