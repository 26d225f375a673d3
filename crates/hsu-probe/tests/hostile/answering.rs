//! Row 114: a port that is answered, and well, by another process than the worker's.
//!
//! The servers are threads of this test, and what listens is also held by a process that
//! stands for the worker, or by one that does not.

use std::io::Write as _;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command};

use hsu_model::discovery::Protocol as Carrier;
use hsu_model::health::probe::{Database, Engine, GrpcQuestion};
use hsu_probe::Lineage;
use hsu_sys::process::identify;

use super::*;

/// A process that holds a socket, and does nothing with it.
struct Holder(Child);

impl Holder {
    fn of(socket: impl Into<OwnedFd>) -> Self {
        let mut command = Command::new("sleep");
        command.arg("1000").stdin(std::process::Stdio::from(socket.into()));
        Self(command.spawn().expect("sleep"))
    }

    fn of_nothing() -> Self {
        let nothing = std::fs::File::open("/dev/null").expect("it is there");
        Self::of(OwnedFd::from(nothing))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Answers each client of a listener.
fn answer(listener: &TcpListener, words: &'static [u8]) -> u16 {
    let port = listener.local_addr().expect("its address").port();
    let listener = listener.try_clone().expect("a descriptor");
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            std::thread::spawn(move || {
                hear(&mut client);
                drop(client.write_all(words));
                // Until the other side has had enough.
                while matches!(client.read(&mut [0; 64]), Ok(1..)) {}
            });
        }
    });
    port
}

fn told_by(port: u16, answerer: Answerer) -> Endpoint {
    Endpoint { place: place(port), tls: None, answerer }
}

/// A kind of check that speaks to somebody: its name, what it is answered, the check of an
/// endpoint, and what is then told.
type Kind = (&'static str, &'static [u8], fn(Endpoint) -> Probe, &'static str);

fn kinds() -> [Kind; 5] {
    [
        ("tcp", b"", Probe::Tcp, "connected to"),
        (
            "http",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            |endpoint| Probe::Http(Http { endpoint, ..http(1) }),
            "status 200",
        ),
        (
            "database",
            b"+PONG\r\n",
            |endpoint| {
                let (engine, login) = (Engine::Redis, None);
                Probe::Database(Database { engine, endpoint, login, query: None, expect: None })
            },
            "PONG",
        ),
        (
            "protocol",
            b"220 ready",
            |endpoint| {
                let expect = Some(Pattern("^220".to_owned()));
                let exchanges = vec![Exchange { send: b"hi".to_vec(), expect }];
                Probe::Protocol(Protocol { endpoint, transport: Transport::Stream, exchanges })
            },
            "220 ready",
        ),
        (
            "grpc",
            b"",
            |endpoint| {
                let question = GrpcQuestion::Health(String::new());
                let (authority, headers) = ("localhost".to_owned(), Vec::new());
                Probe::Grpc(Grpc { endpoint, authority, question, headers })
            },
            // It is asked, and its answer is none of gRPC: no word of who it is.
            "",
        ),
    ]
}

/// What a look comes to that is taken for the process of a holder.
fn look_for(holder: &Holder, probe: Probe) -> (bool, String) {
    let (prober, reports) = prober();
    let mut order = Order { timeout: SOON, ..order(0, probe) };
    order.subject.process = identify(holder.0.id()).ok();
    order.subject.lineage = Some(Lineage { master: "m".to_owned(), keeper: 0, folder: None });
    // What never says anything is no gRPC server within a moment.
    if matches!(&*order.probe, Probe::Grpc(_)) {
        order.timeout = TIMEOUT;
    }
    prober.take(order).expect("room");
    match reports.recv_timeout(SOON).expect("a report").finding {
        Finding::Passed { note, .. } => (true, note),
        Finding::Failed { why } | Finding::Inconclusive { why } => (false, why),
    }
}

#[test]
fn only_an_answer_of_the_worker_counts_where_that_is_asked_for() {
    for (kind, words, probe, told) in kinds() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = answer(&listener, words);
        let (own, stranger) = (Holder::of(listener), Holder::of_nothing());
        let wanted = || probe(told_by(port, Answerer::Worker));
        let (is_good, note) = look_for(&own, wanted());
        let is_asked = is_good || kind == "grpc";
        assert!(is_asked && note.contains(told), "row 114, {kind}: {note}");
        assert!(!note.contains("is answered by"), "row 114, {kind}: {note}");
        let (is_good, note) = look_for(&stranger, wanted());
        let says = format!("127.0.0.1:{port} is answered by PID ");
        assert!(!is_good && note.contains(&says), "row 114, {kind}: {note}");
        assert!(note.contains("no process of this worker"), "row 114, {kind}: {note}");
        let (is_good, note) = look_for(&stranger, probe(told_by(port, Answerer::Anybody)));
        assert_eq!(is_good, kind != "grpc", "row 114, {kind}: {note}");
    }
}

#[test]
fn a_stranger_is_told_nothing_at_all() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let headers = vec![("Authorization".to_owned(), "Bearer secret".to_owned())];
    let endpoint = told_by(port, Answerer::Worker);
    let (is_good, note) =
        look_for(&Holder::of_nothing(), Probe::Http(Http { endpoint, headers, ..http(port) }));
    assert!(!is_good, "row 114: {note}");
    // What it would have said is in the connection that nobody has taken so far.
    let (mut client, _) = listener.accept().expect("it had connected");
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).expect("it has hung up");
    assert_eq!(heard, b"", "row 114");
}

#[test]
fn a_user_is_the_one_who_made_the_socket() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = answer(&listener, b"");
    let nobody = Holder::of_nothing();
    let own = hsu_sys::users::effective();
    let rows: [(String, Result<&str, &str>); 4] = [
        (own.to_string(), Ok("connected to")),
        (hsu_sys::users::name(own), Ok("connected to")),
        ((own + 1).to_string(), Err("is answered by")),
        ("no-such-user".to_owned(), Err("no user")),
    ];
    for (user, expected) in rows {
        let (is_good, note) =
            look_for(&nobody, Probe::Tcp(told_by(port, Answerer::User(user.clone()))));
        assert_eq!(is_good, expected.is_ok(), "row 114, {user}: {note}");
        let says = expected.unwrap_or_else(|why| why);
        assert!(note.contains(says), "row 114, {user}: {note}");
    }
}

#[test]
fn who_made_a_unix_socket_and_whoever_holds_it_is_known() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a b.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    let taker = listener.try_clone().expect("a descriptor");
    std::thread::spawn(move || taker.incoming().flatten().for_each(drop));
    let (own, stranger) = (Holder::of(listener), Holder::of_nothing());
    let path = path.to_str().expect("it is text").to_owned();
    let wanted =
        |answerer| Probe::Tcp(Endpoint { place: Place::Socket(path.clone()), tls: None, answerer });
    let (is_good, note) = look_for(&own, wanted(Answerer::Worker));
    assert!(is_good, "row 114: {note}");
    let (is_good, note) = look_for(&stranger, wanted(Answerer::Worker));
    let says = format!("{path} is answered by PID {} ", std::process::id());
    assert!(!is_good && note.contains(&says), "row 114: {note}");
    let user = hsu_sys::users::effective();
    let (is_good, note) = look_for(&stranger, wanted(Answerer::User(user.to_string())));
    assert!(is_good, "row 114: {note}");
}

#[test]
fn datagrams_of_a_stranger_are_not_waited_for() {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = socket.local_addr().expect("its address").port();
    let taker = socket.try_clone().expect("a descriptor");
    std::thread::spawn(move || {
        let mut block = [0; 64];
        while let Ok((_, client)) = taker.recv_from(&mut block) {
            drop(taker.send_to(b"pong", client));
        }
    });
    let (own, stranger) = (Holder::of(socket), Holder::of_nothing());
    let expect = Some(Pattern("pong".to_owned()));
    let wanted = || {
        Probe::Protocol(Protocol {
            endpoint: told_by(port, Answerer::Worker),
            transport: Transport::Datagram,
            exchanges: vec![Exchange { send: b"ping".to_vec(), expect: expect.clone() }],
        })
    };
    let (is_good, note) = look_for(&own, wanted());
    assert!(is_good && note.contains("pong"), "row 114: {note}");
    let (is_good, note) = look_for(&stranger, wanted());
    assert!(!is_good && note.contains("is answered by"), "row 114: {note}");
    // The same number over another protocol is another port.
    assert!(hsu_sys::sockets::at(Carrier::Udp, ([127, 0, 0, 1], port).into()).len() == 1);
}
