//! The program `hashlab` with one more method, `pair_fusion`, whose codes draw on an item's image and text at once, and two
//! more encoders, `color_grid` of images and `letter_pairs` of texts.

use std::process::ExitCode;

use hashlab_method::MethodEntry;

mod color_grid;
mod letter_pairs;
mod pair_fusion;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let methods = [hashlab_methods::METHODS, &[MethodEntry::trained::<pair_fusion::PairFusion>()]].concat();
    let encoders = [hashlab_encoders::ENCODERS, &[color_grid::ENTRY, letter_pairs::ENTRY]].concat();
    hashlab::main(hashlab::Registry {
        methods: methods.leak(),
        datasets: hashlab_datasets::DATASETS,
        encoders: encoders.leak(),
        published: &[hashlab_methods::PUBLISHED],
    })
}
