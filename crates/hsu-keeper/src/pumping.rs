//! The pump's process: a pump, and its link to the keeper.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use hsu_model::spool::SpoolId;

use crate::descriptor::Descriptor;
use crate::link::Link;
use crate::protocol::{FromKeeper, Program, Role, ToKeeper, VERSION};
use crate::pump::{Pump, PumpOptions};
use crate::{Flushed, KeeperPlan, Received, kernel};

/// The rest between two attempts to reach a keeper that was just lost.
const RETRY: Duration = Duration::from_millis(5);
/// The rest once it is lost for longer than [`QUICK_RETRIES`]; less than a keeper
/// waits for a pump to come back.
const SLOW_RETRY: Duration = Duration::from_millis(150);
/// A lost keeper is replaced within this time, if at all soon.
const QUICK_RETRIES: Duration = Duration::from_secs(1);
/// Without a keeper and without a pipe there is nothing to live for.
const LONELY_LIMIT: Duration = Duration::from_secs(10);

/// Runs the pump until its keeper dismisses it.
///
/// # Errors
/// The kernel's, when the spools cannot be used.
pub fn pump_main(arguments: impl IntoIterator<Item = OsString>) -> io::Result<()> {
    let plan = KeeperPlan::from_arguments(arguments).map_err(io::Error::other)?;
    // Only the keeper, or SIGKILL, ends it: the master's terminal does not.
    let _children = kernel::take_signals()?;
    let options =
        PumpOptions { spools: plan.spools.clone(), notices: plan.runtime.join("logs.sock") };
    let pump = Pump::open(&options).map_err(io::Error::other)?;
    let mut pumping =
        Pumping { plan, pump, link: None, blocked: false, lonely_since: Some(Instant::now()) };
    while pumping.turn()? == Life::GoesOn {}
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    GoesOn,
    Over,
}

#[derive(Debug)]
struct Pumping {
    plan: KeeperPlan,
    pump: Pump,
    link: Option<Link>,
    /// Whether the link takes no more at present.
    blocked: bool,
    lonely_since: Option<Instant>,
}

impl Pumping {
    fn turn(&mut self) -> io::Result<Life> {
        if self.link.is_none() {
            self.connect();
        }
        let patience = match self.lonely_since {
            Some(since) if since.elapsed() < QUICK_RETRIES => Some(RETRY),
            Some(_) => Some(SLOW_RETRY),
            None => self.blocked.then_some(RETRY),
        };
        let turn = self.pump.turn(patience)?;
        let mut lost = false;
        if let Some(link) = &mut self.link {
            for (run, spool) in turn.drained {
                link.queue(ToKeeper::Drained { run, stream: spool.stream });
            }
            let flushed = link.flush();
            self.blocked = flushed.as_ref().is_ok_and(|flushed| *flushed == Flushed::Blocked);
            lost = flushed.is_err();
        }
        // A link that is lost may still hold the only copies of pipes.
        if turn.link || lost {
            match self.hear() {
                Ok(Life::Over) => return Ok(Life::Over),
                Ok(Life::GoesOn) => {}
                Err(_) => lost = true,
            }
        }
        if lost {
            self.pump.forget_link();
            self.link = None;
            self.blocked = false;
            self.lonely_since = Some(Instant::now());
        }
        let lonely = self.lonely_since.is_some_and(|since| since.elapsed() > LONELY_LIMIT);
        let is_idle = self.pump.carried().next().is_none();
        Ok(if lonely && is_idle { Life::Over } else { Life::GoesOn })
    }

    /// Reaches the keeper and hands back what it may have lost.
    fn connect(&mut self) {
        let role = Role::Pump;
        let hello = ToKeeper::Hello { role, version: VERSION, relaunch: Program::default() };
        let Ok(mut link) = Link::connect(&self.plan.runtime, hello) else {
            return;
        };
        let Ok(copy) = link.as_fd().try_clone_to_owned() else {
            return;
        };
        if self.pump.hear(copy).is_err() {
            return;
        }
        for (run, spool, pipe) in self.pump.carried() {
            let pipe = pipe.try_clone_to_owned().ok().map(Descriptor::new);
            link.queue(ToKeeper::Have {
                run,
                worker: spool.worker.clone(),
                stream: spool.stream,
                pipe,
            });
        }
        // At once: until the keeper has them, only we do. A failure shows in the next turn.
        self.blocked = link.flush().is_ok_and(|flushed| flushed == Flushed::Blocked);
        self.link = Some(link);
        self.lonely_since = None;
    }

    fn hear(&mut self) -> io::Result<Life> {
        loop {
            let Some(link) = &mut self.link else {
                return Ok(Life::GoesOn);
            };
            let mut messages = Vec::new();
            let received = link.receive(&mut messages)?;
            for message in messages {
                if self.on_message(message)? == Life::Over {
                    return Ok(Life::Over);
                }
            }
            match received {
                Received::Some => {}
                Received::Nothing => return Ok(Life::GoesOn),
                Received::Closed => return Err(io::Error::from(io::ErrorKind::BrokenPipe)),
            }
        }
    }

    fn on_message(&mut self, message: FromKeeper) -> io::Result<Life> {
        match message {
            FromKeeper::Stream { run, worker, stream, pipe } => {
                if let Some(pipe) = pipe {
                    self.pump.carry(run, SpoolId { worker, stream }, pipe.into_inner())?;
                }
                Ok(Life::GoesOn)
            }
            FromKeeper::Finish => {
                // What is in the pipes still reaches the spools.
                self.pump.turn(Some(Duration::ZERO))?;
                Ok(Life::Over)
            }
            FromKeeper::Welcome { .. } => Ok(Life::GoesOn),
            // These are for masters.
            FromKeeper::Spawned { .. }
            | FromKeeper::SpawnFailed { .. }
            | FromKeeper::Exited { .. }
            | FromKeeper::Held { .. }
            | FromKeeper::Pending { .. }
            | FromKeeper::Kept { .. }
            | FromKeeper::NotKept { .. }
            | FromKeeper::Followed { .. }
            | FromKeeper::Ready { .. }
            | FromKeeper::InventoryEnd
            | FromKeeper::Ping
            | FromKeeper::PumpLost
            | FromKeeper::Yield
            | FromKeeper::Proceed
            | FromKeeper::Resume
            | FromKeeper::Fenced
            | FromKeeper::UpgradeFailed { .. } => Ok(Life::GoesOn),
        }
    }
}
