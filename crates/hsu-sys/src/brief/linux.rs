//! Brief processes on Unix: a process group, a pipe for both streams, and a cell.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, PipeReader, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hsu_model::process::ProcessKey;

use super::{Answer, BRIEF_VARIABLE, Brief, Ending};
use crate::process::waited::Waited;
use crate::process::{ProcessHandle, identify};
use crate::procfs::{self, Seen};
use crate::tree::{Cell, Counted, MOST_PROCESSES};

/// How often it is asked whether the answer is still wanted.
const ASKED: Duration = Duration::from_millis(100);
/// How long what was killed may take to close its output.
const CLOSED_WITHIN: Duration = Duration::from_millis(200);
/// How often what is left is looked for and killed.
const ROUNDS: usize = 50;
/// Read at once.
const BLOCK: usize = 64 << 10;
/// Room for the beginning of an environment, where our own variables are.
const ENVIRONMENT: usize = 64 << 10;

static NEXT: AtomicU64 = AtomicU64::new(1);

pub(super) fn run(brief: &Brief, cell: &Cell, is_wanted: &dyn Fn() -> bool) -> io::Result<Answer> {
    let begin = Instant::now();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mark = format!("{}-{number}", std::process::id());
    let (mut reader, writer) = io::pipe()?;
    let mut command = command(brief, &mark);
    command.stdout(writer.try_clone()?).stderr(writer);
    if cell.make() == Counted::No {
        hold_back(&mut command, brief);
    }
    for door in cell.doors() {
        enter(&mut command, door);
    }
    let mut waited = Waited::spawn(&mut command)?;
    // The ends of the pipe that we gave away are closed with it.
    drop(command);
    let pid = waited.child.id();
    // It is our child and nobody else reaps it: the PID is its own.
    let key = identify(pid).ok();
    let is_enclosed = key.is_some_and(|key| cell.take(key));
    if let (Some(input), Some(mut stdin)) = (&brief.input, waited.child.stdin.take()) {
        // What does not fit is not waited for; a program may not want to read at all.
        drop(stdin.write_all(input.get(..BLOCK.min(input.len())).unwrap_or_default()));
    }
    let handle = key.and_then(|key| ProcessHandle::open(key).ok());
    let mut kept = Kept { output: Vec::new(), most: brief.keep, is_open: true };
    let early = loop {
        if has_ended(&mut waited, handle.as_ref())? {
            break None;
        }
        let left = brief.timeout.saturating_sub(begin.elapsed());
        if left.is_zero() {
            break Some(Ending::Overdue);
        }
        if !is_wanted() {
            break Some(Ending::Unwanted);
        }
        wait(&reader, handle.as_ref(), kept.is_open, left.min(ASKED));
        kept.read(&mut reader)?;
    };
    let survivors = end(pid, key, &mark, cell, is_enclosed, early.is_some());
    let status = waited.child.wait()?;
    let closing = Instant::now();
    while kept.is_open && closing.elapsed() < CLOSED_WITHIN {
        wait(&reader, None, true, CLOSED_WITHIN.saturating_sub(closing.elapsed()));
        kept.read(&mut reader)?;
    }
    Ok(Answer { ending: early.unwrap_or_else(|| ending(status)), output: kept.output, survivors })
}

fn command(brief: &Brief, mark: &str) -> Command {
    let mut command = Command::new(&brief.program);
    let variables = brief.environment.iter().map(|(name, value)| (name, value));
    command.args(&brief.args).env_clear().env(BRIEF_VARIABLE, mark).envs(variables);
    command.process_group(0);
    command.stdin(if brief.input.is_some() { Stdio::piped() } else { Stdio::null() });
    if let Some(folder) = &brief.folder {
        command.current_dir(folder);
    }
    if let Some(identity) = &brief.identity {
        command.uid(identity.uid).gid(identity.gid);
    }
    command
}

/// Has the child go into a cell by itself, before it is the program: what that starts in
/// its first moment is inside, too. A door that does not open is no failure; who stays
/// outside is put into the cell afterwards.
fn enter(command: &mut Command, door: File) {
    let go_in = move || {
        // Source: cgroups(7), "0" is whoever writes.
        // SAFETY: the descriptor is open and the text is two bytes long.
        unsafe { libc::write(door.as_raw_fd(), c"0\n".as_ptr().cast(), 2) };
        Ok(())
    };
    // SAFETY: between fork and exec it makes one call of the system, and allocates nothing.
    unsafe { command.pre_exec(go_in) };
}

/// Bounds what it may start by what its user may have, beside what that one has already:
/// threads count, too. Root has no such bound.
// Source: getrlimit(2), RLIMIT_NPROC.
fn hold_back(command: &mut Command, brief: &Brief) {
    let user = brief.identity.as_ref().map_or_else(crate::users::effective, |who| who.uid);
    if user == 0 {
        return;
    }
    let most = threads_of(user).saturating_add(MOST_PROCESSES.into());
    let bound = move || {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the kernel writes into the structure, which outlives the call.
        if unsafe { libc::getrlimit(libc::RLIMIT_NPROC, &raw mut limit) } == 0 {
            limit.rlim_cur = limit.rlim_cur.min(most);
            limit.rlim_max = limit.rlim_max.min(most);
            // SAFETY: it reads the structure only. One that it refuses changes nothing.
            unsafe { libc::setrlimit(libc::RLIMIT_NPROC, &raw const limit) };
        }
        Ok(())
    };
    // SAFETY: between fork and exec it makes two calls of the system, and allocates nothing.
    unsafe { command.pre_exec(bound) };
}

/// The processes of a user, with their threads.
fn threads_of(user: u32) -> u64 {
    let is_theirs = |pid: &u32| {
        let found = std::fs::metadata(format!("/proc/{pid}"));
        found.is_ok_and(|found| std::os::unix::fs::MetadataExt::uid(&found) == user)
    };
    let seen = pids().filter(is_theirs).filter_map(|pid| Seen::look(pid).ok());
    seen.map(|seen| seen.threads()).sum()
}

fn ending(status: ExitStatus) -> Ending {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Code(code),
        (None, signal) => Ending::Signal(signal.unwrap_or(0)),
    }
}

/// Whether it has ended. It is not reaped yet where there is a hold on it, so that its
/// group can be killed by number.
fn has_ended(waited: &mut Waited, handle: Option<&ProcessHandle>) -> io::Result<bool> {
    match handle {
        Some(handle) => Ok(handle.has_exited()),
        None => Ok(waited.child.try_wait()?.is_some()),
    }
}

/// What is kept of the output.
struct Kept {
    output: Vec<u8>,
    most: usize,
    is_open: bool,
}

impl Kept {
    /// Reads what is there; what is beyond the beginning is thrown away.
    fn read(&mut self, reader: &mut PipeReader) -> io::Result<()> {
        if !self.is_open || !is_readable(reader) {
            return Ok(());
        }
        let mut block = [0; 8 << 10];
        match reader.read(&mut block) {
            Ok(0) => self.is_open = false,
            Ok(count) => {
                let room = self.most.saturating_sub(self.output.len());
                self.output.extend_from_slice(block.get(..count.min(room)).unwrap_or_default());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn is_readable(reader: &PipeReader) -> bool {
    let mut slot = libc::pollfd { fd: reader.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: the structure outlives the call.
    unsafe { libc::poll(&raw mut slot, 1, 0) > 0 }
}

/// Sleeps until there is output, the process has ended, or the time is over.
fn wait(reader: &PipeReader, handle: Option<&ProcessHandle>, is_open: bool, most: Duration) {
    use std::os::fd::AsFd as _;
    // Without a hold its end is looked for.
    let most = if handle.is_none() { most.min(Duration::from_millis(10)) } else { most };
    let watched = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let end = handle.map_or(-1, |handle| handle.as_fd().as_raw_fd());
    let mut slots = [watched(if is_open { reader.as_raw_fd() } else { -1 }), watched(end)];
    let milliseconds = i32::try_from(most.as_millis()).unwrap_or(i32::MAX).max(1);
    // SAFETY: the structures outlive the call, and there are two of them.
    unsafe { libc::poll(slots.as_mut_ptr(), 2, milliseconds) };
}

/// Kills the group and the cell, and whatever is known to be left; what survives.
fn end(
    pid: u32,
    key: Option<ProcessKey>,
    mark: &str,
    cell: &Cell,
    is_enclosed: bool,
    is_early: bool,
) -> Vec<u32> {
    let mut descendants = match key {
        // A cell needs no search before it is cleared: what spins in it leaves us no time.
        Some(key) if is_early && !is_enclosed => descendants_of(key),
        Some(_) | None => BTreeMap::new(),
    };
    let group = i32::try_from(pid).map_or(0, |pid| -pid);
    if group < -1 {
        // SAFETY: no memory is passed. The group is its own while it is not reaped.
        unsafe { libc::kill(group, libc::SIGKILL) };
    }
    let enclosed = if is_enclosed { cell.clear() } else { Vec::new() };
    if !is_early {
        return enclosed;
    }
    // What has left group and cell before it was enclosed is known by its mark only.
    for round in 0..ROUNDS {
        let known = descendants.len();
        descendants.extend(marked(mark));
        let is_growing = descendants.len() > known;
        descendants.retain(|_, process| is_alive(*process) && process.pid != pid);
        if descendants.is_empty() {
            break;
        }
        // Whoever stands still makes no more of its kind, and no room for others to do so.
        let is_held = is_growing && round < ROUNDS / 2;
        let signal = if is_held { libc::SIGSTOP } else { libc::SIGKILL };
        for process in descendants.values() {
            if let Ok(handle) = ProcessHandle::open(*process) {
                drop(handle.signal(signal));
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    descendants.into_keys().collect()
}

fn is_alive(process: ProcessKey) -> bool {
    Seen::look(process.pid).is_ok_and(|seen| seen.key == process && !seen.has_ended())
}

fn descendants_of(root: ProcessKey) -> BTreeMap<u32, ProcessKey> {
    let all: Vec<Seen> = pids().filter_map(|pid| Seen::look(pid).ok()).collect();
    let mut found = BTreeMap::from([(root.pid, root)]);
    loop {
        let before = found.len();
        let below = all.iter().filter(|seen| found.contains_key(&seen.parent));
        let below: Vec<_> = below.map(|seen| (seen.key.pid, seen.key)).collect();
        found.extend(below);
        if found.len() == before {
            return found;
        }
    }
}

/// Processes whose environment has the mark.
fn marked(mark: &str) -> BTreeMap<u32, ProcessKey> {
    let mut found = BTreeMap::new();
    for_each_marked(mark, |process| found.extend([(process.pid, process)]));
    found
}

fn for_each_marked(mark: &str, mut each: impl FnMut(ProcessKey)) {
    let wanted = format!("{BRIEF_VARIABLE}={mark}\0");
    let mut buffer = vec![0; ENVIRONMENT];
    for pid in pids() {
        let text = procfs::read(pid, "environ", &mut buffer).unwrap_or_default();
        if text.windows(wanted.len()).any(|part| part == wanted.as_bytes())
            && let Ok(process) = identify(pid)
        {
            each(process);
        }
    }
}

/// Every PID in the order of the kernel, which is upwards; not listed before it is asked
/// for, so that those who are born meanwhile are among them.
fn pids() -> impl Iterator<Item = u32> {
    let folder = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    folder.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}
