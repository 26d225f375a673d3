//! Families: whatever a worker has started is gone after a stop, and nothing else is.
//!
//! Promise R7. Relatives leave the group, the session and their parent, ignore
//! SIGTERM or multiply by the thousand; on a host with cgroups and on one without.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::report::{Times, Toll, Unknown};
use super::strangers::Strangers;
use super::{Load, RECOVERY_LIMIT, Random, Report};
use crate::error::TestError;
use crate::fleet::{Fleet, FleetBuilder, Worker};
use crate::patience::eventually;
use crate::process::Process;
use crate::sandbox::Sandbox;

/// Relatives that `--fork-family` starts, the worker counted.
const RELATIVES: usize = 4;
/// How long a bomb may take to go off.
const BOMB_LIMIT: Duration = Duration::from_secs(90);
/// How long nothing may be left after the answer to a stop.
const GONE_LIMIT: Duration = Duration::from_secs(1);

/// How many families are ended, and how.
#[derive(Clone, Debug)]
pub struct Families {
    /// How many ends of families.
    pub kills: u32,
    /// How many of them are bombs.
    pub bombs: u32,
    /// How many processes a bomb makes.
    pub size: u32,
    /// Whether the host has cgroups.
    pub host: Host,
    /// What runs besides and must not notice.
    pub load: Load,
    /// What all chance comes from.
    pub seed: u64,
}

/// What the host offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// The cgroups that this machine has.
    AsItIs,
    /// None: an empty folder is where they should be.
    WithoutCgroups,
}

/// What was done so far.
#[derive(Debug, Default)]
struct Course {
    kills: u32,
    processes: usize,
    stops: Times,
    bombs: Times,
    findings: Vec<String>,
}

impl Families {
    /// Runs the campaign in a sandbox of its own.
    ///
    /// # Errors
    /// [`TestError`] when the fleet does not start or stop, or a family does not come.
    pub fn run(&self) -> Result<Report, TestError> {
        let sandbox = Sandbox::new()?;
        if self.host == Host::WithoutCgroups {
            sandbox.mount_disk("/sys/fs/cgroup".as_ref(), 4096)?;
        }
        let loaded = self.load.start(&sandbox, |builder| self.add_workers(builder))?;
        let strangers = Strangers::gather(&sandbox, 10)?;
        let mut random = Random::new(self.seed);
        let mut course = Course::default();
        let relatives = self.kills.saturating_sub(self.bombs);
        for number in 0..self.kills {
            let is_bomb =
                self.bombs > 0 && number.is_multiple_of(relatives / self.bombs.max(1) + 1);
            if is_bomb && course.bombs.len() < self.bombs.try_into().unwrap_or(0) {
                course.bomb(&loaded.fleet, &sandbox, self.size.try_into().unwrap_or(0))?;
            } else {
                course.family(&loaded.fleet, &sandbox, &mut random)?;
            }
        }
        let (births, signalled) = strangers.disperse()?;
        let words = loaded.fleet.own_words();
        let toll = loaded.finish()?;
        Ok(self.report(course, births, signalled, &toll, &words))
    }

    fn report(
        &self,
        course: Course,
        births: u64,
        signalled: Vec<String>,
        toll: &Toll,
        words: &str,
    ) -> Report {
        let means = words.split("trees of processes are killed by ").nth(1);
        let means = means.and_then(|rest| rest.lines().next()).unwrap_or("unknown means");
        let means = means.split(" workers=").next().unwrap_or(means);
        let mut findings = course.findings;
        findings.extend(toll.findings(Unknown::Never));
        let (strangers, bombs) = (signalled.len(), course.bombs.len());
        findings.extend(signalled);
        Report {
            totals: format!(
                "{} kills of families, {} processes, by {means}; {toll}; strangers {births} \
                 signalled {strangers}; findings {}; gone after {}; {bombs} bombs of {} gone after {}",
                course.kills,
                course.processes,
                findings.len(),
                course.stops,
                self.size,
                course.bombs,
            ),
            findings,
        }
    }

    fn add_workers<'a>(&self, builder: FleetBuilder<'a>) -> Result<FleetBuilder<'a>, TestError> {
        let dummy = crate::binaries::binary("hsu-dummy")?;
        let grace = Duration::from_millis(200);
        let worker = |id: &str, arguments: &[&str]| {
            let arguments = arguments.iter().copied().map(str::to_owned);
            Worker::new(id, &dummy).arguments(arguments).grace(grace)
        };
        let size = self.size.to_string();
        Ok(builder
            .worker(worker("family-0", &["--fork-family"]))
            .worker(worker("family-1", &["--fork-family", "--ignore-term"]))
            .worker(worker("bomb", &["--fork-bomb", &size]).entry("enabled", false)))
    }
}

impl Course {
    /// Ends one family in one of several ways and looks for what is left of it.
    fn family(
        &mut self,
        fleet: &Fleet<'_>,
        sandbox: &Sandbox,
        random: &mut Random,
    ) -> Result<(), TestError> {
        let id = format!("family-{}", random.below(2));
        let before = grown(sandbox, &id, RELATIVES, RECOVERY_LIMIT)?;
        let is_started_again = match random.below(4) {
            0 => end(fleet, &["stop", &id]).map(|()| false),
            1 => end(fleet, &["stop", "--force", &id]).map(|()| false),
            2 => end(fleet, &["restart", &id]).map(|()| true),
            _ => crash(fleet, sandbox, &id).map(|()| true),
        }?;
        self.kills += 1;
        self.processes += before.len();
        let begin = Instant::now();
        let gone = eventually("the family is gone", GONE_LIMIT, || gone(&before));
        self.stops.add(begin.elapsed());
        if let Err(error) = gone {
            self.findings.push(format!("{id}: {error}"));
        }
        if is_started_again { Ok(()) } else { end(fleet, &["start", &id]) }
    }

    /// Lets thousands come and ends them by one stop.
    fn bomb(&mut self, fleet: &Fleet<'_>, sandbox: &Sandbox, size: usize) -> Result<(), TestError> {
        end(fleet, &["enable", "bomb"])?;
        end(fleet, &["start", "bomb"])?;
        let before = grown(sandbox, "bomb", size + 1, BOMB_LIMIT)?;
        let begin = Instant::now();
        end(fleet, &["stop", "--force", "bomb"])?;
        let gone = eventually("the bomb is gone", GONE_LIMIT, || gone(&before));
        self.bombs.add(begin.elapsed());
        self.kills += 1;
        self.processes += before.len();
        if let Err(error) = gone {
            self.findings.push(format!("bomb: {error}"));
        }
        Ok(())
    }
}

/// Waits until a worker has so many processes.
fn grown(
    sandbox: &Sandbox,
    id: &str,
    size: usize,
    within: Duration,
) -> Result<Vec<Process>, TestError> {
    eventually(&format!("{id} has {size} processes"), within, || {
        let mut all = sandbox.processes().map_err(|error| error.to_string())?;
        all.retain(|process| process.variable("HSU_WORKER_ID").as_deref() == Some(id));
        if all.len() >= size { Ok(all) } else { Err(format!("it has {}", all.len())) }
    })
}

/// Whether nothing of these is left, zombies included.
fn gone(processes: &[Process]) -> Result<(), String> {
    let is_there = |one: &&Process| {
        Process::read(one.outer_pid).is_some_and(|now| now.started_at == one.started_at)
    };
    let left: Vec<_> = processes.iter().filter(is_there).collect();
    match left.first() {
        None => Ok(()),
        Some(one) => Err(format!("{} are left, such as {one:?}", left.len())),
    }
}

fn end(fleet: &Fleet<'_>, words: &[&str]) -> Result<(), TestError> {
    fleet.tell(words).map(drop)
}

/// The first process of a worker ends; its relatives must go before the next one comes.
fn crash(fleet: &Fleet<'_>, sandbox: &Sandbox, id: &str) -> Result<(), TestError> {
    let first = fleet.wait_for(id, "running", RECOVERY_LIMIT)?.pid();
    if let Some(process) = first.map(|pid| sandbox.process(pid)).transpose()?.flatten() {
        process.signal(Signal::KILL)?;
    }
    fleet.wait_until(id, "another process", RECOVERY_LIMIT, |view| {
        view.state() == "running" && view.pid() != first
    })?;
    Ok(())
}
