//! HTTP, as much of it as a question to a neighbour needs: one request, one answer of
//! bounded size within a bounded time. No redirects, no proxies, nothing kept open.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

/// The largest answer that is taken.
const LARGEST_ANSWER: usize = 1 << 20;
/// The most header lines of an answer.
const MOST_HEADERS: usize = 100;

/// A question.
#[derive(Debug)]
pub(crate) struct Question<'q> {
    pub(crate) url: &'q str,
    /// A body makes it a POST.
    pub(crate) body: Option<&'q str>,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) timeout: Duration,
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Asks. The reason of a failure is a sentence for people.
pub(crate) fn ask(question: &Question<'_>) -> Result<Answer, String> {
    let url = question.url;
    let Some((host, path)) = parts(url) else {
        return Err(format!("{url} is no address of the form http://HOST:PORT/PATH"));
    };
    let bytes = talk(question, host, path).map_err(|error| format!("{url}: {error}"))?;
    parse(&bytes).ok_or_else(|| format!("{url}: the answer is no HTTP"))
}

/// Host with port, and path, of an address; none when it is none of the kind.
fn parts(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("http://")?;
    let (host, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let is_plain = !host.is_empty() && !rest.contains(|c: char| c.is_ascii_control() || c == ' ');
    (is_plain && !host.contains('@')).then_some((host, path))
}

fn talk(question: &Question<'_>, host: &str, path: &str) -> io::Result<Vec<u8>> {
    let until = Instant::now() + question.timeout;
    let has_port = host.rsplit(':').next().is_some_and(|port| port.parse::<u16>().is_ok())
        && !host.ends_with(']');
    let place = if has_port { host.to_owned() } else { format!("{host}:80") };
    let mut stream = connect(&place, until)?;
    let method = if question.body.is_some() { "POST" } else { "GET" };
    let body = question.body.unwrap_or_default();
    let mut text =
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAccept: */*\r\n");
    for (name, value) in &question.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if question.body.is_some() {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    text.push_str(body);
    stream.set_write_timeout(Some(left(until)?))?;
    stream.write_all(text.as_bytes())?;
    let mut answer = Vec::new();
    let mut chunk = [0; 16 << 10];
    while answer.len() < LARGEST_ANSWER {
        stream.set_read_timeout(Some(left(until)?))?;
        match stream.read(&mut chunk)? {
            0 => return Ok(answer),
            count => answer.extend_from_slice(chunk.get(..count).unwrap_or_default()),
        }
    }
    Err(io::Error::other("the answer is too large"))
}

/// Connects to the first address that takes it.
pub(crate) fn connect(place: &str, until: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in place.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, left(until)?) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = head.parse(bytes).ok()? else {
        return None;
    };
    let is_chunked = head.headers.iter().any(|header| {
        header.name.eq_ignore_ascii_case("transfer-encoding")
            && header.value.to_ascii_lowercase().ends_with(b"chunked")
    });
    let rest = bytes.get(length..)?;
    let body = if is_chunked { dechunk(rest)? } else { rest.to_vec() };
    Some(Answer { status: head.code?, body })
}

fn dechunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let httparse::Status::Complete((at, size)) = httparse::parse_chunk_size(rest).ok()? else {
            return None;
        };
        let size = usize::try_from(size).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(at..at.checked_add(size)?)?);
        rest = rest.get(at + size..)?.strip_prefix(b"\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart_or_refused() {
        for (url, expected) in [
            ("http://a:1/x?y=z", Some(("a:1", "/x?y=z"))),
            ("http://[::1]:8500", Some(("[::1]:8500", "/"))),
            ("https://a/", None),
            ("http:///x", None),
            ("http://user@a/", None),
            ("http://a/ HTTP/1.1\r\nX: y", None),
            ("a:1", None),
        ] {
            assert_eq!(parts(url), expected, "{url}");
        }
    }

    #[test]
    fn a_body_is_taken_whole_or_in_chunks_and_what_is_broken_is_no_answer() {
        let answer = |text: &str| parse(text.as_bytes());
        let body = |text: &str| answer(text).map(|answer| answer.body);
        assert_eq!(body("HTTP/1.1 200 OK\r\nA: b\r\n\r\nhello").unwrap(), b"hello");
        let chunked =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        assert_eq!(body(chunked).unwrap(), b"abcde");
        let cut = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc";
        assert_eq!(answer(cut), None);
        assert_eq!(answer("SSH-2.0-x\r\n"), None);
        assert_eq!(answer(""), None);
    }
}
