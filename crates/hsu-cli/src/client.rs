//! The client: one HTTP request a connection, over the local socket.
//!
//! Small and blocking on purpose: a command line that lists a thousand workers
//! has no time for a runtime.

use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use hsu_api::Problem;
use hsu_model::process::ProcessKey;
use hsu_sys::local::LocalStream;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::exit::{Failure, named};
use crate::handover::Return;

/// How long a plain question may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// Headers of an answer at most.
const HEADERS: usize = 32;
/// The longest head of an answer.
const LONGEST_HEAD: usize = 64 << 10;

/// Asks one master.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    socket: PathBuf,
}

/// The body of an answer, which may still be coming.
#[derive(Debug)]
pub(crate) struct Answer {
    reader: BufReader<LocalStream>,
    length: Length,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Known(u64),
    Chunked,
    UntilEnd,
}

impl Client {
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Where it asks, as messages name it.
    pub(crate) fn place(&self) -> String {
        named(&self.socket)
    }

    /// Asks and reads the whole answer as JSON.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let bytes = self.bytes("GET", path, "", Some(PATIENCE))?;
        parse(&bytes)
    }

    /// Asks and reads the whole answer.
    pub(crate) fn bytes(
        &self,
        method: &str,
        path: &str,
        body: &str,
        patience: Option<Duration>,
    ) -> Result<Vec<u8>, Failure> {
        Self::again(method, |lost| {
            let mut bytes = Vec::new();
            let mut answer = self.ask_once(method, path, body, patience, lost)?;
            while self.read(&mut answer, &mut bytes)? {}
            Ok(bytes)
        })
    }

    /// Asks; the answer is read piece by piece.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        body: &str,
        patience: Option<Duration>,
    ) -> Result<Answer, Failure> {
        Self::again(method, |lost| self.ask_once(method, path, body, patience, lost))
    }

    /// A question changes nothing: a master that is lost while it answers leaves it to the
    /// next one. An order may have been carried out.
    fn again<T>(
        method: &str,
        mut attempt: impl FnMut(&mut Return) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut lost = Return::default();
        loop {
            match attempt(&mut lost) {
                Err(Failure::Ended) if method == "GET" && lost.may_come() => {}
                outcome => return outcome,
            }
        }
    }

    fn ask_once(
        &self,
        method: &str,
        path: &str,
        body: &str,
        patience: Option<Duration>,
        lost: &mut Return,
    ) -> Result<Answer, Failure> {
        let mut exchange = || -> io::Result<(u16, Answer)> {
            let mut stream = lost.connect(&self.socket, patience)?;
            let request = format!(
                "{method} {path} HTTP/1.1\r\nhost: hsu\r\nconnection: close\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(request.as_bytes())?;
            read_head(BufReader::with_capacity(64 << 10, stream))
        };
        let (status, mut answer) = exchange().map_err(|error| self.failure(error))?;
        if status < 300 {
            return Ok(answer);
        }
        let mut bytes = Vec::new();
        while self.read(&mut answer, &mut bytes)? {}
        let problem = serde_json::from_slice(&bytes).unwrap_or_else(|_| {
            // Refused before any route was asked: the body, if any, is no problem of ours.
            let detail = match bytes.as_slice() {
                [] => format!("the master refuses the request with HTTP status {status}"),
                text => String::from_utf8_lossy(text).into_owned(),
            };
            Problem::new(status, "http", "refused", detail)
        });
        Err(Failure::Problem(Box::new(problem)))
    }

    /// Appends the next piece of an answer; whether there may be more.
    pub(crate) fn read(&self, answer: &mut Answer, into: &mut Vec<u8>) -> Result<bool, Failure> {
        answer.read(into).map_err(|error| self.failure(error))
    }

    /// The master's process, where the system tells who listens.
    pub(crate) fn master_process(&self) -> Option<ProcessKey> {
        LocalStream::connect(&self.socket, Some(PATIENCE)).ok()?.peer().ok()
    }

    fn failure(&self, error: io::Error) -> Failure {
        use io::ErrorKind as Kind;
        let path = self.socket.clone();
        let kind = error.kind();
        if matches!(kind, Kind::WouldBlock | Kind::TimedOut) {
            Failure::Silent { path }
        } else if kind == Kind::InvalidData {
            Failure::Answer(error.to_string())
        } else if matches!(kind, Kind::UnexpectedEof | Kind::ConnectionReset | Kind::BrokenPipe) {
            Failure::Ended
        } else {
            Failure::Unreachable { path, source: error }
        }
    }
}

/// Reads JSON that a master wrote.
pub(crate) fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(bytes).map_err(|error| Failure::Answer(error.to_string()))
}

fn bad(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.to_owned())
}

fn early() -> io::Error {
    io::Error::from(io::ErrorKind::UnexpectedEof)
}

/// One line of a head, bounded.
fn read_line(reader: &mut BufReader<LocalStream>, into: &mut Vec<u8>) -> io::Result<()> {
    let room = LONGEST_HEAD.saturating_sub(into.len());
    let room = u64::try_from(room).unwrap_or(u64::MAX);
    match reader.take(room).read_until(b'\n', into)? {
        0 if room == 0 => Err(bad("the head of the answer is too long")),
        0 => Err(early()),
        _ => Ok(()),
    }
}

fn read_head(mut reader: BufReader<LocalStream>) -> io::Result<(u16, Answer)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        read_line(&mut reader, &mut head)?;
    }
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    response.parse(&head).map_err(|error| bad(&error.to_string()))?;
    let status = response.code.ok_or_else(|| bad("the answer has no status"))?;
    let header = |name: &str| {
        let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok())
    };
    let length = match (header("transfer-encoding"), header("content-length")) {
        (Some(_), _) => Length::Chunked,
        (None, Some(text)) => {
            Length::Known(text.trim().parse().map_err(|_| bad("a malformed length"))?)
        }
        (None, None) => Length::UntilEnd,
    };
    Ok((status, Answer { reader, length }))
}

impl Answer {
    /// Appends the next piece of the body; whether there may be more.
    fn read(&mut self, into: &mut Vec<u8>) -> io::Result<bool> {
        match self.length {
            Length::Known(length) => {
                self.exactly(length, into)?;
                Ok(false)
            }
            Length::UntilEnd => {
                self.reader.read_to_end(into)?;
                Ok(false)
            }
            Length::Chunked => {
                let mut line = Vec::new();
                read_line(&mut self.reader, &mut line)?;
                let size = std::str::from_utf8(&line).unwrap_or_default();
                let size = size.split(';').next().unwrap_or_default().trim();
                let size = u64::from_str_radix(size, 16).map_err(|_| bad("a malformed chunk"))?;
                self.exactly(size, into)?;
                line.clear();
                read_line(&mut self.reader, &mut line)?;
                Ok(size > 0)
            }
        }
    }

    fn exactly(&mut self, length: u64, into: &mut Vec<u8>) -> io::Result<()> {
        let read = (&mut self.reader).take(length).read_to_end(into)?;
        if u64::try_from(read).is_ok_and(|read| read == length) { Ok(()) } else { Err(early()) }
    }
}
