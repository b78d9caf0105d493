//! Peak memory of a run, stage by stage, on made-up images.
//!
//! `cargo bench -p hashlab-model --bench memory -- [ITEMS] [SIZE] [f16]`
#![allow(clippy::print_stdout, reason = "a benchmark reports on the terminal")]

use hashlab_bank::Precision;
use simulated::{Scale, stages};

#[path = "../tests/simulated/mod.rs"]
mod simulated;

// The program's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    hashlab_kernels::keep_freed_memory();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let mut numbers = arguments.iter().filter_map(|a| a.parse().ok());
    let (items, size) = (numbers.next().unwrap_or(20_000), numbers.next().unwrap_or(32));
    let half = arguments.iter().any(|a| a == "f16");
    let precision = if half { Precision::F16 } else { Precision::F32 };
    let bank = tempfile::tempdir()?;
    println!("{items} images of {size} px, features stored as {precision}");
    for stage in stages(Scale { items, size, precision }, bank.path())? {
        println!("{stage}");
    }
    Ok(())
}
