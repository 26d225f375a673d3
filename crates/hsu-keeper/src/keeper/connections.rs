//! Connections: who may connect, and what is queued for whom.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::Path;

use super::{Keeper, Token};
use crate::channel::Channel;
use crate::kernel::{Epoll, check, own};
use crate::link::{address, socket};
use crate::protocol::{FromKeeper, Role, ToKeeper, VERSION};
use crate::{Flushed, Received};

/// Connections at most: three roles and a few that come and go.
const MOST: usize = 16;

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    channel: Channel<FromKeeper, ToKeeper>,
    pub(super) role: Option<Role>,
    pub(super) pid: u32,
    blocked: bool,
}

/// All connections, by place.
#[derive(Debug)]
pub(super) struct Connections {
    listener: OwnedFd,
    places: Vec<Option<Connection>>,
}

impl Connections {
    /// Listens at a path; whatever was there belonged to an earlier keeper.
    pub(super) fn listen(path: &Path, epoll: &Epoll) -> io::Result<Self> {
        // The lock says that nobody else listens here.
        let _ = std::fs::remove_file(path);
        let listener = socket()?;
        let address = address(path)?;
        let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_un>()).unwrap_or(0);
        let raw = listener.as_raw_fd();
        // SAFETY: the address outlives the call, and its length is given.
        check(unsafe { libc::bind(raw, (&raw const address).cast(), length) }.into())?;
        // SAFETY: no memory is passed.
        check(unsafe { libc::listen(raw, 16) }.into())?;
        epoll.add(listener.as_fd(), Token::Listener.number())?;
        Ok(Self { listener, places: std::iter::repeat_with(|| None).take(MOST).collect() })
    }

    pub(super) fn find(&self, role: Role) -> Option<usize> {
        let has = |place: &Option<Connection>| {
            place.as_ref().is_some_and(|connection| connection.role == Some(role))
        };
        self.places.iter().position(has)
    }

    pub(super) fn get(&mut self, place: usize) -> Option<&mut Connection> {
        self.places.get_mut(place)?.as_mut()
    }

    /// Queues a message for whoever plays a role; whether somebody does.
    pub(super) fn tell(&mut self, role: Role, message: FromKeeper) -> bool {
        let place = self.find(role);
        let connection = place.and_then(|place| self.get(place));
        connection.map(|connection| connection.channel.queue(message)).is_some()
    }

    fn accept(&self) -> io::Result<Connection> {
        let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        let raw = self.listener.as_raw_fd();
        // SAFETY: no address is asked for.
        let socket =
            own(unsafe { libc::accept4(raw, std::ptr::null_mut(), std::ptr::null_mut(), flags) }
                .into())?;
        let mut peer = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
        let mut length = libc::socklen_t::try_from(size_of::<libc::ucred>()).unwrap_or(0);
        let (raw, place) = (socket.as_raw_fd(), (&raw mut peer).cast());
        let (level, option) = (libc::SOL_SOCKET, libc::SO_PEERCRED);
        // SAFETY: the structure outlives the call, and its length is given.
        let asked = unsafe { libc::getsockopt(raw, level, option, place, &raw mut length) };
        check(asked.into())?;
        // SAFETY: no memory is passed.
        let own_uid = unsafe { libc::geteuid() };
        if peer.uid != 0 && peer.uid != own_uid {
            return Err(io::Error::from(io::ErrorKind::PermissionDenied));
        }
        let pid = u32::try_from(peer.pid).unwrap_or(0);
        Ok(Connection { channel: Channel::new(socket), role: None, pid, blocked: false })
    }
}

impl Keeper {
    pub(super) fn accept(&mut self) {
        let Some(free) = self.connections.places.iter().position(Option::is_none) else {
            // Too many: the oldest that never said hello makes room.
            let idle = |place: &Option<Connection>| {
                place.as_ref().is_some_and(|connection| connection.role.is_none())
            };
            if let Some(place) = self.connections.places.iter().position(idle) {
                self.hang_up(place);
            }
            return;
        };
        let Ok(connection) = self.connections.accept() else {
            return;
        };
        let token = Token::Connection(free).number();
        if self.epoll.add(connection.channel.as_fd(), token).is_ok() {
            self.connections.places[free] = Some(connection);
        }
    }

    /// Takes what a connection sends; a broken or malformed one is closed.
    pub(super) fn hear(&mut self, place: usize) {
        loop {
            let Some(connection) = self.connections.get(place) else {
                return;
            };
            let mut messages = Vec::new();
            let received = connection.channel.receive(&mut messages);
            for message in messages {
                self.on_message(place, message);
            }
            match received {
                Ok(Received::Some) => {}
                Ok(Received::Nothing) => return,
                Ok(Received::Closed) | Err(_) => return self.hang_up(place),
            }
        }
    }

    fn on_message(&mut self, place: usize, message: ToKeeper) {
        let Some(role) = self.connections.get(place).map(|connection| connection.role) else {
            return;
        };
        match (role, message) {
            (None, ToKeeper::Hello { role, version, relaunch }) => {
                let keeper = std::process::id();
                if let Some(connection) = self.connections.get(place) {
                    connection.role = Some(role);
                    connection.channel.queue(FromKeeper::Welcome { version: VERSION, keeper });
                }
                if version != VERSION {
                    self.flush();
                    return self.hang_up(place);
                }
                match role {
                    Role::Master => self.welcome_master(place, relaunch),
                    Role::Candidate => self.welcome_candidate(place, relaunch),
                    Role::Pump => self.welcome_pump(place),
                }
            }
            (Some(Role::Pump), ToKeeper::Drained { run, stream }) => {
                self.pipes.remove(&(run, stream));
            }
            (Some(Role::Pump), ToKeeper::Have { run, worker, stream, pipe }) => {
                if let Some(pipe) = pipe {
                    let held = (worker, pipe.into_inner());
                    self.pipes.entry((run, stream)).or_insert(held);
                }
            }
            (Some(Role::Master | Role::Candidate), message) => self.on_order(place, message),
            // Nobody says anything before hello, and the pump orders nothing.
            (None | Some(Role::Pump), _) => self.hang_up(place),
        }
    }

    pub(super) fn hang_up(&mut self, place: usize) {
        let Some(connection) = self.connections.places.get_mut(place).and_then(Option::take) else {
            return;
        };
        self.epoll.remove(connection.channel.as_fd());
    }

    /// Sends everything that is queued, as far as the sockets take it.
    pub(super) fn flush(&mut self) {
        for place in 0..self.connections.places.len() {
            let Some(connection) = self.connections.get(place) else {
                continue;
            };
            if !connection.channel.has_queued() && !connection.blocked {
                continue;
            }
            let Ok(flushed) = connection.channel.flush() else {
                self.hang_up(place);
                continue;
            };
            let blocked = flushed == Flushed::Blocked;
            if blocked != connection.blocked {
                connection.blocked = blocked;
                let token = Token::Connection(place).number();
                let fd = connection.channel.as_fd();
                if self.epoll.want_room(fd, token, blocked).is_err() {
                    self.hang_up(place);
                }
            }
        }
    }
}
