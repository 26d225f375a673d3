//! Tests of alerts: a program that is run, and the post to a webhook.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use super::*;

const LIMIT: Duration = Duration::from_secs(20);

/// Posts to a peer that answers like this; what it was told, and what became of it.
fn posted(answer: &'static [u8]) -> (String, Result<(), String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let peer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = vec![0; 1024];
        let length = stream.read(&mut request).unwrap();
        stream.write_all(answer).unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    let done = post(&address, "{}", LIMIT);
    (peer.join().unwrap(), done)
}

#[test]
fn any_answer_but_a_success_is_a_failure_that_says_what_it_was() {
    let (request, done) = posted(b"HTTP/1.1 204 No Content\r\n\r\n");
    assert!(request.starts_with("POST / HTTP/1.1\r\nHost: 127.0.0.1:"), "{request}");
    assert!(request.contains("Content-Length: 2\r\n"), "{request}");
    assert_eq!(done, Ok(()));
    for answer in [&b"HTTP/1.1 500 Oh no\r\n\r\n"[..], b"nonsense\n", b"HTTP/1.1 2\r\n", b""] {
        let (_, done) = posted(answer);
        let first = String::from_utf8_lossy(answer).split(['\r']).next().unwrap().to_owned();
        assert!(done.unwrap_err().contains(first.trim_end()), "{first}");
    }
}

#[test]
fn a_peer_that_never_answers_is_not_waited_for_without_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/x", listener.local_addr().unwrap());
    assert!(post(&address, "{}", Duration::from_millis(30)).is_err());
    assert!(post("http://256.0.0.1/", "{}", LIMIT).is_err());
}

/// Tells an alert to a shell's line; what could not be told.
fn told_to(line: &str, timeout: Duration) -> Vec<String> {
    let command = ["sh", "-c", line].map(str::to_owned).to_vec();
    let alert = Alert { command, webhook: None, timeout };
    let text = "260 MiB of 256 MiB".to_owned();
    let worker = WorkerId::new("web").unwrap();
    tell(&Notice { worker, limit: "memory.rss".to_owned(), text, at: WallTime(0), alert })
}

#[test]
fn a_program_gets_the_alert_by_its_variables_and_as_its_input() {
    let line = "read -r line; case $line in *memory.rss*) ;; *) exit 1;; esac; \
                test \"$HSU_ALERT_WORKER $HSU_ALERT_LIMIT $HSU_ALERT_TEXT\" = \
                \"web memory.rss 260 MiB of 256 MiB\"";
    assert_eq!(told_to(line, LIMIT), Vec::<String>::new());
}

#[test]
fn a_program_that_fails_or_is_not_there_or_takes_too_long_is_told_apart() {
    let failed = told_to("echo no route >&2; exit 3", LIMIT);
    assert_eq!(failed, ["`sh` failed with exit code 3: no route"]);
    let killed = told_to("kill -TERM $$", LIMIT);
    assert_eq!(killed, ["`sh` was ended by signal 15"]);
    let slow = told_to("sleep 1000 & sleep 1000", Duration::from_millis(50));
    assert_eq!(slow, ["`sh` took longer than 50ms and was killed"]);
    let brief = Brief {
        program: "/no/such/program".into(),
        args: Vec::new(),
        environment: Vec::new(),
        folder: None,
        identity: None,
        input: None,
        timeout: LIMIT,
        keep: 0,
    };
    assert!(run_program(&brief).unwrap_err().starts_with("`/no/such/program` cannot be run"));
}
