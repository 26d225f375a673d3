//! gRPC servers that answer otherwise than they should, and what is said of them.

use std::net::Ipv4Addr;

use bytes::Bytes;
use hsu_model::health::Finding;
use hsu_model::health::probe::{Answerer, Endpoint, Grpc, GrpcQuestion, Probe};
use http::{HeaderMap, HeaderValue, Response};
use tokio::net::TcpListener;

use crate::taking::{SOON, look_within, place};

/// What a server sends for every request.
#[derive(Clone, Copy)]
struct Script {
    status: u16,
    body: &'static [u8],
    /// The gRPC status in the trailers; none sends no trailers.
    trailers: Option<&'static str>,
    /// The gRPC status in the head, as of an answer that is nothing but a head.
    head: Option<&'static str>,
    message: &'static str,
}

const GOOD: Script = Script {
    status: 200,
    body: &[0, 0, 0, 0, 2, 8, 1],
    trailers: Some("0"),
    head: None,
    message: "",
};

fn refused(status: &'static str, message: &'static str) -> Script {
    Script { body: b"", trailers: None, head: Some(status), message, ..GOOD }
}

fn serving(body: &'static [u8]) -> Script {
    Script { body, ..GOOD }
}

/// Starts a server that follows a script; its port.
fn serve(script: Script) -> u16 {
    let (sender, port) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("it can be done");
        runtime.block_on(async {
            let listener =
                TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("it can be done");
            sender
                .send(listener.local_addr().expect("it can be done").port())
                .expect("it can be done");
            while let Ok((client, _)) = listener.accept().await {
                let Ok(mut connection) = h2::server::handshake(client).await else { continue };
                while let Some(Ok((_, answer))) = connection.accept().await {
                    follow(script, answer);
                }
            }
        });
    });
    port.recv_timeout(SOON).expect("it can be done")
}

fn follow(script: Script, mut answer: h2::server::SendResponse<Bytes>) {
    let mut head = Response::builder().status(script.status);
    if let Some(status) = script.head {
        head = head.header("grpc-status", status).header("grpc-message", script.message);
    }
    let is_all = script.body.is_empty() && script.trailers.is_none();
    let Ok(mut body) = answer.send_response(head.body(()).expect("it can be done"), is_all) else {
        return;
    };
    if is_all {
        return;
    }
    let is_last = script.trailers.is_none();
    drop(body.send_data(Bytes::from_static(script.body), is_last));
    if let Some(status) = script.trailers {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static(status));
        drop(body.send_trailers(trailers));
    }
}

#[test]
fn every_answer_of_a_grpc_server_is_told_for_what_it_is() {
    // Row 110.
    let rows: [(&str, Script, (bool, &str)); 14] = [
        ("serving", GOOD, (true, "SERVING")),
        ("unknown", serving(&[0, 0, 0, 0, 0]), (false, "UNKNOWN")),
        ("not serving", serving(&[0, 0, 0, 0, 2, 8, 2]), (false, "NOT_SERVING")),
        ("no such service", serving(&[0, 0, 0, 0, 2, 8, 3]), (false, "SERVICE_UNKNOWN")),
        ("a later word", serving(&[0, 0, 0, 0, 2, 8, 9]), (false, "serving status 9")),
        ("compressed", serving(&[1, 0, 0, 0, 2, 8, 1]), (false, "none to a health")),
        ("too short", serving(&[0, 0, 0, 0, 9, 8, 1]), (false, "none to a health")),
        ("not built", refused("12", "no health"), (false, "UNIMPLEMENTED no health")),
        ("not found", refused("5", "unknown service"), (false, "NOT_FOUND unknown service")),
        ("not now", refused("14", "later"), (false, "UNAVAILABLE later")),
        ("not for you", refused("16", ""), (false, "UNAUTHENTICATED")),
        ("odd status", refused("many", ""), (false, "no gRPC status")),
        ("no status", Script { trailers: None, ..GOOD }, (false, "no gRPC status")),
        ("a web server", Script { status: 404, ..GOOD }, (false, "HTTP status 404")),
    ];
    let probes = rows.iter().map(|(_, script, _)| {
        let port = serve(*script);
        Probe::Grpc(Grpc {
            endpoint: Endpoint { place: place(port), tls: None, answerer: Answerer::Anybody },
            authority: format!("127.0.0.1:{port}"),
            question: GrpcQuestion::Health("shop".to_owned()),
            headers: Vec::new(),
        })
    });
    let findings = look_within(SOON, probes.collect());
    for ((name, _, (good, words)), finding) in rows.iter().zip(findings) {
        let (passed, note) = match &finding {
            Finding::Passed { note, .. } => (true, note),
            Finding::Failed { why } | Finding::Inconclusive { why } => (false, why),
        };
        assert!(passed == *good && note.contains(words), "{name}: {finding:?}");
    }
}
