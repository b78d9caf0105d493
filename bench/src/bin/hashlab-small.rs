//! The program `hashlab` on files that tests can write: see `hashlab_bench::stand_ins`.

use std::process::ExitCode;

use hashlab_bench::stand_ins;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hashlab::main(hashlab::Registry {
        methods: hashlab_methods::METHODS,
        datasets: stand_ins::datasets(),
        encoders: stand_ins::encoders(),
        published: &[hashlab_methods::PUBLISHED],
    })
}
