//! Detects payment card numbers in free text: card data must not reach a log, a table or a message.
//!
//! A number is rejected only if all criteria match: length and prefix of a brand, check digit, and
//! the grouping that cards use. Barcodes, IMEIs, phone numbers and lists of sizes are accepted.

use std::ops::RangeInclusive;

use crate::text;

/// Fields that are not free text. Passwords are hashed; e-mail addresses, SKUs and tracking numbers
/// can contain any digits.
const NOT_SCANNED: [&str; 6] =
    ["current_password", "email", "new_password", "password", "sku", "tracking"];

/// Prefixes and number lengths of each brand.
const BRANDS: [(RangeInclusive<u64>, &[usize]); 13] = [
    // Visa
    (4..=4, &[16, 19]),
    // Mastercard
    (51..=55, &[16]),
    (2221..=2720, &[16]),
    // American Express
    (34..=34, &[15]),
    (37..=37, &[15]),
    // Discover
    (6011..=6011, &[16, 17, 18, 19]),
    (644..=649, &[16, 17, 18, 19]),
    (65..=65, &[16, 17, 18, 19]),
    // JCB
    (3528..=3589, &[16, 17, 18, 19]),
    // Diners Club: 14 digits embossed. Issuers of the first range also use 16, as does a test card
    // of Stripe.
    (300..=305, &[14, 16]),
    (36..=36, &[14]),
    (38..=38, &[14]),
    // UnionPay
    (62..=62, &[16, 17, 18, 19]),
];

/// Groups of American Express and Diners Club. All other brands use groups of four.
const OTHER_GROUPS: [&[usize]; 2] = [&[4, 6, 5], &[4, 6, 4]];

/// Zero in each set of decimal digits that keyboards produce: ASCII, full width, Arabic, Persian,
/// Devanagari.
const DECIMAL_ZEROS: [char; 5] = ['0', '\u{ff10}', '\u{660}', '\u{6f0}', '\u{966}'];

/// Maximum number of characters between two groups of one number.
const MAX_SEPARATOR: usize = 3;

/// Returns whether the field `name` can contain free text.
pub(super) fn is_scanned(name: &str) -> bool {
    !NOT_SCANNED.contains(&name)
}

/// Returns whether a text contains a card number, plain or in the groups of a card, separated by
/// spaces or hyphens.
pub(super) fn found_in(text: &str) -> bool {
    // Characters that stored text drops could otherwise hide a number.
    let chars: Vec<char> =
        text.chars().filter(|c| !text::is_dropped(*c)).map(ascii_digit).collect();
    let groups = groups(&chars);
    (0..groups.len()).any(|first| {
        (first..groups.len().min(first + 5))
            .any(|last| is_card_number(&chars, &groups, first, last))
    })
}

/// A run of digits.
struct Group {
    start: usize,
    end: usize,
    /// Separator between the previous group and this one.
    separator: Separator,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Separator {
    Space,
    Hyphen,
    /// Hyphens and white space.
    Mixed,
    /// Other or too many characters: the groups belong to different numbers.
    Other,
}

fn ascii_digit(c: char) -> char {
    let value = DECIMAL_ZEROS
        .iter()
        .find_map(|zero| (c as u32).checked_sub(*zero as u32).filter(|value| *value < 10));
    value.and_then(|value| char::from_digit(value, 10)).unwrap_or(c)
}

fn is_hyphen(c: char) -> bool {
    matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{ad}')
}

fn groups(chars: &[char]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut start = None;
    for (at, c) in chars.iter().copied().chain([' ']).enumerate() {
        match (start, c.is_ascii_digit()) {
            (None, true) => start = Some(at),
            (Some(from), false) => {
                let separator = groups
                    .last()
                    .map_or(Separator::Other, |before| separator(&chars[before.end..from]));
                groups.push(Group { start: from, end: at, separator });
                start = None;
            }
            _ => {}
        }
    }
    groups
}

fn separator(between: &[char]) -> Separator {
    let hyphens = between.iter().filter(|c| is_hyphen(**c)).count();
    let spaces = between.iter().filter(|c| c.is_whitespace()).count();
    match (hyphens, spaces) {
        _ if hyphens + spaces != between.len() || between.len() > MAX_SEPARATOR => Separator::Other,
        (0, _) => Separator::Space,
        (1, 0) => Separator::Hyphen,
        _ => Separator::Mixed,
    }
}

/// Returns whether the groups `first..=last` are a card number that is not part of a longer
/// sequence.
fn is_card_number(chars: &[char], groups: &[Group], first: usize, last: usize) -> bool {
    let window = &groups[first..=last];
    if window[1..].iter().any(|group| group.separator == Separator::Other)
        || !is_grouped_like_a_card(window)
    {
        return false;
    }
    let digits: Vec<u64> = window
        .iter()
        .flat_map(|group| &chars[group.start..group.end])
        .filter_map(|c| c.to_digit(10).map(u64::from))
        .collect();
    is_of_a_brand(&digits)
        && passes_luhn(&digits)
        && !is_part_of_longer_sequence(chars, groups, first, last)
}

/// Returns whether the digits are a single group, groups of four with a last one of at most four,
/// or the groups of American Express or Diners Club.
fn is_grouped_like_a_card(window: &[Group]) -> bool {
    let lengths: Vec<usize> = window.iter().map(|group| group.end - group.start).collect();
    let [fours @ .., rest] = &lengths[..] else { return false };
    fours.is_empty()
        || (*rest <= 4 && fours.iter().all(|length| *length == 4))
        || OTHER_GROUPS.contains(&&lengths[..])
}

fn is_of_a_brand(digits: &[u64]) -> bool {
    BRANDS.iter().any(|(prefixes, lengths)| {
        let length = prefixes.start().to_string().len();
        let prefix = digits.iter().take(length).fold(0, |prefix, digit| prefix * 10 + digit);
        lengths.contains(&digits.len()) && prefixes.contains(&prefix)
    })
}

/// Returns whether the groups are part of a word, a fraction, a phone number or a longer list of
/// numbers.
fn is_part_of_longer_sequence(chars: &[char], groups: &[Group], first: usize, last: usize) -> bool {
    let is_word = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '@');
    let (start, end) = (groups[first].start, groups[last].end);
    let before = |distance: usize| start.checked_sub(distance).map(|at| chars[at]);
    let after = |distance: usize| chars.get(end + distance - 1).copied();
    let attached_before = before(1).is_some_and(|c| is_word(&c) || matches!(c, '+' | '.'))
        || (before(1).is_some_and(is_hyphen) && before(2).is_some_and(|c| is_word(&c)));
    let attached_after = after(1).is_some_and(|c| is_word(&c))
        || (after(1).is_some_and(is_hyphen) && after(2).is_some_and(|c| is_word(&c)));

    // A plus before the first of all groups with separators between them marks a phone number.
    let beginning =
        (0..=first).rev().find(|group| groups[*group].separator == Separator::Other).unwrap_or(0);
    let is_phone_number = groups[beginning].start.checked_sub(1).is_some_and(|at| chars[at] == '+');

    // A list continues with the same separator. A short group after a card number is its expiry
    // date or security code.
    let own = (last > first).then(|| groups[first + 1].separator);
    let continued_before = own.is_some_and(|own| groups[first].separator == own);
    let continued_after = groups
        .get(last + 1)
        .is_some_and(|next| own == Some(next.separator) && next.end - next.start >= 4);
    attached_before || attached_after || is_phone_number || continued_before || continued_after
}

/// Luhn check digit: ISO/IEC 7812-1, annex B.
fn passes_luhn(digits: &[u64]) -> bool {
    let sum: u64 = digits
        .iter()
        .rev()
        .enumerate()
        .map(
            |(i, digit)| {
                if i % 2 == 0 { *digit } else { digit * 2 - if *digit > 4 { 9 } else { 0 } }
            },
        )
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test card numbers that payment providers publish.
    const TEST_CARDS: [&str; 37] = [
        // Visa
        "4242424242424242",
        "4000056655665556",
        "4111111111111111",
        "4012888888881881",
        "4000000000000002",
        "4000002500003155",
        "4988438843884305",
        "4444333322221111",
        // Mastercard
        "5555555555554444",
        "5200828282828210",
        "5105105105105100",
        "2223003122003222",
        "2223000048400011",
        "2720992593319364",
        "5425233430109903",
        // American Express
        "378282246310005",
        "371449635398431",
        "378734493671000",
        "343434343434343",
        // Discover
        "6011111111111117",
        "6011000990139424",
        "6011981111111113",
        "6445644564456445",
        "6500000000000002",
        "6555900000604105",
        // Diners Club
        "30569309025904",
        "38520000023237",
        "36227206271667",
        "36006666333344",
        "3056930009020004",
        // JCB
        "3530111333300000",
        "3566002020360505",
        "3569990010095841",
        // UnionPay
        "6200000000000005",
        "6200000000000047",
        "6205500000000000004",
        "6243030000000001",
    ];

    fn grouped(number: &str, groups: &[usize], separator: &str) -> String {
        let mut rest = number;
        let mut parts = Vec::new();
        for length in groups.iter().copied().chain(std::iter::repeat(4)) {
            let (part, more) = rest.split_at(length.min(rest.len()));
            parts.push(part);
            rest = more;
            if rest.is_empty() {
                break;
            }
        }
        parts.join(separator)
    }

    #[test]
    fn test_cards_of_every_brand_are_detected_in_every_format() {
        for number in TEST_CARDS {
            let mut spellings = vec![number.to_owned()];
            for separator in [" ", "-", "\u{a0}", "\t", "\n", "\u{2011}", " - ", "  "] {
                spellings.push(grouped(number, &[], separator));
                match number.len() {
                    15 => spellings.push(grouped(number, &[4, 6, 5], separator)),
                    14 => spellings.push(grouped(number, &[4, 6, 4], separator)),
                    _ => {}
                }
            }
            spellings.push(number.chars().map(|digit| format!("{digit}\u{200b}")).collect());
            spellings.push(
                number
                    .chars()
                    .map(|digit| {
                        char::from_u32(digit as u32 - '0' as u32 + 0xff10).expect("a digit")
                    })
                    .collect(),
            );
            for spelling in spellings {
                for text in [
                    spelling.clone(),
                    format!("my card is {spelling}, thanks"),
                    format!("({spelling})"),
                    format!("card:{spelling}."),
                    format!("\u{5361}\u{53f7}\u{662f}{spelling}\u{3002}"),
                    format!("{spelling} 12/29 123"),
                    format!("{spelling} exp 12/29"),
                    format!("a card\n{spelling}\nof mine"),
                    format!("5 lamps; {spelling}"),
                    format!("{spelling}/123"),
                    format!("cash + {spelling}"),
                ] {
                    assert!(found_in(&text), "{}", text.escape_unicode());
                }
            }
        }
    }

    #[test]
    fn digits_that_are_not_a_card_number_are_accepted() {
        for text in [
            // Barcodes (EAN-13, ITF-14), IMEIs, ISBNs.
            "4006381333931",
            "4012345678901",
            "5901234123457",
            "5410013108009",
            "4000000000006",
            "4222222222222",
            "EAN 4 006381 333931",
            "14006381333938",
            "490154203237518",
            "356938035643809",
            "ISBN 978-3-16-148410-0",
            "978-0-306-40615-7",
            "9783161484100",
            // Phone numbers.
            "+4942424242424242",
            "+49 4242 4242 4242 42",
            "+62 6200000000000005",
            "+1-4242-4242-4242-4242",
            "+4 242-424242424242",
            "call 555 1234",
            // Fractions and lists.
            "0.4242424242424242",
            "3.4242424242424242424",
            "Sizes 37 38 39 40 41 42 43",
            "Sizes 36 37 38 39 40 41 42",
            "4242 4242 4242 4242 4242",
            "1 4242 4242 4242 4242",
            "4242-4242-4242-4242-4242",
            "42 42 42 42 42 42 42 42",
            "4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2",
            "424242 4242 424242",
            "42424242 42424242",
            // Bank accounts (IBAN).
            "DE89 3704 0044 0532 0130 00",
            "AT61 5425 2334 3010 9903",
            "PL61 1090 1014 0000 0712 1981 2874",
            "DE89370400440532013000",
            // Ids of Ferrocart, and numbers within words and addresses.
            "ord_01932123-4567-7890-8123-456789012345",
            "019c4242-4242-4242-8242-424242424242",
            "tok_4242424242424242",
            "ORD-4242424242424242",
            "A4242424242424242",
            "4242424242424242B",
            "4242424242424242-B",
            "4242424242424242@example.com",
            "42",
            // Other lengths for a brand's prefix, other prefixes, wrong check digits.
            "42424242424242424242",
            "424242424242424",
            "55555555555544440",
            "3782822463100052",
            "3852000002323700",
            "3630000000000002",
            "3000000000000000007",
            "5655555555554443",
            "2220000000000000",
            "2721000000000004",
            "3490000000000001",
            "3527000000000008",
            "6100000000000006",
            "9999999999999995",
            "1234567812345670",
            "4242424242424241",
            "378282246310006",
            "30569309025905",
            // A timestamp in nanoseconds, a parcel number, a date with a time.
            "1732788000000000005",
            "00340434161094042557",
            "20251128184153123",
        ] {
            assert!(!found_in(text), "{text}");
        }
    }

    #[test]
    fn passwords_emails_skus_and_tracking_numbers_are_not_scanned() {
        for name in ["password", "current_password", "new_password", "email", "sku", "tracking"] {
            assert!(!is_scanned(name), "{name}");
        }
        for name in [
            "name",
            "full_name",
            "description",
            "reason",
            "carrier",
            "line1",
            "token",
            "amount",
            "",
        ] {
            assert!(is_scanned(name), "{name}");
        }
    }
}
