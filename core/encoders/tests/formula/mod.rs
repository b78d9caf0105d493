//! Weights and images by formula, so that tests of published shapes store no weights.
//!
//! `golden.py` computes the same numbers.

#![allow(dead_code, reason = "every test file is a crate of its own and uses a part of this module")]

pub(crate) mod bert;
pub(crate) mod encoders;
mod torchvision;

use std::collections::HashMap;
use std::path::PathBuf;

use half::f16;
use hashlab_encoders::Weights;
use safetensors::Dtype;
use safetensors::tensor::{View, serialize};

/// Draws `len` numbers from `[-1, 1)`: the FNV-1a hash of `name` and an index through the finaliser of MurmurHash3.
pub(crate) fn numbers(name: &str, len: usize) -> impl Iterator<Item = f64> {
    let seed = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (0..len as u32).map(move |i| {
        let mut h = seed.wrapping_add(i.wrapping_mul(0x9e37_79b9));
        h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
        h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
        f64::from(h ^ (h >> 16)) / f64::from(1u32 << 31) - 1.0
    })
}

/// Makes a weights file of the published shapes of `encoder`, with `header` entries.
pub(crate) fn weights(encoder: &str, header: &[(&str, &str)]) -> Weights {
    Weights::from_bytes(&file(&tensors(encoder), header)).unwrap()
}

/// Path of a file of stored values: below the crate's directory, which moves with tests that run elsewhere.
pub(crate) fn path(file: &str) -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    PathBuf::from(package).join("tests").join(file).with_extension("safetensors")
}

/// Reads stored values.
pub(crate) fn stored(file: &str) -> HashMap<String, candle_core::Tensor> {
    candle_core::safetensors::load(path(file), &candle_core::Device::Cpu).unwrap()
}

/// Serializes a weights file.
pub(crate) fn file(tensors: &[(String, Tensor)], header: &[(&str, &str)]) -> Vec<u8> {
    let header: HashMap<_, _> = header.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    serialize(tensors.iter().map(|(name, tensor)| (name, tensor)), Some(header)).unwrap()
}

/// A tensor of f16 (weights) or f32 (biases), little-endian.
#[derive(Clone)]
pub(crate) struct Tensor {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

impl View for &Tensor {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        self.bytes.as_slice().into()
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// Every tensor of `encoder`: weights uniform with the variance that keeps that of rectified activations, small biases.
pub(crate) fn tensors(encoder: &str) -> Vec<(String, Tensor)> {
    let convs = match encoder {
        "mobilenet_v2" => mobilenet_v2(),
        "squeezenet1_1" => squeezenet1_1(),
        other => return torchvision::tensors(other),
    };
    convs.into_iter().flat_map(|(name, shape)| conv(&name, shape)).collect()
}

/// The weight and the bias of a convolution.
pub(crate) fn conv(name: &str, shape: [usize; 4]) -> [(String, Tensor); 2] {
    let parts = [(format!("{name}.weight"), shape.to_vec()), (format!("{name}.bias"), vec![shape[0]])];
    parts.map(|(name, shape)| (name.clone(), tensor(&name, &shape)))
}

/// A tensor: for two and more axes f16, for one f32 and small.
fn tensor(name: &str, shape: &[usize]) -> Tensor {
    let len = shape.iter().product();
    let (dtype, bytes) = if shape.len() > 1 {
        let scale = (6.0 / shape[1..].iter().product::<usize>() as f64).sqrt();
        (Dtype::F16, numbers(name, len).flat_map(|u| f16::from_f32((scale * u) as f32).to_le_bytes()).collect())
    } else {
        (Dtype::F32, numbers(name, len).flat_map(|u| ((0.1 * u) as f32).to_le_bytes()).collect())
    };
    Tensor { dtype, shape: shape.into(), bytes }
}

fn mobilenet_v2() -> Vec<(String, [usize; 4])> {
    let mut convs = vec![("features.0.0".to_owned(), [32, 3, 3, 3])];
    let (mut channels, mut block) = (32, 0);
    for (expansion, out, repeats) in
        [(1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1)]
    {
        for _ in 0..repeats {
            block += 1;
            let (name, hidden) = (format!("features.{block}.conv"), channels * expansion);
            if expansion == 1 {
                convs.push((format!("{name}.0.0"), [hidden, 1, 3, 3]));
                convs.push((format!("{name}.1"), [out, hidden, 1, 1]));
            } else {
                convs.push((format!("{name}.0.0"), [hidden, channels, 1, 1]));
                convs.push((format!("{name}.1.0"), [hidden, 1, 3, 3]));
                convs.push((format!("{name}.2"), [out, hidden, 1, 1]));
            }
            channels = out;
        }
    }
    convs.push(("features.18.0".to_owned(), [1280, 320, 1, 1]));
    convs
}

fn squeezenet1_1() -> Vec<(String, [usize; 4])> {
    let mut convs = vec![("features.0".to_owned(), [64, 3, 3, 3])];
    for [index, channels, squeezed, expanded] in [
        [3, 64, 16, 64],
        [4, 128, 16, 64],
        [6, 128, 32, 128],
        [7, 256, 32, 128],
        [9, 256, 48, 192],
        [10, 384, 48, 192],
        [11, 384, 64, 256],
        [12, 512, 64, 256],
    ] {
        convs.push((format!("features.{index}.squeeze"), [squeezed, channels, 1, 1]));
        convs.push((format!("features.{index}.expand1x1"), [expanded, squeezed, 1, 1]));
        convs.push((format!("features.{index}.expand3x3"), [expanded, squeezed, 3, 3]));
    }
    convs
}
