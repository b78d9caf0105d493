//! COCO's annotation files. The bytes are the objects and the sentences of the training part at once.
#![no_main]

use std::sync::LazyLock;

use hashlab_data::DatasetEntry;
use hashlab_datasets::coco::Coco;
use hashlab_fuzz::Folder;
use libfuzzer_sys::fuzz_target;
use serde_json::json;

/// Six images, of which the validation part has three.
const COCO: DatasetEntry = DatasetEntry::of::<Coco<20_000>>();

const VALIDATION: &str = r#"{"images": [{"id": 1, "file_name": "1.jpg"}, {"id": 2, "file_name": "2.jpg"},
    {"id": 3, "file_name": "3.jpg"}], "categories": [{"id": 1, "name": "person"}], "annotations": [
    {"image_id": 1, "category_id": 1, "caption": "one"}, {"image_id": 2, "category_id": 1, "caption": "two"},
    {"image_id": 3, "category_id": 1, "caption": "three"}]}"#;

static FOLDER: LazyLock<Folder> = LazyLock::new(|| {
    let folder = Folder::new();
    for kind in ["instances", "captions"] {
        folder.write(&format!("coco/annotations/{kind}_val2017.json"), VALIDATION.as_bytes());
    }
    for part in ["train2017", "val2017"] {
        (1..4).for_each(|image| _ = folder.write(&format!("coco/{part}/{image}.jpg"), b"an image"));
    }
    folder.write("coco/annotations/instances_train2017.json", b"");
    folder.link("coco/annotations/instances_train2017.json", &["coco/annotations/captions_train2017.json"]);
    folder
});

fuzz_target!(|bytes: &[u8]| {
    FOLDER.write("coco/annotations/instances_train2017.json", bytes);
    FOLDER.open(&COCO, &json!({}));
});
