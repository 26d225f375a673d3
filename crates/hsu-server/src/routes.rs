//! Routes: which path means what, and problems as RFC 9457.
#![expect(clippy::result_large_err, reason = "an error is an answer, as large as any other")]

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use hsu_api::{
    CapabilityView, CommandAnswer, CommandRequest, EventList, EventView, FeatureView, HostView,
    Problem, ShutdownRequest, UpgradeRequest, VersionView,
};
use hsu_core::answer::{Answer, Refusal};
use hsu_core::input::{Command, ShutdownMode};
use hsu_model::event::Actor;
use hsu_model::exit::signal_number;
use hsu_model::id::WorkerId;
use hsu_model::logs::Stream;
use hsu_model::status::WorkerState;
use serde::Deserialize;

use crate::answers::Answers;
use crate::logs::{self, Wanted};

/// The longest body of a request.
const BODY: usize = 64 << 10;
/// The most lines or events that one answer holds.
const MOST: usize = 1_000_000;

#[derive(Clone)]
struct Face {
    answers: Arc<Answers>,
    actor: Option<Actor>,
}

type Answered = Result<Response, Response>;

/// The routes for one connection, whose other end is `actor`.
pub(crate) fn router(answers: Arc<Answers>, actor: Option<Actor>) -> Router {
    let face = Face { answers, actor };
    Router::new()
        .route("/v1/workers", get(list))
        .route("/v1/workers/{id}", get(describe).delete(remove))
        .route("/v1/workers/{id}/why", get(why))
        .route("/v1/workers/{id}/logs", get(lines))
        .route("/v1/workers/{id}/wait", get(wait))
        .route("/v1/workers/{id}/{verb}", post(command))
        .route("/v1/events", get(events))
        .route("/v1/master", get(master))
        .route("/v1/master/shutdown", post(shutdown))
        .route("/v1/master/upgrade", post(upgrade))
        .route("/v1/capabilities", get(capabilities))
        .route("/v1/version", get(version))
        .fallback(no_route)
        .layer(DefaultBodyLimit::max(BODY))
        .layer(from_fn_with_state(face.clone(), admit))
        .with_state(face)
}

/// Nobody gets further without a name.
async fn admit(State(face): State<Face>, request: Request, next: Next) -> Response {
    if face.actor.is_some() {
        return next.run(request).await;
    }
    refuse(
        Problem::new(403, "forbidden", "not allowed", "your user may not steer this master")
            .hint("use the user that runs hsu-master, or root"),
    )
}

fn refuse(problem: Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = [(header::CONTENT_TYPE, "application/problem+json")];
    (status, kind, Json(problem)).into_response()
}

async fn no_route(request: Request) -> Response {
    let detail =
        format!("{} {} is no route of this master", request.method(), request.uri().path());
    refuse(Problem::new(404, "no-route", "no such route", detail))
}

fn unknown(id: &str) -> Response {
    refuse(
        Problem::new(404, "unknown-worker", "no such worker", format!("no worker is named {id:?}"))
            .hint("`hsu-master-cli list` names all of them")
            .about(id),
    )
}

fn busy(error: &hsu_runtime::control::ControlError) -> Response {
    refuse(Problem::new(503, "busy", "not at present", error.to_string()))
}

async fn list(State(face): State<Face>) -> Response {
    let bytes = axum::body::Bytes::from_owner(face.answers.list());
    ([(header::CONTENT_TYPE, "application/json")], bytes).into_response()
}

async fn describe(State(face): State<Face>, Path(id): Path<String>) -> Answered {
    let entry = face.answers.entry(&id).ok_or_else(|| unknown(&id))?;
    Ok(Json(face.answers.describe(&entry)).into_response())
}

async fn why(State(face): State<Face>, Path(id): Path<String>) -> Answered {
    let entry = face.answers.entry(&id).ok_or_else(|| unknown(&id))?;
    Ok(Json(face.answers.why(&entry)).into_response())
}

async fn remove(State(face): State<Face>, Path(id): Path<String>) -> Answered {
    perform(&face, id, Command::Remove).await
}

async fn command(
    State(face): State<Face>,
    Path((id, verb)): Path<(String, String)>,
    body: axum::body::Bytes,
) -> Answered {
    let request: CommandRequest = parse(&body)?;
    let force = request.force;
    let command = match verb.as_str() {
        "start" => Command::Start,
        "stop" => Command::Stop { force },
        "restart" => Command::Restart { force },
        "enable" => Command::Enable,
        "disable" => Command::Disable,
        "reset-breaker" => Command::ResetBreaker,
        "signal" => {
            let name = request.signal.unwrap_or_default();
            Command::Signal(signal_number(&name).ok_or_else(|| bad_signal(&name))?)
        }
        _ => {
            let detail = format!("{verb:?} is nothing that can be done to a worker");
            return Err(refuse(Problem::new(404, "no-route", "no such command", detail)));
        }
    };
    perform(&face, id, command).await
}

fn bad_signal(name: &str) -> Response {
    let detail = format!("{name:?} is no signal");
    refuse(
        Problem::new(400, "bad-request", "no such signal", detail)
            .hint("a name such as HUP or SIGHUP, or a number from 1 to 64"),
    )
}

/// A body that may be left out.
fn parse<T: Default + serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Response> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    serde_json::from_slice(body).map_err(|error| {
        refuse(Problem::new(400, "bad-request", "the body is no valid request", error.to_string()))
    })
}

async fn perform(face: &Face, id: String, command: Command) -> Answered {
    let worker = WorkerId::new(&id).map_err(|_| unknown(&id))?;
    let actor = face.actor.clone().unwrap_or(Actor::Master);
    let pending = face.answers.control.command(actor, worker, command);
    let answer = pending.map_err(|error| busy(&error))?.await;
    match answer {
        Ok(Answer::Done { state, message }) => {
            let state = state.as_str().to_owned();
            Ok(Json(CommandAnswer { worker: id, state, message }).into_response())
        }
        Ok(Answer::Refused(refusal)) => Err(refused(&id, refusal)),
        Err(_) => Err(busy(&hsu_runtime::control::ControlError::Ending)),
    }
}

fn refused(id: &str, refusal: Refusal) -> Response {
    let problem = match refusal {
        Refusal::Unknown { .. } => return unknown(id),
        Refusal::Conflict { state, operation, hint } => {
            let detail = format!("{id} is {}: cannot {operation} it", state.as_str());
            Problem::new(409, "conflict", "not in this state", detail).hint(hint)
        }
        Refusal::Superseded { by } => {
            let detail = format!("a later {by} of {id} took the place of this command");
            Problem::new(409, "superseded", "superseded", detail)
        }
        Refusal::Failed { reason } => {
            Problem::new(500, "failed", "it was tried and failed", reason)
                .hint(format!("`hsu-master-cli why {id}` tells more"))
        }
        Refusal::ShuttingDown => {
            Problem::new(503, "ending", "not any more", "the master is ending or being replaced")
        }
        _ => Problem::new(500, "failed", "it failed", "the master gave no reason"),
    };
    refuse(problem.about(id))
}

#[derive(Debug, Deserialize)]
struct LinesQuery {
    tail: Option<usize>,
    since: Option<String>,
    stream: Option<String>,
    #[serde(default)]
    follow: bool,
}

async fn lines(
    State(face): State<Face>,
    Path(id): Path<String>,
    Query(query): Query<LinesQuery>,
) -> Answered {
    face.answers.entry(&id).ok_or_else(|| unknown(&id))?;
    let worker = WorkerId::new(&id).map_err(|_| unknown(&id))?;
    let bad = |detail: String| refuse(Problem::new(400, "bad-request", "no such lines", detail));
    let streams = match query.stream.as_deref() {
        None => Stream::ALL.to_vec(),
        Some("stdout") => vec![Stream::Stdout],
        Some("stderr") => vec![Stream::Stderr],
        Some(other) => return Err(bad(format!("{other:?} is neither stdout nor stderr"))),
    };
    let now = face.answers.control.now().wall;
    let since = match query.since {
        None => None,
        Some(text) => Some(
            hsu_api::parse_time(&text, now)
                .ok_or_else(|| bad(format!("{text:?} is neither a time nor a span such as 10m")))?,
        ),
    };
    let tail = query.tail.unwrap_or_else(|| if since.is_some() { MOST } else { 100 }).min(MOST);
    let wanted = Wanted { worker, streams, tail, since, follow: query.follow };
    let body = logs::lines(&face.answers, wanted);
    Ok(records(body.map_err(|reason| refuse(Problem::new(500, "logs", "no logs", reason)))?))
}

fn records(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

#[derive(Debug, Deserialize)]
struct EventsQuery {
    after: Option<u64>,
    worker: Option<String>,
    limit: Option<usize>,
    #[serde(default)]
    follow: bool,
}

async fn events(State(face): State<Face>, Query(query): Query<EventsQuery>) -> Answered {
    let worker = match &query.worker {
        Some(id) => Some(WorkerId::new(id).map_err(|_| unknown(id))?),
        None => None,
    };
    let control = &face.answers.control;
    let limit = query.limit.unwrap_or(1000).min(MOST);
    if query.follow {
        let last = |_| control.last_events(None, 1).ok().and_then(|e| e.last().map(|e| e.sequence));
        let after = query.after.or_else(|| last(())).unwrap_or(0);
        return Ok(records(logs::follow_events(Arc::clone(&face.answers), after, worker)));
    }
    let events = match query.after {
        Some(after) => control.events(after, worker.as_ref(), limit),
        None => control.last_events(worker.as_ref(), limit),
    };
    let events = events.map_err(|error| busy(&error))?;
    let events = events.iter().map(EventView::from).collect();
    Ok(Json(EventList { events }).into_response())
}

#[derive(Debug, Deserialize)]
struct WaitQuery {
    #[serde(rename = "for")]
    state: String,
    timeout: Option<f64>,
}

async fn wait(
    State(face): State<Face>,
    Path(id): Path<String>,
    Query(query): Query<WaitQuery>,
) -> Answered {
    let wanted = WorkerState::ALL.into_iter().find(|state| state.as_str() == query.state);
    let Some(wanted) = wanted else {
        let all: Vec<_> = WorkerState::ALL.into_iter().map(WorkerState::as_str).collect();
        let detail = format!("{:?} is no state", query.state);
        let problem = Problem::new(400, "bad-request", "no such state", detail);
        return Err(refuse(problem.hint(format!("one of {}", all.join(", ")))));
    };
    let limit = Duration::try_from_secs_f64(query.timeout.unwrap_or(60.0)).unwrap_or_default();
    let mut changes = face.answers.control.changes();
    let reached = async {
        loop {
            let entry = face.answers.entry(&id).ok_or_else(|| unknown(&id))?;
            if entry.status.state == wanted {
                return Ok::<_, Response>(entry);
            }
            if changes.changed().await.is_err() {
                return Err(busy(&hsu_runtime::control::ControlError::Ending));
            }
        }
    };
    match tokio::time::timeout(limit, reached).await {
        Ok(entry) => Ok(Json(face.answers.view(&entry?)).into_response()),
        Err(_) => {
            let state = face.answers.entry(&id).map_or("unknown", |e| e.status.state.as_str());
            let detail = format!("{id} is {state}, not {}, after {limit:?}", query.state);
            Err(refuse(Problem::new(408, "timeout", "not in time", detail).about(id)))
        }
    }
}

async fn master(State(face): State<Face>) -> Response {
    Json(face.answers.master()).into_response()
}

async fn shutdown(State(face): State<Face>, body: axum::body::Bytes) -> Answered {
    let request: ShutdownRequest = parse(&body)?;
    let mode =
        if request.keep_workers { ShutdownMode::KeepWorkers } else { ShutdownMode::StopWorkers };
    let actor = face.actor.clone().unwrap_or(Actor::Master);
    let done = face.answers.control.shutdown(actor, mode, request.force);
    done.map_err(|error| busy(&error))?;
    Ok((StatusCode::ACCEPTED, Json(serde_json::json!({"message": "the master is ending"})))
        .into_response())
}

async fn upgrade(State(face): State<Face>, body: axum::body::Bytes) -> Answered {
    let request: UpgradeRequest = parse(&body)?;
    let actor = face.actor.clone().unwrap_or(Actor::Master);
    let pending = face.answers.control.upgrade(actor, request.executable.map(Into::into));
    let answer = pending.map_err(|error| busy(&error))?.await;
    match answer {
        Ok(Ok(())) => {
            let done = serde_json::json!({"message": "another master has taken over"});
            Ok(Json(done).into_response())
        }
        Ok(Err(reason)) => Err(refuse(
            Problem::new(500, "upgrade-failed", "the present master goes on", reason)
                .hint("no worker was disturbed; see the master's log for what the other one said"),
        )),
        Err(_) => Err(busy(&hsu_runtime::control::ControlError::Ending)),
    }
}

async fn capabilities() -> Response {
    let host = hsu_sys::capabilities().into_iter().map(|capability| CapabilityView {
        name: capability.name.to_owned(),
        available: capability.available,
        detail: capability.detail,
    });
    let not_built = hsu_config::features()
        .iter()
        .map(|feature| FeatureView { key: feature.key.clone(), what: feature.why.to_owned() });
    Json(HostView { host: host.collect(), not_built: not_built.collect() }).into_response()
}

async fn version() -> Response {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Json(VersionView { version, api: hsu_api::VERSION.to_owned() }).into_response()
}
