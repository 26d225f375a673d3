//! Tests of what is read from `/proc`.

use proptest::prelude::*;

use super::*;

const REST: &str = "S 1 7 7 0 -1 4194560 1 0 0 0 11 22 0 0 20 0 1 0 333 0 44";

#[test]
fn a_name_with_brackets_line_ends_and_no_text_does_not_shift_the_fields() {
    for name in [&b"a) R 1 (b"[..], b"\n) Z 2\n", b"", b")", b"\xff\xfe) Z 1 (", b"x y"] {
        let bytes = [b"7 (", name, b") ", REST.as_bytes(), b"\n"].concat();
        let stat = Stat::parse(&bytes).unwrap();
        assert_eq!(
            (stat.number(4), stat.number(14), stat.number(22)),
            (Some(1), Some(11), Some(333))
        );
        assert_eq!(stat.state(), b'S');
    }
}

#[test]
fn a_negative_or_missing_field_is_no_number() {
    let bytes = format!("7 (a) {REST}");
    let stat = Stat::parse(bytes.as_bytes()).unwrap();
    assert_eq!((stat.number(8), stat.number(60), stat.number(0)), (None, None, None));
}

#[test]
fn this_process_lives_and_its_parent_is_named() {
    let seen = Seen::look(std::process::id());
    // Hosts without `/proc` tell nothing.
    assert!(
        seen.is_err()
            || seen
                .is_ok_and(|seen| !seen.has_ended() && seen.parent > 0 && seen.program().is_some())
    );
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_of_stat_panic(bytes: Vec<u8>, place in 0_usize..70) {
        if let Some(stat) = Stat::parse(&bytes) {
            stat.number(place);
            stat.state();
        }
    }

    #[test]
    fn any_name_leaves_the_fields_where_they_are(name: Vec<u8>) {
        let bytes = [b"7 (", name.as_slice(), b") ", REST.as_bytes()].concat();
        prop_assert_eq!(Stat::parse(&bytes).and_then(|stat| stat.number(22)), Some(333));
    }
}
