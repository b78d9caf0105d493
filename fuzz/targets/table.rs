//! Tables: lines of JSON where the first byte is a brace, else values between tabs or commas.
#![no_main]

use std::sync::LazyLock;

use hashlab_fuzz::{Folder, registered};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

static FOLDER: LazyLock<Folder> = LazyLock::new(Folder::of_images);

fuzz_target!(|bytes: &[u8]| {
    let name = match bytes {
        [b'{', ..] => "table.jsonl",
        bytes if bytes.contains(&b'\t') => "table.tsv",
        _ => "table.csv",
    };
    FOLDER.write(name, bytes);
    let names = json!({"files": name, "image": "file", "captions": ["title"], "labels": ["kind", "tags"],
                       "label_separator": "|", "queries": 0.2, "unreadable": "skip", "unlabelled": "skip"});
    FOLDER.open(registered("table"), &names);
    let hot = json!({"files": name, "captions": ["title"], "labels": ["hot"], "label_form": "hot", "queries": 1,
                     "per_class": true, "unreadable": "skip"});
    FOLDER.open(registered("table"), &hot);
});
