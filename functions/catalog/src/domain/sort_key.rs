//! The sort order of product lists: by name, without regard to case and accents.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// Sorts before every character of a name, so that a name precedes longer names that begin with it.
const SEPARATOR: char = '\u{1}';

/// Maximum length of the folded name in bytes. With a name of 120 characters (at most 480 bytes), an
/// id (40) and two separators, a key stays below the 1,024 bytes that DynamoDB allows for a sort key.
const MAX_FOLDED_BYTES: usize = 480;

/// The sort key of a product: the folded name, then the name as written, then the id, which
/// separates equal names.
pub fn sort_key(name: &str, id: &str) -> String {
    format!("{}{SEPARATOR}{name}{SEPARATOR}{id}", folded(name))
}

/// Compatibility decomposition (Unicode Standard Annex #15, form NFKD) without combining marks,
/// case-folded. Upper case first, because `ß` and `SS`, and the two lower-case sigmas, are equal
/// only in upper case.
fn folded(name: &str) -> String {
    let without_marks: String = name.nfkd().filter(|c| !is_combining_mark(*c)).collect();
    let mut folded = without_marks.to_uppercase().to_lowercase();
    let length_limit = (0..=MAX_FOLDED_BYTES.min(folded.len()))
        .rev()
        .find(|length| folded.is_char_boundary(*length));
    folded.truncate(length_limit.unwrap_or_default());
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_without_regard_to_case_and_accents() {
        let expected = [
            "ångström ruler",
            "Éclair",
            "eclair mould",
            "Lamp",
            "lamp",
            "Lamp black",
            "Lamp-black",
            "Lamps",
            "Ölkanne",
            "Olla",
            "Straße",
            "STRASSE 2",
            "Zebra",
        ];
        let mut shuffled: Vec<&str> = expected.into_iter().rev().collect();
        shuffled.sort_by_key(|name| sort_key(name, "prd_1"));
        assert_eq!(shuffled, expected);
    }

    #[test]
    fn equal_names_sort_by_id_and_the_key_fits_dynamodb() {
        assert!(sort_key("Lamp", "prd_1") < sort_key("Lamp", "prd_2"));
        // Each is longer when folded. The second has four bytes, the maximum of a character in
        // UTF-8.
        for expanding in ["\u{fdfa}", "\u{1f200}"] {
            let key = sort_key(&expanding.repeat(120), "prd_0199c2a8-0000-7000-8000-00000000000a");
            assert!(key.len() <= 1024, "{} bytes", key.len());
        }
    }
}
