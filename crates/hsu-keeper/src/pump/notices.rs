//! Telling the master what changed, without ever waiting for it.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hsu_model::spool::SpoolId;
use hsu_model::spool::notice::{MAX_DATAGRAM, Notice};

/// The least time between two datagrams about growth: a reader gains nothing from
/// being told a thousand times a second.
const REST: Duration = Duration::from_millis(10);

/// Notices that wait to be sent.
#[derive(Debug)]
pub(super) struct Notices {
    socket: UnixDatagram,
    master: PathBuf,
    /// Spools that grew; each is told once however often it did.
    grew: BTreeSet<SpoolId>,
    /// The others, in the order they happened.
    rest: Vec<Notice>,
    sent: Option<Instant>,
}

impl Notices {
    pub(super) fn new(master: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            master: master.to_path_buf(),
            grew: BTreeSet::new(),
            rest: Vec::new(),
            sent: None,
        })
    }

    /// Keeps a notice until the next [`Self::flush`].
    pub(super) fn push(&mut self, notice: Notice) {
        match notice {
            Notice::Grew(spool) => {
                self.grew.insert(spool);
            }
            Notice::Stuck { .. } | Notice::Flows(_) | Notice::Dropped { .. } => {
                self.rest.push(notice);
            }
        }
    }

    /// Sends what waits, unless the last datagram is only just gone. Answers when
    /// to try again, none when nothing waits.
    pub(super) fn flush(&mut self, now: Instant) -> Option<Instant> {
        if self.grew.is_empty() && self.rest.is_empty() {
            return None;
        }
        let due = self.sent.map_or(now, |sent| sent + REST);
        if due > now {
            return Some(due);
        }
        self.sent = Some(now);
        let mut waiting = std::mem::take(&mut self.rest);
        waiting.extend(std::mem::take(&mut self.grew).into_iter().map(Notice::Grew));
        let mut left = waiting.as_slice();
        while !left.is_empty() {
            let (text, count) = datagram(left);
            match self.socket.send_to(text.as_bytes(), &self.master) {
                Ok(_) => left = left.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    left.iter().cloned().for_each(|notice| self.push(notice));
                    return Some(now + REST);
                }
                // Nobody listens. A master that starts looks at every spool.
                Err(_) => return None,
            }
        }
        None
    }
}

/// As many notices as fit into one datagram, and their count.
fn datagram(notices: &[Notice]) -> (String, usize) {
    let mut text = String::new();
    for (notice, count) in notices.iter().zip(0..) {
        let before = text.len();
        notice.encode(&mut text);
        if text.len() > MAX_DATAGRAM {
            text.truncate(before);
            return (text, count);
        }
    }
    (text, notices.len())
}
