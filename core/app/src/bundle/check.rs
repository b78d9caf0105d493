//! The check of a bundle: every file has its digest, and the files are those of one sweep.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Component, Path, PathBuf};

use anyhow::Result;
use flate2::read::GzDecoder;
use hashlab_data::special;
use hashlab_store::{Store, StoreError, counted};
use hashlab_sweep::Plan;
use tar::{Archive, Entry};

use super::archive::sum;
use super::{RUNS, SUMS};
use crate::bad_input;

/// What a sound bundle holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Name of the sweep.
    pub sweep: String,
    /// Digest of its plan.
    pub plan: String,
    /// Runs of the plan.
    pub runs: usize,
    /// Those with a result.
    pub finished: usize,
    /// Files with a digest.
    pub files: usize,
    /// The folder of the bundle.
    pub folder: PathBuf,
}

/// Problems that are named.
const NAMED: usize = 10;

/// Unpacks a bundle into a directory, and checks it.
///
/// # Errors
/// [`BadInput`](crate::BadInput) if the file is no bundle, or with what is wrong in it.
pub fn check(file: &Path, into: &Path) -> Result<Checked> {
    let shown = file.display();
    let damaged = |why: String| bad_input(format!("{shown}: {why}\nhelp: ask its author for the file again"));
    if let Some(what) = special(file) {
        return Err(bad_input(format!("{shown} is {what}\nhelp: name a file that `hashlab bundle SWEEP` has written")));
    }
    let opened = File::open(file).map_err(|error| match error.kind() {
        ErrorKind::NotFound => bad_input(format!("there is no file {shown}")),
        _ => bad_input(format!("cannot read {shown}: {error}\nhelp: `ls -l` shows who may read it")),
    })?;
    let found = unpack(opened, into, |error| damaged(format!("it is no bundle, or was cut: {error}")))?;
    let sums =
        |path: &&String| path.rsplit_once('/').is_some_and(|(_, name)| name == SUMS) && path.matches('/').count() == 1;
    let listed = found.keys().find(sums).ok_or_else(|| damaged(format!("it is no bundle: it has no {SUMS}")))?;
    let folder = listed.split('/').next().unwrap_or_default();
    let text = std::fs::read_to_string(into.join(listed))?;
    let stated = stated(&text, folder);
    let mut problems: Vec<String> = Vec::new();
    for (path, digest) in &stated {
        match found.get(path) {
            None => problems.push(format!("{path} is missing")),
            Some(own) if own != digest => problems.push(format!("{path} has changed")),
            Some(_) => {}
        }
    }
    problems.extend(
        found
            .keys()
            .filter(|path| *path != listed && !stated.contains_key(*path))
            .map(|path| format!("{path} has no digest")),
    );
    if !problems.is_empty() {
        return Err(damaged(listing(&problems)));
    }
    // What would mend a store of one's own is no help here.
    let cause = |error: anyhow::Error| format!("{error:#}").split("\nhelp: ").next().unwrap_or_default().to_owned();
    of_sweep(&into.join(folder), stated.len()).map_err(|error| match error.downcast_ref() {
        Some(StoreError::Io { .. }) => error,
        _ => damaged(cause(error)),
    })
}

fn listing(problems: &[String]) -> String {
    let first = problems.iter().take(NAMED).map(|problem| format!("\n  {problem}")).collect::<String>();
    let more = problems.len().saturating_sub(NAMED);
    let more = if more > 0 { format!("\n  and {more} more") } else { String::new() };
    format!("{} wrong:{first}{more}", counted(problems.len(), "file"))
}

/// Unpacks an archive; returns the digests of its files by their paths. `damaged` words what is wrong with the archive.
///
/// # Errors
/// As `damaged` says it, or if a file cannot be written.
fn unpack(file: File, into: &Path, damaged: impl Fn(io::Error) -> anyhow::Error) -> Result<BTreeMap<String, String>> {
    let mut archive = Archive::new(GzDecoder::new(file));
    let mut found = BTreeMap::new();
    for entry in archive.entries().map_err(&damaged)? {
        let (path, bytes) = entry.and_then(read_entry).map_err(&damaged)?;
        let place = into.join(&path);
        let folder = place.parent().unwrap_or(into);
        let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&place, &bytes));
        written.map_err(|error| match error.kind() {
            // The folder was empty, so that only the archive's names can be the cause.
            ErrorKind::IsADirectory
            | ErrorKind::NotADirectory
            | ErrorKind::AlreadyExists
            | ErrorKind::InvalidFilename => damaged(error),
            _ => anyhow::Error::from(error).context(format!("cannot unpack into {}", into.display())),
        })?;
        found.insert(path.to_string_lossy().into_owned(), sum(&bytes));
    }
    Ok(found)
}

/// The path and the content of a file in an archive.
fn read_entry(mut entry: Entry<'_, impl Read>) -> io::Result<(PathBuf, Vec<u8>)> {
    let path = entry.path()?.into_owned();
    let named = path.components().next().is_some();
    let plain = named && path.components().all(|part| matches!(part, Component::Normal(_)));
    if !plain || !entry.header().entry_type().is_file() {
        return Err(io::Error::other(format!("{} is no plain file", path.display())));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes)?;
    Ok((path, bytes))
}

/// The digests that a list states, by path with the folder of the bundle.
fn stated(text: &str, folder: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter_map(|line| line.split_once("  "));
    lines.map(|(digest, path)| (format!("{folder}/{path}"), digest.to_owned())).collect()
}

/// Checks that the plan has its digest, and that every run has the configuration and the result of its ID.
fn of_sweep(folder: &Path, files: usize) -> Result<Checked> {
    let store = Store::open(folder.join(RUNS));
    let name = store.sweeps().into_iter().next().ok_or_else(|| bad_input("it holds no sweep"))?;
    let dir = store.sweep(&name)?.newest()?.ok_or_else(|| bad_input("it holds no plan"))?;
    let plan = Plan::read_jsonl(dir.open_plan()?)?;
    let digest = plan.digest();
    if dir.path().file_name().is_none_or(|found| found != digest.as_str()) {
        return Err(bad_input(format!("the plan in {} has digest {digest}", dir.path().display())));
    }
    let (mut runs, mut finished) = (0, 0);
    for run in plan.runs.iter().chain(plan.external.iter().map(|row| &row.run)) {
        let dir = store.run(&run.id)?;
        runs += 1;
        if dir.path().join("config.json").is_file() && dir.config()? != run.config() {
            return Err(bad_input(format!("run {} has another configuration than in the plan", run.id)));
        }
        if dir.path().join("result.json").is_file() {
            dir.result().ok_or_else(|| bad_input(format!("the result of run {} is damaged", run.id)))?;
            finished += 1;
        }
    }
    Ok(Checked { sweep: name, plan: digest, runs, finished, files, folder: folder.to_owned() })
}
