//! Routes: which path means what, and problems as RFC 9457.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use hsu_api::{
    CapabilityView, CommandAnswer, CommandRequest, FeatureView, HostView, MessageView, Problem,
    ShutdownRequest, UpgradeRequest, VersionView,
};
use hsu_core::answer::Answer;
use hsu_core::input::{Command, ShutdownMode};
use hsu_model::event::Actor;
use hsu_model::exit::signal_number;
use hsu_model::id::WorkerId;
use hsu_model::logs::Stream;
use hsu_model::status::WorkerState;
use hsu_model::time::WallTime;
use hsu_runtime::control::ControlError;
use hsu_runtime::{Entry, MassStop};
use hsu_store::Reader;
use serde::Deserialize;
use tokio::sync::{Notify, Semaphore};

use crate::answers::Answers;
use crate::door::Place;
use crate::past;
use crate::problems::{
    bad, forbidden, refuse, refused, translate, unavailable, unknown, unreplaced,
};
use crate::streams::{self, EventPieces, Hold, Wanted};

/// The longest body of a request.
const BODY: usize = 64 << 10;
/// The most lines or events that one answer holds.
const MOST: usize = 1_000_000;
/// Lines in an answer that nobody said more about.
const SOME_LINES: usize = 100;
/// Events in an answer that nobody said more about.
const SOME_EVENTS: usize = 1000;
/// How long a wait lasts that nobody said more about.
const SOME_TIME: Duration = Duration::from_secs(60);

/// What one connection sees: the answers, who is at the other end, and its place for a stream.
#[derive(Clone)]
pub(crate) struct Face {
    pub(crate) answers: Arc<Answers>,
    pub(crate) actor: Option<Actor>,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) tails: Arc<Semaphore>,
    pub(crate) stuck: Arc<Notify>,
    pub(crate) place: Arc<Place>,
}

impl Face {
    fn entry(&self, id: &str) -> Result<Entry, Refused> {
        Ok(self.answers.entry(id).ok_or_else(|| unknown(id))?)
    }

    fn hold(&self) -> Result<Hold, Refused> {
        let place = Arc::clone(&self.streams).try_acquire_owned();
        let place = place.map_err(|_| {
            Problem::new(503, "busy", "not at present", "too many streams are followed already")
                .hint("end another `-f` first")
        })?;
        Ok(Hold { place, stuck: Arc::clone(&self.stuck), turns: Arc::clone(&self.tails) })
    }

    /// Reads files on a thread that may wait for them.
    async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Answers) -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let answers = Arc::clone(&self.answers);
        let looked = tokio::task::spawn_blocking(move || look(&answers)).await;
        Ok(looked.map_err(|_| unavailable(&ControlError::Ending))?)
    }

    /// As [`Face::read`], for the output of workers: a crowd that wants it does not
    /// keep short answers waiting.
    async fn read_output<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Answers) -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let turn = self.tails.acquire().await;
        let _turn = turn.map_err(|_| unavailable(&ControlError::Ending))?;
        self.read(look).await
    }

    fn actor(&self) -> Result<Actor, Refused> {
        Ok(self.actor.clone().ok_or_else(forbidden)?)
    }
}

/// A problem on its way out.
struct Refused(Box<Problem>);

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl axum::response::IntoResponse for Refused {
    fn into_response(self) -> Response {
        refuse(*self.0)
    }
}

type Answered = Result<Response, Refused>;

/// The routes for one connection.
pub(crate) fn router(face: Face) -> Router {
    Router::new()
        .route("/v1/workers", get(list))
        .route("/v1/workers/{id}", get(describe).delete(remove))
        .route("/v1/workers/{id}/why", get(why))
        .route("/v1/workers/{id}/logs", get(lines))
        .route("/v1/workers/{id}/wait", get(wait))
        .route("/v1/workers/{id}/usage", get(usage))
        .route("/v1/usage", get(all_usage))
        .route("/v1/workers/{id}/{verb}", post(command))
        .route("/v1/workers/{id}/history", get(history))
        .route("/v1/diff", get(diff))
        .route("/v1/journal", get(journal))
        .route("/v1/events", get(events))
        .route("/v1/master", get(master))
        .route("/v1/master/shutdown", post(shutdown))
        .route("/v1/master/upgrade", post(upgrade))
        .route("/v1/capabilities", get(capabilities))
        .route("/v1/version", get(version))
        .fallback(no_route)
        .layer(DefaultBodyLimit::max(BODY))
        .layer(map_response(translate))
        .layer(from_fn_with_state(face.clone(), admit))
        .with_state(face)
}

/// Nobody gets further without a name.
async fn admit(State(face): State<Face>, request: Request, next: Next) -> Response {
    face.place.asks();
    let response = match face.actor {
        Some(_) => next.run(request).await,
        None => refuse(forbidden()),
    };
    if response.extensions().get::<Followed>().is_none() {
        face.place.rests();
    }
    response
}

/// Marks an answer that goes on for as long as its reader likes.
#[derive(Clone, Copy, Debug)]
struct Followed;

async fn no_route(request: Request) -> Response {
    let path = request.uri().path();
    let detail = format!("{} {path} is no route of this master", request.method());
    refuse(Problem::new(404, "no-route", "no such route", detail))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    at: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HistoryQuery {
    since: Option<String>,
    limit: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DiffQuery {
    from: String,
    to: Option<String>,
}

/// Reads the past on a thread that may wait for the disk.
async fn look_back<T: serde::Serialize + Send + 'static>(
    face: &Face,
    look: impl FnOnce(&Reader, WallTime) -> Result<T, Box<Problem>> + Send + 'static,
) -> Answered {
    let looked = face.read(move |answers| {
        let reader = answers.control.past().map_err(|error| Box::new(unavailable(&error)))?;
        let found = look(&reader, answers.control.now().wall)?;
        Ok::<_, Box<Problem>>(serde_json::to_vec(&found).unwrap_or_default())
    });
    let bytes = looked.await?.map_err(Refused)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], bytes).into_response())
}

async fn history(
    State(face): State<Face>,
    Path(id): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> Answered {
    let limit = query.limit.unwrap_or(SOME_EVENTS).min(MOST);
    let look =
        move |past: &Reader, now| past::history(past, &id, query.since.as_deref(), limit, now);
    look_back(&face, look).await
}

async fn diff(State(face): State<Face>, Query(query): Query<DiffQuery>) -> Answered {
    let to = query.to.unwrap_or_else(|| "0s".to_owned());
    look_back(&face, move |past, now| past::diff(past, &query.from, &to, now)).await
}

async fn journal(State(face): State<Face>) -> Answered {
    let past = face.answers.control.past().map_err(|error| unavailable(&error))?;
    Ok(records(past::journal(past)))
}

async fn list(State(face): State<Face>, Query(query): Query<ListQuery>) -> Answered {
    if let Some(at) = query.at {
        return look_back(&face, move |past, now| past::list(past, &at, now)).await;
    }
    let bytes = Bytes::from_owner(face.answers.list());
    Ok(([(header::CONTENT_TYPE, "application/json")], bytes).into_response())
}

async fn describe(State(face): State<Face>, Path(id): Path<String>) -> Answered {
    let entry = face.entry(&id)?;
    let description = face.read(move |answers| answers.describe(&entry)).await?;
    Ok(Json(description).into_response())
}

async fn why(State(face): State<Face>, Path(id): Path<String>) -> Answered {
    let entry = face.entry(&id)?;
    let why = face.read(move |answers| answers.why(&entry)).await?;
    Ok(Json(why).into_response())
}

async fn remove(State(face): State<Face>, Path(id): Path<String>, body: Bytes) -> Answered {
    let request: CommandRequest = parse(&body)?;
    takes_no_more("remove", &request)?;
    perform(&face, id, Command::Remove, request.wait.unwrap_or(true)).await
}

/// Refuses what a command has no use for: nothing is read and ignored.
fn takes_no_more(verb: &str, request: &CommandRequest) -> Result<(), Refused> {
    if request.force && !matches!(verb, "stop" | "restart") {
        let problem = bad("no such option", format!("`force` means nothing to {verb}"));
        return Err(problem.hint("`stop` and `restart` take it; stop the worker first").into());
    }
    if request.signal.is_some() && verb != "signal" {
        let problem = bad("no such option", format!("`signal` means nothing to {verb}"));
        return Err(problem.hint("the route `signal` takes it").into());
    }
    Ok(())
}

async fn command(
    State(face): State<Face>,
    Path((id, verb)): Path<(String, String)>,
    body: Bytes,
) -> Answered {
    let request: CommandRequest = parse(&body)?;
    if hsu_api::COMMANDS.contains(&verb.as_str()) {
        takes_no_more(&verb, &request)?;
    }
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
            Command::Signal(signal_number(&name).ok_or_else(|| {
                bad("no such signal", format!("{name:?} is no signal"))
                    .hint("a name such as HUP, SIGHUP or RTMIN+1, or a number from 1 to 64")
            })?)
        }
        _ => {
            let detail = format!("{verb:?} is nothing that can be done to a worker");
            let problem = Problem::new(404, "no-route", "no such command", detail);
            return Err(problem.hint(format!("one of {}", hsu_api::COMMANDS.join(", "))).into());
        }
    };
    perform(&face, id, command, request.wait.unwrap_or(true)).await
}

/// A body that may be left out.
fn parse<T: Default + serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    let parsed = serde_json::from_slice(body);
    Ok(parsed.map_err(|error| bad("the body is no valid request", error.to_string()))?)
}

/// What a loss of the master would undo of what is done.
fn unwritten(command: Command, reason: &str) -> String {
    let loss = if matches!(command, Command::Signal(_)) {
        "would not know of it"
    } else {
        "would start the worker again"
    };
    format!(
        "not written to the disk ({reason}): if this master is lost before it is written, the next one {loss}"
    )
}

async fn perform(face: &Face, id: String, command: Command, wait: bool) -> Answered {
    let worker = WorkerId::new(&id).map_err(|_| unknown(&id))?;
    let pending = face.answers.control.command(face.actor()?, worker, command);
    let pending = pending.map_err(|error| unavailable(&error))?;
    if !wait {
        let state = face.entry(&id)?.status.state.as_str().to_owned();
        let answer = CommandAnswer { worker: id, state, message: "asked for".to_owned() };
        return Ok((StatusCode::ACCEPTED, Json(answer)).into_response());
    }
    match pending.await {
        Ok(Answer::Done { state, message }) => {
            let state = state.as_str().to_owned();
            Ok(Json(CommandAnswer { worker: id, state, message }).into_response())
        }
        Ok(Answer::Unwritten { state, message, reason }) => {
            let state = state.as_str().to_owned();
            let message = format!("{message}; {}", unwritten(command, &reason));
            Ok(Json(CommandAnswer { worker: id, state, message }).into_response())
        }
        Ok(Answer::Refused(refusal)) => Err(refused(&id, refusal).into()),
        Err(_) => Err(unavailable(&ControlError::Ending).into()),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LinesQuery {
    tail: Option<usize>,
    since: Option<String>,
    stream: Option<String>,
    #[serde(default)]
    follow: bool,
}

impl LinesQuery {
    fn wanted(&self, face: &Face, id: &str) -> Result<Wanted, Refused> {
        let worker = WorkerId::new(id).map_err(|_| unknown(id))?;
        let streams = match self.stream.as_deref() {
            None => Stream::ALL.to_vec(),
            Some("stdout") => vec![Stream::Stdout],
            Some("stderr") => vec![Stream::Stderr],
            Some(other) => {
                let detail = format!("{other:?} is neither stdout nor stderr");
                return Err(bad("no such stream", detail).into());
            }
        };
        let since = since(face, self.since.as_deref())?;
        let usual = if since.is_some() { MOST } else { SOME_LINES };
        let tail = self.tail.unwrap_or(usual).min(MOST);
        Ok(Wanted { worker, streams, tail, since })
    }
}

async fn lines(
    State(face): State<Face>,
    Path(id): Path<String>,
    Query(query): Query<LinesQuery>,
) -> Answered {
    face.entry(&id)?;
    let wanted = query.wanted(&face, &id)?;
    let unread = |error: hsu_logs::LogError| {
        Problem::new(500, "logs", "the output cannot be read", error.to_string()).about(id.clone())
    };
    if !query.follow {
        let bytes = face.read_output(move |answers| streams::lines(answers, &wanted)).await?;
        return Ok(records(bytes.map_err(unread)?.into()));
    }
    let hold = face.hold()?;
    let begun = face.read_output(move |answers| streams::begin(answers, &wanted)).await?;
    let (first, follower) = begun.map_err(unread)?;
    followed(streams::follow_lines(first, follower, hold))
}

fn followed(body: Option<Body>) -> Answered {
    let mut response = records(body.ok_or_else(|| unavailable(&ControlError::Busy))?);
    response.extensions_mut().insert(Followed);
    Ok(response)
}

fn records(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    after: Option<u64>,
    worker: Option<String>,
    limit: Option<usize>,
    last: Option<usize>,
    #[serde(default)]
    follow: bool,
}

impl EventsQuery {
    /// Refuses what would be read and ignored.
    fn is_consistent(&self) -> Result<(), Refused> {
        let ignored = if self.follow && self.limit.is_some() {
            Some("`limit` does not end a stream that is followed")
        } else if self.after.is_some() && self.last.is_some() {
            Some("`after` and `last` both say where to begin")
        } else if self.last.is_some() && self.limit.is_some() {
            Some("`last` and `limit` both say how many")
        } else {
            None
        };
        match ignored {
            None => Ok(()),
            Some(text) => {
                let hint = "`after` with `limit`, or `last`; with `follow`, `after` or `last`";
                Err(bad("too many bounds", text).hint(hint).into())
            }
        }
    }
}

async fn events(State(face): State<Face>, Query(query): Query<EventsQuery>) -> Answered {
    let worker = match &query.worker {
        Some(id) => Some(WorkerId::new(id).map_err(|_| unknown(id))?),
        None => None,
    };
    query.is_consistent()?;
    if let Some(id) = worker.clone() {
        face.read(move |answers| is_heard_of(answers, &id)).await??;
    }
    if query.follow {
        let hold = face.hold()?;
        let after = match query.after {
            Some(after) => after,
            None => {
                let (worker, last) = (worker.clone(), query.last.unwrap_or(0).min(MOST));
                let look =
                    move |answers: &Answers| answers.control.before_last(worker.as_ref(), last);
                face.read(look).await?.map_err(|error| unavailable(&error))?
            }
        };
        return followed(streams::follow_events(Arc::clone(&face.answers), after, worker, hold));
    }
    let last = query.last.or(query.limit).unwrap_or(SOME_EVENTS).min(MOST);
    let limit = query.limit.unwrap_or(SOME_EVENTS).min(MOST);
    let begin = face.read(move |answers| {
        let (after, limit) = match query.after {
            Some(after) => (after, limit),
            None => (answers.control.before_last(worker.as_ref(), last)?, last),
        };
        let mut list = EventPieces::new(after, limit, worker);
        list.next(answers).map(|piece| (piece.unwrap_or_default(), list))
    });
    let (piece, list) = begin.await?.map_err(|error| unavailable(&error))?;
    let body = if list.is_over() {
        Body::from(piece)
    } else {
        let answers = Arc::clone(&face.answers);
        streams::list_events(answers, piece, list, Arc::clone(&face.stuck))
            .ok_or_else(|| unavailable(&ControlError::Ending))?
    };
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// Refuses a name that is no worker's, and that the journal does not hold either.
fn is_heard_of(answers: &Answers, id: &WorkerId) -> Result<(), Refused> {
    if answers.entry(id.as_str()).is_some() {
        return Ok(());
    }
    let events = answers.control.last_events(Some(id), 1).map_err(|error| unavailable(&error))?;
    if events.is_empty() { Err(unknown(id.as_str()).into()) } else { Ok(()) }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WaitQuery {
    #[serde(rename = "for")]
    state: String,
    timeout: Option<f64>,
}

/// What can be waited for besides a state: that a worker does its job.
const READY: &str = "ready";

async fn wait(
    State(face): State<Face>,
    Path(id): Path<String>,
    Query(query): Query<WaitQuery>,
) -> Answered {
    let wanted = WorkerState::ALL.into_iter().find(|state| state.as_str() == query.state);
    if wanted.is_none() && query.state != READY {
        let all = WorkerState::ALL.map(WorkerState::as_str);
        return Err(bad("no such state", format!("{:?} is no state", query.state))
            .hint(format!("one of {}, {READY}", all.join(", ")))
            .into());
    }
    let limit = match query.timeout {
        None => SOME_TIME,
        Some(seconds) => Duration::try_from_secs_f64(seconds)
            .map_err(|_| bad("no such time", format!("{seconds} is no time to wait")))?,
    };
    let mut changes = face.answers.control.changes();
    let reached = async {
        loop {
            let entry = face.entry(&id)?;
            if wanted.map_or(entry.status.ready, |wanted| entry.status.state == wanted) {
                return Ok::<_, Refused>(entry);
            }
            if changes.changed().await.is_err() {
                return Err(unavailable(&ControlError::Ending).into());
            }
        }
    };
    if let Ok(entry) = tokio::time::timeout(limit, reached).await {
        return Ok(Json(face.answers.view(&entry?)).into_response());
    }
    let state = face.entry(&id)?.status.state.as_str();
    let detail = format!("{id} is {state}, not {}, after {} s", query.state, limit.as_secs_f64());
    Err(Problem::new(408, "timeout", "not in time", detail)
        .hint(format!("`hsu-master-cli why {id}` tells what holds it up"))
        .about(id)
        .into())
}

async fn master(State(face): State<Face>) -> Response {
    Json(face.answers.master()).into_response()
}

fn message(text: &str) -> Json<MessageView> {
    Json(MessageView { message: text.to_owned() })
}

async fn shutdown(State(face): State<Face>, body: Bytes) -> Answered {
    let request: ShutdownRequest = parse(&body)?;
    let mode = match request.mode {
        hsu_api::ShutdownMode::StopWorkers => ShutdownMode::StopWorkers,
        hsu_api::ShutdownMode::KeepWorkers => ShutdownMode::KeepWorkers,
    };
    let done = face.answers.control.shutdown(face.actor()?, mode, request.force);
    done.map_err(|error| unavailable(&error))?;
    Ok((StatusCode::ACCEPTED, message("the master is ending")).into_response())
}

async fn upgrade(State(face): State<Face>, body: Bytes) -> Answered {
    let request: UpgradeRequest = parse(&body)?;
    let executable = request.executable.map(Into::into);
    let mass_stop = if request.confirm_mass_stop { MassStop::Confirmed } else { MassStop::Refused };
    let pending = face.answers.control.upgrade(face.actor()?, executable, mass_stop);
    match pending.map_err(|error| unavailable(&error))?.await {
        Ok(Ok(())) => Ok(message("another master has taken over").into_response()),
        Ok(Err(obstacle)) => Err(unreplaced(obstacle).into()),
        Err(_) => Err(unavailable(&ControlError::Ending).into()),
    }
}

async fn all_usage(State(face): State<Face>) -> Response {
    Json(crate::limits::all(&*face.answers.control)).into_response()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UsageQuery {
    since: Option<String>,
}

async fn usage(
    State(face): State<Face>,
    Path(id): Path<String>,
    Query(query): Query<UsageQuery>,
) -> Answered {
    let entry = face.entry(&id)?;
    let since = since(&face, query.since.as_deref())?.unwrap_or_default();
    let read =
        move |answers: &Answers| crate::limits::records(&*answers.control, &entry.spec.id, since);
    let records = face.read(read).await?.map_err(|error| {
        Problem::new(500, "usage", "the usage cannot be read", error.to_string()).about(id)
    })?;
    Ok(Json(records).into_response())
}

/// A time that a query may name.
fn since(face: &Face, text: Option<&str>) -> Result<Option<WallTime>, Refused> {
    let Some(text) = text else { return Ok(None) };
    let time = hsu_api::parse_time(text, face.answers.control.now().wall);
    Ok(Some(time.ok_or_else(|| {
        bad("no such time", format!("{text:?} is neither a time nor a span"))
            .hint("a span such as 10m or 2h, or an RFC 3339 time")
    })?))
}

async fn capabilities(State(face): State<Face>) -> Response {
    let host =
        hsu_sys::capabilities(&face.answers.control.survey()).into_iter().map(|capability| {
            CapabilityView {
                name: capability.name.to_owned(),
                available: capability.available,
                detail: capability.detail,
            }
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
