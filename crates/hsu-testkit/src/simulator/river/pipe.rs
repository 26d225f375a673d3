//! The pipes between runs and the pump, and the set that the pump waits for.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use hsu_keeper::pump::carrier::{Ready, Watch};
use hsu_keeper::pump::disk::Pipe;

use super::Bug;
use super::disk::{Drive, EIO, Handle};
use super::ledger::{Tag, Who};

const ENOSPC: i32 = 28;

/// A pipe. The keeper has it too, so it outlives any pump.
#[derive(Debug)]
pub(crate) struct Conduit {
    pub(crate) run: u16,
    pub(crate) spool: usize,
    /// The bytes of the run that wait: from here, to there.
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) capacity: u32,
    /// Whether somebody can still write to it.
    pub(crate) is_open: bool,
}

/// The read end of a pipe.
#[derive(Clone, Debug)]
pub(crate) struct Tap {
    pub(crate) drive: Drive,
    pub(crate) conduit: Rc<RefCell<Conduit>>,
}

impl Conduit {
    pub(crate) fn waits(&self) -> usize {
        (self.to - self.from) as usize
    }
}

impl Pipe<Handle> for Tap {
    type Scratch = ();

    fn splice(&self, file: &Handle, at: u64, most: usize) -> io::Result<usize> {
        let mut store = self.drive.0.borrow_mut();
        let mut conduit = self.conduit.borrow_mut();
        let run = conduit.run + 1;
        store.enter(|| format!("splice run {run} to file {} at {at}", file.node))?;
        if conduit.waits() == 0 {
            return if conduit.is_open { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(0) };
        }
        let most = most.min(conduit.waits()).min(store.faults.sip.unwrap_or(usize::MAX));
        let (run, from) = (conduit.run, conduit.from);
        let last = from + u32::try_from(most).unwrap_or(u32::MAX);
        let bytes: Vec<(u8, Tag)> = (from..last)
            .map(|place| (store.ledger.byte(run, place), Tag::Run(run, place)))
            .collect();
        if store.bug == Some(Bug::ReadsThenWrites) {
            // A pump that is killed between the two has what it read in its memory only.
            conduit.from = last;
            store.enter(|| "write what was read".to_owned())?;
        }
        if store.bug == Some(Bug::LosesOnAFullDisk) && store.faults.room == Some(0) {
            conduit.from = last;
            return Ok(most);
        }
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let moved = store.put(file.node, at, bytes.into_iter(), Who::Pump);
        if moved == 0 {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        if store.bug != Some(Bug::ReadsThenWrites) {
            conduit.from += u32::try_from(moved).unwrap_or(0);
        }
        Ok(moved)
    }

    fn waiting(&self) -> io::Result<usize> {
        self.drive.0.borrow_mut().enter(|| "count what waits".to_owned())?;
        Ok(self.conduit.borrow().waits())
    }

    fn take(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut store = self.drive.0.borrow_mut();
        store.enter(|| format!("take at most {}", buffer.len()))?;
        let mut conduit = self.conduit.borrow_mut();
        let count = conduit.waits().min(buffer.len());
        for slot in buffer.iter_mut().take(count) {
            *slot = store.ledger.byte(conduit.run, conduit.from);
            store.ledger.drop_byte(conduit.run, conduit.from);
            conduit.from += 1;
        }
        Ok(count)
    }

    fn peek(&self, (): &mut (), buffer: &mut [u8]) -> io::Result<usize> {
        let mut store = self.drive.0.borrow_mut();
        store.enter(|| "peek".to_owned())?;
        let conduit = self.conduit.borrow();
        let count = conduit.waits().min(buffer.len());
        if count == 0 && conduit.is_open {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        for (slot, place) in buffer.iter_mut().take(count).zip(conduit.from..) {
            *slot = store.ledger.byte(conduit.run, place);
        }
        Ok(count)
    }

    fn capacity(&self) -> io::Result<usize> {
        Ok(self.conduit.borrow().capacity as usize)
    }

    fn grow(&self, _size: usize) -> io::Result<usize> {
        // The limit of the user is reached.
        Err(io::Error::from_raw_os_error(EIO))
    }
}

/// The set of pipes that a pump waits for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Set(Rc<RefCell<BTreeMap<u64, Tap>>>);

impl Watch<Tap> for Set {
    fn add(&self, pipe: &Tap, token: u64) -> io::Result<()> {
        self.0.borrow_mut().insert(token, pipe.clone());
        Ok(())
    }

    fn remove(&self, pipe: &Tap) -> io::Result<()> {
        self.0.borrow_mut().retain(|_, tap| !Rc::ptr_eq(&tap.conduit, &pipe.conduit));
        Ok(())
    }
}

impl Set {
    /// Which pipes have something to say.
    pub(crate) fn ready(&self) -> Vec<Ready> {
        let taps = self.0.borrow();
        let ready = taps.iter().map(|(token, tap)| {
            let conduit = tap.conduit.borrow();
            Ready { token: *token, readable: conduit.waits() > 0, hung_up: !conduit.is_open }
        });
        ready.filter(|ready| ready.readable || ready.hung_up).collect()
    }
}
