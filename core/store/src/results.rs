//! Results of many runs at once: from the index where it holds them, and from each run's own file where it does not.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::thread::{self, Builder};

use crate::index::{self, Entry, Stamp};
use crate::warnings::warn_once;
use crate::{RunDir, RunId, RunResult, Store, StoreError};

/// Results that are read anew before the index is written; a smaller store needs none.
const FEW: usize = 64;

/// The index is written again when as many results of a hundred were read anew.
const PERCENT: usize = 2;

/// Bytes of the index that are read in the time that one run's file takes.
const BYTES_PER_RUN: u64 = 100 << 10;

/// Threads that wait for the disk.
pub(crate) const WAITING: usize = 32;

/// Items below which further threads cost more than they save.
const PART: usize = 64;

/// Bytes of such a thread's stack, which a limit on memory counts in full.
const STACK: usize = 512 << 10;

/// Warnings of one kind before they are counted.
const WARNINGS: usize = 3;

/// What lies in the place of a result.
#[derive(Clone, Copy)]
enum Found {
    Nothing,
    File(Stamp),
    /// Its state cannot be read; reading it says why.
    Unknown,
}

impl Store {
    /// Reads the results of runs, in their order, without the curves that their tasks hold. Damaged ones count as
    /// absent, with a warning. `None` stands for a run without a result.
    ///
    /// # Errors
    /// [`StoreError::BadRunId`] for a name that is none; [`StoreError::Io`] if the runs cannot be listed.
    pub fn results<'r>(&self, runs: impl IntoIterator<Item = &'r RunId>) -> Result<Vec<Option<RunResult>>, StoreError> {
        self.results_as(runs, |result| result)
    }

    /// Reads the results of runs as [`results`](Self::results) does, and keeps of each what `keep` takes from it.
    ///
    /// # Errors
    /// As those of `results`.
    pub fn results_as<'r, T: Clone + Send>(
        &self,
        runs: impl IntoIterator<Item = &'r RunId>,
        keep: impl Fn(RunResult) -> T + Sync,
    ) -> Result<Vec<Option<T>>, StoreError> {
        let dirs = runs.into_iter().map(|run| self.run(run)).collect::<Result<Vec<_>, _>>()?;
        let begun = self.begun()?;
        let found =
            in_parallel(&dirs, WAITING, |dir| if begun.contains(dir.id()) { found(dir) } else { Found::Nothing });
        drop(begun);
        Ok(Lookup { path: self.root().join(INDEX), dirs: &dirs, found, keep }.results())
    }
}

/// Name of the index in the directory of runs.
const INDEX: &str = "results.index";

fn found(dir: &RunDir) -> Found {
    match Stamp::of(&dir.result_path()) {
        Ok(stamp) => Found::File(stamp),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Found::Nothing,
        Err(_) => Found::Unknown,
    }
}

/// Runs whose results are looked for.
struct Lookup<'a, K> {
    path: PathBuf,
    dirs: &'a [RunDir],
    found: Vec<Found>,
    keep: K,
}

/// Results that were read from their own files, as the index holds them: the place of the run, and the record.
type Records = Vec<(usize, String)>;

impl<K> Lookup<'_, K> {
    fn results<T: Clone + Send>(&self) -> Vec<Option<T>>
    where
        K: Fn(RunResult) -> T + Sync,
    {
        let files = self.found.iter().filter(|found| !matches!(found, Found::Nothing)).count();
        let size = index::size(&self.path);
        let indexed = files >= FEW && size / BYTES_PER_RUN <= files as u64;
        let mut results = if indexed && size > 0 { self.indexed() } else { vec![None; self.dirs.len()] };
        let lacks = |at: &usize| results[*at].is_none() && !matches!(self.found[*at], Found::Nothing);
        let anew: Vec<usize> = (0..self.dirs.len()).filter(lacks).collect();
        let worth_it = indexed && anew.len() >= FEW.max(files * PERCENT / 100);
        let records = self.read(&anew, worth_it, &mut results);
        if worth_it {
            self.write(&anew, &records);
        }
        results
    }

    /// The results that the index holds as their files are.
    fn indexed<T: Clone + Send>(&self) -> Vec<Option<T>>
    where
        K: Fn(RunResult) -> T + Sync,
    {
        let wanted: BTreeMap<&str, usize> =
            self.dirs.iter().enumerate().map(|(at, dir)| (dir.id().0.as_str(), at)).collect();
        let mut results = vec![None; self.dirs.len()];
        let parse = |entry: &Entry<'_>| {
            let at = *wanted.get(entry.run)?;
            let valid = matches!(self.found[at], Found::File(stamp) if stamp == entry.stamp);
            let result = if valid { serde_json::from_str::<RunResult>(entry.record).ok()? } else { return None };
            (result.run == *self.dirs[at].id()).then(|| (at, (self.keep)(result)))
        };
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let whole = index::read(&self.path, |entries| {
            for (at, result) in in_parallel(entries, threads, parse).into_iter().flatten() {
                results[at] = Some(result);
            }
        });
        if whole { results } else { vec![None; self.dirs.len()] }
    }

    /// Reads results from their own files; returns the records of them if they are `wanted`.
    fn read<T: Send>(&self, anew: &[usize], wanted: bool, results: &mut [Option<T>]) -> Records
    where
        K: Fn(RunResult) -> T + Sync,
    {
        let read = |at: &usize| -> Result<Option<(Option<String>, T)>, String> {
            let Some(result) = self.dirs[*at].read_result()?.map(RunResult::without_curves) else { return Ok(None) };
            let record = wanted.then(|| serde_json::to_string(&result).expect("records are plain data"));
            Ok(Some((record, (self.keep)(result))))
        };
        let (mut unusable, mut records) = (Vec::new(), Vec::new());
        for (at, found) in anew.iter().zip(in_parallel(anew, WAITING, read)) {
            // So many files at once may be more than the process may open: a second look is one at a time.
            match found.or_else(|_| read(at)) {
                Ok(None) => {}
                Ok(Some((record, kept))) => {
                    records.extend(record.map(|record| (*at, record)));
                    results[*at] = Some(kept);
                }
                Err(problem) => unusable.push(problem),
            }
        }
        unusable.iter().take(WARNINGS).for_each(|problem| warn_once(format!("{problem}; it counts as absent")));
        if let more @ 1.. = unusable.len().saturating_sub(WARNINGS) {
            warn_once(format!("{more} more results are damaged or cannot be read; they count as absent"));
        }
        records
    }

    /// Writes the index with the results that were read anew, and the others that it held. Where that fails, the next
    /// command reads them again.
    fn write(&self, anew: &[usize], records: &Records) {
        let absent = (0..self.dirs.len()).filter(|at| matches!(self.found[*at], Found::Nothing));
        let outdated: BTreeSet<&str> =
            absent.chain(anew.iter().copied()).map(|at| self.dirs[at].id().0.as_str()).collect();
        let keep = |entry: &Entry<'_>| !outdated.contains(entry.run);
        let written = index::write(&self.path, keep, |put| {
            for (at, record) in records {
                if let Found::File(stamp) = self.found[*at] {
                    put(Entry { run: &self.dirs[*at].id().0, stamp, record })?;
                }
            }
            Ok(())
        });
        if let Err(error) = written {
            tracing::debug!("cannot write the index `{}`: {error}", self.path.display());
        }
    }
}

/// Maps items on several threads, in order. Without a thread to be had, the caller's does its work.
pub(crate) fn in_parallel<T: Sync, R: Send>(items: &[T], threads: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let part = items.len().div_ceil(threads).max(PART);
    let all = |part: &[T]| part.iter().map(&work).collect::<Vec<R>>();
    if items.len() <= part {
        return all(items);
    }
    thread::scope(|scope| {
        let start = |part| (part, Builder::new().stack_size(STACK).spawn_scoped(scope, move || all(part)));
        let started: Vec<_> = items.chunks(part).map(start).collect();
        let join = |(part, thread): (_, std::io::Result<thread::ScopedJoinHandle<'_, Vec<R>>>)| match thread {
            Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Err(_) => all(part),
        };
        started.into_iter().flat_map(join).collect()
    })
}
