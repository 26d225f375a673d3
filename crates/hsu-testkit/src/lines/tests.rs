//! The judge of the logs can be wrong in both directions; here it is judged.

use super::*;

fn lines(numbers: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let mut out = Vec::new();
    for number in numbers {
        write_line(&mut out, "7-1", 'o', number, 100);
    }
    out
}

fn verdict(content: &[u8]) -> Verdict {
    let mut check = LineCheck::new();
    check.feed(content);
    check.verdict()
}

#[test]
fn a_line_has_the_wished_length() {
    for length in [SHORTEST, 100, 4096] {
        let mut out = Vec::new();
        write_line(&mut out, "7-1", 'o', 12, length);
        assert_eq!(out.len(), length);
    }
}

#[test]
fn every_line_once_and_in_order_is_perfect() {
    let verdict = verdict(&lines(0..200));
    assert!(verdict.is_perfect(), "{verdict:?}");
    assert_eq!(verdict.good, 200);
}

#[test]
fn nothing_at_all_is_not_perfect() {
    assert!(!verdict(b"").is_perfect());
}

#[test]
fn a_gap_is_counted_as_lost() {
    assert_eq!(verdict(&lines((0..10).chain(13..20))).lost, 3);
}

#[test]
fn a_missing_end_is_lost_when_it_was_promised() {
    let mut check = LineCheck::new();
    check.feed(&lines(0..10));
    assert_eq!(check.verdict().lost, 0);
    check.promise("7-1", 'o', 12);
    assert_eq!(check.verdict().lost, 2);
}

#[test]
fn a_line_twice_is_a_duplicate_and_out_of_order() {
    let verdict = verdict(&lines([0, 1, 1, 2]));
    assert_eq!((verdict.duplicated, verdict.disordered, verdict.lost), (1, 1, 0));
}

#[test]
fn a_line_cut_anywhere_is_torn() {
    let whole = lines([5]);
    for cut in [8, 20, 40, 98] {
        let mut content = whole[..cut].to_vec();
        content.push(b'\n');
        let verdict = verdict(&content);
        assert_eq!((verdict.torn, verdict.good), (1, 0), "cut at {cut}");
    }
}

#[test]
fn two_halves_of_different_lines_are_torn() {
    let mut content = lines([1])[..50].to_vec();
    content.extend_from_slice(&lines([2])[50..]);
    assert_eq!(verdict(&content).torn, 1);
}

#[test]
fn a_prefix_of_others_is_ignored() {
    let mut content = b"[2026-11-23T18:00:00Z][web][stdout] ".to_vec();
    content.extend_from_slice(&lines([0]));
    assert_eq!(verdict(&content).good, 1);
}

#[test]
fn strangers_are_counted_apart() {
    let mut content = b"12 bytes dropped\n".to_vec();
    content.extend_from_slice(&lines([0]));
    let verdict = verdict(&content);
    assert_eq!((verdict.foreign, verdict.good, verdict.torn), (1, 1, 0));
}

#[test]
fn the_streams_of_one_writer_count_apart() {
    let mut content = lines(0..3);
    write_line(&mut content, "7-1", 'e', 0, 64);
    let verdict = verdict(&content);
    assert!(verdict.is_perfect(), "{verdict:?}");
    assert_eq!((verdict.streams, verdict.good), (2, 4));
}

#[test]
fn rotated_files_are_read_before_the_current_one() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("w.log.0"), lines(0..5)).unwrap();
    let later = fs::File::create(folder.path().join("w.log")).unwrap();
    std::io::Write::write_all(&mut &later, &lines(5..9)).unwrap();
    let moment = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
    later.set_modified(moment).unwrap();
    let mut check = LineCheck::new();
    check.feed_folder(folder.path()).unwrap();
    assert!(check.verdict().is_perfect(), "{:?}", check.verdict());
}
