//! Words: what nobody shall have to read.
//!
//! Banners, pictures, work that is announced and not done, lints that are
//! silenced instead of answered, and the paths of somebody's machine.

use std::path::Path;

use super::Finding;
use super::source::{Source, has_word};

/// Characters that banners are made of.
const BANNER: [char; 11] =
    ['=', '-', '*', '#', '~', '_', '+', '/', '\u{2500}', '\u{2501}', '\u{2550}'];
/// A banner has at least so many of one character.
const BANNER_LENGTH: usize = 4;
/// Words for work that is not done.
const PROMISES: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];
/// Beginnings of paths that exist on one machine only.
const MACHINE_PATHS: [&str; 2] = [concat!("/wo", "rk/"), concat!("/tmp", "/t/")];

/// The rules for every text file.
pub(super) fn check_text(path: &Path, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if let Some(picture) = line.chars().find(|c| is_picture(*c)) {
            let what = format!("U+{:04X} is a picture; use words", u32::from(picture));
            findings.push(Finding::new(path, at + 1, what));
        }
        if let Some(place) = MACHINE_PATHS.iter().find(|place| names_path(line, place)) {
            let what = format!("`{place}` is a path of one machine");
            findings.push(Finding::new(path, at + 1, what));
        }
        if let Some(word) = PROMISES.iter().find(|word| is_promise(line, word)) {
            let what = format!("`{word}` without an issue, such as `{word}(#12)`; or do it now");
            findings.push(Finding::new(path, at + 1, what));
        }
    }
    findings
}

/// The rules for Rust only.
pub(super) fn check_source(path: &Path, source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, comment) in source.comment_lines() {
        if is_banner(comment) {
            findings.push(Finding::new(path, line, "a banner; a new file says it better"));
        }
    }
    for (line, code) in source.code_lines() {
        if code.contains("#[allow(") || code.contains("#![allow(") {
            let what = "`#[allow]`; use `#[expect(lint, reason = \"...\")]`";
            findings.push(Finding::new(path, line, what));
        }
    }
    findings
}

fn is_banner(comment: &str) -> bool {
    let text = comment.trim().trim_start_matches("//").trim_start_matches(['/', '!']).trim();
    let Some(first) = text.chars().next() else {
        return comment.trim().len() > BANNER_LENGTH && comment.trim().starts_with("////");
    };
    let run = text.chars().take_while(|c| *c == first).count();
    BANNER.contains(&first) && run >= BANNER_LENGTH
}

fn is_promise(line: &str, word: &str) -> bool {
    has_word(line, word)
        && !line.split(word).skip(1).all(|after| {
            let digits = after.strip_prefix("(#").and_then(|rest| rest.split_once(')'));
            digits.is_some_and(|(number, _)| number.parse::<u32>().is_ok())
        })
}

/// Whether an absolute path begins with `place` somewhere in the line.
fn names_path(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '~' | '_' | '-' | '}'))
    })
}

/// Emoji and dingbats; arrows, mathematics and box drawing are no pictures.
fn is_picture(c: char) -> bool {
    matches!(u32::from(c), 0x1F000..=0x1FAFF | 0x2600..=0x27BF | 0x2B50..=0x2B55 | 0xFE0F)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_source(text: &str) -> usize {
        check_source(Path::new("a.rs"), &Source::new(text)).len()
    }

    fn in_text(text: &str) -> usize {
        check_text(Path::new("a.md"), text).len()
    }

    #[test]
    fn banners_are_found() {
        for text in ["// ====", "// ---- setup ----", "//////////", "/// ****", "// #### a"] {
            assert_eq!(in_source(text), 1, "{text}");
        }
        for text in ["//! | a |\n//! |---|", "// a - b", "//! # Heading", "// ```", "//"] {
            assert_eq!(in_source(text), 0, "{text}");
        }
    }

    #[test]
    fn silenced_lints_are_found() {
        assert_eq!(in_source("#[allow(dead_code)]"), 1);
        assert_eq!(in_source("#![allow(dead_code)]"), 1);
        assert_eq!(in_source("#[expect(dead_code, reason = \"later\")]"), 0);
    }

    #[test]
    fn pictures_are_found_and_arrows_are_not() {
        for picture in ['\u{1F600}', '\u{2705}', '\u{2713}', '\u{26A0}'] {
            assert_eq!(in_text(&format!("good {picture}")), 1, "{picture}");
        }
        assert_eq!(in_text("a \u{2192} b \u{2264} c \u{2500}"), 0);
    }

    #[test]
    fn work_announced_without_an_issue_is_found() {
        for word in PROMISES {
            assert_eq!(in_text(&format!("// {word}: later")), 1);
            assert_eq!(in_text(&format!("// {word}(#12): later")), 0);
            assert_eq!(in_text(&format!("// {word}(#): later")), 1);
        }
        assert_eq!(in_text("HACKNEYED"), 0);
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        for place in MACHINE_PATHS {
            assert_eq!(in_text(&format!("see {place}main")), 1);
        }
        assert_eq!(in_text(concat!("see /var/lib/hsu and ./wo", "rk/here")), 0);
    }
}
