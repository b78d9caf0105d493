//! Golden cases: files of arrays in float64, with multi-hot labels.
//!
//! `golden/README.md` says how they were computed. `HASHLAB_GOLDEN` points the tests at another directory of cases of the
//! same form.

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;

/// Runs `check` on every case of a name.
pub(crate) fn each(name: &str, check: impl Fn(&Case<'_>)) {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../golden");
    let directory = std::env::var_os("HASHLAB_GOLDEN").map_or_else(|| default.into(), PathBuf::from);
    let is_case = |path: &PathBuf| {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        file.strip_prefix(name).is_some_and(|rest| rest.starts_with('_')) && file.ends_with(".safetensors")
    };
    let entries = std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).filter(is_case).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no {name}_*.safetensors in {}", directory.display());
    for path in paths {
        let file = std::fs::read(&path).unwrap();
        check(&Case { path: &path, tensors: SafeTensors::deserialize(&file).unwrap() });
    }
}

pub(crate) struct Case<'a> {
    path: &'a Path,
    tensors: SafeTensors<'a>,
}

impl Case<'_> {
    pub(crate) fn name(&self) -> String {
        self.path.display().to_string()
    }

    pub(crate) fn values(&self, name: &str) -> Vec<f64> {
        let tensor = self.tensors.tensor(name).unwrap_or_else(|error| panic!("{}: {name}: {error}", self.name()));
        tensor.data().as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect()
    }

    pub(crate) fn singles(&self, name: &str) -> Vec<f32> {
        self.values(name).iter().map(|&value| value as f32).collect()
    }

    pub(crate) fn columns(&self, name: &str) -> usize {
        self.tensors.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}")).shape()[1]
    }

    /// Packs multi-hot labels.
    pub(crate) fn labels(&self, name: &str) -> Vec<u64> {
        let pack = |word: &[f64]| word.iter().enumerate().fold(0, |bits, (at, &hot)| bits | u64::from(hot > 0.0) << at);
        self.values(name).chunks(self.columns(name)).flat_map(|row| row.chunks(64).map(pack)).collect()
    }

    /// The depth or the ranks of a case; 0 is the whole ranking.
    pub(crate) fn ranks(&self, name: &str) -> Vec<usize> {
        self.values(name).iter().map(|&rank| rank as usize).collect()
    }
}
