//! Results of many runs at once: from the index where it holds them, and from each run's own file where it does not.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::thread::{self, Builder};

use crate::index::{self, Entry, Stamp};
use crate::warnings::warn_once;
use crate::{RunConfig, RunDir, RunId, RunResult, SCHEMA, Store, StoreError};

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

/// A result, with what the index holds beside it.
pub(crate) struct Hit {
    pub(crate) result: RunResult,
    /// The configuration; `None` if it must be read from its own file.
    pub(crate) config: Option<RunConfig>,
    /// When the result was written, in seconds since 1970.
    pub(crate) written: Option<u64>,
}

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
    pub fn results_as<'r, T: Send>(
        &self,
        runs: impl IntoIterator<Item = &'r RunId>,
        keep: impl Fn(RunResult) -> T + Sync,
    ) -> Result<Vec<Option<T>>, StoreError> {
        let dirs = self.dirs(runs)?;
        let indexed = |entry: &Entry<'_>| parsed(entry).map(&keep);
        self.look_up(&dirs, &Kept { of_entry: &indexed, of_result: &|result, _| keep(result) })
    }

    /// Whether runs have a result, in their order. Damaged ones count as absent, with a warning.
    ///
    /// # Errors
    /// As those of [`results`](Self::results).
    pub fn finished<'r>(&self, runs: impl IntoIterator<Item = &'r RunId>) -> Result<Vec<bool>, StoreError> {
        let dirs = self.dirs(runs)?;
        // An entry is that of a sound result, so that nothing is parsed.
        let readable = format!("{{\"schema\":{SCHEMA},");
        let indexed = |entry: &Entry<'_>| entry.record.starts_with(&readable).then_some(());
        let found = self.look_up(&dirs, &Kept { of_entry: &indexed, of_result: &|_, _| () })?;
        Ok(found.iter().map(Option::is_some).collect())
    }

    /// Reads the results of runs with what the index holds beside them.
    pub(crate) fn hits(&self, dirs: &[RunDir]) -> Result<Vec<Option<Hit>>, StoreError> {
        let hit = |result, config, stamp: Option<Stamp>| Hit { result, config, written: stamp.map(Stamp::written) };
        let indexed = |entry: &Entry<'_>| {
            let config = entry.config.and_then(|config| serde_json::from_str(config).ok());
            Some(hit(parsed(entry)?, config, Some(entry.stamp)))
        };
        self.look_up(dirs, &Kept { of_entry: &indexed, of_result: &|result, stamp| hit(result, None, stamp) })
    }

    fn dirs<'r>(&self, runs: impl IntoIterator<Item = &'r RunId>) -> Result<Vec<RunDir>, StoreError> {
        runs.into_iter().map(|run| self.run(run)).collect()
    }

    fn look_up<T: Send>(&self, dirs: &[RunDir], kept: &Kept<'_, T>) -> Result<Vec<Option<T>>, StoreError> {
        let path = self.root().join(INDEX);
        if may_use(index::size(&path), dirs.len()) {
            index::read_ahead(&path);
        }
        let inodes = self.inodes()?;
        let begun = dirs.iter().enumerate().filter_map(|(at, dir)| Some((*inodes.get(dir.id())?, at)));
        // Inodes that are neighbors come from the disk together.
        let mut order: Vec<(u64, usize)> = begun.collect();
        drop(inodes);
        order.sort_unstable();
        let mut found = vec![Found::Nothing; dirs.len()];
        let stamps = in_parallel(&order, WAITING, |(_, at)| self::found(&dirs[*at]));
        order.iter().zip(stamps).for_each(|((_, at), stamp)| found[*at] = stamp);
        let order = order.into_iter().map(|(_, at)| at).collect();
        Ok(Lookup { path, dirs, order, found, kept }.results())
    }
}

/// The result of an entry.
fn parsed(entry: &Entry<'_>) -> Option<RunResult> {
    serde_json::from_str(entry.record).ok().filter(|result: &RunResult| result.run.0 == entry.run)
}

/// Whether reading the index takes less time than reading so many results.
fn may_use(size: u64, runs: usize) -> bool {
    runs >= FEW && size / BYTES_PER_RUN <= runs as u64
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

/// What a caller keeps of results.
struct Kept<'a, T> {
    /// Of an entry of the index that is as its file; `None` if the file must be read.
    of_entry: &'a (dyn Fn(&Entry<'_>) -> Option<T> + Sync),
    /// Of a result that was read from its own file, with the stamp of that.
    of_result: &'a (dyn Fn(RunResult, Option<Stamp>) -> T + Sync),
}

/// Runs whose results are looked for.
struct Lookup<'a, T> {
    path: PathBuf,
    dirs: &'a [RunDir],
    /// The runs that have a directory, in the order of the disk.
    order: Vec<usize>,
    found: Vec<Found>,
    kept: &'a Kept<'a, T>,
}

/// A result that was read from its own file, as the index holds it.
struct Record {
    /// The place of the run.
    at: usize,
    result: String,
    config: Option<String>,
}

impl<T: Send> Lookup<'_, T> {
    fn results(&self) -> Vec<Option<T>> {
        let files = self.found.iter().filter(|found| !matches!(found, Found::Nothing)).count();
        let size = index::size(&self.path);
        let indexed = may_use(size, files);
        let mut results = if indexed && size > 0 { self.indexed() } else { self.nothing() };
        let lacks = |at: &usize| results[*at].is_none() && !matches!(self.found[*at], Found::Nothing);
        let anew: Vec<usize> = self.order.iter().copied().filter(lacks).collect();
        let worth_it = indexed && anew.len() >= FEW.max(files * PERCENT / 100);
        let records = self.read(&anew, worth_it, &mut results);
        if worth_it {
            self.write(&anew, &records);
        }
        results
    }

    fn nothing(&self) -> Vec<Option<T>> {
        self.dirs.iter().map(|_| None).collect()
    }

    /// The results that the index holds as their files are.
    fn indexed(&self) -> Vec<Option<T>> {
        let wanted: BTreeMap<&str, usize> =
            self.dirs.iter().enumerate().map(|(at, dir)| (dir.id().0.as_str(), at)).collect();
        let mut results = self.nothing();
        let parse = |entry: &Entry<'_>| {
            let at = *wanted.get(entry.run)?;
            let valid = matches!(self.found[at], Found::File(stamp) if stamp == entry.stamp);
            if valid { (self.kept.of_entry)(entry).map(|kept| (at, kept)) } else { None }
        };
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let whole = index::read(&self.path, |entries| {
            for (at, result) in in_parallel(entries, threads, parse).into_iter().flatten() {
                results[at] = Some(result);
            }
        });
        if whole { results } else { self.nothing() }
    }

    /// Reads results from their own files; returns the records of them if they are `wanted`.
    fn read(&self, anew: &[usize], wanted: bool, results: &mut [Option<T>]) -> Vec<Record> {
        let read = |at: &usize| -> Result<Option<(Option<Record>, T)>, String> {
            let dir = &self.dirs[*at];
            let Some(result) = dir.read_result()?.map(RunResult::without_curves) else { return Ok(None) };
            let record = wanted.then(|| Record::of(*at, dir, &result));
            let stamp = if let Found::File(stamp) = self.found[*at] { Some(stamp) } else { None };
            Ok(Some((record, (self.kept.of_result)(result, stamp))))
        };
        let (mut unusable, mut records) = (Vec::new(), Vec::new());
        for (at, found) in anew.iter().zip(in_parallel(anew, WAITING, read)) {
            // So many files at once may be more than the process may open: a second look is one at a time.
            match found.or_else(|_| read(at)) {
                Ok(None) => {}
                Ok(Some((record, kept))) => {
                    records.extend(record);
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
    fn write(&self, anew: &[usize], records: &[Record]) {
        let absent = (0..self.dirs.len()).filter(|at| matches!(self.found[*at], Found::Nothing));
        let outdated: BTreeSet<&str> =
            absent.chain(anew.iter().copied()).map(|at| self.dirs[at].id().0.as_str()).collect();
        let keep = |entry: &Entry<'_>| !outdated.contains(entry.run);
        let written = index::write(&self.path, keep, |put| {
            for Record { at, result, config } in records {
                if let Found::File(stamp) = self.found[*at] {
                    put(Entry { run: &self.dirs[*at].id().0, stamp, record: result, config: config.as_deref() })?;
                }
            }
            Ok(())
        });
        if let Err(error) = written {
            tracing::debug!("cannot write the index `{}`: {error}", self.path.display());
        }
    }
}

impl Record {
    fn of(at: usize, dir: &RunDir, result: &RunResult) -> Self {
        let config = dir.config().ok().and_then(|config| serde_json::to_string(&config).ok());
        Self { at, result: serde_json::to_string(result).expect("records are plain data"), config }
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
