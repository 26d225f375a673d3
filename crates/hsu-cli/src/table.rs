//! Tables: columns as wide as their longest cell, two spaces between them.

/// Rows under a head, ready to print.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = head
        .iter()
        .enumerate()
        .map(|(column, name)| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell));
            cells.chain([width(name)]).max().unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    let names: Vec<String> = head.iter().map(|name| (*name).to_owned()).collect();
    for row in std::iter::once(&names).chain(rows) {
        let last = row.len().saturating_sub(1);
        for (column, cell) in row.iter().enumerate() {
            out.push_str(cell);
            if column < last {
                let room = widths.get(column).copied().unwrap_or(0) + 2;
                out.extend(std::iter::repeat_n(' ', room.saturating_sub(width(cell))));
            }
        }
        out.push('\n');
    }
    out
}

/// Cells hold ids, words and numbers: one column a character.
fn width(text: &str) -> usize {
    text.chars().count()
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
        let rows = [
            vec!["a".to_owned(), "running".to_owned()],
            vec!["long-one".to_owned(), "x".to_owned()],
        ];
        let expected = "NAME      STATE\na         running\nlong-one  x\n";
        assert_eq!(table(&["NAME", "STATE"], &rows), expected);
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
