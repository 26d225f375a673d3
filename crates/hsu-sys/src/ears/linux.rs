//! Ears of Linux: one thread waits for many sockets and pipes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hsu_model::socket::SocketOwner;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SocketFlags,
    SocketType, recvmsg, socket_with, sockopt,
};
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, tee};

use super::{Datagram, Heard, Sender};
use crate::listening::{Owned, bind_path};
use crate::procfs::{STAT, Stat};

/// The longest datagram; what is longer is cut, and refused.
// Source: systemd src/core/manager.c, NOTIFY_BUFFER_MAX.
const LONGEST: usize = 4096;
/// Descriptors beside one datagram.
// Source: linux net/core/scm.h, SCM_MAX_FD.
const MOST_DESCRIPTORS: usize = 253;
/// Ancestors that are looked at.
const GENERATIONS: usize = 32;

/// Sockets and pipes, by the number that the owner gave them.
#[derive(Debug)]
pub struct Ears {
    known: Mutex<Known>,
    changed: OwnedFd,
    /// Where the content of a pipe is looked at.
    glass: (OwnedFd, OwnedFd),
}

#[derive(Debug, Default)]
struct Known {
    ears: BTreeMap<u64, Ear>,
    /// Those that are asked whether anything is left to be heard.
    asked: BTreeSet<u64>,
    is_closed: bool,
}

/// One descriptor, and what is waited for at it.
#[derive(Clone, Debug)]
struct Ear {
    descriptor: Arc<OwnedFd>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// What is said there.
    Heard,
    /// The end of whatever is at its other end.
    Watched,
}

/// What a look at all of them came to.
enum Seen {
    Nothing,
    /// Something is to be heard at this one.
    Ready(u64, Ear),
    /// Nothing is left of what it was asked for.
    Silent(u64),
}

impl Ears {
    /// Ears that hear nothing yet.
    ///
    /// # Errors
    /// The kernel's, when it has no descriptors.
    pub fn new() -> io::Result<Self> {
        let changed = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let glass = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(Self { known: Mutex::default(), changed, glass })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poke(&self) {
        // It is full only when the waiting thread has been told already.
        let _ = rustix::io::write(&self.changed, &1_u64.to_ne_bytes());
    }

    /// Listens to a socket or a pipe from now on; any thread may say so.
    pub fn listen(&self, number: u64, ear: Owned) {
        self.add(number, ear, Kind::Heard);
    }

    /// Waits for the end of whatever is at the other end of a descriptor. One that has no
    /// other end, such as a file, never hangs up.
    pub fn watch(&self, number: u64, descriptor: Owned) {
        self.add(number, descriptor, Kind::Watched);
    }

    fn add(&self, number: u64, descriptor: Owned, kind: Kind) {
        let ear = Ear { descriptor: Arc::new(descriptor), kind };
        self.known().ears.insert(number, ear);
        self.poke();
    }

    /// Asks for [`Heard::Silence`] once everything is taken that is there now.
    pub fn ask(&self, number: u64) {
        self.known().asked.insert(number);
        self.poke();
    }

    /// Listens to it no more.
    pub fn forget(&self, number: u64) {
        let mut known = self.known();
        known.ears.remove(&number);
        known.asked.remove(&number);
        drop(known);
        self.poke();
    }

    /// Ends the wait for ever.
    pub fn close(&self) {
        self.known().is_closed = true;
        self.poke();
    }

    /// Waits until something is said; none after [`Ears::close`]. One thread waits.
    #[must_use]
    pub fn wait(&self) -> Option<(u64, Heard)> {
        loop {
            let (ears, asked) = {
                let known = self.known();
                if known.is_closed {
                    return None;
                }
                (known.ears.clone(), known.asked.clone())
            };
            let (number, heard) = match self.look(&ears, &asked)? {
                Seen::Nothing => continue,
                Seen::Silent(number) => {
                    self.known().asked.remove(&number);
                    return Some((number, Heard::Silence));
                }
                Seen::Ready(number, Ear { kind: Kind::Watched, .. }) => (number, Heard::HungUp),
                Seen::Ready(number, Ear { descriptor, .. }) => match self.hear(&descriptor) {
                    Some(heard) => (number, heard),
                    None => continue,
                },
            };
            if !matches!(heard, Heard::Datagram(_)) {
                // It says one thing only.
                self.known().ears.remove(&number);
            }
            return Some((number, heard));
        }
    }

    /// Waits until something is to be heard at one of them; none when the kernel does not
    /// wait. Whoever is asked and says nothing is told before the others.
    fn look(&self, ears: &BTreeMap<u64, Ear>, asked: &BTreeSet<u64>) -> Option<Seen> {
        let changed = PollFd::new(&self.changed, PollFlags::IN);
        let each = ears.values().map(|ear| {
            let flags = match ear.kind {
                Kind::Heard => PollFlags::IN,
                // The kernel tells of a hang-up unasked.
                Kind::Watched => PollFlags::empty(),
            };
            PollFd::new(&ear.descriptor, flags)
        });
        let mut waits: Vec<PollFd<'_>> = each.chain([changed]).collect();
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let timeout = (!asked.is_empty()).then_some(&at_once);
        while let Err(error) = poll(&mut waits, timeout) {
            if error != rustix::io::Errno::INTR {
                return None;
            }
        }
        let seen: Vec<bool> = waits.iter().map(|wait| !wait.revents().is_empty()).collect();
        if seen.last() == Some(&true) {
            let mut count = [0; 8];
            // It only had to end the wait.
            let _ = rustix::io::read(&self.changed, &mut count);
        }
        let ready: BTreeMap<u64, &Ear> = ears
            .iter()
            .zip(seen)
            .filter_map(|((number, ear), seen)| seen.then_some((*number, ear)))
            .collect();
        // One that is not known any more has nothing to say either.
        if let Some(silent) = asked.iter().find(|number| !ready.contains_key(number)) {
            return Some(Seen::Silent(*silent));
        }
        // Whoever is asked comes first: somebody waits for it.
        let first = asked.iter().find_map(|number| ready.get_key_value(number));
        let next = first.or_else(|| ready.first_key_value());
        Some(next.map_or(Seen::Nothing, |(number, ear)| Seen::Ready(*number, (*ear).clone())))
    }

    /// What one of them says; none when it is nothing yet.
    fn hear(&self, ear: &OwnedFd) -> Option<Heard> {
        match receive(ear, RecvFlags::PEEK) {
            Ok(datagram) => Some(Heard::Datagram(datagram)),
            Err(rustix::io::Errno::NOTSOCK) => self.hear_line(ear),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => None,
            Err(_) => Some(Heard::Closed),
        }
    }

    /// Whether a line stands in a pipe. It is left there for the next master.
    fn hear_line(&self, pipe: &OwnedFd) -> Option<Heard> {
        let mut text = [0; 512];
        let flags = SpliceFlags::NONBLOCK;
        match tee(pipe, &self.glass.1, text.len(), flags) {
            Ok(0) => Some(Heard::Closed),
            Ok(_) => {
                let length = rustix::io::read(&self.glass.0, &mut text).unwrap_or(0);
                if text.get(..length).is_some_and(|text| text.contains(&b'\n')) {
                    return Some(Heard::Line);
                }
                // The beginning of a line, which would wake us again and again.
                let _ = rustix::io::read(pipe, &mut text);
                None
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => None,
            Err(_) => Some(Heard::Closed),
        }
    }

    /// Takes the datagram away that was heard last.
    pub fn take(&self, number: u64) {
        let ear = self.known().ears.get(&number).cloned();
        if let Some(ear) = ear {
            // What it carries was copied when it was heard.
            drop(receive(&ear.descriptor, RecvFlags::empty()));
        }
    }
}

fn receive(socket: &OwnedFd, more: RecvFlags) -> rustix::io::Result<Datagram> {
    let mut text = vec![0; LONGEST];
    let mut space = [MaybeUninit::uninit();
        rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS), ScmCredentials(1))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC | more;
    let mut parts = [IoSliceMut::new(&mut text)];
    let received = recvmsg(socket, &mut parts, &mut beside, flags)?;
    let (mut sender, mut descriptors) = (Sender::default(), Vec::new());
    for message in beside.drain() {
        match message {
            RecvAncillaryMessage::ScmRights(came) => descriptors.extend(came),
            RecvAncillaryMessage::ScmCredentials(who) => {
                sender = sender_of(who.pid.as_raw_nonzero().get(), who.uid.as_raw());
            }
            _ => {}
        }
    }
    text.truncate(received.bytes);
    if received.flags.contains(ReturnFlags::TRUNC) {
        // Nobody can tell what the rest would have said.
        text.clear();
    }
    Ok(Datagram { text, sender, descriptors })
}

fn sender_of(pid: i32, uid: u32) -> Sender {
    let Ok(pid) = u32::try_from(pid) else { return Sender::default() };
    let family = family(pid);
    let is_gone = user(pid).is_none();
    Sender { uid: Some(uid), family, is_gone }
}

/// The user of a process that is there.
#[must_use]
pub fn user(pid: u32) -> Option<u32> {
    std::fs::metadata(format!("/proc/{pid}")).ok().map(|found| found.uid())
}

/// A process, its session and its ancestors, as far as they are known at this moment.
#[must_use]
pub fn family(pid: u32) -> Vec<u32> {
    let mut family = vec![pid];
    let mut member = pid;
    for _ in 0..GENERATIONS {
        let mut buffer = [0; STAT];
        let Ok(stat) = Stat::read(member, &mut buffer) else { break };
        // Source: proc_pid_stat(5), fields 4 and 6.
        let number = |place| stat.number(place).and_then(|number| u32::try_from(number).ok());
        let (parent, session) = (number(4).unwrap_or(0), number(6).unwrap_or(0));
        if session > 1 && !family.contains(&session) {
            family.push(session);
        }
        if parent <= 1 {
            break;
        }
        if !family.contains(&parent) {
            family.push(parent);
        }
        member = parent;
    }
    family
}

/// A socket at a path at which one worker is heard.
///
/// # Errors
/// The kernel's.
pub fn bind(path: &Path, owner: &SocketOwner) -> io::Result<Owned> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_passcred(&socket, true)?;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    bind_path(&socket, path, owner)?;
    Ok(socket)
}

/// Whether two descriptors are of the same file, socket or pipe.
#[must_use]
pub fn is_same(one: &Owned, other: &Owned) -> bool {
    let of = |fd: &Owned| rustix::fs::fstat(fd.as_fd()).map(|found| (found.st_dev, found.st_ino));
    matches!((of(one), of(other)), (Ok(one), Ok(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    fn open() -> SocketOwner {
        SocketOwner { mode: 0o600, user: None, group: None }
    }

    #[test]
    fn a_datagram_stays_until_it_is_taken_and_names_its_sender() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n");
        let ears = Ears::new().unwrap();
        ears.listen(7, bind(&path, &open()).unwrap());
        let worker = UnixDatagram::unbound().unwrap();
        worker.send_to(b"READY=1", &path).unwrap();
        worker.send_to(b"STATUS=well", &path).unwrap();
        let hear = || match ears.wait() {
            Some((7, Heard::Datagram(datagram))) => datagram,
            other => panic!("{other:?}"),
        };
        let first = hear();
        assert_eq!(first.text, b"READY=1");
        assert_eq!(first.sender.family.first(), Some(&std::process::id()));
        assert_eq!((first.sender.uid, first.sender.is_gone), (user(std::process::id()), false));
        assert_eq!(hear().text, b"READY=1", "as by another master");
        ears.take(7);
        assert_eq!(hear().text, b"STATUS=well");
    }

    #[test]
    fn a_line_is_heard_once_and_stays_for_the_next_master() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let again = read.try_clone().unwrap();
        let mut write = std::fs::File::from(write);
        let first = Ears::new().unwrap();
        first.listen(1, read);
        write.write_all(b"ready\n").unwrap();
        assert!(matches!(first.wait(), Some((1, Heard::Line))));
        let second = Ears::new().unwrap();
        second.listen(2, again);
        assert!(matches!(second.wait(), Some((2, Heard::Line))));
    }

    #[test]
    fn a_pipe_that_is_closed_without_a_line_says_nothing() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let ears = Ears::new().unwrap();
        ears.listen(1, read);
        std::fs::File::from(write).write_all(b"no line").unwrap();
        assert!(matches!(ears.wait(), Some((1, Heard::Closed))));
    }

    #[test]
    fn whoever_is_asked_is_heard_out_before_its_silence_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n");
        let ears = Ears::new().unwrap();
        ears.listen(7, bind(&path, &open()).unwrap());
        let worker = UnixDatagram::unbound().unwrap();
        worker.send_to(b"MAINPID=5", &path).unwrap();
        ears.ask(7);
        assert!(matches!(ears.wait(), Some((7, Heard::Datagram(_)))));
        ears.take(7);
        assert!(matches!(ears.wait(), Some((7, Heard::Silence))));
        worker.send_to(b"READY=1", &path).unwrap();
        assert!(matches!(ears.wait(), Some((7, Heard::Datagram(_)))), "silence is told once");
        ears.ask(9);
        assert!(matches!(ears.wait(), Some((9, Heard::Silence))), "nobody says nothing");
    }

    #[test]
    fn a_descriptor_that_is_watched_tells_of_its_other_end_and_a_file_never_does() {
        let ears = Ears::new().unwrap();
        let (read, write) = rustix::pipe::pipe().unwrap();
        ears.watch(1, tempfile::tempfile().unwrap().into());
        ears.watch(2, read);
        std::fs::File::from(write).write_all(b"what it has left is there still").unwrap();
        // The file that was dropped was the only writer.
        assert!(matches!(ears.wait(), Some((2, Heard::HungUp))));
        ears.ask(2);
        assert!(matches!(ears.wait(), Some((2, Heard::Silence))), "it hangs up once");
    }

    #[test]
    fn closing_ends_the_wait_of_another_thread() {
        let ears = Arc::new(Ears::new().unwrap());
        let waiting = Arc::clone(&ears);
        let thread = std::thread::spawn(move || waiting.wait().is_none());
        ears.close();
        assert!(thread.join().unwrap());
    }

    #[test]
    fn the_family_of_a_child_names_its_parent() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let family = family(child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(family.contains(&std::process::id()), "{family:?}");
        assert_eq!(family[0], child.id());
    }
}
