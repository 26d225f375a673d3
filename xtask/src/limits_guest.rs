//! Limits in a guest: the tests of limits on a kernel whose version 2 tree has every
//! controller, whatever the host has.
//!
//! The guest is User-Mode Linux (Debian: `user-mode-linux`), a kernel that runs as a
//! plain process: no virtual machine, no image to build. Its root is the host's own,
//! read only; what is written goes to a disk of its own below the target folder. The
//! tests are those of the host, with the ones that need such a kernel.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use crate::command::{self, cargo};
use crate::workspace;

const KERNEL: &str = "linux.uml";
const MEMORY: &str = "mem=1200M";
const DISK_BYTES: u64 = 1 << 30;
const SWAP_BYTES: u64 = 128 << 20;

/// What to run, and on what.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The trees of cgroups that the guest has.
    #[arg(long, value_enum, default_value_t = Trees::V2)]
    cgroups: Trees,
    /// How long the guest may take, in seconds.
    #[arg(long, default_value_t = 600)]
    within: u64,
    /// Arguments of the tests, such as a part of a name.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// The trees of cgroups of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Trees {
    /// Version 2 alone, with every controller.
    V2,
    /// Version 1, and version 2 without controllers beside it.
    Hybrid,
    /// Version 1 alone; `cpu` and `cpuacct` are one tree.
    V1,
}

impl Trees {
    fn as_str(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::Hybrid => "hybrid",
            Self::V1 => "v1",
        }
    }
}

/// Builds the tests, boots the guest and runs them there; says whether all passed.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<bool> {
    if !command::works(Command::new(KERNEL).arg("--version")) {
        bail!("{KERNEL} cannot be run (hint: apt-get install user-mode-linux)");
    }
    let tests = build(root)?;
    let target = workspace::target(root);
    let guest = Guest::prepare(root, &target)?;
    let mut all = true;
    for (title, file, filter) in [
        ("limits of real workers", &tests.fleet, None),
        ("groups and their limits", &tests.system, Some("limits::")),
    ] {
        let chosen = arguments.rest.iter().map(String::as_str).chain(filter);
        let inside = Path::new("/media").join(file.strip_prefix(&target)?);
        let mut line = format!("{} --include-ignored --test-threads 2", inside.display());
        for word in chosen {
            line.push_str(&format!(" '{word}'"));
        }
        let begin = Instant::now();
        let code = guest.run(arguments, &line)?;
        println!(
            "  {title}, {}: {:.1} s",
            arguments.cgroups.as_str(),
            begin.elapsed().as_secs_f64()
        );
        all &= code == 0;
    }
    Ok(all)
}

/// The test programs.
struct Tests {
    fleet: PathBuf,
    system: PathBuf,
}

fn build(root: &Path) -> Result<Tests> {
    let packages = ["hsu-master", "hsu-keeper", "hsu-cli", "hsu-testkit"];
    let named = packages.iter().flat_map(|package| ["--package", package]);
    let bins = ["build", "--locked", "--quiet", "--bins"];
    command::run(cargo().current_dir(root).args(bins).args(named))?;
    let program = |options: &[&str]| -> Result<PathBuf> {
        let mut test = cargo();
        test.current_dir(root).args(["test", "--locked", "--quiet", "--no-run"]);
        test.args(["--message-format", "json"]).args(options);
        let told = command::output(&mut test)?;
        let found = told.lines().filter_map(executable).next_back();
        found.with_context(|| format!("cargo names no test program for {options:?}"))
    };
    Ok(Tests {
        fleet: program(&["--package", "hsu-master", "--test", "limits"])?,
        system: program(&["--package", "hsu-sys", "--lib"])?,
    })
}

/// The test program that a message of cargo tells of.
fn executable(message: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    if message.pointer("/profile/test")? != true {
        return None;
    }
    message.get("executable")?.as_str().map(PathBuf::from)
}

/// What a guest needs of the host.
struct Guest {
    /// Disks, and what is said across.
    folder: PathBuf,
    /// What is built.
    programs: PathBuf,
    init: PathBuf,
}

impl Guest {
    fn prepare(root: &Path, target: &Path) -> Result<Self> {
        let folder = target.join("limits-guest");
        fs::create_dir_all(&folder)?;
        let (disk, swap) = (folder.join("disk"), folder.join("swap"));
        fresh(&disk, DISK_BYTES)?;
        fresh(&swap, SWAP_BYTES)?;
        command::output(Command::new("/sbin/mkfs.ext4").args(["-q", "-F"]).arg(&disk))?;
        command::output(Command::new("/sbin/mkswap").arg(&swap))?;
        let source = root.join("xtask/guest/xstate.c");
        let mut compile = Command::new("cc");
        compile.args(["-O2", "-shared", "-fPIC", "-o"]).arg(folder.join("xstate.so")).arg(source);
        command::output(&mut compile)?;
        let init = root.join("xtask/guest/init.sh");
        Ok(Self { folder, programs: target.to_owned(), init })
    }

    /// Boots, runs one line of shell, and says its exit code.
    fn run(&self, arguments: &Arguments, line: &str) -> Result<i32> {
        let (code, out) = (self.folder.join("code"), self.folder.join("out"));
        for old in [&code, &out] {
            drop(fs::remove_file(old));
        }
        let mode = arguments.cgroups.as_str();
        let variables = "export HSU_BINARIES_BUILT=1 RUST_TEST_TIME_UNIT=60000";
        fs::write(self.folder.join("run"), format!("{variables}\nexec {line}\n"))?;
        let words = fs::File::create(self.folder.join("console"))?;
        let mut kernel = Command::new(KERNEL);
        kernel
            .args([MEMORY, "rootfstype=hostfs", "rootflags=/", "ro", "quiet", "panic=-1"])
            .args(["con=null", "con0=null,fd:1", "console=tty0", "umid=limits"])
            .arg(format!("uml_dir={}", self.folder.join("sockets").display()))
            .arg(format!("ubda={}", self.folder.join("disk").display()))
            .arg(format!("ubdb={}", self.folder.join("swap").display()))
            .arg(format!("init={}", self.init.display()))
            .arg(format!("HSU_FOLDER={}", self.folder.display()))
            .arg(format!("HSU_PROGRAMS={}", self.programs.display()))
            .arg(format!("HSU_CGROUPS={mode}"))
            .env("LD_PRELOAD", self.folder.join("xstate.so"))
            .env("TMPDIR", &self.folder)
            .stdin(Stdio::null())
            .stdout(words.try_clone()?)
            .stderr(words)
            // What it makes of itself for its processes ends with it.
            .process_group(0);
        let child = kernel.spawn().with_context(|| format!("run {KERNEL}"))?;
        let ended = wait(child, Duration::from_secs(arguments.within))?;
        print!("{}", fs::read_to_string(&out).unwrap_or_default());
        let told = fs::read_to_string(&code).ok().and_then(|text| text.trim().parse().ok());
        match told {
            Some(code) => Ok(code),
            None => {
                let console = self.folder.join("console");
                let why = if ended { "it ended without" } else { "it took too long for" };
                bail!("the guest has no answer: {why} one (hint: see {})", console.display());
            }
        }
    }
}

/// An empty file of a size, without taking the room.
fn fresh(path: &Path, bytes: u64) -> Result<()> {
    drop(fs::remove_file(path));
    fs::File::create(path)?.set_len(bytes).with_context(|| format!("make {}", path.display()))
}

/// Waits for the guest; whether it ended by itself.
fn wait(mut child: Child, within: Duration) -> Result<bool> {
    let begin = Instant::now();
    while begin.elapsed() < within {
        if child.try_wait()?.is_some() {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    // Its processes are the guest's, and nobody else's.
    let group = format!("-{}", child.id());
    command::output(Command::new("kill").args(["-KILL", "--", &group]))?;
    child.wait()?;
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_of_a_test_is_found_among_the_messages_of_cargo() {
        let built = r#"{"profile":{"test":true},"executable":"/t/debug/deps/limits-1"}"#;
        assert_eq!(executable(built), Some(PathBuf::from("/t/debug/deps/limits-1")));
        let library = r#"{"profile":{"test":true},"executable":null}"#;
        assert_eq!(executable(library), None);
        let program = r#"{"profile":{"test":false},"executable":"/t/debug/hsu-master"}"#;
        assert_eq!(executable(program), None);
        assert_eq!(executable("no json"), None);
    }
}
