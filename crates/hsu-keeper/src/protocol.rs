//! The protocol between the keeper and those who connect to it: master and pump.
//!
//! A datagram is a batch of messages; a message is a kind, a length and fields.
//! Descriptors travel beside the datagram, in the order of the messages that
//! carry one. Every message about a worker carries its run.

use std::collections::VecDeque;
use std::ffi::CString;

use hsu_model::execution::{Resource, ResourceLimit};
use hsu_model::exit::{Exit, UnknownExit};
use hsu_model::id::{RunId, WorkerId};
use hsu_model::logs::Stream;
use hsu_model::process::ProcessKey;
use hsu_model::time::{Tick, WallTime};

use crate::Descriptor;
use crate::wire::{Malformed, Reader, Writer};

mod codec;

/// Rises when a message changes its meaning; both ends refuse another number.
pub const VERSION: u32 = 4;

/// Who connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The master that decides.
    Master,
    /// A master that shall take over.
    Candidate,
    /// The pump.
    Pump,
}

/// How a program is started that is no worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// The executable, an absolute path.
    pub executable: CString,
    /// Its arguments, its name first.
    pub args: Vec<CString>,
    /// Its environment.
    pub env: Vec<CString>,
    /// Where it starts.
    pub cwd: CString,
}

/// What a worker becomes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its other groups.
    pub groups: Vec<u32>,
}

/// Which streams are captured; the others go to the null device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capture {
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
}

/// One run to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpawnRequest {
    /// Its number.
    pub run: RunId,
    /// Its worker.
    pub worker: WorkerId,
    /// What to execute.
    pub program: Program,
    /// What it becomes; none stays what the keeper is.
    pub identity: Option<Identity>,
    /// The file mode creation mask; none stays as it is.
    pub umask: Option<u32>,
    /// The nice value; none stays as it is.
    pub nice: Option<i32>,
    /// Limits set before it starts.
    pub rlimits: Vec<ResourceLimit>,
    /// The files through which it enters its groups before it executes.
    pub entrances: Vec<CString>,
    /// Which streams are captured.
    pub capture: Capture,
    /// The folder of the cgroup that it is born in, if that can be.
    pub cgroup: Option<CString>,
    /// The descriptor at which the worker writes a line when it is ready; none for
    /// a worker that tells otherwise. What is kept for the worker is passed too.
    // Source: s6 "notification-fd".
    pub ready_descriptor: Option<u32>,
}

/// A descriptor that is kept for a worker while it does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Whether the worker is passed it at each start, from number 3 on.
    pub passed: bool,
    /// Its name for the worker.
    // Source: sd_listen_fds(3), `LISTEN_FDNAMES`.
    pub name: String,
    /// What the master knows it by; the keeper reads no meaning into it.
    pub label: String,
}

/// How far a signal reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalScope {
    /// The process alone.
    Process,
    /// Its process group.
    Group,
}

/// What becomes of everything when the master says goodbye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoodbyeMode {
    /// Nothing runs any more: keeper and pump end too.
    Stop,
    /// Workers, keeper and pump go on; the master is not started again.
    Keep,
}

/// The stage at which a start failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// No slot, pipe or process was to be had.
    Resources,
    /// The resource limits could not be set.
    Limits,
    /// The user or the groups could not be taken.
    Identity,
    /// The working directory could not be entered.
    Directory,
    /// The program could not be executed.
    Execute,
    /// The nice value could not be set.
    Nice,
    /// The policy of the host does not allow it.
    Policy,
    /// A group could not be entered.
    Group,
}

/// What the keeper is told.
#[derive(Debug, PartialEq)]
pub enum ToKeeper {
    /// The first message of a connection.
    Hello {
        /// Who connects.
        role: Role,
        /// The protocol it speaks.
        version: u32,
        /// How to start it again; not needed of a pump.
        relaunch: Program,
    },
    /// Start a run.
    Spawn(Box<SpawnRequest>),
    /// Send a signal.
    Signal {
        /// To this run.
        run: RunId,
        /// Its number.
        signal: i32,
        /// How far it reaches.
        scope: SignalScope,
    },
    /// An exit is accounted and may be forgotten.
    Acknowledge {
        /// Of this run.
        run: RunId,
    },
    /// Hold another process of a run in place of the one that is held, so that its end is
    /// the end of the run.
    Follow {
        /// The run.
        run: RunId,
        /// The process.
        process: ProcessKey,
        /// A hold on it.
        handle: Option<Descriptor>,
    },
    /// Tell everything that is held.
    Inventory,
    /// Keep a descriptor for a worker; it comes beside.
    Keep {
        /// The worker.
        worker: WorkerId,
        /// What it is.
        keep: Keep,
        /// The descriptor.
        descriptor: Option<Descriptor>,
    },
    /// Let go of what is kept for a worker.
    Discard {
        /// The worker.
        worker: WorkerId,
        /// The label of one; none lets go of all.
        label: Option<String>,
    },
    /// The loop lives.
    Pong,
    /// Start another master and hand over to it.
    Upgrade {
        /// The other master.
        program: Program,
    },
    /// The state is written and free to be taken.
    Yielded,
    /// The candidate has taken over.
    Ready,
    /// The master ends.
    Goodbye {
        /// What becomes of everything.
        mode: GoodbyeMode,
    },
    /// The pump has moved the last byte of a stream.
    Drained {
        /// The run.
        run: RunId,
        /// The stream.
        stream: Stream,
    },
    /// The pump still carries a stream; its read end is with the message.
    Have {
        /// The run.
        run: RunId,
        /// Its worker.
        worker: WorkerId,
        /// The stream.
        stream: Stream,
        /// The read end.
        pipe: Option<Descriptor>,
    },
}

/// What the keeper tells.
#[derive(Debug, PartialEq)]
pub enum FromKeeper {
    /// The answer to hello.
    Welcome {
        /// The keeper's protocol.
        version: u32,
        /// Its PID.
        keeper: u32,
    },
    /// A run has started.
    Spawned {
        /// The run.
        run: RunId,
        /// Its process.
        process: ProcessKey,
        /// A hold on the process.
        handle: Option<Descriptor>,
        /// Whether it was born in the cgroup that was asked for.
        is_enclosed: bool,
    },
    /// A run could not be started.
    SpawnFailed {
        /// The run.
        run: RunId,
        /// Where it failed.
        stage: Stage,
        /// The kernel's error number.
        errno: i32,
    },
    /// A run has ended; told again until it is acknowledged.
    Exited {
        /// The run.
        run: RunId,
        /// Its worker.
        worker: WorkerId,
        /// The process that was held for it.
        process: ProcessKey,
        /// How it ended.
        exit: Exit,
        /// When.
        at: Tick,
        /// When, for people.
        wall: WallTime,
    },
    /// Part of the inventory: a run that lives.
    Held {
        /// The run.
        run: RunId,
        /// Its worker.
        worker: WorkerId,
        /// Its process.
        process: ProcessKey,
        /// When it started.
        started: (Tick, WallTime),
        /// A hold on the process.
        handle: Option<Descriptor>,
    },
    /// Part of the inventory: a spawn that is not answered yet.
    Pending {
        /// The run.
        run: RunId,
        /// Its worker.
        worker: WorkerId,
    },
    /// Part of the inventory: a descriptor that is kept.
    Kept {
        /// For this worker.
        worker: WorkerId,
        /// What it is.
        keep: Keep,
        /// A copy of it.
        descriptor: Option<Descriptor>,
    },
    /// There was no room for a descriptor that shall be kept.
    NotKept {
        /// For this worker.
        worker: WorkerId,
        /// Its label.
        label: String,
    },
    /// The answer to [`ToKeeper::Follow`].
    Followed {
        /// The run.
        run: RunId,
        /// The process.
        process: ProcessKey,
        /// Whether it is held for the run now.
        is_held: bool,
    },
    /// Where a run writes a line when it is ready.
    Ready {
        /// The run.
        run: RunId,
        /// The read end of its pipe.
        pipe: Option<Descriptor>,
    },
    /// The inventory is complete.
    InventoryEnd,
    /// Is the loop alive?
    Ping,
    /// The pump was lost and is being replaced.
    PumpLost,
    /// Write the state and let go of it: a candidate waits.
    Yield,
    /// The state is free: take it.
    Proceed,
    /// The candidate failed: go on.
    Resume,
    /// The candidate has taken over: end.
    Fenced,
    /// An upgrade did not happen.
    UpgradeFailed {
        /// Why.
        reason: String,
    },
    /// To the pump: carry a stream; its read end is with the message.
    Stream {
        /// The run.
        run: RunId,
        /// Its worker.
        worker: WorkerId,
        /// The stream.
        stream: Stream,
        /// The read end.
        pipe: Option<Descriptor>,
    },
    /// To the pump: drain what is there and end.
    Finish,
}

impl FromKeeper {
    /// Whether it tells of processes, and not of masters or of the link itself.
    #[must_use]
    pub fn is_of_the_fleet(&self) -> bool {
        match self {
            Self::Spawned { .. }
            | Self::SpawnFailed { .. }
            | Self::Exited { .. }
            | Self::Held { .. }
            | Self::Pending { .. }
            | Self::Kept { .. }
            | Self::NotKept { .. }
            | Self::Followed { .. }
            | Self::Ready { .. }
            | Self::InventoryEnd
            | Self::PumpLost => true,
            Self::Welcome { .. }
            | Self::Ping
            | Self::Yield
            | Self::Proceed
            | Self::Resume
            | Self::Fenced
            | Self::UpgradeFailed { .. }
            | Self::Stream { .. }
            | Self::Finish => false,
        }
    }
}

impl ToKeeper {
    /// Appends it to a datagram as it travels; it must carry no descriptor.
    pub fn append_to(mut self, datagram: &mut Vec<u8>) {
        drop(self.encode(datagram));
    }

    /// Reads every message of a datagram that came without descriptors.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read_all(datagram: &[u8], into: &mut Vec<Self>) -> Result<(), Malformed> {
        decode_all(datagram, VecDeque::new(), into)
    }
}

impl FromKeeper {
    /// Appends it to a datagram as it travels; it must carry no descriptor.
    pub fn append_to(mut self, datagram: &mut Vec<u8>) {
        drop(self.encode(datagram));
    }

    /// Reads every message of a datagram that came without descriptors.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read_all(datagram: &[u8], into: &mut Vec<Self>) -> Result<(), Malformed> {
        decode_all(datagram, VecDeque::new(), into)
    }
}

/// A message that can stand in a datagram.
pub(crate) trait Message: Sized {
    /// Appends it; a descriptor is taken out and goes beside.
    fn encode(&mut self, out: &mut Vec<u8>) -> Option<Descriptor>;

    /// Reads one; descriptors come from the side.
    fn decode(from: &mut Reader<'_>, beside: &mut VecDeque<Descriptor>) -> Result<Self, Malformed>;
}

/// Reads every message of a datagram.
pub(crate) fn decode_all<M: Message>(
    datagram: &[u8],
    mut beside: VecDeque<Descriptor>,
    into: &mut Vec<M>,
) -> Result<(), Malformed> {
    let mut reader = Reader(datagram);
    while !reader.0.is_empty() {
        into.push(M::decode(&mut reader, &mut beside)?);
    }
    Ok(())
}

fn put_stream(out: &mut Writer<'_>, stream: Stream) {
    out.u8(match stream {
        Stream::Stdout => 1,
        Stream::Stderr => 2,
    });
}

fn take_stream(from: &mut Reader<'_>) -> Result<Stream, Malformed> {
    match from.u8()? {
        1 => Ok(Stream::Stdout),
        2 => Ok(Stream::Stderr),
        _ => Err(Malformed),
    }
}

fn put_exit(out: &mut Writer<'_>, exit: Exit) {
    let (kind, number, core) = match exit {
        Exit::Code(code) => (0, code, false),
        Exit::Signal { number, core } => (1, number, core),
        Exit::Unknown(reason) => (2, unknown_number(reason), false),
    };
    out.u8(kind);
    out.i32(number);
    out.u8(u8::from(core));
}

fn unknown_number(reason: UnknownExit) -> i32 {
    match reason {
        UnknownExit::NotOurChild => 1,
        UnknownExit::Reboot => 2,
        UnknownExit::NeverSeen => 3,
        UnknownExit::Unwatched => 4,
        UnknownExit::KeeperLost => 0,
    }
}

fn take_exit(from: &mut Reader<'_>) -> Result<Exit, Malformed> {
    let (kind, number, core) = (from.u8()?, from.i32()?, from.flag()?);
    match kind {
        0 => Ok(Exit::Code(number)),
        1 => Ok(Exit::Signal { number, core }),
        2 => Ok(Exit::Unknown(match number {
            1 => UnknownExit::NotOurChild,
            2 => UnknownExit::Reboot,
            3 => UnknownExit::NeverSeen,
            4 => UnknownExit::Unwatched,
            _ => UnknownExit::KeeperLost,
        })),
        _ => Err(Malformed),
    }
}

const RESOURCES: [Resource; 9] = [
    Resource::AddressSpace,
    Resource::Core,
    Resource::Cpu,
    Resource::Data,
    Resource::FileSize,
    Resource::LockedMemory,
    Resource::OpenFiles,
    Resource::Processes,
    Resource::Stack,
];

fn put_limit(out: &mut Writer<'_>, limit: ResourceLimit) {
    let place = RESOURCES.iter().position(|resource| *resource == limit.resource);
    out.u8(place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX));
    out.u64(limit.soft);
    out.u64(limit.hard);
}

fn take_limit(from: &mut Reader<'_>) -> Result<ResourceLimit, Malformed> {
    let resource = RESOURCES.get(usize::from(from.u8()?)).copied().ok_or(Malformed)?;
    Ok(ResourceLimit { resource, soft: from.u64()?, hard: from.u64()? })
}

#[cfg(test)]
mod tests;
