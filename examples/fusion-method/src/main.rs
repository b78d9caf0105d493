//! The program `hashlab` with one more method, `pair_fusion`, whose codes draw on an item's image and text at once, and one
//! more encoder, `color_grid`.

use std::process::ExitCode;

use hashlab_method::MethodEntry;

mod color_grid;
mod pair_fusion;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let methods = [hashlab_methods::METHODS, &[MethodEntry::trained::<pair_fusion::PairFusion>()]].concat();
    let encoders = [hashlab_encoders::BACKBONES, &[color_grid::ENTRY]].concat();
    hashlab::main(hashlab::Registry {
        methods: methods.leak(),
        datasets: hashlab_datasets::DATASETS,
        encoders: encoders.leak(),
        published: &[hashlab_methods::PUBLISHED],
    })
}
