//! The master's link to the keeper, and the pump's.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

use crate::channel::Channel;
use crate::kernel::{check, option_of, own};
use crate::protocol::{FromKeeper, ToKeeper};
use crate::{Flushed, Received};

/// A connection to the keeper.
#[derive(Debug)]
pub struct Link {
    channel: Channel<ToKeeper, FromKeeper>,
}

impl Link {
    /// Connects to the keeper of a runtime folder and says hello.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] or [`io::ErrorKind::ConnectionRefused`] when
    /// no keeper is there; other errors of the kernel.
    pub fn connect(runtime: &Path, hello: ToKeeper) -> io::Result<Self> {
        let mut link = Self { channel: Channel::new(connect(&crate::socket_in(runtime))?) };
        link.queue(hello);
        link.flush()?;
        Ok(link)
    }

    /// The PID of the keeper at the other end.
    ///
    /// # Errors
    /// The kernel's.
    pub fn peer(&self) -> io::Result<u32> {
        let nobody = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
        let peer = option_of(self.as_fd(), libc::SO_PEERCRED, nobody)?;
        u32::try_from(peer.pid).map_err(io::Error::other)
    }

    /// Adds a message to what is sent by the next flush.
    pub fn queue(&mut self, message: ToKeeper) {
        self.channel.queue(message);
    }

    /// Sends what is queued; never blocks.
    ///
    /// # Errors
    /// The kernel's; the link is lost then.
    pub fn flush(&mut self) -> io::Result<Flushed> {
        self.channel.flush()
    }

    /// Appends what has arrived; never blocks. Call it until nothing is left.
    ///
    /// # Errors
    /// The kernel's, or a malformed message; the link is lost then.
    pub fn receive(&mut self, into: &mut Vec<FromKeeper>) -> io::Result<Received> {
        self.channel.receive(into)
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

pub(crate) fn address(path: &Path) -> io::Result<libc::sockaddr_un> {
    // SAFETY: all zeroes is a valid sockaddr_un.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::sa_family_t::try_from(libc::AF_UNIX).unwrap_or(0);
    let bytes = path.as_os_str().as_encoded_bytes();
    if bytes.len() >= address.sun_path.len() {
        let text = format!("the path of the socket is too long: {}", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    for (place, byte) in address.sun_path.iter_mut().zip(bytes) {
        *place = byte.cast_signed() as _;
    }
    Ok(address)
}

pub(crate) fn socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no memory is passed.
    own(unsafe { libc::socket(libc::AF_UNIX, kind, 0) }.into())
}

/// Two ends of one connection; who made them is the peer of both.
pub(crate) fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let mut ends: [RawFd; 2] = [0; 2];
    // SAFETY: the array has room for two descriptors.
    check(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) }.into())?;
    Ok((own(ends[0].into())?, own(ends[1].into())?))
}

fn connect(path: &Path) -> io::Result<OwnedFd> {
    let socket = socket()?;
    let address = address(path)?;
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_un>()).unwrap_or(0);
    let raw = socket.as_raw_fd();
    // SAFETY: the address outlives the call, and its length is given.
    let connected = unsafe { libc::connect(raw, (&raw const address).cast(), length) };
    check(connected.into())?;
    Ok(socket)
}
