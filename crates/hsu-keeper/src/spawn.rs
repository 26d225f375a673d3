//! Starting a process: one `clone` that shares our memory until the program runs.
//!
//! The child borrows our address space and descriptor table, so the cost does
//! not depend on how much we hold: it takes a table of its own with the few low
//! descriptors, becomes what the request says, and executes. Only raw system
//! calls happen in between: wrappers of the C library would change every thread
//! of ours (`setuid`) or take locks. Errors come back through the shared memory.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use hsu_model::execution::{Resource, ResourceLimit};

use crate::inventory::Slot;
use crate::kernel;
use crate::protocol::{Capture, Identity, Program, Stage};

/// The first low descriptor; each spawner has four from here on.
const LOW: RawFd = 4;
/// Spawners at most.
pub(crate) const SPAWNERS: usize = 4;
const STACK: usize = 64 << 10;

/// What is started.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    pub(crate) program: &'a Program,
    pub(crate) identity: Option<&'a Identity>,
    pub(crate) umask: Option<u32>,
    pub(crate) nice: Option<i32>,
    pub(crate) rlimits: &'a [ResourceLimit],
    pub(crate) capture: Capture,
    /// Standard error stays ours, for the master and the pump.
    pub(crate) own_output: bool,
    /// Where the child writes its PID.
    pub(crate) slot: Option<&'static Slot>,
}

/// What was started.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) pid: u32,
    pub(crate) handle: OwnedFd,
    pub(crate) stdout: Option<OwnedFd>,
    pub(crate) stderr: Option<OwnedFd>,
}

/// Why nothing was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) stage: Stage,
    pub(crate) errno: i32,
}

impl Failed {
    fn resources(error: &io::Error) -> Self {
        Self { stage: Stage::Resources, errno: error.raw_os_error().unwrap_or(libc::EAGAIN) }
    }
}

/// Starts processes from one thread: it owns a stack and four low descriptors.
#[derive(Debug)]
pub(crate) struct Spawner {
    stack: Vec<u8>,
    low: RawFd,
    limit: libc::rlimit,
}

/// Fills the low descriptors with the null device, before anything else is opened.
pub(crate) fn reserve_low_descriptors() -> io::Result<()> {
    // SAFETY: the path is a constant text with its zero.
    let null = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) };
    kernel::check(null.into())?;
    let last = LOW + RawFd::try_from(SPAWNERS * 4).unwrap_or(0);
    for fd in 0..last {
        // SAFETY: no memory is passed.
        let is_open = unsafe { libc::fcntl(fd, libc::F_GETFD) } >= 0;
        if fd == null || is_open && fd <= 2 {
            continue;
        }
        let flags = if fd <= 2 { 0 } else { libc::O_CLOEXEC };
        // SAFETY: no memory is passed; whatever was at `fd` is not ours to keep.
        kernel::check(unsafe { libc::dup3(null, fd, flags) }.into())?;
    }
    if null < last {
        // SAFETY: no memory is passed.
        kernel::check(unsafe { libc::fcntl(null, libc::F_SETFD, libc::FD_CLOEXEC) }.into())?;
    } else {
        // SAFETY: this descriptor is ours and is not used again.
        unsafe { libc::close(null) };
    }
    Ok(())
}

/// The limit on descriptors that workers get: ours, before we raised it.
pub(crate) fn descriptor_limit() -> libc::rlimit {
    let mut limit = libc::rlimit { rlim_cur: 1024, rlim_max: 1024 };
    // SAFETY: the structure outlives the call.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    limit
}

impl Spawner {
    /// The spawner with this number, below [`SPAWNERS`].
    pub(crate) fn new(number: usize, limit: libc::rlimit) -> Self {
        let low = LOW + RawFd::try_from(number * 4).unwrap_or(0);
        Self { stack: vec![0; STACK], low, limit }
    }

    /// Starts a process. Returns when the program runs, or could not.
    pub(crate) fn spawn(&mut self, launch: &Launch<'_>) -> Result<Started, Failed> {
        let (stdout, stdout_write) = self.stream(launch.capture.stdout, 1, launch.own_output)?;
        let (stderr, stderr_write) = self.stream(launch.capture.stderr, 2, launch.own_output)?;
        let pointers = |texts: &[CString]| -> Vec<*const libc::c_char> {
            texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
        };
        let (args, env) = (pointers(&launch.program.args), pointers(&launch.program.env));
        let child = Child {
            launch,
            args: args.as_ptr(),
            env: env.as_ptr(),
            low: self.low,
            limit: self.limit,
            stage: AtomicU32::new(NO_ERROR),
            errno: AtomicI32::new(0),
        };
        let cloned = self.clone_child(&child);
        drop((stdout_write, stderr_write));
        self.close_low();
        let (pid, handle) = cloned.map_err(|error| Failed::resources(&error))?;
        let stage = child.stage.load(Ordering::Acquire);
        if stage == NO_ERROR {
            return Ok(Started { pid, handle, stdout, stderr });
        }
        // It never became the program: nobody else shall hear of it.
        let which = kernel::Which::This(std::os::fd::AsFd::as_fd(&handle));
        while matches!(kernel::wait(which, kernel::Reap::Yes), Ok(None)) {
            std::thread::yield_now();
        }
        let stages = [Stage::Resources, Stage::Limits, Stage::Identity, Stage::Directory];
        let stage = usize::try_from(stage).ok().and_then(|stage| stages.get(stage).copied());
        let errno = child.errno.load(Ordering::Relaxed);
        Err(Failed { stage: stage.unwrap_or(Stage::Execute), errno })
    }

    /// A pipe for one stream; its write end is put at the low descriptor.
    fn stream(
        &self,
        capture: bool,
        place: RawFd,
        own: bool,
    ) -> Result<(Option<OwnedFd>, Option<OwnedFd>), Failed> {
        let put = |from: RawFd| {
            // SAFETY: no memory is passed; the low descriptor is ours.
            let done = unsafe { libc::dup3(from, self.low + place, libc::O_CLOEXEC) };
            kernel::check(done.into()).map_err(|error| Failed::resources(&error))
        };
        if !capture {
            if own {
                put(place)?;
            }
            return Ok((None, None));
        }
        let (read, write) = kernel::pipe().map_err(|error| Failed::resources(&error))?;
        put(write.as_raw_fd())?;
        Ok((Some(read), Some(write)))
    }

    /// Puts the null device back, so that no write end stays open with us.
    fn close_low(&self) {
        for place in 1..=2 {
            // SAFETY: no memory is passed; both descriptors are ours.
            unsafe { libc::dup3(self.low, self.low + place, libc::O_CLOEXEC) };
        }
    }

    fn clone_child(&mut self, child: &Child<'_>) -> io::Result<(u32, OwnedFd)> {
        let mut handle: RawFd = -1;
        let flags = libc::CLONE_VM
            | libc::CLONE_VFORK
            | libc::CLONE_FILES
            | libc::CLONE_PIDFD
            | libc::SIGCHLD;
        let end = self.stack.as_mut_ptr_range().end;
        let top = end.wrapping_sub(end.addr() % 16);
        let argument = std::ptr::from_ref(child).cast_mut().cast::<libc::c_void>();
        // SAFETY: the child runs on a stack of its own while this thread waits; it
        // only makes system calls and writes to atomics; every pointer outlives it.
        let pid = unsafe { libc::clone(run_child, top.cast(), flags, argument, &raw mut handle) };
        let pid = kernel::check(pid.into())?;
        // SAFETY: the kernel gave this descriptor to us alone.
        let handle = unsafe { OwnedFd::from_raw_fd(handle) };
        Ok((u32::try_from(pid).unwrap_or(0), handle))
    }
}

const NO_ERROR: u32 = u32::MAX;

/// What the child needs, in the memory that it shares with us.
struct Child<'a> {
    launch: &'a Launch<'a>,
    args: *const *const libc::c_char,
    env: *const *const libc::c_char,
    low: RawFd,
    limit: libc::rlimit,
    stage: AtomicU32,
    errno: AtomicI32,
}

extern "C" fn run_child(argument: *mut libc::c_void) -> libc::c_int {
    // SAFETY: the parent passed this and waits until we execute or exit.
    let child = unsafe { &*argument.cast::<Child<'_>>() };
    let stage = become_worker(child);
    // SAFETY: the C library's error number of the waiting thread, which we share.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: the place is that thread's for as long as it lives.
    let errno = unsafe { place.read() };
    child.errno.store(errno, Ordering::Relaxed);
    child.stage.store(stage as u32, Ordering::Release);
    // SAFETY: ends this process only, without running anything of the parent's.
    unsafe { libc::syscall(libc::SYS_exit_group, 127) };
    127
}

/// Returns only when something failed.
fn become_worker(child: &Child<'_>) -> Stage {
    let launch = child.launch;
    // SAFETY: no memory is passed.
    let pid = unsafe { libc::syscall(libc::SYS_getpid) };
    if let Some(slot) = launch.slot {
        slot.pid.store(u32::try_from(pid).unwrap_or(0), Ordering::Release);
    }
    // SAFETY: no memory is passed.
    unsafe { libc::syscall(libc::SYS_setsid) };
    take_descriptors(child.low);
    reset_signals();
    if !set_limits(child) {
        return Stage::Limits;
    }
    if launch.identity.is_some_and(|identity| !take_identity(identity)) {
        return Stage::Identity;
    }
    if let Some(mask) = launch.umask {
        // SAFETY: no memory is passed; the mask is ours alone (no CLONE_FS).
        unsafe { libc::syscall(libc::SYS_umask, mask) };
    }
    // SAFETY: the text ends with its zero.
    if unsafe { libc::syscall(libc::SYS_chdir, launch.program.cwd.as_ptr()) } < 0 {
        return Stage::Directory;
    }
    // SAFETY: the program and both lists end with their zeroes.
    unsafe {
        libc::syscall(libc::SYS_execve, launch.program.executable.as_ptr(), child.args, child.env)
    };
    Stage::Execute
}

/// A table of our own with nothing but the three standard descriptors.
fn take_descriptors(low: RawFd) {
    // Source: close_range(2), CLOSE_RANGE_UNSHARE: only what stays is copied.
    const UNSHARE: libc::c_uint = 1 << 1;
    // SAFETY: no memory is passed.
    unsafe { libc::syscall(libc::SYS_close_range, low + 3, libc::c_uint::MAX, UNSHARE) };
    for place in 0..3 {
        // SAFETY: no memory is passed; the table is ours alone by now.
        unsafe { libc::syscall(libc::SYS_dup3, low + place, place, 0) };
    }
    // SAFETY: no memory is passed.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
}

fn reset_signals() {
    // SAFETY: all zeroes is a valid sigaction: the default.
    let default: libc::sigaction = unsafe { std::mem::zeroed() };
    for signal in 1..=64 {
        // SAFETY: the structure outlives the call; the table of actions is ours alone.
        unsafe { libc::sigaction(signal, &raw const default, std::ptr::null_mut()) };
    }
    let none = 0_u64;
    // SAFETY: the kernel reads eight bytes of a live variable.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const none,
            std::ptr::null::<u64>(),
            8,
        )
    };
}

fn set_limits(child: &Child<'_>) -> bool {
    let set = |resource: libc::c_uint, limit: &libc::rlimit| {
        let (new, old) = (std::ptr::from_ref(limit), std::ptr::null::<libc::rlimit>());
        // SAFETY: the structure outlives the call.
        let done = unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, new, old) };
        done >= 0
    };
    // Ours was raised; workers get what we were given.
    set(7, &child.limit);
    let all = child.launch.rlimits.iter().all(|limit| {
        let value = libc::rlimit { rlim_cur: limit.soft, rlim_max: limit.hard };
        set(resource_number(limit.resource), &value)
    });
    let nice = child.launch.nice.is_none_or(|nice| {
        // SAFETY: no memory is passed.
        unsafe { libc::syscall(libc::SYS_setpriority, libc::PRIO_PROCESS, 0, nice) >= 0 }
    });
    all && nice
}

// Source: asm-generic/resource.h; the same on every architecture that we support.
fn resource_number(resource: Resource) -> libc::c_uint {
    match resource {
        Resource::Cpu => 0,
        Resource::FileSize => 1,
        Resource::Data => 2,
        Resource::Stack => 3,
        Resource::Core => 4,
        Resource::Processes => 6,
        Resource::OpenFiles => 7,
        Resource::LockedMemory => 8,
        Resource::AddressSpace => 9,
    }
}

fn take_identity(identity: &Identity) -> bool {
    let (uid, gid) = (identity.uid, identity.gid);
    // SAFETY: the list outlives the call, and its length is given.
    let groups = unsafe {
        libc::syscall(libc::SYS_setgroups, identity.groups.len(), identity.groups.as_ptr())
    };
    // SAFETY: no memory is passed.
    let group = unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) };
    // SAFETY: no memory is passed.
    let user = unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) };
    // Without privilege only what one is already can be taken; groups stay then.
    // SAFETY: no memory is passed.
    let is_already = unsafe { libc::geteuid() } == uid;
    (groups >= 0 || is_already) && group >= 0 && user >= 0
}
