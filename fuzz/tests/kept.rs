//! Every seed and every kept input, without the engine: what was found once stays found.

use hsu_fuzz::{TARGETS, kept};

#[test]
fn every_seed_and_every_kept_input_has_its_properties() {
    for target in TARGETS {
        let inputs = kept::all(target).unwrap();
        assert!(!inputs.is_empty(), "{} has no seeds", target.name);
        inputs.iter().for_each(|input| (target.run)(input));
    }
}

#[test]
fn targets_are_in_order_and_their_seeds_are_no_longer_than_they_may_be() {
    assert!(TARGETS.windows(2).all(|pair| pair[0].name < pair[1].name));
    for target in TARGETS {
        let longest = (target.seeds)().iter().map(Vec::len).max().unwrap_or(0);
        assert!(longest <= target.longest, "{}: {longest}", target.name);
    }
}

#[test]
fn inputs_are_packed_and_unpacked_as_they_are_and_a_cut_file_is_noticed() {
    let inputs = vec![Vec::new(), vec![0; 300], b"x".to_vec()];
    let bytes = kept::pack(&inputs);
    assert_eq!(kept::unpack(&bytes), Some(inputs));
    assert_eq!(kept::unpack(&bytes[..bytes.len() - 1]), None);
}
