//! Rows 1 to 16: what is wrong with the text before it means anything.

use super::{bad, control, load, named, refuse, source};

/// A text in two or four bytes a character, with or without its mark.
fn wide(bytes: usize, order: Order, mark: bool) -> Vec<u8> {
    let text = "workers: []\n".chars().map(u32::from);
    let mark = mark.then_some(0xfeff_u32);
    let mut wide = Vec::new();
    for unit in mark.into_iter().chain(text) {
        match order {
            Order::Little => wide.extend(unit.to_le_bytes().iter().take(bytes)),
            Order::Big => wide.extend(unit.to_be_bytes().iter().skip(4 - bytes)),
        }
    }
    wide
}

#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_offset() {
    let mut cases = vec![
        bad(1, "", "no-workers", None, "there are no workers"),
        bad(1, "\n\n", "no-workers", None, "there are no workers"),
        bad(1, "---\n", "no-workers", None, "there are no workers"),
        bad(1, "null\n", "no-workers", None, "there are no workers"),
        bad(1, "workers:\n", "no-workers", None, "there are no workers"),
        bad(2, "# one\n\n# two\n", "no-workers", None, "there are no workers"),
        bad(5, b"workers: []\n# \xff\n".to_vec(), "encoding", 2, "byte 0xFF at offset 14"),
        bad(5, b"workers: []\n# \xc3".to_vec(), "encoding", 2, "byte 0xC3 at offset 14"),
        bad(5, b"\xef\xbb\xbfa: \xff\n".to_vec(), "encoding", 1, "byte 0xFF at offset 6"),
        bad(6, "workers: []\na: \0\n", "control-character", 2, "a NUL byte at offset 15"),
        bad(6, control("stop_signal: \"T\\0\""), "control-character", 8, "NUL"),
        bad(6, ";\u{82}?", "syntax", 1, "cannot begin with `\\u{82}`"),
        bad(6, "workers: []\na: \x1b[31m\n", "control-character", 2, "U+001B"),
    ];
    for (order, name) in [(Order::Little, "little endian"), (Order::Big, "big endian")] {
        for mark in [true, false] {
            cases.push(bad(4, wide(2, order, mark), "encoding", None, "the file is in UTF-16"));
            cases.push(bad(4, wide(2, order, mark), "encoding", None, name));
            cases.push(bad(4, wide(4, order, mark), "encoding", None, "the file is in UTF-32"));
            cases.push(bad(4, wide(4, order, mark), "encoding", None, name));
        }
    }
    refuse(&cases);
}

#[test]
fn a_byte_order_mark_is_taken() {
    // Row 3.
    let outcome = load(format!("\u{feff}{}", named("w")).as_bytes());
    assert!(outcome.fleet.is_some() && outcome.diagnostics.is_empty());
}

#[test]
fn a_text_that_is_no_single_document_is_refused_where_it_breaks() {
    let twice = format!("{0}---\n{0}", named("w"));
    refuse(&[
        bad(7, "workers:\n\t- id: w\n", "syntax", 2, "a tab cannot be indentation"),
        bad(7, "master:\n  port: 1\n\tlog_level: info\n", "syntax", 3, "a tab"),
        bad(8, twice, "second-document", 5, "a second document begins here"),
        bad(8, "workers: []\n...\n---\nworkers: []\n", "second-document", 3, "a second document"),
        bad(
            16,
            "master:\n  port: 1\n  port: 2\nworkers: []\n",
            "duplicate-key",
            3,
            "the first one",
        ),
        bad(16, "master: {}\nworkers: []\nmaster: {}\n", "duplicate-key", 3, "the first one"),
        bad(
            16,
            "master: {}\nprocess_manager: {}\nworkers: []\n",
            "duplicate-key",
            2,
            "two spellings",
        ),
        bad(
            16,
            format!("{0}{1}", named("w"), named("w").replace("workers:\n", "")),
            "duplicate-id",
            5,
            "two workers are called `w`",
        ),
        bad(25, "workers: !!python/object:os.system []\n", "tag", 1, "python"),
        bad(25, named("!secret w"), "tag", 2, "`!secret` has no meaning here"),
        bad(25, named("!include /etc/passwd"), "tag", 2, "has no meaning here"),
        bad(25, "%TAG ! tag:evil,2000:\n---\nworkers: !x []\n", "tag", 3, "has no meaning here"),
        bad(26, "master: { port: &a 5, <<: *a }\nworkers: []\n", "merge", 1, "merges mappings"),
        bad(26, "workers: []\nmaster: { <<: [1, 2] }\n", "merge", 2, "merges mappings"),
        bad(32, "workers:\n  - id: \"w\n", "syntax", 2, "a quoted text does not end"),
        bad(32, "workers: [{ id: w", "syntax", 1, "is not closed"),
    ]);
}

/// Levels that each repeat the level below nine times.
fn billion_laughs() -> String {
    let mut text = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for level in 1..10 {
        let below = format!("*a{}, ", level - 1).repeat(9);
        text.push_str(&format!("a{level}: &a{level} [{}]\n", below.trim_end_matches(", ")));
    }
    text
}

#[test]
fn a_text_that_grows_without_end_is_refused_within_its_budget() {
    let quadratic = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), "*a, ".repeat(5_000));
    let mut chain = String::from("m0: &m0 { a: 1 }\n");
    for link in 1..=1_000 {
        chain.push_str(&format!("m{link}: &m{link} {{ <<: *m{} }}\n", link - 1));
    }
    let indented = |depth: usize| {
        let lines = (0..depth).map(|level| format!("{}k:\n", " ".repeat(level)));
        lines.collect::<String>()
    };
    let worker = named("w");
    let worker = worker.trim_start_matches("workers:\n");
    let valid = format!("workers:\n{}", worker.repeat((10 << 20) / worker.len()));
    refuse(&[
        bad(9, billion_laughs(), "budget", 4, "more than 50000 values"),
        bad(10, quadratic, "budget", 2, "aliases repeat more than"),
        bad(11, "a: &a [1, *a]\n", "cycle", 1, "inside the value that it repeats"),
        bad(11, "a: &a { b: { c: *a } }\n", "cycle", 1, "inside the value that it repeats"),
        bad(11, "a: *b\nb: &b [*a]\n", "syntax", 1, "does not exist"),
        bad(12, "[".repeat(50_000), "budget", 1, "nested deeper than 32 levels"),
        bad(12, format!("a: {}", "{a: ".repeat(50_000)), "budget", 1, "nested deeper than"),
        bad(12, "- ".repeat(50_000), "budget", 1, "nested deeper than 32 levels"),
        bad(13, indented(500), "budget", 33, "nested deeper than 32 levels"),
        bad(13, indented(5_000), "too-large", None, "the limit is 1048576"),
        bad(14, valid, "too-large", None, "the limit is 1048576"),
        bad(15, format!("a: {}", "x".repeat(50 << 20)), "too-large", None, "the limit is 1048576"),
        bad(26, chain, "budget", 102, "more than 100 aliases"),
    ]);
}

#[test]
fn a_file_that_an_editor_has_half_written_is_refused_or_says_less_and_never_more() {
    // Row 32: every beginning of a file, as a slow editor would leave it.
    let text = format!("{}{}", named("first"), named("second").trim_start_matches("workers:\n"));
    let text = text.trim_end();
    for end in 0..text.len() {
        let part = text.get(..end).unwrap();
        let outcome = load(part.as_bytes());
        let Some(fleet) = outcome.fleet else {
            assert!(outcome.diagnostics.has_errors(), "{part:?}");
            continue;
        };
        let names: Vec<_> = fleet.workers.iter().map(|worker| worker.id.as_str()).collect();
        assert_eq!(names, ["first"], "{part:?}");
    }
}

#[test]
fn the_end_of_a_line_from_windows_is_neither_shown_nor_marked() {
    let text = b"\xef\xbb\xbfworkers:\r\n  - id: a\r\n    typ: managed\r\n";
    let shown = load(text).diagnostics.render(&source(text), false);
    assert!(!shown.contains("managed?") && !shown.contains("a?"), "{shown}");
    assert!(shown.contains("    ^^^^^ in this section"), "{shown}");
}
