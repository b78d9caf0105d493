//! MNIST's own files, compressed or not. The bytes stand for images and labels at once; the others of its files are whole.
#![no_main]

use std::sync::LazyLock;

use hashlab_data::DatasetEntry;
use hashlab_datasets::mnist::Mnist;
use hashlab_fuzz::Folder;
use libfuzzer_sys::fuzz_target;
use serde_json::json;

/// Two training images and a test image.
const MNIST: DatasetEntry = DatasetEntry::of::<Mnist<30_000>>();

const FILES: [(&str, &[u8]); 4] = [
    ("train-images-idx3-ubyte", b"\0\0\x08\x03\0\0\0\x02\0\0\0\x02\0\0\0\x01abcd"),
    ("train-labels-idx1-ubyte", b"\0\0\x08\x01\0\0\0\x02\x01\x02"),
    ("t10k-images-idx3-ubyte", b"\0\0\x08\x03\0\0\0\x01\0\0\0\x02\0\0\0\x01ab"),
    ("t10k-labels-idx1-ubyte", b"\0\0\x08\x01\0\0\0\x01\x09"),
];

/// A folder for each of the two files, plain and compressed.
static FOLDERS: LazyLock<[(Folder, &str); 4]> = LazyLock::new(|| {
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"]
        .map(|changed| {
            let folder = Folder::new();
            let others = FILES.iter().filter(|(name, _)| !changed.starts_with(name));
            others.for_each(|(name, bytes)| _ = folder.write(&format!("mnist/{name}"), bytes));
            (folder, changed)
        })
});

fuzz_target!(|bytes: &[u8]| {
    for (folder, changed) in &*FOLDERS {
        if changed.ends_with(".gz") == bytes.starts_with(b"\x1f\x8b") {
            folder.write(&format!("mnist/{changed}"), bytes);
            folder.open(&MNIST, &json!({}));
        }
    }
});
