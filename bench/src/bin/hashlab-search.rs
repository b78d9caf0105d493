//! Serves a search by TPE for `bench/search.py`: prints a trial per line, as steps of its axes, and reads its value.
#![allow(clippy::print_stdout, reason = "standard output is the protocol")]

use std::io::{BufRead as _, Write as _, stdin, stdout};

use anyhow::{Context as _, Result};
use clap::Parser;
use hashlab_sweep::{STARTUP, Tpe, TpeAxis};

#[derive(Parser)]
struct Args {
    /// Seed of the search
    seed: u64,
    /// Number of trials
    trials: usize,
    /// Trials that are proposed at once
    generation: usize,
    /// Number of steps of each axis, all of which are numbers
    steps: Vec<usize>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mut tpe = Tpe::new(vec![TpeAxis::Numbers; args.steps.len()], args.seed);
    let (mut values, mut first) = (stdin().lock().lines(), 0);
    while first < args.trials {
        let count = if first == 0 { STARTUP } else { args.generation }.min(args.trials - first);
        let points = tpe.propose(first, count);
        let mut told = Vec::with_capacity(count);
        for point in &points {
            let step = |(number, steps): (&f64, &usize)| ((number * *steps as f64) as usize).to_string();
            let steps: Vec<String> = point.iter().zip(&args.steps).map(step).collect();
            println!("{}", steps.join(" "));
            stdout().flush()?;
            told.push(values.next().context("a value per trial")??.parse::<f64>()?);
        }
        for (point, value) in points.into_iter().zip(told) {
            tpe.tell(point.into_iter().map(Some).collect(), Some(value));
        }
        first += count;
    }
    Ok(())
}
