//! The program `hashlab` with one more method: its commands, its sweeps and its tables, with `two_views` among them.
//!
//! Data sets of your own join in the same way: entries behind `DATASETS`.

use std::process::ExitCode;

use hashlab_model::Entry;

mod two_views;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let methods = [hashlab_methods::METHODS, &[Entry::of::<two_views::TwoViews>()]].concat();
    hashlab::main(hashlab::Registry { methods: methods.leak(), datasets: hashlab_datasets::DATASETS })
}
