//! Times a training step of `convnet`: 32 pixels, batch 64.
//!
//! `RAYON_NUM_THREADS=1 cargo bench -p hashlab-backbones --bench train`
#![allow(clippy::print_stdout, reason = "a benchmark reports on the terminal")]

use std::time::Instant;

use candle_core::{Device, Result, Tensor};
use hashlab_backbones::{Norm, find};
use hashlab_kernels::backward;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const STEPS: usize = 20;

fn main() -> Result<()> {
    let net = (find("convnet").and_then(|entry| entry.train).expect("a network to train"))(None, 0, Norm::Batch);
    let net = net.map_err(candle_core::Error::wrap)?;
    let images: Vec<f32> = (0..64 * 32 * 32 * 3).map(|i| (i % 97) as f32 / 97.0).collect();
    let images = Tensor::from_vec(images, (64, 32, 32, 3), &Device::Cpu)?;
    let [mut forward, mut back] = [0.0; 2];
    for step in 0..STEPS + 2 {
        if step == 2 {
            [forward, back] = [0.0; 2]; // The first steps warm up the allocator and the caches.
        }
        let start = Instant::now();
        let loss = net.forward_train(&images, &mut |layer| unreachable!("`{layer}` draws"))?.sqr()?.mean_all()?;
        forward += start.elapsed().as_secs_f64();

        let start = Instant::now();
        backward(&loss)?;
        back += start.elapsed().as_secs_f64();
    }
    let ms = |seconds: f64| 1e3 * seconds / STEPS as f64;
    let threads = rayon::current_num_threads();
    println!("forward {:.1} ms, backward {:.1} ms per step ({threads} threads)", ms(forward), ms(back));
    Ok(())
}
