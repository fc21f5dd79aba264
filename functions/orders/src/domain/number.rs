//! The number of an order, which people read and type.

use shared::ids::{OrderId, sha256_hex};

/// The digits of Crockford's base 32, which has no I, L, O and U.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Digits of a number, of 5 bits each.
const LENGTH: u32 = 12;
/// Digits between two hyphens.
const GROUP: u32 = 4;

/// Returns the number of an order, such as `7K3M-Q8ZT-0V2R`: 60 bits of the SHA-256 of its id. It
/// is not a secret, and it gives no access.
pub fn order_number(order_id: OrderId) -> String {
    let hash = sha256_hex(&format!("number{order_id}"));
    let bits = hash.chars().take(15).filter_map(|digit| digit.to_digit(16));
    let bits = bits.fold(0_u64, |bits, digit| bits << 4 | u64::from(digit));
    let mut number = String::new();
    for position in 0..LENGTH {
        if position > 0 && position % GROUP == 0 {
            number.push('-');
        }
        let digit = bits >> (5 * (LENGTH - 1 - position)) & 31;
        number.push(char::from(DIGITS[usize::try_from(digit).unwrap_or(0)]));
    }
    number
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use shared::ids::{self, PrefixedId};

    use super::*;

    #[test]
    fn number_is_derived_from_the_order_id() {
        let order = OrderId::parse("ord_0199c2a8-0000-7000-8000-0000000000f1").unwrap();
        assert_eq!(order_number(order), "6WJ5-BCMC-4PW3");
    }

    #[test]
    fn numbers_have_three_groups_of_unambiguous_characters() {
        let numbers: BTreeSet<String> =
            (0..1000).map(|order| order_number(ids::derive(&[&order.to_string()]))).collect();
        assert_eq!(numbers.len(), 1000);
        for number in numbers {
            let groups: Vec<&str> = number.split('-').collect();
            assert!(groups.len() == 3 && groups.iter().all(|group| group.len() == 4), "{number}");
            let characters = number.bytes().filter(|b| *b != b'-');
            assert!(characters.into_iter().all(|b| DIGITS.contains(&b)), "{number}");
        }
    }
}
