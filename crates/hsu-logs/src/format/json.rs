//! A line as one JSON object: `time`, `worker`, `stream`, `run`, `line`.
//!
//! Any bytes survive: when a line is not UTF-8, `line` has replacement characters
//! for people and `line_base64` the exact bytes. A part of a line that is longer
//! than a record may be has `"partial":true`, except the last part.

use hsu_model::id::RunId;
use hsu_model::spool::SpoolId;

use super::Piece;

/// The object up to the value of `line`. The ids need no escapes.
pub(super) fn header(spool: &SpoolId, time: &str, run: Option<RunId>, out: &mut Vec<u8>) {
    let (worker, stream) = (&spool.worker, spool.stream.as_str());
    let run = run.map_or_else(|| "null".to_owned(), |run| run.to_string());
    let text = format!(
        "{{\"time\":\"{time}\",\"worker\":\"{worker}\",\"stream\":\"{stream}\",\"run\":{run},\"line\":"
    );
    out.extend_from_slice(text.as_bytes());
}

/// One object, from its header and the bytes of the line.
pub(super) fn line(header: &[u8], text: &[u8], piece: Piece, out: &mut Vec<u8>) {
    out.extend_from_slice(header);
    out.push(b'"');
    let valid = std::str::from_utf8(text);
    match valid {
        Ok(valid) => escape(valid, out),
        Err(_) => escape(&String::from_utf8_lossy(text), out),
    }
    out.push(b'"');
    if valid.is_err() {
        out.extend_from_slice(b",\"line_base64\":\"");
        base64(text, out);
        out.push(b'"');
    }
    if piece == Piece::Part {
        out.extend_from_slice(b",\"partial\":true");
    }
    out.extend_from_slice(b"}\n");
}

/// Escapes what JSON asks for, and DEL and the line separators, which confuse
/// readers that work line by line.
// Source: RFC 8259, section 7.
fn escape(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    let special = |byte: &u8| matches!(byte, 0..=0x1f | b'"' | b'\\' | 0x7f | 0xc2 | 0xe2);
    while let Some(at) = rest.iter().position(special) {
        let (plain, from) = rest.split_at(at);
        out.extend_from_slice(plain);
        let taken = match from {
            [b'"', ..] => put(b"\\\"", 1, out),
            [b'\\', ..] => put(b"\\\\", 1, out),
            [b'\t', ..] => put(b"\\t", 1, out),
            [b'\r', ..] => put(b"\\r", 1, out),
            [b'\n', ..] => put(b"\\n", 1, out),
            [byte @ (0..=0x1f | 0x7f), ..] => {
                out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                1
            }
            // The C1 controls, of which a terminal may obey some.
            [0xc2, second @ 0x80..=0x9f, ..] => {
                out.extend_from_slice(format!("\\u00{second:02x}").as_bytes());
                2
            }
            [0xe2, 0x80, 0xa8, ..] => put(b"\\u2028", 3, out),
            [0xe2, 0x80, 0xa9, ..] => put(b"\\u2029", 3, out),
            [other, ..] => put(&[*other], 1, out),
            [] => 0,
        };
        rest = from.get(taken..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

fn put(bytes: &[u8], taken: usize, out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(bytes);
    taken
}

// Source: RFC 4648, section 4.
fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let mut three = [0; 4];
        for (slot, byte) in three.iter_mut().skip(1).zip(chunk) {
            *slot = *byte;
        }
        let word = u32::from_be_bytes(three);
        for letter in 0..4 {
            let six = (word >> (18 - 6 * letter)) & 63;
            let byte = usize::try_from(six).ok().and_then(|six| LETTERS.get(six)).copied();
            let used = letter <= chunk.len();
            out.push(byte.filter(|_| used).unwrap_or(b'='));
        }
    }
}
