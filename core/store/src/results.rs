//! Results of many runs at once: from the index where it holds them, and from each run's own file where it does not.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::thread::{self, Builder};

use crate::config::Templates;
use crate::index::{self, ENTRIES, Entry, NewBlock, Stamp};
use crate::warnings::warn_once;
use crate::{RunDir, RunId, RunResult, SCHEMA, SharedConfig, Store, StoreError};

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
    pub(crate) result: Box<RunResult>,
    /// The configuration; `None` if it must be read from its own file.
    pub(crate) config: Option<SharedConfig>,
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
        let indexed = |entry: &Entry<'_>| entry.result().map(&keep);
        self.look_up(runs, &Kept { of_entry: &indexed, of_result: &|result, _| keep(result) })
    }

    /// Whether runs have a result, in their order. Damaged ones count as absent, with a warning.
    ///
    /// # Errors
    /// As those of [`results`](Self::results).
    pub fn finished<'r>(&self, runs: impl IntoIterator<Item = &'r RunId>) -> Result<Vec<bool>, StoreError> {
        // An entry is that of a sound result.
        let found = self.look_up(runs, &Kept { of_entry: &|_| Some(()), of_result: &|_, _| () })?;
        Ok(found.iter().map(Option::is_some).collect())
    }

    /// Reads the results of runs with what the index holds beside them.
    pub(crate) fn hits(&self, runs: &[RunId]) -> Result<Vec<Option<Hit>>, StoreError> {
        let hit = |result: RunResult, config, stamp: Option<Stamp>| Hit {
            result: Box::new(result),
            config,
            written: stamp.map(Stamp::written),
        };
        let indexed = |entry: &Entry<'_>| Some(hit(entry.result()?, entry.config(), Some(entry.stamp)));
        self.look_up(runs, &Kept { of_entry: &indexed, of_result: &|result, stamp| hit(result, None, stamp) })
    }

    fn look_up<'r, T: Send>(
        &self,
        runs: impl IntoIterator<Item = &'r RunId>,
        kept: &Kept<'_, T>,
    ) -> Result<Vec<Option<T>>, StoreError> {
        let runs: Vec<&RunId> = runs.into_iter().collect();
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let path = self.root().join(INDEX);
        if may_use(index::size(&path), runs.len()) {
            index::read_ahead(&path);
        }
        let inodes = self.inodes()?;
        let mut order: Vec<(u64, usize)> = Vec::with_capacity(runs.len());
        for (at, run) in runs.iter().enumerate() {
            match inodes.get(*run) {
                Some(inode) => order.push((*inode, at)),
                None => _ = self.run(run)?, // refuses a malformed id
            }
        }
        drop(inodes);
        // Inodes that are neighbors come from the disk together.
        order.sort_unstable();
        let order = order.into_iter().map(|(_, at)| at).collect();
        let found = vec![Found::Nothing; runs.len()];
        let mut lookup = Lookup { store: self, path, runs, order, found, kept };
        let stamps = in_parallel(&lookup.order, WAITING, |at| self::found(&lookup.dir(*at)));
        lookup.order.iter().zip(stamps).for_each(|(at, stamp)| lookup.found[*at] = stamp);
        Ok(lookup.results())
    }
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
    store: &'a Store,
    path: PathBuf,
    runs: Vec<&'a RunId>,
    /// The runs that have a directory, in the order of the disk.
    order: Vec<usize>,
    found: Vec<Found>,
    kept: &'a Kept<'a, T>,
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
        let blocks = self.read(&anew, worth_it, &mut results);
        if worth_it {
            self.write(&anew, &blocks);
        }
        results
    }

    fn dir(&self, at: usize) -> RunDir {
        self.store.run(self.runs[at]).expect("a run that has a directory has a name")
    }

    fn nothing(&self) -> Vec<Option<T>> {
        self.runs.iter().map(|_| None).collect()
    }

    /// The results that the index holds as their files are.
    fn indexed(&self) -> Vec<Option<T>> {
        let wanted: BTreeMap<&str, usize> =
            self.runs.iter().enumerate().map(|(at, run)| (run.0.as_str(), at)).collect();
        let keep = |entry: &Entry<'_>| {
            let at = *wanted.get(entry.run)?;
            let valid = entry.schema == SCHEMA && matches!(self.found[at], Found::File(stamp) if stamp == entry.stamp);
            if valid { (self.kept.of_entry)(entry).map(|kept| (at, kept)) } else { None }
        };
        let mut results = self.nothing();
        for (at, result) in index::read(&self.path, keep) {
            results[at] = Some(result);
        }
        results
    }

    /// Reads results from their own files; returns blocks of the index with them if they are `wanted`.
    fn read(&self, anew: &[usize], wanted: bool, results: &mut [Option<T>]) -> Vec<Vec<u8>> {
        let templates = Templates::default();
        let read = |at: &usize| -> Result<Option<(Option<SharedConfig>, RunResult)>, String> {
            let dir = self.dir(*at);
            let Some(result) = dir.read_result()?.map(RunResult::without_curves) else { return Ok(None) };
            let config = if wanted { dir.config().ok() } else { None };
            Ok(Some((config.map(|config| templates.shared(config)), result)))
        };
        let (mut unusable, mut blocks) = (Vec::new(), Vec::new());
        for part in anew.chunks(ENTRIES) {
            let mut block = NewBlock::default();
            for (at, found) in part.iter().zip(in_parallel(part, WAITING, read)) {
                // So many files at once may be more than the process may open: a second look is one at a time.
                match found.or_else(|_| read(at)) {
                    Ok(None) => {}
                    Ok(Some((config, result))) => {
                        let stamp = if let Found::File(stamp) = self.found[*at] { Some(stamp) } else { None };
                        if let (true, Some(stamp)) = (wanted, stamp) {
                            block.add(stamp, config.as_ref(), &result);
                        }
                        results[*at] = Some((self.kept.of_result)(result, stamp));
                    }
                    Err(problem) => unusable.push(problem),
                }
            }
            blocks.push(block.finish());
        }
        unusable.iter().take(WARNINGS).for_each(|problem| warn_once(format!("{problem}; it counts as absent")));
        if let more @ 1.. = unusable.len().saturating_sub(WARNINGS) {
            warn_once(format!("{more} more results are damaged or cannot be read; they count as absent"));
        }
        blocks
    }

    /// Writes the index with the blocks of the results that were read anew, and the others that it held. Where that
    /// fails, the next command reads them again.
    fn write(&self, anew: &[usize], blocks: &[Vec<u8>]) {
        let absent = (0..self.runs.len()).filter(|at| matches!(self.found[*at], Found::Nothing));
        let outdated: BTreeSet<&str> = absent.chain(anew.iter().copied()).map(|at| self.runs[at].0.as_str()).collect();
        let keep = |entry: &Entry<'_>| !outdated.contains(entry.run);
        if let Err(error) = index::write(&self.path, keep, blocks) {
            tracing::debug!("cannot write the index `{}`: {error}", self.path.display());
        }
    }
}

/// Maps items on several threads, in order. Without a thread to be had, the caller's does its work.
pub(crate) fn in_parallel<T: Sync, R: Send>(items: &[T], threads: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    in_parts(items, items.len().div_ceil(threads).max(PART), work)
}

/// Maps items on several threads, in order, each `part` of them on a thread of its own.
pub(crate) fn in_parts<T: Sync, R: Send>(items: &[T], part: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
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
