//! Files: how long they are, how they open, and how long their functions are.

use std::path::Path;

use super::Finding;
use super::source::{Source, position_of_word};

/// No Rust file has more lines.
const MOST_LINES: usize = 700;
/// No function has more lines.
const MOST_FUNCTION_LINES: usize = 70;

pub(super) fn check(path: &Path, text: &str, source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = text.lines().count();
    if lines > MOST_LINES {
        let what = format!("{lines} lines; a file has at most {MOST_LINES}");
        findings.push(Finding::new(path, 0, what));
    }
    if !text.starts_with("//! ") {
        findings.push(Finding::new(path, 1, "a file opens with `//!` and its purpose"));
    }
    for (line, length) in functions(source) {
        if length > MOST_FUNCTION_LINES {
            let what = format!("{length} lines; a function has at most {MOST_FUNCTION_LINES}");
            findings.push(Finding::new(path, line, what));
        }
    }
    findings
}

/// The first line of each function with a body, and how many lines it has.
fn functions(source: &Source) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = source.code.lines().collect();
    let mut all = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(column) = position_of_word(line, "fn") else {
            continue;
        };
        let rest = std::iter::once(&line[column..]).chain(lines[at + 1..].iter().copied());
        if let Some(length) = body_length(rest) {
            all.push((at + 1, length));
        }
    }
    all
}

/// Lines until the bracket that closes the body; none when there is no body.
fn body_length<'a>(lines: impl Iterator<Item = &'a str>) -> Option<usize> {
    let mut braces = 0_usize;
    let mut others = 0_usize;
    for (at, line) in lines.enumerate() {
        for c in line.chars() {
            match c {
                '(' | '[' => others += 1,
                // The end of what surrounds a `fn` that is a type, such as a field's.
                ')' | ']' if others == 0 && braces == 0 => return None,
                ')' | ']' => others = others.saturating_sub(1),
                '{' => braces += 1,
                '}' if braces == 0 => return None,
                '}' if braces == 1 => return Some(at + 1),
                '}' => braces -= 1,
                ';' if braces == 0 && others == 0 => return None,
                _ => {}
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Vec<String> {
        let found = check(Path::new("a.rs"), text, &Source::new(text));
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_file_that_opens_with_its_purpose_is_fine() {
        assert_eq!(findings("//! What it is.\nfn a() {}\n"), [""; 0]);
    }

    #[test]
    fn a_file_that_does_not_is_found() {
        for text in ["", "fn a() {}\n", "// What it is.\n", "\n//! Late.\n"] {
            assert_eq!(findings(text).len(), 1, "{text:?}");
        }
    }

    #[test]
    fn a_file_too_long_is_found() {
        let fits = format!("//! A.\n{}", "\n".repeat(MOST_LINES - 1));
        assert_eq!(findings(&fits), [""; 0]);
        assert_eq!(findings(&format!("{fits}\n")).len(), 1);
    }

    #[test]
    fn a_function_too_long_is_found() {
        let fits = format!("//! A.\nfn a(\n) {{\n{}}}\n", "\n".repeat(MOST_FUNCTION_LINES - 3));
        assert_eq!(findings(&fits), [""; 0]);
        let long = fits.replace("{\n", "{\n\n");
        assert_eq!(findings(&long), ["a.rs:2: 71 lines; a function has at most 70"]);
    }

    #[test]
    fn a_function_without_a_body_has_no_length() {
        let text =
            "//! A.\ntrait T { fn a(&self, b: [u8; 2]);\n".to_owned() + &"\n".repeat(90) + "}\n";
        assert_eq!(findings(&text), [""; 0]);
    }
}
