//! Upgrade: another master takes over from the one that serves.
//!
//! The candidate is started and says hello; the serving one is asked to let go of
//! its state and answers that it has; the candidate proceeds, takes everything
//! over and is ready; the old one is told to end. When the candidate ends or is
//! late, the old one goes on, but not before the candidate is dead: at no time
//! do two of them have the state. When the old one is lost, the candidate proceeds.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use super::Keeper;
use super::masters::{Loss, Process, Which};
use crate::kernel;
use crate::protocol::{FromKeeper, Program, Role};

/// How long a candidate may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(5);

/// An upgrade under way.
#[derive(Debug)]
pub(super) struct Upgrade {
    pub(super) candidate: Process,
    /// How to start the candidate again, once it serves.
    relaunch: Option<Program>,
    /// When it is ended; none when it is being ended.
    pub(super) ready_by: Option<Instant>,
}

impl Keeper {
    pub(super) fn start_candidate(&mut self, program: &Program) {
        if self.masters.upgrade.is_some() {
            return self.refuse_upgrade("another upgrade is under way".to_owned());
        }
        let candidate = match self.start_program(program, (crate::CANDIDATE_VARIABLE, "1")) {
            Ok(candidate) => candidate,
            Err(reason) => return self.refuse_upgrade(reason),
        };
        let ready_by = Some(Instant::now() + READY_WITHIN);
        self.masters.upgrade = Some(Upgrade { candidate, relaunch: None, ready_by });
        self.watch_process(Which::Candidate);
    }

    fn refuse_upgrade(&mut self, reason: String) {
        self.connections.tell(Role::Master, FromKeeper::UpgradeFailed { reason });
    }

    pub(super) fn welcome_candidate(&mut self, place: usize, relaunch: Program) {
        let pid = self.connections.get(place).map_or(0, |connection| connection.pid);
        match &mut self.masters.upgrade {
            Some(upgrade) if upgrade.candidate.pid == pid => upgrade.relaunch = Some(relaunch),
            _ => return self.hang_up(place),
        }
        if self.masters.serving.is_some() {
            self.connections.tell(Role::Master, FromKeeper::Yield);
        } else {
            self.proceed();
        }
    }

    /// The state is free.
    pub(super) fn proceed(&mut self) {
        self.connections.tell(Role::Candidate, FromKeeper::Proceed);
    }

    /// The candidate serves from now on; the old master is told to end.
    pub(super) fn hand_over(&mut self, place: usize) {
        // One that is being ended is too late.
        let in_time = |upgrade: &mut Upgrade| upgrade.ready_by.is_some();
        let Some(upgrade) = self.masters.upgrade.take_if(in_time) else {
            return;
        };
        self.epoll.remove(upgrade.candidate.handle.as_fd());
        if let Some(old) = self.masters.serving.take() {
            self.epoll.remove(old.handle.as_fd());
        }
        self.connections.tell(Role::Master, FromKeeper::Fenced);
        self.flush();
        // Whatever the old one said and we have not heard is void.
        while let Some(old) = self.connections.find(Role::Master) {
            self.hang_up(old);
        }
        if let Some(connection) = self.connections.get(place) {
            connection.role = Some(Role::Master);
        }
        self.masters.relaunch = upgrade.relaunch;
        self.masters.serve(upgrade.candidate);
        self.watch_process(Which::Serving);
        // What happened while nobody served was told to the old master only.
        self.tell_inventory(Role::Master);
    }

    /// Ends a candidate that is late.
    pub(super) fn tend_upgrade(&mut self, now: Instant) {
        let ready_by = self.masters.upgrade.as_ref().and_then(|upgrade| upgrade.ready_by);
        if ready_by.is_some_and(|due| due <= now) {
            self.end_candidate();
        }
    }

    pub(super) fn end_candidate(&mut self) {
        if let Some(upgrade) = &mut self.masters.upgrade {
            upgrade.ready_by = None;
            let _ = kernel::pidfd_signal(upgrade.candidate.handle.as_fd(), libc::SIGKILL, false);
        }
    }

    /// The candidate may have ended.
    pub(super) fn see_candidate_end(&mut self) {
        if let Some(place) = self.connections.find(Role::Candidate) {
            // It may have become ready before.
            self.hear(place, usize::MAX);
        }
        let has_ended = |upgrade: &mut Upgrade| kernel::has_ended(upgrade.candidate.handle.as_fd());
        let Some(upgrade) = self.masters.upgrade.take_if(has_ended) else { return };
        self.epoll.remove(upgrade.candidate.handle.as_fd());
        let loss = Loss::of(&upgrade.candidate);
        if let Some(place) = self.connections.find(Role::Candidate) {
            self.hang_up(place);
        }
        if self.masters.serving.is_none() {
            return self.lose_master(loss);
        }
        self.connections.tell(Role::Master, FromKeeper::Resume);
        let reason = match upgrade.ready_by {
            Some(_) => "it ended before it was ready",
            None => "it was not ready in time",
        };
        self.refuse_upgrade(reason.to_owned());
    }
}
