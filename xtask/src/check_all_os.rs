//! Check-all-os: the product type-checks for every platform that it claims.
//!
//! Nothing is linked in a check, so no foreign linker and no foreign C library
//! is needed. Crates that compile C for a foreign target (the bundled SQLite)
//! meet a stand-in that writes empty objects. What can be downloaded here is
//! checked; what cannot be had is named and left out, never silently.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::command::{self, cargo};
use crate::workspace;

/// Every platform of the product.
const TARGETS: [&str; 6] = [
    "x86_64-unknown-linux-gnu",
    "x86_64-unknown-linux-musl",
    "aarch64-unknown-linux-gnu",
    "x86_64-pc-windows-gnu",
    "x86_64-apple-darwin",
    "aarch64-apple-darwin",
];

/// Which platforms to check.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Arguments {
    /// Only these targets; all when none is named.
    #[arg(long = "target", value_name = "TRIPLE")]
    targets: Vec<String>,
}

/// Checks every target that can be had; fails when one of them does not compile.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<()> {
    let chosen: Vec<&str> = if arguments.targets.is_empty() {
        TARGETS.to_vec()
    } else {
        arguments.targets.iter().map(String::as_str).collect()
    };
    let packages = workspace::product(root)?;
    let stand_in = StandIn::write(&workspace::target(root).join("xtask"))?;
    let host = host()?;
    let mut broken = Vec::new();
    let mut absent = Vec::new();
    for target in &chosen {
        if *target != host && !is_installed(target) {
            absent.push(*target);
            continue;
        }
        let start = Instant::now();
        let result = check(root, target, *target == host, &packages, &stand_in);
        let verdict = if result.is_ok() { "ok" } else { "BROKEN" };
        println!("  {target}: {verdict}, {:.0} s", start.elapsed().as_secs_f64());
        if result.is_err() {
            broken.push(*target);
        }
    }
    for target in &absent {
        println!("  {target}: NOT CHECKED, `rustup target add {target}` has no download here");
    }
    if !broken.is_empty() {
        bail!("does not compile for {}", broken.join(", "));
    }
    println!("  {} of {} targets checked", chosen.len() - absent.len(), chosen.len());
    Ok(())
}

/// The target of the machine itself, whose check can share what is built anyway.
fn host() -> Result<String> {
    let words = command::output(Command::new("rustc").arg("-vV"))?;
    let host = words.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

/// Whether the target's library is there, after an attempt to get it.
fn is_installed(target: &str) -> bool {
    let has_library = || {
        let mut rustc = Command::new("rustc");
        rustc.args(["--print", "target-libdir", "--target", target]);
        command::output(&mut rustc).is_ok_and(|folder| {
            let entries = fs::read_dir(folder.trim());
            entries.is_ok_and(|mut entries| entries.next().is_some())
        })
    };
    has_library()
        || (command::works(Command::new("rustup").args(["target", "add", target])) && has_library())
}

fn check(
    root: &Path,
    target: &str,
    is_host: bool,
    packages: &[String],
    stand_in: &StandIn,
) -> Result<()> {
    let mut check = cargo();
    check.current_dir(root).args(["check", "--quiet", "--locked"]);
    for package in packages {
        check.args(["--package", package]);
    }
    if !is_host {
        let suffix = target.replace('-', "_");
        check
            .args(["--target", target])
            .env(format!("CC_{suffix}"), &stand_in.compiler)
            .env(format!("AR_{suffix}"), &stand_in.archiver)
            // Clippy sees what is unused on Linux only.
            .env(format!("CARGO_TARGET_{}_RUSTFLAGS", suffix.to_uppercase()), "-D warnings")
            // Else the build script of a C crate asks Apple's tools for the place of their headers.
            .env("SDKROOT", "/");
    }
    command::run(&mut check)
}

/// A C compiler and an archiver that make empty files.
struct StandIn {
    compiler: PathBuf,
    archiver: PathBuf,
}

impl StandIn {
    /// Writes the two scripts into `folder`.
    fn write(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        let script = |name: &str, text: &str| -> Result<PathBuf> {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
            Ok(path)
        };
        Ok(Self {
            compiler: script("stand-in-cc", COMPILER)?,
            archiver: script("stand-in-ar", ARCHIVER)?,
        })
    }
}

/// Writes an empty object where `-o` points.
const COMPILER: &str = "\
#!/bin/sh
while [ $# -gt 0 ]; do
  case $1 in
    -o) shift; : > \"$1\" ;;
    -o*) : > \"${1#-o}\" ;;
  esac
  shift
done
";

/// Writes an empty archive: the first argument that ends like one.
const ARCHIVER: &str = "\
#!/bin/sh
for word; do
  case $word in
    *.a|*.lib) : > \"$word\"; exit 0 ;;
  esac
done
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stand_in_writes_what_a_build_script_expects() {
        let folder = std::env::temp_dir().join(format!("hsu-stand-in-{}", std::process::id()));
        let stand_in = StandIn::write(&folder).unwrap();
        let (object, archive) = (folder.join("a.o"), folder.join("liba.a"));
        let mut compile = Command::new(&stand_in.compiler);
        compile.args(["-O2", "-c", "a.c", "-o"]).arg(&object);
        let mut archiving = Command::new(&stand_in.archiver);
        archiving.arg("cq").arg(&archive).arg(&object);
        assert!(command::works(&mut compile) && command::works(&mut archiving));
        assert!(object.is_file() && archive.is_file());
        fs::remove_dir_all(&folder).unwrap();
    }
}
