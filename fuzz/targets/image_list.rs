//! Lists of images, with zeros and ones or with numbers of classes.
#![no_main]

use std::sync::LazyLock;

use hashlab_fuzz::{Folder, registered};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

static FOLDER: LazyLock<Folder> = LazyLock::new(Folder::of_images);

fuzz_target!(|bytes: &[u8]| {
    FOLDER.write("list.txt", bytes);
    for labels in ["hot", "number"] {
        let settings = json!({"files": "list.txt", "queries": 2, "labels": labels, "unreadable": "skip"});
        FOLDER.open(registered("image_list"), &settings);
    }
});
