//! The layout of each message.

use std::collections::VecDeque;
use std::ffi::CString;

use hsu_model::id::{RunId, WorkerId};
use hsu_model::logs::Stream;
use hsu_model::process::ProcessKey;
use hsu_model::time::{Tick, WallTime};

use super::{
    Capture, FromKeeper, GoodbyeMode, Identity, Keep, Message, Program, Role, SignalScope,
    SpawnRequest, Stage, ToKeeper, put_exit, put_limit, put_stream, take_exit, take_limit,
    take_stream,
};
use crate::Descriptor;
use crate::wire::{Malformed, Reader, Writer};

impl Message for ToKeeper {
    fn encode(&mut self, out: &mut Vec<u8>) -> Option<Descriptor> {
        let mut out = Writer(out);
        match self {
            Self::Hello { role, version, relaunch } => {
                out.u8(1);
                out.u8(match role {
                    Role::Master => 1,
                    Role::Candidate => 2,
                    Role::Pump => 3,
                });
                out.u32(*version);
                put_program(&mut out, relaunch);
            }
            Self::Spawn(request) => {
                out.u8(2);
                put_request(&mut out, request);
            }
            Self::Signal { run, signal, scope } => {
                out.u8(3);
                out.run(*run);
                out.i32(*signal);
                out.u8(u8::from(*scope == SignalScope::Group));
            }
            Self::Acknowledge { run } => {
                out.u8(4);
                out.run(*run);
            }
            Self::Inventory => out.u8(5),
            Self::Pong => out.u8(6),
            Self::Upgrade { program } => {
                out.u8(7);
                put_program(&mut out, program);
            }
            Self::Yielded => out.u8(8),
            Self::Ready => out.u8(9),
            Self::Goodbye { mode } => {
                out.u8(10);
                out.u8(u8::from(*mode == GoodbyeMode::Keep));
            }
            Self::Drained { run, stream } => {
                out.u8(11);
                out.run(*run);
                put_stream(&mut out, *stream);
            }
            Self::Have { run, worker, stream, pipe } => {
                out.u8(12);
                return put_pipe(&mut out, (*run, worker, *stream), pipe);
            }
            Self::Keep { .. } | Self::Follow { .. } => return put_given(&mut out, self),
            Self::Discard { worker, label } => {
                out.u8(14);
                out.worker(worker);
                out.u8(u8::from(label.is_some()));
                out.bytes(label.as_deref().unwrap_or_default().as_bytes());
            }
        }
        None
    }

    fn decode(from: &mut Reader<'_>, beside: &mut VecDeque<Descriptor>) -> Result<Self, Malformed> {
        Ok(match from.u8()? {
            1 => {
                let role = match from.u8()? {
                    1 => Role::Master,
                    2 => Role::Candidate,
                    3 => Role::Pump,
                    _ => return Err(Malformed),
                };
                Self::Hello { role, version: from.u32()?, relaunch: take_program(from)? }
            }
            2 => Self::Spawn(Box::new(take_request(from)?)),
            3 => Self::Signal {
                run: from.run()?,
                signal: from.i32()?,
                scope: if from.flag()? { SignalScope::Group } else { SignalScope::Process },
            },
            4 => Self::Acknowledge { run: from.run()? },
            5 => Self::Inventory,
            6 => Self::Pong,
            7 => Self::Upgrade { program: take_program(from)? },
            8 => Self::Yielded,
            9 => Self::Ready,
            10 => Self::Goodbye {
                mode: if from.flag()? { GoodbyeMode::Keep } else { GoodbyeMode::Stop },
            },
            11 => Self::Drained { run: from.run()?, stream: take_stream(from)? },
            12 => Self::Have {
                run: from.run()?,
                worker: from.worker()?,
                stream: take_stream(from)?,
                pipe: take_descriptor(from, beside)?,
            },
            13 => Self::Keep {
                worker: from.worker()?,
                keep: take_keep(from)?,
                descriptor: take_descriptor(from, beside)?,
            },
            14 => {
                let (worker, is_one, label) = (from.worker()?, from.flag()?, from.text()?);
                Self::Discard { worker, label: is_one.then_some(label) }
            }
            15 => Self::Follow {
                run: from.run()?,
                process: take_process(from)?,
                handle: take_descriptor(from, beside)?,
            },
            _ => return Err(Malformed),
        })
    }
}

impl Message for FromKeeper {
    fn encode(&mut self, out: &mut Vec<u8>) -> Option<Descriptor> {
        let mut out = Writer(out);
        match self {
            Self::InventoryEnd
            | Self::Ping
            | Self::PumpLost
            | Self::Yield
            | Self::Proceed
            | Self::Resume
            | Self::Fenced
            | Self::Finish => out.u8(bare_kind(self)),
            Self::Welcome { version, keeper } => {
                out.u8(1);
                out.u32(*version);
                out.u32(*keeper);
            }
            Self::Spawned { run, process, handle, is_enclosed } => {
                out.u8(2);
                out.run(*run);
                put_process(&mut out, *process);
                out.u8(u8::from(*is_enclosed));
                out.u8(u8::from(handle.is_some()));
                return handle.take();
            }
            Self::SpawnFailed { run, stage, errno } => {
                out.u8(3);
                out.run(*run);
                out.u8(*stage as u8);
                out.i32(*errno);
            }
            Self::Exited { run, worker, process, exit, at, wall } => {
                out.u8(4);
                out.run(*run);
                out.worker(worker);
                put_process(&mut out, *process);
                put_exit(&mut out, *exit);
                put_times(&mut out, (*at, *wall));
            }
            Self::Held { run, worker, process, started, handle } => {
                out.u8(5);
                out.run(*run);
                out.worker(worker);
                put_process(&mut out, *process);
                put_times(&mut out, *started);
                out.u8(u8::from(handle.is_some()));
                return handle.take();
            }
            Self::Pending { run, worker } => {
                out.u8(6);
                out.run(*run);
                out.worker(worker);
            }
            Self::UpgradeFailed { reason } => {
                out.u8(14);
                out.bytes(reason.as_bytes());
            }
            Self::Stream { run, worker, stream, pipe } => {
                out.u8(15);
                return put_pipe(&mut out, (*run, worker, *stream), pipe);
            }
            Self::Kept { .. }
            | Self::NotKept { .. }
            | Self::Ready { .. }
            | Self::Followed { .. } => return put_shelf(&mut out, self),
        }
        None
    }

    fn decode(from: &mut Reader<'_>, beside: &mut VecDeque<Descriptor>) -> Result<Self, Malformed> {
        Ok(match from.u8()? {
            1 => Self::Welcome { version: from.u32()?, keeper: from.u32()? },
            2 => {
                let (run, process) = (from.run()?, take_process(from)?);
                let is_enclosed = from.flag()?;
                let handle = take_descriptor(from, beside)?;
                Self::Spawned { run, process, handle, is_enclosed }
            }
            3 => {
                Self::SpawnFailed { run: from.run()?, stage: take_stage(from)?, errno: from.i32()? }
            }
            4 => {
                let (run, worker) = (from.run()?, from.worker()?);
                let (process, exit) = (take_process(from)?, take_exit(from)?);
                let (at, wall) = take_times(from)?;
                Self::Exited { run, worker, process, exit, at, wall }
            }
            5 => Self::Held {
                run: from.run()?,
                worker: from.worker()?,
                process: take_process(from)?,
                started: take_times(from)?,
                handle: take_descriptor(from, beside)?,
            },
            6 => Self::Pending { run: from.run()?, worker: from.worker()? },
            kind @ 7..=13 => bare(kind)?,
            14 => Self::UpgradeFailed { reason: from.text()? },
            15 => Self::Stream {
                run: from.run()?,
                worker: from.worker()?,
                stream: take_stream(from)?,
                pipe: take_descriptor(from, beside)?,
            },
            16 => Self::Finish,
            17 => Self::Kept {
                worker: from.worker()?,
                keep: take_keep(from)?,
                descriptor: take_descriptor(from, beside)?,
            },
            18 => Self::NotKept { worker: from.worker()?, label: from.text()? },
            19 => Self::Ready { run: from.run()?, pipe: take_descriptor(from, beside)? },
            20 => Self::Followed {
                run: from.run()?,
                process: take_process(from)?,
                is_held: from.flag()?,
            },
            _ => return Err(Malformed),
        })
    }
}

fn take_descriptor(
    from: &mut Reader<'_>,
    beside: &mut VecDeque<Descriptor>,
) -> Result<Option<Descriptor>, Malformed> {
    if from.flag()? { beside.pop_front().map(Some).ok_or(Malformed) } else { Ok(None) }
}

fn put_pipe(
    out: &mut Writer<'_>,
    (run, worker, stream): (RunId, &WorkerId, Stream),
    pipe: &mut Option<Descriptor>,
) -> Option<Descriptor> {
    out.run(run);
    out.worker(worker);
    put_stream(out, stream);
    out.u8(u8::from(pipe.is_some()));
    pipe.take()
}

/// What gives the keeper something to hold; nothing else is put.
fn put_given(out: &mut Writer<'_>, message: &mut ToKeeper) -> Option<Descriptor> {
    if let ToKeeper::Keep { worker, keep, descriptor } = message {
        out.u8(13);
        out.worker(worker);
        put_keep(out, keep);
        out.u8(u8::from(descriptor.is_some()));
        return descriptor.take();
    }
    if let ToKeeper::Follow { run, process, handle } = message {
        out.u8(15);
        out.run(*run);
        put_process(out, *process);
        out.u8(u8::from(handle.is_some()));
        return handle.take();
    }
    None
}

/// What concerns descriptors that are kept and processes that are named; nothing else is put.
fn put_shelf(out: &mut Writer<'_>, message: &mut FromKeeper) -> Option<Descriptor> {
    if let FromKeeper::Kept { worker, keep, descriptor } = message {
        out.u8(17);
        out.worker(worker);
        put_keep(out, keep);
        out.u8(u8::from(descriptor.is_some()));
        return descriptor.take();
    }
    if let FromKeeper::NotKept { worker, label } = message {
        out.u8(18);
        out.worker(worker);
        out.bytes(label.as_bytes());
    }
    if let FromKeeper::Followed { run, process, is_held } = message {
        out.u8(20);
        out.run(*run);
        put_process(out, *process);
        out.u8(u8::from(*is_held));
    }
    if let FromKeeper::Ready { run, pipe } = message {
        out.u8(19);
        out.run(*run);
        out.u8(u8::from(pipe.is_some()));
        return pipe.take();
    }
    None
}

fn put_keep(out: &mut Writer<'_>, keep: &Keep) {
    out.u8(u8::from(keep.passed));
    out.bytes(keep.name.as_bytes());
    out.bytes(keep.label.as_bytes());
}

fn take_keep(from: &mut Reader<'_>) -> Result<Keep, Malformed> {
    Ok(Keep { passed: from.flag()?, name: from.text()?, label: from.text()? })
}

fn put_process(out: &mut Writer<'_>, process: ProcessKey) {
    out.u32(process.pid);
    out.u64(process.started_at);
}

fn take_process(from: &mut Reader<'_>) -> Result<ProcessKey, Malformed> {
    Ok(ProcessKey { pid: from.u32()?, started_at: from.u64()? })
}

fn put_times(out: &mut Writer<'_>, (tick, wall): (Tick, WallTime)) {
    out.u64(tick.0);
    out.i64(wall.0);
}

fn take_times(from: &mut Reader<'_>) -> Result<(Tick, WallTime), Malformed> {
    Ok((Tick(from.u64()?), WallTime(from.i64()?)))
}

fn take_stage(from: &mut Reader<'_>) -> Result<Stage, Malformed> {
    Ok(match from.u8()? {
        0 => Stage::Resources,
        1 => Stage::Limits,
        2 => Stage::Identity,
        3 => Stage::Directory,
        4 => Stage::Execute,
        5 => Stage::Nice,
        6 => Stage::Policy,
        7 => Stage::Group,
        _ => return Err(Malformed),
    })
}

fn put_texts(out: &mut Writer<'_>, texts: &[CString]) {
    out.list(texts, |out, text| out.bytes(text.as_bytes()));
}

fn take_text(from: &mut Reader<'_>) -> Result<CString, Malformed> {
    CString::new(from.bytes()?).map_err(|_| Malformed)
}

fn put_program(out: &mut Writer<'_>, program: &Program) {
    out.bytes(program.executable.as_bytes());
    out.bytes(program.cwd.as_bytes());
    put_texts(out, &program.args);
    put_texts(out, &program.env);
}

fn take_program(from: &mut Reader<'_>) -> Result<Program, Malformed> {
    Ok(Program {
        executable: take_text(from)?,
        cwd: take_text(from)?,
        args: from.list(take_text)?,
        env: from.list(take_text)?,
    })
}

fn put_request(out: &mut Writer<'_>, request: &SpawnRequest) {
    out.run(request.run);
    out.worker(&request.worker);
    put_program(out, &request.program);
    out.u8(u8::from(request.identity.is_some()));
    let identity = request.identity.clone().unwrap_or_default();
    out.u32(identity.uid);
    out.u32(identity.gid);
    out.list(&identity.groups, |out, group| out.u32(*group));
    out.option_u32(request.umask);
    out.u8(u8::from(request.nice.is_some()));
    out.i32(request.nice.unwrap_or(0));
    out.list(&request.rlimits, |out, limit| put_limit(out, *limit));
    put_texts(out, &request.entrances);
    out.u8(u8::from(request.capture.stdout));
    out.u8(u8::from(request.capture.stderr));
    out.u8(u8::from(request.cgroup.is_some()));
    if let Some(cgroup) = &request.cgroup {
        out.bytes(cgroup.as_bytes());
    }
    out.option_u32(request.ready_descriptor);
}

fn take_request(from: &mut Reader<'_>) -> Result<SpawnRequest, Malformed> {
    let (run, worker, program) = (from.run()?, from.worker()?, take_program(from)?);
    let has_identity = from.flag()?;
    let identity = Identity { uid: from.u32()?, gid: from.u32()?, groups: from.list(Reader::u32)? };
    let umask = from.option_u32()?;
    let has_nice = from.flag()?;
    let nice = from.i32()?;
    Ok(SpawnRequest {
        run,
        worker,
        program,
        identity: has_identity.then_some(identity),
        umask,
        nice: has_nice.then_some(nice),
        rlimits: from.list(take_limit)?,
        entrances: from.list(take_text)?,
        capture: Capture { stdout: from.flag()?, stderr: from.flag()? },
        cgroup: if from.flag()? { Some(take_text(from)?) } else { None },
        ready_descriptor: from.option_u32()?,
    })
}

/// Messages that are nothing but their kind.
fn bare(kind: u8) -> Result<FromKeeper, Malformed> {
    Ok(match kind {
        7 => FromKeeper::InventoryEnd,
        8 => FromKeeper::Ping,
        9 => FromKeeper::PumpLost,
        10 => FromKeeper::Yield,
        11 => FromKeeper::Proceed,
        12 => FromKeeper::Resume,
        13 => FromKeeper::Fenced,
        _ => return Err(Malformed),
    })
}

/// The kind of a message that is nothing else; 0 for any other.
fn bare_kind(message: &FromKeeper) -> u8 {
    match message {
        FromKeeper::InventoryEnd => 7,
        FromKeeper::Ping => 8,
        FromKeeper::PumpLost => 9,
        FromKeeper::Yield => 10,
        FromKeeper::Proceed => 11,
        FromKeeper::Resume => 12,
        FromKeeper::Fenced => 13,
        FromKeeper::Finish => 16,
        FromKeeper::Welcome { .. }
        | FromKeeper::Spawned { .. }
        | FromKeeper::SpawnFailed { .. }
        | FromKeeper::Exited { .. }
        | FromKeeper::Held { .. }
        | FromKeeper::Pending { .. }
        | FromKeeper::Kept { .. }
        | FromKeeper::NotKept { .. }
        | FromKeeper::Followed { .. }
        | FromKeeper::Ready { .. }
        | FromKeeper::UpgradeFailed { .. }
        | FromKeeper::Stream { .. } => 0,
    }
}
