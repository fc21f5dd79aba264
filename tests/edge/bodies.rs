//! Bodies: malformed JSON, wrong types, sizes above the limit, broken rules and texts.

mod fields;
mod order_of_cart;
mod rules;
mod texts;
mod types;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::{
    fixture::{ApiFixture, ECHO, Expect, header},
    routes::ROUTES,
};
use fields::{Field, code_without, fields, may_be_absent, may_be_null};

fn operations_with_body() -> impl Iterator<Item = &'static str> {
    ROUTES.iter().filter(|route| route.body).map(|route| route.operation)
}

/// JSON pointers of a document and of all values in it.
pub fn places(document: &Value) -> Vec<String> {
    fn walk(value: &Value, at: &str, places: &mut Vec<String>) {
        places.push(at.to_owned());
        match value {
            Value::Object(members) => members
                .iter()
                .for_each(|(name, value)| walk(value, &format!("{at}/{name}"), places)),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .for_each(|(i, value)| walk(value, &format!("{at}/{i}"), places)),
            _ => {}
        }
    }
    let mut places = Vec::new();
    walk(document, "", &mut places);
    places
}

/// Serializes a document with a raw text in place of one value.
fn with_text(document: &Value, place: &str, text: &str) -> String {
    const MARK: &str = "\"\\u0001here\\u0001\"";
    let mut document = document.clone();
    *document.pointer_mut(place).unwrap() = json!("\u{1}here\u{1}");
    document.to_string().replace(MARK, text)
}

#[tokio::test]
async fn undamaged_requests_succeed() {
    for route in ROUTES.iter() {
        let mut edge = ApiFixture::new("undamaged requests").await;
        edge.check("the valid request", route.operation, edge.valid(route.operation), Expect::Fine)
            .await;
        edge.done();
    }
}

#[tokio::test]
async fn malformed_json_is_400() {
    let mut edge = ApiFixture::new("no JSON").await;
    for operation in operations_with_body() {
        let valid = edge.body(operation).unwrap().to_string();
        let inner = valid.trim_end_matches('}');
        let malformed = [
            "{".to_owned(),
            "}".to_owned(),
            "{\"a\":1,}".to_owned(),
            "{'a':1}".to_owned(),
            "{a:1}".to_owned(),
            "{\"a\":01}".to_owned(),
            "{\"a\":.5}".to_owned(),
            "{\"a\":+1}".to_owned(),
            "{\"a\":0x1}".to_owned(),
            "NaN".to_owned(),
            "Infinity".to_owned(),
            "nul".to_owned(),
            "/* c */ {}".to_owned(),
            format!("{valid},"),
            format!("{valid} x"),
            format!("{valid}{valid}"),
            format!("{valid}\u{0}"),
            format!("\u{feff}{valid}"),
            format!("\u{a0}{valid}"),
            format!("{inner},\"x\":\"\\ud800\"}}"),
            format!("{inner},\"x\":\"\\udc00\\ud800\"}}"),
            format!("{inner},\"x\":\"a\tb\"}}"),
            format!("{inner},\"x\":\"\\x41\"}}"),
            format!("{inner},\"x\":\"{ECHO}"),
            "[".repeat(100_000),
            "{\"a\":".repeat(40_000),
            format!("{}{}", "[".repeat(129), "]".repeat(129)),
            format!("{}{ECHO}", "[".repeat(20)),
            ECHO.to_owned(),
        ];
        for body in malformed {
            edge.check(
                &body,
                operation,
                edge.with_body(operation, &body),
                Expect::OneOf(&["malformed_json", "unknown_field", "wrong_type"]),
            )
            .await;
        }
        let bare = ROUTES.iter().any(|route| route.operation == operation && route.bare);
        for body in ["", " ", "\r\n\t "] {
            let expect = if bare { Expect::Fine } else { Expect::Problem(400, "body_required") };
            edge.check("blank", operation, edge.with_body(operation, body), expect).await;
        }
        for body in ["[]", "\"x\"", "1", "null", "true", "{}", "[null]", "-0", "1e3", "\"{}\""] {
            let codes = &["malformed_json", "wrong_type", "required", "nothing_to_change"];
            let expect = if bare && matches!(body, "null" | "{}") {
                Expect::Fine
            } else {
                Expect::OneOf(codes)
            };
            edge.check(body, operation, edge.with_body(operation, body), expect).await;
        }
        let padded = format!("{valid}{}", " ".repeat(256 * 1024));
        let long = format!("{inner},\"x\":\"{}\"}}", ECHO.repeat(30_000));
        for body in [padded, long, "x".repeat(6_000_000)] {
            edge.check(
                "too large",
                operation,
                edge.with_body(operation, &body),
                Expect::Problem(413, "payload_too_large"),
            )
            .await;
        }
    }
    edge.done();
}

#[tokio::test]
async fn invalid_utf8_or_base64_is_400() {
    let mut edge = ApiFixture::new("bytes").await;
    for operation in operations_with_body() {
        let valid = edge.body(operation).unwrap().to_string();
        let utf16: Vec<u8> = std::iter::once(0xfeff_u16)
            .chain(valid.encode_utf16())
            .flat_map(u16::to_le_bytes)
            .collect();
        let latin1 = [b"{\"x\":\"".as_slice(), &[0xe9, 0xff, 0xc0, 0x80], b"\"}"].concat();
        let cut = [valid.as_bytes(), &[0xf0, 0x9f]].concat();
        let surrogate = [b"{\"x\":\"".as_slice(), &[0xed, 0xa0, 0x80], b"\"}"].concat();
        for bytes in [utf16, latin1, cut, surrogate, vec![0x1f, 0x8b, 8, 0], vec![0xff; 300]] {
            let mut event = edge.with_body(operation, &BASE64_STANDARD.encode(bytes));
            event["isBase64Encoded"] = true.into();
            edge.check("not UTF-8", operation, event, Expect::Problem(400, "malformed_json")).await;
        }
        for text in ["!!!", "e30", "e30==", "e3 0=", "e30=\n", "_-_-", "é", "====", &valid, ECHO] {
            let mut event = edge.with_body(operation, text);
            event["isBase64Encoded"] = true.into();
            edge.check(text, operation, event, Expect::Problem(400, "malformed_body")).await;
        }
    }
    edge.done();
}

#[tokio::test]
async fn duplicate_field_is_400_at_every_level() {
    let mut edge = ApiFixture::new("repeated fields").await;
    for operation in operations_with_body() {
        let body = edge.body(operation).unwrap();
        for place in places(&body) {
            let Some(members) = body.pointer(&place).unwrap().as_object() else { continue };
            for (name, value) in members {
                for second in [value.clone(), Value::Null, json!(99)] {
                    let object = body.pointer(&place).unwrap().to_string();
                    let twice = format!(
                        "{},\"{name}\":{second}}}",
                        object.trim_end_matches('}').to_owned()
                            + &"}".repeat(object.len() - object.trim_end_matches('}').len() - 1)
                    );
                    let text = with_text(&body, &place, &twice);
                    let what = format!("{place}/{name} twice");
                    edge.check(
                        &what,
                        operation,
                        edge.with_body(operation, &text),
                        Expect::Problem(400, "duplicate_field"),
                    )
                    .await;
                }
            }
        }
    }
    edge.done();
}

#[tokio::test]
async fn missing_field_is_422_unless_optional() {
    for operation in operations_with_body() {
        let mut edge = ApiFixture::new("missing fields").await;
        let body = edge.body(operation).unwrap();
        for place in places(&body).into_iter().filter(|place| !place.is_empty()) {
            let (parent, name) = place.rsplit_once('/').unwrap();
            let mut less = body.clone();
            match less.pointer_mut(parent).unwrap() {
                Value::Object(members) => drop(members.remove(name)),
                _ => continue,
            }
            if may_be_absent(operation, &place) {
                continue;
            }
            let event = edge.with_body(operation, &less.to_string());
            let document = edge
                .check(
                    &format!("without {place}"),
                    operation,
                    event,
                    Expect::Problem(422, "required"),
                )
                .await
                .unwrap_or_default();
            if document["errors"][0]["pointer"] != place.as_str() {
                edge.report(format!(
                    "{operation}: without {place}: the error points at {}",
                    document["errors"][0]["pointer"]
                ));
            }
        }
        edge.done();
    }
}

#[tokio::test]
async fn unknown_field_is_422_at_every_level() {
    const STRANGE: [&str; 18] = [
        "user_id",
        "role",
        "is_admin",
        "is_active",
        "status",
        "version",
        "created_at",
        "balance",
        "unit_price",
        "discount",
        "total",
        "__proto__",
        "constructor",
        "$where",
        "",
        "é",
        "a/b~c",
        "initial_details",
    ];
    let mut edge = ApiFixture::new("unknown fields").await;
    for operation in operations_with_body() {
        let body = edge.body(operation).unwrap();
        for place in places(&body) {
            let Some(members) = body.pointer(&place).unwrap().as_object() else { continue };
            for (i, name) in
                STRANGE.iter().enumerate().filter(|(_, name)| !members.contains_key(**name))
            {
                let value =
                    [json!("admin"), json!(1), json!(null), json!({ "a": [ECHO] })][i % 4].clone();
                let mut more = body.clone();
                more.pointer_mut(&place).unwrap()[*name] = value;
                let what = format!("{place}/{name}");
                edge.check(
                    &what,
                    operation,
                    edge.with_body(operation, &more.to_string()),
                    Expect::Problem(422, "unknown_field"),
                )
                .await;
            }
        }
    }
    edge.done();
}

/// Words from serde's messages in client input: the text after them must not be echoed.
#[tokio::test]
async fn no_response_echoes_the_input() {
    let tricks = [
        format!("x, expected {ECHO}"),
        format!("`, expected `{ECHO}`, expected `"),
        format!("`{ECHO}`"),
        format!("\u{1f}code\u{1f}{ECHO}"),
        format!("duplicate field `{ECHO}`"),
        format!("unknown variant `{ECHO}`, expected one of {ECHO} at line 1"),
        format!("number out of range {ECHO}"),
        format!("<script>{ECHO}</script>"),
        format!("{{{{7*7}}}}${{jndi:ldap://{ECHO}}}%s%n"),
        format!("\r\nX-Injected: {ECHO}"),
    ];
    let mut edge = ApiFixture::new("repeated input").await;
    for operation in operations_with_body() {
        let body = edge.body(operation).unwrap();
        for trick in &tricks {
            for place in places(&body) {
                if body.pointer(&place).unwrap().is_string() {
                    continue;
                }
                let text = with_text(&body, &place, &Value::from(trick.as_str()).to_string());
                let what = format!("{place} = {trick:?}");
                edge.check(
                    &what,
                    operation,
                    edge.with_body(operation, &text),
                    Expect::OneOf(&["wrong_type"]),
                )
                .await;
            }
            // The name of an unknown field is part of its pointer only.
            let mut more = body.clone();
            more[trick.as_str()] = json!(1);
            let event = edge.with_body(operation, &more.to_string());
            let called = edge.shop.call(operation, event).await;
            let document = called.json();
            let without = [
                &document["detail"],
                &document["title"],
                &document["errors"][0]["detail"],
                &document["errors"][0]["code"],
            ];
            if called.status() != 422 || without.iter().any(|text| text.to_string().contains(ECHO))
            {
                edge.report(format!("{operation}: a field called {trick:?}: {document}"));
            }
        }
    }
    edge.done();
}
