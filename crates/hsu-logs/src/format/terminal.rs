//! Worker output on a terminal: visible, and never obeyed.

use hsu_model::text::steers;

/// Makes control bytes, escape sequences, bytes that are not UTF-8 and characters
/// that reorder text visible, as `\x1b` or `\u{202e}`. Tabs stay.
#[must_use]
pub fn escape_for_terminal(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len());
    escape(bytes, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// The same for a line, whose end stays an end.
pub(super) fn escape(line: &[u8], out: &mut Vec<u8>) {
    let (line, end) = match line {
        [line @ .., b'\n'] => (line, &b"\n"[..]),
        line => (line, &b""[..]),
    };
    // A carriage return before the end is a line end of another custom.
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    for chunk in line.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\t' => out.push(b'\t'),
                c if c.is_ascii_control() => {
                    out.extend_from_slice(format!("\\x{:02x}", u32::from(c)).as_bytes());
                }
                c if steers(c) => {
                    out.extend_from_slice(format!("\\u{{{:x}}}", u32::from(c)).as_bytes());
                }
                c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        for byte in chunk.invalid() {
            out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
        }
    }
    out.extend_from_slice(end);
}
