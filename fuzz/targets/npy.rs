//! Arrays in .npy files, whole and in parts.
#![no_main]

use std::sync::LazyLock;

use hashlab_datasets::array::NpyFile;
use hashlab_fuzz::{Folder, read_arrays};
use libfuzzer_sys::fuzz_target;

static FOLDER: LazyLock<Folder> = LazyLock::new(Folder::new);

fuzz_target!(|bytes: &[u8]| {
    let path = FOLDER.write("x.npy", bytes);
    read_arrays(&path);
    if let Ok(file) = NpyFile::open(&path) {
        let rows = file.rows();
        let _ = file.read(&path, 0..rows.min(1));
        let _ = file.read(&path, rows / 2..rows);
    }
});
