//! Outputs: which of them take nothing at present, told whenever that changes.

use hsu_model::event::{Actor, EventKind};
use hsu_model::id::WorkerId;
use hsu_model::spool::SpoolId;
use hsu_model::spool::notice::{Notice, Stuck};
use hsu_model::time::Now;
use tracing::{info, warn};

use super::Body;
use crate::request::{OutputNews, Request, Requests};

impl Body {
    /// Notes what became of an output. What is known already is no news.
    pub(super) fn on_output(&mut self, now: Now, worker: Option<WorkerId>, news: OutputNews) {
        let whose = worker.as_ref().map_or("master", WorkerId::as_str);
        let kind = match news {
            OutputNews::Stuck { output, reason } => {
                if !self.board.set_stuck(worker.as_ref(), &output, Some(&reason)) {
                    return;
                }
                warn!(worker = whose, output, reason, "an output takes nothing");
                EventKind::OutputStuck { output, reason }
            }
            OutputNews::Flows { output } => {
                if !self.board.set_stuck(worker.as_ref(), &output, None) {
                    return;
                }
                info!(worker = whose, output, "an output takes lines again");
                EventKind::OutputFlows { output }
            }
            OutputNews::Dropped { bytes } => {
                warn!(worker = whose, bytes, "output was dropped");
                EventKind::OutputDropped { bytes }
            }
        };
        self.record(now, worker, Actor::Master, kind);
    }
}

/// Tells the loop what the pump says of a spool.
pub(super) fn tell_of_spool(requests: &Requests, notice: Notice) {
    let (spool, news) = match notice {
        Notice::Grew(_) => return,
        Notice::Stuck { spool, why } => {
            let (output, reason) = (name(&spool), explain(why));
            (spool, OutputNews::Stuck { output, reason })
        }
        Notice::Flows(spool) => {
            let output = name(&spool);
            (spool, OutputNews::Flows { output })
        }
        Notice::Dropped { spool, bytes } => (spool, OutputNews::Dropped { bytes }),
    };
    tell(requests, Some(spool.worker), news);
}

/// Tells the loop what the engine says of an output.
pub(super) fn tell_of_output(requests: &Requests, output: &str, stuck: Option<&str>) {
    let output = output.to_owned();
    let news = match stuck {
        Some(reason) => OutputNews::Stuck { output, reason: reason.to_owned() },
        None => OutputNews::Flows { output },
    };
    tell(requests, None, news);
}

/// Tells the loop of a log file that is followed and cannot be read, or can again.
pub(super) fn tell_of_file(
    requests: &Requests,
    worker: &WorkerId,
    path: &str,
    reason: Option<String>,
) {
    let output = path.to_owned();
    let news = match reason {
        Some(reason) => OutputNews::Stuck { output, reason },
        None => OutputNews::Flows { output },
    };
    tell(requests, Some(worker.clone()), news);
}

fn tell(requests: &Requests, worker: Option<WorkerId>, news: OutputNews) {
    if requests.send(Request::Output { worker, news }).is_err() {
        warn!("the loop takes no news of outputs at present");
    }
}

fn name(spool: &SpoolId) -> String {
    spool.stream.as_str().to_owned()
}

fn explain(why: Stuck) -> String {
    match why {
        Stuck::Unread => "formatted outputs are too far behind".to_owned(),
        Stuck::NotAFile => {
            "its log file is no plain file of its own, but a link, a device or a folder".to_owned()
        }
        Stuck::System(error) => std::io::Error::from_raw_os_error(error).to_string(),
    }
}
