//! Tables: columns as wide as their longest cell, two spaces between them.

use std::fmt::{Display, Write as _};

/// Rows of as many cells as the head has, kept in one text: a row costs no allocation.
#[derive(Debug)]
pub(crate) struct Table {
    widths: Vec<usize>,
    text: String,
    /// Where each cell ends in the text, and how many columns it takes.
    cells: Vec<(usize, usize)>,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        let mut table =
            Self { widths: vec![0; head.len()], text: String::new(), cells: Vec::new() };
        for name in head {
            table.cell(name);
        }
        table
    }

    /// Adds the next cell of the present row.
    pub(crate) fn cell(&mut self, content: impl Display) {
        let begin = self.text.len();
        // A string takes whatever it is given.
        let _ = write!(self.text, "{content}");
        // Cells hold ids, words and numbers: one column a character.
        let width = self.text.get(begin..).unwrap_or_default().chars().count();
        let column = self.cells.len() % self.widths.len().max(1);
        if let Some(widest) = self.widths.get_mut(column) {
            *widest = width.max(*widest);
        }
        self.cells.push((self.text.len(), width));
    }

    /// A cell that may have nothing to show.
    pub(crate) fn maybe(&mut self, content: Option<impl Display>) {
        match content {
            Some(content) => self.cell(content),
            None => self.cell("-"),
        }
    }

    /// The columns side by side, ready to print.
    pub(crate) fn render(&self) -> String {
        let columns = self.widths.len().max(1);
        let line = self.widths.iter().sum::<usize>() + 2 * columns;
        let mut out = String::with_capacity(line * self.cells.len().div_ceil(columns));
        let mut begin = 0;
        for (index, (end, width)) in self.cells.iter().enumerate() {
            out.push_str(self.text.get(begin..*end).unwrap_or_default());
            begin = *end;
            let column = index % columns;
            if column + 1 == columns {
                out.push('\n');
            } else {
                let room = self.widths.get(column).copied().unwrap_or(0) + 2;
                out.extend(std::iter::repeat_n(' ', room.saturating_sub(*width)));
            }
        }
        out
    }
}

/// A span as a person writes it: `5s`, `3m12s`, `4h05m`, `12d3h`.
pub(crate) fn span(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let all = seconds.max(0.0) as u64;
    let (days, hours, minutes) = (all / 86_400, all / 3600 % 24, all / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{all}s"),
        (0, 0, minutes) => format!("{minutes}m{:02}s", all % 60),
        (0, hours, minutes) => format!("{hours}h{minutes:02}m"),
        (days, hours, _) => format!("{days}d{hours}h"),
    }
}

/// A number of bytes as a person writes it.
pub(crate) fn bytes(number: u64) -> String {
    match number {
        0..1024 => format!("{number}B"),
        1024..1_048_576 => format!("{}KiB", number / 1024),
        1_048_576..1_073_741_824 => format!("{}MiB", number / 1_048_576),
        _ => format!("{}.{}GiB", number >> 30, (number >> 20) % 1024 * 10 / 1024),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_their_heads() {
        let mut table = Table::new(&["NAME", "PID", "STATE"]);
        for (name, pid, state) in [("a", None, "running"), ("long-one", Some(12_345), "x")] {
            table.cell(name);
            table.maybe(pid);
            table.cell(state);
        }
        let expected = "\
NAME      PID    STATE
a         -      running
long-one  12345  x
";
        assert_eq!(table.render(), expected);
    }

    #[test]
    fn spans_and_sizes_read_well() {
        assert_eq!(
            [5.9, 192.0, 14_700.0, 1_047_600.0].map(span),
            ["5s", "3m12s", "4h05m", "12d3h"]
        );
        assert_eq!([7, 2048, 5 << 20, 3 << 29].map(bytes), ["7B", "2KiB", "5MiB", "1.5GiB"]);
    }
}
