//! Warnings about files, each once per process: a sweep looks at the same files several times.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Texts that are remembered; further ones may be repeated, as memory is bounded.
const MOST: usize = 10_000;

static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Warns, unless the same was said before.
pub(crate) fn warn_once(text: String) {
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if said.contains(&text) {
        return;
    }
    tracing::warn!("{text}");
    if said.len() < MOST {
        said.insert(text);
    }
}
