//! Limits: the loop's side of them. The warden works, the core judges.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::path::Path;
use std::sync::Arc;

use hsu_core::effect::Slow;
use hsu_core::input::Input;
use hsu_keeper::SpawnRequest;
use hsu_model::discovery::Matches;
use hsu_model::exit::Exit;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::limits::{Alert, Limits};
use hsu_model::process::ProcessKey;
use hsu_model::time::Now;
use hsu_model::worker::Unit;
use hsu_sys::limits::{KillCounter, Permission, Prepared};

use super::Body;
use super::holding::SIGKILL;
use crate::alerts::{Alerts, Notice};
use crate::warden::{Duty, Message, Warden};

/// What the loop knows of limits.
#[derive(Debug)]
pub(crate) struct Limiting {
    warden: Warden,
    alerts: Option<Alerts>,
    counters: BTreeMap<WorkerId, KillCounter>,
}

impl Limiting {
    pub(crate) fn new(warden: Warden) -> Self {
        Self { warden, alerts: None, counters: BTreeMap::new() }
    }

    /// Another master goes on with what is there.
    pub(super) fn leave(&self) {
        self.warden.add(Duty::Leave);
    }
}

impl Body {
    /// Whether the start of a worker waits for its groups: it has limits.
    pub(super) fn prepare_limits(&self, worker: &WorkerId, run: RunId) -> bool {
        let Some(limits) = self.fleet.limits_of(worker).cloned() else { return false };
        self.limiting.warden.add(Duty::Prepare { worker: worker.clone(), run, limits });
        true
    }

    /// Takes up the limits of a process that an earlier master started.
    pub(super) fn take_up_limits(&self, worker: &WorkerId, run: RunId) {
        let Some(live) = self.live.get(&run) else { return };
        if let Some(limits) = self.fleet.limits_of(worker).cloned() {
            let (worker, process) = (worker.clone(), live.process);
            self.limiting.warden.add(Duty::TakeUp { worker, process, limits });
        }
    }

    /// Puts a process that somebody else started under the limits of its worker, where
    /// that is allowed; else it is only looked at.
    pub(super) fn enclose(&self, worker: &WorkerId, run: RunId, process: ProcessKey) {
        let Some(limits) = self.fleet.limits_of(worker).cloned() else { return };
        let Some(Unit::Unmanaged(unit)) = self.fleet.spec(worker).map(|spec| &spec.unit) else {
            return;
        };
        let denied = |why: &str| Permission::Denied(why.to_owned());
        let permission = match (unit.rights.can_limit, unit.discovery.matches) {
            (_, Matches::Many) => denied("of several processes each is only looked at"),
            (false, Matches::One) => denied("`control.can_limit` does not allow more"),
            (true, Matches::One) => Permission::Granted,
        };
        let worker = worker.clone();
        self.limiting.warden.add(Duty::Enclose { worker, run, process, limits, permission });
    }

    /// Lets such a process go on as it was.
    pub(super) fn let_out(&mut self, worker: WorkerId, run: RunId) {
        self.limiting.counters.remove(&worker);
        self.limiting.warden.add(Duty::LetOut { worker, run });
    }

    /// The process of a run, ours or somebody else's.
    fn process_of(&self, run: RunId) -> Option<ProcessKey> {
        let ours = self.live.get(&run).map(|live| live.process);
        ours.or_else(|| self.discovery.process(run))
    }

    /// A process of a worker with limits has ended: if the kernel killed it for want of
    /// memory, the core hears of it first.
    pub(super) fn before_exit(&mut self, now: Now, worker: &WorkerId, run: RunId, exit: Exit) {
        let Some(counter) = self.limiting.counters.get(worker) else { return };
        let kills = counter.count();
        self.limiting.warden.add(Duty::End { worker: worker.clone() });
        if kills > 0 && matches!(exit, Exit::Signal { number: SIGKILL, .. }) {
            self.step(now, Input::OutOfMemory { run, kills });
        }
    }

    /// Looks at what a run uses.
    pub(super) fn measure(&mut self, worker: WorkerId, run: RunId, limits: Arc<Limits>) {
        match self.process_of(run) {
            Some(process) => {
                self.limiting.warden.add(Duty::Measure { worker, run, process, limits });
            }
            None => self.inputs.push_back(Input::Used { run, usage: None }),
        }
    }

    /// Slows a run down, or lets it go on.
    pub(super) fn throttle(
        &self,
        worker: WorkerId,
        run: RunId,
        limits: Arc<Limits>,
        rule: usize,
        how: Slow,
    ) {
        if let Some(process) = self.process_of(run) {
            self.limiting.warden.add(Duty::Throttle { worker, process, limits, rule, how });
        }
    }

    /// Tells whoever is to be told.
    pub(super) fn alert(&mut self, now: Now, worker: WorkerId, said: (String, String), to: Alert) {
        if to.command.is_empty() && to.webhook.is_none() {
            return;
        }
        if self.limiting.alerts.is_none() {
            let reporter = self.limiting.warden.reporter();
            self.limiting.alerts = Alerts::start(reporter, self.told.clone()).ok();
        }
        let (limit, text) = said;
        let notice = Notice { worker: worker.clone(), limit, text, at: now.wall, alert: to };
        if !self.limiting.alerts.as_ref().is_some_and(|alerts| alerts.tell(notice)) {
            let reason = "an alert was not told: too many wait already".to_owned();
            self.inputs.push_back(Input::LimitFailed { worker, reason });
        }
    }

    /// Takes what the warden has to say.
    pub(super) fn hear_warden(&mut self, now: Now) {
        while let Some(message) = self.limiting.warden.message() {
            match message {
                Message::Prepared { worker, run, prepared, counter } => {
                    self.count_kills(&worker, counter);
                    for reason in &prepared.failures {
                        let (worker, reason) = (worker.clone(), reason.clone());
                        self.step(now, Input::LimitFailed { worker, reason });
                    }
                    self.spawn_prepared(worker, run, Some(prepared));
                }
                Message::TakenUp { worker, counter } => self.count_kills(&worker, counter),
                Message::Used { run, usage } => self.step(now, Input::Used { run, usage }),
                Message::Failed { worker, reason } => {
                    self.step(now, Input::LimitFailed { worker, reason });
                }
            }
        }
    }

    fn count_kills(&mut self, worker: &WorkerId, counter: Option<KillCounter>) {
        if let Some(counter) = counter {
            self.limiting.counters.insert(worker.clone(), counter);
        }
    }
}

/// Adds what limits need to what is asked of the keeper. Of two limits of one resource
/// the lower one holds.
pub(super) fn add_limits(request: &mut SpawnRequest, prepared: Prepared, nice: Option<i32>) {
    request.nice = request.nice.or(nice);
    for limit in prepared.rlimits {
        let known = request.rlimits.iter_mut().find(|known| known.resource == limit.resource);
        match known {
            Some(known) => {
                known.soft = known.soft.min(limit.soft);
                known.hard = known.hard.min(limit.hard);
            }
            None => request.rlimits.push(limit),
        }
    }
    let text = |path: &Path| CString::new(path.as_os_str().as_encoded_bytes()).ok();
    request.entrances = prepared.entrances.iter().filter_map(|path| text(path)).collect();
}
