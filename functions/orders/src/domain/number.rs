//! The number of an order, for people to read and type.

use std::fmt::{self, Write};

use shared::ids::{OrderId, sha256_hex};

/// The digits of Crockford's base 32, which has no I, L, O and U.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Digits of a number, of 5 bits each.
const LENGTH: u32 = 12;
/// Digits between two hyphens.
const GROUP: u32 = 4;

/// The number of an order: 60 bits of the SHA-256 of its id. It is not a secret, and it gives no
/// access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderNumber(u64);

impl OrderNumber {
    pub fn of(order_id: OrderId) -> Self {
        let hash = sha256_hex(&format!("number{order_id}"));
        let bits = hash.chars().take(15).filter_map(|digit| digit.to_digit(16));
        Self(bits.fold(0_u64, |bits, digit| bits << 4 | u64::from(digit)))
    }

    /// Reads a number as people type it: with or without hyphens, in any case, and with the letters
    /// I, L and O instead of the digits that they look like.
    pub fn parse(text: &str) -> Option<Self> {
        let mut digits = 0;
        let mut bits = 0_u64;
        for character in text.bytes().filter(|character| *character != b'-') {
            let digit = match character.to_ascii_uppercase() {
                b'I' | b'L' => b'1',
                b'O' => b'0',
                other => other,
            };
            let value = DIGITS.iter().position(|known| *known == digit)?;
            bits = bits << 5 | u64::try_from(value).ok()?;
            digits += 1;
            if digits > LENGTH {
                return None;
            }
        }
        (digits == LENGTH).then_some(Self(bits))
    }

    /// The twelve digits without hyphens.
    pub fn digits(self) -> String {
        (0..LENGTH).map(|position| self.digit(position)).collect()
    }

    fn digit(self, position: u32) -> char {
        let digit = self.0 >> (5 * (LENGTH - 1 - position)) & 31;
        char::from(DIGITS[usize::try_from(digit).unwrap_or(0)])
    }
}

impl fmt::Display for OrderNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for position in 0..LENGTH {
            if position > 0 && position % GROUP == 0 {
                formatter.write_char('-')?;
            }
            formatter.write_char(self.digit(position))?;
        }
        Ok(())
    }
}

/// Returns the number of an order as people read it, such as `7K3M-Q8ZT-0V2R`.
pub fn order_number(order_id: OrderId) -> String {
    OrderNumber::of(order_id).to_string()
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

    #[test]
    fn number_is_read_as_people_type_it() {
        let number = OrderNumber::parse("10JK-MNPQ-RSTV").unwrap();
        assert_eq!(
            (number.to_string(), number.digits()),
            ("10JK-MNPQ-RSTV".to_owned(), "10JKMNPQRSTV".to_owned())
        );
        for typed in [
            "10jk-mnpq-rstv",
            "10JKMNPQRSTV",
            "IOJK-MNPQ-RSTV",
            "lojk-mnpq-rstv",
            "Lojkmnpqrstv",
            "1-0JKMNPQRST-V",
            "-10JK--MNPQRSTV-",
        ] {
            assert_eq!(OrderNumber::parse(typed), Some(number), "{typed}");
        }
        let order: OrderId = ids::derive(&["order"]);
        assert_eq!(OrderNumber::parse(&order_number(order)), Some(OrderNumber::of(order)));
        for extreme in ["0000-0000-0000", "ZZZZ-ZZZZ-ZZZZ"] {
            assert_eq!(OrderNumber::parse(extreme).unwrap().to_string(), extreme);
        }
    }

    #[test]
    fn text_that_is_not_a_number_is_rejected() {
        for text in [
            "",
            "-",
            "10JK-MNPQ-RST",
            "10JK-MNPQ-RSTVW",
            "10JK-MNPQ-RSTU",
            "10JK MNPQ RSTV",
            "10JK_MNPQ_RSTV",
            "10JK-MNPQ-RST\u{e9}",
            "\u{ff11}0JK-MNPQ-RSTV",
            "ord_0199c2a8-0000-7000-8000-0000000000f1",
            &"0".repeat(10_000),
        ] {
            assert_eq!(OrderNumber::parse(text), None, "{text}");
        }
    }
}
