//! Rounding of exact fractions, and the split of an amount into whole units.

use std::num::NonZeroU64;

/// Rounds the exact fraction `numerator / denominator` to a whole number; halves are rounded away
/// from zero (`roundTiesToAway` of IEEE 754, the commercial rounding of DIN 1333).
///
/// EU law names no method for tax: each member state decides (CJEU C-484/06 and C-302/07).
pub fn round(numerator: i128, denominator: NonZeroU64) -> i128 {
    let denominator = i128::from(denominator.get());
    let (quotient, remainder) = (numerator / denominator, numerator % denominator);
    // The remainder is below 2^64, so doubling it does not overflow.
    if remainder.abs() * 2 >= denominator { quotient + numerator.signum() } else { quotient }
}

/// Splits `sum` into one share per weight by the method of the largest remainder (Hamilton; M. L.
/// Balinski and H. P. Young, *Fair Representation*, 1982).
///
/// Each share is `sum * weight / sum of weights`, rounded down. The units that are left go to the
/// largest fractions, one each; equal fractions prefer the smaller index. So the shares add up to
/// `sum`, and each differs from its exact value by less than one unit. If `sum <= sum of weights`,
/// no share exceeds its weight.
///
/// Every share is 0 if `sum` or all weights are 0. Negative weights count as 0. A negative sum is
/// split like its absolute value.
pub fn allocate(sum: i64, weights: &[i64]) -> Vec<i64> {
    let weights = weights.iter().map(|weight| i128::from((*weight).max(0)));
    let total: i128 = weights.clone().sum();
    if total == 0 {
        return weights.map(|_| 0).collect();
    }
    let absolute = i128::from(sum).abs();
    // Both factors are at most 2^63, so the product fits.
    let exact: Vec<i128> = weights.map(|weight| absolute * weight).collect();
    let mut shares: Vec<i128> = exact.iter().map(|exact| exact / total).collect();
    let mut largest_first: Vec<usize> = (0..exact.len()).collect();
    // The sort is stable: equal fractions keep the order of their indexes.
    largest_first.sort_by_key(|index| -(exact[*index] % total));
    // Fewer units are left than there are fractions above 0.
    let left = usize::try_from(absolute - shares.iter().sum::<i128>()).unwrap_or(0);
    for index in largest_first.into_iter().take(left) {
        shares[index] += 1;
    }
    let sign = i128::from(sum.signum());
    shares.into_iter().map(|share| i64::try_from(share * sign).unwrap_or(sum)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn rounded(numerator: i128, denominator: u64) -> i128 {
        round(numerator, NonZeroU64::new(denominator).unwrap())
    }

    #[test]
    fn halves_are_rounded_away_from_zero() {
        for (numerator, denominator, expected) in
            [(5, 2, 3), (-5, 2, -3), (1, 2, 1), (-1, 2, -1), (7, 5, 1), (8, 5, 2), (0, 9, 0)]
        {
            assert_eq!(rounded(numerator, denominator), expected, "{numerator}/{denominator}");
        }
        // 25 % of 19.99 is 4.9975.
        assert_eq!(rounded(1999 * 2500, 10_000), 500);
    }

    #[test]
    fn extreme_fractions_do_not_overflow() {
        for extreme in [i128::MAX, i128::MIN] {
            assert_eq!(rounded(extreme, 1), extreme);
        }
        let quotient = 1_i128 << 63;
        assert_eq!(rounded(i128::MAX, u64::MAX), quotient);
        assert_eq!(rounded(i128::MIN, u64::MAX), -quotient - 1);
    }

    #[test]
    fn units_that_are_left_go_to_the_largest_fractions() {
        assert_eq!(allocate(100, &[1, 1, 1]), [34, 33, 33], "ties prefer the smaller index");
        assert_eq!(allocate(10, &[15, 25, 60]), [2, 2, 6]);
        assert_eq!(allocate(1, &[1, 2]), [0, 1]);
        assert_eq!(allocate(-100, &[1, 1, 1]), [-34, -33, -33]);
    }

    #[test]
    fn nothing_is_allocated_to_nothing() {
        assert_eq!(allocate(0, &[3, 4]), [0, 0]);
        assert_eq!(allocate(5, &[0, 0]), [0, 0]);
        assert_eq!(allocate(5, &[]), [0; 0]);
        assert_eq!(allocate(5, &[0, 7, -7]), [0, 5, 0]);
    }

    #[test]
    fn extreme_amounts_are_allocated_exactly() {
        assert_eq!(allocate(i64::MAX, &[i64::MAX, i64::MAX]), [i64::MAX / 2 + 1, i64::MAX / 2]);
        assert_eq!(allocate(i64::MIN, &[i64::MAX]), [i64::MIN]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn rounded_value_is_the_nearest(numerator in any::<i64>(), denominator in 1..=u64::MAX) {
            let (numerator, denominator) = (i128::from(numerator), NonZeroU64::new(denominator).unwrap());
            let rounded = round(numerator, denominator);
            let distance = (rounded * i128::from(denominator.get()) - numerator).abs();
            prop_assert!(distance * 2 <= i128::from(denominator.get()));
            prop_assert_eq!(round(-numerator, denominator), -rounded, "symmetric");
        }

        #[test]
        fn shares_add_up_and_are_near_their_exact_values(sum in 0..=i64::MAX, weights in vec(prop_oneof![0..5_i64, 0..=i64::MAX], 0..12)) {
            let shares = allocate(sum, &weights);
            let total: i128 = weights.iter().copied().map(i128::from).sum();
            let expected = if total == 0 { 0 } else { i128::from(sum) };
            prop_assert_eq!(shares.iter().copied().map(i128::from).sum::<i128>(), expected);
            for (share, weight) in shares.iter().zip(&weights) {
                let exact = i128::from(sum) * i128::from(*weight);
                prop_assert!((i128::from(*share) * total - exact).abs() < total.max(1));
                prop_assert!(i128::from(sum) > total || share <= weight);
            }
        }

        #[test]
        fn larger_weight_gets_no_smaller_share(sum in 0..1000_i64, weights in vec(0..50_i64, 1..12)) {
            let shares = allocate(sum, &weights);
            for (one, other) in (0..weights.len()).flat_map(|one| (0..weights.len()).map(move |other| (one, other))) {
                prop_assert!(weights[one] <= weights[other] || shares[one] >= shares[other]);
            }
        }
    }
}
