//! Ears: where workers say what they do, with the kernel's word on who speaks.
//!
//! A datagram is looked at first and taken away when what it says is done, so that
//! nothing is lost with a master that is killed in between.

#[cfg(target_os = "linux")]
#[path = "ears/linux.rs"]
mod os;
#[cfg(not(target_os = "linux"))]
#[path = "ears/elsewhere.rs"]
mod os;

pub use os::{Ears, bind, family, is_same, user};

use crate::listening::Owned;

/// What was heard.
#[derive(Debug)]
pub enum Heard {
    /// A datagram; it stays until [`Ears::take`].
    Datagram(Datagram),
    /// A line at a pipe.
    Line,
    /// A pipe was closed, or cannot be read any more.
    Closed,
    /// Nothing more: everything that was there when it was asked has been taken.
    Silence,
    /// The other end of a descriptor is gone that is only watched.
    HungUp,
}

/// One datagram.
#[derive(Debug)]
pub struct Datagram {
    /// What it says.
    pub text: Vec<u8>,
    /// Who said it.
    pub sender: Sender,
    /// Copies of what came beside it.
    pub descriptors: Vec<Owned>,
}

/// Who said something, by the kernel's word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sender {
    /// The user it was then.
    pub uid: Option<u32>,
    /// The process, its session and its ancestors, as far as they are known.
    pub family: Vec<u32>,
    /// Whether the process had ended before it was looked at.
    pub is_gone: bool,
}
