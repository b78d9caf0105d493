//! What the fuzz targets share: a folder for the files that readers open, and what is asked of a data set.

#[cfg(feature = "datasets")]
mod datasets;
#[path = "../../datasets/src/own/mutations/look.rs"]
mod look;

use std::fs;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once, PoisonError};

#[cfg(feature = "datasets")]
pub use datasets::{read_arrays, read_mat, registered};
use hashlab_data::{DataDirs, DatasetEntry};
use serde_json::Value;

/// A folder of one target, in `$TMPDIR`. `just fuzz` puts it in memory, and removes it in the end.
pub struct Folder(PathBuf);

impl Folder {
    /// Makes an empty folder.
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder can be made").keep())
    }

    /// Makes a folder with the images of six items, `0.png` to `5.png`.
    pub fn of_images() -> Self {
        let folder = Self::new();
        (0..6).for_each(|item| _ = folder.write(&format!("{item}.png"), include_bytes!("../corpus/image/grey.png")));
        folder
    }

    /// Writes a file, with the folders around it.
    pub fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.0.join(name);
        if fs::write(&path, bytes).is_err() {
            fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a folder can be made");
            fs::write(&path, bytes).expect("a file can be written");
        }
        path.display().to_string()
    }

    /// Lets other names lead to a file.
    pub fn link(&self, name: &str, others: &[&str]) {
        for other in others {
            std::os::unix::fs::symlink(self.0.join(name), self.0.join(other)).expect("a link can be made");
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Opens a data set whose files are in this folder, and asks for what every run asks for. Errors are answers, too.
    pub fn open(&self, entry: &DatasetEntry, settings: &Value) {
        let settings = settings.as_object().expect("settings are a table");
        answered(|| match entry.open(settings, &DataDirs::of(vec![self.0.clone()])) {
            Ok(set) => look::look(&*set),
            Err(error) => assert!(!error.to_string().is_empty()),
        });
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

/// What the last panic said.
static SAID: Mutex<String> = Mutex::new(String::new());

/// Calls `work`, and ends the process if it panics. A panic that `work` catches itself is no fault: readers turn those of
/// other people's crates into errors, while libFuzzer's own hook ends the process at the first.
pub fn answered(work: impl FnOnce()) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| set_hook(Box::new(note)));
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        eprintln!("{}", SAID.lock().unwrap_or_else(PoisonError::into_inner));
        std::process::abort();
    }
}

fn note(panic: &PanicHookInfo<'_>) {
    *SAID.lock().unwrap_or_else(PoisonError::into_inner) = panic.to_string();
}
