//! What both binaries of the benchmarks share: a data set of the size of CIFAR-10, and weights for every backbone.

#[path = "../../core/backbones/tests/formula/mod.rs"]
mod formula;
pub mod synthetic;

use hashlab_backbones::Weights;

/// Makes up weights for a backbone: random, with the variance that keeps that of activations.
///
/// # Panics
/// If there is no backbone of that name that reads weights.
pub fn weights(backbone: &str) -> Weights {
    Weights::from_bytes(&weights_file(backbone)).expect("the formula knows every tensor")
}

/// The same weights as the bytes of a safetensors file.
///
/// # Panics
/// If there is no backbone of that name that reads weights.
pub fn weights_file(backbone: &str) -> Vec<u8> {
    formula::file(&formula::tensors(backbone), &[])
}
