//! Following: the log files of processes that somebody else started.
//!
//! They are followed as long as the worker is looked for: its last words may come after
//! its end, and its first ones before it is found.

use std::collections::BTreeMap;

use hsu_discovery::following::{Followed, Following};
use hsu_keeper::pump::PumpOptions;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::logs::Stream;
use hsu_model::spool::SpoolId;
use hsu_model::worker::Unit;
use tracing::error;

use super::Body;
use super::outputs::tell_of_file;

impl Body {
    /// Follows the files of a worker, or not any more.
    pub(super) fn follow_files(&mut self, worker: &WorkerId, wanted: bool) {
        if let (false, Some(following)) = (wanted, &self.following) {
            following.forget(worker.clone());
        }
        let spec = self.fleet.spec(worker).filter(|_| wanted);
        let files = spec.and_then(|spec| match &spec.unit {
            Unit::Unmanaged(unmanaged) => Some(unmanaged.log_files.clone()),
            Unit::Managed(_) | Unit::Departed(_) | _ => None,
        });
        let Some(files) = files.filter(|files| !files.is_empty()) else { return };
        let run = self.fleet.status(worker).and_then(|status| status.run).unwrap_or(RunId(0));
        let plan = |stream| {
            let id = SpoolId { worker: worker.clone(), stream };
            Some((stream, self.logs.pump.spools.get(&id)?.clone()))
        };
        let plans: BTreeMap<_, _> = Stream::ALL.into_iter().filter_map(plan).collect();
        match self.following() {
            Ok(following) => following.follow(worker.clone(), Followed { files, plans, run }),
            Err(error) => error!(%worker, %error, "its log files are not followed"),
        }
    }

    fn following(&mut self) -> std::io::Result<&Following> {
        if self.following.is_none() {
            let (spools, notices) = (self.folder.join("spools"), self.runtime.join("logs.sock"));
            let told = self.told.clone();
            let trouble = Box::new(move |worker: &WorkerId, path: &str, reason| {
                tell_of_file(&told, worker, path, reason);
            });
            self.following = Some(Following::start(PumpOptions { spools, notices }, trouble)?);
        }
        self.following.as_ref().ok_or_else(|| std::io::ErrorKind::Unsupported.into())
    }

    /// Follows everything that was followed before another master was to take over.
    pub(super) fn follow_files_again(&mut self) {
        for worker in self.discovery.looked_for() {
            self.follow_files(&worker, true);
        }
    }

    /// Lines belong to this run from now on.
    pub(super) fn attribute_lines(&self, worker: &WorkerId, run: RunId) {
        if let Some(following) = &self.following {
            following.set_run(worker.clone(), run);
        }
    }
}
