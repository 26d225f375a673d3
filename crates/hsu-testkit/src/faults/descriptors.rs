//! Descriptors: a role that may open none, or only a few more.
//!
//! The limit of the running process is lowered to what it has open, plus 0 to 20.
//! The kernel's own table (ENFILE) is not filled: it is the host's, and root is
//! exempt from it; the programs treat both errors alike.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::Form;
use super::watch::Watch;
use crate::chaos::{Load, Random, Report, Unknown, answers};
use crate::error::TestError;
use crate::fleet::{Fleet, Role};
use crate::process::Process;
use crate::sandbox::Sandbox;

pub(super) fn run(form: Form, seed: u64) -> Result<Report, TestError> {
    let spares: Vec<u64> = match form {
        Form::Short => vec![0, 1, 3, 8],
        Form::Long => (0..=20).collect(),
    };
    let span = form.pick(Duration::from_millis(1200), Duration::from_secs(5));
    let sandbox = Sandbox::new()?;
    let loaded = Load::default().start(&sandbox, Ok)?;
    let mut random = Random::new(seed);
    let mut watch = Watch::default();
    let mut trials = 0;
    for role in Role::ALL {
        for spare in &spares {
            let during = format!("while the {role:?} had {spare} free descriptors");
            let Some(player) = loaded.fleet.players(role)?.into_iter().next() else {
                continue;
            };
            let before = limit(&player, *spare)?;
            let spell = Watch::begin(&loaded.fleet);
            use_it(&loaded.fleet, span, &mut random, &mut watch, &during);
            watch.end(&spell, &during);
            set(&player, before)?;
            if !player.is_alive() {
                watch.findings.push(format!("the {role:?} ended {during}"));
            }
            answers(&loaded.fleet)?;
            loaded.keep_up();
            trials += 1;
        }
    }
    let toll = loaded.finish()?;
    let mut findings = toll.findings(Unknown::Never);
    findings.append(&mut watch.findings);
    Ok(Report { totals: format!("{trials} limits; {watch}; {toll}"), findings })
}

/// Questions and orders, for a while.
fn use_it(fleet: &Fleet<'_>, span: Duration, random: &mut Random, watch: &mut Watch, during: &str) {
    let begin = Instant::now();
    while begin.elapsed() < span {
        if !watch.ask(fleet, during) {
            return;
        }
        let ender = format!("ender-{}", random.below(3));
        // What it needs may not be there: the answer is what counts above.
        drop(fleet.client(&["restart", "--timeout", "0", &ender]));
        std::thread::sleep(random.up_to(Duration::from_millis(100)));
    }
}

/// Lets a process open only so many more; its limit before.
fn limit(player: &Process, spare: u64) -> Result<Rlimit, TestError> {
    let entries = std::fs::read_dir(format!("/proc/{}/fd", player.outer_pid))
        .map_err(TestError::io("list the descriptors of a role"))?;
    let name = |entry: std::fs::DirEntry| entry.file_name().to_str()?.parse().ok();
    let open: BTreeSet<u64> = entries.flatten().filter_map(name).collect();
    // The limit is a number that no descriptor reaches, and there may be gaps below it.
    let mut free = (0..).filter(|number| !open.contains(number));
    let most = free.nth(usize::try_from(spare).unwrap_or(0)).unwrap_or(spare);
    set(player, Rlimit { current: Some(most), maximum: hard_limit(player) })
}

/// What it may not exceed, and we may not raise.
fn hard_limit(player: &Process) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{}/limits", player.outer_pid)).ok()?;
    let line = text.lines().find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(4)?.parse().ok()
}

fn set(player: &Process, limit: Rlimit) -> Result<Rlimit, TestError> {
    let pid = i32::try_from(player.outer_pid).ok().and_then(Pid::from_raw);
    let before = prlimit(pid, Resource::Nofile, limit);
    before.map_err(|errno| TestError::io("limit the descriptors of a role")(errno.into()))
}
