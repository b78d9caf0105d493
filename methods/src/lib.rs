//! The hashing methods. Adding one takes a file here and a line in each of the two lists below.

use hashlab_model::Entry;

pub mod agh_1;
pub mod agh_2;
pub mod cibhash;
pub mod dgh;
pub mod hashnet;
pub mod itq;
pub mod lsh;
pub mod nsh;
pub mod pcah;
pub mod sh;
pub mod sph;

pub mod anchors;

mod kmeans;
mod linalg;
mod projection;
mod weights;

/// Every registered method, in the order of tables and listings.
pub const METHODS: &[Entry] = &[
    Entry::of::<lsh::Lsh>(),
    Entry::of::<pcah::Pcah>(),
    Entry::of::<sh::Sh>(),
    Entry::of::<sph::Sph>(),
    Entry::of::<itq::Itq>(),
    Entry::of::<agh_1::Agh1>(),
    Entry::of::<agh_2::Agh2>(),
    Entry::of::<dgh::Dgh>(),
    Entry::of::<cibhash::CibHash>(),
    Entry::of::<nsh::Nsh>(),
    Entry::of::<hashnet::HashNet>(),
];
