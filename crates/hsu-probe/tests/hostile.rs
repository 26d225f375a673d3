//! Servers that lie, hang and flood: what is said of them, and that none holds us up.
//!
//! Each answers on a loopback port of its own, from a thread that ends with its client.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use hsu_model::health::Finding;
use hsu_model::health::probe::{
    Answerer, Database, Endpoint, Engine, Exchange, Grpc, GrpcQuestion, Http, Pattern, Place,
    Probe, Protocol, Reach, Tls, Transport,
};
use hsu_model::socket::{ListenAddress, ListeningSocket, SocketKind, SocketOwner};
use hsu_probe::Order;

#[path = "hostile/answering.rs"]
mod answering;
#[path = "hostile/authority.rs"]
mod authority;
#[path = "hostile/certificates.rs"]
mod certificates;
#[path = "hostile/grpc.rs"]
mod grpc;
#[path = "hostile/programs.rs"]
mod programs;
#[path = "hostile/scripted.rs"]
mod scripted;
#[path = "hostile/taking.rs"]
mod taking;

use taking::{
    Behaviour, SOON, TIMEOUT, hear, look, look_each, look_within, order, place, prober, say, serve,
};

fn http(port: u16) -> Http {
    Http {
        endpoint: Endpoint { place: place(port), tls: None, answerer: Answerer::Anybody },
        host: format!("127.0.0.1:{port}"),
        path: "/".to_owned(),
        method: "GET".to_owned(),
        headers: Vec::new(),
        body: None,
        statuses: vec![(200, 299)],
        expect: None,
        redirects: 0,
    }
}

/// Says the same for ever, or until nobody hears it.
fn flood(client: &mut TcpStream, words: &[u8]) {
    while client.write_all(words).is_ok() {}
}

/// What is said of an answer, and whether it is good: the rows 100 to 107 of the catalogue of
/// bad input.
const HTTP: [(&str, Behaviour, Result<&str, &str>); 19] = [
    (
        "row 106: 200",
        |c| say(c, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        Ok("status 200"),
    ),
    ("row 106: 204", |c| say(c, b"HTTP/1.1 204 No Content\r\n\r\n"), Ok("status 204")),
    (
        "row 106: 503",
        |c| say(c, b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"),
        Err("status 503"),
    ),
    (
        "row 106: 999",
        |c| say(c, b"HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n"),
        Err("status 999"),
    ),
    ("row 100: closed at once", drop, Err("")),
    (
        "row 101: never answers",
        |mut c| while matches!(c.read(&mut [0; 64]), Ok(1..)) {},
        Err("no answer within"),
    ),
    (
        "row 102: 1 byte at a time",
        |mut c| {
            hear(&mut c);
            for byte in b"HTTP/1.1 200 OK\r\n".iter().cycle() {
                std::thread::sleep(Duration::from_millis(50));
                if c.write_all(&[*byte]).is_err() {
                    return;
                }
            }
        },
        Err("no answer within"),
    ),
    (
        "row 103: 10 GB announced",
        |mut c| {
            hear(&mut c);
            drop(c.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n"));
            flood(&mut c, &[b'x'; 4096]);
        },
        Ok("status 200"),
    ),
    (
        "row 103: endless chunks",
        |mut c| {
            hear(&mut c);
            drop(c.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"));
            flood(&mut c, b"4\r\nabcd\r\n");
        },
        Ok("status 200"),
    ),
    (
        "row 104: a bomb in gzip",
        |c| {
            say(c, b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\0");
        },
        Ok("status 200"),
    ),
    (
        "row 105: a redirect",
        |c| {
            say(c, b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n");
        },
        Err("status 302, a redirect to \"http://169.254.169.254/\" (hint: `follow_redirects`"),
    ),
    (
        "row 106: a flood of 100s",
        |mut c| {
            hear(&mut c);
            flood(&mut c, b"HTTP/1.1 100 Continue\r\n\r\n");
        },
        Err(""),
    ),
    (
        "row 107: a head of 100 MB",
        |mut c| {
            hear(&mut c);
            drop(c.write_all(b"HTTP/1.1 200 OK\r\nX: "));
            flood(&mut c, &[b'x'; 65536]);
        },
        Err(""),
    ),
    (
        "row 107: endless heads",
        |mut c| {
            hear(&mut c);
            drop(c.write_all(b"HTTP/1.1 200 OK\r\n"));
            flood(&mut c, b"A: b\r\n");
        },
        Err(""),
    ),
    ("row 106: HTTP/0.9", |c| say(c, b"<html>fine</html>"), Err("")),
    ("row 106: garbage before", |c| say(c, b"\0\xff\xfe HTTP/1.1 200 OK\r\n\r\n"), Err("")),
    ("row 106: status of two digits", |c| say(c, b"HTTP/1.1 20 OK\r\n\r\n"), Err("")),
    (
        "two lengths",
        |c| {
            say(c, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk");
        },
        Err(""),
    ),
    ("cut short", |c| say(c, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"), Err("")),
];

#[test]
fn every_kind_of_bad_answer_is_told_apart_from_a_good_one_in_time() {
    let begin = Instant::now();
    let looks = HTTP.iter().map(|(_, behaviour, expected)| {
        // Whoever hangs takes all of it; the others get what a busy host needs.
        let hangs = expected.is_err_and(|why| why.starts_with("no answer"));
        (if hangs { TIMEOUT } else { SOON }, Probe::Http(http(serve(*behaviour))))
    });
    let findings = look_each(looks.collect());
    for ((name, _, expected), finding) in HTTP.iter().zip(findings) {
        match (expected, &finding) {
            (Ok(note), Finding::Passed { note: seen, .. }) => {
                assert!(seen.contains(note), "{name}: {seen}")
            }
            (Err(why), Finding::Failed { why: seen }) => {
                assert!(seen.contains(why), "{name}: {seen}")
            }
            _ => panic!("{name}: {finding:?}"),
        }
    }
    // They were looked at side by side: one that hangs holds up no other.
    assert!(begin.elapsed() < SOON / 2);
}

#[test]
fn redirects_are_followed_to_the_same_host_only_and_no_further_than_allowed() {
    // Row 105.
    let port = serve(|mut c| {
        let mut block = [0; 4096];
        let count = c.read(&mut block).unwrap_or(0);
        let asked = String::from_utf8_lossy(&block[..count]).into_owned();
        let answer: &[u8] = if asked.starts_with("GET /good") {
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        } else if asked.starts_with("GET /once") {
            b"HTTP/1.1 302 Found\r\nLocation: /good\r\nContent-Length: 0\r\n\r\n"
        } else if asked.starts_with("GET /file") {
            b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n"
        } else if asked.starts_with("GET /away") {
            b"HTTP/1.1 302 Found\r\nLocation: //169.254.169.254/\r\nContent-Length: 0\r\n\r\n"
        } else {
            b"HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n"
        };
        drop(c.write_all(answer));
    });
    let to = |path: &str| Probe::Http(Http { path: path.to_owned(), redirects: 2, ..http(port) });
    let findings = look_within(SOON, vec![to("/once"), to("/file"), to("/away"), to("/loop")]);
    let told: Vec<String> = findings
        .into_iter()
        .map(|finding| match finding {
            Finding::Passed { note, .. } => note,
            Finding::Failed { why } | Finding::Inconclusive { why } => why,
        })
        .collect();
    assert_eq!(told[0], "status 200");
    assert!(told[1].contains("another host") && told[2].contains("another host"), "{told:?}");
    assert_eq!(told[3], "status 302, a redirect to \"/loop\", and 2 were followed");
}

#[test]
fn a_body_must_match_and_a_pattern_takes_time_linear_in_it() {
    let port = serve(|mut c| {
        hear(&mut c);
        drop(c.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n"));
        drop(c.write_all(&[b'a'; 60000]));
    });
    let with = |pattern: &str| {
        Probe::Http(Http { expect: Some(Pattern(pattern.to_owned())), ..http(port) })
    };
    let findings = look_within(SOON, vec![with("^a+$"), with("(a*)*b"), with("up")]);
    assert!(matches!(&findings[0], Finding::Passed { .. }), "{findings:?}");
    for finding in &findings[1..] {
        assert!(
            matches!(finding, Finding::Failed { why } if why.contains("does not match")),
            "{finding:?}"
        );
    }
}

#[test]
fn link_local_addresses_are_refused_in_every_spelling_and_nothing_is_sent_there() {
    // Rows 105 and 109: where a redirect or a name that resolves to something else would lead.
    let hosts =
        ["169.254.169.254", "2852039166", "0xa9fea9fe", "::ffff:169.254.169.254", "fe80::1"];
    let probes = hosts.map(|host| {
        let place = Place::Port { host: host.to_owned(), port: 80, reach: Reach::Usual };
        Probe::Tcp(Endpoint { place, tls: None, answerer: Answerer::Anybody })
    });
    for (host, finding) in hosts.iter().zip(look(probes.into())) {
        let is_told = matches!(&finding, Finding::Failed { why }
            if why.contains("is refused") || why.contains("cannot resolve"));
        assert!(is_told, "{host}: {finding:?}");
    }
}

#[test]
fn nobody_there_and_a_name_that_does_not_exist_are_failures_with_their_reason() {
    // Rows 100 and 109.
    let closed = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        listener.local_addr().expect("its address").port()
    };
    let named =
        Place::Port { host: "no.such.host.invalid".to_owned(), port: 1, reach: Reach::Usual };
    let socket = Place::Socket("/nonexistent/socket".to_owned());
    let tcp = |place| Probe::Tcp(Endpoint { place, tls: None, answerer: Answerer::Anybody });
    let findings = look(vec![tcp(place(closed)), tcp(named), tcp(socket)]);
    for finding in &findings {
        assert!(matches!(finding, Finding::Failed { .. }), "{findings:?}");
    }
    assert!(matches!(&findings[0], Finding::Failed { why } if why.contains("refused")));
}

#[test]
fn a_server_without_tls_or_that_hangs_in_the_handshake_fails_a_protected_look() {
    // Row 108.
    let plain = serve(|c| say(c, b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    let hangs = serve(|mut c| while matches!(c.read(&mut [0; 64]), Ok(1..)) {});
    let tls = Some(Tls { trust: hsu_model::health::probe::Trust::Anybody, ..Tls::default() });
    let probe = |port| {
        Probe::Tcp(Endpoint { place: place(port), tls: tls.clone(), answerer: Answerer::Anybody })
    };
    let findings = look_each(vec![(SOON, probe(plain)), (TIMEOUT, probe(hangs))]);
    assert!(matches!(&findings[0], Finding::Failed { why } if why.contains("TLS")), "{findings:?}");
    assert!(
        matches!(&findings[1], Finding::Failed { why } if why.contains("no answer")),
        "{findings:?}"
    );
}

#[test]
fn a_server_of_another_kind_is_no_database_and_no_grpc_server() {
    let greets = serve(|mut c| {
        drop(c.write_all(b"220 mail.example ESMTP and a long greeting that is none\r\n"));
        while matches!(c.read(&mut [0; 64]), Ok(1..)) {}
    });
    let database = |engine| {
        let endpoint = Endpoint { place: place(greets), tls: None, answerer: Answerer::Anybody };
        Probe::Database(Database { engine, endpoint, login: None, query: None, expect: None })
    };
    let grpc = Probe::Grpc(Grpc {
        endpoint: Endpoint { place: place(greets), tls: None, answerer: Answerer::Anybody },
        authority: "localhost".to_owned(),
        question: GrpcQuestion::Health(String::new()),
        headers: Vec::new(),
    });
    let engines = [Engine::Postgres, Engine::Mysql, Engine::Redis, Engine::Mongodb];
    let probes = engines.map(database).into_iter().chain([grpc]).collect();
    for finding in look(probes) {
        assert!(matches!(finding, Finding::Failed { .. }), "{finding:?}");
    }
}

#[test]
fn a_conversation_is_heard_to_its_expected_word_and_no_endless_one_is() {
    let speaks = serve(|mut c| {
        drop(c.write_all(b"220 ready\r\n"));
        hear(&mut c);
        drop(c.write_all(b"221 bye\r\n"));
    });
    let floods = serve(|mut c| flood(&mut c, &[b'x'; 4096]));
    let turn = |send: &str, expect: &str| Exchange {
        send: send.as_bytes().to_vec(),
        expect: Some(Pattern(expect.to_owned())),
    };
    let probe = |port, exchanges| {
        let (endpoint, transport) = (
            Endpoint { place: place(port), tls: None, answerer: Answerer::Anybody },
            Transport::Stream,
        );
        Probe::Protocol(Protocol { endpoint, transport, exchanges })
    };
    let polite = vec![turn("", "^220"), turn("QUIT\r\n", "^221")];
    let findings =
        look_within(SOON, vec![probe(speaks, polite), probe(floods, vec![turn("", "never")])]);
    assert!(
        matches!(&findings[0], Finding::Passed { note, .. } if note.contains("221 bye")),
        "{findings:?}"
    );
    assert!(
        matches!(&findings[1], Finding::Failed { why } if why.contains("without end")),
        "{findings:?}"
    );
}

#[test]
fn equal_looks_are_shared_and_different_ones_are_not() {
    use std::sync::atomic::{AtomicU32, Ordering};
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let port = serve(|c| {
        ASKED.fetch_add(1, Ordering::SeqCst);
        say(c, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    let (prober, reports) = prober();
    for check in 0..20 {
        let shared_for = Duration::from_secs(60);
        let probe = Probe::Http(http(port));
        prober.take(Order { shared_for, ..order(check, probe) }).expect("room");
    }
    for _ in 0..20 {
        let report = reports.recv_timeout(SOON).expect("a report");
        assert!(matches!(report.finding, Finding::Passed { .. }), "{report:?}");
    }
    assert_eq!(ASKED.load(Ordering::SeqCst), 1);
}

#[test]
fn a_port_whose_backlog_is_full_is_not_there_in_time() {
    // Row 112.
    let address = "127.0.0.1:0".parse().expect("an address");
    let owner = SocketOwner { mode: 0o600, user: None, group: None };
    let socket = ListeningSocket {
        name: "full".to_owned(),
        address: ListenAddress::Network(address),
        kind: SocketKind::Stream,
        backlog: 1,
        owner,
    };
    let listener = TcpListener::from(hsu_sys::listening::listen(&socket).expect("a socket"));
    let address = listener.local_addr().expect("its address");
    let mut waiting = Vec::new();
    // Nobody accepts: the kernel answers a few, and then drops what else comes.
    while let Ok(client) = TcpStream::connect_timeout(&address, TIMEOUT) {
        waiting.push(client);
        assert!(waiting.len() < 100, "it is never full");
    }
    let probe = Probe::Tcp(Endpoint {
        place: place(address.port()),
        tls: None,
        answerer: Answerer::Anybody,
    });
    let finding = look(vec![probe]).remove(0);
    assert!(
        matches!(&finding, Finding::Failed { why } if why.contains("no answer")),
        "{finding:?}"
    );
}
