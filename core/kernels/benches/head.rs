//! Times a training step of a hashing head: 1280 → 1024 → 64, batch 128, Adam.
//!
//! `RAYON_NUM_THREADS=1 cargo bench -p hashlab-kernels --bench head`
#![allow(clippy::print_stdout, reason = "a benchmark reports on the terminal")]

use std::time::Instant;

use candle_core::{Device, Result, Tensor, Var};
use hashlab_kernels::optim::{Adam, adam_steps};
use hashlab_kernels::{backward, linear, linear_relu};
use hashlab_rng::stream;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 128;
const SIZES: [usize; 3] = [1280, 1024, 64];
const STEPS: usize = 200;

fn draw(shape: &[usize], scale: f64, name: &str) -> Result<Tensor> {
    let mut draws = stream(0, name, &[]);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| (scale * draws.normal()) as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu)
}

fn main() -> Result<()> {
    hashlab_kernels::threads::without_candles_pool();
    hashlab_kernels::keep_freed_memory();
    let x = draw(&[BATCH, SIZES[0]], 1.0, "x")?;
    let params = [
        Var::from_tensor(&draw(&[SIZES[1], SIZES[0]], 0.03, "w1")?)?,
        Var::from_tensor(&draw(&[SIZES[1]], 0.03, "b1")?)?,
        Var::from_tensor(&draw(&[SIZES[2], SIZES[1]], 0.03, "w2")?)?,
        Var::from_tensor(&draw(&[SIZES[2]], 0.03, "b2")?)?,
    ];
    let mut moments: Vec<[Tensor; 2]> =
        params.iter().map(|p| Ok([p.zeros_like()?, p.zeros_like()?])).collect::<Result<_>>()?;
    let adam = Adam::default();
    let [mut forward, mut back, mut update] = [0.0; 3];
    for t in 1..=STEPS + 20 {
        if t == 21 {
            [forward, back, update] = [0.0; 3]; // The first steps warm up the allocator and the caches.
        }
        let start = Instant::now();
        let hidden = linear_relu(&x, &params[0], Some(&params[1]))?;
        let loss = linear(&hidden, &params[2], Some(&params[3]))?.sqr()?.mean_all()?;
        forward += start.elapsed().as_secs_f64();

        let start = Instant::now();
        let grads = backward(&loss)?;
        back += start.elapsed().as_secs_f64();

        let start = Instant::now();
        let group = params.iter().zip(&mut moments).map(|(param, [m, v])| {
            let grad = grads.get(param).expect("every parameter has a gradient");
            (param, grad, m, v)
        });
        adam_steps(&mut group.collect::<Vec<_>>(), t, &[adam])?;
        update += start.elapsed().as_secs_f64();
    }
    let ms = |seconds: f64| 1e3 * seconds / STEPS as f64;
    println!(
        "{:.2} ms per step: forward {:.2}, backward {:.2}, Adam {:.2} ({} threads)",
        ms(forward + back + update),
        ms(forward),
        ms(back),
        ms(update),
        rayon::current_num_threads()
    );
    Ok(())
}
