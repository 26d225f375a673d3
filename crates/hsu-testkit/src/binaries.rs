//! Binaries: where the programs under test are, freshly built.
//!
//! Cargo tells a test only the binaries of its own package. The others lie in
//! the same target folder; one `cargo build` per test process makes sure that
//! they are there and current. `cargo xtask test` builds the workspace first
//! and sets [`ALREADY_BUILT`], which saves that build.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::error::TestError;

/// The environment variable that says that all binaries are built already.
pub const ALREADY_BUILT: &str = "HSU_BINARIES_BUILT";

/// Every binary that tests start, with its package.
const BINARIES: [(&str, &str); 4] = [
    ("hsu-dummy", "hsu-testkit"),
    ("hsu-keeper", "hsu-keeper"),
    ("hsu-master", "hsu-master"),
    ("hsu-master-cli", "hsu-cli"),
];

/// The path of one of the workspace's binaries, in the profile of the running test.
///
/// # Errors
/// [`TestError::NoBinary`] when it cannot be built or is none of ours.
pub fn binary(name: &str) -> Result<PathBuf, TestError> {
    let path = folder()?.join(name);
    let Some((_, package)) = BINARIES.iter().find(|(binary, _)| *binary == name) else {
        return Err(TestError::NoBinary { path });
    };
    if env::var_os(ALREADY_BUILT).is_none() {
        build_once(package)?;
    }
    if path.is_file() { Ok(path) } else { Err(TestError::NoBinary { path }) }
}

/// Python with gRPC's own health server, as `cargo xtask test` installs it.
///
/// # Errors
/// [`TestError::NoBinary`] when it is not there (`cargo xtask test --only packages`).
pub fn python() -> Result<PathBuf, TestError> {
    let profile = folder()?;
    let target = profile.parent().unwrap_or(&profile);
    let path = target.join("python/bin/python3");
    if path.exists() { Ok(path) } else { Err(TestError::NoBinary { path }) }
}

/// Builds what a fleet consists of. A build that began when a program is needed for the
/// first time would run beside a fleet that lives already, for as long as it takes; and
/// nobody names the keeper, which the master starts.
///
/// # Errors
/// As [`binary`].
pub(crate) fn build_fleet() -> Result<(), TestError> {
    ["hsu-keeper", "hsu-master", "hsu-master-cli"].into_iter().try_for_each(|n| binary(n).map(drop))
}

/// The folder of the profile: the parent of the test's own `deps` folder.
fn folder() -> Result<PathBuf, TestError> {
    let this = env::current_exe().map_err(TestError::io("find the running test"))?;
    let folder = this.parent().unwrap_or_else(|| Path::new("."));
    Ok(if folder.ends_with("deps") {
        folder.parent().unwrap_or(folder).to_owned()
    } else {
        folder.to_owned()
    })
}

fn build_once(package: &str) -> Result<(), TestError> {
    static DUMMY: OnceLock<Result<(), String>> = OnceLock::new();
    static MASTER: OnceLock<Result<(), String>> = OnceLock::new();
    static KEEPER: OnceLock<Result<(), String>> = OnceLock::new();
    static CLIENT: OnceLock<Result<(), String>> = OnceLock::new();
    let cell = match package {
        "hsu-testkit" => &DUMMY,
        "hsu-master" => &MASTER,
        "hsu-keeper" => &KEEPER,
        _ => &CLIENT,
    };
    cell.get_or_init(|| build(package)).clone().map_err(|output| TestError::Command {
        command: format!("cargo build -p {package} --bins"),
        status: "a failure".to_owned(),
        output,
    })
}

/// How the variables begin that tell of the package of the running test.
const PACKAGE: [&str; 3] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_NAME"];

fn build(package: &str) -> Result<(), String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let folder = folder().map_err(|error| error.to_string())?;
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet", "--bins", "--package", package])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    // What cargo tells a test of its own package is no part of this build: build scripts
    // that ask for it (ring's) would be dirty after every change between the two.
    for (name, _) in env::vars_os() {
        let is_of_package =
            name.to_str().is_some_and(|name| PACKAGE.iter().any(|start| name.starts_with(start)));
        if is_of_package {
            command.env_remove(name);
        }
    }
    if let Some(target) = folder.parent() {
        command.env("CARGO_TARGET_DIR", target);
    }
    if folder.ends_with("release") {
        command.arg("--release");
    }
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
