//! Heads of HTTP requests, parsed from bytes. Nothing here depends on the rest of the crate, so that it is fuzzed alone.

/// Longest head of a request, in bytes.
pub(crate) const HEAD: usize = 16 << 10;
/// Largest body of a request, in bytes.
pub(crate) const BODY: usize = 32 << 20;
/// Most headers of a request.
const HEADERS: usize = 64;

/// A request.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path of the address, without parameters.
    pub(crate) path: String,
    /// Parameters of the address.
    pub(crate) parameters: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The value of a parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// The head of a request.
#[derive(Debug)]
pub(crate) struct Head {
    /// The request without its body.
    pub(crate) request: Request,
    /// Where the body starts.
    pub(crate) start: usize,
    /// Length of the body, at most [`BODY`].
    pub(crate) length: usize,
}

/// Why a request is not answered.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// Status of the answer.
    pub(crate) status: u16,
    pub(crate) reason: String,
}

impl Refusal {
    fn new(status: u16, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }
}

/// Parses the head of a request. `None` until all of it is there. A page of another site is refused, by its `Host` or
/// `Origin`: it may know the port, and its name may lead here.
///
/// # Errors
/// [`Refusal`], for the client.
pub(crate) fn head(bytes: &[u8], port: u16) -> Result<Option<Head>, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let bad = |reason: &str| Refusal::new(400, reason);
    let start = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(start)) => start,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(bad(&format!("this is no HTTP: {error}"))),
    };
    let header = |name: &str| {
        let header = parsed.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        header.and_then(|header| std::str::from_utf8(header.value).ok())
    };
    let own = |host: &str| ["127.0.0.1", "localhost", "[::1]"].iter().any(|name| host == format!("{name}:{port}"));
    let origin = header("origin").map(|origin| origin.strip_prefix("http://").unwrap_or(origin));
    if !header("host").is_some_and(own) || !origin.is_none_or(own) {
        return Err(Refusal::new(403, "this page is for this machine alone"));
    }
    if header("transfer-encoding").is_some() {
        return Err(bad("the length of the body must be stated"));
    }
    let length = header("content-length").map_or(Ok(0), str::parse).map_err(|_| bad("a bad length of the body"))?;
    if length > BODY {
        return Err(Refusal::new(413, format!("an image may have {} MiB", BODY >> 20)));
    }
    let target = parsed.path.unwrap_or_default();
    let (path, parameters) = target.split_once('?').unwrap_or((target, ""));
    let parameters = form_urlencoded::parse(parameters.as_bytes()).into_owned().collect();
    let method = parsed.method.unwrap_or_default().to_owned();
    Ok(Some(Head { request: Request { method, path: path.to_owned(), parameters, body: Vec::new() }, start, length }))
}
