//! What the fuzzers check of lines and cursors, whose writers nobody outside sees.
//!
//! Each function takes any bytes and asserts what must hold of them. The targets
//! are in `fuzz/src/targets`. Nothing of the product calls this.

use std::collections::BTreeSet;
use std::path::Path;

use hsu_model::logs::LogFormat;
use hsu_model::spool::SpoolId;

use crate::error::LogError;
use crate::format::{Care, Piece, Renderer, Zone};
use crate::output::cursors::{Cursors, Mark};
use crate::spool::index::Arrivals;

/// How lines are written.
#[derive(Clone, Copy, Debug)]
pub struct Writing {
    /// As what.
    pub format: LogFormat,
    /// Whether a terminal is behind it.
    pub terminal: bool,
    /// Whether the bytes are a part of a line that is too long.
    pub part: bool,
    /// The most bytes at once.
    pub limit: usize,
}

/// Writes a block of lines the way outputs do, chunk by chunk.
///
/// # Panics
/// When a chunk takes nothing, or more than there is.
#[must_use]
pub fn rendered(spool: &SpoolId, block: &[u8], writing: Writing) -> Vec<u8> {
    let care = if writing.terminal { Care::Terminal } else { Care::Raw };
    let piece = if writing.part { Piece::Part } else { Piece::Lines };
    let mut renderer =
        Renderer::new(spool.clone(), writing.format, String::new(), Zone::utc(), care);
    let nowhere = Path::new("/nonexistent");
    let mut arrivals = Arrivals::open(nowhere, 0, 0, None).expect("no index is no error");
    let (mut done, mut all) = (0, Vec::new());
    while done < block.len() {
        let (rest, mut chunk) = (block.get(done..).unwrap_or_default(), Vec::new());
        let at = done as u64;
        let taken = renderer.render(rest, piece, at, &mut arrivals, writing.limit, &mut chunk);
        assert!(taken > 0 && taken <= rest.len(), "{taken} of {} bytes were taken", rest.len());
        done += taken;
        all.extend_from_slice(&chunk);
    }
    all
}

/// Cursors from any bytes: what is read is read again, and a commit after it counts.
///
/// # Errors
/// The system's.
///
/// # Panics
/// When a commit does not count, or what was read changes by being written anew.
pub fn cursors(folder: &Path, bytes: &[u8]) -> Result<(), LogError> {
    const OUTPUT: &str = "/l/fuzz\n\"\\.log";
    let path = folder.join("cursors");
    std::fs::write(&path, bytes).map_err(LogError::io("write", &path))?;
    let mut cursors = Cursors::open(folder)?;
    let before = format!("{:?}", cursors.committed(OUTPUT));
    assert_eq!(format!("{:?}", Cursors::open(folder)?.committed(OUTPUT)), before);
    let mark = Mark { base: 1, length: u64::MAX, tail: 7 };
    cursors.stage(OUTPUT, mark, [("w/stdout", 5)]);
    cursors.flush()?;
    let again = Cursors::open(folder)?;
    let committed = again.committed(OUTPUT).expect("the commit was flushed");
    assert_eq!((committed.file, committed.offsets.get("w/stdout")), (mark, Some(&5)));
    let mut again = again;
    again.keep(&BTreeSet::new());
    again.flush()?;
    assert_eq!(Cursors::open(folder)?.committed(OUTPUT), None, "it was forgotten");
    Ok(())
}
