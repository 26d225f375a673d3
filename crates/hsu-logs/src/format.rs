//! How a line is written: plain, `enhanced_plain`, JSON, and made safe for a terminal.
//!
//! A renderer works on whole blocks of lines. What is the same for many lines, the
//! time above all, is made once and copied. Bytes pass as they came: a log line is
//! data, and whatever it looks like it stays after the header of its own line.

use hsu_model::logs::LogFormat;
use hsu_model::spool::SpoolId;
use hsu_model::time::WallTime;
use memchr::memchr;

use crate::spool::index::{Arrivals, Origin};

mod json;
mod stamp;
mod terminal;
#[cfg(test)]
mod tests;

pub use stamp::Zone;
pub use terminal::escape_for_terminal;

/// What is behind an output, as far as bytes are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Care {
    /// Bytes go as they came.
    Raw,
    /// Control bytes are made visible.
    Terminal,
}

/// Whether a piece of a line has the line's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// The block ends with a line end.
    Lines,
    /// The block is a part of a line that is longer than a block may be.
    Part,
}

/// The end of a part of a line, in the formats for people.
const GOES_ON: &[u8] = b" [hsu-master] the line goes on\n";

/// Writes the lines of one spool in one format.
#[derive(Debug)]
pub(crate) struct Renderer {
    spool: SpoolId,
    format: LogFormat,
    prefix: String,
    zone: Zone,
    care: Care,
    /// What the header was made for.
    made_for: Option<Origin>,
    header: Vec<u8>,
}

impl Renderer {
    pub(crate) fn new(
        spool: SpoolId,
        format: LogFormat,
        prefix: String,
        zone: Zone,
        care: Care,
    ) -> Self {
        Self { spool, format, prefix, zone, care, made_for: None, header: Vec::new() }
    }

    /// Appends the lines of a block that begins at stream offset `offset`, as many
    /// as keep `out` within `limit`, but at least one when `out` is empty. Answers
    /// the bytes of the block that were taken.
    pub(crate) fn render(
        &mut self,
        block: &[u8],
        piece: Piece,
        offset: u64,
        arrivals: &mut Arrivals,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> usize {
        let mut done = 0;
        let mut valid_to = 0;
        while let Some(rest) = block.get(done..).filter(|rest| !rest.is_empty()) {
            let at = offset + done as u64;
            if at >= valid_to {
                let (origin, to) = arrivals.at(at);
                self.prepare(origin);
                valid_to = to;
            }
            // The lines up to the next record of the index share one header.
            let same = usize::try_from(valid_to - at).unwrap_or(usize::MAX).min(rest.len());
            let taken = match self.format {
                LogFormat::Json => self.json_lines(rest, same, piece, limit, out),
                LogFormat::Plain | LogFormat::EnhancedPlain => {
                    self.text_lines(rest, same, piece, limit, out)
                }
            };
            if taken == 0 {
                break;
            }
            done += taken;
        }
        done
    }

    /// Appends a line that the master itself says about the spool.
    pub(crate) fn say(&mut self, text: &str, at: WallTime, out: &mut Vec<u8>) {
        self.prepare(Origin { at: Some(at), run: None });
        match self.format {
            LogFormat::Json => json::line(&self.header, text.as_bytes(), Piece::Lines, out),
            LogFormat::Plain | LogFormat::EnhancedPlain => {
                out.extend_from_slice(&self.header);
                out.extend_from_slice(text.as_bytes());
                out.push(b'\n');
            }
        }
    }

    /// Makes the header for lines of this origin.
    fn prepare(&mut self, origin: Origin) {
        let wanted = match self.format {
            // Lines of one second and of any run look alike.
            LogFormat::Plain => Origin::default(),
            LogFormat::EnhancedPlain => Origin { at: origin.at.map(whole_second), run: None },
            LogFormat::Json => origin,
        };
        if self.made_for == Some(wanted) {
            return;
        }
        self.made_for = Some(wanted);
        self.header.clear();
        self.header.extend_from_slice(self.prefix.as_bytes());
        match self.format {
            LogFormat::Plain => {}
            LogFormat::EnhancedPlain => {
                let (worker, stream) = (&self.spool.worker, self.spool.stream.as_str());
                let time = self.zone.seconds(wanted.at);
                self.header.extend_from_slice(format!("[{time}][{worker}][{stream}] ").as_bytes());
            }
            LogFormat::Json => {
                let time = self.zone.millis(wanted.at);
                json::header(&self.spool, &time, wanted.run, &mut self.header);
            }
        }
    }

    /// Appends lines that begin within the first `same` bytes of `block`.
    fn text_lines(
        &self,
        block: &[u8],
        same: usize,
        piece: Piece,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> usize {
        let mut done = 0;
        while done < same {
            let rest = block.get(done..).unwrap_or_default();
            let length = memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            let line = rest.get(..length).unwrap_or_default();
            // More, for the end of a line that has none.
            if !out.is_empty() && out.len() + self.header.len() + length + GOES_ON.len() > limit {
                break;
            }
            out.extend_from_slice(&self.header);
            match self.care {
                Care::Raw => out.extend_from_slice(line),
                Care::Terminal => terminal::escape(line, out),
            }
            if !line.ends_with(b"\n") {
                out.extend_from_slice(if piece == Piece::Part { GOES_ON } else { b"\n" });
            }
            done += length;
        }
        done
    }

    fn json_lines(
        &self,
        block: &[u8],
        same: usize,
        piece: Piece,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> usize {
        let mut done = 0;
        while done < same {
            let rest = block.get(done..).unwrap_or_default();
            let (length, text) = match memchr(b'\n', rest) {
                Some(at) => (at + 1, rest.get(..at).unwrap_or_default()),
                None => (rest.len(), rest),
            };
            let before = out.len();
            json::line(&self.header, text, piece, out);
            if before > 0 && out.len() > limit {
                out.truncate(before);
                break;
            }
            done += length;
        }
        done
    }
}

fn whole_second(time: WallTime) -> WallTime {
    WallTime(time.0.div_euclid(1_000_000_000) * 1_000_000_000)
}
