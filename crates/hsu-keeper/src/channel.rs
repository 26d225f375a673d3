//! A channel: batches of messages over one SEQPACKET socket, descriptors beside.
//!
//! A datagram begins with one byte that tells where its messages are: behind it,
//! or, when one of them is long, in the first descriptor beside it. A worker with
//! a megabyte of environment needs no larger socket buffer than any other.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::fs::FileExt as _;

use crate::descriptor::Descriptor;
use crate::kernel::{check, own};
use crate::protocol::{Message, decode_all};
use crate::wire::Malformed;
use crate::{Flushed, Received};

/// A batch is closed at this size, so that datagrams stay small.
const BATCH: usize = 32 << 10;
/// The longest datagram; a batch with a longer message travels in a file.
const LONGEST: usize = 64 << 10;
/// The longest batch in a file: far more than any program is given, so that the
/// kernel is who refuses a start that is too large, for that start alone.
// Source: linux fs/exec.c, bprm_stack_limits: 6 MB at most.
const LONGEST_FILE: u64 = 64 << 20;
/// The messages follow.
const HERE: u8 = 0;
/// The messages are in a file.
const IN_FILE: u8 = 1;
/// Descriptors in one batch; the kernel takes at most 253.
// Source: linux net/core/scm.h, SCM_MAX_FD.
const MOST_DESCRIPTORS: usize = 200;

/// One end of a connection: sends `Out`, receives `In`.
#[derive(Debug)]
pub(crate) struct Channel<Out, In> {
    socket: OwnedFd,
    batches: VecDeque<Batch>,
    /// Batches that wait at most; one that reads none of them is given up.
    most: usize,
    overflowed: bool,
    buffer: Vec<u8>,
    direction: PhantomData<fn(Out) -> In>,
}

#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    beside: Vec<OwnedFd>,
}

impl<Out: Message, In: Message> Channel<Out, In> {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        let size: libc::c_int = 1 << 20;
        // A refusal leaves the usual buffer, which works too.
        // SAFETY: the value outlives the call, and its length is given.
        unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_SNDBUF,
                (&raw const size).cast(),
                4,
            )
        };
        Self {
            socket,
            batches: VecDeque::new(),
            most: usize::MAX,
            overflowed: false,
            buffer: Vec::new(),
            direction: PhantomData,
        }
    }

    /// The same, for an end that may ask for more than it reads.
    pub(crate) fn bounded(socket: OwnedFd, most: usize) -> Self {
        Self { most, ..Self::new(socket) }
    }

    /// Adds a message to the batch that is sent next.
    pub(crate) fn queue(&mut self, mut message: Out) {
        let is_full =
            |batch: &Batch| batch.bytes.len() >= BATCH || batch.beside.len() >= MOST_DESCRIPTORS;
        if self.batches.back().is_none_or(is_full) {
            if self.batches.len() >= self.most {
                self.overflowed = true;
                return;
            }
            self.batches.push_back(Batch::default());
        }
        if let Some(batch) = self.batches.back_mut() {
            let descriptor = message.encode(&mut batch.bytes);
            batch.beside.extend(descriptor.map(Descriptor::into_inner));
        }
    }

    /// Whether something waits to be sent.
    pub(crate) fn has_queued(&self) -> bool {
        !self.batches.is_empty()
    }

    /// Whether more was queued than may wait.
    pub(crate) fn has_overflowed(&self) -> bool {
        self.overflowed
    }

    /// Sends what is queued; never blocks.
    pub(crate) fn flush(&mut self) -> io::Result<Flushed> {
        if self.overflowed {
            return Err(io::Error::other("the other end asks for more than it reads"));
        }
        while let Some(batch) = self.batches.front() {
            let sent = if batch.bytes.len() < LONGEST {
                send(self.socket.as_fd(), HERE, &batch.bytes, &batch.beside)
            } else {
                send_as_file(self.socket.as_fd(), batch)
            };
            match sent {
                Ok(()) => drop(self.batches.pop_front()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Flushed::Blocked);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Flushed::Done)
    }

    /// Takes every message of one datagram; never blocks.
    pub(crate) fn receive(&mut self, into: &mut Vec<In>) -> io::Result<Received> {
        // Grown once.
        self.buffer.resize(LONGEST, 0);
        let mut beside = VecDeque::new();
        let length = match receive(self.socket.as_fd(), &mut self.buffer, &mut beside) {
            Ok(0) => return Ok(Received::Closed),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Ok(Received::Nothing);
            }
            Err(error) => return Err(error),
        };
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, Malformed);
        let datagram = self.buffer.get(..length).unwrap_or_default();
        let decoded = match datagram.split_first().ok_or_else(malformed)? {
            (&HERE, messages) => decode_all(messages, beside, into),
            (&IN_FILE, []) => {
                let file = beside.pop_front().ok_or_else(malformed)?;
                decode_all(&read_file(file)?, beside, into)
            }
            _ => Err(Malformed),
        };
        decoded.map_err(|_| malformed())?;
        Ok(Received::Some)
    }
}

impl<Out, In> AsFd for Channel<Out, In> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Room for the control message that carries descriptors, aligned as the kernel wants it.
type Control = [u64; 110];

fn send_as_file(socket: BorrowedFd<'_>, batch: &Batch) -> io::Result<()> {
    if u64::try_from(batch.bytes.len()).unwrap_or(u64::MAX) > LONGEST_FILE {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a message is too long"));
    }
    // SAFETY: the name is a constant text with its zero.
    let file = own(unsafe { libc::memfd_create(c"hsu-batch".as_ptr(), libc::MFD_CLOEXEC) }.into())?;
    let file = File::from(file);
    file.write_all_at(&batch.bytes, 0)?;
    let file = OwnedFd::from(file);
    let beside = std::iter::once(&file).chain(&batch.beside);
    send(socket, IN_FILE, &[], beside)
}

fn read_file(file: Descriptor) -> io::Result<Vec<u8>> {
    let file = File::from(file.into_inner());
    let length = file.metadata()?.len();
    if length > LONGEST_FILE {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

fn send<'a>(
    socket: BorrowedFd<'_>,
    place: u8,
    bytes: &[u8],
    beside: impl IntoIterator<Item = &'a OwnedFd>,
) -> io::Result<()> {
    let raw: Vec<RawFd> = beside.into_iter().map(|fd| fd.as_raw_fd()).collect();
    let part = |bytes: &[u8]| libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let place = [place];
    let mut parts = [part(&place), part(bytes)];
    let mut control: Control = [0; 110];
    // SAFETY: all zeroes is a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = parts.as_mut_ptr();
    message.msg_iovlen = 2;
    if !raw.is_empty() {
        let bytes = u32::try_from(size_of_val(raw.as_slice())).unwrap_or(0);
        message.msg_control = control.as_mut_ptr().cast();
        // SAFETY: CMSG_SPACE only computes; 201 descriptors fit into the buffer.
        message.msg_controllen = unsafe { libc::CMSG_SPACE(bytes) } as _;
        // SAFETY: the buffer is large enough for one header.
        let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
        // SAFETY: CMSG_LEN only computes.
        let length = unsafe { libc::CMSG_LEN(bytes) };
        // Written field by field: musl has one more between them.
        // SAFETY: all zeroes is a valid cmsghdr.
        let mut filled: libc::cmsghdr = unsafe { std::mem::zeroed() };
        filled.cmsg_len = length as _;
        filled.cmsg_level = libc::SOL_SOCKET;
        filled.cmsg_type = libc::SCM_RIGHTS;
        // SAFETY: the header lies inside the control buffer.
        unsafe { header.write(filled) };
        // SAFETY: the data follows the header inside the control buffer.
        let data = unsafe { libc::CMSG_DATA(header) };
        // SAFETY: the buffer has room for all descriptors, and the two do not overlap.
        unsafe {
            std::ptr::copy_nonoverlapping(
                raw.as_ptr().cast::<u8>(),
                data,
                size_of_val(raw.as_slice()),
            )
        };
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: every buffer that the message names outlives the call.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) };
    check(i64::try_from(sent).unwrap_or(-1)).map(drop)
}

fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    beside: &mut VecDeque<Descriptor>,
) -> io::Result<usize> {
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control: Control = [0; 110];
    // SAFETY: all zeroes is a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of::<Control>() as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: every buffer that the message names outlives the call.
    let mut once = || {
        // SAFETY: every buffer that the message names outlives the call.
        let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
        check(length as libc::c_long)
    };
    let length = match once() {
        // The other end was killed with something unheard. What it had sent is
        // behind this error, and may hold the only copies of descriptors.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => once()?,
        other => other?,
    };
    // SAFETY: the kernel filled the control buffer that the message names.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    while !header.is_null() {
        // SAFETY: the header lies inside the control buffer.
        let found = unsafe { *header };
        if found.cmsg_level == libc::SOL_SOCKET && found.cmsg_type == libc::SCM_RIGHTS {
            // SAFETY: CMSG_LEN only computes.
            let head = unsafe { libc::CMSG_LEN(0) } as usize;
            let count = (found.cmsg_len as usize).saturating_sub(head) / size_of::<RawFd>();
            // SAFETY: the data follows the header inside the control buffer.
            let data = unsafe { libc::CMSG_DATA(header) }.cast::<RawFd>();
            for place in 0..count {
                // SAFETY: the kernel wrote `count` descriptors here.
                let at = unsafe { data.add(place) };
                // SAFETY: as above; the place need not be aligned.
                let raw = unsafe { at.read_unaligned() };
                // SAFETY: the kernel gave this descriptor to us alone.
                beside.push_back(Descriptor::new(unsafe { OwnedFd::from_raw_fd(raw) }));
            }
        }
        // SAFETY: both pointers belong to the same message.
        header = unsafe { libc::CMSG_NXTHDR(&raw const message, header) };
    }
    let cut = message.msg_flags & (libc::MSG_CTRUNC | libc::MSG_TRUNC) != 0;
    if cut {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a datagram was cut"));
    }
    usize::try_from(length).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
}
