//! gRPC: one question over HTTP/2, by the two messages of the health protocol.
//!
//! A message is five bytes and a body; a health question and its answer have one
//! field each, so they are written and read here.
// Source: grpc/grpc, doc/PROTOCOL-HTTP2.md and doc/health-checking.md.

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::Builder;
use hsu_model::health::probe::{Grpc, GrpcQuestion};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE, USER_AGENT};
use http::{Method, Request, Uri, Version};

use crate::look::{Looked, MOST_BODY, Seen, Tools, Trouble};
use crate::prober::Subject;

const HEALTH: &str = "/grpc.health.v1.Health/Check";
const AGENT: &str = concat!("hsu-master/", env!("CARGO_PKG_VERSION"));
/// What all heads of an answer may take.
const MOST_HEADS: u32 = 16 << 10;
/// What the other side may send before we take it.
const WINDOW: u32 = 64 << 10;

pub(crate) async fn look(tools: &Tools, wanted: &Grpc, subject: &Subject) -> Looked {
    let connection = tools.network.connect(&wanted.endpoint, &[b"h2"], subject).await?;
    let peer = connection.peer.clone();
    let complain = |error: h2::Error| Trouble::Bad(format!("{peer}: {error}"));
    let mut builder = Builder::new();
    builder.max_header_list_size(MOST_HEADS).initial_window_size(WINDOW).enable_push(false);
    let handshake = builder.handshake::<_, Bytes>(connection).await;
    let (client, driver) = handshake.map_err(&complain)?;
    let talk = async {
        let mut client = client.ready().await.map_err(&complain)?;
        let (answer, mut body) = client.send_request(request(wanted)?, false).map_err(&complain)?;
        body.send_data(message(&wanted.question), true).map_err(&complain)?;
        let answer = answer.await.map_err(&complain)?;
        let status = answer.status().as_u16();
        if status != 200 {
            return Err(Trouble::Bad(format!("{peer}: HTTP status {status}")));
        }
        let heads = answer.headers().clone();
        let mut body = answer.into_body();
        let mut text = Vec::new();
        while let Some(piece) = body.data().await {
            let piece = piece.map_err(&complain)?;
            // What was taken is not counted against the other side.
            drop(body.flow_control().release_capacity(piece.len()));
            text.extend_from_slice(&piece);
            if text.len() > MOST_BODY {
                return Err(Trouble::Bad(format!("{peer}: the answer is endless")));
            }
        }
        let trailers = body.trailers().await.map_err(&complain)?;
        judge(&wanted.question, &trailers.unwrap_or(heads), &text)
    };
    tokio::pin!(talk, driver);
    tokio::select! {
        biased;
        looked = &mut talk => looked,
        ended = &mut driver => match ended {
            Ok(()) => talk.await,
            Err(error) => Err(complain(error)),
        },
    }
}

fn request(wanted: &Grpc) -> Result<Request<()>, Trouble> {
    let unable = |what: &str| Trouble::Unable(format!("{what} cannot be sent"));
    let path = match &wanted.question {
        GrpcQuestion::Health(_) => HEALTH,
        GrpcQuestion::Call(path) => path.as_str(),
    };
    let scheme = if wanted.endpoint.tls.is_some() { "https" } else { "http" };
    let uri = Uri::builder().scheme(scheme).authority(wanted.authority.as_str());
    let uri = uri.path_and_query(path).build().map_err(|_| unable("the address"))?;
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_2;
    let heads = request.headers_mut();
    heads.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    heads.insert(TE, HeaderValue::from_static("trailers"));
    heads.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    for (name, value) in &wanted.headers {
        let name: HeaderName = name.parse().map_err(|_| unable("a head"))?;
        heads.insert(name, HeaderValue::from_str(value).map_err(|_| unable("a head"))?);
    }
    Ok(request)
}

/// The question with its five bytes before it.
fn message(question: &GrpcQuestion) -> Bytes {
    let mut body = Vec::new();
    if let GrpcQuestion::Health(service) = question
        && !service.is_empty()
    {
        // Field 1, a text.
        body.push(0x0a);
        varint(service.len(), &mut body);
        body.extend_from_slice(service.as_bytes());
    }
    let mut framed = BytesMut::with_capacity(body.len() + 5);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(body.len()).unwrap_or(u32::MAX));
    framed.extend_from_slice(&body);
    framed.freeze()
}

fn varint(mut number: usize, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap_or(0));
}

fn judge(question: &GrpcQuestion, trailers: &HeaderMap, text: &[u8]) -> Looked {
    let head = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok());
    let Some(status) = head("grpc-status").and_then(|status| status.parse::<u32>().ok()) else {
        return Err(Trouble::bad("no gRPC status: this is no gRPC server"));
    };
    if status != 0 {
        let message = head("grpc-message").unwrap_or_default();
        return Err(Trouble::Bad(format!("gRPC status {} {message}", status_name(status))));
    }
    if let GrpcQuestion::Call(path) = question {
        return Ok(Seen { status: Some(0), ..Seen::note(format!("{path} answered")) });
    }
    let Some(serving) = serving(text) else {
        return Err(Trouble::bad("the answer is none to a health question"));
    };
    match serving {
        1 => Ok(Seen { status: Some(1), ..Seen::note("SERVING") }),
        0 => Err(Trouble::bad("UNKNOWN")),
        2 => Err(Trouble::bad("NOT_SERVING")),
        3 => Err(Trouble::bad("SERVICE_UNKNOWN")),
        other => Err(Trouble::Bad(format!("serving status {other}"))),
    }
}

/// The one field of a health answer; 0 when it is left out, as every zero is.
fn serving(text: &[u8]) -> Option<u64> {
    let (flag, rest) = text.split_first()?;
    let (length, body) = rest.split_at_checked(4)?;
    let length = usize::try_from(u32::from_be_bytes(length.try_into().ok()?)).ok()?;
    if *flag != 0 || body.len() != length {
        return None;
    }
    let mut body = body;
    let mut serving = 0;
    while !body.is_empty() {
        let tag = read_varint(&mut body)?;
        match (tag >> 3, tag & 7) {
            (1, 0) => serving = read_varint(&mut body)?,
            // What later versions may add is passed over.
            (_, 0) => drop(read_varint(&mut body)?),
            (_, 2) => {
                let length = usize::try_from(read_varint(&mut body)?).ok()?;
                body = body.get(length..)?;
            }
            (_, 1) => body = body.get(8..)?,
            (_, 5) => body = body.get(4..)?,
            _ => return None,
        }
    }
    Some(serving)
}

fn read_varint(body: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for place in 0..10 {
        let (byte, rest) = body.split_first()?;
        *body = rest;
        number |= u64::from(byte & 0x7f).checked_shl(place * 7)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn status_name(status: u32) -> String {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    let name = usize::try_from(status).ok().and_then(|status| NAMES.get(status));
    name.map_or_else(|| status.to_string(), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_five_bytes_and_the_name() {
        assert_eq!(&message(&GrpcQuestion::Health(String::new()))[..], [0, 0, 0, 0, 0]);
        let named = message(&GrpcQuestion::Health("web".to_owned()));
        assert_eq!(&named[..], [0, 0, 0, 0, 5, 0x0a, 3, b'w', b'e', b'b']);
        let long = message(&GrpcQuestion::Health("x".repeat(300)));
        assert_eq!(&long[5..8], [0x0a, 0xac, 0x02]);
    }

    #[test]
    fn an_answer_is_read_whatever_else_stands_in_it_and_garbage_is_none() {
        for (text, serving_status) in [
            (&[0, 0, 0, 0, 2, 8, 1][..], Some(1)),
            (&[0, 0, 0, 0, 0], Some(0)),
            (&[0, 0, 0, 0, 5, 0x12, 1, 9, 8, 2], Some(2)),
            (&[0, 0, 0, 0, 3, 8, 1], None),
            (&[1, 0, 0, 0, 2, 8, 1], None),
            (&[0, 0, 0, 0, 2, 8, 0x80], None),
            (&[0, 0, 0, 0, 2, 0x12, 200], None),
            (&[], None),
        ] {
            assert_eq!(serving(text), serving_status, "{text:?}");
        }
    }
}
