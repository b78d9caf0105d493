//! Downloads files that data sets and encoders have on the Hugging Face hub.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::Result;
use hashlab_hub::{ENDPOINT, File, Kind, Published};
use hf_hub::api::sync::{ApiBuilder, ApiError};
use hf_hub::{Cache, Repo, RepoType};
use sha2::{Digest as _, Sha256};

use self::turn::Turn;
use crate::exit::bad_input;

#[cfg(test)]
pub(crate) mod local;
#[cfg(test)]
mod tests;
mod turn;

/// The folder of unfinished downloads in the data directory.
const UNFINISHED: &str = ".fetch";

/// The hub, or a mirror of it.
pub(crate) struct Hub {
    endpoint: String,
}

impl Hub {
    /// The mirror that `HF_ENDPOINT` names, or the hub itself.
    pub(crate) fn from_env() -> Self {
        let mirror = std::env::var("HF_ENDPOINT").ok().filter(|endpoint| !endpoint.is_empty());
        Self::at(mirror.as_deref().unwrap_or(ENDPOINT))
    }

    pub(crate) fn at(endpoint: &str) -> Self {
        Self { endpoint: endpoint.trim_end_matches('/').to_owned() }
    }

    /// Downloads a file to its place in `dir`, where it appears whole and verified or not at all. What an earlier
    /// attempt has left is completed.
    pub(crate) fn download(&self, published: &Published, file: &File, dir: &Path) -> Result<()> {
        let place = dir.join(file.place);
        // A folder of its own for each file, so that whoever fetches another one is not disturbed.
        let unfinished = dir.join(UNFINISHED).join(&file.sha256[..16]);
        let turn = Turn::take(&unfinished).map_err(Failure::Disk);
        let done = turn.and_then(|turn| match place.exists() {
            true => Ok(turn), // another process has just put it there
            false => self.complete(published, file, &unfinished, &place).map(|()| turn),
        });
        if matches!(done, Ok(_) | Err(Failure::Stale | Failure::Differs(_))) {
            let _ = fs::remove_dir_all(&unfinished); // what remains is found again, and then verified
        }
        tidy(&unfinished);
        done.map(drop).map_err(|failure| bad_input(Attempt { published, file, place: &place }.failed(&failure)))
    }

    /// Says what is wrong with the file at its place; `None` if it is the published one.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn damage(file: &File, place: &Path) -> Result<Option<String>> {
        let digest = sha256(place).map_err(|error| bad_input(format!("cannot read {}: {error}", place.display())))?;
        Ok((digest != file.sha256).then(|| {
            format!("{} is not the published file: its SHA-256 is {digest}, expected {}", place.display(), file.sha256)
        }))
    }

    fn complete(&self, published: &Published, file: &File, unfinished: &Path, place: &Path) -> Result<(), Failure> {
        let downloaded = self.transfer(published, file, unfinished).map_err(Failure::of)?;
        let digest = sha256(&downloaded).map_err(Failure::Disk)?;
        if digest != file.sha256 {
            return Err(Failure::Differs(digest));
        }
        install(&downloaded, place).map_err(Failure::Disk)
    }

    /// Downloads into a cache in the folder `cache`, going on where the last transfer stopped; shows its progress on a
    /// terminal.
    fn transfer(&self, published: &Published, file: &File, cache: &Path) -> Result<PathBuf, ApiError> {
        let kind = match published.kind {
            Kind::Dataset => RepoType::Dataset,
            Kind::Model => RepoType::Model,
        };
        let api = ApiBuilder::from_cache(Cache::new(cache.to_owned())).with_endpoint(self.endpoint.clone()).build()?;
        let repo = Repo::with_revision(published.repo.to_owned(), kind, published.revision.to_owned());
        api.repo(repo).download(file.name)
    }
}

/// Moves a file within the data directory; the cache gives a link to it. A part of that directory may be a link to
/// another file system, to which the file is copied.
fn install(link: &Path, place: &Path) -> io::Result<()> {
    let folder = place.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let source = fs::canonicalize(link)?;
    match fs::rename(&source, place) {
        Err(error) if error.kind() == ErrorKind::CrossesDevices => {
            let mut copy =
                tempfile::Builder::new().permissions(fs::metadata(&source)?.permissions()).tempfile_in(folder)?;
            io::copy(&mut fs::File::open(&source)?, copy.as_file_mut())?;
            copy.as_file().sync_all()?;
            copy.persist(place)?;
            fs::remove_file(source)
        }
        renamed => renamed,
    }
}

/// Removes the folder of an unfinished download and the one around it, unless there is something in them.
fn tidy(unfinished: &Path) {
    for folder in unfinished.ancestors().take(2) {
        let _ = fs::remove_dir(folder);
    }
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut fs::File::open(path)?, &mut hasher)?;
    Ok(format!("{:x}", hasher.finalize()))
}

/// Why a transfer failed, by what can be done about it.
enum Failure {
    /// What an earlier attempt has left does not fit the file that is there now.
    Stale,
    /// Another process is at it.
    Busy,
    /// The data directory cannot be written.
    Disk(io::Error),
    /// The file has this SHA-256 instead of the declared one.
    Differs(String),
    /// The transfer had begun.
    BrokeOff(io::Error),
    /// The hub cannot be reached, or refuses.
    Hub(String),
}

impl Failure {
    fn of(error: ApiError) -> Self {
        const RANGE_NOT_SATISFIABLE: u16 = 416;
        match error {
            ApiError::InvalidResume => Self::Stale,
            ApiError::LockAcquisition(_) => Self::Busy,
            ApiError::IoError(error) => match error.kind() {
                ErrorKind::StorageFull
                | ErrorKind::QuotaExceeded
                | ErrorKind::FileTooLarge
                | ErrorKind::PermissionDenied
                | ErrorKind::ReadOnlyFilesystem => Self::Disk(error),
                _ => Self::BrokeOff(error),
            },
            ApiError::RequestError(error) => {
                let text = error.to_string();
                match error.into_response() {
                    Some(response) if response.status() == RANGE_NOT_SATISFIABLE => Self::Stale,
                    _ => Self::Hub(text),
                }
            }
            other => Self::Hub(format!("unexpected answer: {other}")),
        }
    }
}

/// What was attempted, for messages.
struct Attempt<'a> {
    published: &'a Published,
    file: &'a File,
    place: &'a Path,
}

impl Attempt<'_> {
    /// Says why a download failed and what to do.
    fn failed(&self, failure: &Failure) -> String {
        let head = format!("cannot fetch {} of {}", self.file.name, self.published.repo);
        match failure {
            Failure::Stale => format!(
                "{head}: the unfinished download was of another file, and is removed\nhelp: run the same command again"
            ),
            Failure::Busy => format!("{head}: another process downloads it"),
            Failure::Disk(error) => format!(
                "{head}: {} cannot be written: {error}\n\
                 help: --data-dir or HASHLAB_DATA names a directory that can, with {:.0} MB of room",
                self.place.display(),
                self.file.megabytes.ceil()
            ),
            Failure::Differs(digest) => format!(
                "{head}: its SHA-256 is {digest}, expected {}; it is removed\n{}",
                self.file.sha256,
                self.by_other_means()
            ),
            Failure::BrokeOff(error) => format!(
                "{head}: the transfer broke off: {error}\nhelp: run the same command again, it goes on where it stopped"
            ),
            Failure::Hub(text) => format!("{head}: {text}\n{}", self.by_other_means()),
        }
    }

    fn by_other_means(&self) -> String {
        format!(
            "help: a proxy is named by HTTPS_PROXY, a mirror of the hub by HF_ENDPOINT; or download\n  {}\n  to {}",
            self.published.url(self.file),
            self.place.display()
        )
    }
}
