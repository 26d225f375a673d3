//! The client and the server talk over a real socket, about a master that is made up.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::Stdio;
use std::time::{Duration, Instant};

use hsu_model::event::EventKind;
use hsu_model::id::RunId;
use hsu_model::status::{Desired, WorkerState, WorkerStatus};
use hsu_sys::local::LocalStream;

#[cfg(test)]
#[path = "conversation/bad_commands.rs"]
mod bad_commands;
#[cfg(test)]
#[path = "conversation/fake.rs"]
mod fake;
#[cfg(test)]
#[path = "conversation/handovers.rs"]
mod handovers;
#[cfg(test)]
#[path = "conversation/options.rs"]
mod options;

use fake::{Fake, client, running, said};

fn stopped(id: &str) -> WorkerStatus {
    WorkerStatus {
        state: WorkerState::Stopped,
        desired: Desired::Stopped,
        ready: false,
        process: None,
        started_at: None,
        last_exit: None,
        restarts: 0,
        reason: "stopped by an operator".to_owned(),
        ..running(id)
    }
}

#[test]
fn the_list_is_a_table_for_people_and_json_for_programs() {
    let served = Fake::new(vec![running("web"), stopped("batch")]).serve();
    let (code, table, _) = served.run(&["list"]);
    let expected = "\
NAME   STATE    READY  HEALTH  PID      UPTIME  RESTARTS  LAST-EXIT  BREAKER  CPU  MEMORY
batch  stopped  no     -       -        -       0         -          closed   -    -
web    running  yes    -       4194305  1m05s   1         SIGKILL    closed   -    -
";
    assert_eq!((code, table.as_str()), (0, expected));
    let (code, text, _) = served.run(&["status", "web", "-o", "json"]);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(code, 0);
    assert_eq!(value["workers"].as_array().map(Vec::len), Some(1));
    assert_eq!(value["workers"][0]["last_exit"]["signal"], 9);
}

#[test]
fn a_master_that_was_not_replaced_after_all_is_reached_where_the_other_one_had_listened() {
    let served = Fake::new(vec![running("web")]).serve();
    // Whoever answers listens for its place, too.
    assert_eq!(served.run(&["list"]).0, 0);
    let place = served.fake.folder.path().join("s");
    drop(hsu_sys::local::LocalListener::bind(&place).unwrap());
    let (code, _, _) = served.run(&["list"]);
    assert_eq!(code, 5);
    served.fake.regained.send_modify(|times| *times += 1);
    let begin = Instant::now();
    while served.run(&["list"]).0 != 0 {
        assert!(begin.elapsed() < Duration::from_secs(20), "nobody listens");
    }
}

#[test]
fn why_tells_of_a_stop_that_has_outlived_its_master() {
    let mut web = stopped("web");
    (web.state, web.desired) = (WorkerState::Registered, Desired::Stopped);
    let fake = Fake::new(vec![web]);
    fake.happened("web", EventKind::Commanded { verb: "stop".to_owned() });
    let (code, text, _) = fake.serve().run(&["why", "web"]);
    assert_eq!(code, 0);
    let expected = "master asked to stop at 2023-11-14T22:13:20.000Z, and that holds";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn what_an_order_has_overtaken_is_not_told_as_the_decision() {
    let fake = Fake::new(vec![stopped("web")]);
    let reason = "gave up".to_owned();
    fake.happened("web", EventKind::RestartRefused { reason });
    let chain = |text: &str| text.split("\nEvents").next().unwrap_or_default().to_owned();
    let served = fake.serve();
    let (_, text, _) = served.run(&["why", "web"]);
    assert!(chain(&text).contains("not restarted: gave up"), "{text}");
    served.fake.happened("web", EventKind::Commanded { verb: "signal".to_owned() });
    assert!(chain(&served.run(&["why", "web"]).1).contains("gave up"));
    served.fake.happened("web", EventKind::Commanded { verb: "reset".to_owned() });
    let (_, text, _) = served.run(&["why", "web", "-o", "json"]);
    let why: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(!why["chain"].to_string().contains("gave up"), "{text}");
}

#[test]
fn a_worker_whose_settings_were_changed_says_what_applies_them() {
    let served = Fake::new(vec![running("outdated"), running("web")]).serve();
    for verb in ["describe", "why"] {
        let (_, text, _) = served.run(&[verb, "outdated"]);
        assert!(text.contains("`hsu-master-cli restart outdated` applies"), "{text}");
        assert!(!served.run(&[verb, "web"]).1.contains("restart web"));
    }
}

#[test]
fn why_tells_the_chain_in_words() {
    let fake = Fake::new(vec![running("web")]);
    let (from, to) = (WorkerState::Starting, WorkerState::Running);
    let reason = "the process runs".to_owned();
    fake.happened("web", EventKind::StateChanged { from, to, reason });
    fake.wrote_in_run("web", "stderr", RunId(2), b"an older life\n");
    fake.wrote_in_run("web", "stderr", RunId(3), b"starting\nout of \x1b[31mmemory\n");
    fake.wrote_in_run("web", "stderr", RunId(4), b"a new life\n");
    let served = fake.serve();
    let (code, text, _) = served.run(&["why", "web"]);
    assert_eq!(code, 0);
    for part in [
        "web is running since 2023-11-14T22:13:20.000Z: restarted after signal SIGKILL",
        "its latest ended run (3) ended with signal SIGKILL at 2023-11-14T22:13:20.000Z, after 1.500 s",
        "  out of \\x1b[31mmemory\n",
        "starting -> running",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    assert!(!text.contains("life"), "words of another run: {text}");
}

#[test]
fn each_refusal_has_its_exit_code_its_reason_and_a_hint() {
    let workers = ["web", "busy", "broken", "slow", "ending"].map(running).to_vec();
    let served = Fake::new(workers).serve();
    for (words, code, part) in [
        (&["why", "nobody"][..], 3, "no worker is named \"nobody\""),
        (&["list", "nobody"], 3, "no worker is named \"nobody\""),
        (&["stop", "a/../b"], 3, "no worker is named \"a/../b\""),
        (&["stop", "--", "--all"], 3, "no worker is named \"--all\""),
        (&["start", ""], 3, "no worker is named"),
        (&["logs", "nobody"], 3, "no worker is named \"nobody\""),
        (&["signal", "web", "HUP"], 4, "web is running: cannot signal it"),
        (&["signal", "web", "NOPE"], 2, "\"NOPE\" is no signal"),
        (&["stop", "busy"], 1, "does not take more requests"),
        (&["stop", "broken"], 1, "no \\x1b[31m"),
        (&["start", "ending"], 1, "the master is ending, and begins nothing any more"),
        (&["stop", "slow", "--timeout", "1"], 6, "stop is not done after 1 s: slow is running"),
        (&["wait", "web", "--for=stopped", "--timeout", "0.1"], 6, "web is running, not stopped"),
        (&["logs", "web", "--since", "yesterday"], 2, "\"yesterday\" is neither"),
        (&["master", "upgrade", "--executable", "/no"], 1, "/no does not start"),
        (&["master", "upgrade", "--executable", "/twice"], 4, "is being replaced already"),
        (&["master", "upgrade", "--executable", "/late"], 1, "the master is ending, and begins"),
    ] {
        let (got, _, text) = served.run(words);
        assert_eq!(got, code, "{words:?}: {text}");
        assert!(text.contains(part) && text.contains("\nhint: "), "{words:?}: {text}");
    }
}

#[test]
fn a_wrong_command_line_asks_nobody() {
    let served = Fake::new(vec![running("web")]).serve();
    for words in [
        &["dance"][..],
        &[],
        &["stop"],
        &["stop", "--sideways", "web"],
        &["stop", "web", "--all"],
        &["wait", "web", "--for", "happy"],
        &["wait", "web"],
        &["list", "-o", "xml"],
        &["logs", "web", "--stream", "stdin"],
        &["events", "--limit", "-1"],
    ] {
        assert_eq!(served.run(words).0, 2, "{words:?}");
    }
    assert_eq!(served.fake.asked(), Vec::<String>::new());
}

#[test]
fn commands_reach_the_master_as_they_were_typed() {
    let served = Fake::new(vec![running("a"), running("b")]).serve();
    for words in [
        &["restart", "a", "--force"][..],
        &["stop", "--all"],
        &["remove", "a"],
        &["reset", "b"],
        &["signal", "b", "usr1"],
        &["master", "shutdown", "--keep-workers"],
    ] {
        let (code, _, text) = served.run(words);
        assert_eq!(code, 0, "{words:?}: {text}");
    }
    let mut asked = served.fake.asked();
    // Both stops are under way at the same time.
    asked.get_mut(1..3).unwrap().sort();
    let expected = [
        "a Restart { force: true }",
        "a Stop { force: false }",
        "b Stop { force: false }",
        "a Remove",
        "b ResetBreaker",
        "b Signal(10)",
        "shutdown KeepWorkers false",
    ];
    assert_eq!(asked, expected);
}

#[test]
fn one_unknown_worker_does_not_stop_the_others() {
    let served = Fake::new(vec![running("a"), running("c")]).serve();
    let (code, out, err) = served.run(&["stop", "a", "b", "c"]);
    assert_eq!(code, 3);
    assert_eq!(out, "a: done (running)\nc: done (running)\n");
    assert!(err.contains("error: b: no worker is named \"b\""), "{err}");
}

#[test]
fn a_long_list_of_events_is_whole_and_in_order() {
    let fake = Fake::new(vec![running("web"), running("db")]);
    for run in 1..=1_501 {
        fake.happened("web", EventKind::Killed { run: RunId(run) });
        fake.happened("db", EventKind::Registered);
    }
    let served = fake.serve();
    let numbers = |words: &[&str]| {
        let answer = served.client(&[words, &["-o", "json"]].concat()).output().unwrap();
        let list: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap();
        let events = list["events"].as_array().unwrap();
        events.iter().map(|event| event["sequence"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let expected: Vec<u64> = (1..=3_002).collect();
    assert_eq!(numbers(&["events", "--limit", "100000"]), expected);
    assert_eq!(numbers(&["events", "--limit", "1000"]), expected[2_002..]);
    assert_eq!(numbers(&["events", "--after", "7", "--limit", "1001"]), expected[7..1_008]);
    assert_eq!(numbers(&["events", "--worker", "web", "--limit", "2"]), [2_999, 3_001]);
    assert_eq!(numbers(&["events", "--limit", "0"]), [0_u64; 0]);
}

#[test]
fn events_are_followed_as_they_happen() {
    let fake = Fake::new(vec![running("web")]);
    fake.happened("web", EventKind::Registered);
    let served = fake.serve();
    let mut follower = served.client(&["events", "-f", "--after", "0", "-o", "json"]);
    let mut child = follower.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next =
        || -> serde_json::Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    assert_eq!(next()["kind"], "registered");
    served.fake.happened("web", EventKind::Spawned { run: RunId(5), pid: 70 });
    let event = next();
    assert_eq!(
        (&event["kind"], &event["run"], &event["pid"]),
        (&"spawned".into(), &5.into(), &70.into())
    );
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_follower_is_told_when_the_master_ends() {
    let fake = Fake::new(vec![running("web")]);
    fake.wrote("web", "stdout", b"one\n");
    let served = fake.serve();
    let mut follower = served.client(&["logs", "web", "-f"]);
    let mut child = follower.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 4];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"one\n");
    drop(served);
    let (code, _, text) = said(&child.wait_with_output().unwrap());
    assert_eq!(code, 5, "{text}");
}

#[test]
fn bytes_of_workers_pass_a_pipe_unchanged() {
    let fake = Fake::new(vec![running("web")]);
    let bytes = b"caf\xc3\xa9 \xff\x1b[31m\n\x00last\n";
    fake.wrote("web", "stdout", bytes);
    let served = fake.serve();
    let output = served.client(&["logs", "web", "--tail", "10"]).output().unwrap();
    assert_eq!(output.stdout, bytes);
    let (_, text, _) = served.run(&["logs", "web", "-o", "json", "--tail", "1"]);
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&line["line"], &line["lossy"]), (&"\u{0}last".into(), &false.into()));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let fake = Fake::new(vec![running("web")]);
    fake.wrote("web", "stdout", &b"0123456789abcdef\n".repeat(60_000));
    let served = fake.serve();
    let mut logs = served.client(&["logs", "web", "--tail", "60000"]);
    let mut child = logs.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 17];
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut first).unwrap();
    drop(out);
    let (code, _, text) = said(&child.wait_with_output().unwrap());
    assert_eq!((code, text.as_str()), (0, ""));
}

#[test]
fn no_master_and_a_hung_master_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let (code, _, text) = said(&client(&socket, &["list"]).output().unwrap());
    assert_eq!(code, 5, "{text}");
    assert!(text.contains("cannot reach the master") && text.contains("hint: "), "{text}");
    let _hung = hsu_sys::local::LocalListener::bind(&socket).unwrap();
    let begun = Instant::now();
    let (code, _, text) = said(&client(&socket, &["list"]).output().unwrap());
    assert_eq!(code, 6, "{text}");
    assert!(begun.elapsed() < Duration::from_secs(15));
}

#[test]
fn without_a_socket_every_place_that_was_looked_at_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_hsu-master-cli"));
    program.env_clear().env("XDG_RUNTIME_DIR", folder.path()).env("HSU_SOCKET", "").arg("list");
    let (code, _, text) = said(&program.output().unwrap());
    let place = folder.path().join("hsu-master/control.sock");
    assert!(code == 5 && text.contains("hint: "), "{code} {text}");
    // A master of this host may be at one of the other places.
    if text.contains("no master found") {
        assert!(text.contains(&place.display().to_string()), "{text}");
    }
}

/// Sends bytes as they are, and returns all that comes back.
fn raw(socket: &std::path::Path, request: &[u8]) -> String {
    let mut answer = Vec::new();
    if let Ok(mut stream) = LocalStream::connect(socket, Some(Duration::from_secs(15))) {
        // The server may answer and close before it has read everything.
        drop(stream.write_all(request));
        drop(stream.read_to_end(&mut answer));
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn whatever_is_asked_the_answer_is_a_problem_or_a_route() {
    let served = Fake::new(vec![running("web")]).serve();
    let ask = |method: &str, path: &str, body: &str| {
        let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
        raw(
            &served.socket(),
            format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes(),
        )
    };
    for (method, path) in hsu_api::ROUTES {
        let path = path.replace("{id}", "web");
        let path = if path.ends_with("/wait") { format!("{path}?for=running") } else { path };
        let path = if path.ends_with("/diff") { format!("{path}?from=1") } else { path };
        let body = if path.ends_with("/signal") { r#"{"signal":"10"}"# } else { "" };
        let answer = ask(method, &path, body);
        assert!(answer.starts_with("HTTP/1.1 20"), "{method} {path}: {answer}");
    }
    let long = format!("{{\"signal\": \"{}\"}}", "x".repeat(70_000));
    for (method, path, body, status) in [
        ("GET", "/", "", 404),
        ("GET", "/v2/workers", "", 404),
        ("POST", "/v1/workers", "", 405),
        ("POST", "/v1/workers/web/dance", "", 404),
        ("POST", "/v1/workers/web/stop", "{", 400),
        ("POST", "/v1/workers/web/stop", "{\"forse\": true}", 400),
        ("POST", "/v1/workers/web/stop", long.as_str(), 413),
        ("GET", "/v1/workers/web/wait", "", 400),
        ("GET", "/v1/workers/web/wait?for=running&timeout=-1", "", 400),
        ("GET", "/v1/events?limit=many", "", 400),
        ("GET", "/v1/workers/%ff/why", "", 400),
        ("POST", "/v1/master/shutdown", "{\"mode\": \"maybe\"}", 400),
    ] {
        let answer = ask(method, path, body);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {path}: {answer}");
        assert!(answer.contains("application/problem+json"), "{method} {path}: {answer}");
    }
}

#[test]
fn a_command_that_nobody_waits_for_is_answered_at_once() {
    let served = Fake::new(vec![running("slow")]).serve();
    let body = "{\"wait\": false}";
    let request = format!(
        "POST /v1/workers/slow/stop HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = raw(&served.socket(), request.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
}

#[test]
fn a_wait_ends_when_the_state_is_reached() {
    let served = Fake::new(vec![running("web")]).serve();
    let mut wait = served.client(&["wait", "web", "--for", "stopped", "--timeout", "30"]);
    let child = wait.stdout(Stdio::piped()).spawn().unwrap();
    served.fake.set(vec![stopped("web")]);
    let (code, text, _) = said(&child.wait_with_output().unwrap());
    assert_eq!((code, text.as_str()), (0, "web is stopped\n"));
}

#[test]
fn a_wait_waits_for_the_master_too() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("later.sock");
    let words = |timeout| ["wait", "web", "--for", "running", "--timeout", timeout];
    let (code, _, err) = said(&client(&socket, &words("0")).output().unwrap());
    assert_eq!(code, 5, "zero looks once: {err}");
    let (code, _, err) = said(&client(&socket, &words("0.1")).output().unwrap());
    assert_eq!(code, 5, "none came: {err}");
    let mut child = client(&socket, &words("30")).stdout(Stdio::piped()).spawn().unwrap();
    for _ in 0..20 {
        assert!(child.try_wait().unwrap().is_none(), "it does not wait");
        std::thread::sleep(Duration::from_millis(10));
    }
    let served = Fake::new(vec![running("web")]).serve();
    std::os::unix::fs::symlink(served.socket(), &socket).unwrap();
    let (code, text, _) = said(&child.wait_with_output().unwrap());
    assert_eq!((code, text.as_str()), (0, "web is running\n"));
}

#[test]
fn a_wait_goes_on_with_the_master_that_is_started_after_the_one_that_ended() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("link.sock");
    let first = Fake::new(vec![running("web")]).serve();
    std::os::unix::fs::symlink(first.socket(), &socket).unwrap();
    let words = ["wait", "web", "--for", "stopped", "--timeout", "30"];
    let mut child = client(&socket, &words).stdout(Stdio::piped()).spawn().unwrap();
    let mut waits_for = |rounds: u32, what: &str| {
        for _ in 0..rounds {
            assert!(child.try_wait().unwrap().is_none(), "it does not wait for {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    waits_for(20, "its worker");
    drop(first);
    std::fs::remove_file(&socket).unwrap();
    // Longer than a master that was killed may take to come back.
    waits_for(300, "the next master");
    let second = Fake::new(vec![stopped("web")]).serve();
    std::os::unix::fs::symlink(second.socket(), &socket).unwrap();
    let (code, text, _) = said(&child.wait_with_output().unwrap());
    assert_eq!((code, text.as_str()), (0, "web is stopped\n"));
}

#[test]
fn nobody_is_told_about_processes_that_are_not_known_yet() {
    let fake = Fake::new(vec![stopped("web")]);
    fake.opened.send_replace(false);
    let served = fake.serve();
    let patience = Some(Duration::from_millis(100));
    let mut stream = LocalStream::connect(&served.socket(), patience).unwrap();
    stream.write_all(b"GET /v1/workers HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    assert!(stream.read(&mut [0; 1]).is_err(), "answered before the processes are known");
    served.fake.set(vec![running("web")]);
    served.fake.opened.send_replace(true);
    let mut answer = String::new();
    while !answer.contains("running") {
        let mut piece = [0; 512];
        match stream.read(&mut piece) {
            Ok(0) => panic!("{answer}"),
            Ok(length) => answer.push_str(&String::from_utf8_lossy(&piece[..length])),
            // Not there yet.
            Err(_) => {}
        }
    }
}

#[test]
fn only_a_socket_is_replaced_by_a_socket() {
    let fake = Fake::new(Vec::new());
    let path = fake.folder.path().join("precious");
    std::fs::write(&path, "data").unwrap();
    assert!(hsu_server::start(&path, std::sync::Arc::new(fake)).is_err());
}

#[test]
#[ignore = "measures; needs a release build and a quiet machine"]
fn a_thousand_workers_are_listed_within_three_milliseconds() {
    let workers = (0..1000).map(|n| running(&format!("worker-{n:04}")));
    let served = Fake::new(workers.collect()).serve();
    for words in [&["list"][..], &["list", "-o", "json"]] {
        let mut times: Vec<_> = (0..200)
            .map(|_| {
                let begun = Instant::now();
                assert_eq!(served.run(words).0, 0);
                begun.elapsed()
            })
            .collect();
        times.sort();
        let median = times.get(100).copied().unwrap_or_default();
        assert!(median < Duration::from_millis(3), "{words:?}: {times:?}");
    }
}
