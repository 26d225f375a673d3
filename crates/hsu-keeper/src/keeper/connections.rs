//! Connections: who may connect, and what is queued for whom.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use super::door::Door;
use super::{Keeper, Token};
use crate::channel::Channel;
use crate::kernel::{self, Epoll, option_of, own};
use crate::protocol::{FromKeeper, Role, ToKeeper, VERSION};
use crate::{Flushed, Received};

/// Connections at most: three roles and a few that come and go.
const MOST: usize = 16;
/// Answers that wait for one connection: several times everything that can be told of a full
/// table, so that only one who asks again and again without reading gets there.
const MOST_BATCHES: usize = 128;
/// How long nobody is let in after the kernel had no descriptor for one.
const DEAF_FOR: Duration = Duration::from_millis(100);

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    channel: Channel<FromKeeper, ToKeeper>,
    pub(super) role: Option<Role>,
    pub(super) pid: u32,
    process: Option<OwnedFd>,
    blocked: bool,
}

impl Connection {
    /// A hold on the process that connected; none when it is gone already.
    pub(super) fn take_process(&mut self) -> Option<OwnedFd> {
        self.process.take()
    }
}

/// All connections, by place.
#[derive(Debug)]
pub(super) struct Connections {
    pub(super) door: Door,
    places: Vec<Option<Connection>>,
    /// Until when nobody is let in, because no descriptor was free.
    deaf_until: Option<Instant>,
}

impl Connections {
    /// Listens at a path.
    pub(super) fn listen(path: &Path, epoll: &Epoll) -> io::Result<Self> {
        let door = Door::open(path)?;
        epoll.add(door.as_fd(), Token::Listener.number())?;
        let places = std::iter::repeat_with(|| None).take(MOST).collect();
        Ok(Self { door, places, deaf_until: None })
    }

    /// Listens at a path, and where it did before no more.
    pub(super) fn move_to(&mut self, path: &Path, epoll: &Epoll) -> io::Result<()> {
        let door = Door::open(path)?;
        epoll.add(door.as_fd(), Token::Listener.number())?;
        epoll.remove(self.door.as_fd());
        self.door = door;
        self.deaf_until = None;
        Ok(())
    }

    fn position(&self, has: impl Fn(usize, &Connection) -> bool) -> Option<usize> {
        let mut places = self.places.iter().enumerate();
        places.position(|(place, found)| found.as_ref().is_some_and(|found| has(place, found)))
    }

    pub(super) fn find(&self, role: Role) -> Option<usize> {
        self.position(|_, found| found.role == Some(role))
    }

    /// Whoever else plays a role.
    pub(super) fn find_other(&self, role: Role, except: usize) -> Option<usize> {
        self.position(|place, found| place != except && found.role == Some(role))
    }

    /// The connection of a master's process.
    pub(super) fn find_process(&self, pid: u32) -> Option<usize> {
        self.position(|_, found| found.role == Some(Role::Master) && found.pid == pid)
    }

    /// Everything that a process has connected.
    pub(super) fn places_of(&self, pid: u32) -> Vec<usize> {
        let places = self.places.iter().enumerate();
        let of_process =
            |found: &Option<Connection>| found.as_ref().is_some_and(|it| it.pid == pid);
        places.filter(|(_, found)| of_process(found)).map(|(place, _)| place).collect()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deaf_until
    }

    /// Lets others in again.
    pub(super) fn tend(&mut self, now: Instant, epoll: &Epoll) {
        if self.deaf_until.is_some_and(|until| until <= now) {
            let heard = epoll.add(self.door.as_fd(), Token::Listener.number());
            self.deaf_until = heard.is_err().then_some(now + DEAF_FOR);
        }
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

    /// Lets one in. None was there, or it must not come in.
    fn accept(&self) -> io::Result<Option<Connection>> {
        let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        let raw = self.door.as_fd().as_raw_fd();
        // SAFETY: no address is asked for.
        let accepted =
            unsafe { libc::accept4(raw, std::ptr::null_mut(), std::ptr::null_mut(), flags) };
        match own(accepted.into()) {
            Ok(socket) => Connection::of(socket),
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lets in whoever has started us, and has spoken already.
    pub(super) fn admit(&mut self, socket: OwnedFd, epoll: &Epoll) -> io::Result<()> {
        if let (Some(free), Some(connection)) =
            (self.places.iter().position(Option::is_none), Connection::of(socket)?)
        {
            epoll.add(connection.channel.as_fd(), Token::Connection(free).number())?;
            self.places[free] = Some(connection);
        }
        Ok(())
    }
}

impl Connection {
    /// A connection over a socket; none for a user who has no business here.
    fn of(socket: OwnedFd) -> io::Result<Option<Self>> {
        let nobody = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
        let peer = option_of(socket.as_fd(), libc::SO_PEERCRED, nobody)?;
        // SAFETY: no memory is passed.
        let own_uid = unsafe { libc::geteuid() };
        if peer.uid != 0 && peer.uid != own_uid {
            return Ok(None);
        }
        let pid = u32::try_from(peer.pid).unwrap_or(0);
        let process = match option_of(socket.as_fd(), SO_PEERPIDFD, -1) {
            Ok(handle) => own(libc::c_long::from(handle)).ok(),
            // An older kernel; the PID may be another's by now, but hardly so soon.
            Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => {
                kernel::pidfd_open(pid).ok()
            }
            Err(_) => None,
        };
        let channel = Channel::bounded(socket, MOST_BATCHES);
        Ok(Some(Self { channel, role: None, pid, process, blocked: false }))
    }
}

// Source: asm-generic/socket.h, Linux 6.5.
const SO_PEERPIDFD: libc::c_int = 77;

impl Keeper {
    /// Lets one in from the door; whether another may wait there.
    pub(super) fn accept(&mut self) -> bool {
        let Some(free) = self.connections.places.iter().position(Option::is_none) else {
            // Too many: one that never said hello makes room, or else the first; a master
            // or pump that lives comes back.
            let idle = self.connections.position(|_, found| found.role.is_none());
            self.hang_up(idle.unwrap_or(0));
            return false;
        };
        match self.connections.accept() {
            Ok(None) => false,
            Ok(Some(connection)) => {
                let token = Token::Connection(free).number();
                let is_heard = self.epoll.add(connection.channel.as_fd(), token).is_ok();
                self.connections.places[free] = is_heard.then_some(connection);
                is_heard
            }
            // It still waits at the door, and would wake us again and again.
            Err(_) => {
                self.epoll.remove(self.connections.door.as_fd());
                self.connections.deaf_until = Some(Instant::now() + DEAF_FOR);
                false
            }
        }
    }

    /// Takes what a connection sends; a broken or malformed one is closed.
    ///
    /// At most so many datagrams: what is left wakes us again, after everybody else.
    pub(super) fn hear(&mut self, place: usize, most: usize) {
        for _ in 0..most {
            let Some(connection) = self.connections.get(place) else {
                return;
            };
            let mut messages = Vec::new();
            let received = connection.channel.receive(&mut messages);
            for message in messages {
                self.on_message(place, message);
                // Whoever asks for more than it reads is heard no further.
                let is_lost = |connection: &mut Connection| connection.channel.has_overflowed();
                if self.connections.get(place).is_none_or(is_lost) {
                    return self.hang_up(place);
                }
            }
            match received {
                Ok(Received::Some) => {}
                Ok(Received::Nothing) => return,
                Ok(Received::Closed) | Err(_) => {
                    self.hang_up(place);
                    // It may come back.
                    return self.keep_door();
                }
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
            (Some(role @ (Role::Master | Role::Candidate)), message) => {
                self.on_order(role, message);
            }
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
