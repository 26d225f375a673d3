//! The pump: started when the first stream is captured, and again when it is lost.

use std::ffi::{CString, OsString};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use hsu_model::id::{RunId, WorkerId};
use hsu_model::logs::Stream;

use super::connections::Connection;
use super::{Keeper, Token};
use crate::descriptor::Descriptor;
use crate::inventory::Found;
use crate::kernel;
use crate::protocol::{FromKeeper, Program, Role};
use crate::spawn::{Launch, Output};

/// After the loss of a keeper its pump has this long to come back before another is started.
const COMEBACK: Duration = Duration::from_millis(300);
/// The rest between two starts of a pump that ends at once.
const REST: Duration = Duration::from_millis(100);
/// How long starts wait for a pump, so that two processes hold their pipes.
const PUMP_WITHIN: Duration = Duration::from_millis(500);
/// A pump that lived this long is started again at once.
const STABLE_AFTER: Duration = Duration::from_secs(1);

/// What the keeper was started with: a setting of the service, such as a library to
/// load first, holds for all roles.
fn own_environment() -> Vec<CString> {
    let entry = |(name, value): (OsString, OsString)| {
        let mut entry = name.into_encoded_bytes();
        entry.push(b'=');
        entry.extend(value.into_encoded_bytes());
        CString::new(entry).ok()
    };
    std::env::vars_os().filter_map(entry).collect()
}

/// What the keeper knows of its pump.
#[derive(Debug)]
pub(super) struct Pumps {
    process: Option<OwnedFd>,
    since: Instant,
    start_at: Option<Instant>,
    /// Before this time an earlier pump may still come back.
    comeback_until: Option<Instant>,
    /// Until when starts wait for a pump.
    awaited_until: Option<Instant>,
    /// It did not come in time, so that nobody waits until one comes.
    is_given_up: bool,
}

impl Pumps {
    pub(super) fn new(found: Found) -> Self {
        let now = Instant::now();
        let comeback_until = (found == Found::Earlier).then_some(now + COMEBACK);
        Self {
            process: None,
            since: now,
            start_at: None,
            comeback_until,
            awaited_until: None,
            is_given_up: false,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        [self.start_at, self.awaited_until].into_iter().flatten().min()
    }
}

impl Keeper {
    /// Holds a read end and gives the pump a copy.
    pub(super) fn hold_pipe(
        &mut self,
        run: RunId,
        worker: WorkerId,
        stream: Stream,
        pipe: OwnedFd,
    ) {
        let copy = pipe.try_clone().ok().map(Descriptor::new);
        let message = FromKeeper::Stream { run, worker: worker.clone(), stream, pipe: copy };
        self.connections.tell(Role::Pump, message);
        self.pipes.insert((run, stream), (worker, pipe));
        self.want_pump();
    }

    /// Whether a worker whose output is captured may start: when the pump has its
    /// pipes too, the loss of the keeper does not break them. A pump that does not
    /// come holds up nobody for long.
    pub(super) fn has_pump(&mut self, now: Instant) -> bool {
        if self.connections.find(Role::Pump).is_some() || self.pumps.is_given_up {
            return true;
        }
        self.want_pump();
        let until = *self.pumps.awaited_until.get_or_insert(now + PUMP_WITHIN);
        self.pumps.is_given_up = until <= now;
        if self.pumps.is_given_up {
            self.pumps.awaited_until = None;
        }
        self.pumps.is_given_up
    }

    fn want_pump(&mut self) {
        let is_there = self.pumps.process.is_some() || self.pumps.start_at.is_some();
        if !is_there {
            let now = Instant::now();
            let comeback = self.pumps.comeback_until.filter(|until| *until > now);
            self.pumps.start_at = Some(comeback.unwrap_or(now));
        }
    }

    /// A pump has come: the one that was started, or one that outlived its keeper.
    pub(super) fn welcome_pump(&mut self, place: usize) {
        let handle = self.connections.get(place).and_then(Connection::take_process);
        self.pumps.start_at = None;
        self.pumps.comeback_until = None;
        self.pumps.awaited_until = None;
        self.pumps.is_given_up = false;
        if self.pumps.process.is_none()
            && let Some(handle) = handle
        {
            let _ = self.epoll.add(handle.as_fd(), Token::Pump.number());
            self.pumps.process = Some(handle);
            self.pumps.since = Instant::now();
        }
        let copies: Vec<_> = self
            .pipes
            .iter()
            .filter_map(|((run, stream), (worker, pipe))| {
                Some((*run, worker.clone(), *stream, pipe.try_clone().ok()?))
            })
            .collect();
        for (run, worker, stream, pipe) in copies {
            let pipe = Some(Descriptor::new(pipe));
            self.connections.tell(Role::Pump, FromKeeper::Stream { run, worker, stream, pipe });
        }
    }

    /// The pump has ended. Only now may another one be started.
    pub(super) fn see_pump_end(&mut self) {
        let has_ended = |handle: &mut OwnedFd| kernel::has_ended(handle.as_fd());
        let Some(handle) = self.pumps.process.take_if(has_ended) else {
            return;
        };
        self.epoll.remove(handle.as_fd());
        if let Some(place) = self.connections.find(Role::Pump) {
            self.hang_up(place);
        }
        self.connections.tell(Role::Master, FromKeeper::PumpLost);
        if !self.pipes.is_empty() {
            let now = Instant::now();
            let rest = if now - self.pumps.since < STABLE_AFTER { REST } else { Duration::ZERO };
            self.pumps.start_at = Some(now + rest);
        }
    }

    pub(super) fn tend_pump(&mut self, now: Instant) {
        if self.pumps.start_at.is_none_or(|due| due > now) {
            return;
        }
        self.pumps.start_at = None;
        let text = |bytes: &std::ffi::OsStr| CString::new(bytes.as_encoded_bytes()).ok();
        let words = [
            Some(c"hsu-pump".to_owned()),
            Some(c"pump".to_owned()),
            Some(c"--runtime".to_owned()),
            text(self.plan.runtime.as_os_str()),
            Some(c"--spools".to_owned()),
            text(self.plan.spools.as_os_str()),
        ];
        let program = Program {
            executable: text(self.plan.executable.as_os_str()).unwrap_or_default(),
            args: words.into_iter().flatten().collect(),
            env: own_environment(),
            cwd: c"/".to_owned(),
        };
        self.keep_door();
        let started = self.workshop.start_now(&Launch {
            program: &program,
            identity: None,
            umask: None,
            nice: None,
            rlimits: &[],
            entrances: &[],
            stdout: Output::Ours,
            stderr: Output::Ours,
            cgroup: None,
            passed: &[],
            ready: None,
            slot: None,
        });
        match started {
            Ok(started) => {
                let _ = self.epoll.add(started.handle.as_fd(), Token::Pump.number());
                self.pumps.process = Some(started.handle);
                self.pumps.since = now;
            }
            Err(_) => self.pumps.start_at = Some(now + REST),
        }
    }

    /// At the end: nothing is left to carry.
    pub(super) fn dismiss_pump(&mut self) {
        self.connections.tell(Role::Pump, FromKeeper::Finish);
        self.flush();
    }
}
