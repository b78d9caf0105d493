//! The feature cache: features of frozen encoders, extracted once and shared by every run and process.
//!
//! A *feature file* holds one row of features per item, for one (data set, items, encoder, weights, transform, view).
//! [`FeatureCache::ensure`] returns it, extracting what is missing:
//!
//! ```text
//! <cache>/lock                     held while space is reserved or freed
//! <cache>/<hh>/<digest>/
//!     key.json                    the identity behind the digest; written first, which reserves the file's space
//!     data.f32 or data.f16        rows × dim little-endian numbers, row-major
//!     checksums.partial           one record per chunk of rows, written after the chunk's data
//!     checksums                   the same file, renamed once every chunk is there: the feature file is complete
//!     use.lock                    shared lock of readers and extractors; its time stamp is the last use
//!     build.lock                  exclusive lock of the extractor
//! ```
//!
//! - **A record is the only proof that a chunk is there.** A checksum covers the feature file's identity, the chunk's
//!   number and its data, so the damage of a crash or of a full or failing disk is detected, and exactly the damaged
//!   chunks are extracted again.
//! - **Chunks have fixed positions and sizes**, so features do not depend on where an extraction was interrupted.
//! - **The kernel releases locks** when their process ends. Lock files are never removed, because two processes could
//!   then lock different files of the same name.
//! - **Every process checks every checksum when it opens a feature file.** Positioned reads report a file that is
//!   truncated later as an error; a memory map would raise SIGBUS.

mod cache;
mod checksums;
mod dtype;
mod error;
mod eviction;
mod extraction;
mod feature_file;
mod folder;
mod key;
mod lock;
pub mod npy;
mod room;
mod shape;

pub use cache::{FeatureCache, Progress};
pub use dtype::CacheDtype;
pub use error::CacheError;
pub use eviction::{CachedFile, Pruned};
pub use feature_file::FeatureFile;
pub use key::{FeatureKey, items_digest};
pub use shape::Shape;
