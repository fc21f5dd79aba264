//! Parses a body in three steps: media type, JSON syntax, fields.
//!
//! The target types contain domain types (`Quantity`, `Email`), so that deserializing validates the
//! whole body. The first field that breaks a rule is reported with its JSON pointer. A problem
//! never repeats a sent value.

use lambda_http::http::StatusCode;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_path_to_error::Segment;

use super::{
    document::{DUPLICATE_FIELD, Document},
    strict::Strict,
};
use crate::{problem::Problem, validation::Violation};

/// Maximum size of a body, in bytes.
const MAX_BODY_BYTES: usize = 256 * 1024;

const JSON: &str = "application/json";
/// Media type of a JSON merge patch (RFC 7396). `PATCH` accepts it besides JSON, with the same
/// meaning.
const MERGE_PATCH: &str = "application/merge-patch+json";
/// Names of UTF-8 and of its subset ASCII.
const CHARSETS: [&str; 4] = ["utf-8", "utf8", "us-ascii", "ascii"];

/// Rejects a body whose headers do not declare uncompressed JSON in UTF-8.
pub(super) fn check_content_type(
    method: &str,
    content_types: &[&str],
    encodings: &[&str],
) -> Result<(), Problem> {
    let is_patch = method == "PATCH";
    let accepted: &[&str] = if is_patch { &[JSON, MERGE_PATCH] } else { &[JSON] };
    let is_accepted = matches!(content_types, [one] if is_utf8_of(one, accepted));
    let is_plain = encodings.iter().all(|encoding| encoding.eq_ignore_ascii_case("identity"));
    if is_accepted && is_plain {
        return Ok(());
    }
    let detail = format!(
        "Send Content-Type: {}, in UTF-8 and without Content-Encoding.",
        accepted.join(" or ")
    );
    let types = accepted.join(", ");
    let problem = Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "Unsupported media type",
    )
    .detail(&detail)
    .header("accept", &types);
    let problem = if is_patch { problem.header("accept-patch", &types) } else { problem };
    Err(if is_plain { problem } else { problem.header("accept-encoding", "identity") })
}

/// Returns whether a `Content-Type` is one of `media_types` with no charset other than UTF-8.
fn is_utf8_of(content_type: &str, media_types: &[&str]) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    let is_utf8 = parts.filter(|part| !part.is_empty()).all(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let charset = value.trim().trim_matches('"');
        !name.trim().eq_ignore_ascii_case("charset")
            || CHARSETS.iter().any(|known| known.eq_ignore_ascii_case(charset))
    });
    is_utf8 && media_types.iter().any(|known| known.eq_ignore_ascii_case(media_type))
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    if body.len() > MAX_BODY_BYTES {
        return Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "payload_too_large",
            "Body too large",
        )
        .detail("Send at most 262,144 bytes."));
    }
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(Problem::bad_request("body_required", "Body required"));
    }
    let text = std::str::from_utf8(body).map_err(|_| malformed(NOT_UTF8))?;
    let document = read(text)?;
    // The gateway replaces bytes that are not UTF-8 by this character before it invokes the
    // function.
    if document.contains(char::REPLACEMENT_CHARACTER) {
        return Err(malformed(NOT_UTF8));
    }
    if document.contains_card_number() {
        return Err(Problem::unprocessable("card_number_rejected", "Card number not accepted")
            .detail("Use the payment provider's form, and send the token that it returns."));
    }
    serde_path_to_error::deserialize(Strict(document)).map_err(|error| problem_from(text, &error))
}

const NOT_UTF8: &str = "It is not UTF-8, or it holds U+FFFD, which replaces what is not.";

fn read(text: &str) -> Result<Document, Problem> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let document = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| problem_from(text, &error))?;
    let end = deserializer.end();
    end.map_err(|error| {
        malformed(&format!(
            "Something follows the document at line {} column {}.",
            error.line(),
            error.column()
        ))
    })?;
    Ok(document)
}

fn malformed(detail: &str) -> Problem {
    Problem::bad_request("malformed_json", "Malformed JSON").detail(detail)
}

fn problem_from(text: &str, error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let (inner, message) = (error.inner(), error.inner().to_string());
    let place = || format!("See line {} column {}.", inner.line(), inner.column());
    if message.starts_with("number out of range") {
        return Problem::invalid_field(
            &pointer(error.path(), None),
            &Violation::out_of_range("The number is too large."),
        );
    }
    if !inner.is_data() {
        return malformed(&place());
    }
    // Deserializing can find a wrong type before it reaches a syntax error. The syntax error has
    // precedence.
    if let Err(syntax) = serde_json::from_str::<IgnoredAny>(text) {
        return malformed(&format!("See line {} column {}.", syntax.line(), syntax.column()));
    }
    let quoted = message.split('`').nth(1).filter(|name| {
        name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    });
    if message.starts_with(DUPLICATE_FIELD) {
        return Problem::bad_request("duplicate_field", "Duplicate field").detail(&place());
    }
    let (named, violation) = if let Some(violation) = Violation::from_serde_message(&message) {
        (None, violation)
    } else if message.starts_with("missing field") {
        (quoted, Violation::new("required", "This field is required."))
    } else if message.starts_with("unknown field") {
        let known = expected(&message).map(|fields| fields.replace('`', ""));
        let known = known.map_or_else(String::new, |fields| {
            format!(" Known: {}.", fields.trim_start_matches("one of "))
        });
        // The path ends at the field if serde has read its name, otherwise at its parent.
        let at_field = matches!(error.path().iter().next_back(), Some(Segment::Map { key }) if Some(key.as_str()) == quoted);
        (
            quoted.filter(|_| !at_field),
            Violation::new("unknown_field", format!("The field is unknown.{known}")),
        )
    } else if message.starts_with("invalid value: integer") {
        (None, Violation::out_of_range("The number is outside its limits."))
    } else if message.starts_with("unknown variant") {
        let known = expected(&message).map(|names| names.replace('`', ""));
        (
            None,
            Violation::new(
                "unknown_value",
                format!("Use {}.", known.unwrap_or_else(|| "a known value".to_owned())),
            ),
        )
    } else {
        (
            None,
            Violation::new(
                "wrong_type",
                format!("Expected {}.", expected(&message).unwrap_or("another type")),
            ),
        )
    };
    Problem::invalid_field(&pointer(error.path(), named), &violation)
}

/// Extracts the expected type from serde's message. It is at the end; the sent value before it can
/// contain the same words.
fn expected(message: &str) -> Option<&str> {
    let (_, expected) = message.rsplit_once(", expected ")?;
    Some(expected.rsplit_once(" at line ").map_or(expected, |(what, _)| what))
}

/// Builds a JSON pointer (RFC 6901).
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

#[cfg(test)]
mod tests {
    use serde::Deserialize;

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
    fn unparsable_body_is_400() {
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
        assert_eq!(
            refused(r#"{"items":[{"quantity":1,"quantity":99}]}"#),
            is(400, "duplicate_field", "")
        );
        assert_eq!(
            parse::<Order>(&[b'"', 0xff, b'"']).expect_err("not UTF-8").code,
            "malformed_json"
        );
        assert_eq!(
            parse::<Order>(&vec![b' '; MAX_BODY_BYTES + 1]).expect_err("too large").code,
            "payload_too_large"
        );
    }

    #[test]
    fn invalid_field_is_422_with_its_pointer() {
        for invalid in ["\"3\"", "3.0", "3.5", "true", "null", "[3]", "{}", "1e3", "-0"] {
            assert_eq!(
                refused(&format!(r#"{{"items":[{{"quantity":{invalid}}}]}}"#)),
                is(422, "wrong_type", "/items/0/quantity"),
                "{invalid}"
            );
        }
        for big in ["-1", "4294967296", "1E400", &"9".repeat(400)] {
            let (status, code, pointer) =
                refused(&format!(r#"{{"items":[{{"quantity":{big}}}]}}"#));
            assert_eq!((status, pointer.as_str()), (422, "/items/0/quantity"), "{big}");
            assert!(code == "out_of_range" || code == "wrong_type");
        }
        assert_eq!(refused(r#"{"items":[{}]}"#), is(422, "required", "/items/0/quantity"));
        assert_eq!(
            refused(r#"{"items":[{"quantity":1,"price":1}]}"#),
            is(422, "unknown_field", "/items/0/price")
        );
        assert_eq!(refused(r#"{"items":[],"status":"paid"}"#), is(422, "unknown_field", "/status"));
        assert_eq!(
            refused(r#"{"items":[],"total":{"amount":1,"currency":"eur"}}"#),
            is(422, "unsupported_currency", "/total/currency")
        );
        assert_eq!(
            refused(r#"{"items":[],"total":{"amount":-1,"currency":"EUR"}}"#),
            is(422, "out_of_range", "/total/amount")
        );
        for body in ["[]", "\"x\"", "1", "null", "true"] {
            let (status, ..) = refused(body);
            assert!(status == 400 || status == 422, "{body}");
        }
    }

    #[test]
    fn card_numbers_are_rejected_except_in_passwords_addresses_skus_and_tracking() {
        for text in [
            "4242424242424242",
            "4242 4242 4242 4242",
            "my card is 4242-4242-4242-4242, thanks",
            "378282246310005",
        ] {
            assert_eq!(
                refused(&format!(r#"{{"items":[],"note":"{text}"}}"#)).1,
                "card_number_rejected",
                "{text}"
            );
            assert_eq!(
                refused(&format!(r#"{{"items":[],"{text}":1}}"#)).1,
                "card_number_rejected",
                "{text}"
            );
            for name in ["password", "current_password", "new_password", "email", "sku", "tracking"]
            {
                assert_eq!(
                    refused(&format!(r#"{{"items":[],"{name}":"{text}"}}"#)).1,
                    "unknown_field",
                    "{name}"
                );
                assert_eq!(
                    refused(&format!(r#"{{"items":[],"{name}":["{text}"]}}"#)).1,
                    "card_number_rejected",
                    "{name}"
                );
            }
        }
        assert_eq!(
            refused(r#"{"items":[{"quantity":4242424242424242}]}"#).1,
            "card_number_rejected"
        );
    }

    #[test]
    fn a_replacement_character_is_malformed() {
        for body in [
            "{\"items\":[],\"note\":\"caf\u{fffd}\"}",
            r#"{"items":[],"note":"caf\ufffd"}"#,
            "{\"items\":[],\"caf\u{fffd}\":1}",
        ] {
            assert_eq!(refused(body), is(400, "malformed_json", ""), "{body}");
        }
    }

    #[test]
    fn empty_string_in_optional_field_counts_as_omitted() {
        let order = parse::<Order>(br#"{"items":[],"note":"","total":""}"#).expect("an order");
        assert_eq!((order.note, order.total.is_none()), (None, true));
        assert_eq!(refused(r#"{"items":""}"#), is(422, "wrong_type", "/items"));
        assert_eq!(
            refused(r#"{"items":[{"quantity":""}]}"#),
            is(422, "wrong_type", "/items/0/quantity")
        );
        assert_eq!(
            parse::<Order>(br#"{"items":[],"note":" "}"#).expect("an order").note.as_deref(),
            Some(" ")
        );
    }

    #[test]
    fn first_invalid_field_is_reported() {
        let pointer = |body: &str| refused(body).2;
        assert_eq!(pointer(r#"{"items":[{"quantity":"x"}],"a":1}"#), "/items/0/quantity");
        assert_eq!(pointer(r#"{"b":1,"a":1,"items":1}"#), "/b");
    }

    #[test]
    fn only_plain_utf8_json_is_accepted() {
        for good in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
            "application/json; charset=utf8",
            "application/json; charset=UTF8",
            "application/json;charset=us-ascii",
            "application/json; charset=US-ASCII;",
            "application/json; charset=ascii",
            "application/json; profile=x",
        ] {
            assert!(check_content_type("POST", &[good], &[]).is_ok(), "{good}");
        }
        for bad in [
            &["text/plain"][..],
            &[],
            &["application/xml"],
            &["application/merge-patch+json"],
            &["application/json; charset=utf-16"],
            &["application/json; charset=iso-8859-1"],
            &["application/json; charset"],
            &["application/json", "application/json"],
        ] {
            assert!(check_content_type("POST", bad, &[]).is_err(), "{bad:?}");
        }
        assert!(check_content_type("POST", &["application/json"], &["gzip"]).is_err());
    }

    #[test]
    fn patch_accepts_merge_patch_and_415_lists_accepted_types() {
        for good in [
            "application/json",
            "application/merge-patch+json",
            "Application/Merge-Patch+JSON; charset=utf8",
        ] {
            assert!(check_content_type("PATCH", &[good], &[]).is_ok(), "{good}");
        }
        let rejected = |method: &str, content_type: &str, encodings: &[&str]| {
            let problem =
                check_content_type(method, &[content_type], encodings).expect_err(content_type);
            let detail = problem.document("r")["detail"].as_str().expect("a detail").to_owned();
            (problem.headers().to_vec(), detail)
        };
        let header = |name: &'static str, value: &str| (name, value.to_owned());
        for content_type in [
            "application/json-patch+json",
            "text/plain",
            "application/merge-patch+json; charset=latin1",
        ] {
            let (headers, detail) = rejected("PATCH", content_type, &[]);
            let both = "application/json, application/merge-patch+json";
            assert_eq!(headers, [header("accept", both), header("accept-patch", both)]);
            assert!(
                detail.contains("application/json or application/merge-patch+json"),
                "{detail}"
            );
        }
        let (headers, detail) = rejected("PUT", "application/merge-patch+json", &[]);
        assert_eq!(headers, [header("accept", "application/json")]);
        assert!(detail.contains("application/json,"), "{detail}");
        let (headers, _) = rejected("POST", "application/json", &["br"]);
        assert_eq!(
            headers,
            [header("accept", "application/json"), header("accept-encoding", "identity")]
        );
    }
}
