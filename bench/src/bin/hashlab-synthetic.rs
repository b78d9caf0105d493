//! The program `hashlab` with the data set of the benchmarks beside its own.

use std::process::ExitCode;

use hashlab_bench::synthetic::Synthetic;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    const DATASETS: &[hashlab_data::Entry] = &[hashlab_data::Entry::of::<Synthetic>()];
    hashlab::main(hashlab::Registry { methods: hashlab_methods::METHODS, datasets: DATASETS })
}
