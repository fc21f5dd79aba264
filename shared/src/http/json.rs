//! From a body to a value: form first, then JSON, then the fields.
//!
//! The types that a body is read into hold domain types (`Quantity`, `Email`), so that this one reading does all the checking. The
//! first field that breaks a rule is reported, with its JSON pointer; what was sent is never repeated.

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_path_to_error::Segment;

use super::strict::Strict;
use crate::{problem::Problem, validation::Violation};

/// The largest body that is read.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// Refuses what is not plain JSON by its headers.
pub(super) fn check_form(content_types: &[&str], encodings: &[&str]) -> Result<(), Problem> {
    let unsupported = || {
        Problem::new(lambda_http::http::StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "The body must be JSON")
            .detail("Send Content-Type: application/json, in UTF-8 and without Content-Encoding.")
    };
    let [content_type] = content_types else { return Err(unsupported()) };
    let mut parts = content_type.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    let is_json = media_type.eq_ignore_ascii_case("application/json");
    let is_utf8 = parts.filter(|part| !part.is_empty()).all(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        !name.trim().eq_ignore_ascii_case("charset") || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    let is_plain = encodings.iter().all(|encoding| encoding.eq_ignore_ascii_case("identity"));
    if is_json && is_utf8 && is_plain { Ok(()) } else { Err(unsupported()) }
}

/// Reads a body.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    if body.len() > MAX_BODY_BYTES {
        return Err(Problem::new(lambda_http::http::StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", "The body is too large")
            .detail("A body may have 262,144 bytes."));
    }
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(Problem::bad_request("body_required", "A JSON body is needed"));
    }
    let text = std::str::from_utf8(body).map_err(|_| malformed("It is not UTF-8."))?;
    let mut scan = serde_json::Deserializer::from_str(text);
    if let Ok(CardNumberScan(true)) = CardNumberScan::deserialize(&mut scan) {
        return Err(Problem::unprocessable("card_number_refused", "Card numbers are not accepted")
            .detail("Give the card to the payment provider's form and send us the token that it answers."));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize::<_, T>(&mut deserializer).map_err(|error| refusal(text, &error))?;
    deserializer
        .end()
        .map_err(|error| malformed(&format!("Something follows the document at line {} column {}.", error.line(), error.column())))?;
    // The first reading has refused what a `Value` would not show: fields that stand there twice.
    let document = serde_json::from_str(text).map_err(|_| malformed("It cannot be read."))?;
    serde_path_to_error::deserialize(Strict(document)).map_err(|error| refusal(text, &error))
}

fn malformed(detail: &str) -> Problem {
    Problem::bad_request("malformed_json", "The body is not well-formed JSON").detail(detail)
}

fn refusal(text: &str, error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let (inner, message) = (error.inner(), error.inner().to_string());
    let place = || format!("See line {} column {}.", inner.line(), inner.column());
    if message.starts_with("number out of range") {
        return Problem::invalid_field(&pointer(error.path(), None), &Violation::out_of_range("The number is too large."));
    }
    if !inner.is_data() {
        return malformed(&place());
    }
    // A field of the wrong type is found before the end of the document is: malformed comes first all the same.
    if let Err(syntax) = serde_json::from_str::<IgnoredAny>(text) {
        return malformed(&format!("See line {} column {}.", syntax.line(), syntax.column()));
    }
    let quoted = message.split('`').nth(1).filter(|name| name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
    if message.starts_with("duplicate field") {
        return Problem::bad_request("duplicate_field", "A field stands in the document twice").detail(&place());
    }
    let (named, violation) = if let Some(violation) = Violation::from_serde_message(&message) {
        (None, violation)
    } else if message.starts_with("missing field") {
        (quoted, Violation::new("required", "This field is needed."))
    } else if message.starts_with("unknown field") {
        let known = expected(&message).map(|fields| fields.replace('`', ""));
        let known = known.map_or_else(String::new, |fields| format!(" Known: {}.", fields.trim_start_matches("one of ")));
        // The path leads to the field itself where serde has read its name, to its parent where not.
        let at_field = matches!(error.path().iter().next_back(), Some(Segment::Map { key }) if Some(key.as_str()) == quoted);
        (quoted.filter(|_| !at_field), Violation::new("unknown_field", format!("There is no such field here.{known}")))
    } else if message.starts_with("invalid value: integer") {
        (None, Violation::out_of_range("The number is outside its limits."))
    } else if message.starts_with("unknown variant") {
        let known = expected(&message).map(|names| names.replace('`', ""));
        (None, Violation::new("unknown_value", format!("Use {}.", known.unwrap_or_else(|| "a known value".to_owned()))))
    } else {
        (None, Violation::new("wrong_type", format!("Expected {}.", expected(&message).unwrap_or("another type"))))
    };
    Problem::invalid_field(&pointer(error.path(), named), &violation)
}

/// What serde's message says it expected: the end of it, because what was sent stands before and may say the same.
fn expected(message: &str) -> Option<&str> {
    let (_, expected) = message.rsplit_once(", expected ")?;
    Some(expected.rsplit_once(" at line ").map_or(expected, |(what, _)| what))
}

/// RFC 6901.
fn pointer(path: &serde_path_to_error::Path, last: Option<&str>) -> String {
    let mut pointer = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&format!("/{}", escape(key))),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    last.map_or(pointer.clone(), |name| format!("{pointer}/{}", escape(name)))
}

fn escape(key: &str) -> String {
    key.chars().take(64).collect::<String>().replace('~', "~0").replace('/', "~1")
}

/// Whether a document holds a payment card's number anywhere: card data must never reach a log, a table or a message.
struct CardNumberScan(bool);

impl<'de> Deserialize<'de> for CardNumberScan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scanner;
        impl<'de> Visitor<'de> for Scanner {
            type Value = CardNumberScan;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("any JSON")
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(CardNumberScan(holds_card_number(text)))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
                Ok(CardNumberScan(holds_card_number(&number.to_string())))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(CardNumberScan(false))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(CardNumberScan(false))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(CardNumberScan(false))
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(CardNumberScan(false))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut found = false;
                while let Some(CardNumberScan(here)) = list.next_element()? {
                    found |= here;
                }
                Ok(CardNumberScan(found))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut found = false;
                while let Some((CardNumberScan(key), CardNumberScan(value))) = map.next_entry()? {
                    found |= key || value;
                }
                Ok(CardNumberScan(found))
            }
        }
        deserializer.deserialize_any(Scanner)
    }
}

/// Whether a text holds 13 to 19 digits that pass the Luhn check, with single spaces or dashes between them, and no letter, digit or
/// underscore beside them (which lets the digits of our own ids pass).
fn holds_card_number(text: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut before = None;
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let lead = rest[..start].chars().next_back().or(before);
        let run = &rest[start..];
        let length = run.find(|c: char| !(c.is_ascii_digit() || c == ' ' || c == '-')).unwrap_or(run.len());
        let after = run[length..].chars().next();
        let digits: Vec<u32> = run[..length].chars().filter_map(|c| c.to_digit(10)).collect();
        let beside_word =
            lead.is_some_and(|c| is_word(c) || c == '-') || after.is_some_and(|c| is_word(c) && !run[..length].ends_with(' '));
        if !beside_word && (13..=19).contains(&digits.len()) && passes_luhn(&digits) {
            return true;
        }
        before = run[..length].chars().next_back();
        rest = &run[length..];
    }
    false
}

/// ISO/IEC 7812-1, annex B.
fn passes_luhn(digits: &[u32]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, digit)| if i % 2 == 0 { *digit } else { digit * 2 - if *digit > 4 { 9 } else { 0 } })
        .sum();
    sum.is_multiple_of(10)
}

/// For a field that may be left out but not be `null`: `#[serde(default, deserialize_with = "shared::http::present")]`.
///
/// # Errors
/// When what stands there is no `T`.
pub fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Money;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Order {
        items: Vec<Line>,
        #[serde(default)]
        note: Option<String>,
        #[serde(default)]
        total: Option<Money>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Line {
        quantity: u32,
    }

    fn refused(body: &str) -> (u16, String, String) {
        let problem = parse::<Order>(body.as_bytes()).expect_err(body);
        let document = problem.document("r");
        let pointer = document["errors"][0]["pointer"].as_str().unwrap_or_default().to_owned();
        (problem.status.as_u16(), problem.code, pointer)
    }

    fn is(status: u16, code: &str, pointer: &str) -> (u16, String, String) {
        (status, code.to_owned(), pointer.to_owned())
    }

    #[test]
    fn what_cannot_be_parsed_is_400() {
        assert_eq!(refused(""), is(400, "body_required", ""));
        let deep = "[".repeat(100_000);
        let nested = format!("{{\"items\":{}{}}}", "[".repeat(200), "]".repeat(200));
        for body in [
            "{",
            r#"{"items":[],}"#,
            "{'items':[]}",
            "NaN",
            r#"{"items":[]} x"#,
            r#"{"items":["#,
            "\u{feff}{}",
            r#"{"note":"\ud800","items":[]}"#,
            &deep,
        ] {
            assert_eq!(refused(body).1, "malformed_json", "{}", &body[..body.len().min(40)]);
        }
        assert!((400..500).contains(&refused(&nested).0));
        assert_eq!(refused(r#"{"items":[{"quantity":1,"quantity":99}]}"#), is(400, "duplicate_field", ""));
        assert_eq!(parse::<Order>(&[b'"', 0xff, b'"']).expect_err("not UTF-8").code, "malformed_json");
        assert_eq!(parse::<Order>(&vec![b' '; MAX_BODY_BYTES + 1]).expect_err("too large").code, "payload_too_large");
    }

    #[test]
    fn what_is_not_acceptable_is_422_with_its_place() {
        for odd in ["\"3\"", "3.0", "3.5", "true", "null", "[3]", "{}", "1e3", "-0"] {
            assert_eq!(refused(&format!(r#"{{"items":[{{"quantity":{odd}}}]}}"#)), is(422, "wrong_type", "/items/0/quantity"), "{odd}");
        }
        for big in ["-1", "4294967296", "1E400", &"9".repeat(400)] {
            let (status, code, pointer) = refused(&format!(r#"{{"items":[{{"quantity":{big}}}]}}"#));
            assert_eq!((status, pointer.as_str()), (422, "/items/0/quantity"), "{big}");
            assert!(code == "out_of_range" || code == "wrong_type");
        }
        assert_eq!(refused(r#"{"items":[{}]}"#), is(422, "required", "/items/0/quantity"));
        assert_eq!(refused(r#"{"items":[{"quantity":1,"price":1}]}"#), is(422, "unknown_field", "/items/0/price"));
        assert_eq!(refused(r#"{"items":[],"status":"paid"}"#), is(422, "unknown_field", "/status"));
        assert_eq!(refused(r#"{"items":[],"total":{"amount":1,"currency":"eur"}}"#), is(422, "unsupported_currency", "/total/currency"));
        assert_eq!(refused(r#"{"items":[],"total":{"amount":-1,"currency":"EUR"}}"#), is(422, "out_of_range", "/total/amount"));
        for body in ["[]", "\"x\"", "1", "null", "true"] {
            let (status, ..) = refused(body);
            assert!(status == 400 || status == 422, "{body}");
        }
    }

    #[test]
    fn card_numbers_are_refused_wherever_they_stand_and_our_ids_are_not() {
        for text in ["4242424242424242", "4242 4242 4242 4242", "my card is 4242-4242-4242-4242, thanks", "378282246310005"] {
            assert_eq!(refused(&format!(r#"{{"items":[],"note":"{text}"}}"#)).1, "card_number_refused", "{text}");
        }
        assert_eq!(refused(r#"{"items":[{"quantity":4242424242424242}]}"#).1, "card_number_refused");
        for text in
            ["4242424242424241", "ord_01932123-4567-7890-8123-456789012345", "019c4242-4242-4242-8242-424242424242", "42", "call 555 1234"]
        {
            assert!(!holds_card_number(text), "{text}");
        }
    }

    #[test]
    fn the_form_is_plain_json_in_utf8() {
        for good in ["application/json", "Application/JSON; charset=UTF-8", "application/json;charset=\"utf-8\""] {
            assert!(check_form(&[good], &[]).is_ok(), "{good}");
        }
        for bad in [
            &["text/plain"][..],
            &[],
            &["application/xml"],
            &["application/json; charset=utf-16"],
            &["application/json", "application/json"],
        ] {
            assert!(check_form(bad, &[]).is_err(), "{bad:?}");
        }
        assert!(check_form(&["application/json"], &["gzip"]).is_err());
    }
}
