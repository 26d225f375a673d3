//! The shelf: descriptors that are kept for workers while they are not running.
//!
//! Listening sockets and what workers store (sd_notify's `FDSTORE=1`) outlive
//! the processes that use them, and so does the socket on which a worker is
//! heard. The keeper keeps them in order and knows nothing else about them; the
//! master holds copies, so that the loss of either loses none.

use std::os::fd::OwnedFd;

use hsu_model::id::WorkerId;

use super::Keeper;
use crate::descriptor::Descriptor;
use crate::protocol::{FromKeeper, Keep, Role};
use crate::spawn::MOST_PASSED;

/// Descriptors on the shelf at most, so that they leave room for processes.
const MOST: usize = 2048;

/// One descriptor that is kept.
#[derive(Debug)]
struct Item {
    worker: WorkerId,
    keep: Keep,
    descriptor: OwnedFd,
}

/// Everything that is kept, in the order in which it came.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    items: Vec<Item>,
}

impl Shelf {
    /// What a worker is passed at its start, in order: copies, and their names.
    ///
    /// # Errors
    /// The kernel's, when it gives no copies.
    pub(super) fn pass(&self, worker: &WorkerId) -> std::io::Result<Vec<(String, OwnedFd)>> {
        let passed = self.items.iter().filter(|item| item.worker == *worker && item.keep.passed);
        let copy = |item: &Item| Ok((item.keep.name.clone(), item.descriptor.try_clone()?));
        passed.take(MOST_PASSED).map(copy).collect()
    }

    fn position(&self, worker: &WorkerId, label: &str) -> Option<usize> {
        self.items.iter().position(|item| item.worker == *worker && item.keep.label == label)
    }
}

impl Keeper {
    /// Keeps a descriptor; another one with the same label takes its place.
    pub(super) fn keep(&mut self, worker: WorkerId, keep: Keep, descriptor: Option<Descriptor>) {
        let items = &mut self.shelf.items;
        let Some(descriptor) = descriptor.map(Descriptor::into_inner) else { return };
        let of_worker = |item: &&Item| item.worker == worker && item.keep.passed;
        let is_full = items.len() >= MOST
            || keep.passed && items.iter().filter(of_worker).count() >= MOST_PASSED;
        match self.shelf.position(&worker, &keep.label) {
            Some(place) => self.shelf.items[place] = Item { worker, keep, descriptor },
            None if is_full => {
                let refused = FromKeeper::NotKept { worker, label: keep.label };
                self.connections.tell(Role::Master, refused);
            }
            None => self.shelf.items.push(Item { worker, keep, descriptor }),
        }
    }

    /// Lets go of one descriptor of a worker, or of all.
    pub(super) fn discard(&mut self, worker: &WorkerId, label: Option<&str>) {
        let is_meant = |item: &Item| {
            item.worker == *worker && label.is_none_or(|label| item.keep.label == label)
        };
        self.shelf.items.retain(|item| !is_meant(item));
    }

    /// Tells everything that is kept.
    pub(super) fn tell_shelf(&mut self, role: Role) {
        let copies: Vec<_> = self
            .shelf
            .items
            .iter()
            .map(|item| (item.worker.clone(), item.keep.clone(), item.descriptor.try_clone().ok()))
            .collect();
        for (worker, keep, copy) in copies {
            let descriptor = copy.map(Descriptor::new);
            self.connections.tell(role, FromKeeper::Kept { worker, keep, descriptor });
        }
    }
}
