//! The shelf: sockets and descriptors that outlive the processes of a worker.
//!
//! The keeper keeps them and passes them at each start; here are our copies, so
//! that they outlive the keeper too. They go when a worker comes to rest for good.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use hsu_keeper::{Descriptor, Keep, ToKeeper};
use hsu_model::event::EventKind;
use hsu_model::id::WorkerId;
use hsu_model::notify::NotifyChannel;
use hsu_model::socket::SocketOwner;
use hsu_model::status::WorkerState;
use hsu_model::worker::{Managed, Unit};
use hsu_sys::listening::Owned;
use tracing::{info, warn};

use super::Body;
use crate::listening::Speaker;
use crate::notice::Notice;

/// What the socket is known by at which a worker is heard.
const NOTIFY: &str = "notify";
/// How descriptors are known that a worker has left here.
const STORED: &str = "stored ";
/// How those among them are known that stay although their other ends are gone.
// Source: sd_notify(3), `FDPOLL=0`.
const UNWATCHED: &str = " unwatched";
/// The name of a descriptor that its worker did not name.
// Source: sd_notify(3), `FDNAME`.
const UNNAMED: &str = "stored";

/// One descriptor that is kept.
#[derive(Debug)]
struct Item {
    worker: WorkerId,
    keep: Keep,
    descriptor: Owned,
}

/// Our copies of what is kept.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    items: Vec<Item>,
    /// What the present inventory has named so far.
    named: BTreeSet<(WorkerId, String)>,
    /// The number of the descriptor that was stored last.
    stored: u64,
}

/// Why a worker cannot be given what it shall have.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShelfError {
    /// A socket cannot listen.
    #[error("cannot listen at {address}: {source}{}", hint(source))]
    Listen {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The worker cannot be listened to.
    #[error("cannot listen to its notices at {}: {source}", path.display())]
    Notify {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn hint(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::AddrInUse {
        " (hint: `ss -ltnp` tells who listens there)"
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        " (hint: ports below 1024 need root)"
    } else {
        ""
    }
}

/// Who is heard at a descriptor, or watched there.
fn speaker(worker: &WorkerId, label: &str) -> Option<Speaker> {
    if label == NOTIFY {
        return Some(Speaker::Worker(worker.clone()));
    }
    let is_watched = label.starts_with(STORED) && !label.ends_with(UNWATCHED);
    is_watched.then(|| Speaker::Stored(worker.clone(), label.to_owned()))
}

impl Shelf {
    fn has(&self, worker: &WorkerId, label: &str) -> bool {
        self.items.iter().any(|item| item.worker == *worker && item.keep.label == label)
    }

    fn put(&mut self, worker: WorkerId, keep: Keep, descriptor: Owned) {
        self.items.retain(|item| item.worker != worker || item.keep.label != keep.label);
        self.items.push(Item { worker, keep, descriptor });
    }
}

impl Body {
    /// Makes what is missing of what a worker shall find open.
    pub(super) fn equip(&mut self, worker: &WorkerId, managed: &Managed) -> Result<(), ShelfError> {
        for socket in &managed.sockets {
            let label = socket.label();
            if self.shelf.has(worker, &label) {
                continue;
            }
            let address = socket.address.to_string();
            let made = hsu_sys::listening::listen(socket)
                .map_err(|source| ShelfError::Listen { address, source })?;
            self.keep(worker, Keep { passed: true, name: socket.name.clone(), label }, made);
        }
        if !managed.notify.is_on() || managed.notify.channel != NotifyChannel::Socket {
            return Ok(());
        }
        let path = self.notify_path(worker);
        if self.shelf.has(worker, NOTIFY) && path.exists() {
            return Ok(());
        }
        let owner = SocketOwner {
            mode: 0o600,
            user: managed.execution.user.clone(),
            group: managed.execution.group.clone(),
        };
        let made = path
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| hsu_sys::ears::bind(&path, &owner))
            .map_err(|source| ShelfError::Notify { path, source })?;
        self.keep(worker, Keep { passed: false, name: NOTIFY.into(), label: NOTIFY.into() }, made);
        Ok(())
    }

    /// Where a worker is heard. A name that does not fit the path of a socket is cut,
    /// and told apart by its hash.
    // Source: unix(7), `sun_path`: 108 bytes with the zero at the end.
    pub(super) fn notify_path(&self, worker: &WorkerId) -> PathBuf {
        let folder = self.runtime.join("notify");
        let room = 106_usize.saturating_sub(folder.as_os_str().len());
        let name = worker.as_str();
        if name.len() <= room {
            return folder.join(name);
        }
        // Source: Fowler, Noll and Vo, FNV-1a with 64 bits.
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, step);
        folder.join(format!("{hash:016x}"))
    }

    fn keep(&mut self, worker: &WorkerId, keep: Keep, descriptor: Owned) {
        match descriptor.try_clone() {
            Ok(copy) => self.holding.queue(ToKeeper::Keep {
                worker: worker.clone(),
                keep: keep.clone(),
                descriptor: Some(Descriptor::new(copy)),
            }),
            Err(error) => warn!(%worker, %error, "a descriptor cannot be kept beside this master"),
        }
        self.take_up(worker.clone(), keep, descriptor);
    }

    /// Has a copy from now on, and listens to a worker whose socket it is.
    fn take_up(&mut self, worker: WorkerId, keep: Keep, descriptor: Owned) {
        if let Some(speaker) = speaker(&worker, &keep.label) {
            let heard = descriptor.try_clone().and_then(|ear| self.listening.listen(speaker, ear));
            if let Err(error) = heard {
                warn!(%worker, label = keep.label, %error, "what is said or ends there is not heard");
            }
        }
        self.shelf.put(worker, keep, descriptor);
    }

    /// The keeper keeps something of an earlier master, or tells again what we have.
    pub(super) fn on_kept(&mut self, worker: WorkerId, keep: Keep, descriptor: Option<Descriptor>) {
        self.shelf.named.insert((worker.clone(), keep.label.clone()));
        if self.shelf.has(&worker, &keep.label) {
            return;
        }
        match descriptor.filter(|_| self.is_of_use(&worker, &keep)) {
            Some(descriptor) => self.take_up(worker, keep, descriptor.into_inner()),
            None => {
                let label = Some(keep.label);
                self.holding.queue(ToKeeper::Discard { worker, label });
            }
        }
    }

    /// Whether the present configuration has a place for what was kept.
    fn is_of_use(&self, worker: &WorkerId, keep: &Keep) -> bool {
        let Some(Unit::Managed(managed)) = self.fleet.spec(worker).map(|spec| &spec.unit) else {
            return false;
        };
        let is_socket = managed.sockets.iter().any(|socket| socket.label() == keep.label);
        let stores = keep.label.starts_with(STORED) && managed.notify.store > 0;
        is_socket || stores || keep.label == NOTIFY && managed.notify.is_on()
    }

    /// The inventory is complete: what a new keeper does not have, it gets.
    pub(super) fn restock(&mut self) {
        let named = std::mem::take(&mut self.shelf.named);
        for item in &self.shelf.items {
            if named.contains(&(item.worker.clone(), item.keep.label.clone())) {
                continue;
            }
            if let Ok(copy) = item.descriptor.try_clone() {
                self.holding.queue(ToKeeper::Keep {
                    worker: item.worker.clone(),
                    keep: item.keep.clone(),
                    descriptor: Some(Descriptor::new(copy)),
                });
            }
        }
    }

    /// A worker leaves descriptors here, for its next run.
    pub(super) fn store(&mut self, worker: &WorkerId, notice: &Notice, came: Vec<Owned>) {
        let most = self.fleet.spec(worker).map_or(0, |spec| match &spec.unit {
            Unit::Managed(managed) => managed.notify.store,
            Unit::Departed(_) | _ => 0,
        });
        for descriptor in came {
            let is_stored =
                |item: &&Item| item.worker == *worker && item.keep.label.starts_with(STORED);
            let stored: Vec<&Item> = self.shelf.items.iter().filter(is_stored).collect();
            let is_known =
                stored.iter().any(|item| hsu_sys::ears::is_same(&item.descriptor, &descriptor));
            if is_known {
                // Told twice, or heard twice by two masters.
                continue;
            }
            if u32::try_from(stored.len()).unwrap_or(u32::MAX) >= most {
                warn!(%worker, most, "a descriptor that it stores is more than `notify.store` allows");
                continue;
            }
            self.shelf.stored = self.next_stored();
            let unwatched = if notice.unwatched { UNWATCHED } else { "" };
            let label = format!("{STORED}{}{unwatched}", self.shelf.stored);
            let name = notice.name.clone().unwrap_or_else(|| UNNAMED.to_owned());
            self.keep(worker, Keep { passed: true, name, label }, descriptor);
        }
    }

    /// A number that no label of an earlier master has.
    fn next_stored(&self) -> u64 {
        let number = |item: &Item| {
            let label = item.keep.label.strip_prefix(STORED)?;
            label.strip_suffix(UNWATCHED).unwrap_or(label).parse::<u64>().ok()
        };
        self.shelf.items.iter().filter_map(number).max().unwrap_or(0).max(self.shelf.stored) + 1
    }

    /// A worker wants its descriptors with a name back no more.
    pub(super) fn unstore(&mut self, worker: &WorkerId, name: &str) {
        let is_meant = |item: &Item| {
            item.worker == *worker && item.keep.label.starts_with(STORED) && item.keep.name == name
        };
        self.discard(is_meant);
    }

    /// The other end of something that a worker has left here is gone.
    pub(super) fn on_hung_up(&mut self, worker: &WorkerId, label: &str) {
        info!(%worker, label, "the other end of a stored descriptor is gone, and so is it");
        self.discard(|item| item.worker == *worker && item.keep.label == label);
    }

    fn discard(&mut self, is_meant: impl FnMut(&Item) -> bool) {
        let (gone, kept): (Vec<Item>, Vec<Item>) =
            std::mem::take(&mut self.shelf.items).into_iter().partition(is_meant);
        self.shelf.items = kept;
        for Item { worker, keep, .. } in gone {
            if let Some(speaker) = speaker(&worker, &keep.label) {
                self.listening.forget(&speaker);
            }
            self.holding.queue(ToKeeper::Discard { worker, label: Some(keep.label) });
        }
    }

    /// There was no room for it with the keeper.
    pub(super) fn on_not_kept(&self, worker: &WorkerId, label: &str) {
        warn!(%worker, label, "the keeper has no room for a descriptor; it does not outlive this master");
    }

    /// A worker that comes to rest for good needs nothing of it any more.
    pub(super) fn clear_shelf(&mut self, worker: &WorkerId, kind: &EventKind) {
        let rests = matches!(
            kind,
            EventKind::StateChanged { to: WorkerState::Stopped | WorkerState::Failed, .. }
                | EventKind::Removed
        );
        if !rests || !self.shelf.items.iter().any(|item| item.worker == *worker) {
            return;
        }
        let (gone, kept): (Vec<Item>, Vec<Item>) = std::mem::take(&mut self.shelf.items)
            .into_iter()
            .partition(|item| item.worker == *worker);
        self.shelf.items = kept;
        for item in gone {
            if let Some(speaker) = speaker(worker, &item.keep.label) {
                self.listening.forget(&speaker);
            }
            hsu_sys::listening::forget(&item.keep.label);
        }
        // Whatever listens there later has a socket of its own.
        let _ = std::fs::remove_file(self.notify_path(worker));
        self.holding.queue(ToKeeper::Discard { worker: worker.clone(), label: None });
    }
}
