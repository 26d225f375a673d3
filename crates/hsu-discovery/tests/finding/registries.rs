//! Registries: a real etcd where Debian's `etcd-server` is installed, and Consul's
//! documented answers from a small server of our own, since Debian has no Consul.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use hsu_model::discovery::{Registry, RegistryKind, Search};

use super::{by, found, look};

/// Answers one question with this body, and tells the head of the question.
fn answer_once(body: &'static str) -> (u16, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = String::new();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while reader.read_line(&mut head).unwrap() > 2 {}
        let length = body.len();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
        head
    });
    (port, thread)
}

fn registry(kind: RegistryKind, port: u16, service: &str, token: Option<String>) -> Search {
    Search::Registry(Registry {
        kind,
        url: format!("http://127.0.0.1:{port}"),
        service: service.to_owned(),
        token_file: token,
    })
}

#[test]
fn a_service_of_consul_is_found_by_its_port_on_this_host() {
    let own = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = own.local_addr().unwrap().port();
    // Source: Consul, "Health HTTP API", sample response; only one of the two is here.
    let body = format!(
        r#"[{{"Node":{{"Address":"192.0.2.7"}},"Service":{{"Address":"","Port":{port}}}}},
            {{"Node":{{"Address":"127.0.0.1"}},"Service":{{"Address":"","Port":{port}}}}}]"#
    );
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "s3cret\n").unwrap();
    let mode = |mode| std::fs::set_permissions(&token, std::fs::Permissions::from_mode(mode));
    mode(0o600).unwrap();
    let path = token.to_str().unwrap().to_owned();
    let (at, asked) = answer_once(body.leak());
    let search = registry(RegistryKind::Consul, at, "my web", Some(path.clone()));
    assert_eq!(found(&look(&by(&[search]))), [std::process::id()].into());
    let head = asked.join().unwrap();
    assert!(head.starts_with("GET /v1/health/service/my%20web HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("X-Consul-Token: s3cret\r\n"), "{head}");
    mode(0o644).unwrap();
    let sighting = look(&by(&[registry(RegistryKind::Consul, at, "web", Some(path))]));
    assert!(sighting.note.contains("everybody may use this token"), "{}", sighting.note);
    assert!(!sighting.note.contains("s3cret"));
}

#[test]
fn a_registry_that_is_away_or_answers_nonsense_finds_nobody_and_says_so() {
    let (at, asked) = answer_once("not json");
    let sighting = look(&by(&[registry(RegistryKind::Consul, at, "web", None)]));
    asked.join().unwrap();
    assert_eq!(found(&sighting), BTreeSet::new());
    assert!(sighting.note.contains("expected"), "{}", sighting.note);
    let sighting = look(&by(&[registry(RegistryKind::Etcd, at, "/web", None)]));
    assert!(sighting.note.contains("refused"), "{}", sighting.note);
}

#[test]
fn a_key_of_a_real_etcd_leads_to_the_process_on_its_port() {
    let Ok(version) = Command::new("etcd").arg("--version").output() else {
        // Without the package there is nothing to ask; `cargo xtask setup` installs it.
        return;
    };
    assert!(version.status.success());
    let folder = tempfile::tempdir().unwrap();
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (client, peer) = (free(), free());
    let url = |port| format!("http://127.0.0.1:{port}");
    let mut command = Command::new("etcd");
    command.arg("--data-dir").arg(folder.path()).args(["--name", "one"]);
    for flag in ["--listen-client-urls", "--advertise-client-urls"] {
        command.args([flag, &url(client)]);
    }
    for flag in ["--listen-peer-urls", "--initial-advertise-peer-urls"] {
        command.args([flag, &url(peer)]);
    }
    command.args(["--initial-cluster", &format!("one={}", url(peer))]);
    let _etcd = super::start(command.stderr(Stdio::null()));
    let own = TcpListener::bind("127.0.0.1:0").unwrap();
    let value = format!("127.0.0.1:{}", own.local_addr().unwrap().port());
    use base64::Engine as _;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let body = format!(r#"{{"key":"{}","value":"{}"}}"#, encode("/web/1"), encode(&value));
    // It takes a moment until it takes keys.
    while !put(client, &body) {}
    let search = registry(RegistryKind::Etcd, client, "/web/", None);
    assert_eq!(found(&look(&by(&[search]))), [std::process::id()].into());
    let other = registry(RegistryKind::Etcd, client, "/other/", None);
    assert_eq!(found(&look(&by(&[other]))), BTreeSet::new());
}

fn put(port: u16, body: &str) -> bool {
    let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    let length = body.len();
    let head = format!(
        "POST /v3/kv/put HTTP/1.1\r\nHost: e\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    let mut answer = String::new();
    stream.write_all((head + body).as_bytes()).is_ok()
        && stream.read_to_string(&mut answer).is_ok()
        && answer.starts_with("HTTP/1.1 200")
}
