//! The parser's complaints in words that tell what to do.

use granit_parser::{ErrorKind, ScanError};

use crate::findings::{Findings, Place, plain};
use crate::source::Limits;

/// Reports a complaint of the parser about `text`.
#[expect(clippy::wildcard_enum_match_arm, reason = "the parser has a hundred kinds of errors")]
pub(super) fn report(error: &ScanError, text: &str, limits: &Limits, findings: &mut Findings) {
    let start = super::offset(error.marker());
    let mut at = Place::new(start, start + 1);
    // The parser's kinds are many and grow; only those that need better words are named.
    let (message, hint) = match error.kind() {
        ErrorKind::RecursionLimitExceeded => return report_depth(at, limits, findings),
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInPlainScalar
        | ErrorKind::InvalidBlockEntryWhitespace
        | ErrorKind::InvalidMappingValueWhitespace => {
            at = tab(text, start);
            (String::from("a tab cannot be indentation"), "indent with spaces")
        }
        ErrorKind::UnknownAnchor => (
            String::from("this alias repeats an anchor that does not exist"),
            "quote a text that begins with `*`, or put `&name` before the value to repeat",
        ),
        ErrorKind::UnclosedQuotedScalar => {
            (String::from("a quoted text does not end"), "close the quote")
        }
        ErrorKind::UnclosedFlowCollection { open } => {
            (format!("a `{open}` is not closed"), "add the closing bracket")
        }
        ErrorKind::UnexpectedCharacter { character } => {
            (format!("a value cannot begin with `{character}`"), "put the value in quotes")
        }
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidSimpleKey => (
            error.info(),
            "a value that contains `: ` needs quotes; otherwise check the indentation",
        ),
        ErrorKind::UnknownQuotedScalarEscape => {
            (error.info(), "write `\\\\` for a backslash, or use single quotes")
        }
        ErrorKind::UndeclaredTagHandle => {
            (error.info(), "remove the tag; types follow from the keys")
        }
        _ => (error.info(), "check the indentation and the quotes around here"),
    };
    // The parser quotes characters as they are.
    findings.error("syntax", at, plain(&message)).hint(hint);
}

/// Where the tab is that the parser complains of: at `at`, or in the indentation of the
/// next line, since the parser stands at the end of what precedes it.
fn tab(text: &str, at: usize) -> Place {
    let rest = text.get(at..).unwrap_or_default();
    let in_indentation = || {
        let (_, next) = rest.split_once('\n')?;
        let indentation = next.find(|c: char| c != ' ')?;
        let is_tab = next.as_bytes().get(indentation) == Some(&b'\t');
        is_tab.then_some(text.len() - next.len() + indentation)
    };
    let at = if rest.starts_with('\t') { at } else { in_indentation().unwrap_or(at) };
    Place::new(at, at + 1)
}

/// Reports a value that is nested too deep.
pub(super) fn report_depth(at: Place, limits: &Limits, findings: &mut Findings) {
    let message = format!("nested deeper than {} levels", limits.depth);
    findings.error("budget", at, message);
}
