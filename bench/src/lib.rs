//! What the binaries of the benchmarks and the tests of experiments share: data sets and weights that are made up.

#[path = "../../core/encoders/tests/formula/mod.rs"]
mod formula;
pub mod stand_ins;
pub mod synthetic;

use half::f16;
use hashlab_encoders::Weights;

/// Makes up weights for a encoder: random, with the variance that keeps that of activations.
///
/// # Panics
/// If there is no encoder of that name that reads weights.
pub fn weights(encoder: &str) -> Weights {
    Weights::from_bytes(&formula::file(&formula::tensors(encoder), &[])).expect("the formula knows every tensor")
}

/// Makes up weights for a text encoder of the sizes of all-MiniLM-L6-v2.
///
/// # Panics
/// Never: the sizes fit each other.
pub fn minilm() -> Weights {
    let sizes = formula::bert::Sizes { words: 30_522, positions: 512, dim: 384, hidden: 1536, blocks: 6 };
    Weights::from_bytes(&formula::file(&formula::bert::tensors(sizes), &[])).expect("a safetensors file")
}

/// The heads of all-MiniLM-L6-v2.
pub const MINILM_HEADS: usize = 12;

/// Weight `(out, in, kh, kw)` and bias `(out)` of a convolution.
pub struct Convolution {
    /// Row-major.
    pub weight: Vec<f32>,
    /// One per output channel.
    pub bias: Vec<f32>,
}

/// The weights of [`weights`] with the convolution `name` changed, as the bytes of a safetensors file.
///
/// # Panics
/// If the encoder has no such convolution.
pub fn weights_file_with(encoder: &str, name: &str, change: impl FnOnce(&Convolution) -> Convolution) -> Vec<u8> {
    let mut tensors = formula::tensors(encoder);
    let at = tensors.iter().position(|(tensor, _)| *tensor == format!("{name}.weight")).expect("a weight of that name");
    let ([(_, weight), (_, bias)], _) = tensors[at..].split_first_chunk_mut::<2>().expect("a bias after the weight");
    let halves = weight.bytes.as_chunks::<2>().0;
    let singles = bias.bytes.as_chunks::<4>().0;
    let changed = change(&Convolution {
        weight: halves.iter().map(|&bytes| f16::from_le_bytes(bytes).to_f32()).collect(),
        bias: singles.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
    });
    weight.bytes = changed.weight.into_iter().flat_map(|w| f16::from_f32(w).to_le_bytes()).collect();
    bias.bytes = changed.bias.into_iter().flat_map(f32::to_le_bytes).collect();
    formula::file(&tensors, &[])
}
