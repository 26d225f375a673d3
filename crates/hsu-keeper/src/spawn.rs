//! Starting a process: one `clone` that shares our memory until the program runs. The
//! call itself is in [`crate::birth`].
//!
//! The child borrows our address space and descriptor table, so the cost does
//! not depend on how much we hold: it takes a table of its own with the few low
//! descriptors, becomes what the request says, and executes. Only raw system
//! calls happen in between: wrappers of the C library would change every thread
//! of ours (`setuid`) or take locks. Errors come back through the shared memory.
//! The last step is to claim the slot in the inventory: a child whose keeper was
//! killed meanwhile, and whose start was withdrawn, ends instead of executing.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

use hsu_model::execution::{Resource, ResourceLimit};

use crate::birth::{self, Stack};
use crate::kernel;
use crate::protocol::{Identity, Program, Stage};
use crate::table::slot::{Claim, Slot};

mod passing;

pub(crate) use passing::MOST_PASSED;
use passing::Passing;

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
    /// The files through which the child enters its groups.
    pub(crate) entrances: &'a [CString],
    pub(crate) stdout: Output<'a>,
    pub(crate) stderr: Output<'a>,
    /// The folder of the cgroup that it shall be born in.
    pub(crate) cgroup: Option<&'a CStr>,
    /// What is passed besides, with names.
    pub(crate) passed: &'a [(String, OwnedFd)],
    /// Where it says that it is ready, and at which number.
    pub(crate) ready: Option<(u32, &'a OwnedFd)>,
    /// What the child claims before it executes.
    pub(crate) slot: Option<&'static Slot>,
}

/// Where a stream goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Output<'a> {
    /// Nowhere.
    Null,
    /// Where ours goes: for the master and the pump.
    Ours,
    /// Into this pipe.
    Pipe(BorrowedFd<'a>),
}

impl<'a> Output<'a> {
    /// Into a pipe, if there is one.
    pub(crate) fn to(pipe: Option<&'a OwnedFd>) -> Self {
        pipe.map_or(Self::Null, |pipe| Self::Pipe(pipe.as_fd()))
    }
}

/// What was started.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) pid: u32,
    /// In clock ticks after boot; 0 when `/proc` does not tell.
    pub(crate) started_at: u64,
    pub(crate) handle: OwnedFd,
    /// Whether it was born in the cgroup that was asked for.
    pub(crate) is_enclosed: bool,
}

/// Why nothing was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) stage: Stage,
    pub(crate) errno: i32,
}

impl Failed {
    pub(crate) fn resources(error: &io::Error) -> Self {
        Self { stage: Stage::Resources, errno: error.raw_os_error().unwrap_or(libc::EAGAIN) }
    }
}

/// Starts processes from one thread: it owns a stack and four low descriptors.
#[derive(Debug)]
pub(crate) struct Spawner {
    stack: Stack,
    low: RawFd,
    limits: DescriptorLimits,
    tick: u64,
}

/// How many descriptors workers may have, and how many we may.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DescriptorLimits {
    pub(crate) workers: libc::rlimit,
    pub(crate) own: RawFd,
}

/// Descriptors that starts leave free: for those under way, and for connections.
const SPARE: RawFd = 96;
/// Four for each place of the table, which takes three at most: room is certain.
const PLENTY: RawFd = 16 << 10;

impl DescriptorLimits {
    /// Whether another start fits, by the lowest descriptor that is free.
    ///
    /// # Errors
    /// `EMFILE` when it does not.
    pub(crate) fn check_room(&self) -> io::Result<()> {
        if self.own >= PLENTY {
            return Ok(());
        }
        // SAFETY: no memory is passed; the first low descriptor is always open.
        let free = unsafe { libc::fcntl(LOW, libc::F_DUPFD_CLOEXEC, 0) };
        let free = kernel::own(free.into())?;
        if free.as_raw_fd() > self.own.saturating_sub(SPARE) {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        Ok(())
    }
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
    pub(crate) fn new(number: usize, limits: DescriptorLimits) -> Self {
        let low = LOW + RawFd::try_from(number * 4).unwrap_or(0);
        Self { stack: Stack::new(STACK), low, limits, tick: kernel::nanoseconds_per_tick() }
    }

    /// Starts a process. Returns when the program runs, or could not.
    pub(crate) fn spawn(&mut self, launch: &Launch<'_>) -> Result<Started, Failed> {
        if launch.identity.is_some_and(|identity| !is_somebody(identity)) {
            return Err(Failed { stage: Stage::Identity, errno: libc::EINVAL });
        }
        self.put(launch.stdout, 1).map_err(|error| Failed::resources(&error))?;
        self.put(launch.stderr, 2).map_err(|error| Failed::resources(&error))?;
        let pointers = |texts: &[CString]| -> Vec<*const libc::c_char> {
            texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
        };
        let passing = Passing::of(launch.passed, launch.ready);
        let args = pointers(&launch.program.args);
        let own = launch.program.env.iter().map(|text| text.as_ptr());
        let env: Vec<_> = own.chain(passing.variables()).chain([std::ptr::null()]).collect();
        let child = Child {
            launch,
            args: args.as_ptr(),
            env: env.as_ptr(),
            passing: &passing,
            low: self.low,
            limit: self.limits.workers,
            offered: launch.slot.map(Slot::claim),
            tick: self.tick,
            cloned_after: kernel::nanoseconds_after_boot(),
            started_at: AtomicU64::new(0),
            stage: AtomicU32::new(NO_ERROR),
            errno: AtomicI32::new(0),
        };
        let cloned = self.clone_child(&child);
        self.take_back(launch.stdout, 1);
        self.take_back(launch.stderr, 2);
        let (pid, handle, is_enclosed) = cloned.map_err(|error| Failed::resources(&error))?;
        let stage = child.stage.load(Ordering::Acquire);
        if stage == NO_ERROR {
            let started_at = child.started_at.load(Ordering::Relaxed);
            return Ok(Started { pid, started_at, handle, is_enclosed });
        }
        // It never became the program: nobody else shall hear of it.
        let which = kernel::Which::This(handle.as_fd());
        while matches!(kernel::wait(which, kernel::Reap::Yes), Ok(None)) {
            std::thread::yield_now();
        }
        let stages = [
            Stage::Resources,
            Stage::Limits,
            Stage::Identity,
            Stage::Directory,
            Stage::Execute,
            Stage::Nice,
            Stage::Policy,
            Stage::Group,
        ];
        let stage = usize::try_from(stage).ok().and_then(|stage| stages.get(stage).copied());
        let errno = child.errno.load(Ordering::Relaxed);
        Err(Failed { stage: stage.unwrap_or(Stage::Execute), errno })
    }

    /// Puts a stream at its low descriptor, where the null device is otherwise.
    fn put(&self, output: Output<'_>, place: RawFd) -> io::Result<()> {
        let from = match output {
            Output::Null => return Ok(()),
            Output::Ours => place,
            Output::Pipe(pipe) => pipe.as_raw_fd(),
        };
        // SAFETY: no memory is passed; the low descriptor is ours.
        let done = unsafe { libc::dup3(from, self.low + place, libc::O_CLOEXEC) };
        kernel::check(done.into()).map(drop)
    }

    /// Puts the null device back, so that no write end stays open with us.
    fn take_back(&self, output: Output<'_>, place: RawFd) {
        if !matches!(output, Output::Null) {
            // SAFETY: no memory is passed; both descriptors are ours.
            unsafe { libc::dup3(self.low, self.low + place, libc::O_CLOEXEC) };
        }
    }

    /// Makes the child, in the cgroup that is asked for when that can be; whether it is.
    fn clone_child(&mut self, child: &Child<'_>) -> io::Result<(u32, OwnedFd, bool)> {
        let argument = std::ptr::from_ref(child).cast_mut().cast::<libc::c_void>();
        if let Some(cgroup) = child.launch.cgroup
            && let Ok(cgroup) = kernel::open_folder(cgroup)
            && let Ok((pid, handle)) =
                birth::clone_into(cgroup.as_fd(), &mut self.stack, run_child, argument)
        {
            return Ok((pid, handle, true));
        }
        let (pid, handle) = birth::clone(&mut self.stack, run_child, argument)?;
        Ok((pid, handle, false))
    }
}

const NO_ERROR: u32 = u32::MAX;

/// What the child needs, in the memory that it shares with us.
struct Child<'a> {
    launch: &'a Launch<'a>,
    args: *const *const libc::c_char,
    env: *const *const libc::c_char,
    passing: &'a Passing,
    low: RawFd,
    limit: libc::rlimit,
    offered: Option<Claim>,
    /// The nanoseconds of a clock tick.
    tick: u64,
    /// A time just before the start.
    cloned_after: u64,
    started_at: AtomicU64,
    stage: AtomicU32,
    errno: AtomicI32,
}

extern "C" fn run_child(argument: *mut libc::c_void) -> libc::c_int {
    // SAFETY: the parent passed this and waits until we execute or exit.
    let child = unsafe { &*argument.cast::<Child<'_>>() };
    let stage = become_worker(child);
    let errno = errno_of(-1);
    child.errno.store(errno, Ordering::Relaxed);
    child.stage.store(stage as u32, Ordering::Release);
    // SAFETY: ends this process only, without running anything of the parent's.
    unsafe { libc::syscall(libc::SYS_exit_group, 127) };
    127
}

/// The error number of the call that has just returned this.
fn errno_of(result: libc::c_long) -> i32 {
    if result >= 0 {
        return 0;
    }
    // SAFETY: the C library's error number of the waiting thread, which we share.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: the place is that thread's for as long as it lives.
    unsafe { place.read() }
}

/// Returns only when something failed.
fn become_worker(child: &Child<'_>) -> Stage {
    let launch = child.launch;
    // SAFETY: no memory is passed.
    unsafe { libc::syscall(libc::SYS_setsid) };
    if !take_descriptors(child.low, child.passing) {
        return Stage::Resources;
    }
    let started_at = own_start(child);
    child.started_at.store(started_at, Ordering::Relaxed);
    // While it may still do what its user may not.
    if !launch.entrances.iter().all(enter) {
        return Stage::Group;
    }
    if !set_limits(child) {
        return Stage::Limits;
    }
    if launch.nice.is_some_and(|nice| !set_nice(nice)) {
        return Stage::Nice;
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
    if !take_slot(child, started_at) {
        return Stage::Resources;
    }
    unblock_signals();
    // SAFETY: the program and both lists end with their zeroes.
    let failed = unsafe {
        libc::syscall(libc::SYS_execve, launch.program.executable.as_ptr(), child.args, child.env)
    };
    if let Some(slot) = launch.slot {
        slot.fail(errno_of(failed));
    }
    Stage::Execute
}

/// Claims the start, unless the next keeper has withdrawn it.
fn take_slot(child: &Child<'_>, started_at: u64) -> bool {
    let Some((slot, offered)) = child.launch.slot.zip(child.offered) else {
        return true;
    };
    // SAFETY: no memory is passed.
    let pid = unsafe { libc::syscall(libc::SYS_getpid) };
    slot.take(offered, u32::try_from(pid).unwrap_or(0), started_at)
}

/// When this very process started, in clock ticks after boot. Two looks at the clock
/// tell it, unless a tick begins between them; `/proc` costs a tenth of a start.
fn own_start(child: &Child<'_>) -> u64 {
    let latest = kernel::nanoseconds_after_boot() / child.tick;
    if latest == child.cloned_after / child.tick { latest } else { own_start_in_proc() }
}

fn own_start_in_proc() -> u64 {
    let (path, flags) = (c"/proc/self/stat".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
    // SAFETY: the path is a constant text with its zero.
    let file = unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path, flags) };
    let mut text = [0_u8; 512];
    // SAFETY: the buffer outlives the call, and its length is given.
    let length = unsafe { libc::syscall(libc::SYS_read, file, text.as_mut_ptr(), text.len()) };
    let read = usize::try_from(length).ok().and_then(|length| text.get(..length));
    read.and_then(kernel::started_in).unwrap_or(0)
}

/// Takes a table of our own, with the three standard descriptors and what is passed;
/// whether the kernel gave one. Without it, what follows would go into the keeper's.
fn take_descriptors(low: RawFd, passing: &Passing) -> bool {
    // Source: close_range(2), CLOSE_RANGE_UNSHARE: only what stays is copied.
    const UNSHARE: libc::c_uint = 1 << 1;
    let is_own = if passing.is_empty() {
        // SAFETY: no memory is passed.
        unsafe { libc::syscall(libc::SYS_close_range, low + 3, libc::c_uint::MAX, UNSHARE) >= 0 }
    } else {
        passing.take_table()
    };
    if !is_own {
        return false;
    }
    for place in 0..3 {
        // SAFETY: no memory is passed; the table is ours alone by now.
        unsafe { libc::syscall(libc::SYS_dup3, low + place, place, 0) };
    }
    passing.tell_pid();
    passing.put()
}

fn unblock_signals() {
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

/// Enters a group, which holds from here on for whatever this process becomes.
fn enter(entrance: &CString) -> bool {
    let flags = libc::O_WRONLY | libc::O_CLOEXEC | libc::O_NOFOLLOW;
    // SAFETY: the path ends with its zero.
    let file = unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, entrance.as_ptr(), flags) };
    if file < 0 {
        return false;
    }
    // A zero is whoever writes it. What is no control group gets nothing written.
    let entered = if is_group(file) {
        // SAFETY: the kernel reads one byte of a constant text.
        unsafe { libc::syscall(libc::SYS_write, file, c"0".as_ptr(), 1) }
    } else {
        set_errno(libc::EINVAL);
        -1
    };
    let reason = errno_of(entered);
    // SAFETY: the descriptor is ours alone.
    unsafe { libc::syscall(libc::SYS_close, file) };
    if reason != 0 {
        // The close has not changed why it was refused.
        set_errno(reason);
    }
    entered >= 0
}

/// Whether a file belongs to control groups, of either version.
// Source: linux/magic.h, CGROUP_SUPER_MAGIC and CGROUP2_SUPER_MAGIC.
fn is_group(file: libc::c_long) -> bool {
    let mut about = std::mem::MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: the structure outlives the call.
    let done = unsafe { libc::syscall(libc::SYS_fstatfs, file, about.as_mut_ptr()) };
    // SAFETY: zeroes are a valid structure, and the kernel has filled it or left it alone.
    let about = unsafe { about.assume_init() };
    done >= 0 && matches!(about.f_type, 0x0027_e0eb | 0x6367_7270)
}

/// Says once more why a call failed, after another one that did not.
fn set_errno(reason: i32) {
    // SAFETY: the C library's error number of the waiting thread, which we share.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: the place is that thread's for as long as it lives.
    unsafe { place.write(reason) };
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
    child.launch.rlimits.iter().all(|limit| {
        let value = libc::rlimit { rlim_cur: limit.soft, rlim_max: limit.hard };
        set(resource_number(limit.resource), &value)
    })
}

fn set_nice(nice: i32) -> bool {
    // SAFETY: no memory is passed.
    unsafe { libc::syscall(libc::SYS_setpriority, libc::PRIO_PROCESS, 0, nice) >= 0 }
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

/// The kernel takes the last number as "leave it as it is", which is what we are.
fn is_somebody(identity: &Identity) -> bool {
    identity.uid != u32::MAX && identity.gid != u32::MAX
}

fn take_identity(identity: &Identity) -> bool {
    let (uid, gid) = (identity.uid, identity.gid);
    // SAFETY: no memory is passed.
    let own = unsafe { libc::syscall(libc::SYS_geteuid) };
    // SAFETY: the list outlives the call, and its length is given.
    let groups = unsafe {
        libc::syscall(libc::SYS_setgroups, identity.groups.len(), identity.groups.as_ptr())
    };
    // Without privilege only what one is already can be taken; groups stay then.
    if groups < 0 && own != libc::c_long::from(uid) {
        return false;
    }
    // SAFETY: no memory is passed.
    if unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) } < 0 {
        return false;
    }
    // SAFETY: no memory is passed.
    unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) >= 0 }
}
