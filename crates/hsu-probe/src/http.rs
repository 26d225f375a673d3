//! Web servers: one question, and an answer that is read no further than needed.

use std::error::Error as _;

use bytes::Bytes;
use hsu_model::health::probe::Http;
use http::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use crate::look::{Looked, MOST_BODY, Seen, Tools, Trouble};
use crate::prober::Subject;

/// What heads of an answer may take.
const MOST_HEADS: usize = 64 << 10;
const AGENT: &str = concat!("hsu-master/", env!("CARGO_PKG_VERSION"));

/// Asks, and follows as many redirects to the same host as allowed.
pub(crate) async fn look(tools: &Tools, wanted: &Http, subject: &Subject) -> Looked {
    let mut path = wanted.path.clone();
    for _ in 0..wanted.redirects {
        let answer = ask(tools, wanted, subject, &path).await?;
        match redirect(wanted, &answer) {
            Some(next) => path = next?,
            None => return judge(tools, wanted, answer),
        }
    }
    let answer = ask(tools, wanted, subject, &path).await?;
    judge(tools, wanted, answer)
}

/// An answer as far as it was read.
struct Answer {
    status: StatusCode,
    heads: HeaderMap,
    body: Vec<u8>,
}

async fn ask(
    tools: &Tools,
    wanted: &Http,
    subject: &Subject,
    path: &str,
) -> Result<Answer, Trouble> {
    let connection = tools.network.connect(&wanted.endpoint, &[b"http/1.1"], subject).await?;
    let peer = connection.peer.clone();
    let request = request(wanted, path)?;
    let handshake =
        http1::Builder::new().max_buf_size(MOST_HEADS).handshake(TokioIo::new(connection));
    let (mut sender, driver) = handshake.await.map_err(|error| complain(&peer, &error))?;
    let talk = async {
        let answer = sender.send_request(request).await.map_err(|error| complain(&peer, &error))?;
        read(answer, &peer).await
    };
    // What happens to the connection after the answer is nobody's concern.
    tokio::pin!(talk, driver);
    tokio::select! {
        biased;
        answer = &mut talk => answer,
        _ = &mut driver => talk.await,
    }
}

fn request(wanted: &Http, path: &str) -> Result<Request<Full<Bytes>>, Trouble> {
    let unable = |what: &str| Trouble::Unable(format!("{what} cannot be sent"));
    let method = Method::from_bytes(wanted.method.as_bytes()).map_err(|_| unable("the method"))?;
    let body = wanted.body.as_deref().unwrap_or_default().to_owned();
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().map_err(|_| unable("the path"))?;
    let heads = request.headers_mut();
    let host = HeaderValue::from_str(&wanted.host).map_err(|_| unable("the host"))?;
    heads.insert(HOST, host);
    heads.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    heads.insert(CONNECTION, HeaderValue::from_static("close"));
    for (name, value) in &wanted.headers {
        let name: HeaderName = name.parse().map_err(|_| unable("a head"))?;
        heads.insert(name, HeaderValue::from_str(value).map_err(|_| unable("a head"))?);
    }
    Ok(request)
}

/// Reads the beginning of a body. An encoding is not undone: what was not asked for is
/// taken as it comes.
async fn read(answer: Response<Incoming>, peer: &str) -> Result<Answer, Trouble> {
    let (head, mut incoming) = answer.into_parts();
    let mut body = Vec::new();
    while body.len() < MOST_BODY {
        match incoming.frame().await {
            None => break,
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else { continue };
                let room = MOST_BODY - body.len();
                body.extend_from_slice(data.get(..room.min(data.len())).unwrap_or_default());
            }
            Some(Err(error)) => return Err(complain(peer, &error)),
        }
    }
    Ok(Answer { status: head.status, heads: head.headers, body })
}

/// Where a redirect leads; none when the answer is none.
fn redirect(wanted: &Http, answer: &Answer) -> Option<Result<String, Trouble>> {
    if !matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let place = answer.heads.get(LOCATION)?.to_str().unwrap_or_default();
    let scheme = if wanted.endpoint.tls.is_some() { "https" } else { "http" };
    let own = format!("{scheme}://{}/", wanted.host);
    if place.starts_with('/') && !place.starts_with("//") {
        return Some(Ok(place.to_owned()));
    }
    let same_host = place.strip_prefix(own.as_str()).map(|path| format!("/{path}"));
    let elsewhere = || {
        Trouble::bad(format!(
            "redirects to another host: {}",
            crate::pattern::shown(place.as_bytes())
        ))
    };
    Some(same_host.ok_or_else(elsewhere))
}

fn judge(tools: &Tools, wanted: &Http, answer: Answer) -> Looked {
    let status = answer.status.as_u16();
    if !wanted.statuses.iter().any(|(first, last)| (*first..=*last).contains(&status)) {
        return Err(Trouble::Bad(format!("status {status}{}", led_elsewhere(wanted, &answer))));
    }
    tools.patterns.expect(wanted.expect.as_ref(), "the body", &answer.body)?;
    let heads = answer.heads.iter().filter_map(|(name, value)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    });
    Ok(Seen {
        note: format!("status {status}"),
        value: None,
        status: Some(i64::from(status)),
        heads: heads.collect(),
        text: answer.body,
    })
}

/// Where an answer that is not good leads, and what would follow it.
fn led_elsewhere(wanted: &Http, answer: &Answer) -> String {
    let Some(place) = answer.heads.get(LOCATION) else { return String::new() };
    if !answer.status.is_redirection() {
        return String::new();
    }
    let place = crate::pattern::shown(place.as_bytes());
    match wanted.redirects {
        0 => format!(", a redirect to {place} (hint: `follow_redirects` follows some)"),
        most => format!(", a redirect to {place}, and {most} were followed"),
    }
}

/// An error of hyper, with its cause.
fn complain(peer: &str, error: &hyper::Error) -> Trouble {
    let mut why = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        why = format!("{why}: {deeper}");
        cause = deeper.source();
    }
    Trouble::Bad(format!("{peer}: {why}"))
}
