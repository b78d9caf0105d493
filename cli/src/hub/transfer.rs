//! The transfer of one file: redirections, resuming, waiting where the hub asks to.
//!
//! The hub answers itself for small files and redirects to a store for large ones. Its own answer names the commit and the
//! file's tag (`X-Linked-Etag`, or `ETag` of small files); the token goes to the hub alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use hashlab_hub::Remote;
use indicatif::{ProgressBar, ProgressStyle};
use ureq::{Agent, AgentBuilder, Response};

use super::failure::Failure;
use crate::context::note;

/// More redirections than the hub makes.
const MOST_REDIRECTIONS: usize = 8;
/// Tries in all, where a host asks for patience or a file changed.
const MOST_TRIES: usize = 5;
/// The longest wait that is granted, in seconds; beyond it the download fails.
const LONGEST_WAIT: u64 = 300;
/// The wait where a host does not say how long, in seconds.
const USUAL_WAIT: u64 = 2;
/// A host that sends nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(60);

/// A file to be downloaded into a folder.
pub(super) struct Transfer<'a> {
    pub(super) endpoint: &'a str,
    pub(super) token: Option<&'a str>,
    pub(super) remote: &'a Remote,
    /// Folder of the unfinished file, `part`, and its tag, `tag`.
    pub(super) folder: &'a Path,
}

/// End of a try.
enum Tried {
    /// The file is complete; the commit that the hub named.
    Complete(Option<String>),
    /// A host asks to come back after so many seconds.
    Wait(u64, Failure),
    /// The unfinished file is one of another version than the hub's.
    Stale,
}

/// The hub's headers for a file.
#[derive(Default)]
struct Told {
    tag: Option<String>,
    commit: Option<String>,
}

impl Transfer<'_> {
    /// Downloads what is missing. Returns the file and the commit that the hub named.
    pub(super) fn run(&self) -> Result<(PathBuf, Option<String>), Failure> {
        let agent = AgentBuilder::new()
            .try_proxy_from_env(true)
            .redirects(0)
            .timeout_connect(SILENCE / 2)
            .timeout_read(SILENCE)
            .user_agent(concat!("hashlab/", env!("CARGO_PKG_VERSION")))
            .build();
        for _ in 0..MOST_TRIES {
            match self.attempt(&agent)? {
                Tried::Complete(commit) => return Ok((self.part(), commit)),
                Tried::Stale => self.forget().map_err(Failure::Disk)?,
                Tried::Wait(seconds, refusal) if seconds > LONGEST_WAIT => return Err(refusal),
                Tried::Wait(seconds, _) => {
                    note(&format!("the hub asks to wait: {} s", seconds.max(1)));
                    thread::sleep(Duration::from_secs(seconds));
                }
            }
        }
        Err(Failure::Hub(format!("{MOST_TRIES} attempts led to nothing")))
    }

    fn attempt(&self, agent: &Agent) -> Result<Tried, Failure> {
        let begun = fs::metadata(self.part()).map_or(0, |part| part.len());
        let (mut told, mut url) = (Told::default(), self.remote.url_at(self.endpoint));
        for _ in 0..MOST_REDIRECTIONS {
            let response = match self.ask(agent, &url, begun)? {
                Ok(response) => response,
                Err(tried) => return Ok(tried),
            };
            told.hear(&response);
            if told.tag.is_some() && begun > 0 && told.tag != self.tag() {
                return Ok(Tried::Stale);
            }
            match response.header("location").filter(|_| (300..400).contains(&response.status())) {
                Some(location) => url = resolved(&url, location),
                None => return self.receive(response, begun, told),
            }
        }
        Err(Failure::Hub("the hub redirects without an end".to_owned()))
    }

    /// Asks a host for the bytes from `begun` on.
    fn ask(&self, agent: &Agent, url: &str, begun: u64) -> Result<Result<Response, Tried>, Failure> {
        // Compressed bytes have other offsets.
        let mut request = agent.get(url).set("Accept-Encoding", "identity").set("Range", &format!("bytes={begun}-"));
        if let Some(token) = self.token.filter(|_| origin(url) == origin(self.endpoint)) {
            request = request.set("Authorization", &format!("Bearer {token}"));
        }
        match request.call() {
            Ok(response) => Ok(Ok(response)),
            Err(ureq::Error::Status(416, _)) => Ok(Err(Tried::Stale)),
            Err(ureq::Error::Status(code, response)) => {
                let wait = response.header("retry-after").map_or(Some(USUAL_WAIT), |wait| wait.trim().parse().ok());
                let text = response.status_text().to_owned();
                let refusal = Failure::Status { host: origin(url).to_owned(), code, text };
                match (code, wait) {
                    (429 | 503, Some(seconds)) => Ok(Err(Tried::Wait(seconds, refusal))),
                    _ => Err(refusal),
                }
            }
            Err(ureq::Error::Transport(error)) => Err(Failure::Hub(unreached(url, &error))),
        }
    }

    /// Appends the bytes of the last answer to what is there.
    fn receive(&self, response: Response, begun: u64, told: Told) -> Result<Tried, Failure> {
        let (start, total) = match response.status() {
            206 => range(&response).ok_or_else(|| Failure::Hub("unexpected answer: no range".to_owned()))?,
            200 => (0, response.header("content-length").and_then(|len| len.parse().ok())),
            status => return Err(Failure::Hub(format!("unexpected answer: status {status}"))),
        };
        let Some(tag) = &told.tag else { return Err(Failure::Hub("unexpected answer: no ETag".to_owned())) };
        if start != 0 && start != begun {
            return Ok(Tried::Stale);
        }
        let write = || -> io::Result<File> {
            fs::write(self.folder.join("tag"), tag)?;
            OpenOptions::new().create(true).append(start > 0).write(true).truncate(start == 0).open(self.part())
        };
        let mut file = write().map_err(Failure::Disk)?;
        let bar = progress(start, total);
        let copied = io::copy(&mut bar.wrap_read(response.into_reader()), &mut file);
        bar.finish_and_clear();
        let written = start + copied.map_err(Failure::moving)?;
        if total.is_some_and(|total| written != total) {
            let short = format!("{written} of {} bytes came", total.unwrap_or_default());
            return Err(Failure::BrokeOff(io::Error::new(ErrorKind::UnexpectedEof, short)));
        }
        file.sync_all().map_err(Failure::Disk)?;
        Ok(Tried::Complete(told.commit))
    }

    fn part(&self) -> PathBuf {
        self.folder.join("part")
    }

    /// The tag of what is there.
    fn tag(&self) -> Option<String> {
        fs::read_to_string(self.folder.join("tag")).ok()
    }

    fn forget(&self) -> io::Result<()> {
        match fs::remove_file(self.part()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Told {
    /// Keeps what the first host says that says it: the hub, not its store.
    fn hear(&mut self, response: &Response) {
        let header = |name: &str| response.header(name).map(|value| value.replace('"', ""));
        // A redirection to another name of the repository has a tag of its own, which is not that of the file.
        let own = || header("etag").filter(|_| (200..300).contains(&response.status()));
        self.tag = self.tag.take().or_else(|| header("x-linked-etag")).or_else(own);
        self.commit = self.commit.take().or_else(|| header("x-repo-commit"));
    }
}

/// The first byte of an answer with a part, and the size of the whole.
fn range(response: &Response) -> Option<(u64, Option<u64>)> {
    let (part, total) = response.header("content-range")?.strip_prefix("bytes ")?.split_once('/')?;
    Some((part.split('-').next()?.parse().ok()?, total.parse().ok()))
}

/// Scheme and host of an address.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find(['/', '?', '#']).map_or(url.len(), |at| host + at);
    &url[..end]
}

/// Target of a redirection.
fn resolved(url: &str, location: &str) -> String {
    match location {
        whole if whole.contains("://") => whole.to_owned(),
        host if host.starts_with("//") => format!("{}:{host}", url.split(':').next().unwrap_or("https")),
        path if path.starts_with('/') => format!("{}{path}", origin(url)),
        name => format!("{}/{name}", url.rsplit_once('/').map_or(url, |(folder, _)| folder)),
    }
}

/// Says that a host was not reached; without the address, in which a store may put signatures.
fn unreached(url: &str, error: &ureq::Transport) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    let message = error.message().map(|message| format!(": {message}"));
    format!("{}: {}{}{}", origin(url), error.kind(), message.unwrap_or_default(), cause.unwrap_or_default())
}

/// A bar on a terminal.
fn progress(start: u64, total: Option<u64>) -> ProgressBar {
    let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    let style = "  {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
    let style = ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style).with_position(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections_are_followed_from_where_they_stand() {
        let url = "https://hub/a/resolve/main/x.bin";
        for (location, expected) in [
            ("https://store/y?sig=1", "https://store/y?sig=1"),
            ("//store/y", "https://store/y"),
            ("/b/y", "https://hub/b/y"),
            ("y", "https://hub/a/resolve/main/y"),
        ] {
            assert_eq!(resolved(url, location), expected);
        }
        assert_eq!(origin("http://127.0.0.1:80?x"), "http://127.0.0.1:80");
    }
}
