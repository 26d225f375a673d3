//! Scatter: many random numbers from one.

/// The next of a row of random numbers, so that what happens to many in the same step
/// does not happen to them at the same time again.
// Source: Vigna, "splitmix64", public domain.
pub(crate) fn scatter(entropy: u64) -> u64 {
    let mixed = entropy.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A random share of a span: the longest is `share` of it.
pub(crate) fn part(span: core::time::Duration, share: f64, entropy: u64) -> core::time::Duration {
    // 32 random bits make a share between 0 and 1 exactly.
    let random = f64::from(u32::try_from(entropy >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX);
    span.mul_f64(share.clamp(0.0, 1.0) * random)
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[test]
    fn random_numbers_are_those_of_their_source() {
        // The first outputs of splitmix64 for these seeds.
        assert_eq!(scatter(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(scatter(1_234_567), 6_457_827_717_110_365_317);
    }

    #[test]
    fn a_part_is_from_nothing_to_the_whole_share() {
        let span = Duration::from_secs(10);
        assert_eq!(part(span, 0.5, 0), Duration::ZERO);
        assert_eq!(part(span, 0.5, u64::MAX), Duration::from_secs(5));
        assert_eq!(part(span, 7.0, u64::MAX), span);
    }
}
