//! Tests of the post to a webhook.

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
