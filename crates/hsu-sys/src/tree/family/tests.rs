//! Tests of the mark in the environment.
#![cfg(target_os = "linux")]

use proptest::prelude::*;

use super::*;

fn mark(run: Option<u64>, master: Option<&[u8]>) -> Mark<'_> {
    Mark { run: run.map(RunId), master }
}

#[test]
fn the_mark_is_read_from_between_other_variables() {
    let environ = b"PATH=/bin\0HSU_RUN_ID=42\0HSU_MASTER_ID=m\0X=HSU_RUN_ID=7\0";
    assert_eq!(Mark::of(environ), mark(Some(42), Some(b"m")));
}

#[test]
fn of_two_equal_names_the_first_counts() {
    assert_eq!(Mark::of(b"HSU_RUN_ID=1\0HSU_RUN_ID=2\0"), mark(Some(1), None));
}

#[test]
fn what_is_no_number_names_no_run() {
    for bad in [
        &b""[..],
        b"HSU_RUN_ID",
        b"HSU_RUN_ID=",
        b"HSU_RUN_ID=x",
        b"HSU_RUN_ID=-1",
        b"HSU_RUN_IDS=1",
    ] {
        assert_eq!(Mark::of(bad).run, None, "{bad:?}");
    }
    assert_eq!(Mark::of(b"HSU_RUN_ID=18446744073709551616").run, None);
}

proptest! {
    #[test]
    fn no_environment_makes_the_reader_panic(environ: Vec<u8>) {
        Mark::of(&environ);
    }
}
