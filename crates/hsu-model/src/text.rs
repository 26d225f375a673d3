//! Text of strangers: which characters a terminal would obey.

/// Whether a character steers a terminal, or reorders, breaks or hides the text around it.
///
/// Tabs and line ends are controls too; whoever wants them keeps them.
// Source: Unicode TR 36, section 2.5, "Trojan Source" (CVE-2021-42574).
#[must_use]
pub fn steers(c: char) -> bool {
    let reorders = matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    c.is_control() || reorders || c == '\u{feff}'
}
