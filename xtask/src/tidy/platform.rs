//! Platforms: only the kernel's neighbours are unsafe or ask which system this is.

use std::path::Path;

use super::Finding;
use super::source::{Source, has_word};

/// The two crates that may.
const NEIGHBOURS: [&str; 2] = ["crates/hsu-sys", "crates/hsu-keeper"];

/// Words that, inside a `cfg`, ask which system this is.
const QUESTIONS: [&str; 5] = ["target_os", "target_family", "target_env", "unix", "windows"];

pub(super) fn check(path: &Path, source: &Source) -> Vec<Finding> {
    if NEIGHBOURS.iter().any(|folder| path.starts_with(folder)) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (line, code) in source.code_lines() {
        if has_word(code, "unsafe") {
            let what = "`unsafe` belongs to hsu-sys and hsu-keeper";
            findings.push(Finding::new(path, line, what));
        }
        if asks_for_the_system(code) {
            let what = "which system this is, only hsu-sys and hsu-keeper may ask";
            findings.push(Finding::new(path, line, what));
        }
    }
    findings
}

fn asks_for_the_system(code: &str) -> bool {
    ["cfg(", "cfg!(", "cfg_attr("].iter().any(|opening| {
        code.split(opening)
            .skip(1)
            .any(|inside| QUESTIONS.iter().any(|word| has_word(inside, word)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, text: &str) -> usize {
        check(Path::new(path), &Source::new(text)).len()
    }

    #[test]
    fn unsafe_code_is_found_outside_the_two_crates_only() {
        let text = "fn f() { unsafe { g() } }";
        assert_eq!(count("crates/hsu-logs/src/lib.rs", text), 1);
        assert_eq!(count("crates/hsu-sys/src/lib.rs", text), 0);
        assert_eq!(count("crates/hsu-keeper/src/lib.rs", text), 0);
        assert_eq!(count("crates/hsu-logs/src/lib.rs", "#![expect(unsafe_code)] // unsafe"), 0);
    }

    #[test]
    fn questions_for_the_system_are_found() {
        for text in [
            "#[cfg(unix)]",
            "#[cfg(not(windows))]",
            "#[cfg(target_os = \"linux\")]",
            "#![cfg_attr(unix, no_main)]",
            "if cfg!(target_family = \"unix\") {",
        ] {
            assert_eq!(count("crates/hsu-logs/src/lib.rs", text), 1, "{text}");
        }
        for text in ["#[cfg(test)]", "use std::os::unix::fs;", "// #[cfg(unix)]"] {
            assert_eq!(count("crates/hsu-logs/src/lib.rs", text), 0, "{text}");
        }
    }
}
