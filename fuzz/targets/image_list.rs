//! Lists of images, with zeros and ones or with numbers of classes.
#![no_main]

use std::sync::LazyLock;

use hashlab_fuzz::{Folder, registered};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

/// Six items have an image, `0.png` to `5.png`.
static FOLDER: LazyLock<Folder> = LazyLock::new(|| {
    let folder = Folder::new();
    (0..6).for_each(|item| _ = folder.write(&format!("{item}.png"), include_bytes!("../corpus/image/grey.png")));
    folder
});

fuzz_target!(|bytes: &[u8]| {
    FOLDER.write("list.txt", bytes);
    for labels in ["hot", "number"] {
        let settings = json!({"files": "list.txt", "queries": 2, "labels": labels, "unreadable": "skip"});
        FOLDER.open(registered("image_list"), &settings);
    }
});
