//! Failures of downloads, with advice.

use std::io::{self, ErrorKind};
use std::path::Path;

use hashlab_hub::Remote;

/// Reason why a file does not arrive, by its remedy.
pub(super) enum Failure {
    /// The network is not to be touched.
    Offline,
    /// The data directory cannot be written.
    Disk(io::Error),
    /// The file has this SHA-256 instead of the expected one.
    Differs(String),
    /// The transfer had begun.
    BrokeOff(io::Error),
    /// A host answered with this status.
    Status { host: String, code: u16, text: String },
    /// The hub cannot be reached, or answers in a way that it does not.
    Hub(String),
}

impl Failure {
    /// Of an error while bytes were moved.
    pub(super) fn moving(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull
            | ErrorKind::QuotaExceeded
            | ErrorKind::FileTooLarge
            | ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem => Self::Disk(error),
            _ => Self::BrokeOff(error),
        }
    }
}

/// A file and its place, for messages.
pub(super) struct Attempt<'a> {
    pub(super) remote: &'a Remote,
    pub(super) place: &'a Path,
}

impl Attempt<'_> {
    /// Says why a download failed and what to do.
    pub(super) fn failed(&self, failure: &Failure) -> String {
        let head = format!("cannot fetch {} of {}", self.remote.name, self.remote.repo);
        match failure {
            Failure::Offline => format!(
                "{head}: the network is not to be used (--offline or HF_HUB_OFFLINE), and Hugging Face's cache does not \
                 have it\nhelp: leave --offline out and unset HF_HUB_OFFLINE; or put\n  {}\n  to {}",
                self.remote.url(),
                self.place.display()
            ),
            Failure::Disk(error) => {
                let room = self.remote.megabytes.map(|size| format!(", with {:.0} MB of room", size.ceil()));
                format!(
                    "{head}: {} cannot be written: {error}\nhelp: --data-dir or HASHLAB_DATA names a directory that can{}",
                    self.place.display(),
                    room.unwrap_or_default()
                )
            }
            Failure::Differs(digest) => format!(
                "{head}: its SHA-256 is {digest}, expected {}; it is removed\n{}",
                self.remote.sha256.as_deref().unwrap_or_default(),
                self.by_other_means()
            ),
            Failure::BrokeOff(error) => format!(
                "{head}: the transfer broke off: {error}\nhelp: run the same command again, it goes on where it stopped"
            ),
            Failure::Status { host, code, text } => {
                let help = match code {
                    401 | 403 => format!(
                        "help: the repository asks who you are: accept its terms at {}, and set HF_TOKEN to a token of yours\n",
                        self.remote.page()
                    ),
                    404 => format!(
                        "help: the repository, its revision `{}` or the file does not exist, or is private: HF_TOKEN opens yours\n",
                        self.remote.revision
                    ),
                    429 => "help: too many requests; wait a while, or set HF_TOKEN, which allows more\n".to_owned(),
                    _ => String::new(),
                };
                format!("{head}: {host} answered {code} {text}\n{help}{}", self.by_other_means())
            }
            Failure::Hub(text) => format!("{head}: {text}\n{}", self.by_other_means()),
        }
    }

    fn by_other_means(&self) -> String {
        format!(
            "help: a proxy is named by HTTPS_PROXY, a mirror of the hub by HF_ENDPOINT; or download\n  {}\n  to {}",
            self.remote.url(),
            self.place.display()
        )
    }
}
