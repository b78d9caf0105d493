//! Arrays in .npz files.
#![no_main]

use std::sync::LazyLock;

use hashlab_fuzz::{Folder, read_arrays};
use libfuzzer_sys::fuzz_target;

static FOLDER: LazyLock<Folder> = LazyLock::new(Folder::new);

fuzz_target!(|bytes: &[u8]| {
    let path = FOLDER.write("x.npz", bytes);
    read_arrays(&path);
    read_arrays(&format!("{path}#a"));
});
