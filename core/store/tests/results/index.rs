//! The index of results: derived, and never the truth.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use hashlab_store::{RunConfig, RunDir, RunId, RunResult, SharedConfig, Store};

use crate::fixture::{prepared, result};
use crate::{claim, files_ending};

/// Results enough for an index.
const RUNS: u64 = 80;

struct Many {
    _root: tempfile::TempDir,
    store: Store,
    runs: Vec<RunDir>,
}

impl Many {
    /// A store of finished runs, of which the last is not.
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path());
        let runs: Vec<RunDir> = (0..RUNS).map(|seed| prepared(&store, seed)).collect();
        for (seed, run) in runs.iter().enumerate().take(RUNS as usize - 1) {
            claim(run).finish(&with_curve(run.id(), seed as f64 / 100.0)).unwrap();
        }
        Self { _root: root, store, runs }
    }

    fn index(&self) -> PathBuf {
        self.store.root().join("results.index")
    }

    /// How often the index names a run.
    fn entries_of(&self, run: &RunDir) -> usize {
        times(&fs::read(self.index()).unwrap(), run.id().0.as_bytes())
    }

    /// The runs of the index.
    fn entries(&self) -> usize {
        self.runs.iter().map(|run| self.entries_of(run)).sum()
    }

    fn all(&self) -> Vec<Option<RunResult>> {
        self.store.results(self.runs.iter().map(RunDir::id)).unwrap()
    }

    /// What the files themselves hold.
    fn truth(&self) -> Vec<Option<RunResult>> {
        let plain = |mut result: RunResult| {
            result.test.values_mut().for_each(|task| task.curves.clear());
            result
        };
        self.runs.iter().map(|run| run.result().map(plain)).collect()
    }
}

/// How often a text is in bytes.
fn times(bytes: &[u8], text: &[u8]) -> usize {
    bytes.windows(text.len()).filter(|window| *window == text).count()
}

fn with_curve(run: &RunId, map: f64) -> RunResult {
    let mut result = result(run, map);
    result.test.values_mut().for_each(|task| drop(task.curves.insert("ranks", vec![1.0, 2.0])));
    result.provenance.insert("device", "cpu");
    result
}

#[test]
fn results_from_the_index_are_those_of_the_files() {
    let many = Many::new();
    let truth = many.truth();
    assert_eq!(truth.iter().flatten().count(), RUNS as usize - 1);
    assert_eq!(many.all(), truth);
    let written = fs::read(many.index()).expect("so many results have an index");
    assert_eq!(many.all(), truth, "from the index");
    assert_eq!(fs::read(many.index()).unwrap(), written, "nothing new");
    fs::remove_file(many.index()).unwrap();
    assert_eq!(many.all(), truth, "without an index");
}

#[test]
fn the_index_is_read_instead_of_files_that_are_as_they_were() {
    let many = Many::new();
    many.all();
    let index = fs::read(many.index()).unwrap();
    assert_eq!(times(&index, b"ranks"), 0, "no curves");
    assert_eq!(times(&index, b"map_at_k"), 1, "what results repeat is there once");
    // In any order, which is that of the disk.
    let counts: Vec<usize> = many.runs.iter().map(|run| many.entries_of(run)).collect();
    assert_eq!(counts, [vec![1; RUNS as usize - 1], vec![0]].concat());
}

#[test]
fn what_changed_is_read_anew() {
    let many = Many::new();
    many.all();
    // Replaced, written in place with the same size, removed, and new.
    let swap = |at: usize, map: f64| {
        let path = many.runs[at].path().join("result.json");
        fs::remove_file(&path).unwrap();
        claim(&many.runs[at]).finish(&with_curve(many.runs[at].id(), map)).unwrap();
    };
    swap(3, 0.9);
    let path = many.runs[4].path().join("result.json");
    let same_size = fs::read_to_string(&path).unwrap().replace("\"schema\": 2", "\"schema\": 3");
    fs::write(&path, same_size).unwrap();
    fs::remove_dir_all(many.runs[5].path()).unwrap();
    let last = many.runs.last().unwrap();
    claim(last).finish(&with_curve(last.id(), 0.8)).unwrap();
    let results = many.all();
    assert_eq!(results, many.truth());
    let map = |at: usize| results[at].as_ref().map(|result| result.mean_test("map_at_k").unwrap());
    assert_eq!((map(2), map(3), map(4), map(5), map(79)), (Some(0.02), Some(0.9), None, None, Some(0.8)));
}

#[test]
fn a_damaged_index_counts_as_absent() {
    let many = Many::new();
    many.all();
    let whole = fs::read(many.index()).unwrap();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let head = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let (half, version, length, digest) = (whole.len() / 2, flipped(head - 2), flipped(head + 1), flipped(head + 4));
    let (number, cut) = (flipped(half), [&whole[..half], &whole[half + 8..]].concat());
    let damaged: [&[u8]; 9] =
        [&number, &version, &length, &digest, &cut, &whole[..half], &whole[1..], b"", &whole[..head]];
    for (at, bytes) in damaged.iter().enumerate() {
        fs::write(many.index(), bytes).unwrap();
        assert_eq!(many.all(), many.truth(), "damage {at}");
        assert_eq!(many.entries(), RUNS as usize - 1, "damage {at}: mended");
        assert_eq!(many.all(), many.truth(), "damage {at}, again");
    }
    fs::remove_file(many.index()).unwrap();
    fs::create_dir(many.index()).unwrap();
    assert_eq!(many.all(), many.truth(), "a folder in its place");
    fs::remove_dir(many.index()).unwrap();
    // Opening a pipe would wait for ever.
    assert!(Command::new("mkfifo").arg(many.index()).status().unwrap().success());
    assert_eq!(many.all(), many.truth(), "a pipe in its place");
    assert_eq!(many.entries(), RUNS as usize - 1, "mended");
}

#[test]
fn an_index_keeps_the_runs_of_others() {
    let many = Many::new();
    let half = |runs: &[RunDir]| many.store.results(runs.iter().map(RunDir::id)).unwrap();
    assert_eq!(half(&many.runs[..70]).iter().flatten().count(), 70);
    assert_eq!(many.entries(), 70);
    // Few more are not worth a new index, and a few runs do not need it at all.
    many.all();
    half(&many.runs[75..]);
    assert_eq!(many.entries(), 70);
    fs::remove_file(many.index()).unwrap();
    many.all();
    assert_eq!(many.entries(), 79);
}

#[test]
fn writers_at_once_leave_an_index_that_is_whole() {
    let many = Many::new();
    let truth = many.truth();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..8 {
                    let _ = fs::remove_file(many.index());
                    assert_eq!(many.all(), truth);
                }
            });
        }
    });
    assert_eq!(many.all(), truth);
    assert!(files_ending(many.store.root(), ".tmp").is_empty());
}

/// Entries of one block are kept whichever of their neighbors changed, with all that they hold.
#[test]
fn entries_beside_changed_ones_stay_as_they_were() {
    let many = Many::new();
    many.all();
    for run in &many.runs[..70] {
        fs::remove_file(run.path().join("result.json")).unwrap();
        claim(run).finish(&with_curve(run.id(), 0.7)).unwrap();
    }
    assert_eq!(many.all(), many.truth());
    assert_eq!(many.entries(), RUNS as usize - 1);
    assert_eq!(many.all(), many.truth(), "from the index");
    // The index holds the configurations of results, whatever became of their files.
    let configs: Vec<RunConfig> = many.runs.iter().map(|run| run.config().unwrap()).collect();
    many.runs[1..].iter().for_each(|run| fs::remove_file(run.path().join("config.json")).unwrap());
    let listed = many.store.listed().unwrap();
    for (at, (run, config)) in many.runs.iter().zip(configs).enumerate() {
        let of = listed.iter().find(|listed| &listed.run == run.id()).unwrap();
        let has_result = at + 1 < many.runs.len();
        assert_eq!(of.config.as_ref().map(SharedConfig::config), has_result.then_some(config));
    }
}
