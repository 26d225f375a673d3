//! Limits: the loop's side of them. The warden works, the core judges.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::path::Path;
use std::sync::Arc;

use hsu_core::effect::Slow;
use hsu_core::input::{Input, Toll};
use hsu_keeper::SpawnRequest;
use hsu_model::discovery::Matches;
use hsu_model::exit::Exit;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::limits::{Alert, Limits};
use hsu_model::process::ProcessKey;
use hsu_model::time::Now;
use hsu_model::worker::Unit;
use hsu_sys::limits::{Permission, Prepared, Tally};

use super::Body;
use crate::alerts::{Alerts, Notice};
use crate::warden::{Duty, Message, Warden};

/// What the loop knows of limits.
#[derive(Debug)]
pub(crate) struct Limiting {
    warden: Warden,
    alerts: Option<Alerts>,
    tallies: BTreeMap<WorkerId, Tally>,
}

impl Limiting {
    pub(crate) fn new(warden: Warden) -> Self {
        Self { warden, alerts: None, tallies: BTreeMap::new() }
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
        self.limiting.tallies.remove(&worker);
        self.limiting.warden.add(Duty::LetOut { worker, run });
    }

    /// The process of a run, ours or somebody else's.
    fn process_of(&self, run: RunId) -> Option<ProcessKey> {
        let ours = self.live.get(&run).map(|live| live.process);
        ours.or_else(|| self.discovery.process(run))
    }

    /// A process of a worker with limits has ended: what the kernel did to it within them
    /// the core hears first.
    pub(super) fn before_exit(&mut self, now: Now, worker: &WorkerId, run: RunId, exit: Exit) {
        if self.fleet.limits_of(worker).is_none() {
            return;
        }
        let tally = self.limiting.tallies.get(worker);
        let (kills, refusals) = tally.map_or((0, 0), |tally| (tally.kills(), tally.refusals()));
        if tally.is_some() {
            self.limiting.warden.add(Duty::End { worker: worker.clone() });
        }
        self.step(now, Input::HeldBack { run, toll: Toll { kills, refusals, exit } });
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
                Message::Prepared { worker, run, prepared, tally } => {
                    self.keep_tally(&worker, tally);
                    for reason in &prepared.failures {
                        let (worker, reason) = (worker.clone(), reason.clone());
                        self.step(now, Input::LimitFailed { worker, reason });
                    }
                    self.spawn_prepared(worker, run, Some(prepared));
                }
                Message::TakenUp { worker, tally } => self.keep_tally(&worker, tally),
                Message::Used { run, usage } => self.step(now, Input::Used { run, usage }),
                Message::Failed { worker, reason } => {
                    self.step(now, Input::LimitFailed { worker, reason });
                }
            }
        }
    }

    fn keep_tally(&mut self, worker: &WorkerId, tally: Option<Tally>) {
        if let Some(tally) = tally {
            self.limiting.tallies.insert(worker.clone(), tally);
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
