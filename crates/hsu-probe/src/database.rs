//! Databases: the first words of four protocols, and with a login a real question.
//!
//! Without a login only the protocol is tried: the server says that it is one and
//! that it takes clients. With one, what a client would do is done: it logs in, asks,
//! and looks at the first value of the answer. Every packet has a bound.

use hsu_model::health::probe::{Database, Engine, Login, Secret};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::look::{Looked, MOST_BODY, Seen, Tools, Trouble, trouble};
use crate::pattern::shown;
use crate::prober::Subject;

mod mongodb;
mod mysql;
mod postgres;
mod redis;
mod scram;

/// What a database answered.
pub(crate) struct Answered {
    /// One sentence on it.
    pub(crate) note: String,
    /// The first value of the answer to the question, when there was one.
    pub(crate) value: Option<Vec<u8>>,
}

impl Answered {
    pub(crate) fn note(note: impl Into<String>) -> Self {
        Self { note: note.into(), value: None }
    }
}

pub(crate) async fn look(tools: &Tools, wanted: &Database, subject: &Subject) -> Looked {
    let login = match &wanted.login {
        Some(login) => Some((login, password(login)?)),
        None => None,
    };
    let login = login.as_ref().map(|(login, password)| (*login, password.as_str()));
    let answered = match wanted.engine {
        Engine::Postgres => postgres::look(tools, wanted, subject, login).await,
        Engine::Mysql => mysql::look(tools, wanted, subject, login).await,
        Engine::Redis => redis::look(tools, wanted, subject, login).await,
        Engine::Mongodb => mongodb::look(tools, wanted, subject, login).await,
    }?;
    let Some(value) = answered.value else {
        return Ok(Seen::note(answered.note));
    };
    tools.patterns.expect(wanted.expect.as_ref(), "the answer", &value)?;
    let number = std::str::from_utf8(&value).ok().and_then(|text| text.trim().parse().ok());
    let note = format!("{}, answered {}", answered.note, shown(&value));
    Ok(Seen { value: number, text: value, ..Seen::note(note) })
}

fn password(login: &Login) -> Result<String, Trouble> {
    match &login.password {
        Secret::Text(text) => Ok(text.clone()),
        Secret::File(path) => {
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|error| Trouble::Unable(format!("{path}: {error}")))?;
            Ok(text.lines().next().unwrap_or_default().to_owned())
        }
    }
}

/// An error of a connection to a database.
pub(crate) fn broken(error: &std::io::Error) -> Trouble {
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        return Trouble::bad(
            "the connection was closed: it takes no clients, or is another server",
        );
    }
    trouble("the connection", error)
}

/// Reads so many bytes, and never more than an answer may have.
pub(crate) async fn exactly<S: AsyncRead + Unpin>(
    stream: &mut S,
    length: usize,
) -> Result<Vec<u8>, Trouble> {
    if length > MOST_BODY {
        return Err(Trouble::bad("the answer is none of this protocol, or too long"));
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await.map_err(|error| broken(&error))?;
    Ok(bytes)
}

/// Takes a text that ends with a zero byte from the beginning of `bytes`.
pub(crate) fn text<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (text, rest) = bytes.split_at(end);
    *bytes = rest.get(1..).unwrap_or_default();
    text
}

/// Takes so many bytes from the beginning of `bytes`; none when there are fewer.
pub(crate) fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}
