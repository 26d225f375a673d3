//! Databases that no package of Debian brings, played by a script of bytes.
//!
//! MongoDB is asked as its manual says, and MySQL proves passwords by
//! `caching_sha2_password`, which MariaDB does not have.

use std::net::TcpStream;

use hsu_model::health::Finding;
use hsu_model::health::probe::{
    Answerer, Database, Endpoint, Engine, Login, Pattern, Place, Probe, Secret,
};

use crate::taking::{SOON, hear, look_within, place, say, serve};

fn database(engine: Engine, place: Place, login: Option<Login>) -> Probe {
    let endpoint = Endpoint { place, tls: None, answerer: Answerer::Anybody };
    let expect = login.is_some().then(|| Pattern("^1$".to_owned()));
    Probe::Database(Database { engine, endpoint, login, query: None, expect })
}

fn told(finding: &Finding) -> (bool, &str) {
    match finding {
        Finding::Passed { note, .. } => (true, note),
        Finding::Failed { why } | Finding::Inconclusive { why } => (false, why),
    }
}

/// The values of a BSON document, each with its kind and name before it.
fn bson(values: &[&[u8]]) -> Vec<u8> {
    let inside = values.concat();
    let length = u32::try_from(inside.len() + 5).expect("it can be done");
    [&length.to_le_bytes()[..], &inside, &[0]].concat()
}

/// An answer to the first request of a client.
// Source: MongoDB manual, "Wire Protocol", OP_MSG.
fn op_msg(document: &[u8]) -> Vec<u8> {
    let length = u32::try_from(16 + 5 + document.len()).expect("it can be done");
    let mut message = Vec::new();
    for number in [length, 7, 1, 2013, 0] {
        message.extend(number.to_le_bytes());
    }
    message.push(0);
    message.extend_from_slice(document);
    message
}

const OK: &[u8] = b"\x01ok\0\0\0\0\0\0\0\xf0\x3f";
const NOT_OK: &[u8] = b"\x01ok\0\0\0\0\0\0\0\0\0";
const PRIMARY: &[u8] = b"\x08isWritablePrimary\0\x01";
const NOT_PRIMARY: &[u8] = b"\x08isWritablePrimary\0\0";
const SECONDARY: &[u8] = b"\x08secondary\0\x01";
const REFUSED: &[u8] = b"\x02errmsg\0\x07\0\0\0no fun\0";

#[test]
fn a_mongodb_is_good_when_it_takes_clients_and_tells_why_when_it_does_not() {
    let whole = bson(&[b"\x12counter\0\x06\0\0\0\0\0\0\0"]);
    let version = [b"\x03topologyVersion\0", &whole[..]].concat();
    let rows: [(&str, Vec<u8>, (bool, &str)); 6] = [
        ("primary", op_msg(&bson(&[PRIMARY, &version, OK])), (true, "it is primary")),
        ("secondary", op_msg(&bson(&[NOT_PRIMARY, SECONDARY, OK])), (true, "it is secondary")),
        ("starting", op_msg(&bson(&[NOT_PRIMARY, OK])), (false, "neither primary nor secondary")),
        ("refused", op_msg(&bson(&[REFUSED, NOT_OK])), (false, "no fun")),
        ("cut", op_msg(&bson(&[PRIMARY, OK])[..20]), (false, "no MongoDB")),
        ("another message", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), (false, "")),
    ];
    let ports = rows.iter().map(|(_, answer, _)| {
        let answer = answer.clone();
        serve(move |client| say(client, &answer))
    });
    let probes = ports.map(|port| database(Engine::Mongodb, place(port), None)).collect();
    for ((name, _, (good, words)), finding) in rows.iter().zip(look_within(SOON, probes)) {
        let (passed, note) = told(&finding);
        assert!(passed == *good && note.contains(words), "{name}: {finding:?}");
    }
}

/// A packet of MySQL's, with its number.
fn packet(number: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("it can be done").to_le_bytes();
    [&length[..3], &[number], body].concat()
}

/// The greeting of a MySQL 8 without TLS; its challenge is 20 times the same byte.
// Source: MySQL Internals, "Protocol::HandshakeV10".
fn greeting() -> Vec<u8> {
    let able = (0x1_u32 | 0x8 | 0x200 | 0x2000 | 0x8000 | 0x8_0000).to_le_bytes();
    let parts: [&[u8]; 10] = [
        b"\x0a8.4.0\0",
        &[1, 0, 0, 0],
        &[b'c'; 8],
        &[0],
        &able[..2],
        &[45, 2, 0],
        &able[2..],
        &[21, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[b'c'; 12],
        b"\0caching_sha2_password\0",
    ];
    packet(0, &parts.concat())
}

/// Reads one packet.
fn read(client: &mut impl std::io::Read) -> Vec<u8> {
    let mut head = [0; 4];
    client.read_exact(&mut head).expect("it can be done");
    let length = u32::from_le_bytes([head[0], head[1], head[2], 0]);
    let mut body = vec![0; usize::try_from(length).expect("it can be done")];
    client.read_exact(&mut body).expect("it can be done");
    body
}

/// What is proven of the password `secret` for the challenge of the greeting:
/// SHA256(password) XOR SHA256(SHA256(SHA256(password)), challenge), by Python's hashlib.
// Source: MySQL Internals, "Caching_sha2_password information".
const PROOF: [u8; 32] = [
    0x33, 0xb1, 0xa3, 0x96, 0x7e, 0x9a, 0x8d, 0xcb, 0x7c, 0xdb, 0xcc, 0xf7, 0xca, 0x9c, 0x71, 0x2b,
    0x40, 0x03, 0xbb, 0x4d, 0x83, 0xb3, 0xa6, 0x20, 0xa6, 0x2a, 0xb4, 0x4c, 0x6c, 0x88, 0x74, 0x2e,
];

/// Logs a client in that proves the password, then answers its query with 1.
fn log_in(mut client: impl std::io::Read + std::io::Write, knows: bool, asks_all: bool) {
    client.write_all(&greeting()).expect("it can be done");
    let answer = read(&mut client);
    if !answer.windows(32).any(|part| part == PROOF) || !knows {
        let refused = b"\xff\x15\x04#28000Access denied for user 'monitor'";
        return client.write_all(&packet(2, refused)).expect("it can be done");
    }
    let mut next = 2;
    if asks_all {
        client.write_all(&packet(next, &[1, 4])).expect("it can be done");
        // Nothing comes where somebody could listen.
        let mut head = [0; 4];
        if client.read_exact(&mut head).is_err() {
            return;
        }
        let mut password = vec![0; usize::from(head[0])];
        client.read_exact(&mut password).expect("it can be done");
        assert_eq!(password, b"secret\0");
        next += 2;
    } else {
        client.write_all(&packet(next, &[1, 3])).expect("it can be done");
        next += 1;
    }
    client.write_all(&packet(next, &[0, 0, 0, 2, 0, 0, 0])).expect("it can be done");
    assert_eq!(read(&mut client), b"\x03SELECT 1");
    let end = [0xfe, 0, 0, 2, 0];
    let column = b"\x03def\0\0\0\x011\0\x0c\x3f\0\x01\0\0\0\x08\x81\0\0\0\0";
    for (number, body) in [(1, &[1][..]), (2, column), (3, &end), (4, b"\x011"), (5, &end)] {
        client.write_all(&packet(number, body)).expect("it can be done");
    }
}

fn monitor() -> Option<Login> {
    let password = Secret::Text("secret".to_owned());
    Some(Login { user: "monitor".to_owned(), password, database: None })
}

#[test]
fn a_mysql_is_logged_in_to_by_a_proof_and_told_the_password_only_where_nobody_listens() {
    let known = serve(|client: TcpStream| log_in(client, true, false));
    let wrong = serve(|client: TcpStream| log_in(client, false, false));
    let asks = serve(|client: TcpStream| log_in(client, true, true));
    let folder = tempfile::tempdir().expect("it can be done");
    let path = folder.path().join("mysql.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("it can be done");
    let private = std::thread::spawn(move || {
        log_in(listener.accept().expect("it can be done").0, true, true)
    });
    let places = [
        place(known),
        place(wrong),
        place(asks),
        Place::Socket(path.to_str().expect("it can be done").to_owned()),
    ];
    let probes = places.map(|place| database(Engine::Mysql, place, monitor())).into();
    let findings = look_within(SOON, probes);
    let told: Vec<_> = findings.iter().map(told).collect();
    assert!(told[0].0 && told[0].1.contains("logged in as monitor"), "{told:?}");
    assert!(!told[1].0 && told[1].1.contains("1045") && told[1].1.contains("denied"), "{told:?}");
    assert!(!told[2].0 && told[2].1.contains("use `tls` or `unix_socket`"), "{told:?}");
    assert!(told[3].0, "{told:?}");
    private.join().expect("it can be done");
}

#[test]
fn a_server_that_hangs_up_after_the_first_word_takes_no_clients() {
    let port = serve(|mut client| hear(&mut client));
    let finding = look_within(SOON, vec![database(Engine::Mongodb, place(port), None)]).remove(0);
    assert!(told(&finding).1.contains("takes no clients"), "{finding:?}");
}
