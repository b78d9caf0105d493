//! Items of an index.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

/// An item: where it is, or what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Item {
    /// The file of an image.
    Image {
        /// Its path.
        image: PathBuf,
        /// The file as it was when it was encoded.
        stamp: Stamp,
    },
    /// A text.
    Text {
        /// The text.
        text: String,
    },
}

/// Size and time of change of a file, by which a later change is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Size in bytes.
    pub size: u64,
    /// Time of the last change, in nanoseconds since 1970.
    pub modified: u64,
}

impl Stamp {
    /// The stamp of a file.
    ///
    /// # Errors
    /// If there is none.
    pub fn of(path: &Path) -> io::Result<Self> {
        let file = fs::metadata(path)?;
        let modified = file.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        Ok(Self { size: file.len(), modified: u64::try_from(modified).unwrap_or(u64::MAX) })
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image { image, .. } => write!(f, "{}", image.display()),
            Self::Text { text } => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_an_item_is_read_as_that_item() {
        let stamp = Stamp { size: 3, modified: 7 };
        for item in [Item::Image { image: "a/ö.jpg".into(), stamp }, Item::Text { text: "two\nlines".into() }] {
            let line = serde_json::to_string(&item).unwrap();
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(serde_json::from_str::<Item>(&line).unwrap(), item);
        }
    }
}
