//! A small HTTP server for one user of this machine: one request per connection, with limits on size and time.

mod request;

use std::fmt::Display;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;

use crate::context::{print, warn};
use crate::exit::bad_input;
pub(crate) use request::Request;
use request::{HEAD, Head, Refusal, head};

/// Time within which a request must have arrived.
const ARRIVAL: Duration = Duration::from_secs(20);
/// Threads that receive requests.
const RECEIVERS: usize = 4;

/// An answer.
#[derive(Debug)]
pub(crate) struct Response {
    status: u16,
    content_type: &'static str,
    body: Vec<u8>,
}

impl Response {
    pub(crate) fn html(html: String) -> Self {
        Self { status: 200, content_type: "text/html; charset=utf-8", body: html.into_bytes() }
    }

    pub(crate) fn text(text: String) -> Self {
        Self { status: 200, content_type: "text/plain; charset=utf-8", body: format!("{text}\n").into_bytes() }
    }

    pub(crate) fn json(status: u16, value: &Value) -> Self {
        Self { status, content_type: "application/json", body: format!("{value:#}\n").into_bytes() }
    }

    pub(crate) fn jpeg(bytes: Vec<u8>) -> Self {
        Self { status: 200, content_type: "image/jpeg", body: bytes }
    }

    /// An answer without what was asked for, with the reason.
    pub(crate) fn refusal(status: u16, reason: &str) -> Self {
        Self { status, ..Self::text(reason.to_owned()) }
    }

    fn write(&self, stream: &mut TcpStream) -> io::Result<()> {
        let reason = match self.status {
            200 => "OK",
            400 => "Bad Request",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            408 => "Request Timeout",
            413 => "Content Too Large",
            _ => "Internal Server Error",
        };
        let head = format!(
            "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\nX-Content-Type-Options: nosniff\r\n\
             Referrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: same-origin\r\nConnection: close\r\n\r\n",
            self.status,
            self.content_type,
            self.body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(&self.body)
    }
}

impl From<Refusal> for Response {
    fn from(Refusal { status, reason }: Refusal) -> Self {
        Self::refusal(status, &reason)
    }
}

/// Opens a server's port on the loopback interface, prints where `subject` is, and opens a browser if it is asked to.
///
/// # Errors
/// [`BadInput`](hashlab_app::BadInput) if the port is taken.
pub(crate) fn listen(subject: &dyn Display, port: u16, browser: bool) -> Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| {
        bad_input(format!("cannot listen on port {port}: {error}\nhelp: `--port 0` takes a free one"))
    })?;
    let address = format!("http://{}/", listener.local_addr()?);
    print(&format!("{subject} at {address}; Ctrl-C ends it\n"))?;
    if browser && let Err(error) = open::that_detached(&address) {
        warn(&format!("no browser was opened: {error}"));
    }
    Ok(listener)
}

/// Answers requests, one at a time, until the listener fails. Receiving them is the work of other threads, so that a slow
/// client keeps nobody waiting.
///
/// # Errors
/// If the listener fails.
pub(crate) fn serve(listener: &TcpListener, answer: impl Fn(&Request) -> Response) -> io::Result<()> {
    let port = listener.local_addr()?.port();
    let (arrived, requests) = channel::<(Request, Sender<Response>)>();
    std::thread::scope(|scope| {
        for _ in 0..RECEIVERS {
            let arrived = arrived.clone();
            let listener = listener.try_clone()?;
            scope.spawn(move || {
                for stream in listener.incoming() {
                    // A client that went away is no matter.
                    let _ = stream.and_then(|stream| converse(stream, port, &arrived));
                }
            });
        }
        drop(arrived);
        for (request, reply) in requests {
            let _ = reply.send(answer(&request));
        }
        Ok(())
    })
}

/// Receives a request, hands it on, and sends the answer back.
fn converse(mut stream: TcpStream, port: u16, arrived: &Sender<(Request, Sender<Response>)>) -> io::Result<()> {
    stream.set_write_timeout(Some(ARRIVAL))?;
    let response = match receive(&mut stream, port, Instant::now() + ARRIVAL) {
        Ok(request) => {
            let (reply, answered) = channel();
            let unanswered = || Response::refusal(500, "the search ended");
            match arrived.send((request, reply)) {
                Ok(()) => answered.recv().unwrap_or_else(|_| unanswered()),
                Err(_) => unanswered(),
            }
        }
        Err(refusal) => refusal,
    };
    response.write(&mut stream)
}

/// Reads a request up to its end.
fn receive(stream: &mut TcpStream, port: u16, until: Instant) -> Result<Request, Response> {
    let mut bytes = Vec::new();
    let Head { mut request, start, length } = loop {
        if let Some(head) = head(&bytes, port)? {
            break head;
        }
        if bytes.len() > HEAD {
            return Err(Response::refusal(413, "the head of the request is too long"));
        }
        read_more(stream, &mut bytes, until)?;
    };
    while bytes.len() < start + length {
        read_more(stream, &mut bytes, until)?;
    }
    request.body = bytes[start..start + length].to_vec();
    Ok(request)
}

fn read_more(stream: &mut TcpStream, bytes: &mut Vec<u8>, until: Instant) -> Result<(), Response> {
    let late = || Response::refusal(408, "the request did not arrive in time");
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
        return Err(late());
    }
    let mut part = [0; 64 << 10];
    match stream.read(&mut part) {
        Ok(0) => Err(Response::refusal(400, "the request ends early")),
        Ok(read) => {
            bytes.extend_from_slice(&part[..read]);
            Ok(())
        }
        Err(_) => Err(late()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends bytes to a server, and returns all that comes back.
    fn exchange(request: &[u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (arrived, requests) = channel::<(Request, Sender<Response>)>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let (stream, _) = listener.accept().unwrap();
                converse(stream, address.port(), &arrived)
            });
            scope.spawn(move || {
                for (request, reply) in requests {
                    let text =
                        format!("{} {} {:?} {}", request.method, request.path, request.parameters, request.body.len());
                    reply.send(Response::refusal(200, &text)).unwrap();
                }
            });
            let mut stream = TcpStream::connect(address).unwrap();
            stream
                .write_all(String::from_utf8_lossy(request).replace("PORT", &address.port().to_string()).as_bytes())
                .unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            String::from_utf8_lossy(&answer).into_owned()
        })
    }

    #[test]
    fn a_request_is_taken_apart() {
        let answer = exchange(b"GET /a?text=red+bag%21&top=3 HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("GET /a [(\"text\", \"red bag!\"), (\"top\", \"3\")] 0\n"), "{answer}");
        let posted = exchange(b"POST /b HTTP/1.1\r\nHost: localhost:PORT\r\nContent-Length: 5\r\n\r\n12345");
        assert!(posted.ends_with("POST /b [] 5\n"), "{posted}");
    }

    #[test]
    fn other_sites_and_odd_requests_are_refused() {
        let cases: [(&[u8], &str); 7] = [
            (b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n", "403"),
            (b"GET / HTTP/1.1\r\n\r\n", "403"),
            (b"POST / HTTP/1.1\r\nHost: localhost:PORT\r\nOrigin: http://example.org\r\n\r\n", "403"),
            (b"POST / HTTP/1.1\r\nHost: localhost:PORT\r\nContent-Length: 99999999999\r\n\r\n", "413"),
            (b"POST / HTTP/1.1\r\nHost: localhost:PORT\r\nContent-Length: -1\r\n\r\n", "400"),
            (b"POST / HTTP/1.1\r\nHost: localhost:PORT\r\nContent-Length: 9\r\n\r\n123", "400"),
            (b"\x00\x01\r\n\r\n", "400"),
        ];
        for (request, status) in cases {
            let answer = exchange(request);
            assert_eq!(answer.get(9..12), Some(status), "{answer}");
        }
        let endless = [b"GET / HTTP/1.1\r\n", vec![b'a'; HEAD + 1].as_slice()].concat();
        assert_eq!(exchange(&endless).get(9..12), Some("413"));
    }
}
