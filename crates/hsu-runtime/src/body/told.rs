//! What workers say, made into inputs: whose words count, and when they are done.

use std::sync::mpsc::SyncSender;

use hsu_core::input::Input;
use hsu_keeper::Descriptor;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::notify::{Notify, NotifyAccess, Said};
use hsu_model::process::ProcessKey;
use hsu_model::time::Now;
use hsu_model::worker::Unit;
use hsu_sys::ears::{Datagram, Heard, Sender};
use tracing::warn;

use super::Body;
use super::succession::Unsaid;
use crate::listening::{Speaker, Word};
use crate::notice::Notice;

/// Words that are acted upon, until what follows from them is durable.
#[derive(Debug, Default)]
pub(crate) struct Words {
    /// Those of the present round.
    fresh: Vec<SyncSender<()>>,
    /// Those of earlier rounds, with the batch that holds what followed.
    held: Vec<(u64, SyncSender<()>)>,
}

impl Words {
    /// What followed from the words of this round is in a batch.
    pub(super) fn hold(&mut self, number: u64) {
        self.held.extend(self.fresh.drain(..).map(|done| (number, done)));
    }

    /// Says of everything that is durable that it is done.
    pub(super) fn release(&mut self, durable: u64) {
        self.held.retain(|(number, done)| {
            if *number > durable {
                return true;
            }
            // Whoever waits for this is gone only with the master.
            let _ = done.try_send(());
            false
        });
    }
}

/// Whether somebody may speak for a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Counts,
    Stranger,
}

impl Body {
    /// Lets go of words whose consequences are durable, or cannot be at present.
    pub(super) fn release_words(&mut self) {
        let stuck = self.store.health().is_some();
        self.words.release(if stuck { u64::MAX } else { self.store.durable() });
    }

    /// What a word asks for is done, as soon as it is durable.
    pub(super) fn finish_word(&mut self, done: SyncSender<()>) {
        self.words.fresh.push(done);
    }

    /// Somebody was heard.
    pub(super) fn on_word(&mut self, now: Now, word: Word) {
        let Word { number, heard, done } = word;
        match (self.listening.speaker(number).cloned(), heard) {
            (Some(Speaker::Run(run)), Heard::Line) => {
                if self.is_starting(run) {
                    // Heard again, once its process is known.
                    return;
                }
                self.step(now, Input::Told { run, said: Said::Ready });
            }
            (Some(Speaker::Worker(worker)), Heard::Datagram(datagram)) => {
                let run = self.fleet.status(&worker).and_then(|status| status.run);
                if run.is_some_and(|run| self.is_starting(run)) {
                    return;
                }
                return self.on_datagram(now, &worker, datagram, done);
            }
            (Some(Speaker::Worker(worker)), Heard::Silence) => self.on_silence(now, &worker),
            (Some(Speaker::Stored(worker, label)), Heard::HungUp) => {
                self.on_hung_up(&worker, &label);
            }
            // Nobody, or an end without a word.
            (None | Some(Speaker::Run(_) | Speaker::Worker(_) | Speaker::Stored(..)), _) => {}
        }
        self.finish_word(done);
    }

    /// Whether a run was asked for and its process is not known yet.
    fn is_starting(&self, run: RunId) -> bool {
        self.fleet.worker_of(run).is_some()
            && !self.live.contains_key(&run)
            && self.parting.ended(run).is_none()
    }

    fn on_datagram(
        &mut self,
        now: Now,
        worker: &WorkerId,
        datagram: Datagram,
        done: SyncSender<()>,
    ) {
        let Some((notify, run, process)) = self.speaking(worker) else {
            // It is not running: the words of a run that is over.
            return self.finish_word(done);
        };
        if self.standing(worker, run, (&notify, process), &datagram.sender) == Standing::Stranger {
            let pid = datagram.sender.family.first();
            warn!(%worker, pid, "a notice of a process that does not speak for the worker was ignored");
            return self.finish_word(done);
        }
        let notice = Notice::parse(&datagram.text);
        let said = Unsaid { run, notice, descriptors: datagram.descriptors, done };
        // Who counts comes first: what else is said is said of that one.
        match said.notice.main_pid {
            Some(pid) => self.on_named(now, worker, pid, said),
            None => self.say(worker, said),
        }
    }

    /// Does what else a notice asks for.
    pub(super) fn say(&mut self, worker: &WorkerId, said: Unsaid) {
        let Unsaid { run, mut notice, descriptors, done } = said;
        let said = std::mem::take(&mut notice.said).into_iter();
        self.inputs.extend(said.map(|said| Input::Told { run, said }));
        if notice.store {
            self.store(worker, &notice, descriptors);
        }
        if notice.remove
            && let Some(name) = &notice.name
        {
            self.unstore(worker, name);
        }
        self.finish_word(done);
    }

    /// How a worker is listened to, and the process whose words count. One that has ended
    /// counts until it is settled that its run has ended with it.
    fn speaking(&self, worker: &WorkerId) -> Option<(Notify, RunId, ProcessKey)> {
        let spec = self.fleet.spec(worker)?;
        let Unit::Managed(managed) = &spec.unit else { return None };
        let status = self.fleet.status(worker)?;
        let run = status.run?;
        let process = status.process.or_else(|| Some(self.parting.ended(run)?.process))?;
        Some((managed.notify.clone(), run, process))
    }

    /// Where a run says by a line that it is ready.
    pub(super) fn on_ready_pipe(&mut self, run: RunId, pipe: Option<Descriptor>) {
        let Some(pipe) = pipe.map(Descriptor::into_inner) else { return };
        if let Err(error) = self.listening.listen(Speaker::Run(run), pipe) {
            warn!(%run, %error, "it cannot be heard when a worker is ready");
        }
    }

    /// A process that is gone can prove nothing more; what it said at the socket of its
    /// own user's worker counts, because the loss of a master must not lose it.
    fn standing(
        &self,
        worker: &WorkerId,
        run: RunId,
        (notify, process): (&Notify, ProcessKey),
        sender: &Sender,
    ) -> Standing {
        let of_its_user = || sender.uid.is_some() && sender.uid == hsu_sys::ears::user(process.pid);
        let first = sender.family.first();
        // Whoever was born of a process that is gone is known by its bond to the run.
        let is_bound = || {
            first.is_some_and(|pid| self.kinship(worker, run, Some(process)).bond(*pid).is_some())
        };
        let counts = match notify.access {
            NotifyAccess::None => false,
            NotifyAccess::Main => first == Some(&process.pid),
            NotifyAccess::All => {
                sender.family.contains(&process.pid)
                    || sender.is_gone && of_its_user()
                    || !sender.is_gone && is_bound()
            }
        };
        if counts { Standing::Counts } else { Standing::Stranger }
    }
}
