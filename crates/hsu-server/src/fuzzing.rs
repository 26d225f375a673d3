//! What the fuzzers ask of the routes, which nobody outside sees without a socket.
//!
//! The targets are in `fuzz/src/targets`. Nothing of the product calls this.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, header};
use hsu_model::event::Actor;
use hsu_runtime::control::Control;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use tokio::sync::{Notify, Semaphore};

use crate::answers::Answers;
use crate::door::Place;
use crate::routes;

/// A question for the routes.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The method.
    pub method: &'a str,
    /// The path and the query.
    pub target: &'a str,
    /// What the body is said to be.
    pub content: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
    /// Whether the caller may steer the master.
    pub may: bool,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// What the body is said to be.
    pub content: String,
    /// The body; none for a stream that has no end.
    pub body: Option<Vec<u8>>,
}

/// Asks once. None for what HTTP itself refuses, and for a wait that is not over in time.
pub async fn ask(control: Arc<dyn Control>, question: &Question<'_>) -> Option<Reply> {
    const PATIENCE: Duration = Duration::from_millis(5);
    let mut request = Request::builder().method(question.method).uri(question.target);
    if let Some(content) = question.content {
        request = request.header(header::CONTENT_TYPE, content);
    }
    let request = request.body(Body::from(question.body.to_vec())).ok()?;
    let face = routes::Face {
        answers: Arc::new(Answers::new(control)),
        actor: question.may.then_some(Actor::Operator { uid: 0 }),
        streams: Arc::new(Semaphore::new(1)),
        tails: Arc::new(Semaphore::new(1)),
        place: Place::alone()?,
        stuck: Arc::new(Notify::new()),
    };
    let service = TowerToHyperService::new(routes::router(face));
    let is_long = question.target.contains("wait");
    let answered = service.call(request);
    let response =
        if is_long { tokio::time::timeout(PATIENCE, answered).await.ok()? } else { answered.await };
    let (head, body) = response.ok()?.into_parts();
    let content = head.headers.get(header::CONTENT_TYPE);
    let content = content.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let is_endless = question.target.contains("follow") && head.status.is_success();
    let body = if is_endless {
        None
    } else {
        axum::body::to_bytes(body, usize::MAX).await.ok().map(|bytes| bytes.to_vec())
    };
    Some(Reply { status: head.status.as_u16(), content: content.unwrap_or_default(), body })
}
