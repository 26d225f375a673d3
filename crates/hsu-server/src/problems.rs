//! Problems: every refusal as RFC 9457, with the next step.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hsu_api::Problem;
use hsu_core::answer::{Begun, Refusal, Want};
use hsu_runtime::control::{ControlError, Unreplaced};

/// The media type of a problem.
const KIND: &str = "application/problem+json";
/// The longest text of a refusal that is not ours.
const FOREIGN: usize = 4096;

/// A problem as an answer.
pub(crate) fn refuse(problem: Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, KIND)], Json(problem)).into_response()
}

/// Refusals of the HTTP library, such as 405 and 413, as problems too.
pub(crate) async fn translate(response: Response) -> Response {
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE);
    if status.as_u16() < 400 || kind.is_some_and(|kind| kind == KIND) {
        return response;
    }
    let text = axum::body::to_bytes(response.into_body(), FOREIGN).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let title = status.canonical_reason().unwrap_or("refused").to_lowercase();
    let detail = if text.is_empty() { title.clone() } else { text.into_owned() };
    let name = match status.as_u16() {
        405 => "method-not-allowed",
        413 => "too-large",
        _ => "bad-request",
    };
    refuse(Problem::new(status.as_u16(), name, &title, detail))
}

/// A request that makes no sense.
pub(crate) fn bad(title: &str, detail: impl Into<String>) -> Problem {
    Problem::new(400, "bad-request", title, detail)
}

/// Whoever asks may not.
pub(crate) fn forbidden() -> Problem {
    Problem::new(403, "forbidden", "not allowed", "your user may not steer this master")
        .hint("use the user that runs hsu-master, or root")
}

/// No worker has this name.
pub(crate) fn unknown(id: &str) -> Problem {
    Problem::new(404, "unknown-worker", "no such worker", format!("no worker is named {id:?}"))
        .hint("`hsu-master-cli list` names all of them; `history` also knows those that are gone")
        .about(id)
}

/// The master itself says no.
pub(crate) fn unavailable(error: &ControlError) -> Problem {
    let (kind, hint) = match error {
        ControlError::Busy => ("busy", "try again in a moment"),
        ControlError::Ending => ("ending", "try again when the next master serves"),
        ControlError::Journal(_) => {
            ("journal", "see `hsu-master-cli master status` and the free space")
        }
    };
    Problem::new(503, kind, "not at present", error.to_string()).hint(hint)
}

/// The master says no because it ends, and none comes after it.
pub(crate) fn shutting_down() -> Problem {
    let detail = "the master is ending, and begins nothing any more";
    Problem::new(503, "shutting-down", "not any more", detail)
        .hint("`hsu-master-cli list` shows what still runs; `hsu-master --config FILE` starts the next one")
}

/// Another master has not taken over.
pub(crate) fn unreplaced(obstacle: Unreplaced) -> Problem {
    match obstacle {
        Unreplaced::Ending => shutting_down(),
        Unreplaced::UnderWay => Problem::new(409, "conflict", "not now", obstacle.to_string())
            .hint("`hsu-master-cli master status` tells which one serves"),
        Unreplaced::Failed(reason) => {
            let title = "the present master goes on";
            Problem::new(500, "upgrade-failed", title, reason)
                .hint("no worker was disturbed; the master's log has what the other one said")
        }
    }
}

/// An order that a loss of power would forget is not carried out.
fn not_durable(reason: String, want: Want, begun: Begun) -> Problem {
    let (status, kind, title, hint) = match want {
        Want::Room => (507, "no-space", "no space for the state", "free space on its volume"),
        Want::Health => (
            503,
            "not-durable",
            "the state cannot be written",
            "see `hsu-master-cli master status`",
        ),
    };
    let hint = match begun {
        Begun::No => format!(
            "{hint} and try again; `stop` and `signal` are carried out meanwhile, workers and \
             restarts go on"
        ),
        Begun::Waits => format!("{hint}; the order is carried out when the disk takes it"),
    };
    Problem::new(status, kind, title, reason).hint(hint)
}

/// A command was not done.
pub(crate) fn refused(id: &str, refusal: Refusal) -> Problem {
    let problem = match refusal {
        Refusal::Unknown { .. } => return unknown(id),
        Refusal::Conflict { state, operation, hint } => {
            let detail = format!("{id} is {}: cannot {operation} it", state.as_str());
            Problem::new(409, "conflict", "not in this state", detail).hint(hint)
        }
        Refusal::Superseded { by } => {
            let detail = format!("a later {by} of {id} took the place of this command");
            Problem::new(409, "superseded", "superseded", detail)
                .hint(format!("`hsu-master-cli events --worker {id}` tells who asked for it"))
        }
        Refusal::Failed { reason } => {
            Problem::new(500, "failed", "it was tried and failed", reason)
                .hint(format!("`hsu-master-cli why {id}` tells more"))
        }
        Refusal::NotDurable { reason, want, begun } => not_durable(reason, want, begun),
        Refusal::ShuttingDown => shutting_down(),
        Refusal::BeingReplaced => unavailable(&ControlError::Ending),
        _ => Problem::new(500, "failed", "it failed", "the master gave no reason"),
    };
    problem.about(id)
}

#[cfg(test)]
mod tests {
    use hsu_model::id::WorkerId;
    use hsu_model::status::WorkerState;

    use super::*;

    fn unwritten(want: Want, begun: Begun) -> Refusal {
        Refusal::NotDurable { reason: "the disk".to_owned(), want, begun }
    }

    #[test]
    fn every_refusal_has_its_status_its_kind_and_a_next_step() {
        let worker = WorkerId::new("web").unwrap();
        let conflict = Refusal::Conflict {
            state: WorkerState::Stopped,
            operation: "signal",
            hint: "start it first",
        };
        for (refusal, status, kind) in [
            (Refusal::Unknown { worker }, 404, "unknown-worker"),
            (conflict, 409, "conflict"),
            (Refusal::Superseded { by: "stop" }, 409, "superseded"),
            (Refusal::Failed { reason: "no program".to_owned() }, 500, "failed"),
            (Refusal::ShuttingDown, 503, "shutting-down"),
            (Refusal::BeingReplaced, 503, "ending"),
            (unwritten(Want::Room, Begun::No), 507, "no-space"),
            (unwritten(Want::Health, Begun::Waits), 503, "not-durable"),
        ] {
            let problem = refused("web", refusal);
            assert_eq!((problem.status, problem.kind), (status, format!("urn:hsu:problem:{kind}")));
            assert_eq!(problem.worker.as_deref(), Some("web"));
            assert!(problem.hint.is_some(), "{kind}");
        }
    }

    #[test]
    fn a_master_that_cannot_answer_is_unavailable() {
        for error in
            [ControlError::Busy, ControlError::Ending, ControlError::Journal("x".to_owned())]
        {
            assert_eq!(unavailable(&error).status, 503);
        }
    }
}
