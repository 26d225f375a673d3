//! Requests of other threads, and the answers they wait for.

use std::collections::BTreeMap;

use hsu_core::answer::{Answer, Begun, Refusal};
use hsu_core::input::{Input, Ticket};
use hsu_discovery::Told;
use hsu_model::event::{Actor, EventKind};
use hsu_model::time::Now;
use tokio::sync::oneshot;

use super::Body;
use super::books::not_durable;
use crate::chores::Report;
use crate::control::Unreplaced;
use crate::request::Request;

/// Who waits for the answer to which command.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    next: u64,
    waiting: BTreeMap<Ticket, oneshot::Sender<Answer>>,
}

impl Replies {
    fn expect(&mut self, reply: oneshot::Sender<Answer>) -> Ticket {
        self.next += 1;
        let ticket = Ticket(self.next);
        self.waiting.insert(ticket, reply);
        ticket
    }

    pub(super) fn answer(&mut self, ticket: Ticket, answer: Answer) {
        if let Some(reply) = self.waiting.remove(&ticket) {
            // Whoever asked may have gone away.
            let _ = reply.send(answer);
        }
    }
}

impl Body {
    /// Answers whoever asks while another master takes over. The wish to end, and what
    /// became of processes that are watched, is
    /// kept: the state may become ours again.
    pub(super) fn refuse_requests(&mut self) {
        while let Ok(request) = self.requests.try_recv() {
            match request {
                Request::Command { reply, .. } => {
                    drop(reply.send(Answer::Refused(Refusal::BeingReplaced)));
                }
                Request::Upgrade { reply, .. } => {
                    drop(reply.send(Err(Unreplaced::UnderWay)));
                }
                Request::Shutdown { .. }
                | Request::Gone { .. }
                | Request::Sighted(_)
                | Request::Serviced { .. } => {
                    self.replacement.requests.push(request);
                }
                // Whoever has the state is told of it again while it lasts.
                Request::Output { .. } => {}
                // It is heard again, by whoever has the state then.
                Request::Heard(_) => {}
            }
        }
    }

    /// Takes every request that waits.
    pub(super) fn take_requests(&mut self, now: Now) {
        for request in std::mem::take(&mut self.replacement.requests) {
            self.on_request(now, request);
        }
        while let Ok(request) = self.requests.try_recv() {
            self.on_request(now, request);
        }
        while let Some(report) = self.chores.report() {
            match report {
                Report::Killed { worker, run, survivors: pids, left_behind } => {
                    if let Ok(count @ 1..) = u32::try_from(left_behind) {
                        let kind = EventKind::LeftBehind { run, count };
                        self.record(now, Some(worker.clone()), Actor::Master, kind);
                    }
                    self.step(now, Input::Survivors { worker: worker.clone(), run, pids });
                    self.on_kill_reported(now, &worker, run);
                }
                Report::Contained(enclosure) => self.clearing.enclose(enclosure),
            }
        }
        self.hear_warden(now);
        self.hear_looks(now);
        self.release_durable();
    }

    fn on_request(&mut self, now: Now, request: Request) {
        match request {
            // The keeper has not said that we serve: what we promise may be undone by the
            // master that gave way to us.
            Request::Command { reply, .. } if self.candidate => {
                drop(reply.send(Answer::Refused(Refusal::BeingReplaced)));
            }
            Request::Upgrade { reply, .. } if self.candidate => {
                drop(reply.send(Err(Unreplaced::UnderWay)));
            }
            Request::Shutdown { .. } if self.candidate => self.replacement.requests.push(request),
            Request::Command { actor, worker, command, reply } => {
                if let Some(reason) = self.store.health()
                    && !command.outruns_the_disk()
                {
                    // A wish that cannot be made durable is not begun.
                    drop(reply.send(not_durable(&self.store, reason, Begun::No)));
                    return;
                }
                // What came before goes its own way: only the wish waits.
                self.perform_all(now);
                let ticket = self.replies.expect(reply);
                let wished = worker.clone();
                self.step(now, Input::Command { ticket, actor, worker, command });
                self.perform_wish(now, wished, (ticket, command));
            }
            Request::Shutdown { actor, mode, force } => {
                self.shut_down(now, mode, force, actor);
            }
            Request::Sighted(Told { worker, sighting }) => {
                self.step(now, Input::Sighted { worker, sighting });
            }
            Request::Gone { run, exit } => self.on_gone(now, run, exit),
            Request::Serviced { worker, error } => {
                self.step(now, Input::Serviced { worker, error });
            }
            Request::Heard(word) => self.on_word(now, *word),
            Request::Output { worker, news } => self.on_output(now, worker, news),
            Request::Upgrade { actor, executable, mass_stop, reply } => {
                self.upgrade(now, actor, (executable, mass_stop), reply);
            }
        }
    }
}
