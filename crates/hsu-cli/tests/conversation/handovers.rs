//! One master goes and the next one serves: whoever asked or followed goes on.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::process::{Child, ChildStdout, Stdio};

use hsu_model::event::EventKind;
use hsu_model::id::RunId;
use hsu_model::time::Tick;

use super::fake::{Fake, NOW, Served, client, running, said};

/// A client that follows, and ends with the test.
struct Follower {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Follower {
    fn start(served: &Served, words: &[&str]) -> Self {
        let mut child = served.client(words).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn events_go_on_at_the_next_master_without_loss_and_without_repeats() {
    let fake = Fake::new(vec![running("web")]);
    (1..=3).for_each(|run| fake.happened("web", EventKind::Killed { run: RunId(run) }));
    let mut served = fake.serve();
    let mut follower = Follower::start(&served, &["events", "-f", "--limit", "2"]);
    assert!(follower.line().contains("run 2 killed"), "the last two of what happened");
    assert!(follower.line().contains("run 3 killed"));
    for run in 4..8 {
        served.replace();
        served.fake.happened("web", EventKind::Killed { run: RunId(run) });
        let line = follower.line();
        assert!(line.contains(&format!("run {run} killed")), "{line}");
    }
}

#[test]
fn a_follower_that_has_seen_no_event_yet_begins_where_it_was_asked() {
    let fake = Fake::new(vec![running("web"), running("db")]);
    fake.happened("web", EventKind::Registered);
    let mut served = fake.serve();
    let mut follower =
        Follower::start(&served, &["events", "-f", "--worker", "db", "--limit", "1"]);
    // Its place is known as soon as the first event comes, whichever master sends it.
    served.fake.happened("db", EventKind::Killed { run: RunId(1) });
    assert!(follower.line().contains("db: run 1 killed"));
    served.replace();
    served.fake.happened("web", EventKind::Killed { run: RunId(2) });
    served.fake.happened("db", EventKind::Killed { run: RunId(3) });
    assert!(follower.line().contains("db: run 3 killed"));
}

#[test]
fn lines_go_on_at_the_next_master_without_loss_and_without_repeats() {
    let fake = Fake::new(vec![running("web")]);
    fake.wrote("web", "stdout", b"one\ntwo\n");
    let mut served = fake.serve();
    let mut follower = Follower::start(&served, &["logs", "web", "-f"]);
    assert_eq!([follower.line(), follower.line()], ["one\n", "two\n"]);
    for number in 3..6 {
        served.replace();
        served.fake.wrote("web", "stdout", format!("{number}\n").as_bytes());
        assert_eq!(follower.line(), format!("{number}\n"));
    }
    // The stream that was silent until now is followed as well.
    served.replace();
    served.fake.wrote("web", "stderr", b"bad\n");
    assert_eq!(follower.line(), "bad\n");
}

#[test]
fn an_order_that_meets_a_master_that_goes_is_given_to_the_next_one() {
    let served = Fake::new(vec![running("leaving")]).serve();
    let (code, text, err) = served.run(&["stop", "leaving"]);
    assert_eq!((code, text.as_str()), (0, "leaving: done (running)\n"), "{err}");
    assert_eq!(served.fake.asked(), ["leaving Stop { force: false }"; 2]);
}

#[test]
fn an_order_that_meets_a_master_that_ends_for_good_is_refused_at_once() {
    let served = Fake::new(vec![running("ending")]).serve();
    for (verb, asked) in [("start", "Start"), ("restart", "Restart { force: false }")] {
        let (code, _, err) = served.run(&[verb, "ending"]);
        assert_eq!(code, 1, "{err}");
        assert!(err.contains("the master is ending") && err.contains("hint: "), "{err}");
        assert_eq!(served.fake.asked().pop(), Some(format!("ending {asked}")));
    }
    assert_eq!(served.fake.asked().len(), 2, "nobody asked again");
}

#[test]
fn a_question_that_a_lost_master_did_not_answer_to_its_end_is_asked_of_the_next_one() {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{\"workers\":[]}";
    for cut in [0, 20, answer.len() - 1] {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("control.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let mut asking = client(&socket, &["list", "-o", "json"]);
        let asking = asking.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        for told in [&answer[..cut], &answer[..]] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut heard = Vec::new();
            while !heard.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                heard.extend(byte);
            }
            stream.write_all(told).unwrap();
        }
        let (code, out, err) = said(&asking.wait_with_output().unwrap());
        assert_eq!((code, out.as_str()), (0, "{\"workers\":[]}\n"), "cut at {cut}: {err}");
    }
}

#[test]
fn a_restart_that_was_done_is_not_done_twice() {
    let mut young = running("leaving");
    // Its process is as young as the fake's clock.
    young.started_at = Some((Tick(65_000_000_000), NOW));
    let served = Fake::new(vec![young]).serve();
    let (code, text, err) = served.run(&["restart", "leaving"]);
    assert_eq!(code, 0, "{err}");
    assert!(text.starts_with("leaving: restarted; the master was replaced"), "{text}");
    assert_eq!(served.fake.asked(), ["leaving Restart { force: false }"]);
}

#[test]
fn a_signal_that_may_have_been_sent_is_not_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("control.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let mut asking = client(&socket, &["signal", "web", "HUP"]).spawn().unwrap();
    // A master that is lost when it has heard everything and answered nothing.
    let (mut stream, _) = listener.accept().unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"}") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        heard.extend(byte);
    }
    assert!(heard.starts_with(b"POST /v1/workers/web/signal "));
    drop(stream);
    assert_eq!(asking.wait().unwrap().code(), Some(5));
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "nobody asked again");
}

#[test]
fn a_master_that_takes_its_time_to_end_is_told_from_one_that_has_ended() {
    let served = Fake::new(Vec::new()).serve();
    let words = ["master", "shutdown", "--wait", "--timeout", "100ms"];
    let (code, out, err) = served.run(&words);
    assert_eq!((code, out.as_str()), (6, ""), "{err}");
    assert!(err.contains("has not ended after 0.1 s") && err.contains("hint: "), "{err}");
    assert_eq!(served.run(&["master", "shutdown", "--timeout", "1s"]).0, 2, "nothing to wait for");
}
