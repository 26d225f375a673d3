//! Birth: the `clone` that makes a child, inside the cgroup of its worker where there is one.
//!
//! A child that is born in a cgroup has everything that descends from it there, from the
//! first moment. Only `clone3` can do that, and the C library has no wrapper that gives
//! the child a stack of its own: the few instructions around the call are here.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use crate::kernel;

/// What the child does; it never returns.
pub(crate) type Run = extern "C" fn(*mut libc::c_void) -> libc::c_int;

/// The child shares our memory and descriptors, and we wait until it executes or ends.
const FLAGS: libc::c_int =
    libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES | libc::CLONE_PIDFD;
// Source: linux/sched.h, Linux 5.7.
const INTO_CGROUP: u64 = 1 << 33;

/// A stack that only children of one thread use.
#[derive(Debug)]
pub(crate) struct Stack(Vec<u8>);

impl Stack {
    pub(crate) fn new(size: usize) -> Self {
        Self(vec![0; size])
    }

    fn top(&mut self) -> *mut u8 {
        let end = self.0.as_mut_ptr_range().end;
        end.wrapping_sub(end.addr() % 16)
    }
}

/// Makes a child that runs `run` with `argument`; its PID and a hold on it.
pub(crate) fn clone(
    stack: &mut Stack,
    run: Run,
    argument: *mut libc::c_void,
) -> io::Result<(u32, OwnedFd)> {
    let mut handle: RawFd = -1;
    let (top, flags) = (stack.top().cast(), FLAGS | libc::SIGCHLD);
    // SAFETY: the child runs on a stack of its own while this thread waits; it
    // only makes system calls and writes to atomics; every pointer outlives it.
    let pid = unsafe { libc::clone(run, top, flags, argument, &raw mut handle) };
    born(pid.into(), handle)
}

/// The same, inside a cgroup of version 2, given by its folder.
pub(crate) fn clone_into(
    cgroup: BorrowedFd<'_>,
    stack: &mut Stack,
    run: Run,
    argument: *mut libc::c_void,
) -> io::Result<(u32, OwnedFd)> {
    let number = |raw: libc::c_int| u64::try_from(raw).unwrap_or(0);
    let mut handle: RawFd = -1;
    let size = stack.top().addr() - stack.0.as_ptr().addr();
    // SAFETY: all zeroes is a valid structure.
    let mut asked: libc::clone_args = unsafe { std::mem::zeroed() };
    asked.flags = number(FLAGS) | INTO_CGROUP;
    asked.pidfd = (&raw mut handle).addr() as u64;
    asked.exit_signal = number(libc::SIGCHLD);
    asked.stack = stack.0.as_mut_ptr().addr() as u64;
    asked.stack_size = size as u64;
    asked.cgroup = number(cgroup.as_raw_fd());
    // SAFETY: as in `clone`; the structure says where the stack is and how large.
    let pid = unsafe { clone3(&asked, run, argument) };
    if pid < 0 {
        return Err(io::Error::from_raw_os_error(i32::try_from(-pid).unwrap_or(libc::ENOSYS)));
    }
    born(pid, handle)
}

fn born(pid: libc::c_long, handle: RawFd) -> io::Result<(u32, OwnedFd)> {
    let pid = kernel::check(pid)?;
    // SAFETY: the kernel gave this descriptor to us alone.
    let handle = unsafe { OwnedFd::from_raw_fd(handle) };
    Ok((u32::try_from(pid).unwrap_or(0), handle))
}

/// The call itself: the PID, or an error number below zero.
///
/// # Safety
/// The stack that is asked for is 16-byte aligned at its top, nobody else uses it, and
/// `run` does what may be done in a child that shares our memory.
#[cfg(target_arch = "x86_64")]
unsafe fn clone3(asked: &libc::clone_args, run: Run, argument: *mut libc::c_void) -> libc::c_long {
    let result: libc::c_long;
    // SAFETY: the parent goes on at the label with every register but these as it was. The
    // child has the same registers and an empty stack, and never leaves `run`.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 => result,
            in("rdi") std::ptr::from_ref(asked),
            in("rsi") size_of::<libc::clone_args>(),
            in("r12") argument,
            in("r13") run,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result
}

/// The call itself: the PID, or an error number below zero.
///
/// # Safety
/// The stack that is asked for is 16-byte aligned at its top, nobody else uses it, and
/// `run` does what may be done in a child that shares our memory.
#[cfg(target_arch = "aarch64")]
unsafe fn clone3(asked: &libc::clone_args, run: Run, argument: *mut libc::c_void) -> libc::c_long {
    let result: libc::c_long;
    // SAFETY: the parent goes on at the label with every register but these as it was. The
    // child has the same registers and an empty stack, and never leaves `run`.
    unsafe {
        std::arch::asm!(
            "svc #0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x30, xzr",
            "mov x0, x20",
            "blr x21",
            "brk #1",
            "2:",
            inlateout("x0") std::ptr::from_ref(asked) => result,
            in("x1") size_of::<libc::clone_args>(),
            in("x8") libc::SYS_clone3,
            in("x20") argument,
            in("x21") run,
        );
    }
    result
}

/// Nobody has written it for this processor: children are put into their cgroups later.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn clone3(_: &libc::clone_args, _: Run, _: *mut libc::c_void) -> libc::c_long {
    -libc::c_long::from(libc::ENOSYS)
}
