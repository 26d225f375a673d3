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
                self.on_datagram(now, &worker, datagram);
            }
            // Nobody, or an end without a word.
            (None | Some(Speaker::Run(_) | Speaker::Worker(_)), _) => {}
        }
        self.words.fresh.push(done);
    }

    /// Whether a run was asked for and its process is not known yet.
    fn is_starting(&self, run: RunId) -> bool {
        self.fleet.worker_of(run).is_some() && !self.live.contains_key(&run)
    }

    fn on_datagram(&mut self, now: Now, worker: &WorkerId, datagram: Datagram) {
        let Some((notify, run, process)) = self.speaking(worker) else {
            // It is not running: the words of a run that is over.
            return;
        };
        if standing(&notify, process, &datagram.sender) == Standing::Stranger {
            let pid = datagram.sender.family.first();
            warn!(%worker, pid, "a notice of a process that does not speak for the worker was ignored");
            return;
        }
        let notice = Notice::parse(&datagram.text);
        for said in notice.said {
            self.step(now, Input::Told { run, said });
        }
        if notice.store {
            self.store(worker, notice.name.clone(), datagram.descriptors);
        }
        if notice.remove
            && let Some(name) = &notice.name
        {
            self.unstore(worker, name);
        }
    }

    /// How a worker is listened to, and the process whose words count.
    fn speaking(&self, worker: &WorkerId) -> Option<(Notify, RunId, ProcessKey)> {
        let spec = self.fleet.spec(worker)?;
        let Unit::Managed(managed) = &spec.unit else { return None };
        let status = self.fleet.status(worker)?;
        Some((managed.notify.clone(), status.run?, status.process?))
    }

    /// Where a run says by a line that it is ready.
    pub(super) fn on_ready_pipe(&mut self, run: RunId, pipe: Option<Descriptor>) {
        let Some(pipe) = pipe.map(Descriptor::into_inner) else { return };
        if let Err(error) = self.listening.listen(Speaker::Run(run), pipe) {
            warn!(%run, %error, "it cannot be heard when a worker is ready");
        }
    }
}

/// A process that is gone can prove nothing more; what it said at the socket of its
/// own user's worker counts, because the loss of a master must not lose it.
fn standing(notify: &Notify, process: ProcessKey, sender: &Sender) -> Standing {
    let of_its_user = || sender.uid.is_some() && sender.uid == hsu_sys::ears::user(process.pid);
    let counts = match notify.access {
        NotifyAccess::None => false,
        NotifyAccess::Main => sender.family.first() == Some(&process.pid),
        NotifyAccess::All => {
            sender.family.contains(&process.pid) || sender.is_gone && of_its_user()
        }
    };
    if counts { Standing::Counts } else { Standing::Stranger }
}
