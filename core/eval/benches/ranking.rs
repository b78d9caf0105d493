//! Nanoseconds per pair of query and item of `evaluate`, with curves, and of `map_at_k`, beside sorting the whole database for
//! every query, and beside the limit: counting the bits that differ, and nothing else.
//!
//! One thread, single labels of ten classes, codes that scatter around a center per class.
#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::hint::black_box;
use std::time::Instant;

use hashlab_eval::{Codes, Definition, LabelSets, Options, evaluate, map_at_k};
use hashlab_rng::stream;
use pulp::NullaryFnOnce;

const DATABASE: usize = 50_000;
const QUERIES: usize = 1_000;
const SORTED_QUERIES: usize = 50;
const CLASSES: usize = 10;
/// Probability that a bit differs from its class's center.
const NOISE: f64 = 0.25;

fn main() {
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool of one thread starts");
    println!("{QUERIES} queries, database of {DATABASE}, one thread; ns per pair");
    println!("{:>5} {:>10} {:>10} {:>10} {:>10}", "bits", "evaluate", "map_at_k", "popcount", "full sort");
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
    let evaluated = per_pair(clock, QUERIES);

    let clock = Instant::now();
    let (query_sets, sets) = (sets(&query_labels), sets(&labels));
    black_box(map_at_k(&query, query_sets, &database, sets, Definition::TopK, Some(1_000)).expect("the sides fit"));
    let primary = per_pair(clock, QUERIES);

    let packed = |codes: &Codes| (0..codes.len()).flat_map(|item| codes.item(item)).copied().collect();
    let (query_words, items) = (packed(&query), packed(&database));
    let clock = Instant::now();
    black_box(match bits.div_ceil(64) {
        1 => hashlab_simd::arch().dispatch(Popcounts::<1> { query: query_words, items }),
        _ => hashlab_simd::arch().dispatch(Popcounts::<2> { query: query_words, items }),
    });
    let popcount = per_pair(clock, QUERIES);

    let clock = Instant::now();
    for (index, &label) in query_labels.iter().enumerate().take(SORTED_QUERIES) {
        black_box(sorted_average_precision(&query, index, label, &database, &labels));
    }
    let sorted = per_pair(clock, SORTED_QUERIES);
    println!("{bits:>5} {evaluated:>10.2} {primary:>10.2} {popcount:>10.2} {sorted:>10.2}");
}

/// Nanoseconds since `clock` started, per pair of so many queries and the database's items.
fn per_pair(clock: Instant, queries: usize) -> f64 {
    clock.elapsed().as_secs_f64() * 1e9 / (queries * DATABASE) as f64
}

/// The distances of all pairs of codes of so many words, eight queries and 1024 items at a time as `evaluate` has them.
struct Popcounts<const WORDS: usize> {
    query: Vec<u64>,
    items: Vec<u64>,
}

impl<const WORDS: usize> NullaryFnOnce for Popcounts<WORDS> {
    type Output = u64;

    #[inline(always)]
    fn call(self) -> u64 {
        let mut distances = [0u32; 1024];
        let mut sum = 0;
        for queries in self.query.as_chunks::<WORDS>().0.chunks(8) {
            for items in self.items.as_chunks::<WORDS>().0.chunks(1024) {
                for query in queries {
                    for (distance, item) in distances.iter_mut().zip(items) {
                        *distance = query.iter().zip(item).map(|(a, b)| (a ^ b).count_ones()).sum();
                    }
                    sum += u64::from(black_box(&distances)[0]);
                }
            }
        }
        sum
    }
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
