//! Replacement: another master takes over, and no worker notices.
//!
//! The keeper starts the other one, asks us to let go of the state, and tells us
//! to end once the other has taken everything over. If it fails, we go on.

use std::path::PathBuf;

use hsu_keeper::ToKeeper;
use hsu_model::event::{Actor, EventKind};
use hsu_model::time::Now;
use hsu_sys::lock::StateLock;
use hsu_sys::reactor::MasterSignal;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::{Body, Ending};
use crate::request::Request;

/// How long outputs may go on writing before they are left to the candidate, which
/// goes on where they stopped. The candidate waits for us, so it is short.
const FLUSH_WITHIN: std::time::Duration = std::time::Duration::from_millis(500);

/// How far a replacement has come.
#[derive(Debug, Default)]
pub(crate) struct Replacement {
    reply: Option<oneshot::Sender<Result<(), String>>>,
    /// The state is not ours: nothing is decided and nothing is written.
    pub(super) given_way: bool,
    /// Wishes to end that came meanwhile.
    pub(super) requests: Vec<Request>,
    pub(super) signals: Vec<MasterSignal>,
}

impl Body {
    /// Asks the keeper to start another master and to hand over to it.
    pub(super) fn upgrade(
        &mut self,
        now: Now,
        actor: Actor,
        executable: Option<PathBuf>,
        reply: oneshot::Sender<Result<(), String>>,
    ) {
        if self.replacement.reply.is_some() || self.stopping.is_some() {
            drop(reply.send(Err("the master is ending or being replaced already".to_owned())));
            return;
        }
        match crate::launch::this_program(executable.as_deref()) {
            Ok(program) => {
                info!(%actor, "starting another master to take over");
                let kind = EventKind::Commanded { verb: "upgrade".to_owned() };
                self.record(now, None, actor, kind);
                self.replacement.reply = Some(reply);
                hsu_sys::notify::reloading();
                self.holding.queue(ToKeeper::Upgrade { program });
            }
            Err(error) => drop(reply.send(Err(error.to_string()))),
        }
    }

    pub(super) fn has_given_way(&self) -> bool {
        self.replacement.given_way && self.ending.is_none()
    }

    /// Lets go of the state, so that the candidate can take it.
    pub(super) fn give_way(&mut self, now: Now) {
        self.settle(now);
        self.store.flush();
        self.lock = None;
        self.replacement.given_way = true;
        if let Some(engine) = self.engine.take() {
            engine.stop(FLUSH_WITHIN);
        }
        self.holding.queue(ToKeeper::Yielded);
    }

    /// The candidate failed: the state is ours again.
    pub(super) fn take_back(&mut self) {
        if !std::mem::take(&mut self.replacement.given_way) {
            return;
        }
        match StateLock::acquire(&self.folder) {
            Ok(lock) => self.lock = Some(lock),
            Err(error) => {
                error!(%error, "the state belongs to another master: ending");
                self.ending = Some(Ending::Replaced);
                return;
            }
        }
        self.start_engine();
        // What happened meanwhile was not heard.
        self.seen.clear();
        self.holding.queue(ToKeeper::Inventory);
    }

    pub(super) fn upgrade_failed(&mut self, reason: String) {
        warn!(%reason, "the other master did not take over");
        hsu_sys::notify::ready();
        if let Some(reply) = self.replacement.reply.take() {
            drop(reply.send(Err(reason)));
        }
    }

    /// The other master serves: whoever asked for it is told.
    pub(super) fn finish_upgrade(&mut self) {
        if let Some(reply) = self.replacement.reply.take() {
            drop(reply.send(Ok(())));
        }
    }
}
