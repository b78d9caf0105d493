//! The program `hashlab` with one more method: its commands, its sweeps and its tables, with `two_views` among them.
//!
//! Data sets and encoders of your own join in the same way: entries behind `DATASETS` and `ENCODERS`.

use std::process::ExitCode;

use hashlab_method::MethodEntry;

mod two_views;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let methods = [hashlab_methods::METHODS, &[MethodEntry::trained::<two_views::TwoViews>()]].concat();
    hashlab::main(hashlab::Registry {
        methods: methods.leak(),
        datasets: hashlab_datasets::DATASETS,
        encoders: hashlab_encoders::ENCODERS,
        published: &[hashlab_methods::PUBLISHED],
    })
}
