//! Deny: licences, bans and sources of everything we depend on; advisories when there are some.
//!
//! `cargo-deny` is taken from `PATH`, else built once into the target folder, so
//! that a fresh clone needs nothing and the user's own tools stay as they are.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::command::{self, cargo};
use crate::workspace;

/// The release that `deny.toml` is written for.
const VERSION: &str = "0.20.2";

/// Runs every check that can be run here.
pub(crate) fn run(root: &Path) -> Result<()> {
    let program = cargo_deny(root)?;
    // Also what only other platforms need; cargo-deny itself then stays offline.
    command::run(cargo().current_dir(root).args(["fetch", "--locked", "--quiet"]))?;
    check(root, &program, &["bans", "licenses", "sources"])?;
    if has_advisories() {
        check(root, &program, &["advisories"])
    } else {
        println!(
            "  advisories NOT CHECKED: no copy of the advisory database in cargo's home \
             (hint: cargo deny fetch)"
        );
        Ok(())
    }
}

fn check(root: &Path, program: &Path, what: &[&str]) -> Result<()> {
    let mut deny = Command::new(program);
    deny.current_dir(root)
        .args(["--workspace", "--locked", "--offline"])
        .args(["check", "--hide-inclusion-graph"])
        .args(what);
    command::run(&mut deny)
}

/// Whether somebody put a copy of the advisory database where cargo-deny looks.
fn has_advisories() -> bool {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let entries = home.and_then(|home| std::fs::read_dir(home.join("advisory-dbs")).ok());
    entries.is_some_and(|mut entries| entries.next().is_some())
}

/// The path of a usable cargo-deny, built when there is none.
fn cargo_deny(root: &Path) -> Result<PathBuf> {
    let tools = workspace::target(root).join("tools");
    let own = tools.join("bin/cargo-deny");
    for candidate in [Path::new("cargo-deny"), &own] {
        if command::works(Command::new(candidate).arg("--version")) {
            return Ok(candidate.to_owned());
        }
    }
    println!("  building cargo-deny {VERSION} into the target folder, once (minutes)");
    let mut install = cargo();
    install
        .current_dir(root)
        .args(["install", "--locked", "--quiet", "--version", VERSION, "--root"])
        .arg(&tools)
        .arg("cargo-deny")
        .env("CARGO_TARGET_DIR", tools.join("build"));
    command::run(&mut install)?;
    // Hundreds of megabytes that nobody needs again.
    std::fs::remove_dir_all(tools.join("build"))?;
    if own.is_file() { Ok(own) } else { bail!("cargo install left no {}", own.display()) }
}
