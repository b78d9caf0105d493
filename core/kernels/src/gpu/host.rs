//! Execution of kernels on an emulated GPU: compiled by a C++ compiler, on the memory of the processor.

use std::ffi::{CString, c_void};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use super::launch::{Argument, Launch};

/// Host entry point that `cuda/host.h` generates for a kernel.
type Entry = unsafe extern "C" fn(*const u32, u32, u32, *mut *const c_void);

/// Compiles all kernels, once.
fn library() -> usize {
    static LIBRARY: OnceLock<usize> = OnceLock::new();
    *LIBRARY.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let (source, out) =
            (Path::new(env!("CARGO_MANIFEST_DIR")).join("cuda/kernels.cu"), folder.path().join("kernels.so"));
        let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
        let done = Command::new(&compiler)
            .args(["-std=c++17", "-O1", "-fPIC", "-shared", "-Wno-unknown-pragmas", "-x", "c++"])
            .arg(source)
            .arg("-o")
            .arg(&out)
            .output()
            .unwrap_or_else(|error| panic!("the C++ compiler `{compiler}` cannot be started: {error}"));
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let path = CString::new(out.to_str().unwrap()).unwrap();
        // SAFETY: the path ends with a zero, and opening the library runs no code of it.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
        assert!(!handle.is_null(), "{} cannot be opened", out.display());
        handle as usize
    })
}

/// Runs a kernel to its end.
///
/// # Safety
/// The addresses among the arguments must be those of as many elements as the kernel reads and writes.
pub(super) unsafe fn run(launch: &Launch) {
    let name = CString::new(format!("launch_{}", launch.kernel)).unwrap();
    // SAFETY: the library stays open, and the name ends with a zero.
    let symbol = unsafe { libc::dlsym(library() as *mut c_void, name.as_ptr()) };
    assert!(!symbol.is_null(), "there is no kernel `{}`", launch.kernel);
    // SAFETY: all functions of this name are of this type (`EXPORT` in `cuda/host.h`).
    let entry = unsafe { std::mem::transmute::<*mut c_void, Entry>(symbol) };
    let mut arguments: Vec<*const c_void> = launch
        .arguments
        .iter()
        .map(|argument| match argument {
            Argument::Word(word) => (&raw const *word).cast(),
            Argument::Words(words) => words.as_ptr().cast(),
        })
        .collect();
    // SAFETY: arguments are in the kernel's order, and longer than its parameters; addresses are valid by the contract
    // above.
    unsafe { entry(launch.blocks.as_ptr(), launch.threads, arguments.len() as u32, arguments.as_mut_ptr()) };
}
