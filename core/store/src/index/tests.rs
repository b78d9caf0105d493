//! The index as a file of blocks.

use std::ops::Range;

use hashlab_data::{ByModality, Modality, Task};
use hashlab_settings::Settings;

use super::*;
use crate::{RunConfig, RunId, RunResult, Status, TaskResult};

fn config(seed: u64) -> RunConfig {
    RunConfig {
        schema: 2,
        method: "nsh".to_owned(),
        revision: 1,
        params: Settings::new(),
        bits: 16,
        seed,
        dataset: "shapes".to_owned(),
        dataset_identity: "1".to_owned(),
        data: Settings::new(),
        protocol: "shapes-1".to_owned(),
        split_seed: 0,
        encoders: ByModality::one(Modality::Image, Settings::new()),
        train: Settings::new(),
        eval: Settings::new(),
    }
}

fn name(seed: u64) -> String {
    format!("nsh-b16-s{seed}-1f0c2a9b7d3e")
}

/// A block of the runs of some seeds.
fn block(seeds: Range<u64>) -> Vec<u8> {
    let mut block = NewBlock::default();
    for seed in seeds {
        let metrics = TaskResult { metrics: [("map_at_k", seed as f64)].into(), ..TaskResult::default() };
        let test = [(Task::within(Modality::Image), metrics)].into();
        let result = RunResult { schema: 2, test, ..RunResult::empty(RunId(name(seed)), Status::Finished) };
        block.add(Stamp([1, 2, 3, 4, 5, seed.cast_signed()]), Some(&config(seed).into()), &result);
    }
    block.finish()
}

/// The seeds of the entries that have the run, the stamp, the result and the configuration of their seed.
fn seeds(path: &Path) -> Vec<u64> {
    let seed = |entry: &Entry<'_>| {
        let (result, config) = (entry.result()?, entry.config()?);
        let stamp = entry.stamp == Stamp([1, 2, 3, 4, 5, config.seed.cast_signed()]);
        let named = entry.run == name(config.seed) && result.run.0 == entry.run;
        let same =
            result.mean_test("map_at_k") == Some(config.seed as f64) && config.config() == self::config(config.seed);
        (stamp && named && same).then_some(config.seed)
    };
    let mut seeds = read(path, seed);
    seeds.sort_unstable();
    seeds
}

fn blocks(path: &Path) -> usize {
    OpenIndex::open(path).unwrap().blocks.len()
}

/// An index of the same version holds the same bytes for a run.
#[test]
fn another_block_is_another_version() {
    let digest = blake3::hash(&block(3..4)).to_hex();
    assert_eq!(&digest[..16], "700ea3ccafd7a7e1", "raise the version in index.rs");
}

#[test]
fn blocks_beside_a_damaged_one_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    write(&path, |_| true, &[block(0..100), block(100..200)]).unwrap();
    let whole = fs::read(&path).unwrap();
    assert_eq!((blocks(&path), seeds(&path)), (2, (0..200).collect()));
    for (at, left) in [(whole.len() - 10, 0..100), (HEADER.len() + BLOCK_HEADER + 10, 100..200)] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&path, damaged).unwrap();
        assert_eq!(seeds(&path), left.collect::<Vec<_>>());
    }
}

/// As a crash may leave it on some file systems.
#[test]
fn a_tail_of_zeros_has_no_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    write(&path, |_| true, &[block(0..100)]).unwrap();
    fs::write(&path, [fs::read(&path).unwrap(), vec![0; 10_000]].concat()).unwrap();
    assert_eq!((blocks(&path), seeds(&path)), (1, (0..100).collect()));
}

/// Each block repeats the names and the configurations of its entries.
#[test]
fn small_blocks_are_merged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    let (step, steps) = (64, 40);
    for at in 0..steps {
        write(&path, |_| true, &[block(at * step..(at + 1) * step)]).unwrap();
        // Those that are half full at least, one that grows, and the new one.
        let (all, large) = ((at + 1) * step, (at * step) as usize / (ENTRIES / 2));
        assert!(blocks(&path) <= large + 2, "{all} entries in {} blocks", blocks(&path));
        assert_eq!(seeds(&path), (0..all).collect::<Vec<_>>());
    }
    let all = steps * step;
    assert!(all as usize > ENTRIES);
    // Entries that are not wanted leave the blocks of both kinds.
    let odd = |entry: &Entry<'_>| entry.config().is_some_and(|config| config.seed % 2 == 1);
    write(&path, odd, &[]).unwrap();
    assert_eq!((blocks(&path), seeds(&path)), (1, (1..all).step_by(2).collect()));
}
