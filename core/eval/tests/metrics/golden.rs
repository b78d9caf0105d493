//! Metrics against reference values; `golden/README.md` says how they were computed.
//!
//! `HASHLAB_GOLDEN` points the test at another directory of cases of the same form.

use std::path::{Path, PathBuf};

use crate::reference::{Metrics, Problem, Side, assert_close, measured};
use hashlab_eval::Options;
use safetensors::SafeTensors;

/// Keys of a case's expected values, each with the report's name of it.
const EXPECTED: [(&str, &str); 11] = [
    ("map_all_expected", "map_all_expected"),
    ("map_at_k", "map_at_k"),
    ("map_at_k_skip_empty", "map_at_k_hit_queries"),
    ("map_at_k_total", "map_at_k_min_divisor"),
    ("ndcg_at_k", "ndcg_at_k"),
    ("precision_at", "precision_at"),
    ("precision_radius2", "precision_radius2"),
    ("radius_nonempty", "radius_nonempty"),
    ("radius_precision", "radius_precision"),
    ("radius_recall", "radius_recall"),
    ("recall_at", "recall_at"),
];

#[test]
fn metrics_equal_the_reference_values() {
    let cases = cases();
    assert!(!cases.is_empty(), "no metrics_*.safetensors in {}", directory().display());
    for path in cases {
        let file = std::fs::read(&path).unwrap();
        check(&SafeTensors::deserialize(&file).unwrap(), &path);
    }
}

fn directory() -> PathBuf {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../golden");
    std::env::var_os("HASHLAB_GOLDEN").map_or_else(|| default.into(), PathBuf::from)
}

fn cases() -> Vec<PathBuf> {
    let is_case = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with("metrics_") && name.ends_with(".safetensors")
    };
    let directory = directory();
    let entries = std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).filter(is_case).collect();
    cases.sort();
    cases
}

fn check(case: &SafeTensors<'_>, path: &Path) {
    let ranks: Vec<usize> = values(case, "grid").iter().map(|&rank| rank as usize).collect();
    // 0 is the whole ranking.
    let map_at = Some(values(case, "k")[0] as usize).filter(|&k| k > 0);
    let options = Options { map_at, ranks, curves: true };
    let problem = Problem {
        bits: columns(case, "query_codes"),
        words: columns(case, "query_labels").div_ceil(64),
        query: side(case, "query"),
        database: side(case, "database"),
    };
    let mut got = measured(&problem.evaluate(&options).unwrap());
    got.retain(|name, _| EXPECTED.iter().any(|(_, expected)| expected == name));
    let expected: Metrics = EXPECTED.iter().map(|&(key, name)| (name.to_owned(), values(case, key))).collect();
    assert_close(&got, &expected, 1e-10, &path.display().to_string());
}

/// Reads a side's codes of ±1 and packs its multi-hot labels.
fn side(case: &SafeTensors<'_>, name: &str) -> Side {
    let relaxed = values(case, &format!("{name}_codes")).iter().map(|&value| value as f32).collect();
    let labels = format!("{name}_labels");
    let pack = |word: &[f64]| word.iter().enumerate().fold(0, |bits, (at, &hot)| bits | u64::from(hot > 0.0) << at);
    let multi_hot = values(case, &labels);
    let labels = multi_hot.chunks(columns(case, &labels)).flat_map(|row| row.chunks(64).map(pack)).collect();
    Side { relaxed, labels }
}

fn values(case: &SafeTensors<'_>, name: &str) -> Vec<f64> {
    let tensor = case.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    tensor.data().as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect()
}

fn columns(case: &SafeTensors<'_>, name: &str) -> usize {
    case.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}")).shape()[1]
}
