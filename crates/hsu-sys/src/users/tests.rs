//! Tests of users and groups.
#![cfg(unix)]

use proptest::prelude::*;

use super::*;

#[test]
fn a_name_and_its_number_are_the_same_user() {
    let by_name = resolve(Some("root"), None).unwrap().unwrap();
    let by_number = resolve(Some("0"), None).unwrap().unwrap();
    assert_eq!((by_name.uid, by_name.gid), (0, 0));
    assert_eq!(by_name, by_number);
    assert!(by_name.groups.contains(&0));
}

#[test]
fn nobody_is_named_by_what_no_id_can_be() {
    for bad in [
        "",
        " ",
        "-1",
        "+1",
        "4294967295",
        "4294967296",
        "99999999999",
        "0day",
        "no-such-user",
        "a\0b",
    ] {
        assert_eq!(resolve(Some(bad), None), Err(UserError::NoUser(bad.to_owned())));
        assert_eq!(resolve(None, Some(bad)), Err(UserError::NoGroup(bad.to_owned())));
    }
}

#[test]
fn a_number_without_an_entry_is_taken_with_a_group_of_its_own() {
    let found = resolve(Some("3999999999"), None).unwrap().unwrap();
    let number = 3_999_999_999;
    assert_eq!(found, Identity { uid: number, gid: number, groups: vec![number] });
}

#[test]
fn a_named_group_takes_the_place_of_the_users_own() {
    let found = resolve(Some("root"), Some("12345")).unwrap().unwrap();
    assert_eq!((found.uid, found.gid), (0, 12_345));
    assert!(found.groups.contains(&12_345));
}

#[test]
fn without_a_name_nobody_is_looked_up() {
    assert_eq!(resolve(None, None), Ok(None));
}

proptest! {
    #[test]
    fn only_digits_are_a_number_and_never_the_last_one(text in "[-+ 0-9a-z]{0,12}") {
        let number = id_number(&text);
        let wanted = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok());
        prop_assert_eq!(number, wanted.flatten().filter(|number| *number != u32::MAX));
    }
}
