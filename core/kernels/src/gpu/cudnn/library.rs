//! The search for the library.

use std::path::{Path, PathBuf};

use libloading::Library;

use super::api::Api;

/// The library's name, version 9 of its interface.
const NAME: &str = "libcudnn.so.9";
/// Its parts that convolutions need, which it opens by itself later. Without the first three it ends the process then.
const PARTS: [&str; 5] = [
    "libcudnn_graph.so.9",
    "libcudnn_ops.so.9",
    "libcudnn_cnn.so.9",
    "libcudnn_heuristic.so.9",
    "libcudnn_engines_precompiled.so.9",
];

/// Opens the library: that on the system's search path, which `LD_LIBRARY_PATH` extends, or else the one that was
/// installed beside the cuBLAS that this process has opened, as PyTorch's wheels bring both.
///
/// # Errors
/// What failed, and what to do about it.
pub(super) fn open() -> Result<Api, String> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mut failed = Vec::new();
    for path in [PathBuf::from(NAME)].into_iter().chain(beside_cublas(&maps)) {
        // SAFETY: files of these names are cuDNN's, of version 9.
        match unsafe { find(&path) } {
            Ok(api) => return Ok(api),
            Err(error) => failed.push(error),
        }
    }
    Err(format!(
        "HASHLAB_CUDNN=on asks for NVIDIA's cuDNN, which cannot be opened: {}; install nvidia-cudnn-cu13 from PyPI and \
         name its folder nvidia/cudnn/lib in LD_LIBRARY_PATH, or leave HASHLAB_CUDNN off",
        failed.join("; ")
    ))
}

/// Opens the file and its parts beside it, and finds the functions; all of them stay open.
///
/// # Safety
/// The file must be cuDNN of version 9.
pub(super) unsafe fn find(path: &Path) -> Result<Api, String> {
    // SAFETY: by this function's contract.
    unsafe {
        for part in PARTS {
            std::mem::forget(Library::new(path.with_file_name(part)).map_err(reason)?);
        }
        let library = Library::new(path).map_err(reason)?;
        let api = Api::find(&library).map_err(|error| format!("{}: {}", path.display(), reason(error)))?;
        let version = (api.version)();
        if version / 10_000 != 9 {
            return Err(format!("{} has version {version} instead of 9", path.display()));
        }
        std::mem::forget(library);
        Ok(api)
    }
}

/// What the system's loader said.
fn reason(error: libloading::Error) -> String {
    std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// Where wheels have cuDNN, `nvidia/cudnn/lib`, if cuBLAS was opened from `nvidia/cu13/lib` or `nvidia/cublas/lib`.
fn beside_cublas(maps: &str) -> Option<PathBuf> {
    let opened = maps.lines().find_map(|line| {
        let path = Path::new(&line[line.find('/')?..]);
        path.file_name()?.to_str()?.starts_with("libcublas.so").then(|| path.to_path_buf())
    })?;
    Some(opened.parent()?.parent()?.parent()?.join("cudnn/lib").join(NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wheels_have_it_beside_cublas() {
        let maps = "55d0-55d1 r--p 00000000 08:01 12    /usr/bin/hashlab\n7f00-7f01 rw-p 00000000 00:00 0 \n\
                    7f10-7f20 r-xp 00001000 08:01 99    /a/site-packages/nvidia/cu13/lib/libcublas.so.13\n";
        let expected = PathBuf::from("/a/site-packages/nvidia/cudnn/lib/libcudnn.so.9");
        assert_eq!(beside_cublas(maps), Some(expected));
        assert_eq!(beside_cublas("7f00-7f01 rw-p 00000000 00:00 0 \n"), None);
    }

    #[test]
    fn a_missing_library_is_named_with_what_to_do() {
        let missing = Path::new("/nowhere/libcudnn.so.9");
        // SAFETY: there is no such file.
        let error = unsafe { find(missing) }.err().unwrap();
        assert!(error.contains("/nowhere/libcudnn_graph.so.9"), "{error}");
    }
}
