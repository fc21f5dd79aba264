//! The documented patterns of texts agree with the parsers in the code.

use std::collections::BTreeSet;

use catalog::domain::Sku;
use jsonschema::Validator;
use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};
use shared::{
    api_document::patterns,
    text::{multi_line, single_line},
    validation::Violation,
};
use users::domain::Email;

use super::{
    assembled::document,
    read::{at, each_operation, reachable, text},
};
use crate::none;

/// Texts that may contain any character. A password is hashed and never displayed.
const ANY_CHARACTER: [&str; 1] = ["Password"];
/// The texts that `shared::text` parses.
const OF_PEOPLE: [&str; 15] = [
    "AddressLine",
    "AttributeValue",
    "CancelReason",
    "Description",
    "FullName",
    "MarketName",
    "Note",
    "ProductName",
    "PromotionName",
    "RateName",
    "Reason",
    "RefundReason",
    "ShippingMethodName",
    "ShippingText",
    "TaxId",
];

fn validator(pattern: &Value) -> Validator {
    jsonschema::draft202012::new(&json!({ "pattern": pattern }))
        .unwrap_or_else(|error| panic!("{pattern} is not a pattern: {error}"))
}

fn pattern_of(name: &str) -> Validator {
    validator(&document()["components"]["schemas"][name]["pattern"])
}

/// Every character of the basic multilingual plane.
fn basic_plane() -> impl Iterator<Item = char> {
    '\0'..='\u{ffff}'
}

#[test]
fn every_validated_text_has_a_pattern_without_control_characters() {
    let document = document();
    let mut sent = BTreeSet::new();
    each_operation(&document, |_, _, operation| {
        sent.extend(reachable(&document, &operation["requestBody"]))
    });
    let mut violations = Vec::new();
    let mut of_people = BTreeSet::new();
    for (name, schema) in
        at(&document, "/components/schemas").iter().filter(|(name, _)| sent.contains(*name))
    {
        let is_text = schema["type"] == "string"
            && schema.get("enum").is_none()
            && schema.get("x-problems").is_some();
        if !is_text || ANY_CHARACTER.contains(&name.as_str()) {
            continue;
        }
        match schema.get("pattern") {
            None => violations.push(format!(
                "{name} rejects texts and has no pattern: describe it with free_text or .pattern(…)"
            )),
            Some(pattern) => {
                let example = text(&schema["examples"][0]);
                let middle = example.len() / 2;
                let pattern_of = validator(pattern);
                for control in ('\0'..=' ')
                    .chain('\u{7f}'..='\u{9f}')
                    .filter(|c| c.is_control() && !c.is_whitespace())
                {
                    if pattern_of.is_valid(&json!(format!(
                        "{}{control}{}",
                        &example[..middle],
                        &example[middle..]
                    ))) {
                        violations.push(format!(
                            "the pattern of {name} accepts {}: {pattern}",
                            control.escape_unicode()
                        ));
                    }
                }
            }
        }
        if schema["x-problems"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|code| code == "invalid_characters")
        {
            of_people.insert(name.as_str());
        }
    }
    none(violations);
    assert_eq!(of_people, OF_PEOPLE.into());
    for name in of_people {
        assert_eq!(
            document["components"]["schemas"][name]["pattern"],
            json!(patterns::free_text()),
            "{name}"
        );
    }
}

type Parser = fn(&str, usize) -> Result<String, Violation>;
const PARSERS: [Parser; 2] = [single_line, multi_line];

/// Checks that the pattern rejects only what the code rejects, and everything that the code rejects
/// because of a character.
fn agree(pattern: &Validator, text: &str) -> Result<(), String> {
    let matches = pattern.is_valid(&json!(text));
    for parse in PARSERS {
        let parsed = parse(text, 100).map_err(|violation| violation.code);
        let is_fine =
            if matches { parsed != Err("invalid_characters".to_owned()) } else { parsed.is_err() };
        if !is_fine {
            return Err(format!(
                "{}: the pattern says {matches}, the code {parsed:?}",
                text.escape_unicode()
            ));
        }
    }
    Ok(())
}

#[test]
fn pattern_of_person_names_matches_the_parser_on_every_character() {
    let pattern = pattern_of("FullName");
    for c in basic_plane() {
        // A joiner is accepted after a letter, a selector after an emoji or an ideograph.
        let texts =
            ["a{}b", "\u{2764}{}", "\u{845b}{}"].map(|around| around.replace("{}", &c.to_string()));
        for parse in PARSERS {
            let accepted = texts.iter().any(|text| parse(text, 10).is_ok());
            assert_eq!(pattern.is_valid(&json!(texts[0])), accepted, "{}", c.escape_unicode());
        }
    }
}

#[test]
fn pattern_of_person_names_matches_the_parser_on_texts() {
    let pattern = pattern_of("FullName");
    for text in [
        "Ada Lovelace",
        "O'Hara <script> {{7*7}}",
        "Anne\u{2010}Marie \u{2013} \u{201c}A\u{201d}",
        "\u{d55c}\u{ad6d}\u{c5b4}",
        "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}",
        "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
        "\u{2764}\u{fe0f}\u{200d}\u{1f525}",
        "several\nlines\r\nand\rmore\u{2028}of\u{85}them",
        "a\tb",
        "\u{feff}pasted\u{200b}",
        " white space around ",
        "a\u{0}b",
        "a\u{1b}[31mb",
        "a\u{7f}b",
        "a\u{9f}b",
        "a\u{ad}b",
        "a\u{202e}b",
        "a\u{2066}b",
        "\u{3164}",
        "a\u{2800}b",
        "a\u{fffd}b",
        "a\u{ffff}b",
    ] {
        assert_eq!(agree(&pattern, text), Ok(()));
    }
}

proptest! {
    /// Without joiners and selectors, which depend on their neighbours.
    #[test]
    fn pattern_of_person_names_matches_the_parser_on_random_texts(
        characters in prop::collection::vec(select(basic_plane().filter(|c| !matches!(c, '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}')).collect::<Vec<_>>()), 1..8),
    ) {
        thread_local!(static PATTERN: Validator = pattern_of("FullName"));
        let text: String = characters.into_iter().collect();
        prop_assert_eq!(PATTERN.with(|pattern| agree(pattern, &text)), Ok(()));
    }
}

#[test]
fn pattern_of_skus_agrees_with_the_code_on_every_character() {
    let pattern = pattern_of("Sku");
    for c in basic_plane() {
        let around = |around: &str| around.replace("{}", &c.to_string());
        let parses = |text: &str| Sku::parse(text).is_ok();
        let within = ["a{}b", "\u{2764}{}b", "\u{845b}{}b"].map(around);
        assert_eq!(
            pattern.is_valid(&json!(within[0])),
            within.iter().any(|text| parses(text)),
            "within: {}",
            c.escape_unicode()
        );
        let outside = ["{}ab", "ab{}", "\u{2764}{}", "\u{845b}{}"].map(around);
        assert_eq!(
            pattern.is_valid(&json!(outside[1])),
            outside.iter().any(|text| parses(text)),
            "outside: {}",
            c.escape_unicode()
        );
    }
}

/// IDNA decides which characters a domain can have. The pattern accepts everything that the code
/// accepts, and rejects what cannot be an address.
#[test]
fn address_pattern_rejects_invalid_characters() {
    let pattern = pattern_of("Email");
    for c in basic_plane() {
        for text in
            ["{}ada@example.com", "a{}da@example.com", "ada@exa{}mple.com", "ada@example.com{}"]
        {
            let text = text.replace("{}", &c.to_string());
            let (matches, parses) = (pattern.is_valid(&json!(text)), Email::parse(&text).is_ok());
            assert!(
                matches || !parses,
                "{}: the pattern rejects what the code accepts",
                text.escape_unicode()
            );
            assert!(
                !matches || parses || !c.is_control(),
                "{}: the pattern accepts a control character",
                text.escape_unicode()
            );
        }
    }
    for text in [
        "ada",
        "@example.com",
        "ada@",
        "jos\u{e9}@example.com",
        "a da@example.com",
        "ada@exam\u{202e}ple.com",
    ] {
        assert!(!pattern.is_valid(&json!(text)), "{text}");
    }
}

#[test]
fn integers_are_written_without_a_fraction() {
    let document = document();
    assert!(text(&document["info"]["description"]).contains("`2.0` is rejected as `wrong_type`"));
    // JSON Schema cannot express this.
    let count = jsonschema::draft202012::new(&json!({ "type": "integer" })).unwrap();
    assert!(count.is_valid(&serde_json::from_str("2.0").unwrap()));
    for (written, accepted) in [("2", true), ("2.0", false), ("2e0", false), ("20e-1", false)] {
        let parsed = serde_json::from_str::<catalog::domain::MaxPerOrder>(written);
        assert_eq!(parsed.is_ok(), accepted, "{written}: {parsed:?}");
    }
}
