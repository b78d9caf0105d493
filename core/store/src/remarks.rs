//! A user's own words about a run. They are no part of its result.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{RunDir, StoreError, files};

/// Tags and a note.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remarks {
    /// Tags, each one word.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// A note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl RunDir {
    /// Reads the remarks; none where there are none.
    pub fn remarks(&self) -> Remarks {
        files::read_json(&self.remarks_path()).unwrap_or_default()
    }

    /// Writes the remarks.
    ///
    /// # Errors
    /// [`StoreError::Io`] if they cannot be written.
    pub fn write_remarks(&self, remarks: &Remarks) -> Result<(), StoreError> {
        files::replace_json(&self.remarks_path(), remarks)
    }

    fn remarks_path(&self) -> PathBuf {
        self.path().join("remarks.json")
    }
}
