//! Redis and Valkey: PING, or AUTH and a command.
// Source: Redis serialization protocol specification, RESP2.

use hsu_model::health::probe::{Database, Login};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

use super::{Answered, broken, exactly};
use crate::connection::Connection;
use crate::look::{MOST_BODY, Tools, Trouble};
use crate::pattern::shown;
use crate::prober::Subject;

/// The longest line of an answer.
const LINE: u64 = 4 << 10;

pub(super) async fn look(
    tools: &Tools,
    wanted: &Database,
    subject: &Subject,
    login: Option<(&Login, &str)>,
) -> Result<Answered, Trouble> {
    let connection = tools.network.connect(&wanted.endpoint, &[], subject).await?;
    let mut stream = BufReader::new(connection);
    if let Some((login, password)) = login {
        let own = [&b"AUTH"[..], login.user.as_bytes(), password.as_bytes()];
        let old = [&b"AUTH"[..], password.as_bytes()];
        let words = if login.user.is_empty() { &old[..] } else { &own[..] };
        ask(&mut stream, words).await?;
        if let Some(database) = &login.database {
            ask(&mut stream, &[b"SELECT", database.as_bytes()]).await?;
        }
    }
    let query = wanted.query.as_deref().unwrap_or("PING");
    let words: Vec<&[u8]> = query.split_ascii_whitespace().map(str::as_bytes).collect();
    match ask(&mut stream, &words).await {
        Ok(value) if wanted.query.is_some() => {
            Ok(Answered { note: "answered".to_owned(), value: Some(value) })
        }
        Ok(value) if value == b"PONG" => Ok(Answered::note("PONG")),
        Ok(value) => Err(Trouble::Bad(format!("answered {} to PING", shown(&value)))),
        // It is there, and takes clients that have a password.
        Err(Trouble::Bad(why)) if login.is_none() && why.contains("NOAUTH") => {
            Ok(Answered::note("asks for a password"))
        }
        Err(trouble) => Err(trouble),
    }
}

/// Sends a command; the first value of its answer.
async fn ask(stream: &mut BufReader<Connection>, words: &[&[u8]]) -> Result<Vec<u8>, Trouble> {
    let mut command = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        command.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        command.extend_from_slice(word);
        command.extend_from_slice(b"\r\n");
    }
    stream.write_all(&command).await.map_err(|error| broken(&error))?;
    stream.flush().await.map_err(|error| broken(&error))?;
    // A list is answered with its first value.
    for _ in 0..8 {
        let line = line(stream).await?;
        let (kind, rest) = line.split_first().ok_or_else(|| Trouble::bad("an empty answer"))?;
        let number = || std::str::from_utf8(rest).ok().and_then(|text| text.parse::<i64>().ok());
        match kind {
            b'+' | b':' => return Ok(rest.to_vec()),
            b'-' => return Err(Trouble::Bad(format!("refused: {}", shown(rest)))),
            b'$' => {
                let length = number().ok_or_else(|| Trouble::bad("an answer that is no Redis"))?;
                let Ok(length) = usize::try_from(length) else { return Ok(Vec::new()) };
                let length = length.min(MOST_BODY);
                return exactly(stream, length).await;
            }
            b'*' if number() == Some(0) || number() == Some(-1) => return Ok(Vec::new()),
            b'*' => {}
            _ => return Err(Trouble::Bad(format!("this is no Redis: {}", shown(&line)))),
        }
    }
    Err(Trouble::bad("lists within lists"))
}

async fn line(stream: &mut BufReader<Connection>) -> Result<Vec<u8>, Trouble> {
    let mut line = Vec::new();
    let mut bounded = stream.take(LINE);
    bounded.read_until(b'\n', &mut line).await.map_err(|error| broken(&error))?;
    match line.strip_suffix(b"\r\n") {
        Some(text) => Ok(text.to_vec()),
        None if line.is_empty() => Err(broken(&std::io::ErrorKind::UnexpectedEof.into())),
        None => Err(Trouble::Bad(format!("this is no Redis: {}", shown(&line)))),
    }
}
