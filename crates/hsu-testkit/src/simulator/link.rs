//! The links between masters and keeper: datagrams of real messages, in order, never torn.
//!
//! What was sent before an end died is still heard by the other, and then the loss.

use std::collections::VecDeque;

use hsu_keeper::{FromKeeper, Role, ToKeeper};

use super::os::Hold;

/// One connection.
#[derive(Debug)]
pub(crate) struct Link {
    /// The master at one end.
    pub(crate) master: Hold,
    /// What the keeper takes it for, after its hello.
    pub(crate) role: Option<Role>,
    /// On their way to the keeper.
    pub(crate) up: VecDeque<Vec<u8>>,
    /// On their way to the master.
    pub(crate) down: VecDeque<Vec<u8>>,
    /// Whether the master is gone.
    pub(crate) no_master: bool,
    /// Whether the keeper is gone, or has hung up.
    pub(crate) no_keeper: bool,
}

/// All connections: those of the master that serves, and of one that shall.
#[derive(Debug, Default)]
pub(crate) struct Links(Vec<Link>);

impl Links {
    /// A master reaches the keeper.
    pub(crate) fn open(&mut self, master: Hold) {
        self.0.push(Link {
            master,
            role: None,
            up: VecDeque::new(),
            down: VecDeque::new(),
            no_master: false,
            no_keeper: false,
        });
    }

    /// The connection of a master.
    pub(crate) fn of(&self, master: Hold) -> Option<&Link> {
        self.0.iter().find(|link| link.master == master)
    }

    /// The connection of a master.
    pub(crate) fn of_mut(&mut self, master: Hold) -> Option<&mut Link> {
        self.0.iter_mut().find(|link| link.master == master)
    }

    /// The connections that the keeper hears, by place.
    pub(crate) fn heard(&self) -> impl Iterator<Item = usize> + '_ {
        let is_heard = |(_, link): &(usize, &Link)| !link.up.is_empty() && !link.no_keeper;
        self.0.iter().enumerate().filter(is_heard).map(|(place, _)| place)
    }

    /// The oldest datagram that the keeper has not heard of a connection.
    pub(crate) fn take(&mut self, place: usize) -> Option<(Hold, Vec<u8>)> {
        let link = self.0.get_mut(place)?;
        Some((link.master, link.up.pop_front()?))
    }

    /// Whoever the keeper takes for the player of a role, and can be told something.
    pub(crate) fn player(&mut self, role: Role) -> Option<&mut Link> {
        let plays = |link: &&mut Link| link.role == Some(role) && !link.no_keeper;
        self.0.iter_mut().find(plays).filter(|link| !link.no_master)
    }

    /// The keeper hears nothing more of whoever plays a role, but for one.
    pub(crate) fn hang_up(&mut self, role: Role, except: Option<Hold>) {
        for link in self.0.iter_mut().filter(|link| link.role == Some(role)) {
            link.no_keeper |= Some(link.master) != except;
        }
        self.forget_dead();
    }

    /// The keeper hears nothing more of a master.
    pub(crate) fn hang_up_on(&mut self, master: Hold) {
        self.of_mut(master).into_iter().for_each(|link| link.no_keeper = true);
        self.forget_dead();
    }

    /// A master hears nothing more of the keeper.
    pub(crate) fn close(&mut self, master: Hold) {
        self.0.retain(|link| link.master != master);
    }

    /// The keeper is gone.
    pub(crate) fn lose_keeper(&mut self) {
        self.0.iter_mut().for_each(|link| link.no_keeper = true);
        self.forget_dead();
    }

    /// A master is gone.
    pub(crate) fn lose_master(&mut self, master: Hold) {
        self.of_mut(master).into_iter().for_each(|link| link.no_master = true);
        self.forget_dead();
    }

    fn forget_dead(&mut self) {
        self.0.retain(|link| !(link.no_master && link.no_keeper));
    }
}

/// Messages as they travel.
pub(crate) fn up(messages: impl IntoIterator<Item = ToKeeper>) -> Vec<u8> {
    let mut datagram = Vec::new();
    messages.into_iter().for_each(|message| message.append_to(&mut datagram));
    datagram
}

/// Messages as they travel.
pub(crate) fn down(messages: impl IntoIterator<Item = FromKeeper>) -> Vec<u8> {
    let mut datagram = Vec::new();
    messages.into_iter().for_each(|message| message.append_to(&mut datagram));
    datagram
}
