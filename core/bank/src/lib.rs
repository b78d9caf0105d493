//! The view bank: features of frozen backbones, extracted once and shared by every run and process.
//!
//! A *segment* holds one row of features per item, for one (data set, items, backbone, weights, transform, view).
//! [`Bank::ensure`] returns it, extracting what is missing:
//!
//! ```text
//! <bank>/lock                     held while space is reserved or freed
//! <bank>/<hh>/<digest>/
//!     key.json                    what the digest stands for; written first: the segment's space is reserved
//!     data.f32 or data.f16        rows × dim little-endian numbers, row-major
//!     checksums.partial           one record per chunk of rows, written after the chunk's data
//!     checksums                   the same file, renamed once every chunk is there: the segment is complete
//!     use.lock                    shared by whoever reads or extracts; its time stamp is the last use
//!     build.lock                  exclusive to whoever extracts
//! ```
//!
//! - **A record is the only proof that a chunk is there.** A checksum covers the segment's identity, the chunk's
//!   number and its data, so whatever a crash, a full disk or a failing one leaves behind is recognised and extracted
//!   again, and nothing else is.
//! - **Chunks are fixed in place and size**, so that features do not depend on where an extraction was interrupted.
//! - **Locks are the kernel's** and end with the process that holds them. Lock files are never removed: two processes
//!   could otherwise hold "the" lock through different files.
//! - **Every process checks every checksum when it opens a segment.** Positioned reads make a file that is cut short
//!   later an error, where a memory map would be a SIGBUS.

mod bank;
mod checksums;
mod error;
mod extraction;
mod folder;
mod key;
mod lock;
pub mod npy;
mod precision;
mod room;
mod segment;

pub use bank::{Bank, Progress};
pub use error::BankError;
pub use key::{SegmentKey, Shape, items_digest};
pub use precision::Precision;
pub use room::{Entry, Pruned};
pub use segment::Segment;
