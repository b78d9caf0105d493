//! Peak memory of a run, stage by stage, on made-up images.
//!
//! `cargo bench -p hashlab-pipeline --bench memory -- [ITEMS] [SIZE] [f16]`
#![allow(clippy::print_stdout, reason = "a benchmark reports on the terminal")]

use hashlab_cache::CacheDtype;
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
    let dtype = if half { CacheDtype::F16 } else { CacheDtype::F32 };
    let cache = tempfile::tempdir()?;
    println!("{items} images of {size} px, features stored as {dtype}");
    for stage in stages(Scale { items, size, dtype }, cache.path())? {
        println!("{stage}");
    }
    Ok(())
}
