//! The screen: bytes of workers never steer a terminal.
//!
//! Control characters (C0, C1, DEL), the escapes that begin with them, marks
//! that change the direction of text, line separators of Unicode and bytes that
//! are no UTF-8 are written as `\x1b`, `\u{202e}` and the like.

use std::ffi::OsString;
use std::fmt::Write as _;

use hsu_model::text::steers;

/// The most characters of an argument that are repeated.
const MOST: usize = 200;

/// A text that a terminal shows as it is.
pub(crate) fn escaped(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if is_harmless(c) {
                out.push(c);
            } else if c.is_ascii() {
                push(&mut out, format_args!("\\x{:02x}", u32::from(c)));
            } else {
                push(&mut out, format_args!("\\u{{{:x}}}", u32::from(c)));
            }
        }
        for byte in chunk.invalid() {
            push(&mut out, format_args!("\\x{byte:02x}"));
        }
    }
    out
}

/// What the parser says of a command line, with every argument in it and every line of it
/// escaped, and none of them long.
pub(crate) fn complaint(text: &str, arguments: impl Iterator<Item = OsString>) -> String {
    let mut text = text.to_owned();
    for argument in arguments {
        let mut shown = escaped(argument.as_encoded_bytes());
        if let Some((end, _)) = shown.char_indices().nth(MOST) {
            shown.truncate(end);
            shown.push_str("...");
        }
        let repeated = argument.to_string_lossy();
        if shown != repeated {
            text = text.replace(&*repeated, &shown);
        }
    }
    escaped_lines(&text)
}

/// Text of several lines, each of them escaped.
pub(crate) fn escaped_lines(text: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(|line| escaped(line.as_bytes())).collect();
    lines.join("\n")
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String never fails.
    let _ = out.write_fmt(text);
}

fn is_harmless(c: char) -> bool {
    c == '\t' || !steers(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_gets_through() {
        for (bytes, shown) in [
            (&b"plain\ttext"[..], "plain\ttext"),
            (b"\x1b[31mred", "\\x1b[31mred"),
            (b"\x1b]52;c;AAAA\x07", "\\x1b]52;c;AAAA\\x07"),
            (b"a\rb\x7f\x00", "a\\x0db\\x7f\\x00"),
            (b"\xc2\x9b31m", "\\u{9b}31m"),
            ("\u{202e}evil\u{2028}".as_bytes(), "\\u{202e}evil\\u{2028}"),
            (b"caf\xc3\xa9 \xff\xfe", "caf\u{e9} \\xff\\xfe"),
        ] {
            assert_eq!(escaped(bytes), shown);
        }
    }

    #[test]
    fn every_byte_alone_is_shown_without_control_characters() {
        for byte in 0..=u8::MAX {
            assert!(escaped(&[byte]).chars().all(|c| !c.is_control() || c == '\t'), "{byte}");
        }
    }
}
