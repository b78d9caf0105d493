//! Images per second of every encoder.
//!
//! `cargo bench --workspace --bench forward -- [SIZE] [MICRO_BATCH] [NAME]`; threads: `RAYON_NUM_THREADS`.
//! Weights are random: the time does not depend on them.
#![allow(clippy::print_stdout, reason = "a benchmark reports on the terminal")]

use std::time::Instant;

use candle_core::{Device, Tensor};
use hashlab_encoders::{ENCODERS, EncoderEntry, ImageEntry};
use hashlab_kernels::threads::serial;
use rayon::prelude::*;

#[path = "../tests/formula/mod.rs"]
mod formula;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    hashlab_kernels::threads::without_candles_pool();
    hashlab_kernels::keep_freed_memory();
    let mut numbers = Vec::new();
    let mut names = Vec::new();
    for argument in std::env::args().skip(1).filter(|a| !a.starts_with("--")) {
        match argument.parse::<usize>() {
            Ok(number) => numbers.push(number),
            Err(_) => names.push(argument),
        }
    }
    let micro_batch = numbers.get(1).copied().unwrap_or(8);
    let chosen = |entry: &&ImageEntry| names.is_empty() || names.contains(&entry.name.to_owned());
    for entry in ENCODERS.iter().filter_map(EncoderEntry::image).filter(chosen) {
        let size = numbers.first().copied().unwrap_or(entry.image_size);
        let rate = measure(entry, size, micro_batch);
        let threads = rayon::current_num_threads();
        println!("{}: {rate:.0} images/s at {size} px, {threads} threads, micro-batches of {micro_batch}", entry.name);
    }
}

/// Runs micro-batches for about two seconds, each on its own thread.
fn measure(entry: &ImageEntry, size: usize, micro_batch: usize) -> f64 {
    let weights = entry.needs_weights.then(|| formula::weights(entry.name, &[]));
    let encoder = (entry.open)(weights.as_ref(), 0, (&Device::Cpu).into()).expect("the formula knows every tensor");
    let images: Vec<f32> = formula::numbers("images", micro_batch * size * size * 3).map(|u| u as f32).collect();
    let images = Tensor::from_vec(images, (micro_batch, size, size, 3), &Device::Cpu).expect("as many pixels");
    let run = |batches: usize| {
        let start = Instant::now();
        (0..batches).into_par_iter().for_each(|_| {
            serial(|| encoder.forward(&images)).expect("a forward pass");
        });
        start.elapsed().as_secs_f64()
    };
    let warm_up = run(2 * rayon::current_num_threads());
    let batches = (4.0 * rayon::current_num_threads() as f64 / warm_up).ceil() as usize;
    (batches * micro_batch) as f64 / run(batches)
}
