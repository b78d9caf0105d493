//! Downloads files that data sets, encoders and experiments have on the Hugging Face hub.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::Result;
pub(crate) use hashlab_app::sha256;
use hashlab_hub::{ENDPOINT, Remote};

use self::cache::Cache;
use self::failure::{Attempt, Failure};
use self::transfer::Transfer;
use self::turn::Turn;
use crate::exit::bad_input;

mod cache;
mod failure;
#[cfg(test)]
pub(crate) mod local;
#[cfg(test)]
mod tests;
mod transfer;
mod turn;

/// The folder of unfinished downloads in the data directory.
const UNFINISHED: &str = ".fetch";

/// The hub, or a mirror of it, and what an earlier program has already downloaded from it.
pub(crate) struct Hub {
    endpoint: String,
    /// Sent to the hub alone, never to the stores that it redirects to; never printed.
    token: Option<String>,
    cache: Option<Cache>,
    offline: bool,
}

/// A file in its place.
pub(crate) struct Arrived {
    /// SHA-256 of its bytes, in hexadecimal.
    pub(crate) sha256: String,
    /// The commit that the hub served, where it said so.
    pub(crate) commit: Option<String>,
}

impl Hub {
    /// What Hugging Face's variables say: the mirror `HF_ENDPOINT`, the token `HF_TOKEN` or the one that `hf auth login`
    /// stores, the cache below `HF_HOME`, and whether `HF_HUB_OFFLINE` forbids the network, as `offline` does.
    pub(crate) fn from_env(offline: bool) -> Self {
        let mirror = cache::variable("HF_ENDPOINT");
        Self {
            token: cache::token(),
            cache: Some(Cache::from_env()),
            offline: offline || cache::is_offline(),
            ..Self::at(mirror.as_deref().unwrap_or(ENDPOINT))
        }
    }

    pub(crate) fn at(endpoint: &str) -> Self {
        Self { endpoint: endpoint.trim_end_matches('/').to_owned(), token: None, cache: None, offline: false }
    }

    #[cfg(test)]
    pub(crate) fn with_token(self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self }
    }

    #[cfg(test)]
    pub(crate) fn with_cache(self, folder: &Path) -> Self {
        Self { cache: Some(Cache::at(folder)), ..self }
    }

    #[cfg(test)]
    pub(crate) fn offline(self) -> Self {
        Self { offline: true, ..self }
    }

    /// Whether the network is not to be touched.
    pub(crate) fn is_offline(&self) -> bool {
        self.offline
    }

    /// The file in Hugging Face's cache, if it is there.
    pub(crate) fn cached(&self, remote: &Remote) -> Option<PathBuf> {
        self.cache.as_ref()?.find(remote)
    }

    /// Brings a file to its place in `dir`, where it appears whole and verified or not at all: from Hugging Face's cache,
    /// else by a download, which goes on where an earlier one stopped.
    pub(crate) fn bring(&self, remote: &Remote, dir: &Path) -> Result<Arrived> {
        let place = dir.join(&remote.place);
        // A folder of its own for each file, so that whoever fetches another one is not disturbed.
        let key = blake3::hash(remote.address().as_bytes()).to_hex();
        let unfinished = dir.join(UNFINISHED).join(&key[..16]);
        let turn = Turn::take(&unfinished).map_err(Failure::Disk);
        let done = turn.and_then(|turn| {
            let arrived = match place.exists() {
                true => verified(remote, &place, None), // another process has just put it there
                false => self.complete(remote, &unfinished, &place),
            };
            arrived.map(|arrived| (turn, arrived))
        });
        if matches!(done, Ok(_) | Err(Failure::Differs(_))) {
            let _ = fs::remove_dir_all(&unfinished); // what remains is found again, and then verified
        }
        tidy(&unfinished);
        let attempt = Attempt { remote, place: &place };
        done.map(|(_, arrived)| arrived).map_err(|failure| bad_input(attempt.failed(&failure)))
    }

    /// Says what is wrong with the file at its place; `None` if it is the published one.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn damage(remote: &Remote, place: &Path) -> Result<Option<String>> {
        let Some(expected) = &remote.sha256 else { return Ok(None) };
        let digest = sha256(place).map_err(|error| bad_input(format!("cannot read {}: {error}", place.display())))?;
        Ok((digest != *expected).then(|| {
            format!("{} is not the published file: its SHA-256 is {digest}, expected {expected}", place.display())
        }))
    }

    fn complete(&self, remote: &Remote, unfinished: &Path, place: &Path) -> Result<Arrived, Failure> {
        if let Some(cached) = self.cached(remote) {
            let arrived = verified(remote, &cached, None);
            if arrived.is_ok() {
                link(&cached, place).map_err(Failure::Disk)?;
                return arrived;
            }
        }
        if self.offline {
            return Err(Failure::Offline);
        }
        let transfer = Transfer { endpoint: &self.endpoint, token: self.token.as_deref(), remote, folder: unfinished };
        let (downloaded, commit) = transfer.run()?;
        let arrived = verified(remote, &downloaded, commit)?;
        install(&downloaded, place).map_err(Failure::Disk)?;
        Ok(arrived)
    }
}

/// Compares a file with what is known of it beforehand.
fn verified(remote: &Remote, path: &Path, commit: Option<String>) -> Result<Arrived, Failure> {
    let sha256 = sha256(path).map_err(Failure::Disk)?;
    match &remote.sha256 {
        Some(expected) if sha256 != *expected => Err(Failure::Differs(sha256)),
        _ => Ok(Arrived { sha256, commit }),
    }
}

/// Moves a file within the data directory. A part of that directory may be a link to another file system, to which the
/// file is copied.
fn install(source: &Path, place: &Path) -> io::Result<()> {
    fs::create_dir_all(place.parent().unwrap_or(Path::new(".")))?;
    match fs::rename(source, place) {
        Err(error) if error.kind() == ErrorKind::CrossesDevices => {
            copy(source, place)?;
            fs::remove_file(source)
        }
        renamed => renamed,
    }
}

/// Makes a file of the cache appear at its place, as another name of it where both are on one file system.
fn link(cached: &Path, place: &Path) -> io::Result<()> {
    fs::create_dir_all(place.parent().unwrap_or(Path::new(".")))?;
    let source = fs::canonicalize(cached)?;
    fs::hard_link(&source, place).or_else(|_| copy(&source, place))
}

/// Copies a file, which appears whole at its place.
fn copy(source: &Path, place: &Path) -> io::Result<()> {
    let folder = place.parent().unwrap_or(Path::new("."));
    let mut copy = tempfile::Builder::new().permissions(fs::metadata(source)?.permissions()).tempfile_in(folder)?;
    io::copy(&mut fs::File::open(source)?, copy.as_file_mut())?;
    copy.as_file().sync_all()?;
    copy.persist(place)?;
    Ok(())
}

/// Removes the folder of an unfinished download and the one around it, unless there is something in them.
fn tidy(unfinished: &Path) {
    for folder in unfinished.ancestors().take(2) {
        let _ = fs::remove_dir(folder);
    }
}
