//! A hub on 127.0.0.1 for tests, with the real one's layout: it serves small files itself and redirects large ones to a
//! store, which is another host; it answers for parts of files, names commits and tags, and asks for tokens.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use sha2::{Digest as _, Sha256};

/// The bytes of every file, unless a hub has files of its own.
pub(crate) const CONTENT: &[u8] = &[b'x'; 100_000];

/// Their SHA-256.
pub(crate) const SHA256: &str = "d69e68988157833272305aaf21f453c800346e8a3640db6578e260215542e5d4";

/// The commit that the hub claims to serve.
pub(crate) const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the hub does wrong, or asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Every request is answered with this status.
    Status(&'static str),
    /// The first request is answered by 429 with this `Retry-After`.
    AsksToWait(&'static str),
    /// The first transfer ends after so many bytes.
    BreaksOffAfter(usize),
    /// One byte of the file is another one.
    OtherContent,
    /// Whoever has another token is refused with this status.
    Token(&'static str),
    /// Ranges are ignored: the whole file comes, with 200.
    IgnoresRanges,
    /// The repository has another name: the hub redirects to it, by a path.
    Renamed,
}

/// The token that [`Fault::Token`] asks for.
pub(crate) const TOKEN: &str = "hf_secret";

/// The bytes at a path; `None` is 404.
type Files = Arc<dyn Fn(&str) -> Option<Vec<u8>> + Send + Sync>;

/// A running hub; its threads end with the tests.
pub(crate) struct LocalHub {
    pub(crate) endpoint: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl LocalHub {
    pub(crate) fn start(fault: Fault) -> Self {
        Self::with_files(fault, Arc::new(|_| Some(CONTENT.to_vec())))
    }

    /// A hub whose files are those that `files` knows by path, e.g. `/org/name/resolve/main/a.bin`.
    pub(crate) fn with_files(fault: Fault, files: Files) -> Self {
        let [hub, store] = [0; 2].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let [endpoint, store_endpoint] = [&hub, &store].map(|host| format!("http://{}", host.local_addr().unwrap()));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let fault = Arc::new(Mutex::new(fault));
        for (listener, is_store) in [(hub, false), (store, true)] {
            let host = Host {
                store: (!is_store).then(|| store_endpoint.clone()),
                files: Arc::clone(&files),
                fault: Arc::clone(&fault),
                log: Arc::clone(&requests),
            };
            thread::spawn(move || {
                for stream in listener.incoming() {
                    host.serve(&mut stream.unwrap());
                }
            });
        }
        Self { endpoint, requests }
    }

    /// Host, path and range of every request so far, e.g. `store /org/set/resolve/main/a.bin bytes=0-`.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// The hub itself, or its store.
struct Host {
    /// Where the hub redirects to; `None` is the store.
    store: Option<String>,
    files: Files,
    fault: Arc<Mutex<Fault>>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Host {
    /// Answers one request.
    fn serve(&self, stream: &mut TcpStream) {
        let lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
        let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        let header = |name: &str| head.iter().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
        let path = head[0].split(' ').nth(1).unwrap().split('?').next().unwrap();
        let (range, token) = (header("Range: "), header("Authorization: Bearer "));
        let name = if self.store.is_some() { "hub" } else { "store" };
        self.log.lock().unwrap().push(format!("{name} {path} {range}{}", if token.is_empty() { "" } else { " token" }));
        stream.write_all(&self.answer(path, &range, &token)).unwrap();
    }

    fn answer(&self, path: &str, range: &str, token: &str) -> Vec<u8> {
        let mut fault = self.fault.lock().unwrap();
        let hub = self.store.is_some();
        match *fault {
            Fault::Status(status) => return head(status, &[]),
            Fault::Token(status) if hub && token != TOKEN => return head(status, &[]),
            Fault::AsksToWait(seconds) if hub => {
                *fault = Fault::None;
                return head("429 Too Many Requests", &[("Retry-After", seconds)]);
            }
            Fault::Renamed if hub && !path.starts_with("/new/") => {
                let location = format!("/new{path}");
                return head("307 Temporary Redirect", &[("Location", &location), ("ETag", "\"a redirection\"")]);
            }
            _ => {}
        }
        let Some(mut content) = (self.files)(path.strip_prefix("/new").unwrap_or(path)) else {
            return head("404 Not Found", &[]);
        };
        let tag = format!("\"{:x}\"", Sha256::digest(&content));
        if let (Some(store), false) = (&self.store, path.ends_with(".json")) {
            let (location, size) = (format!("{store}{path}?signature=1"), content.len().to_string());
            let headers = [("Location", location.as_str()), ("X-Linked-Etag", &tag), ("X-Linked-Size", &size)];
            return head("302 Found", &[&headers[..], &[("X-Repo-Commit", REVISION)]].concat());
        }
        if *fault == Fault::OtherContent {
            content[0] ^= 1;
        }
        let mut own = vec![("ETag", tag.as_str())];
        own.extend(hub.then_some(("X-Repo-Commit", REVISION)));
        part(&content, range, &own, &mut fault)
    }
}

/// Answers a request for `bytes=START-`.
fn part(content: &[u8], range: &str, headers: &[(&str, &str)], fault: &mut Fault) -> Vec<u8> {
    let start: usize = range.strip_prefix("bytes=").unwrap().trim_end_matches('-').parse().unwrap();
    let whole = *fault == Fault::IgnoresRanges;
    let start = if whole { 0 } else { start };
    if start >= content.len() {
        return head("416 Range Not Satisfiable", &[]);
    }
    let mut body = content[start..].to_vec();
    let (length, covered) = (body.len().to_string(), format!("bytes {start}-{}/{}", content.len() - 1, content.len()));
    let mut all = headers.to_vec();
    all.push(("Content-Length", &length));
    if !whole {
        all.push(("Content-Range", &covered));
    }
    let mut answer = head(if whole { "200 OK" } else { "206 Partial Content" }, &all);
    if let Fault::BreaksOffAfter(bytes) = *fault {
        body.truncate(bytes);
        *fault = Fault::None;
    }
    answer.extend(body);
    answer
}

/// The head of an answer.
fn head(status: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "Content-Length") {
        text += "Content-Length: 0\r\n";
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    (text + "\r\n").into_bytes()
}

/// Whether requests to 127.0.0.1 would go through a proxy of the environment, where no local hub is reached.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub(crate) fn proxied() -> bool {
    let variables = ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"];
    let set = variables.iter().any(|name| [*name, &name.to_lowercase()].iter().any(|n| std::env::var_os(n).is_some()));
    if set {
        eprintln!("skipped: a proxy is set");
    }
    set
}
