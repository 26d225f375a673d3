//! MySQL and MariaDB: the server's greeting, and with a login a query.
// Source: MySQL Internals, "Client/Server Protocol"; MariaDB, "Connecting".

use hsu_model::health::probe::{Database, Login, Place};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use tokio::io::AsyncWriteExt as _;

use super::{Answered, Trouble, broken, exactly, take, text};
use crate::connection::Connection;
use crate::look::{MOST_BODY, Tools};
use crate::pattern::shown;
use crate::prober::Subject;

/// CLIENT_LONG_PASSWORD, PROTOCOL_41, TRANSACTIONS, SECURE_CONNECTION, PLUGIN_AUTH.
const ABLE: u32 = 0x1 | 0x200 | 0x2000 | 0x8000 | 0x8_0000;
const CONNECT_WITH_DB: u32 = 0x8;
const SSL: u32 = 0x800;
/// utf8mb4_general_ci.
const CHARSET: u8 = 45;
const QUERY: u8 = 3;
const NATIVE: &[u8] = b"mysql_native_password";
const CACHING: &[u8] = b"caching_sha2_password";
/// Packets that are read before an answer must have come.
const MOST_PACKETS: usize = 200;

/// What the server says first.
struct Greeting {
    version: String,
    challenge: Vec<u8>,
    plugin: Vec<u8>,
    able: u32,
}

pub(super) async fn look(
    tools: &Tools,
    wanted: &Database,
    subject: &Subject,
    login: Option<(&Login, &str)>,
) -> Result<Answered, Trouble> {
    let (plain, peer) = tools.network.connect_plain(&wanted.endpoint, subject).await?;
    let mut wire = Wire { stream: Connection::plain(plain, peer), sequence: 0, is_private: false };
    wire.is_private = matches!(wanted.endpoint.place, Place::Socket(_));
    let greeting = greeting(&wire.read().await?)?;
    let Some((login, password)) = login else {
        return Ok(Answered::note(format!("greets as {}", greeting.version)));
    };
    let mut able = ABLE;
    if login.database.is_some() {
        able |= CONNECT_WITH_DB;
    }
    if let Some(tls) = &wanted.endpoint.tls {
        if greeting.able & SSL == 0 {
            return Err(Trouble::bad("the server has no TLS"));
        }
        able |= SSL;
        wire.write(&head(able)).await?;
        let peer = wire.stream.peer.clone();
        let Some(plain) = wire.stream.into_plain() else {
            return Err(Trouble::Unable("TLS within TLS".to_owned()));
        };
        let stream = tools.network.protect(plain, peer, &wanted.endpoint, tls).await?;
        wire = Wire { stream, sequence: wire.sequence, is_private: true };
    }
    let mut body = head(able);
    body.extend_from_slice(login.user.as_bytes());
    body.push(0);
    let proof = proof(&greeting.plugin, password, &greeting.challenge).unwrap_or_default();
    body.push(u8::try_from(proof.len()).unwrap_or(0));
    body.extend_from_slice(&proof);
    if let Some(database) = &login.database {
        body.extend_from_slice(database.as_bytes());
        body.push(0);
    }
    body.extend_from_slice(&greeting.plugin);
    body.push(0);
    wire.write(&body).await?;
    wire.log_in(greeting.plugin, password).await?;
    let query = wanted.query.as_deref().unwrap_or("SELECT 1");
    let value = wire.query_first(query).await?;
    Ok(Answered { note: format!("logged in as {}", login.user), value: Some(value) })
}

/// The beginning of the answer to a greeting.
fn head(able: u32) -> Vec<u8> {
    let mut body = able.to_le_bytes().to_vec();
    body.extend(u32::try_from(MOST_BODY).unwrap_or(u32::MAX).to_le_bytes());
    body.push(CHARSET);
    body.extend([0; 23]);
    body
}

fn greeting(packet: &[u8]) -> Result<Greeting, Trouble> {
    let odd = || Trouble::bad("this is no MySQL");
    let mut rest = packet;
    match take(&mut rest, 1) {
        Some([10]) => {}
        Some([0xff]) => return Err(refused(packet)),
        _ => return Err(odd()),
    }
    let version = String::from_utf8_lossy(text(&mut rest)).chars().take(60).collect();
    take(&mut rest, 4).ok_or_else(odd)?;
    let mut challenge = take(&mut rest, 8).ok_or_else(odd)?.to_vec();
    take(&mut rest, 1).ok_or_else(odd)?;
    let low = take(&mut rest, 2).ok_or_else(odd)?;
    take(&mut rest, 3).ok_or_else(odd)?;
    let high = take(&mut rest, 2).ok_or_else(odd)?;
    let able = [low, high].concat().try_into().map_or(0, u32::from_le_bytes);
    take(&mut rest, 11).ok_or_else(odd)?;
    challenge.extend_from_slice(text(&mut rest));
    let plugin = text(&mut rest).to_vec();
    Ok(Greeting { version, challenge, plugin, able })
}

/// The proof of a password; none when the way of proving is not known.
fn proof(plugin: &[u8], password: &str, challenge: &[u8]) -> Option<Vec<u8>> {
    if password.is_empty() {
        return Some(Vec::new());
    }
    let (algorithm, is_native) = match plugin {
        NATIVE => (&SHA1_FOR_LEGACY_USE_ONLY, true),
        CACHING => (&SHA256, false),
        _ => return None,
    };
    let once = digest(algorithm, password.as_bytes());
    let twice = digest(algorithm, once.as_ref());
    let joined = match is_native {
        true => [challenge, twice.as_ref()].concat(),
        false => [twice.as_ref(), challenge].concat(),
    };
    let mask = digest(algorithm, &joined);
    Some(once.as_ref().iter().zip(mask.as_ref()).map(|(one, two)| one ^ two).collect())
}

/// An error packet in words.
fn refused(packet: &[u8]) -> Trouble {
    let mut rest = packet.get(1..).unwrap_or_default();
    let code =
        take(&mut rest, 2).and_then(|code| code.try_into().ok()).map_or(0, u16::from_le_bytes);
    let words = if rest.first() == Some(&b'#') { rest.get(6..).unwrap_or_default() } else { rest };
    Trouble::Bad(format!("refused ({code}): {}", shown(words)))
}

/// Packets, which are numbered.
struct Wire {
    stream: Connection,
    sequence: u8,
    /// Whether nobody can listen, so that a password may be told.
    is_private: bool,
}

impl Wire {
    async fn read(&mut self) -> Result<Vec<u8>, Trouble> {
        let head = exactly(&mut self.stream, 4).await?;
        let Ok([low, middle, high, sequence]) = <[u8; 4]>::try_from(head) else {
            return Err(Trouble::bad("this is no MySQL"));
        };
        self.sequence = sequence.wrapping_add(1);
        let length = u32::from_le_bytes([low, middle, high, 0]);
        exactly(&mut self.stream, usize::try_from(length).unwrap_or(usize::MAX)).await
    }

    async fn write(&mut self, body: &[u8]) -> Result<(), Trouble> {
        let [low, middle, high, _] = u32::try_from(body.len()).unwrap_or(0).to_le_bytes();
        let mut packet = vec![low, middle, high, self.sequence];
        packet.extend_from_slice(body);
        self.sequence = self.sequence.wrapping_add(1);
        self.stream.write_all(&packet).await.map_err(|error| broken(&error))?;
        self.stream.flush().await.map_err(|error| broken(&error))
    }

    async fn log_in(&mut self, mut plugin: Vec<u8>, password: &str) -> Result<(), Trouble> {
        for _ in 0..8 {
            let packet = self.read().await?;
            match packet.as_slice() {
                [0x00, ..] => return Ok(()),
                [0xff, ..] => return Err(refused(&packet)),
                [0xfe, rest @ ..] => {
                    let mut rest = rest;
                    plugin = text(&mut rest).to_vec();
                    let challenge = rest.strip_suffix(&[0]).unwrap_or(rest);
                    let Some(proof) = proof(&plugin, password, challenge) else {
                        let name = shown(&plugin);
                        return Err(Trouble::Unable(format!("the server wants a proof by {name}")));
                    };
                    self.write(&proof).await?;
                }
                // The server knows the password from a login before.
                [0x01, 3] => {}
                [0x01, 4] if plugin == CACHING && self.is_private => {
                    self.write(&[password.as_bytes(), &[0]].concat()).await?;
                }
                [0x01, 4] => {
                    let why =
                        "the server wants the password itself (hint: use `tls` or `unix_socket`)";
                    return Err(Trouble::Unable(why.to_owned()));
                }
                _ => return Err(Trouble::bad("this is no MySQL")),
            }
        }
        Err(Trouble::bad("the login has no end"))
    }

    /// Asks; the first value of the first row.
    async fn query_first(&mut self, query: &str) -> Result<Vec<u8>, Trouble> {
        self.sequence = 0;
        self.write(&[&[QUERY], query.as_bytes()].concat()).await?;
        let first = self.read().await?;
        match first.first() {
            Some(0xff) => return Err(refused(&first)),
            // A statement without rows.
            Some(0x00) | None => return Ok(Vec::new()),
            Some(_) => {}
        }
        // The columns end with a packet of their own, and so do the rows.
        let mut ends = 0;
        for _ in 0..MOST_PACKETS {
            let packet = self.read().await?;
            let is_end = packet.first() == Some(&0xfe) && packet.len() < 9;
            match (is_end, ends) {
                (true, 0) => ends = 1,
                (true, _) => return Ok(Vec::new()),
                (false, 0) => {}
                (false, _) if packet.first() == Some(&0xff) => return Err(refused(&packet)),
                (false, _) => return Ok(first_value(&packet)),
            }
        }
        Err(Trouble::bad("the answer has no end"))
    }
}

fn first_value(row: &[u8]) -> Vec<u8> {
    let mut rest = row;
    let length = match take(&mut rest, 1) {
        Some([short @ 0..=0xfa]) => usize::from(*short),
        Some([0xfc]) => {
            let length = take(&mut rest, 2).and_then(|length| length.try_into().ok());
            length.map_or(0, |length| usize::from(u16::from_le_bytes(length)))
        }
        // A null, or more than is looked at.
        _ => 0,
    };
    take(&mut rest, length).unwrap_or_default().to_vec()
}
