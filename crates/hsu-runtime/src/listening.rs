//! Listening: one thread waits for the words of workers and hands them to the loop.
//!
//! A word is taken away from its socket only when the loop says that it is done:
//! when a master is killed in between, the next one hears it again.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use hsu_model::id::{RunId, WorkerId};
use hsu_sys::ears::{Ears, Heard};
use hsu_sys::listening::Owned;
use tracing::warn;

use crate::request::{Request, Requests};

/// The rest before a word is heard again that the loop did not take.
const AGAIN: Duration = Duration::from_millis(20);

/// Who is heard at an ear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Speaker {
    /// A worker, at its socket.
    Worker(WorkerId),
    /// A run, at its descriptor.
    Run(RunId),
    /// Nobody: what a worker has left here is dropped when its other end is gone.
    Stored(WorkerId, String),
}

/// Something that was heard, and whom to tell that it is done.
#[derive(Debug)]
pub(crate) struct Word {
    /// The ear.
    pub(crate) number: u64,
    /// What was heard.
    pub(crate) heard: Heard,
    /// It is done; dropped, it is heard again.
    pub(crate) done: SyncSender<()>,
}

/// Ears and who speaks at them. There is no thread before somebody is listened to.
#[derive(Debug)]
pub(crate) struct Listening {
    requests: Requests,
    thread: Option<(Arc<Ears>, JoinHandle<()>)>,
    speakers: BTreeMap<u64, Speaker>,
    next: u64,
}

impl Listening {
    pub(crate) fn new(requests: Requests) -> Self {
        Self { requests, thread: None, speakers: BTreeMap::new(), next: 0 }
    }

    /// Who speaks at an ear.
    pub(crate) fn speaker(&self, number: u64) -> Option<&Speaker> {
        self.speakers.get(&number)
    }

    /// Listens to somebody from now on, and no more to what was heard of them before.
    ///
    /// # Errors
    /// The kernel's, when it has no more threads or descriptors.
    pub(crate) fn listen(&mut self, speaker: Speaker, ear: Owned) -> io::Result<()> {
        self.forget(&speaker);
        let ears = self.ears()?;
        let number = self.next;
        self.next += 1;
        match &speaker {
            Speaker::Worker(_) | Speaker::Run(_) => ears.listen(number, ear),
            Speaker::Stored(..) => ears.watch(number, ear),
        }
        self.speakers.insert(number, speaker);
        Ok(())
    }

    /// Asks somebody to be heard out, which [`Heard::Silence`] tells; whether they are
    /// listened to at all.
    pub(crate) fn ask(&self, speaker: &Speaker) -> bool {
        let known = self.speakers.iter().find(|(_, known)| *known == speaker);
        let asked = known.zip(self.thread.as_ref());
        asked.map(|((number, _), (ears, _))| ears.ask(*number)).is_some()
    }

    /// Listens to somebody no more.
    pub(crate) fn forget(&mut self, speaker: &Speaker) {
        let known = self.speakers.iter().find(|(_, known)| *known == speaker);
        if let Some((number, (ears, _))) =
            known.map(|(number, _)| *number).zip(self.thread.as_ref())
        {
            ears.forget(number);
            self.speakers.remove(&number);
        }
    }

    fn ears(&mut self) -> io::Result<Arc<Ears>> {
        if let Some((ears, _)) = &self.thread {
            return Ok(Arc::clone(ears));
        }
        let ears = Arc::new(Ears::new()?);
        let (heard, requests) = (Arc::clone(&ears), self.requests.clone());
        let thread = std::thread::Builder::new()
            .name("hsu-ears".to_owned())
            .stack_size(128 * 1024)
            .spawn(move || hear(&heard, &requests))?;
        self.thread = Some((Arc::clone(&ears), thread));
        Ok(ears)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some((ears, thread)) = self.thread.take() {
            ears.close();
            if thread.join().is_err() {
                warn!("the thread that listens to workers had crashed");
            }
        }
    }
}

fn hear(ears: &Ears, requests: &Requests) {
    while let Some((number, heard)) = ears.wait() {
        let is_datagram = matches!(heard, Heard::Datagram(_));
        // One word at a time: the next one waits in its socket.
        let (done, told) = sync_channel(1);
        let word = Word { number, heard, done };
        let sent = requests.send(Request::Heard(Box::new(word)));
        if sent.is_ok() && told.recv().is_ok() {
            if is_datagram {
                ears.take(number);
            }
        } else {
            std::thread::sleep(AGAIN);
        }
    }
}
