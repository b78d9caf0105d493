//! The files that both sides read.

use std::path::{Path, PathBuf};

use anyhow::Result;
use hashlab_rng::stream;

use crate::calibrate::weights_file;

/// Images to augment.
pub(crate) const IMAGES: usize = 2_000;
/// Bits per code of the ranking workload.
pub(crate) const BITS: usize = 64;

const IMAGE_SIZE: usize = 32;
const CLASSES: usize = 10;
/// Probability that a bit differs from its class's center.
const NOISE: f64 = 0.3;

/// PNG image number `item`.
pub(crate) fn image_path(dir: &Path, item: usize) -> PathBuf {
    dir.join(format!("images/{item:04}.png"))
}

/// Codes of a side, one byte 0 or 1 per bit, item after item.
pub(crate) fn codes_path(dir: &Path, side: &str) -> PathBuf {
    dir.join(format!("{side}_codes.u8"))
}

/// Classes of a side, one byte per item.
pub(crate) fn labels_path(dir: &Path, side: &str) -> PathBuf {
    dir.join(format!("{side}_labels.u8"))
}

/// The weights with which features of the synthetic data set are extracted.
pub(crate) fn weights_path(dir: &Path) -> PathBuf {
    dir.join("mobilenet_v2.safetensors")
}

pub(crate) fn prepare(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir.join("images"))?;
    for item in 0..IMAGES {
        let image = image::RgbImage::from_vec(IMAGE_SIZE as u32, IMAGE_SIZE as u32, waves(item as u64));
        image.expect("three bytes per pixel").save(image_path(dir, item))?;
    }
    for (side, items) in [("query", 1_000), ("database", 50_000)] {
        let (codes, labels) = clustered(side, items);
        std::fs::write(codes_path(dir, side), codes)?;
        std::fs::write(labels_path(dir, side), labels)?;
    }
    Ok(std::fs::write(weights_path(dir), weights_file()?)?)
}

/// Smooth colors with some noise, as photographs have; they compress as badly.
fn waves(item: u64) -> Vec<u8> {
    let mut draws = stream(0, "bench/image", &[item]);
    let scale = draws.uniform_in(0.5, 2.0);
    let mut pixels = Vec::with_capacity(IMAGE_SIZE * IMAGE_SIZE * 3);
    for i in 0..IMAGE_SIZE * IMAGE_SIZE {
        let (x, y) = ((i % IMAGE_SIZE) as f64 / IMAGE_SIZE as f64, (i / IMAGE_SIZE) as f64 / IMAGE_SIZE as f64);
        for phase in [9.0 * x + 4.0 * y, 5.0 * x - 8.0 * y, 20.0 * x * y] {
            pixels.push((127.5 + 110.0 * (scale * phase).sin() + draws.uniform_in(-8.0, 8.0)) as u8);
        }
    }
    pixels
}

/// Draws codes that scatter around a center per class, and their classes.
fn clustered(side: &str, items: usize) -> (Vec<u8>, Vec<u8>) {
    let mut centers = stream(0, "bench/centres", &[]);
    let centers: Vec<bool> = (0..CLASSES * BITS).map(|_| centers.bernoulli(0.5)).collect();
    let mut draws = stream(0, "bench/codes", &[side.len() as u64]);
    let labels: Vec<u8> = (0..items).map(|_| draws.below(CLASSES) as u8).collect();
    let mut code = |class: &u8| -> Vec<u8> {
        let center = &centers[usize::from(*class) * BITS..][..BITS];
        center.iter().map(|&bit| u8::from(bit != draws.bernoulli(NOISE))).collect()
    };
    (labels.iter().flat_map(&mut code).collect(), labels)
}
