//! Bad command lines, bad surroundings and bad masters: one clean answer each, and no
//! panic. Cases carry the row of the catalogue of bad inputs.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use hsu_model::event::EventKind;

use super::fake::{Fake, Served, client, running, said};

fn served() -> Served {
    let fake = Fake::new(vec![running("web")]);
    fake.wrote("web", "stdout", b"one\n");
    fake.happened("web", EventKind::Registered);
    fake.serve()
}

/// An answer that any terminal and any script can take.
fn is_clean(row: u8, output: &Output) {
    let (_, out, err) = said(output);
    let steers = |c: char| c.is_control() && c != '\n' && c != '\t' || c == '\u{202e}';
    assert!(!out.contains(steers) && !err.contains(steers), "row {row}: {out:?} {err:?}");
    assert!(!err.contains("panicked") && !err.contains('\u{fffd}'), "row {row}: {err:?}");
    assert!(out.len() + err.len() < 20_000, "row {row}: {} bytes", out.len() + err.len());
}

#[test]
fn strange_arguments_are_refused_and_shown_escaped() {
    let served = served();
    let many: Vec<String> = (0..10_000).map(|number| format!("w{number}")).collect();
    let many: Vec<&[u8]> =
        [&b"list"[..]].into_iter().chain(many.iter().map(|w| w.as_bytes())).collect();
    let long = "x".repeat(100_000);
    let cases: [(u8, &[&[u8]], i32, &str); 19] = [
        (38, &[], 2, "Usage"),
        (38, &[b"dance"], 2, "unrecognized subcommand"),
        (38, &[b"stop", b"--", b"--all"], 3, "no worker is named \"--all\""),
        (38, &[b"stop", b"--", b"-rf"], 3, "no worker is named \"-rf\""),
        (38, &[b"stop", b"--"], 2, "required"),
        (38, &[b"--", b"stop"], 2, ""),
        (39, &[b"stop", b"\xff\xfe"], 2, "invalid UTF-8"),
        (39, &[b"d\xffnce"], 2, "'d\\xffnce'"),
        (39, &[b"stop", b"--f\xff"], 2, ""),
        (39, &[b"--config", b"/no/\xff", b"list"], 2, "\\xff"),
        (39, &[b"--socket", b"/no/\xff", b"list"], 5, "\\xff"),
        (39, &[b"validate", b"/no/\xff"], 2, "\\xff"),
        (40, &many, 3, "no worker is named \"w0\""),
        (40, &[b"stop", long.as_bytes()], 1, "refuses the request with HTTP status 4"),
        (40, &[long.as_bytes()], 2, ""),
        (40, &[b"stop", b""], 3, "no worker is named"),
        (40, &[b""], 2, ""),
        (40, &[b"stop", b"\x1b[31m\r\n"], 3, "no worker is named"),
        (40, &[b"\x1b[31m\xe2\x80\xae\n"], 2, "\\u{202e}"),
    ];
    for (row, words, code, says) in cases {
        let words: Vec<OsString> = words.iter().map(|w| OsString::from_vec(w.to_vec())).collect();
        let shown: String = format!("{words:?}").chars().take(80).collect();
        let has_socket = words.iter().any(|word| word == "--socket");
        let mut program = Command::new(env!("CARGO_BIN_EXE_hsu-master-cli"));
        program.env_clear().stdin(Stdio::null());
        if !has_socket {
            program.env("HSU_SOCKET", served.socket());
        }
        let output = program.args(&words).output().unwrap();
        let (got, _, err) = said(&output);
        assert_eq!(got, code, "row {row}, {shown}: {err}");
        assert!(err.contains(says), "row {row}, {shown}: {err}");
        is_clean(row, &output);
    }
}

#[test]
fn a_name_is_not_an_option_and_an_option_is_not_a_name() {
    let served = served();
    assert_eq!(served.run(&["stop", "web", "--all"]).0, 2, "row 38");
    assert_eq!(served.run(&["stop", "--all"]).0, 0, "row 38");
    assert_eq!(served.fake.asked(), ["web Stop { force: false }"], "row 38");
}

#[test]
fn output_that_cannot_be_written_is_a_failure_and_a_reader_that_left_is_none() {
    let served = served();
    let config = served.fake.folder.path().join("hsu.yaml");
    std::fs::write(&config, "workers: []\n").unwrap();
    let config = config.to_str().unwrap();
    for words in [
        &["list"][..],
        &["list", "-o", "json"],
        &["describe", "web"],
        &["why", "web"],
        &["events"],
        &["logs", "web"],
        &["stop", "web"],
        &["version"],
        &["master", "status"],
        &["capabilities"],
        &["validate", config],
        &["completions", "bash"],
        &["--help"],
        &["--version"],
        &["help", "stop"],
    ] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = served.client(words).stdout(full).output().unwrap();
        let (code, _, err) = said(&output);
        assert_eq!(code, 1, "row 42, {words:?}: {err}");
        assert!(err.contains("cannot write: No space left"), "row 42, {words:?}: {err}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = served.client(words).stdout(writer).output().unwrap();
        let (code, _, err) = said(&output);
        assert_eq!((code, err.as_str()), (0, ""), "row 41, {words:?}");
    }
}

#[test]
fn closed_standard_streams_and_a_strange_terminal_change_nothing() {
    let served = served();
    let usual = served.run(&["list"]);
    assert_eq!(usual.0, 0);
    let variables: [(u8, &[(&str, &str)]); 6] = [
        (44, &[("TERM", "")]),
        (44, &[("TERM", "dumb"), ("NO_COLOR", "1")]),
        (44, &[("TERM", "nothing-like-it"), ("COLUMNS", "0"), ("LINES", "0")]),
        (44, &[("COLUMNS", "1000000000")]),
        (44, &[("LANG", "C"), ("LC_ALL", "POSIX")]),
        (49, &[("HOME", "/nowhere"), ("XDG_RUNTIME_DIR", "relative")]),
    ];
    for (row, variables) in variables {
        for words in [&["list"][..], &["--help"], &["dance"]] {
            let output = served.client(words).envs(variables.iter().copied()).output().unwrap();
            is_clean(row, &output);
            if words == ["list"] {
                assert_eq!(said(&output), usual, "row {row}, {variables:?}");
            }
        }
    }
    for (closing, code) in [("<&-", 0), ("<&- >&-", 0), ("<&- >&- 2>&-", 0), ("2>&-", 0)] {
        let script = format!("exec \"$0\" \"$@\" {closing}");
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_hsu-master-cli"), "--socket"]);
        let output = shell.arg(served.socket()).args(["stop", "web"]).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "row 43, {closing}: {output:?}");
    }
}

#[test]
fn an_interrupt_ends_whoever_waits_as_a_signal_does() {
    // Row 45: a shell tells it as 130.
    let served = served();
    let mut follower = served.client(&["logs", "web", "-f"]);
    let mut child = follower.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 4];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.signal(), Some(2), "{output:?}");
    assert_eq!(output.stderr, b"");
}

/// What the client says to a master that answers every request with these bytes.
fn answered(folder: &Path, bytes: &'static [u8], words: &[&str]) -> (i32, String, String) {
    let socket = folder.join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    let answering = std::thread::spawn(move || {
        let mut head = [0; 1024];
        loop {
            let (mut stream, _) = listener.accept().unwrap();
            if stream.read(&mut head).unwrap() == 0 {
                return;
            }
            // The client may have seen enough before the end.
            drop(stream.write_all(bytes));
        }
    });
    let output = client(&socket, words).output().unwrap();
    // Whoever asks nothing ends it.
    drop(UnixStream::connect(&socket).unwrap());
    answering.join().unwrap();
    is_clean(46, &output);
    std::fs::remove_file(&socket).unwrap();
    said(&output)
}

#[test]
fn a_master_of_another_version_is_told_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let newer = b"HTTP/1.1 200 OK\r\ncontent-length: 22\r\n\r\n{\"workers\":{\"web\":{}}}";
    let cases: [(&'static [u8], i32, &str); 8] = [
        (newer, 1, "hint: compare `hsu-master-cli version`"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]", 1, "hint: compare"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n\xff\xfe\x1b[", 1, "hint: compare"),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\n\r\n\x1b[31m", 3, "\\x1b[31m"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", 1, "a malformed length"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 1, "a malformed chunk"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{}", 5, "has ended the conversation"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", 1, "is not understood"),
    ];
    for (bytes, code, says) in cases {
        let (got, _, err) = answered(folder.path(), bytes, &["list", "web"]);
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(got, code, "row 46, {shown}: {err}");
        assert!(err.contains(says), "row 46, {shown}: {err}");
    }
    // Nothing at all is an ended conversation too.
    assert_eq!(answered(folder.path(), b"", &["list"]).0, 5, "row 46");
}

#[test]
fn a_socket_that_leads_nowhere_is_told_with_the_next_step() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // The name stays when its master was killed.
    let stale = at("stale");
    drop(UnixListener::bind(&stale).unwrap());
    File::create(at("file")).unwrap();
    let long = at(&"x".repeat(200));
    for path in [at("missing"), stale, at("file"), folder.path().to_owned(), long] {
        let output = client(&path, &["list"]).output().unwrap();
        let (code, _, err) = said(&output);
        assert_eq!(code, 5, "row 47, {}: {err}", path.display());
        assert!(err.contains("cannot reach the master"), "row 47, {}: {err}", path.display());
        assert!(err.contains("\nhint: "), "row 47, {}: {err}", path.display());
    }
}

#[test]
fn without_a_home_a_configuration_tells_what_it_lacks() {
    // Row 49.
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("hsu.yaml");
    std::fs::write(&config, "workers: []\n").unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_hsu-master-cli"));
    let output = program.env_clear().arg("validate").arg(&config).output().unwrap();
    let (code, out, _) = said(&output);
    assert_eq!(code, 2, "{out}");
    assert!(out.contains("`HOME` is not set") && out.contains("hint: "), "{out}");
}

#[test]
fn validate_warns_of_a_user_and_a_group_that_this_host_does_not_have() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("hsu.yaml");
    let worker = "workers:\n- id: web\n  type: managed\n  unit:\n    managed:\n      control:\n        \
                  execution: {executable_path: /bin/true, user: nobody-here, group: none-here}\n";
    std::fs::write(&config, worker).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_hsu-master-cli"));
    let output = program.env("HOME", "/").arg("validate").arg(&config).output().unwrap();
    let (code, out, _) = said(&output);
    assert_eq!(code, 0, "{out}");
    for expected in
        ["no user \"nobody-here\"", "no group \"none-here\"", "the worker fails without it"]
    {
        assert!(out.contains(expected), "{expected}: {out}");
    }
}
