//! Serves one workload: for each number read from standard input, does the work that often and prints the seconds.
//!
//! As for `hashlab` itself, `RAYON_NUM_THREADS` says how many threads to work with.
//!
//! `bench/compare.py` starts this beside a Python program that does the same work and speaks the same protocol, and
//! lets them take turns.
#![allow(clippy::print_stdout, reason = "standard output is the protocol")]

mod augment;
mod calibrate;
mod conv;
mod finetune;
mod forward;
mod head;
mod matmul;
mod photos;
mod prepare;
mod ranking;
mod run;
mod text;

use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use candle_core::{Device, Tensor};
use clap::{Parser, Subcommand};
use hashlab_encoders::{EncoderEntry, Place};
use hashlab_kernels::device::DeviceName;
use hashlab_pipeline::config::ComputeDtype;
use hashlab_rng::stream;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Does the work as often as it is told. Returns a number that the peer must find too, where there is one.
type Work = Box<dyn FnMut(usize) -> Result<Option<f64>>>;

#[derive(Parser)]
struct Args {
    /// Where tensors live: cpu, cuda or cuda:N
    #[arg(long, global = true, default_value_t)]
    device: DeviceName,
    /// Lets a GPU round factors of f32 products to TF32
    #[arg(long, global = true)]
    tf32: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the files that workloads of both sides read
    Prepare { dir: PathBuf },
    /// List the image encoders
    Encoders,
    /// Product of two square matrices
    Matmul { size: usize },
    /// Training step of CIBHash's head on features of `dim` numbers: 64 items, two views each
    Head {
        dim: usize,
        /// Heads of as many runs, stacked; the time is that of a step of all
        #[arg(default_value_t = 1)]
        runs: usize,
    },
    /// Forward and backward pass of a 3×3 convolution, 32 images, as many channels out as in
    Conv { channels: usize, size: usize },
    /// Forward pass of an image encoder
    Forward {
        name: String,
        size: usize,
        batch: usize,
        /// f32 or bf16
        #[arg(long, default_value = "f32", value_parser = forward::compute)]
        compute: ComputeDtype,
    },
    /// Training step of an image encoder with frozen batch norms
    Finetune {
        name: String,
        size: usize,
        batch: usize,
        /// f32 or bf16, with weights and optimizer in f32
        #[arg(long, default_value = "f32", value_parser = forward::compute)]
        compute: ComputeDtype,
    },
    /// Forward pass of a text encoder, all-MiniLM-L6-v2, over texts of equal length
    Text { texts: usize, tokens: usize },
    /// Decoding and augmentation of PNG images to 128 pixels, as CIBHash does; an iteration is one image
    Augment { dir: PathBuf },
    /// Reading, decoding and resizing a folder of JPEG files to 224 pixels; an iteration is one image
    Photos { dir: PathBuf },
    /// mAP@1000 of the codes in `dir`
    Ranking { dir: PathBuf },
    /// Write made-up codes and labels for the peers of `metrics`
    MetricsFiles {
        dir: PathBuf,
        queries: usize,
        items: usize,
        bits: usize,
        #[arg(long)]
        several: bool,
    },
    /// Every metric and curve of made-up codes, with one label or several per item
    Metrics {
        queries: usize,
        items: usize,
        bits: usize,
        #[arg(long)]
        several: bool,
        /// Reads the database from this file, which is written first, part by part
        #[arg(long)]
        streamed: Option<PathBuf>,
    },
    /// A whole run of CIBHash on stored features
    Run {
        dir: PathBuf,
        epochs: usize,
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// So many such runs at once, a thread each, which share the device and the stored features; the value is their mean
    Pack {
        dir: PathBuf,
        epochs: usize,
        runs: u64,
        /// Each run opens the device for itself, which on a GPU gives it a stream of its own
        #[arg(long)]
        apart: bool,
    },
}

impl Command {
    /// Whether its work is the processor's wherever tensors live.
    fn needs_no_device(&self) -> bool {
        matches!(
            self,
            Self::Prepare { .. }
                | Self::Encoders
                | Self::Augment { .. }
                | Self::Photos { .. }
                | Self::Ranking { .. }
                | Self::MetricsFiles { .. }
                | Self::Metrics { .. }
        )
    }
}

fn main() -> Result<()> {
    hashlab_kernels::threads::without_candles_pool();
    hashlab_kernels::keep_freed_memory();
    let Args { device: name, tf32, command } = Args::parse();
    let device = name.open()?;
    if tf32 {
        hashlab_kernels::device::allow_tf32();
    }
    anyhow::ensure!(
        device.is_cpu() || !command.needs_no_device(),
        "`{name}` has no part in this: leave `--device` out"
    );
    let work = match command {
        Command::Prepare { dir } => return prepare::prepare(&dir),
        Command::Encoders => {
            let images = hashlab_encoders::ENCODERS.iter().filter_map(EncoderEntry::image);
            images.for_each(|entry| println!("{}", entry.name));
            return Ok(());
        }
        Command::Matmul { size } => matmul::work(size, &device)?,
        Command::Head { dim, runs } => head::work(dim, runs, &device)?,
        Command::Conv { channels, size } => conv::work(channels, size, &device)?,
        Command::Forward { name, size, batch, compute } => {
            forward::work(&name, size, batch, Place { device: &device, dtype: compute.tensor_dtype() })?
        }
        Command::Finetune { name, size, batch, compute } => finetune::work(&name, size, batch, compute, &device)?,
        Command::Text { texts, tokens } => text::work(texts, tokens, &device)?,
        Command::Augment { dir } => augment::work(&dir)?,
        Command::Photos { dir } => photos::work(&dir)?,
        Command::Ranking { dir } => ranking::primary(&dir)?,
        Command::MetricsFiles { dir, queries, items, bits, several } => {
            return ranking::write(&dir, queries, items, bits, several);
        }
        Command::Metrics { queries, items, bits, several, streamed: None } => {
            ranking::all(queries, items, bits, several)?
        }
        Command::Metrics { queries, items, bits, streamed: Some(file), .. } => {
            ranking::streamed(&file, queries, items, bits)?
        }
        Command::Run { dir, epochs, seed } => run::work(dir, epochs, seed, &device)?,
        Command::Pack { dir, epochs, runs, apart } => run::pack(dir, epochs, runs, &device, apart.then_some(name))?,
    };
    serve(work, &device)
}

/// Answers each line `N` with `SECONDS VALUE`; what is queued on the device is done by then.
fn serve(mut work: Work, device: &Device) -> Result<()> {
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let iterations = line?.trim().parse()?;
        let start = Instant::now();
        let value = work(iterations)?;
        device.synchronize()?;
        let seconds = start.elapsed().as_secs_f64();
        println!("{seconds} {}", value.unwrap_or(f64::NAN));
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// Draws a tensor of normal numbers.
fn normal(name: &str, shape: &[usize], scale: f64, device: &Device) -> Result<Tensor> {
    let mut draws = stream(0, name, &[]);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| (scale * draws.normal()) as f32).collect();
    Ok(Tensor::from_vec(values, shape, device)?)
}
