//! Published numbers, to print beside measured ones.

use std::collections::BTreeMap;

use hashlab_data::{Modality, Task};
use hashlab_eval::Depth;
use serde::{Deserialize, Serialize};

use crate::encodings;

/// Published mAP of a method, by code length.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Published {
    /// The row it belongs to: equal to [`ReportedRun::label`](crate::ReportedRun::label).
    pub method: String,
    /// Which of the method's ways of encoding, for one that has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// Registered name of the data set. Tables of other data sets leave the values out.
    pub dataset: String,
    /// Protocol name; `None` where the source does not state it.
    pub protocol: Option<String>,
    /// Retrieval task.
    pub task: Task,
    /// Depth K of the mAP@K.
    pub map_at: Depth,
    /// mAP by code length in bits. Fractions.
    pub values: BTreeMap<usize, f64>,
    /// Paper and table, and how the value was come by.
    pub source: String,
    /// Whether the value was read in the paper itself, or two sources agree.
    pub verified: bool,
    /// How its setting differs, e.g. another encoder; `None` where it does not.
    pub note: Option<String>,
}

impl Published {
    /// Label of its row.
    pub(crate) fn row(&self) -> String {
        encodings::label(&self.method, self.encoding.as_deref())
    }
}

/// Why a list of published numbers cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PublishedError {
    /// The file is not TOML, or has other keys.
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    /// An entry that makes no sense.
    #[error("published value of {method}, {source_text:?}: {problem}")]
    Entry {
        /// The method.
        method: String,
        /// The source, as written.
        source_text: String,
        /// What is wrong.
        problem: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    published: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    method: String,
    encoding: Option<String>,
    dataset: String,
    protocol: Option<String>,
    #[serde(default = "images")]
    task: Task,
    map_at: Depth,
    values: BTreeMap<String, f64>,
    source: String,
    #[serde(default)]
    verified: bool,
    note: Option<String>,
}

fn images() -> Task {
    Task::within(Modality::Image)
}

/// Reads a list of published numbers: `[[published]]` tables in TOML.
///
/// ```
/// let list = hashlab_report::parse_published(
///     r#"
///     [[published]]
///     method = "UCMFH"               # label of the row, a registered method's title
///     encoding = "paired"            # one of the method's ways of encoding, if it has several
///     dataset = "flickr25k"
///     task = "i2t"                   # left out: i2i
///     map_at = "all"                 # or a rank
///     values = { 16 = 0.7, 32 = 0.72 }
///     source = "a paper, table 1"
///     verified = false               # left out: false
///     "#,
/// )?;
/// assert_eq!(list[0].values[&32], 0.72);
/// # Ok::<(), hashlab_report::PublishedError>(())
/// ```
///
/// # Errors
/// If the text is not such a list, a code length is no number, a value is no fraction, or a source is missing.
pub fn parse_published(toml: &str) -> Result<Vec<Published>, PublishedError> {
    let file: File = toml::from_str(toml)?;
    file.published.into_iter().map(Row::check).collect()
}

impl Row {
    fn check(self) -> Result<Published, PublishedError> {
        let fail = |problem: String| {
            let (method, source_text) = (self.method.clone(), self.source.clone());
            PublishedError::Entry { method, source_text, problem }
        };
        if self.source.trim().is_empty() {
            return Err(fail("no source".to_owned()));
        }
        let mut values = BTreeMap::new();
        for (bits, &value) in &self.values {
            let length = bits.parse::<usize>().map_err(|_| fail(format!("`{bits}` is no code length in bits")))?;
            if !(0.0..=1.0).contains(&value) {
                return Err(fail(format!("{value} is no fraction between 0 and 1")));
            }
            values.insert(length, value);
        }
        let Self { method, encoding, dataset, protocol, task, map_at, source, verified, note, .. } = self;
        Ok(Published { method, encoding, dataset, protocol, task, map_at, values, source, verified, note })
    }
}
