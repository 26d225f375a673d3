//! Kept inputs: what the engine found on top of the seeds, one file a target.
//!
//! A file is a list of inputs, each behind its length in four bytes, so that a
//! corpus is one change in the history and not a thousand.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::Target;

/// The file of a target's kept inputs.
#[must_use]
pub fn path(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name)
}

/// Every seed and every kept input of a target.
///
/// # Errors
/// The system's, or [`io::ErrorKind::InvalidData`] for a file that is no such list.
pub fn all(target: &Target) -> io::Result<Vec<Vec<u8>>> {
    let mut inputs = (target.seeds)();
    match fs::read(path(target)) {
        Ok(bytes) => inputs.extend(unpack(&bytes).ok_or(io::ErrorKind::InvalidData)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(inputs)
}

/// Inputs as one file.
#[must_use]
pub fn pack(inputs: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for input in inputs {
        let length = u32::try_from(input.len()).unwrap_or(0);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(input.get(..length as usize).unwrap_or_default());
    }
    bytes
}

/// What [`pack`] wrote; none when it is something else.
#[must_use]
pub fn unpack(mut bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut inputs = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (input, rest) = rest.split_at_checked(length)?;
        inputs.push(input.to_vec());
        bytes = rest;
    }
    Some(inputs)
}
