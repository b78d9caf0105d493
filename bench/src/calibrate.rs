//! Weights of MobileNetV2 whose features tell the items of the synthetic data set apart.

use anyhow::Result;
use candle_core::{Device, Tensor};
use hashlab_bench::synthetic::{SIZE, Synthetic};
use hashlab_bench::{Convolution, weights_file_with};
use hashlab_data::Images as _;
use hashlab_encoders::{Weights, mobilenet_v2};
use hashlab_image::{Normalize, to_hwc};

const NAME: &str = "mobilenet_v2";
/// The last convolution.
const LAST: &str = "features.18.0";
/// Images that mean and deviation are taken over.
const IMAGES: usize = 256;
/// While measuring, sums are scaled and shifted like this, so that ReLU6 passes them all.
const SCALE: f32 = 0.01;
const SHIFT: f32 = 3.0;

/// Returns a weights file: random, with the sums of the last convolution at mean 0 and deviation 1 before its ReLU6.
///
/// Items that pass through a deep random network end up nearly parallel; trained networks keep them apart by batch
/// normalization, which this is for the one layer where it matters here.
pub(crate) fn weights_file() -> Result<Vec<u8>> {
    let measured = features(&weights_file_with(NAME, LAST, |sum| Convolution {
        weight: sum.weight.iter().map(|w| w * SCALE).collect(),
        bias: vec![SHIFT; sum.bias.len()],
    }))?;
    let mean = measured.mean_keepdim(0)?;
    let deviation = measured.broadcast_sub(&mean)?.sqr()?.mean_keepdim(0)?.sqrt()?;
    let numbers = |t: &Tensor| t.flatten_all()?.to_vec1::<f32>();
    let (mean, deviation) = (numbers(&mean)?, numbers(&deviation)?);
    Ok(weights_file_with(NAME, LAST, |sum| {
        let depth = sum.weight.len() / sum.bias.len();
        let scaled = sum.weight.iter().enumerate().map(|(i, w)| w * SCALE / deviation[i / depth]);
        Convolution {
            weight: scaled.collect(),
            bias: mean.iter().zip(&deviation).map(|(mean, deviation)| (SHIFT - mean) / deviation).collect(),
        }
    }))
}

/// Computes features of a part of the data set.
fn features(weights: &[u8]) -> Result<Tensor> {
    let encoder = (mobilenet_v2::ENTRY.open)(Some(&Weights::from_bytes(weights)?), 0, (&Device::Cpu).into())?;
    let [mean, std] = encoder.normalize();
    let (dataset, mut pixels) = (Synthetic::new(), vec![0f32; IMAGES * SIZE * SIZE * 3]);
    for (item, out) in pixels.chunks_exact_mut(SIZE * SIZE * 3).enumerate() {
        to_hwc(&dataset.image(item)?, &Normalize { mean, std }, out);
    }
    Ok(encoder.forward(&Tensor::from_vec(pixels, (IMAGES, SIZE, SIZE, 3), &Device::Cpu)?)?)
}
