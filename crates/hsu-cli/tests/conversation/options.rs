//! What is asked for is done or refused, and never ignored; programs get JSON.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use hsu_model::event::EventKind;
use hsu_model::id::RunId;

use super::fake::{Fake, running, said};
use super::{raw, stopped};

fn lines(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_order_answers_programs_with_one_object_for_each_worker() {
    let served = Fake::new(vec![running("a"), running("broken")]).serve();
    for verb in ["start", "stop", "restart", "enable", "disable", "reset", "remove"] {
        let (code, text, err) = served.run(&[verb, "a", "-o", "json"]);
        assert_eq!(code, 0, "{verb}: {err}");
        assert_eq!(lines(&text)[0]["worker"], "a", "{verb}: {text}");
    }
    let (code, text, err) = served.run(&["stop", "a", "nobody", "broken", "-o", "json"]);
    assert_eq!(code, 3, "{err}");
    let lines_of = lines(&text);
    assert_eq!(lines_of.len(), 3, "{text}");
    assert_eq!(
        (&lines_of[0]["message"], &lines_of[0]["state"]),
        (&"done".into(), &"running".into())
    );
    assert_eq!((&lines_of[1]["status"], &lines_of[1]["worker"]), (&404.into(), &"nobody".into()));
    assert_eq!(lines_of[2]["worker"], "broken");
    for words in [
        &["signal", "a", "TERM", "-o", "json"][..],
        &["master", "shutdown", "-o", "json"],
        &["master", "upgrade", "-o", "json"],
    ] {
        let (code, text, err) = served.run(words);
        assert_eq!((code, lines(&text).len()), (0, 1), "{words:?}: {err}");
    }
}

#[test]
fn no_time_at_all_asks_once() {
    let served = Fake::new(vec![running("slow"), stopped("off")]).serve();
    let (code, text, err) = served.run(&["stop", "slow", "--timeout", "0"]);
    assert_eq!((code, text.as_str()), (0, "slow: asked for (running)\n"), "{err}");
    assert_eq!(served.run(&["wait", "off", "--for", "stopped", "--timeout", "0"]).0, 0);
    let (code, _, err) = served.run(&["wait", "slow", "--for", "stopped", "--timeout", "0"]);
    assert_eq!(code, 6);
    assert!(err.contains("slow is running, not stopped, after 0 s"), "{err}");
}

#[test]
fn several_workers_are_waited_for() {
    let served = Fake::new(vec![running("a"), running("b"), stopped("c")]).serve();
    let (code, text, _) = served.run(&["wait", "a", "b", "--for", "running", "--timeout", "9"]);
    assert_eq!((code, text.as_str()), (0, "a is running\nb is running\n"));
    let words = ["wait", "a", "c", "--for", "running", "--timeout", "0.1", "-o", "json"];
    let (code, text, err) = served.run(&words);
    let lines = lines(&text);
    assert_eq!(
        (code, &lines[0]["id"], &lines[1]["status"]),
        (6, &"a".into(), &408.into()),
        "{err}"
    );
}

#[test]
fn a_real_time_signal_is_named_as_in_a_configuration() {
    let served = Fake::new(vec![running("a")]).serve();
    assert_eq!(served.run(&["signal", "a", "RTMIN+1"]).0, 0);
    assert_eq!(served.fake.asked(), ["a Signal(35)"]);
}

#[test]
fn a_number_that_is_none_is_refused_without_wrong_advice() {
    let served = Fake::new(vec![running("a")]).serve();
    for words in [
        &["logs", "a", "--tail", "-1"][..],
        &["events", "--limit", "-1"],
        &["events", "--after", "-1"],
    ] {
        let (code, _, err) = served.run(words);
        assert_eq!(code, 2, "{words:?}: {err}");
        assert!(err.contains("'-1'") && !err.contains("-- -1"), "{words:?}: {err}");
    }
    let (code, _, err) = served.run(&["events", "-f", "--after", "1", "--limit", "1"]);
    assert!(code == 2 && err.contains("give one of them"), "{err}");
}

#[test]
fn an_option_that_would_be_ignored_is_refused_and_nothing_is_done() {
    let served = Fake::new(vec![running("web")]).serve();
    served.fake.happened("web", EventKind::Killed { run: RunId(1) });
    let ask = |method: &str, path: &str, body: &str| {
        let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
        let length = body.len();
        let text = format!("{head}content-length: {length}\r\n\r\n{body}");
        raw(&served.socket(), text.as_bytes())
    };
    for verb in ["start", "enable", "disable", "reset-breaker", "signal"] {
        let body = "{\"force\": true, \"signal\": \"HUP\"}";
        let answer = ask("POST", &format!("/v1/workers/web/{verb}"), body);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{verb}: {answer}");
        assert!(answer.contains("`force` means nothing to"), "{verb}: {answer}");
    }
    for verb in ["start", "stop", "restart", "enable", "disable", "reset-breaker"] {
        let answer = ask("POST", &format!("/v1/workers/web/{verb}"), "{\"signal\": \"HUP\"}");
        assert!(answer.starts_with("HTTP/1.1 400 "), "{verb}: {answer}");
        assert!(answer.contains("`signal` means nothing to"), "{verb}: {answer}");
    }
    for (method, path, body) in [
        ("DELETE", "/v1/workers/web", "{\"force\": true}"),
        ("GET", "/v1/events?follow=true&limit=1", ""),
        ("GET", "/v1/events?after=1&last=1", ""),
        ("GET", "/v1/events?limit=1&last=1", ""),
    ] {
        let answer = ask(method, path, body);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{method} {path}: {answer}");
        assert!(answer.contains("\"hint\""), "{method} {path}: {answer}");
    }
    assert_eq!(served.fake.asked(), Vec::<String>::new());
}

#[test]
fn a_worker_whose_output_is_not_collected_is_told_as_such() {
    let served = Fake::new(vec![running("web")]).serve();
    let (code, out, err) = served.run(&["logs", "web"]);
    assert_eq!((code, out.as_str()), (0, ""));
    assert!(err.contains("hint: the output of this worker is not collected"), "{err}");
    let (_, text, _) = served.run(&["describe", "web", "-o", "json"]);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["collected"], serde_json::json!([]));
}

#[test]
fn a_user_without_the_right_is_refused_and_not_told_that_nobody_is_there() {
    let served = Fake::new(Vec::new()).serve();
    let folder = served.fake.folder.path();
    let closed = |mode| std::fs::set_permissions(folder, PermissionsExt::from_mode(mode));
    closed(0o000).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_hsu-master-cli"));
    program.env_clear().stdin(Stdio::null()).arg("--socket").arg(served.socket()).arg("list");
    if hsu_sys::local::own_uid() == 0 {
        program.uid(65_534).gid(65_534);
    }
    let output = program.output();
    closed(0o700).unwrap();
    let (code, _, err) = said(&output.unwrap());
    assert_eq!(code, 4, "{err}");
    assert!(err.contains("Permission denied") && err.contains("hint: use the user"), "{err}");
}

#[test]
fn the_names_of_workers_complete_the_verbs_that_take_them() {
    let served = Fake::new(vec![running("web-1"), running("web-2"), running("db")]).serve();
    let script = r#"
        PATH="$(dirname "$0"):$PATH"
        source <(hsu-master-cli completions bash)
        for verb in stop validate; do
            COMP_WORDS=(hsu-master-cli "$verb" we) COMP_CWORD=2 COMPREPLY=()
            _hsu_master_cli_workers hsu-master-cli we "$verb"
            echo "$verb:" "${COMPREPLY[@]}"
        done"#;
    let mut bash = Command::new("bash");
    bash.args(["-c", script, env!("CARGO_BIN_EXE_hsu-master-cli")]);
    let output = bash.env("HSU_SOCKET", served.socket()).output().unwrap();
    let (code, text, err) = said(&output);
    assert_eq!((code, text.as_str()), (0, "stop: web-1 web-2\nvalidate:\n"), "{err}");
}
