//! The trace: what a process asked of the kernel, as `strace` wrote it down.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

/// The calls that change files or say something.
const CALLS: &str = "trace=openat,write,pwrite64,ftruncate,fallocate,fsync,fdatasync,rename,unlink";

/// Something that a process did, once it was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// It made a file, or found it and let it be.
    Open(PathBuf),
    /// It wrote into a file.
    Write {
        /// Which.
        file: PathBuf,
        /// Where.
        at: usize,
        /// What.
        bytes: Vec<u8>,
    },
    /// It cut or lengthened a file.
    Truncate {
        /// Which.
        file: PathBuf,
        /// Its length from then on.
        length: usize,
    },
    /// It synced a file or a folder.
    Sync(PathBuf),
    /// It was told that a file or a folder could not be synced.
    FailedSync(PathBuf),
    /// It gave a file another name.
    Rename {
        /// The old one.
        from: PathBuf,
        /// The new one.
        to: PathBuf,
    },
    /// It removed a name.
    Unlink(PathBuf),
    /// It said something on standard output.
    Say(String),
}

/// Runs a program under `strace` and reads what it did, also when it ended with a failure;
/// `extra` are options of `strace`.
///
/// # Errors
/// There is no `strace`, it may not trace, or its words are not understood.
pub fn record(program: &[OsString], extra: &[String]) -> Result<Vec<Call>> {
    let log = tempfile::NamedTempFile::new()?;
    let status = Command::new("strace")
        .args(["-f", "--seccomp-bpf", "-q", "-y", "-xx", "-s", "1000000", "-e", CALLS, "-o"])
        .arg(log.path())
        .args(extra)
        .args(program)
        .stdout(std::process::Stdio::null())
        .status()
        .context("run strace (hint: apt-get install strace)")?;
    ensure!(status.code().is_some(), "the traced process ended with {status}");
    parse(&std::fs::read_to_string(log.path())?)
}

fn parse(text: &str) -> Result<Vec<Call>> {
    let mut calls = Vec::new();
    let mut unfinished: BTreeMap<&str, String> = BTreeMap::new();
    for line in text.lines() {
        let Some((process, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
            // What is said may be heard before the call is over.
            if begun.starts_with("write(1") {
                calls.extend(call(&format!("{begun}) = 1"))?);
            } else {
                unfinished.insert(process, begun.to_owned());
            }
        } else if let Some(resumed) = rest.strip_prefix("<... ") {
            let Some(begun) = unfinished.remove(process) else { continue };
            let (_, ended) = resumed.split_once(" resumed>").context("a line that resumes")?;
            calls.extend(call(&format!("{begun}{ended}"))?);
        } else {
            calls.extend(call(rest)?);
        }
    }
    Ok(calls)
}

/// One line; none when the call failed and changed nothing, or is none of ours.
fn call(line: &str) -> Result<Option<Call>> {
    let Some((name, rest)) = line.split_once('(') else { return Ok(None) };
    let Some((arguments, result)) = rest.rsplit_once(" = ") else { return Ok(None) };
    let has_failed = result.starts_with('-');
    let is_sync = ["fsync", "fdatasync"].contains(&name);
    if name.starts_with(['+', '-']) || (has_failed && !is_sync) {
        return Ok(None);
    }
    let arguments = arguments.trim_end().strip_suffix(')').unwrap_or(arguments);
    let parts = split(arguments);
    let part = |index: usize| parts.get(index).copied().unwrap_or_default();
    let number = |index: usize| -> Result<usize> {
        part(index).parse().with_context(|| format!("a number in {line:.200}"))
    };
    Ok(Some(match name {
        "openat" => Call::Open(path(part(1))?),
        "write" if part(0).starts_with("1<") => {
            Call::Say(String::from_utf8_lossy(&bytes(part(1))?).into_owned())
        }
        // Files of the store are written at places.
        "write" => return Ok(None),
        "pwrite64" => {
            let mut bytes = bytes(part(1))?;
            bytes.truncate(result.split(' ').next().unwrap_or_default().parse()?);
            Call::Write { file: descriptor(part(0))?, at: number(3)?, bytes }
        }
        "ftruncate" => Call::Truncate { file: descriptor(part(0))?, length: number(1)? },
        "fallocate" => bail!("the store allocates, which is not modelled: {line:.200}"),
        "fsync" | "fdatasync" if has_failed => Call::FailedSync(descriptor(part(0))?),
        "fsync" | "fdatasync" => Call::Sync(descriptor(part(0))?),
        "rename" => Call::Rename { from: path(part(0))?, to: path(part(1))? },
        "unlink" => Call::Unlink(path(part(0))?),
        _ => return Ok(None),
    }))
}

/// Arguments, apart from each other; a text has no comma, because it is all escapes.
fn split(arguments: &str) -> Vec<&str> {
    arguments.split(", ").collect()
}

/// The bytes of `"\x61\x62"`.
fn bytes(text: &str) -> Result<Vec<u8>> {
    let inner = text.trim_start_matches('"');
    let inner = inner.split('"').next().unwrap_or_default();
    let digits = inner.split("\\x").skip(1);
    digits.map(|two| u8::from_str_radix(two, 16).context("two digits")).collect()
}

fn path(text: &str) -> Result<PathBuf> {
    Ok(PathBuf::from(String::from_utf8(bytes(text)?)?))
}

/// The path of `5<"\x2f\x74">` or `5<\x2f\x74>`.
fn descriptor(text: &str) -> Result<PathBuf> {
    let (_, named) = text.split_once('<').with_context(|| format!("a descriptor: {text:.80}"))?;
    let named = named.trim_end_matches('>');
    if named.contains("\\x") { path(named) } else { Ok(Path::new(named).to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_with_their_data_and_of_those_that_failed_only_syncs() {
        let text = "\
7 openat(AT_FDCWD, \"\\x2f\\x61\", O_RDWR|O_CREAT, 0644) = 3<\\x2f\\x61>
7 pwrite64(3<\\x2f\\x61>, \"\\x01\\x02\\x03\", 3, 4096) = 2
7 pwrite64(3<\\x2f\\x61>, \"\\x01\", 1, 0) = -1 EIO (Input/output error) (INJECTED)
8 fdatasync(3<\\x2f\\x61> <unfinished ...>
7 fsync(3<\\x2f\\x61>) = -1 EIO (Input/output error) (INJECTED)
7 write(1<\\x70>, \"\\x6f\\x6b\\x0a\", 3) = 3
8 <... fdatasync resumed>) = 0
8 +++ exited with 0 +++
";
        let file = PathBuf::from("/a");
        let expected = [
            Call::Open(file.clone()),
            Call::Write { file: file.clone(), at: 4096, bytes: vec![1, 2] },
            Call::FailedSync(file.clone()),
            Call::Say("ok\n".to_owned()),
            Call::Sync(file),
        ];
        assert_eq!(parse(text).unwrap(), expected);
    }
}
