//! PostgreSQL: the startup message, and with a login a simple query.
// Source: PostgreSQL documentation, "Frontend/Backend Protocol", version 3.0.

use hsu_model::health::probe::{Database, Login};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::scram::Scram;
use super::{Answered, Trouble, broken, exactly, take, text};
use crate::connection::Connection;
use crate::look::Tools;
use crate::md5;
use crate::pattern::shown;
use crate::prober::Subject;

const VERSION: i32 = 3 << 16;
const SSL_REQUEST: i32 = 80_877_103;
/// Messages that are read before an answer must have come.
const MOST_MESSAGES: usize = 200;

pub(super) async fn look(
    tools: &Tools,
    wanted: &Database,
    subject: &Subject,
    login: Option<(&Login, &str)>,
) -> Result<Answered, Trouble> {
    let mut stream = connect(tools, wanted, subject).await?;
    let user = login.map_or("hsu_check", |(login, _)| login.user.as_str());
    let database = login.and_then(|(login, _)| login.database.as_deref());
    begin(&mut stream, user, database).await?;
    let Some((login, password)) = login else {
        return greeted(&mut stream).await;
    };
    log_in(&mut stream, login, password).await?;
    let query = wanted.query.as_deref().unwrap_or("SELECT 1");
    let value = query_first(&mut stream, query).await?;
    send(&mut stream, b'X', &[]).await?;
    Ok(Answered { note: format!("logged in as {}", login.user), value: Some(value) })
}

/// TLS begins in the open: the server is asked whether it has it.
async fn connect(
    tools: &Tools,
    wanted: &Database,
    subject: &Subject,
) -> Result<Connection, Trouble> {
    let (mut plain, peer) = tools.network.connect_plain(&wanted.endpoint, subject).await?;
    let Some(tls) = &wanted.endpoint.tls else {
        return Ok(Connection::plain(plain, peer));
    };
    let mut request = 8_i32.to_be_bytes().to_vec();
    request.extend_from_slice(&SSL_REQUEST.to_be_bytes());
    plain.write_all(&request).await.map_err(|error| broken(&error))?;
    match plain.read_u8().await.map_err(|error| broken(&error))? {
        b'S' => tools.network.protect(plain, peer, &wanted.endpoint, tls).await,
        _ => Err(Trouble::bad("the server has no TLS")),
    }
}

async fn begin(stream: &mut Connection, user: &str, database: Option<&str>) -> Result<(), Trouble> {
    let mut body = VERSION.to_be_bytes().to_vec();
    let database = database.unwrap_or(user);
    for (name, value) in
        [("user", user), ("database", database), ("application_name", "hsu-master")]
    {
        body.extend_from_slice(name.as_bytes());
        body.push(0);
        body.extend_from_slice(value.as_bytes());
        body.push(0);
    }
    body.push(0);
    let mut message = length_of(&body);
    message.extend_from_slice(&body);
    stream.write_all(&message).await.map_err(|error| broken(&error))?;
    stream.flush().await.map_err(|error| broken(&error))
}

/// The length of a message, which counts itself.
fn length_of(body: &[u8]) -> Vec<u8> {
    u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes().to_vec()
}

async fn send(stream: &mut Connection, kind: u8, body: &[u8]) -> Result<(), Trouble> {
    let mut message = vec![kind];
    message.extend(length_of(body));
    message.extend_from_slice(body);
    stream.write_all(&message).await.map_err(|error| broken(&error))?;
    stream.flush().await.map_err(|error| broken(&error))
}

/// The next message: its kind and its body.
async fn message(stream: &mut Connection) -> Result<(u8, Vec<u8>), Trouble> {
    let kind = stream.read_u8().await.map_err(|error| broken(&error))?;
    let length = stream.read_u32().await.map_err(|error| broken(&error))?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let Some(length) = length.checked_sub(4) else {
        return Err(Trouble::bad("this is no PostgreSQL"));
    };
    Ok((kind, exactly(stream, length).await?))
}

/// What the server says to a client that it does not know: as `pg_isready` reads it,
/// a server that refuses this user takes others, and one that starts up takes nobody.
async fn greeted(stream: &mut Connection) -> Result<Answered, Trouble> {
    let (kind, body) = message(stream).await?;
    match kind {
        b'R' => Ok(Answered::note("asks who comes")),
        b'E' => {
            let (code, words) = error(&body);
            match code.as_str() {
                // Source: PostgreSQL documentation, "PostgreSQL Error Codes", class 57 and 53.
                "57P01" | "57P02" | "57P03" | "53300" => {
                    Err(Trouble::Bad(format!("takes no clients: {words}")))
                }
                code if code.starts_with("28") || code.starts_with("3D") => {
                    Ok(Answered::note("takes clients"))
                }
                _ => Err(Trouble::Bad(words)),
            }
        }
        _ => Err(Trouble::bad("this is no PostgreSQL")),
    }
}

async fn log_in(stream: &mut Connection, login: &Login, password: &str) -> Result<(), Trouble> {
    let mut scram = None;
    let mut expected = None;
    for _ in 0..MOST_MESSAGES {
        let (kind, body) = message(stream).await?;
        let mut rest = body.as_slice();
        match kind {
            b'E' => return Err(refused(&body)),
            b'Z' => return Ok(()),
            b'R' => {}
            // Parameters, notices and the key to cancel with.
            _ => continue,
        }
        let code =
            take(&mut rest, 4).and_then(|code| Some(i32::from_be_bytes(code.try_into().ok()?)));
        match code {
            Some(0) => {}
            Some(3) => send(stream, b'p', &ended(password.as_bytes())).await?,
            Some(5) => {
                let inner = md5::hex(&[password.as_bytes(), login.user.as_bytes()].concat());
                let outer = md5::hex(&[inner.as_bytes(), rest].concat());
                send(stream, b'p', &ended(format!("md5{outer}").as_bytes())).await?;
            }
            Some(10) => {
                if !rest.split(|byte| *byte == 0).any(|name| name == b"SCRAM-SHA-256") {
                    return Err(Trouble::Unable(
                        "the server wants another kind of proof".to_owned(),
                    ));
                }
                let begun = Scram::new("")?;
                let first = begun.first();
                let mut body = ended(b"SCRAM-SHA-256");
                body.extend(u32::try_from(first.len()).unwrap_or(0).to_be_bytes());
                body.extend_from_slice(first.as_bytes());
                send(stream, b'p', &body).await?;
                scram = Some(begun);
            }
            Some(11) => {
                let Some(begun) = &scram else { return Err(Trouble::bad("this is no PostgreSQL")) };
                let server = String::from_utf8_lossy(rest);
                let (last, proof) = begun.last(&server, password)?;
                send(stream, b'p', last.as_bytes()).await?;
                expected = Some(proof);
            }
            Some(12) => {
                if expected.as_deref().map(str::as_bytes) != Some(rest) {
                    return Err(Trouble::bad("the server does not know the password itself"));
                }
            }
            Some(other) => {
                let why = format!("the server wants a proof of kind {other}, which is not built");
                return Err(Trouble::Unable(why));
            }
            None => return Err(Trouble::bad("this is no PostgreSQL")),
        }
    }
    Err(Trouble::bad("the login has no end"))
}

fn ended(text: &[u8]) -> Vec<u8> {
    [text, &[0]].concat()
}

/// Asks; the first value of the first row.
async fn query_first(stream: &mut Connection, query: &str) -> Result<Vec<u8>, Trouble> {
    send(stream, b'Q', &ended(query.as_bytes())).await?;
    let mut first = None;
    for _ in 0..MOST_MESSAGES {
        let (kind, body) = message(stream).await?;
        match kind {
            b'E' => return Err(refused(&body)),
            b'Z' => return Ok(first.unwrap_or_default()),
            b'D' if first.is_none() => first = first_value(&body),
            _ => {}
        }
    }
    // What was asked for is there already.
    first.ok_or_else(|| Trouble::bad("the answer has no end"))
}

fn first_value(row: &[u8]) -> Option<Vec<u8>> {
    let mut rest = row;
    take(&mut rest, 2)?;
    let length = i32::from_be_bytes(take(&mut rest, 4)?.try_into().ok()?);
    // A null has the length -1.
    let length = usize::try_from(length).ok()?;
    take(&mut rest, length).map(<[u8]>::to_vec)
}

fn refused(body: &[u8]) -> Trouble {
    let (code, words) = error(body);
    Trouble::Bad(format!("refused ({code}): {words}"))
}

/// Code and message of an error.
fn error(body: &[u8]) -> (String, String) {
    let (mut code, mut words) = (String::new(), String::new());
    let mut rest = body;
    while let Some((kind, after)) = rest.split_first().filter(|(kind, _)| **kind != 0) {
        rest = after;
        let value = text(&mut rest);
        match kind {
            b'C' => code = String::from_utf8_lossy(value).into_owned(),
            b'M' => words = shown(value),
            _ => {}
        }
    }
    (code, words)
}
