//! Codes of a collection on disk, and exact search among them.
//!
//! An index is a folder:
//!
//! ```text
//! index.json    what encoded the items: run, model, code length, modality, whether images are turned
//! codes.npy     (items, bytes) uint8, packed, lowest bit first: as faiss's binary indexes take them
//! items.jsonl   a line per item: the path of an image, or a text
//! lock          held by the process that adds items
//! ```
//!
//! Rows are appended. What a process that was killed left behind an index's last whole item is overwritten by the next
//! one that adds items, and does not count until then.
//!
//! ```
//! use hashlab_data::Modality;
//! use hashlab_eval::Codes;
//! use hashlab_index::{Facts, Index, Item, Writer};
//!
//! let folder = tempfile::tempdir()?;
//! let facts = Facts::new("lsh-b4-s0-0123456789ab", "model's digest", 4, Modality::Text);
//! let items = ["two birds", "a red handbag"].map(|text| Item::Text { text: text.to_owned() });
//! let codes = Codes::from_signs(&[1.0, 1.0, -1.0, -1.0, 1.0, -1.0, -1.0, -1.0], 4)?;
//! Writer::open(folder.path(), &facts)?.append(&codes, &items)?;
//!
//! let index = Index::open(folder.path())?;
//! let query = Codes::from_signs(&[1.0, -1.0, -1.0, -1.0], 4)?;
//! let hits = index.nearest(query.item(0), 1);
//! assert_eq!((hits[0].item, hits[0].distance), (1, 0));
//! assert_eq!(index.items()[1].to_string(), "a red handbag");
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod error;
mod facts;
mod folder;
mod item;
mod rows;
mod search;
mod writer;

pub use error::IndexError;
pub use facts::Facts;
pub use folder::Index;
pub use item::{Item, Stamp};
pub use search::{Hit, nearest};
pub use writer::Writer;
