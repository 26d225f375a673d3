//! MongoDB: `hello`, and with a login a `ping` of its database.
// Source: MongoDB manual, "Wire Protocol", OP_MSG; bsonspec.org, version 1.1.

use hsu_model::health::probe::{Database, Login};
use tokio::io::AsyncWriteExt as _;

use super::scram::Scram;
use super::{Answered, Trouble, broken, exactly, take, text};
use crate::connection::Connection;
use crate::look::Tools;
use crate::pattern::shown;
use crate::prober::Subject;

const OP_MSG: u32 = 2013;
/// How deep an answer is looked into.
const DEEPEST: usize = 4;

pub(super) async fn look(
    tools: &Tools,
    wanted: &Database,
    subject: &Subject,
    login: Option<(&Login, &str)>,
) -> Result<Answered, Trouble> {
    let mut stream = tools.network.connect(&wanted.endpoint, &[], subject).await?;
    let hello = ask(&mut stream, &Document::command("hello", "admin")).await?;
    let is_writable = hello.truth("isWritablePrimary");
    let is_copy = hello.truth("secondary");
    if !is_writable && !is_copy {
        return Err(Trouble::bad("it is neither primary nor secondary: it takes no clients"));
    }
    let Some((login, password)) = login else {
        return Ok(Answered::note(if is_writable { "it is primary" } else { "it is secondary" }));
    };
    let database = login.database.as_deref().unwrap_or("admin");
    let scram = Scram::new(&login.user)?;
    let mut begin = Document::command("saslStart", database);
    begin.text("mechanism", "SCRAM-SHA-256").bytes("payload", scram.first().as_bytes());
    let first = ask(&mut stream, &begin).await?;
    let server = String::from_utf8_lossy(first.value("payload").unwrap_or_default()).into_owned();
    let (last, expected) = scram.last(&server, password)?;
    let answer = go_on(&mut stream, database, &first, last.as_bytes()).await?;
    if answer.value("payload") != Some(expected.as_bytes()) {
        return Err(Trouble::bad("the server does not know the password itself"));
    }
    if !answer.truth("done") {
        go_on(&mut stream, database, &answer, b"").await?;
    }
    let command = wanted.query.as_deref().unwrap_or("ping");
    let answer = ask(&mut stream, &Document::command(command, database)).await?;
    let value = answer.value("ok").map(|_| b"1".to_vec());
    Ok(Answered { note: format!("logged in as {}", login.user), value })
}

async fn go_on(
    stream: &mut Connection,
    database: &str,
    before: &Answer,
    payload: &[u8],
) -> Result<Answer, Trouble> {
    let mut next = Document::command("saslContinue", database);
    next.number("conversationId", before.number("conversationId").unwrap_or(1));
    next.bytes("payload", payload);
    ask(stream, &next).await
}

/// Sends a command; its answer, unless that is a refusal.
async fn ask(stream: &mut Connection, command: &Document) -> Result<Answer, Trouble> {
    let body = command.finish();
    let length = u32::try_from(16 + 5 + body.len()).unwrap_or(u32::MAX);
    let mut message = Vec::new();
    for number in [length, 1, 0, OP_MSG, 0] {
        message.extend(number.to_le_bytes());
    }
    message.push(0);
    message.extend_from_slice(&body);
    stream.write_all(&message).await.map_err(|error| broken(&error))?;
    stream.flush().await.map_err(|error| broken(&error))?;
    let odd = || Trouble::bad("this is no MongoDB");
    let head = exactly(stream, 16).await?;
    let word = |place: usize| {
        let bytes = head.get(place..place + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_le_bytes)
    };
    let rest = usize::try_from(word(0)).ok().and_then(|length| length.checked_sub(16));
    if word(12) != OP_MSG {
        return Err(odd());
    }
    let bytes = exactly(stream, rest.ok_or_else(odd)?).await?;
    let mut answer = Answer::default();
    let document = bytes.get(5..).filter(|_| bytes.get(4) == Some(&0)).ok_or_else(odd)?;
    read(document, &mut answer, DEEPEST).ok_or_else(odd)?;
    if answer.truth("ok") {
        return Ok(answer);
    }
    let words = shown(answer.value("errmsg").unwrap_or_default());
    Err(Trouble::Bad(format!("refused: {words}")))
}

/// A document that is being written.
struct Document(Vec<u8>);

impl Document {
    fn command(name: &str, database: &str) -> Self {
        let mut document = Self(Vec::new());
        document.number(name, 1).text("$db", database);
        document
    }

    fn name(&mut self, kind: u8, name: &str) {
        self.0.push(kind);
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(0);
    }

    fn number(&mut self, name: &str, number: i32) -> &mut Self {
        self.name(0x10, name);
        self.0.extend(number.to_le_bytes());
        self
    }

    fn text(&mut self, name: &str, text: &str) -> &mut Self {
        self.name(0x02, name);
        self.0.extend(u32::try_from(text.len() + 1).unwrap_or(u32::MAX).to_le_bytes());
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
        self
    }

    fn bytes(&mut self, name: &str, bytes: &[u8]) -> &mut Self {
        self.name(0x05, name);
        self.0.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.0.push(0);
        self.0.extend_from_slice(bytes);
        self
    }

    fn finish(&self) -> Vec<u8> {
        let length = u32::try_from(self.0.len() + 5).unwrap_or(u32::MAX);
        [&length.to_le_bytes()[..], &self.0, &[0]].concat()
    }
}

/// The plain values of a document: name, kind, bytes.
#[derive(Debug, Default)]
struct Answer(Vec<(Vec<u8>, u8, Vec<u8>)>);

impl Answer {
    fn find(&self, name: &str) -> Option<(u8, &[u8])> {
        let found = self.0.iter().find(|(own, ..)| own == name.as_bytes());
        found.map(|(_, kind, value)| (*kind, value.as_slice()))
    }

    fn value(&self, name: &str) -> Option<&[u8]> {
        self.find(name).map(|(_, value)| value)
    }

    fn truth(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| value.iter().any(|byte| *byte != 0))
    }

    fn number(&self, name: &str) -> Option<i32> {
        let (kind, value) = self.find(name)?;
        (kind == 0x10).then(|| value.try_into().ok().map(i32::from_le_bytes)).flatten()
    }
}

/// Reads the values of a document, and passes over what is inside others.
fn read(document: &[u8], answer: &mut Answer, deep: usize) -> Option<()> {
    let mut rest = document;
    let length = i32::from_le_bytes(take(&mut rest, 4)?.try_into().ok()?);
    // The length counts itself and the zero byte at the end.
    let (inside, _) = rest.split_at_checked(usize::try_from(length).ok()?.checked_sub(4)?)?;
    let mut rest = inside.strip_suffix(&[0])?;
    while let Some((kind, after)) = rest.split_first() {
        rest = after;
        let name = text(&mut rest).to_vec();
        let prefixed = |rest: &[u8]| -> Option<usize> {
            let length = u32::from_le_bytes(rest.get(..4)?.try_into().ok()?);
            usize::try_from(length).ok()
        };
        let size = match kind {
            0x01 | 0x09 | 0x11 | 0x12 => 8,
            0x02 | 0x0d => prefixed(rest)?.checked_add(4)?,
            0x03 | 0x04 => prefixed(rest).filter(|_| deep > 0)?,
            0x05 => prefixed(rest)?.checked_add(5)?,
            0x07 => 12,
            0x08 => 1,
            0x0a => 0,
            0x10 => 4,
            0x13 => 16,
            _ => return None,
        };
        let value = take(&mut rest, size)?;
        let value = match kind {
            0x02 => value.get(4..)?.strip_suffix(&[0])?,
            0x05 => value.get(5..)?,
            _ => value,
        };
        answer.0.push((name, *kind, value.to_vec()));
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut document = Document::command("hello", "admin");
        document.bytes("payload", b"\x00\xff");
        let mut answer = Answer::default();
        read(&document.finish(), &mut answer, DEEPEST).unwrap();
        assert_eq!(answer.number("hello"), Some(1));
        assert_eq!(answer.value("$db"), Some(&b"admin"[..]));
        assert_eq!(answer.value("payload"), Some(&b"\x00\xff"[..]));
        assert!(!answer.truth("ok"));
    }

    #[test]
    fn a_document_that_lies_about_its_length_is_none() {
        for bytes in
            [&[5, 0, 0, 0][..], &[200, 0, 0, 0, 0], &[9, 0, 0, 0, 0x02, b'a', 0, 9, 0], &[]]
        {
            assert!(read(bytes, &mut Answer::default(), DEEPEST).is_none(), "{bytes:?}");
        }
    }
}
