//! The screen: bytes of workers never steer a terminal.
//!
//! Control characters (C0, C1, DEL), the escapes that begin with them, marks
//! that change the direction of text, line separators of Unicode and bytes that
//! are no UTF-8 are written as `\x1b`, `\u{202e}` and the like.

use std::fmt::Write as _;

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

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String never fails.
    let _ = out.write_fmt(text);
}

fn is_harmless(c: char) -> bool {
    let steers = c.is_control() && c != '\t'
        || matches!(c,
            '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}' | '\u{feff}');
    !steers
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
