//! The program `hashlab`, with the methods, data sets and encoders of this workspace.

use std::process::ExitCode;

// glibc's allocator returns each tensor's pages to the kernel; mimalloc makes training more than twice as fast.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hashlab::main(hashlab::Registry {
        methods: hashlab_methods::METHODS,
        datasets: hashlab_datasets::DATASETS,
        encoders: hashlab_encoders::ENCODERS,
        published: &[hashlab_methods::PUBLISHED],
    })
}
