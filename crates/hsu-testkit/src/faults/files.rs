//! Files: a configuration that is half-written, and folders that are deleted.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::Form;
use super::watch::Watch;
use crate::chaos::{Load, RECOVERY_LIMIT, Random, Report, STOP_LIMIT, Unknown, answers};
use crate::error::TestError;
use crate::fleet::{Fleet, FleetBuilder, Role, Worker};
use crate::patience::eventually;
use crate::sandbox::Sandbox;

/// Workers of the old file, of which half are in the new one too.
const WORKERS: u32 = 8;

/// A file that is cut off anywhere changes nothing; one that is whole, everything,
/// even when masters are killed while it is taken up (R19).
pub(super) fn half_written(form: Form, seed: u64) -> Result<Report, TestError> {
    let cuts = form.pick(8, 150);
    let rounds = form.pick(2, 10);
    let sandbox = Sandbox::new()?;
    let mut builder = FleetBuilder::new(&sandbox);
    for number in 0..WORKERS {
        builder = builder.worker(sleeper(number));
    }
    let mut fleet = builder.start()?;
    let mut random = Random::new(seed);
    let mut findings = Vec::new();
    let (mut refused, mut changed, mut kills) = (0, 0, 0);
    for round in 0..rounds {
        let standing = all_running(&fleet, round)?;
        let next = file_of_round(&fleet, round + 1)?;
        for _ in 0..cuts {
            let cut = random.below(next.len());
            write(&fleet, &next[..cut])?;
            match fleet.tell(&["master", "upgrade"]) {
                Ok(_) => findings.push(format!("a file of {cut} of {} bytes is taken", next.len())),
                Err(_) => refused += 1,
            }
            let now = all_running(&fleet, round)?;
            if now != standing {
                findings
                    .push(format!("a file that was cut at {cut} changed {standing:?}: {now:?}"));
            }
        }
        // Whole at last; the masters that take it up are killed now and then.
        write(&fleet, &next)?;
        std::thread::scope(|scope| -> Result<(), TestError> {
            let (fleet, random) = (&fleet, &mut random);
            let upgrade = scope.spawn(move || fleet.client(&["master", "upgrade"]));
            std::thread::sleep(random.up_to(Duration::from_millis(300)));
            if random.below(2) == 0 {
                for master in fleet.players(Role::Master)? {
                    // It may have gone by itself.
                    kills += u32::from(master.signal(Signal::KILL).is_ok());
                }
            }
            drop(upgrade.join());
            Ok(())
        })?;
        answers(&fleet)?;
        eventually("the new file is in effect", RECOVERY_LIMIT, || {
            let now = all_running(&fleet, round + 1);
            if now.is_err() {
                drop(fleet.client(&["master", "upgrade"]));
            }
            now.map(drop).map_err(|error| error.to_string())
        })?;
        let now = all_running(&fleet, round + 1)?;
        for (id, pid) in standing.iter().filter(|(id, _)| is_kept(id)) {
            if !now.contains(&(id.clone(), *pid)) {
                findings.push(format!("{id} was disturbed by a file that did not change it"));
            }
        }
        changed += 1;
    }
    fleet.stop(STOP_LIMIT)?;
    let totals = format!(
        "{refused} half-written files refused, {changed} whole ones taken up, {kills} masters \
         killed meanwhile; findings {}",
        findings.len()
    );
    Ok(Report { totals, findings })
}

fn sleeper(number: u32) -> Worker {
    Worker::new(&format!("w-{number}"), "/bin/sleep").arguments(["100000".to_owned()])
}

/// Whether a worker is in the file of every round.
fn is_kept(id: &str) -> bool {
    let number = id.trim_start_matches("w-").parse::<u32>();
    number.is_ok_and(|number| number < WORKERS / 2)
}

/// The names of the workers of a round, sorted: half stay, half are others each time.
fn names(round: u32) -> Vec<String> {
    let others = (WORKERS / 2..WORKERS).map(|number| number + round * WORKERS);
    let mut names: Vec<_> = (0..WORKERS / 2).chain(others).map(|n| format!("w-{n}")).collect();
    names.sort();
    names
}

fn file_of_round(fleet: &Fleet<'_>, round: u32) -> Result<String, TestError> {
    let text = fs::read_to_string(fleet.config()).map_err(TestError::io("read a file"))?;
    // What is there may be cut: the first and the last characters are those of the whole.
    let mut document: Value = serde_json::from_str(&text)
        .unwrap_or_else(|_| json!({"master": {"base_directory": fleet.base()}, "workers": []}));
    let template = sleeper(0).into_json();
    let workers = names(round).into_iter().map(|name| {
        let mut worker = template.clone();
        worker["id"] = name.clone().into();
        worker["unit"]["managed"]["metadata"]["name"] = name.into();
        worker
    });
    document["workers"] = workers.collect();
    Ok(document.to_string())
}

fn write(fleet: &Fleet<'_>, text: &str) -> Result<(), TestError> {
    fs::write(fleet.config(), text).map_err(TestError::io("write the configuration"))
}

/// Name and PID of every worker, once exactly those of a round run.
fn all_running(fleet: &Fleet<'_>, round: u32) -> Result<Vec<(String, Option<u32>)>, TestError> {
    eventually("all workers of the file run, and no others", RECOVERY_LIMIT / 4, || {
        let list = fleet.list().map_err(|error| error.to_string())?;
        let mut now: Vec<_> = list.iter().map(|view| (view.id().to_owned(), view.pid())).collect();
        now.sort();
        let is_it = now.iter().map(|(id, _)| id.clone()).eq(names(round))
            && list.iter().all(|view| view.state() == "running");
        if is_it { Ok(now) } else { Err(format!("{list:?}")) }
    })
}

/// Folders go while they are used, and come back by themselves (R11, row 95 and 137).
pub(super) fn deleted(form: Form, seed: u64) -> Result<Report, TestError> {
    let rounds = form.pick(4, 60);
    let sandbox = Sandbox::new()?;
    let loaded = Load::default().start(&sandbox, Ok)?;
    let base = loaded.fleet.base().to_owned();
    // Lines of a deleted file are gone with it: what is compared here is everything else.
    let spared = sandbox.folder().join("spared");
    let mut random = Random::new(seed);
    let mut watch = Watch::default();
    let mut deletions = 0;
    for round in 0..rounds {
        let folder = match round % 4 {
            0 => sandbox.folder().join("output"),
            1 => base.join("state").join("spools"),
            2 => base.join("control.sock"),
            _ => base.join("logs"),
        };
        let during = format!("after {} was deleted", folder.display());
        if round % 4 == 0 {
            // The lines that are there by now are kept for the comparison.
            let keep = spared.join(round.to_string());
            fs::create_dir_all(&spared)
                .and_then(|()| fs::rename(&folder, &keep))
                .map_err(TestError::io("move the folder of outputs away"))?;
        } else {
            remove(&folder);
        }
        deletions += 1;
        let begin = Instant::now();
        while begin.elapsed() < random.up_to(Duration::from_secs(2)) {
            watch.ask(&loaded.fleet, &during);
            std::thread::sleep(Duration::from_millis(100));
        }
        eventually("orders are done", RECOVERY_LIMIT, || {
            let done = loaded.fleet.tell(&["restart", "--timeout", "5s", "ender-0"]);
            done.map(drop).map_err(|error| format!("{error} {during}"))
        })?;
        loaded.keep_up();
    }
    let toll = loaded.finish()?;
    let mut findings = toll.findings_but_lines(Unknown::Never);
    findings.append(&mut watch.findings);
    Ok(Report { totals: format!("{deletions} deletions; {watch}; {toll}"), findings })
}

fn remove(path: &std::path::Path) {
    // What is not there needs no removal.
    if path.is_dir() {
        drop(fs::remove_dir_all(path));
    } else {
        drop(fs::remove_file(path));
    }
}
