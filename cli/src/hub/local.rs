//! A hub on 127.0.0.1 for tests, with one file: it answers as the real one does, by a redirection to a store.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::Hub;

/// The bytes of the file.
pub(crate) const CONTENT: &[u8] = &[b'x'; 100_000];

/// Their SHA-256.
pub(crate) const SHA256: &str = "d69e68988157833272305aaf21f453c800346e8a3640db6578e260215542e5d4";

/// The commit that the hub claims to serve.
pub(crate) const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the hub does wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Every request is answered with this status.
    Status(&'static str),
    /// The first transfer ends after so many bytes.
    BreaksOffAfter(usize),
    /// One byte of the file is another one.
    OtherContent,
}

/// A running hub; its thread ends with the tests.
pub(crate) struct LocalHub {
    pub(crate) endpoint: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl LocalHub {
    pub(crate) fn start(fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (log, store) = (Arc::clone(&requests), format!("{endpoint}/store"));
        thread::spawn(move || {
            let mut fault = fault;
            for stream in listener.incoming() {
                serve(&mut stream.unwrap(), &store, &mut fault, &log);
            }
        });
        Self { endpoint, requests }
    }

    pub(crate) fn hub(&self) -> Hub {
        Hub::at(&self.endpoint)
    }

    /// Path and range of every request so far, e.g. `/store bytes=0-`.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// Answers one request.
fn serve(stream: &mut TcpStream, store: &str, fault: &mut Fault, log: &Mutex<Vec<String>>) {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let path = head[0].split(' ').nth(1).unwrap();
    let range = head.iter().find_map(|line| line.strip_prefix("Range: ")).unwrap();
    log.lock().unwrap().push(format!("{path} {range}"));
    let answer = match *fault {
        Fault::Status(status) => format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").into(),
        _ if path == "/store" => content(range, fault),
        _ => format!(
            "HTTP/1.1 302 Found\r\nLocation: {store}\r\nX-Linked-Etag: \"{SHA256}\"\r\nX-Repo-Commit: {REVISION}\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n"
        )
        .into(),
    };
    stream.write_all(&answer).unwrap();
}

/// Answers a request for `bytes=START-` or `bytes=START-END`.
fn content(range: &str, fault: &mut Fault) -> Vec<u8> {
    let (start, end) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    let start: usize = start.parse().unwrap();
    let end = end.parse().map_or(CONTENT.len(), |last: usize| last + 1);
    if start >= CONTENT.len() {
        return b"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into();
    }
    let mut body = CONTENT[start..end].to_vec();
    let mut answer = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{}/{}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        end - 1,
        CONTENT.len(),
        body.len()
    )
    .into_bytes();
    match *fault {
        Fault::OtherContent => body[0] = b'y',
        Fault::BreaksOffAfter(bytes) if body.len() > 1 => {
            body.truncate(bytes);
            *fault = Fault::None;
        }
        _ => (),
    }
    answer.extend(body);
    answer
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
