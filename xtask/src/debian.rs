//! Debian: the packages that the tests need, by name, installed when missing.
//!
//! Installing a server must not run it: while packages are installed, Debian's
//! own switch (`policy-rc.d`) refuses every start, and a service that we brought
//! is not enabled for the next boot either.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::command;

/// A package, and what the tests need it for.
struct Needed {
    package: &'static str,
    reason: &'static str,
    /// The unit that its installation would enable.
    service: Option<&'static str>,
}

/// Everything beyond a Rust toolchain.
const NEEDED: &[Needed] = &[
    Needed { package: "gcc", reason: "the linker, and the bundled SQLite", service: None },
    Needed { package: "g++", reason: "the engine of the fuzzers", service: None },
    Needed { package: "libc6-dev", reason: "the C library's headers", service: None },
    Needed {
        package: "util-linux",
        reason: "unshare and nsenter, the sandbox of tests",
        service: None,
    },
    Needed { package: "faketime", reason: "a wall clock that jumps", service: None },
    Needed { package: "openssl", reason: "certificates, good ones and bad ones", service: None },
    Needed { package: "strace", reason: "what the store asks of the kernel", service: None },
    Needed { package: "nginx", reason: "examples/web-stack", service: Some("nginx") },
    Needed { package: "redis-server", reason: "examples/web-stack", service: Some("redis-server") },
    Needed {
        package: "etcd-server",
        reason: "discovery by a real registry",
        service: Some("etcd"),
    },
    Needed { package: "runit", reason: "servers that somebody else starts", service: None },
    Needed {
        package: "user-mode-linux",
        reason: "a kernel whose cgroup v2 has every controller",
        service: None,
    },
    Needed { package: "python3", reason: "two owners of one port", service: None },
    Needed { package: "python3-venv", reason: "gRPC's own health server", service: None },
    Needed { package: "postgresql", reason: "examples/web-stack", service: Some("postgresql") },
    Needed { package: "mariadb-server", reason: "health checks", service: Some("mariadb") },
];

/// Where Debian asks whether a service may be started.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs what is missing. On other systems it says what to install, and fails
/// when something is missing that even building needs.
pub(crate) fn install() -> Result<()> {
    if !command::works(Command::new("dpkg-query").arg("--version")) {
        println!("  not Debian: install these by hand, tests that miss one will say so");
        for needed in NEEDED {
            println!("    {}: {}", needed.package, needed.reason);
        }
        return Ok(());
    }
    let installed = installed()?;
    let missing: Vec<&Needed> =
        NEEDED.iter().filter(|needed| !installed.contains(needed.package)).collect();
    if missing.is_empty() {
        println!("  all {} packages are there", NEEDED.len());
        return Ok(());
    }
    for needed in &missing {
        println!("  {} is missing: {}", needed.package, needed.reason);
    }
    let names: Vec<&str> = missing.iter().map(|needed| needed.package).collect();
    if !is_root() && !command::works(Command::new("sudo").args(["-n", "true"])) {
        bail!("cannot install as this user (hint: sudo apt-get install {})", names.join(" "));
    }
    let quiet = Quiet::begin()?;
    let result = apt_get(&["update", "--quiet"]).and_then(|()| {
        let options = ["install", "--quiet", "--yes", "--no-install-recommends"];
        apt_get(&[&options[..], &names].concat())
    });
    quiet.end()?;
    result?;
    if Path::new("/run/systemd/system").is_dir() {
        for service in missing.iter().filter_map(|needed| needed.service) {
            command::run(as_root("systemctl").args(["disable", "--now", service]))?;
        }
    }
    Ok(())
}

/// The names of all installed packages.
fn installed() -> Result<BTreeSet<String>> {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat", "${db:Status-Status} ${Package}\\n"]);
    Ok(parse_installed(&command::output(&mut query)?))
}

fn parse_installed(listing: &str) -> BTreeSet<String> {
    listing.lines().filter_map(|line| line.strip_prefix("installed ")).map(str::to_owned).collect()
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let mut apt = as_root("apt-get");
    // Somebody else's run, such as the daily upgrade, is waited for.
    apt.args(["-o", "DPkg::Lock::Timeout=600", "-o", "Acquire::Retries=3"]).args(arguments);
    command::run(&mut apt)
}

/// A command as root; only [`Quiet`] and apt-get need it.
fn as_root(program: &str) -> Command {
    let mut command = if is_root() {
        Command::new("env")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "env"]);
        sudo
    };
    command.arg("DEBIAN_FRONTEND=noninteractive").arg(program);
    command
}

fn is_root() -> bool {
    command::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

/// While it lives, no service is started by an installation.
#[must_use]
struct Quiet {
    is_ours: bool,
}

impl Quiet {
    fn begin() -> Result<Self> {
        // Somebody else's policy, as in a container, is respected.
        let is_ours = !Path::new(POLICY).exists();
        if is_ours {
            let file = std::env::temp_dir().join(format!("policy-rc.d-{}", std::process::id()));
            fs::write(&file, "#!/bin/sh\nexit 101\n").context("write a policy")?;
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
            let mut install = as_root("install");
            install.args(["-m", "755"]).arg(&file).arg(POLICY);
            let result = command::run(&mut install);
            fs::remove_file(&file)?;
            result?;
        }
        Ok(Self { is_ours })
    }

    fn end(self) -> Result<()> {
        if self.is_ours {
            command::run(as_root("rm").arg(POLICY))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_was_removed_is_not_installed() {
        let set =
            parse_installed("installed gcc\nconfig-files nginx\nnot-installed redis-server\n");
        assert_eq!(set, BTreeSet::from(["gcc".to_owned()]));
    }
}
