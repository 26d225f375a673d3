//! Health: the looks that the core asks for, handed to the prober and heard of.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use hsu_core::input::Input;
use hsu_logs::query::Spools;
use hsu_model::health::{Finding, Source};
use hsu_model::id::{RunId, WorkerId};
use hsu_model::time::Now;
use hsu_model::worker::Unit;
use hsu_probe::{Lineage, Options, Order, Prober, Report, Subject};
use tracing::warn;

use super::Body;

/// The prober, once something is to be looked at, and what it reports.
#[derive(Debug)]
pub(crate) struct Health {
    name: String,
    prober: Option<Prober>,
    /// At most one report for each check that is asked for, so it is bounded by them.
    reporter: Sender<Report>,
    reports: Receiver<Report>,
}

impl Health {
    /// Nothing is started yet; `name` tells masters of one host apart.
    pub(crate) fn new(name: String) -> Self {
        let (reporter, reports) = channel();
        Self { name, prober: None, reporter, reports }
    }
}

impl Body {
    /// Takes a look, or says at once that none can be taken.
    pub(super) fn look(&mut self, worker: WorkerId, run: RunId, check: usize, sequence: u64) {
        let taken = self.order(worker, run, check, sequence).and_then(|order| {
            let prober = self.prober()?;
            let full = |_| "too many checks are under way".to_owned();
            prober.take(order).map_err(full)
        });
        if let Err(why) = taken {
            let (finding, took) = (Finding::Inconclusive { why }, Duration::ZERO);
            self.inputs.push_back(Input::Checked { run, check, sequence, finding, took });
        }
    }

    fn order(
        &self,
        worker: WorkerId,
        run: RunId,
        check: usize,
        sequence: u64,
    ) -> Result<Order, String> {
        let spec = self.fleet.spec(&worker).ok_or("the worker is not configured any more")?;
        let known = spec.health.checks.get(check).ok_or("there is no such check")?;
        let Source::Probed { probe, shared_for, .. } = &known.source else {
            return Err("it follows from other checks".to_owned());
        };
        let process = self.live.get(&run).map(|live| live.process);
        let process = process.or_else(|| self.discovery.process(run));
        let started = self.fleet.started_at(&worker);
        let started = started.map(|(_, wall)| wall).unwrap_or_default();
        let mut subject = Subject::new(worker.clone(), run, process, started);
        if probe.runs_programs() {
            subject.surroundings = match &spec.unit {
                Unit::Managed(managed) => Some(self.launcher.beside(managed)),
                Unit::Unmanaged(_) => process.map(|process| self.launcher.beside_other(process)),
                Unit::Departed(_) | _ => None,
            }
            .map(|beside| Arc::new(beside.map_err(|error| error.to_string())));
        }
        if probe.wants_own_answer() {
            let kinship = self.kinship(&worker, run, process);
            // The keeper is the parent of no process that somebody else has started.
            let is_ours = matches!(spec.unit, Unit::Managed(_));
            subject.lineage = Some(Lineage {
                master: kinship.master.to_owned(),
                keeper: if is_ours { kinship.keeper } else { 0 },
                folder: kinship.folder.map(Path::to_owned),
            });
        }
        let (probe, shared_for) = (Arc::clone(probe), *shared_for);
        let timeout = known.rhythm.timeout;
        Ok(Order { subject, check, sequence, probe, timeout, shared_for })
    }

    fn prober(&mut self) -> Result<&Prober, String> {
        if self.health.prober.is_none() {
            let (reporter, loop_) = (self.health.reporter.clone(), self.told.clone());
            let report = move |report| {
                // A loop that has ended needs no report.
                let _ = reporter.send(report);
                loop_.wake();
            };
            let options = Options {
                name: self.health.name.clone(),
                spools: Spools::new(&self.folder.join("spools")),
                report: Box::new(report),
            };
            let started = Prober::start(options).map_err(|error| {
                warn!(%error, "no checks can be made");
                error.to_string()
            });
            self.health.prober = Some(started?);
        }
        self.health.prober.as_ref().ok_or_else(|| "no checks can be made".to_owned())
    }

    /// Hears what was seen.
    pub(super) fn hear_looks(&mut self, now: Now) {
        while let Ok(report) = self.health.reports.try_recv() {
            let Report { run, check, sequence, finding, took } = report;
            self.changed.extend(self.fleet.worker_of(run).cloned());
            self.step(now, Input::Checked { run, check, sequence, finding, took });
        }
    }
}
