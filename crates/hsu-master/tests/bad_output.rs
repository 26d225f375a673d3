//! Output that wants to fool or to break whoever keeps it: every byte is kept as it
//! came, and nothing in it is believed. Cases carry the row of the catalogue of bad
//! inputs.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hsu_testkit::{Fleet, FleetBuilder, Sandbox, Worker, eventually};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(60);
/// Ends a part of a line that is written in parts.
const GOES_ON: &[u8] = b" [hsu-master] the line goes on";

/// One output: the bytes that a worker writes, and nothing else.
struct Case {
    row: u8,
    id: &'static str,
    bytes: Vec<u8>,
}

fn case(row: u8, id: &'static str, bytes: impl Into<Vec<u8>>) -> Case {
    Case { row, id, bytes: bytes.into() }
}

fn cases() -> Vec<Case> {
    let every: Vec<u8> = (0..=u8::MAX).collect();
    let split: Vec<u8> = ["\u{e9}", "\u{20ac}", "\u{1f600}"]
        .iter()
        .flat_map(|c| (1..=c.len()).flat_map(|end| [c.as_bytes().get(..end).unwrap(), b"\n"]))
        .flatten()
        .copied()
        .collect();
    let forged = "[2025-01-01T00:00:00Z][other][stdout] forged\n\
                  {\"time\":\"2025-01-01T00:00:00Z\",\"worker\":\"other\",\"line\":\"forged\"}\n";
    let deep = format!("{}1{}\n", "[".repeat(100_000), "]".repeat(100_000));
    let twice = "{\"level\":\"info\",\"level\":\"error\"}\n";
    vec![
        case(81, "every", [every.as_slice(), b"\n"].concat()),
        case(81, "every-reversed", every.iter().rev().copied().chain([b'\n']).collect::<Vec<_>>()),
        case(82, "zeros", b"a\0b\0\0\n\0\n".to_vec()),
        case(82, "only-zeros", vec![0; 100_000]),
        case(83, "split", split),
        case(83, "invalid", b"\xff\xfe\n\xc0\xaf\n\xed\xa0\x80\n\xf8\x88\n".to_vec()),
        case(85, "no-end", b"first\nlast".to_vec()),
        case(85, "one-byte", b"x".to_vec()),
        case(86, "returns", b"10%\r50%\r100%\r\nnext\r\n\r\n".to_vec()),
        case(
            87,
            "escapes",
            b"\x1b[2J\x1b]0;title\x07\x1b]52;c;AAAA\x07\xe2\x80\xaeevil\n".to_vec(),
        ),
        case(88, "forged", forged),
        case(89, "deep-json", deep),
        case(89, "twice-json", twice),
        case(89, "large-json", format!("{{\"a\":\"{}\"}}\n", "x".repeat(10 << 20))),
        case(90, "short-lines", "\n".repeat(200_000)),
        case(94, "times", "9999-12-31T23:59:59Z future\n1970-01-01T00:00:00Z past\nno time\n"),
    ]
}

/// A worker that writes a file and ends.
fn writer(id: &str, script: &str, folder: &Path) -> Worker {
    let output = |name: &str, format: &str| json!({"type": "file", "path": folder.join(format!("{id}.{name}")), "format": format});
    let stdout =
        [output("plain", "plain"), output("enhanced", "enhanced_plain"), output("json", "json")];
    Worker::new(id, "/bin/sh").arguments(["-c", script]).restart("never").set(
        "log_collection",
        json!({"enabled": true, "outputs": {"separate": {"stdout": stdout, "stderr": []}}}),
    )
}

fn ended(fleet: &Fleet<'_>, id: &str) {
    fleet
        .wait_until(id, "ended", SOON, |view| {
            view.pid().is_none() && !view.field("last_exit").is_null()
        })
        .unwrap();
}

/// Waits until a file is as long as what is expected of it, and compares.
fn holds(row: u8, path: &Path, expected: &[u8]) {
    let bytes = eventually(&format!("row {row}: {} is whole", path.display()), SOON, || {
        let bytes = fs::read(path).map_err(|error| error.to_string())?;
        if bytes.len() >= expected.len() {
            Ok(bytes)
        } else {
            Err(format!("{} bytes", bytes.len()))
        }
    })
    .unwrap();
    let first = bytes.iter().zip(expected).position(|(got, wanted)| got != wanted);
    let lengths = (bytes.len(), expected.len());
    assert!(bytes == expected, "row {row}: {} differs: {first:?}, {lengths:?}", path.display());
}

/// The lines of a text, each without its end.
fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    let whole = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    whole.split(|byte| *byte == b'\n').collect()
}

/// Waits for as many lines.
fn eventually_lines(row: u8, path: &Path, count: usize) -> Vec<Vec<u8>> {
    eventually(&format!("row {row}: {} is whole", path.display()), SOON, || {
        let bytes = fs::read(path).map_err(|error| error.to_string())?;
        let found: Vec<Vec<u8>> = lines(&bytes).iter().map(|line| line.to_vec()).collect();
        let is_whole = found.len() >= count && bytes.ends_with(b"\n");
        if is_whole { Ok(found) } else { Err(format!("{} lines", found.len())) }
    })
    .unwrap()
}

/// The bytes that one record of the JSON output stands for.
fn bytes_of(record: &[u8]) -> Vec<u8> {
    let value: Value = serde_json::from_slice(record).unwrap();
    match value.get("line_base64").and_then(Value::as_str) {
        Some(text) => unbase64(text),
        None => value["line"].as_str().unwrap().as_bytes().to_vec(),
    }
}

fn unbase64(text: &str) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        let value = alphabet.iter().position(|letter| *letter == byte).unwrap();
        bits = bits << 6 | u32::try_from(value).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count).to_le_bytes()[0]);
        }
    }
    bytes
}

#[test]
fn every_byte_is_kept_and_no_line_is_believed() {
    let sandbox = Sandbox::new().unwrap();
    let folder = sandbox.folder().join("out");
    fs::create_dir(&folder).unwrap();
    let cases = cases();
    let mut builder = FleetBuilder::new(&sandbox);
    for case in &cases {
        let input = sandbox.folder().join(case.id);
        fs::write(&input, &case.bytes).unwrap();
        let script = format!("exec cat '{}'", input.display());
        builder = builder.worker(writer(case.id, &script, &folder));
    }
    let mut fleet = builder.start().unwrap();
    let path = |id: &str, name: &str| -> PathBuf { folder.join(format!("{id}.{name}")) };
    for Case { row, id, bytes } in &cases {
        ended(&fleet, id);
        // The end of a run ends its last line.
        let end: &[u8] = if bytes.ends_with(b"\n") { b"" } else { b"\n" };
        holds(*row, &path(id, "plain"), &[bytes, end].concat());
    }
    fleet.stop(SOON).unwrap();
    for Case { row, id, bytes } in &cases {
        let expected = lines(bytes);
        let mark = format!("][{id}][stdout] ");
        // A line that is longer than the limit is written in parts.
        let mut kept = Vec::new();
        for line in eventually_lines(*row, &path(id, "enhanced"), 1) {
            let at = line.windows(mark.len()).position(|part| part == mark.as_bytes());
            let at = at.unwrap_or_else(|| panic!("row {row}, {id}: a line without its head"));
            assert_eq!(at, "[2025-01-01T00:00:00Z".len(), "row {row}, {id}: a forged head");
            let text = line.get(at + mark.len()..).unwrap();
            kept.push(text.strip_suffix(GOES_ON).unwrap_or(text).to_vec());
        }
        let parts: Vec<Vec<u8>> =
            eventually_lines(*row, &path(id, "json"), 1).iter().map(|r| bytes_of(r)).collect();
        assert!(kept.concat() == expected.concat(), "row {row}, {id}: enhanced_plain");
        assert!(parts.concat() == expected.concat(), "row {row}, {id}: json");
        if expected.iter().all(|line| line.len() < 1000) {
            assert_eq!(kept.len(), expected.len(), "row {row}, {id}: enhanced_plain");
            assert_eq!(parts.len(), expected.len(), "row {row}, {id}: json");
        }
    }
}

#[test]
fn ways_to_write_that_confuse_a_reader_lose_nothing() {
    let sandbox = Sandbox::new().unwrap();
    let folder = sandbox.folder().join("out");
    fs::create_dir(&folder).unwrap();
    let nothing = "perl -e 'syswrite(STDOUT, \"\") for 1..100; syswrite(STDOUT, $_) for split(//, \"byte by byte\\n\")'";
    let cases: [(u8, &str, &str, &[u8]); 5] = [
        (91, "nothing", nothing, b"byte by byte\n"),
        (92, "closed", "echo before; exec >&-; echo lost 2>/dev/null; sleep 0.1", b"before\n"),
        (92, "swapped", "exec 3>&1 1>&-; echo kept >&3", b"kept\n"),
        (
            93,
            "nonblocking",
            "perl -e 'use Fcntl; fcntl(STDOUT, F_SETFL, O_NONBLOCK|O_WRONLY); for (1..2000) { my $l = \"l$_\\n\"; while (!defined syswrite(STDOUT, $l)) { select(undef, undef, undef, 0.001) } }'",
            b"",
        ),
        // A grandchild keeps the pipe: the end of the worker is known all the same.
        (92, "held", "sleep 1000 & echo child", b"child\n"),
    ];
    let mut builder = FleetBuilder::new(&sandbox);
    for (_, id, script, _) in &cases {
        builder = builder.worker(writer(id, script, &folder));
    }
    let mut fleet = builder.start().unwrap();
    for (row, id, _, bytes) in &cases {
        ended(&fleet, id);
        let all: String = (1..=2000).map(|number| format!("l{number}\n")).collect();
        let expected = if *id == "nonblocking" { all.as_bytes() } else { bytes };
        holds(*row, &folder.join(format!("{id}.plain")), expected);
    }
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_line_of_a_hundred_megabytes_is_kept_whole_and_costs_little_memory() {
    // Row 84.
    let sandbox = Sandbox::new().unwrap();
    let folder = sandbox.folder().join("out");
    fs::create_dir(&folder).unwrap();
    let script = "head -c 104857600 /dev/zero | tr '\\0' x; echo";
    let worker = writer("long", script, &folder).set(
        "log_collection",
        json!({"enabled": true, "outputs": {"separate": {
            "stdout": [{"type": "file", "path": folder.join("long.plain"), "format": "plain",
                "rotation": {"max_size": "unlimited"}}],
            "stderr": []}}}),
    );
    let mut fleet = FleetBuilder::new(&sandbox).worker(worker).start().unwrap();
    ended(&fleet, "long");
    let path = folder.join("long.plain");
    eventually("the line is whole", SOON, || {
        let length = fs::metadata(&path).map_err(|error| error.to_string())?.len();
        if length == (100 << 20) + 1 { Ok(()) } else { Err(format!("{length} bytes")) }
    })
    .unwrap();
    for process in sandbox.processes().unwrap() {
        let status = fs::read_to_string(format!("/proc/{}/status", process.outer_pid));
        let peak = status.ok().and_then(|status| {
            let line = status.lines().find(|line| line.starts_with("VmHWM:"))?.to_owned();
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        });
        assert!(peak.unwrap_or_default() < 64 << 10, "{}: {peak:?} kB", process.name());
    }
    fleet.stop(SOON).unwrap();
}

/// What somebody else does to a log file.
type Disturb = fn(&Path);

#[test]
fn files_that_others_take_away_or_empty_are_begun_again() {
    // Row 95.
    let sandbox = Sandbox::new().unwrap();
    let folder = sandbox.folder().join("out");
    fs::create_dir(&folder).unwrap();
    let script = "while read -r line; do :; done < /dev/null; n=0; while :; do n=$((n+1)); echo \"line $n\"; sleep 0.02; done";
    let mut fleet =
        FleetBuilder::new(&sandbox).worker(writer("talker", script, &folder)).start().unwrap();
    let path = folder.join("talker.plain");
    let speaks = |what: &str| {
        eventually(what, SOON, || match fs::metadata(&path) {
            Ok(found) if found.len() > 0 => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .unwrap();
    };
    speaks("there are lines");
    let disturbances: [(&str, Disturb); 4] = [
        ("the file is deleted", |path| fs::remove_file(path).unwrap()),
        ("the file is emptied", |path| fs::write(path, "").unwrap()),
        ("the file is moved away", |path| fs::rename(path, path.with_extension("old")).unwrap()),
        ("the folder is deleted", |path| fs::remove_dir_all(path.parent().unwrap()).unwrap()),
    ];
    for (what, disturb) in disturbances {
        disturb(&path);
        speaks(what);
        let text = fs::read(&path).unwrap();
        assert!(!text.contains(&0), "{what}: a hole");
    }
    fleet.wait_for("talker", "running", SOON).unwrap();
    assert_eq!(fleet.list().unwrap()[0].restarts(), 0);
    fleet.stop(SOON).unwrap();
}

#[test]
fn the_client_shows_bytes_as_they_are_to_a_program() {
    // Rows 81 and 87, on the way back.
    let sandbox = Sandbox::new().unwrap();
    let folder = sandbox.folder().join("out");
    fs::create_dir(&folder).unwrap();
    let input = sandbox.folder().join("bytes");
    let bytes = b"\x1b[31m\xff\x00\xe2\x80\xae\r\n".to_vec();
    fs::write(&input, &bytes).unwrap();
    let script = format!("exec cat '{}'", input.display());
    let mut fleet =
        FleetBuilder::new(&sandbox).worker(writer("odd", &script, &folder)).start().unwrap();
    ended(&fleet, "odd");
    holds(87, &folder.join("odd.plain"), &bytes);
    let raw = fleet.client(&["logs", "odd", "--tail", "1"]).unwrap();
    assert_eq!(raw.stdout, bytes);
    let why = fleet.tell(&["why", "odd"]).unwrap();
    assert!(!why.contains(['\u{1b}', '\u{202e}', '\0', '\r']), "{why:?}");
    fleet.stop(SOON).unwrap();
}
