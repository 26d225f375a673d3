//! The dead mount: a file system that greets the kernel and never answers again.
//!
//! A process that asks it for anything waits in state D. Once a request has been
//! read here, the kernel waits for its answer whatever signal comes; the wait
//! ends with this process.

use std::error::Error;
use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;

/// The kernel refuses to be read into less.
// Source: linux/fuse.h, FUSE_MIN_READ_BUFFER, and room for the largest request.
const ROOM: usize = 1 << 18;
/// The request that comes first, in the second word of its header.
// Source: linux/fuse.h, enum fuse_opcode.
const INIT: u32 = 26;

/// Mounts the file system and holds it until this process is killed.
pub(crate) fn run(at: &Path) -> Result<ExitCode, Box<dyn Error>> {
    let mut device = OpenOptions::new().read(true).write(true).open("/dev/fuse")?;
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    let options = format!(
        "fd=0,rootmode=40000,user_id={},group_id={},allow_other",
        user.as_raw(),
        group.as_raw()
    );
    let mounted = Command::new("mount")
        .args(["-i", "-t", "fuse", "-o", &options, "dead"])
        .arg(at)
        .stdin(device.try_clone()?)
        .status()?;
    if !mounted.success() {
        return Err(format!("mount ended with {mounted}").into());
    }
    let mut request = vec![0; ROOM];
    let length = device.read(&mut request)?;
    device.write_all(&greeting(&request[..length])?)?;
    // Each request is taken, so that the kernel believes in an answer.
    let mut asked = at.as_os_str().to_owned();
    asked.push(".asked");
    let mut note = OpenOptions::new().create(true).append(true).open(asked)?;
    while device.read(&mut request).is_ok() {
        // Source: linux/fuse.h, struct fuse_in_header, pid.
        let pid = request.get(32..36).and_then(|bytes| bytes.try_into().ok());
        note.write_all(format!("{}\n", pid.map_or(0, u32::from_ne_bytes)).as_bytes())?;
    }
    loop {
        thread::park();
    }
}

/// The answer to the first request.
// Source: linux/fuse.h, struct fuse_out_header and struct fuse_init_out.
fn greeting(request: &[u8]) -> io::Result<Vec<u8>> {
    let strange = || io::Error::new(io::ErrorKind::InvalidData, "this is no first request");
    let word = |at: usize| -> io::Result<u32> {
        let bytes = request.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u32::from_ne_bytes).ok_or_else(strange)
    };
    if word(4)? != INIT {
        return Err(strange());
    }
    let unique = request.get(8..16).ok_or_else(strange)?;
    let mut answer = Vec::with_capacity(80);
    for number in [80_u32, 0] {
        answer.extend(number.to_ne_bytes());
    }
    answer.extend(unique);
    // Version 7.31, no flags, and room for one page.
    for number in [7_u32, 31, 0, 0, 0, 4096, 1] {
        answer.extend(number.to_ne_bytes());
    }
    answer.resize(80, 0);
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_first_request_is_greeted() {
        let mut request = vec![0; 40];
        assert!(greeting(&request).is_err());
        request[4] = 26;
        request[8] = 7;
        let answer = greeting(&request).unwrap();
        assert_eq!((answer.len(), answer[0], answer[8]), (80, 80, 7));
    }
}
