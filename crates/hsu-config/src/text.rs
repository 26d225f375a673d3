//! From the bytes of a file to its text: encodings and bytes that have no place in YAML.

use crate::findings::{Findings, Place};
use crate::source::{Limits, Source};

/// The text of a file without its byte order mark.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'s> {
    pub(crate) text: &'s str,
    /// Bytes of the file before the text.
    pub(crate) base: usize,
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The text of a source, or an error in `findings` and the readable part before it,
/// so that the error has a line.
pub(crate) fn decode<'s>(
    source: &'s Source,
    limits: &Limits,
    findings: &mut Findings,
) -> Result<Text<'s>, Text<'s>> {
    let bytes = source.text.as_slice();
    let nothing = Text { text: "", base: 0 };
    if bytes.len() > limits.bytes {
        let message =
            format!("the file has {} bytes, and the limit is {}", bytes.len(), limits.bytes);
        findings.error("too-large", None, message);
        return Err(nothing);
    }
    if let Some(encoding) = foreign_encoding(bytes) {
        findings
            .error("encoding", None, format!("the file is in {encoding}"))
            .hint("save it as UTF-8");
        return Err(nothing);
    }
    let base = if bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    let body = bytes.get(base..).unwrap_or_default();
    let text = std::str::from_utf8(body).map_err(|error| {
        let valid = body.get(..error.valid_up_to()).unwrap_or_default();
        let text = std::str::from_utf8(valid).unwrap_or_default();
        let at = error.valid_up_to();
        let byte = body.get(at).copied().unwrap_or_default();
        let message = format!("byte 0x{byte:02X} at offset {} is not UTF-8", at + base);
        findings.error("encoding", Place::new(at, at), message).hint("save the file as UTF-8");
        Text { text, base }
    })?;
    let text = Text { text, base };
    match body.iter().position(|byte| is_refused(*byte)) {
        None => Ok(text),
        Some(at) => {
            let byte = body.get(at).copied().unwrap_or_default();
            let message = match byte {
                0 => format!("a NUL byte at offset {}", at + base),
                _ => format!("control character U+{byte:04X} at offset {}", at + base),
            };
            findings
                .error("control-character", Place::new(at, at + 1), message)
                .hint("in double quotes, write it as an escape such as \"\\x1b\"");
            Err(text)
        }
    }
}

// Source: YAML 1.2.2, production [1] c-printable.
fn is_refused(byte: u8) -> bool {
    (byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r')) || byte == 0x7f
}

// Source: YAML 1.2.2, section 5.2, the table of first bytes.
fn foreign_encoding(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xfe, 0, 0, ..] => Some("UTF-32 (little endian)"),
        [0, 0, 0xfe, 0xff, ..] | [0, 0, 0, 1..=255, ..] => Some("UTF-32 (big endian)"),
        [1..=255, 0, 0, 0, ..] => Some("UTF-32 (little endian)"),
        [0xff, 0xfe, ..] | [1..=255, 0, 1..=255, 0, ..] => Some("UTF-16 (little endian)"),
        [0xfe, 0xff, ..] | [0, 1..=255, 0, 1..=255, ..] => Some("UTF-16 (big endian)"),
        _ => None,
    }
}
