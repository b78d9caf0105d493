//! The hashing methods. Adding one takes a file here and a line in each of the two lists below.

use hashlab_model::Entry;

pub mod cibhash;
pub mod itq;
pub mod lsh;
pub mod pcah;
pub mod sh;
pub mod sph;

mod linalg;
mod projection;

/// Every registered method, in the order of tables and listings.
pub const METHODS: &[Entry] = &[
    Entry::of::<lsh::Lsh>(),
    Entry::of::<pcah::Pcah>(),
    Entry::of::<sh::Sh>(),
    Entry::of::<sph::Sph>(),
    Entry::of::<itq::Itq>(),
    Entry::of::<cibhash::CibHash>(),
];
