//! The program `hashlab` with the data set of the benchmarks beside its own.

use std::process::ExitCode;

use hashlab_bench::synthetic::Synthetic;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    const DATASETS: &[hashlab_data::DatasetEntry] = &[hashlab_data::DatasetEntry::of::<Synthetic>()];
    hashlab::main(hashlab::Registry {
        methods: hashlab_methods::METHODS,
        datasets: DATASETS,
        encoders: hashlab_encoders::ENCODERS,
        published: &[hashlab_methods::PUBLISHED],
    })
}
