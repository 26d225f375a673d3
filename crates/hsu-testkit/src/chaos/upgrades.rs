//! Upgrades: one build of the master after the other, some of them torn.

use std::path::PathBuf;

use rustix::process::Signal;

use super::Random;
use crate::error::TestError;
use crate::fleet::{Fleet, Role};
use crate::sandbox::Sandbox;

/// The longest time into an upgrade at which it is torn; one takes some 30 ms.
const LONGEST: std::time::Duration = std::time::Duration::from_millis(50);

/// Two files of the same build, which stand for two versions.
#[derive(Debug)]
pub(super) struct Builds {
    files: [PathBuf; 2],
}

impl Builds {
    pub(super) fn new(sandbox: &Sandbox) -> Result<Self, TestError> {
        let here = crate::binaries::binary("hsu-master")?;
        let folder = sandbox.folder().join("other-build");
        let there = folder.join("hsu-master");
        std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::copy(&here, &there))
            .map_err(TestError::io("copy the master"))?;
        Ok(Self { files: [there, here] })
    }

    /// Replaces the master in place; each time by the other build.
    pub(super) fn upgrade(&self, fleet: &Fleet<'_>, number: u32) -> Result<(), TestError> {
        fleet.tell(&["master", "upgrade", "--executable", &self.file(number)]).map(drop)
    }

    /// The same, and at a random moment of it every master is killed.
    pub(super) fn tear(
        &self,
        fleet: &Fleet<'_>,
        number: u32,
        random: &mut Random,
    ) -> Result<(), TestError> {
        let pause = random.up_to(LONGEST);
        let file = self.file(number);
        std::thread::scope(|scope| {
            // Whether it is told to have succeeded is a matter of the moment.
            scope.spawn(|| drop(fleet.client(&["master", "upgrade", "--executable", &file])));
            std::thread::sleep(pause);
            for player in fleet.players(Role::Master)? {
                // The old one may have ended by itself meanwhile.
                drop(player.signal(Signal::KILL));
            }
            Ok(())
        })
    }

    fn file(&self, number: u32) -> String {
        let place = usize::try_from(number % 2).unwrap_or(0);
        self.files.get(place).map(|file| file.display().to_string()).unwrap_or_default()
    }
}
