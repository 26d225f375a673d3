//! Lines of workers: framed, formatted, and shown on terminals. Every byte of them is hostile.

use hsu_logs::format::escape_for_terminal;
use hsu_logs::fuzzing::{Writing, rendered};
use hsu_model::logs::LogFormat;
use hsu_model::spool::SpoolId;

use crate::bytes::Bytes;
use crate::screen;

fn steers(c: char) -> bool {
    c != '\t' && hsu_model::text::steers(c)
}

pub(crate) fn run(input: &[u8]) {
    let mut bytes = Bytes::new(input);
    let formats = [LogFormat::Plain, LogFormat::EnhancedPlain, LogFormat::Json];
    let format = bytes.one(&formats).unwrap_or(LogFormat::Plain);
    let terminal = bytes.flag();
    let (part, limit) = (bytes.flag(), 64 + bytes.choice(256) * 16);
    let block = bytes.rest();
    if block.is_empty() {
        return;
    }
    let spool = SpoolId::parse("w/stdout").expect("a name of a spool");
    let written = rendered(&spool, block, Writing { format, terminal, part, limit });
    assert!(written.ends_with(b"\n"), "the last line has no end");
    let given: Vec<&[u8]> =
        block.strip_suffix(b"\n").unwrap_or(block).split(|b| *b == b'\n').collect();
    let lines: Vec<&[u8]> =
        written.strip_suffix(b"\n").unwrap_or(&written).split(|b| *b == b'\n').collect();
    assert_eq!(lines.len(), given.len(), "a line became several, or was lost");
    for (line, given) in lines.iter().zip(&given) {
        match format {
            LogFormat::Plain | LogFormat::EnhancedPlain => text(line, given, format, terminal),
            LogFormat::Json => json(line, given),
        }
    }
}

fn text(line: &[u8], given: &[u8], format: LogFormat, terminal: bool) {
    let body = match format {
        LogFormat::EnhancedPlain => {
            let header = line.split(|byte| *byte == b' ').next().unwrap_or_default();
            assert!(header.starts_with(b"[") && header.ends_with(b"][w][stdout]"), "no header");
            line.get(header.len() + 1..).unwrap_or_default()
        }
        LogFormat::Plain | LogFormat::Json => line,
    };
    if terminal {
        let shown = std::str::from_utf8(body).expect("a terminal is shown text");
        assert!(!shown.contains(steers), "{shown:?}");
    } else {
        assert!(body.starts_with(given), "bytes were changed");
    }
}

fn json(line: &[u8], given: &[u8]) {
    assert!(line.iter().all(|byte| *byte >= 0x20 && *byte != 0x7f), "a control byte in JSON");
    let value: serde_json::Value = serde_json::from_slice(line).expect("a line is an object");
    let text = |key: &str| value.get(key).and_then(serde_json::Value::as_str);
    assert_eq!((text("worker"), text("stream")), (Some("w"), Some("stdout")), "forged");
    let exact = match text("line_base64") {
        Some(exact) => base64(exact),
        None => text("line").unwrap_or_default().as_bytes().to_vec(),
    };
    assert_eq!(exact, given, "a byte was changed");
}

fn base64(text: &str) -> Vec<u8> {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut word, mut bits) = (Vec::new(), 0_u32, 0);
    for letter in text.bytes().filter(|letter| *letter != b'=') {
        let six = letters.iter().position(|known| *known == letter).expect("a letter of base64");
        word = word << 6 | u32::try_from(six).unwrap_or(0);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(word >> bits & 0xff).unwrap_or(0));
        }
    }
    bytes
}

/// The escapers of both programs.
pub(crate) fn terminal(input: &[u8]) {
    let line: Vec<u8> = input.iter().copied().filter(|byte| *byte != b'\n').collect();
    for shown in [escape_for_terminal(&line), screen::escaped(input)] {
        assert!(!shown.contains(steers), "{shown:?}");
        assert_eq!(screen::escaped(shown.as_bytes()), shown, "what is shown is escaped again");
        assert!(shown.len() <= 10 * input.len(), "{} bytes of {}", shown.len(), input.len());
    }
    hsu_config::fuzzing::harmless(&String::from_utf8_lossy(input));
}
