//! Queries per second of `evaluate`, with curves, and of `map_at_k`, beside sorting the whole database for every query.
//!
//! One thread, single labels of ten classes, codes that scatter around a center per class.
#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::hint::black_box;
use std::time::Instant;

use hashlab_eval::{Codes, Definition, LabelSets, Options, evaluate, map_at_k};
use hashlab_rng::stream;

const DATABASE: usize = 50_000;
const QUERIES: usize = 1_000;
const SORTED_QUERIES: usize = 50;
const CLASSES: usize = 10;
/// Probability that a bit differs from its class's center.
const NOISE: f64 = 0.25;

fn main() {
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool of one thread starts");
    println!("{QUERIES} queries, database of {DATABASE}, one thread; queries/s");
    println!("{:>5} {:>10} {:>10} {:>10}", "bits", "evaluate", "map_at_k", "full sort");
    for bits in [16, 32, 64, 128] {
        one_thread.install(|| compare(bits));
    }
}

/// Times both ways on codes of `bits` bits, and prints a line.
fn compare(bits: usize) {
    let (query, query_labels) = clustered("query", bits, QUERIES);
    let (database, labels) = clustered("database", bits, DATABASE);
    let ranks = (1..=20).map(|step| step * DATABASE / 20).collect();
    let options = Options { map_at: Some(1_000), ranks, curves: true, ..Options::default() };
    let sets = |labels| LabelSets::new(labels, 1).expect("one word per item");

    let clock = Instant::now();
    black_box(evaluate(&query, sets(&query_labels), &database, sets(&labels), &options).expect("the sides fit"));
    let evaluated = QUERIES as f64 / clock.elapsed().as_secs_f64();

    let clock = Instant::now();
    let (query_sets, sets) = (sets(&query_labels), sets(&labels));
    black_box(map_at_k(&query, query_sets, &database, sets, Definition::TopK, Some(1_000)).expect("the sides fit"));
    let primary = QUERIES as f64 / clock.elapsed().as_secs_f64();

    let clock = Instant::now();
    for (index, &label) in query_labels.iter().enumerate().take(SORTED_QUERIES) {
        black_box(sorted_average_precision(&query, index, label, &database, &labels));
    }
    let sorted = SORTED_QUERIES as f64 / clock.elapsed().as_secs_f64();
    println!("{bits:>5} {evaluated:>10.0} {primary:>10.0} {sorted:>10.0}");
}

/// Average precision over the whole ranking, by a stable sort of it.
fn sorted_average_precision(query: &Codes, index: usize, label: u64, database: &Codes, labels: &[u64]) -> f64 {
    let mut order: Vec<(u32, usize)> = (0..database.len()).map(|j| (query.hamming(index, database, j), j)).collect();
    order.sort_by_key(|&(distance, _)| distance);
    let (mut hits, mut sum) = (0, 0.0);
    for (rank, &(_, j)) in order.iter().enumerate() {
        if labels[j] & label != 0 {
            hits += 1;
            sum += f64::from(hits) / (rank + 1) as f64;
        }
    }
    sum / f64::from(hits)
}

/// Draws codes and their single labels.
fn clustered(purpose: &str, bits: usize, items: usize) -> (Codes, Vec<u64>) {
    let mut rng = stream(0, purpose, &[bits as u64]);
    let mut centers = stream(0, "centers", &[bits as u64]);
    let centers: Vec<f32> = (0..CLASSES * bits).map(|_| if centers.bernoulli(0.5) { 1.0 } else { -1.0 }).collect();
    let (mut relaxed, mut labels) = (Vec::with_capacity(items * bits), Vec::with_capacity(items));
    for _ in 0..items {
        let class = rng.below(CLASSES);
        let center = &centers[class * bits..][..bits];
        relaxed.extend(center.iter().map(|&h| if rng.bernoulli(NOISE) { -h } else { h }));
        labels.push(1 << class);
    }
    (Codes::from_signs(&relaxed, bits).expect("whole items of finite values"), labels)
}
