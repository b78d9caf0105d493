//! Time of a training step of an encoder with random weights: forward and backward, without an optimizer.
//!
//! `cargo bench --workspace --bench train -- [NAME] [SIZE] [BATCH]`; threads: `RAYON_NUM_THREADS`. Without
//! arguments: `convnet`, 32 pixels, batch 64.
#![allow(clippy::print_stdout, reason = "a benchmark reports on the terminal")]

use std::time::Instant;

use candle_core::{Device, Error, Result, Tensor};
use hashlab_encoders::{Norm, find_image};
use hashlab_kernels::backward;
use hashlab_rng::stream;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const STEPS: usize = 10;

fn main() -> Result<()> {
    hashlab_kernels::threads::without_candles_pool();
    hashlab_kernels::keep_freed_memory();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let name = arguments.first().map_or("convnet", String::as_str);
    let number = |index: usize, default: usize| arguments.get(index).and_then(|a| a.parse().ok()).unwrap_or(default);
    let (size, batch) = (number(1, 32), number(2, 64));
    let train = find_image(name).and_then(|entry| entry.train).expect("a network that can be trained");
    let net = train(None, 0, Norm::Batch, (&Device::Cpu).into()).map_err(Error::wrap)?;
    let images: Vec<f32> = (0..batch * size * size * 3).map(|i| (i % 97) as f32 / 97.0).collect();
    let images = Tensor::from_vec(images, (batch, size, size, 3), &Device::Cpu)?;
    let [mut forward, mut back] = [0.0; 2];
    for step in 0..STEPS + 2 {
        if step == 2 {
            [forward, back] = [0.0; 2]; // The first steps warm up the allocator and the caches.
        }
        let start = Instant::now();
        let loss = net.forward_train(&images, &mut |layer, _| stream(0, layer, &[step as u64]))?.sqr()?.mean_all()?;
        forward += start.elapsed().as_secs_f64();

        let start = Instant::now();
        backward(&loss)?;
        back += start.elapsed().as_secs_f64();
    }
    let ms = |seconds: f64| 1e3 * seconds / STEPS as f64;
    let threads = rayon::current_num_threads();
    println!("{name}: forward {:.1} ms, backward {:.1} ms per step ({threads} threads)", ms(forward), ms(back));
    Ok(())
}
