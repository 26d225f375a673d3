//! Python: what tests need of it that Debian has no package for, in a folder of its own
//! below the target folder.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::command;

/// By name and version, from the index that pip is set to: gRPC's own health server.
const WANTED: [&str; 2] = ["grpcio==1.68.1", "grpcio-health-checking==1.68.1"];
/// What says that they are there.
const PROOF: &str = "import grpc, grpc_health.v1.health";

/// Installs what is missing below this target folder, where the tests that are built into it
/// look for it; see `hsu_testkit::binaries::python`.
pub(crate) fn install(target: &Path) -> Result<()> {
    let folder = target.join("python");
    let python = folder.join("bin/python3");
    if command::works(Command::new(&python).args(["-c", PROOF])) {
        println!("  {} are there", WANTED.join(" and "));
        return Ok(());
    }
    if !command::works(Command::new("python3").args(["-c", "import venv, ensurepip"])) {
        println!("  no python3 with venv: tests that need {} will say so", WANTED.join(" and "));
        return Ok(());
    }
    command::run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    command::run(Command::new(&python).args(pip).args(WANTED))
}
