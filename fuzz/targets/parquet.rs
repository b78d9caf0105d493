//! Parquet files of images, captions and labels.
#![no_main]

use std::sync::LazyLock;

use hashlab_fuzz::{Folder, registered};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

static FOLDER: LazyLock<Folder> = LazyLock::new(Folder::new);

fuzz_target!(|bytes: &[u8]| {
    FOLDER.write("x.parquet", bytes);
    let settings = json!({"files": "x.parquet", "image": "image", "captions": ["captions"], "labels": ["label"],
                          "queries": 1, "unreadable": "skip"});
    FOLDER.open(registered("parquet"), &settings);
    let settings = json!({"files": "x.parquet", "captions": ["title"], "labels": ["hot"], "label_form": "hot",
                          "queries": 1, "unlabelled": "skip"});
    FOLDER.open(registered("parquet"), &settings);
});
