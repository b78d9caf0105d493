//! Milliseconds of one exact search for the ten nearest of a million codes, on one thread.
#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::hint::black_box;
use std::time::Instant;

use hashlab_eval::Codes;
use hashlab_index::nearest;

const ITEMS: usize = 1_000_000;
const TOP: usize = 10;
const REPETITIONS: usize = 31;

fn main() {
    println!("{:>5} {:>10} {:>10}", "bits", "median ms", "worst ms");
    for bits in [32, 64, 128, 256] {
        let bytes = bits / 8;
        // A multiplicative generator: the time does not depend on what the codes are, as long as distances vary.
        let mut state = 1u64;
        let mut byte = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        let packed: Vec<u8> = (0..ITEMS * bytes).map(|_| byte()).collect();
        let codes = Codes::from_packed(&packed, bytes).expect("whole codes");
        let mut times: Vec<f64> = (0..REPETITIONS)
            .map(|query| {
                let clock = Instant::now();
                black_box(nearest(&codes, codes.item(query), TOP));
                clock.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!("{bits:>5} {:>10.2} {:>10.2}", times[REPETITIONS / 2], times[REPETITIONS - 1]);
    }
}
