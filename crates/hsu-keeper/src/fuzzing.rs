//! What the fuzzers check of the protocol, whose readers nobody outside sees.
//!
//! The targets are in `fuzz/src/targets`. Nothing of the product calls this.

use std::collections::VecDeque;

use crate::protocol::{FromKeeper, Message, ToKeeper, decode_all};

/// The messages of a datagram that a master or a pump may have sent.
///
/// # Panics
/// When they are written in another form than they are read.
#[must_use]
pub fn to_keeper(datagram: &[u8]) -> Option<Vec<ToKeeper>> {
    batch(datagram)
}

/// The messages of a datagram that a keeper may have sent.
///
/// # Panics
/// When they are written in another form than they are read.
#[must_use]
pub fn from_keeper(datagram: &[u8]) -> Option<Vec<FromKeeper>> {
    batch(datagram)
}

/// Messages as a datagram, for seeds.
#[must_use]
pub fn datagram(orders: Vec<ToKeeper>, answers: Vec<FromKeeper>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for mut order in orders {
        order.encode(&mut bytes);
    }
    for mut answer in answers {
        answer.encode(&mut bytes);
    }
    bytes
}

fn batch<M: Message + PartialEq + std::fmt::Debug>(datagram: &[u8]) -> Option<Vec<M>> {
    let read = |bytes: &[u8]| {
        let mut messages: Vec<M> = Vec::new();
        decode_all(bytes, VecDeque::new(), &mut messages).ok()?;
        Some(messages)
    };
    let mut messages = read(datagram)?;
    let mut written = Vec::new();
    for message in &mut messages {
        message.encode(&mut written);
    }
    assert!(written.len() <= datagram.len(), "what was read is longer when it is written");
    assert_eq!(read(&written).as_ref(), Some(&messages));
    Some(messages)
}

/// The start time that the keeper reads from `/proc/PID/stat`.
#[must_use]
pub fn started_in(stat: &[u8]) -> Option<u64> {
    #[cfg(target_os = "linux")]
    return crate::kernel::started_in(stat);
    #[cfg(not(target_os = "linux"))]
    return stat.first().map(|_| 0).filter(|_| false);
}

/// The starts that a datagram asks for, and whether a policy allows each; none when either
/// means nothing. Links are not followed.
#[cfg(target_os = "linux")]
#[must_use]
pub fn judged(policy: &str, datagram: &[u8]) -> Option<Vec<(crate::SpawnRequest, bool)>> {
    let policy = crate::policy::Policy::parse(policy).ok()?;
    let judge = |order| {
        let ToKeeper::Spawn(request) = order else { return None };
        let bytes = request.program.executable.as_bytes();
        let path = std::path::Path::new(std::str::from_utf8(bytes).ok()?);
        let (env, identity) = (&request.program.env, request.identity.as_ref());
        let is_allowed = policy.allows_worker(path, env, identity).is_ok();
        Some((*request, is_allowed))
    };
    Some(to_keeper(datagram)?.into_iter().filter_map(judge).collect())
}
