//! Lines as files, programs and terminals get them.

use hsu_model::id::WorkerId;
use hsu_model::logs::Stream;

use super::*;
use crate::spool::script::{Script, spool_id};

/// 2025-07-27T21:20:03.25Z
const TIME: i64 = 1_753_651_203;

/// Renders `block`, which arrived at `TIME` from run 7.
fn rendered(renderer: &mut Renderer, block: &[u8], piece: Piece) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut script = Script::new(folder.path(), &spool_id());
    script.arrive(TIME, 7).write(block);
    let mut arrivals = Arrivals::open(&script.folder, 0, 0, None).unwrap();
    let mut out = Vec::new();
    assert_eq!(renderer.render(block, piece, 0, &mut arrivals, 1 << 20, &mut out), block.len());
    String::from_utf8(out).unwrap()
}

fn renderer(format: LogFormat, zone: Zone) -> Renderer {
    Renderer::new(spool_id(), format, String::new(), zone, Care::Raw)
}

fn enhanced(zone: Zone, block: &[u8]) -> String {
    rendered(&mut renderer(LogFormat::EnhancedPlain, zone), block, Piece::Lines)
}

#[test]
fn enhanced_plain_is_the_documented_line() {
    let hours = 3600;
    for (zone, expected) in [
        (Zone::east(3 * hours), "[2025-07-28T00:20:03+03:00][w][stdout] text\n"),
        (Zone::utc(), "[2025-07-27T21:20:03Z][w][stdout] text\n"),
        (Zone::east(0), "[2025-07-27T21:20:03Z][w][stdout] text\n"),
        (Zone::east(-3 * hours - 1800), "[2025-07-27T17:50:03-03:30][w][stdout] text\n"),
        (Zone::east(-11 * hours), "[2025-07-27T10:20:03-11:00][w][stdout] text\n"),
        (Zone::east(5 * hours + 2700), "[2025-07-28T03:05:03+05:45][w][stdout] text\n"),
    ] {
        assert_eq!(enhanced(zone, b"text\n"), expected);
    }
}

#[test]
fn a_prefix_stands_before_the_first_bracket_and_stderr_is_named() {
    let spool = SpoolId { worker: WorkerId::new("qdrant").unwrap(), stream: Stream::Stderr };
    let prefix = "[qdrant-ERROR] ".to_owned();
    let mut renderer =
        Renderer::new(spool, LogFormat::EnhancedPlain, prefix, Zone::utc(), Care::Raw);
    let line = rendered(&mut renderer, b"x\n", Piece::Lines);
    assert_eq!(line, "[qdrant-ERROR] [2025-07-27T21:20:03Z][qdrant][stderr] x\n");
}

#[test]
fn a_forged_header_stays_behind_the_true_one() {
    let forged = b"[2001-01-01T00:00:00Z][bank][stdout] paid\n[x]\n";
    assert_eq!(
        enhanced(Zone::utc(), forged),
        "[2025-07-27T21:20:03Z][w][stdout] [2001-01-01T00:00:00Z][bank][stdout] paid\n\
         [2025-07-27T21:20:03Z][w][stdout] [x]\n"
    );
}

#[test]
fn carriage_returns_and_empty_lines_are_kept() {
    assert_eq!(
        enhanced(Zone::utc(), b"a\r\n\n50%\r100%\n"),
        "[2025-07-27T21:20:03Z][w][stdout] a\r\n[2025-07-27T21:20:03Z][w][stdout] \n\
         [2025-07-27T21:20:03Z][w][stdout] 50%\r100%\n"
    );
}

#[test]
fn a_new_second_gets_a_new_header_within_one_block() {
    let folder = tempfile::tempdir().unwrap();
    let mut script = Script::new(folder.path(), &spool_id());
    script.arrive(TIME, 1).write(b"a\nb\n").arrive(TIME + 60, 1).write(b"c\n");
    let mut arrivals = Arrivals::open(&script.folder, 0, 0, None).unwrap();
    let mut out = Vec::new();
    let mut renderer = renderer(LogFormat::EnhancedPlain, Zone::utc());
    renderer.render(b"a\nb\nc\n", Piece::Lines, 0, &mut arrivals, 4096, &mut out);
    let text = String::from_utf8(out).unwrap();
    let minutes: Vec<_> = text.lines().map(|line| &line[15..17]).collect();
    assert_eq!(minutes, ["20", "20", "21"]);
}

#[test]
fn a_limit_ends_at_a_line_and_one_line_always_passes() {
    let folder = tempfile::tempdir().unwrap();
    let script = Script::new(folder.path(), &spool_id());
    for format in [LogFormat::Plain, LogFormat::EnhancedPlain, LogFormat::Json] {
        let mut arrivals = Arrivals::open(&script.folder, 0, 0, None).unwrap();
        let mut renderer = renderer(format, Zone::utc());
        let mut out = Vec::new();
        assert_eq!(renderer.render(b"one\ntwo\n", Piece::Lines, 0, &mut arrivals, 5, &mut out), 4);
        let length = out.len();
        assert_eq!(renderer.render(b"two\n", Piece::Lines, 4, &mut arrivals, 5, &mut out), 0);
        assert_eq!(out.len(), length);
    }
}

fn json(block: &[u8], piece: Piece) -> serde_json::Value {
    let text = rendered(&mut renderer(LogFormat::Json, Zone::utc()), block, piece);
    assert_eq!(text.matches('\n').count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn json_says_when_who_and_what() {
    assert_eq!(
        json(b"say \"hi\"\r\n", Piece::Lines),
        serde_json::json!({
            "time": "2025-07-27T21:20:03.000Z", "worker": "w", "stream": "stdout", "run": 7,
            "line": "say \"hi\"\r",
        })
    );
}

#[test]
fn json_keeps_every_byte_and_flags_a_part() {
    let bytes: Vec<u8> = (0..=255).filter(|byte| *byte != b'\n').collect();
    let value = json(&bytes, Piece::Part);
    assert_eq!(value["partial"], true);
    assert_eq!(decode(value["line_base64"].as_str().unwrap()), bytes);
    assert!(json(b"fine\n", Piece::Lines).get("line_base64").is_none());
}

#[test]
fn json_survives_utf8_that_is_cut_anywhere() {
    let text = "a\u{e9}\u{20ac}\u{1f600}\u{2028}\u{9b}z".as_bytes();
    for cut in 0..=text.len() {
        let value = json(&[&text[..cut], b"\n"].concat(), Piece::Lines);
        let line = value["line"].as_str().unwrap().as_bytes();
        match value.get("line_base64") {
            Some(exact) => assert_eq!(decode(exact.as_str().unwrap()), &text[..cut]),
            None => assert_eq!(line, &text[..cut]),
        }
    }
}

fn decode(base64: &str) -> Vec<u8> {
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut word, mut bits) = (0_u32, 0);
    for letter in base64.chars().filter(|letter| *letter != '=') {
        word = (word << 6) | u32::try_from(letters.find(letter).unwrap()).unwrap();
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from((word >> bits) & 0xff).unwrap());
        }
    }
    bytes
}

#[test]
fn a_terminal_is_shown_control_bytes_and_never_obeys_them() {
    let hostile = b"\x1b]0;owned\x07 \x1b[2J\xff\xc2\x9b1m \xe2\x80\xae tab\t \x7f\xef\xbb\xbf";
    assert_eq!(
        escape_for_terminal(hostile),
        "\\x1b]0;owned\\x07 \\x1b[2J\\xff\\u{9b}1m \\u{202e} tab\t \\x7f\\u{feff}"
    );
    let mut renderer =
        Renderer::new(spool_id(), LogFormat::Plain, String::new(), Zone::utc(), Care::Terminal);
    assert_eq!(rendered(&mut renderer, b"\x1b[31mred\r\n", Piece::Lines), "\\x1b[31mred\n");
}
