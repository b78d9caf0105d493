//! Readers of arrays and data sets.

use std::sync::LazyLock;

use hashlab_data::DatasetEntry;
use hashlab_datasets::array;
use serde_json::json;

use crate::{Folder, answered};

/// The registered data set of a name.
pub fn registered(name: &str) -> &'static DatasetEntry {
    hashlab_datasets::DATASETS.iter().find(|entry| entry.summary.name == name).expect("the data set is registered")
}

/// Reads a file of arrays as everything that it may be.
pub fn read_arrays(path: &str) {
    answered(|| {
        let _ = array::read(path).and_then(|raw| raw.features(path));
        let _ = array::read(path).and_then(|raw| raw.labels(path));
        let _ = array::codes(path, 16);
    });
}

/// Reads a file of MATLAB as the three files of cross-modal toolkits, and as one of arrays.
pub fn read_mat(bytes: &[u8]) {
    static FOLDER: LazyLock<Folder> = LazyLock::new(|| {
        let folder = Folder::new();
        folder.write("index.mat", b"");
        folder.link("index.mat", &["caption.mat", "label.mat"]);
        (0..4).for_each(|item| _ = folder.write(&format!("{item}.png"), b"an image"));
        folder
    });
    let path = FOLDER.write("index.mat", bytes);
    let dir = FOLDER.path().display().to_string();
    FOLDER.open(registered("mat"), &json!({"dir": dir, "strip": "photos/", "queries": 1}));
    let pixels = json!({"dir": dir, "images": "index.mat", "labels": "index.mat", "queries": 1});
    FOLDER.open(registered("mat"), &pixels);
    read_arrays(&path);
    ["label", "LAll"].iter().for_each(|name| read_arrays(&format!("{path}#{name}")));
}
