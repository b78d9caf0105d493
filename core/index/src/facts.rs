//! Facts about the codes of an index.

use std::fmt;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use hashlab_data::Modality;
use serde::{Deserialize, Serialize};

use crate::IndexError;

/// Version of the format of an index.
const SCHEMA: u32 = 1;

/// Name of the file that holds the facts.
const FILE: &str = "index.json";

/// Facts about the codes of an index. Indexes whose facts differ have codes that cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    schema: u32,
    /// Id of the run whose model encoded the items.
    pub run: String,
    /// Digest of the model's file.
    pub model: String,
    /// Code length in bits.
    pub bits: usize,
    /// Modality of the items.
    pub modality: Modality,
    /// Whether images, queries included, are turned upright by their EXIF orientation before they are encoded.
    #[serde(default, skip_serializing_if = "is_false")]
    pub upright: bool,
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = self.model.get(..12).unwrap_or(&self.model);
        let upright = if self.upright { ", turned upright" } else { "" };
        write!(f, "{}s by {} ({} bits, model {model}){upright}", self.modality, self.run, self.bits)
    }
}

impl Facts {
    /// Facts about codes of `bits` bits, by the model of a run.
    pub fn new(run: &str, model: &str, bits: usize, modality: Modality) -> Self {
        Self { schema: SCHEMA, run: run.to_owned(), model: model.to_owned(), bits, modality, upright: false }
    }

    /// The same facts about images that are turned upright, or are not.
    #[must_use]
    pub fn with_upright(self, upright: bool) -> Self {
        Self { upright, ..self }
    }

    /// Bytes of a packed code.
    pub(crate) fn bytes(&self) -> usize {
        self.bits.div_ceil(8)
    }

    /// Reads the facts of an index; `None` if the folder holds none.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>, IndexError> {
        let path = folder.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
            Err(error) => return Err(IndexError::io("read", &path)(error)),
        };
        let invalid = |reason: String| IndexError::Invalid { path: path.clone(), reason };
        let facts: Self = serde_json::from_slice(&text).map_err(|error| invalid(error.to_string()))?;
        match facts {
            Self { schema, .. } if schema != SCHEMA => Err(invalid(format!("its schema is {schema}, not {SCHEMA}"))),
            Self { bits: 0, .. } => Err(invalid("its codes have no bits".into())),
            facts => Ok(Some(facts)),
        }
    }

    /// Writes the facts of a new index.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), IndexError> {
        let path = folder.join(FILE);
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|refused| refused.error)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(IndexError::io("write", &path))
    }
}
