//! The kernel's table of Unix sockets: `/proc/net/unix`.
// Source: proc_net_unix(5).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

pub(super) fn read() -> BTreeMap<Vec<u8>, BTreeSet<u64>> {
    let table = fs::read("/proc/net/unix").unwrap_or_default();
    let mut paths: BTreeMap<Vec<u8>, BTreeSet<u64>> = BTreeMap::new();
    for line in table.split(|byte| *byte == b'\n').skip(1) {
        if let Some((path, number)) = socket(line) {
            paths.entry(path).or_default().insert(number);
        }
    }
    paths
}

/// Path and number of a socket that listens.
fn socket(line: &[u8]) -> Option<(Vec<u8>, u64)> {
    let mut fields = line.split(|byte| *byte == b' ').filter(|field| !field.is_empty());
    // Num, RefCount, Protocol, Flags: of one that listens they are 00010000.
    let flags = fields.nth(3)?;
    // Type, St, Inode, Path.
    let number = std::str::from_utf8(fields.nth(2)?).ok()?.parse().ok()?;
    let path: Vec<_> = fields.collect();
    let is_datagram_or_listens = flags == b"00010000" || flags == b"00000000";
    (is_datagram_or_listens && !path.is_empty()).then(|| (path.join(&b' '), number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unix_socket_may_have_spaces_in_its_path() {
        let line = b"0000000000000000: 00000002 00000000 00010000 0001 01 4711 /run/a b.sock";
        assert_eq!(socket(line), Some((b"/run/a b.sock".to_vec(), 4711)));
        let unnamed = b"0000000000000000: 00000003 00000000 00000000 0001 03 4712";
        assert_eq!(socket(unnamed), None);
    }
}
