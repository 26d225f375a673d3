//! Disks: one volume that is full, or that takes no writing any more.
//!
//! State, spools and outputs each lie on a small file system of their own inside
//! the sandbox. *Full* means that a file takes all the room there is. *Read-only*
//! means that the folder is covered by a mount without the right to write: what is
//! open goes on, nothing can be opened for writing, made or renamed, which is what
//! a file system does to itself after an error. In the long form each role is
//! killed meanwhile.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::Form;
use super::watch::Watch;
use crate::chaos::{Load, Loaded, RECOVERY_LIMIT, Random, Report, Unknown, answers};
use crate::error::TestError;
use crate::fleet::Role;
use crate::patience::eventually;
use crate::sandbox::Sandbox;

/// The room on each of the volumes.
const ROOM: u64 = 64 << 20;

/// Which volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Volume {
    State,
    Spools,
    Outputs,
}

/// What it lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lack {
    Room,
    Writing,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Room => "full",
            Self::Writing => "read-only",
        })
    }
}

impl Volume {
    const ALL: [Self; 3] = [Self::State, Self::Spools, Self::Outputs];

    fn folder(self, sandbox: &Sandbox) -> PathBuf {
        let state = sandbox.folder().join("base").join("state");
        match self {
            Self::State => state,
            Self::Spools => state.join("spools"),
            Self::Outputs => sandbox.folder().join("output"),
        }
    }
}

pub(super) fn run(form: Form, seed: u64) -> Result<Report, TestError> {
    let rounds = form.pick(1, 6);
    let span = form.pick(Duration::from_millis(1500), Duration::from_secs(5));
    let sandbox = Sandbox::new()?;
    let mount = |builder| {
        for volume in Volume::ALL {
            let folder = volume.folder(&sandbox);
            // One may be inside of another.
            sandbox.run_shell(&format!("mkdir -p '{}'", folder.display()))?;
            sandbox.mount_disk(&folder, ROOM)?;
            sandbox.run_shell(&format!("chmod 755 '{}'", folder.display()))?;
        }
        Ok(builder)
    };
    let loaded = Load::default().start(&sandbox, mount)?;
    let mut random = Random::new(seed);
    let mut watch = Watch::default();
    let mut spells = 0;
    let mut orders = Orders::default();
    for round in 0..rounds {
        for volume in Volume::ALL {
            for lack in [Lack::Room, Lack::Writing] {
                // Without a victim first; then each role is killed meanwhile.
                let victim = (round > 0).then(|| Role::ALL[random.below(3)]);
                let trial = Trial { sandbox: &sandbox, volume, lack, victim, span };
                trial.run(&loaded, &mut watch, &mut orders)?;
                spells += 1;
            }
        }
    }
    let unknown = if rounds > 1 { Unknown::Possible } else { Unknown::Never };
    let toll = loaded.finish()?;
    let mut findings = toll.findings(unknown);
    findings.append(&mut watch.findings);
    Ok(Report { totals: format!("{spells} spells; {orders}; {watch}; {toll}"), findings })
}

/// What became of the orders that were given meanwhile.
#[derive(Debug, Default)]
struct Orders {
    done: u32,
    refused: u32,
    last_refusal: String,
}

impl fmt::Display for Orders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "orders done {} refused {}", self.done, self.refused)?;
        if self.refused > 0 { write!(f, " ({})", self.last_refusal) } else { Ok(()) }
    }
}

struct Trial<'a> {
    sandbox: &'a Sandbox,
    volume: Volume,
    lack: Lack,
    victim: Option<Role>,
    span: Duration,
}

impl Trial<'_> {
    fn run(
        &self,
        loaded: &Loaded<'_>,
        watch: &mut Watch,
        orders: &mut Orders,
    ) -> Result<(), TestError> {
        let Self { volume, lack, victim, .. } = self;
        let mut during = format!("while the disk of {volume:?} was {lack}");
        self.take_away()?;
        let spell = Watch::begin(&loaded.fleet);
        if let Some(victim) = *victim {
            during = format!("{during} and the {victim:?} was killed");
            for player in loaded.fleet.players(victim)? {
                player.signal(Signal::KILL)?;
            }
        }
        let begin = Instant::now();
        // A master cannot begin without its state: workers go on without it.
        let is_served = *volume != Volume::State || *victim != Some(Role::Master);
        while begin.elapsed() < self.span {
            if is_served {
                if !watch.ask(&loaded.fleet, &during) {
                    break;
                }
                orders.give(loaded, &during, watch)?;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        watch.end(&spell, &during);
        self.give_back()?;
        answers(&loaded.fleet)?;
        eventually("all is well again", RECOVERY_LIMIT, || {
            let done = loaded.fleet.tell(&["restart", "--timeout", "5s", "ender-0"]);
            done.map(drop).map_err(|error| format!("{error}, {during}"))
        })?;
        loaded.keep_up();
        Ok(())
    }

    fn take_away(&self) -> Result<(), TestError> {
        let folder = self.volume.folder(self.sandbox);
        let folder = folder.display();
        match self.lack {
            Lack::Room => {
                self.sandbox.run_shell(&format!("cat /dev/zero > '{folder}/.filler' || true"))
            }
            // Read-only before it is in its place: nobody can have a file open for writing
            // on it, which would forbid that.
            Lack::Writing => self.sandbox.run_shell(&format!(
                "aside=$(mktemp -d) && mount --bind '{folder}' \"$aside\" \
                 && mount -o remount,bind,ro \"$aside\" && mount --bind \"$aside\" '{folder}' \
                 && umount \"$aside\" && rmdir \"$aside\""
            )),
        }
    }

    fn give_back(&self) -> Result<(), TestError> {
        let folder = self.volume.folder(self.sandbox);
        let folder = folder.display();
        match self.lack {
            Lack::Room => self.sandbox.run_shell(&format!("rm '{folder}/.filler'")),
            Lack::Writing => self.sandbox.run_shell(&format!("umount --lazy '{folder}'")),
        }
    }
}

impl Orders {
    /// An order is done, or refused with a reason, but not left without an answer.
    fn give(
        &mut self,
        loaded: &Loaded<'_>,
        during: &str,
        watch: &mut Watch,
    ) -> Result<(), TestError> {
        let begin = Instant::now();
        let output = loaded.fleet.client(&["restart", "--timeout", "3s", "ender-1"])?;
        if output.status.success() {
            self.done += 1;
            return Ok(());
        }
        self.refused += 1;
        let words = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
        if begin.elapsed() > super::ANSWER_LIMIT || words.is_empty() {
            let passed = begin.elapsed();
            watch.findings.push(format!("an order had no answer for {passed:?} {during}: {words}"));
        }
        self.last_refusal = words;
        Ok(())
    }
}
