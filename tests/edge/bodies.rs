//! Bodies: what is no JSON, what is of another type, what is too much, and what reads well and breaks a rule.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::stage::{ECHO, Edge, Expect, ROUTES, header};

/// The operations that take a body.
fn takers() -> impl Iterator<Item = &'static str> {
    ROUTES.iter().filter(|route| route.body).map(|route| route.operation)
}

/// Fields that may be left out or null; the body itself, where there need be none.
const OPTIONAL: [(&str, &str); 13] = [
    ("create-product", "/description"),
    ("create-product", "/max_per_order"),
    ("update-product", "/description"),
    ("update-product", "/max_per_order"),
    ("cancel-order", ""),
    ("cancel-order", "/reason"),
    ("create-refund", "/amount"),
    ("create-order", "/expected_total"),
    ("create-order", "/payment_method"),
    ("create-order", "/shipping_address"),
    ("create-order", "/shipping_address/line2"),
    ("create-order", "/shipping_address/region"),
    ("create-payment", "/amount"),
];

/// Fields that may be left out and are never null.
const ABSENT: [(&str, &str); 10] = [
    ("adjust-stock", "/delta"),
    ("adjust-stock", "/shards"),
    ("adjust-stock", "/low_stock_threshold"),
    ("update-me", "/email"),
    ("update-me", "/username"),
    ("update-me", "/full_name"),
    ("update-user", "/role"),
    ("update-user", "/is_active"),
    ("update-user", "/username"),
    ("update-user", "/full_name"),
];

/// JSON pointers of a document and of everything in it.
pub fn places(document: &Value) -> Vec<String> {
    fn walk(value: &Value, at: &str, places: &mut Vec<String>) {
        places.push(at.to_owned());
        match value {
            Value::Object(members) => members.iter().for_each(|(name, value)| walk(value, &format!("{at}/{name}"), places)),
            Value::Array(items) => items.iter().enumerate().for_each(|(i, value)| walk(value, &format!("{at}/{i}"), places)),
            _ => {}
        }
    }
    let mut places = Vec::new();
    walk(document, "", &mut places);
    places
}

/// A document as text in which the place holds this text instead.
fn with_text(document: &Value, place: &str, text: &str) -> String {
    const MARK: &str = "\"\\u0001here\\u0001\"";
    let mut document = document.clone();
    *document.pointer_mut(place).unwrap() = json!("\u{1}here\u{1}");
    document.to_string().replace(MARK, text)
}

#[tokio::test]
async fn every_request_that_is_damaged_here_succeeds_undamaged() {
    for route in &ROUTES {
        let mut edge = Edge::new("undamaged requests").await;
        edge.check("the valid request", route.operation, edge.valid(route.operation), Expect::Fine).await;
        edge.done();
    }
}

#[tokio::test]
async fn what_is_no_json_is_400() {
    let mut edge = Edge::new("no JSON").await;
    for operation in takers() {
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
            let expect = if bare && matches!(body, "null" | "{}") { Expect::Fine } else { Expect::OneOf(codes) };
            edge.check(body, operation, edge.with_body(operation, body), expect).await;
        }
        let padded = format!("{valid}{}", " ".repeat(256 * 1024));
        let long = format!("{inner},\"x\":\"{}\"}}", ECHO.repeat(30_000));
        for body in [padded, long, "x".repeat(6_000_000)] {
            edge.check("too large", operation, edge.with_body(operation, &body), Expect::Problem(413, "payload_too_large")).await;
        }
    }
    edge.done();
}

#[tokio::test]
async fn what_is_no_utf8_or_no_base64_is_400() {
    let mut edge = Edge::new("bytes").await;
    for operation in takers() {
        let valid = edge.body(operation).unwrap().to_string();
        let utf16: Vec<u8> = std::iter::once(0xfeff_u16).chain(valid.encode_utf16()).flat_map(u16::to_le_bytes).collect();
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
async fn a_field_that_stands_twice_is_400_at_every_level() {
    let mut edge = Edge::new("repeated fields").await;
    for operation in takers() {
        let body = edge.body(operation).unwrap();
        for place in places(&body) {
            let Some(members) = body.pointer(&place).unwrap().as_object() else { continue };
            for (name, value) in members {
                for second in [value.clone(), Value::Null, json!(99)] {
                    let object = body.pointer(&place).unwrap().to_string();
                    let twice = format!(
                        "{},\"{name}\":{second}}}",
                        object.trim_end_matches('}').to_owned() + &"}".repeat(object.len() - object.trim_end_matches('}').len() - 1)
                    );
                    let text = with_text(&body, &place, &twice);
                    let what = format!("{place}/{name} twice");
                    edge.check(&what, operation, edge.with_body(operation, &text), Expect::Problem(400, "duplicate_field")).await;
                }
            }
        }
    }
    edge.done();
}

#[tokio::test]
async fn a_field_of_another_type_is_422_with_its_place() {
    let digits = "9".repeat(400);
    let for_numbers = [
        "\"3\"",
        "3.0",
        "3.5",
        "true",
        "null",
        "[3]",
        "{}",
        "-0",
        "1e3",
        "1E400",
        "-1E400",
        "0.1e1",
        "4294967296",
        "18446744073709551616",
        "-9223372036854775808",
        "-9223372036854775809",
        "9223372036854775807",
        &digits,
        "\"NaN\"",
        "[]",
        "[[3]]",
        "{\"$gt\":0}",
    ];
    let for_texts = ["null", "true", "1", "1.5", "[]", "{}", "[\"x\"]", "{\"$ne\":null}", "[\"card\",null]", "1E400"];
    let for_objects = ["\"x\"", "1", "true", "[]", "[[]]", "[[1],[2]]", "1.5"];
    let for_booleans = ["null", "\"true\"", "\"\"", "1", "0", "0.0", "[]", "[true]", "{}", "{\"true\":null}", "1E400"];
    let for_lists = ["\"x\"", "1", "true", "{}", "{\"0\":1}", "[null]", "[[]]", "[1]", "null"];
    let mut edge = Edge::new("wrong types").await;
    for operation in takers() {
        let body = edge.body(operation).unwrap();
        for place in places(&body) {
            let wrong: &[&str] = match body.pointer(&place).unwrap() {
                Value::Number(_) => &for_numbers,
                Value::String(_) => &for_texts,
                Value::Object(_) => &for_objects,
                Value::Array(_) => &for_lists,
                Value::Bool(_) => &for_booleans,
                Value::Null => &[],
            };
            let optional = OPTIONAL.contains(&(operation, place.as_str()));
            for text in wrong.iter().filter(|text| !(optional && **text == "null")) {
                let what = format!("{place} = {text}");
                let codes = &["wrong_type", "out_of_range", "required", "unknown_value", "unknown_field", "malformed_json"];
                let event = edge.with_body(operation, &with_text(&body, &place, text));
                let document = edge.check(&what, operation, event, Expect::OneOf(codes)).await.unwrap_or_default();
                let pointer = document["errors"][0]["pointer"].as_str().unwrap_or_default();
                if document["status"] == 422 && !pointer.starts_with(&place) {
                    edge.odd(format!("{operation}: {what}: the error points at {pointer}"));
                }
            }
        }
    }
    edge.done();
}

/// serde's derived structs read themselves from a list of their values too, and its enums from `{"name": null}`. The API has neither form.
#[tokio::test]
async fn a_list_is_no_object_and_an_object_is_no_name() {
    let mut edge = Edge::new("lists for objects").await;
    let lists: [(&str, &str, Value); 29] = [
        ("register-user", "", json!(["grace@example.org", "grace", "Grace Hopper", "correct horse battery"])),
        ("login-user", "", json!(["ada@example.com", "correct horse battery staple"])),
        ("refresh-token", "", json!([edge.refresh_token])),
        ("change-password", "", json!(["correct horse battery staple", "four score and seven donkeys"])),
        ("request-password-reset", "", json!(["ada@example.com"])),
        ("confirm-password-reset", "", json!([edge.reset_token, "four score and seven donkeys"])),
        ("verify-email", "", json!([edge.verification_token])),
        ("withdraw-email-change", "", json!([edge.withdraw_token])),
        ("update-me", "", json!(["countess@example.com", "countess", "Ada King", "correct horse battery staple"])),
        ("update-user", "", json!(["admin", true, "countess", "Ada King"])),
        ("update-user", "/role", json!({ "admin": null })),
        ("create-product", "", json!(["Oak spoon", "Of oak.", "kitchen", "SPOON-OAK", { "amount": 2999, "currency": "USD" }])),
        ("create-product", "/price", json!([2999, "USD"])),
        ("update-product", "", json!(["Oak spoon", "Of oak.", "kitchen", "SPOON-OAK", { "amount": 2999, "currency": "USD" }, 9])),
        ("update-product", "/price", json!([2999, "USD"])),
        ("adjust-stock", "", json!([5, "delivery"])),
        ("adjust-stock", "", json!([5, "delivery", 2, 3])),
        ("cancel-order", "", json!(["It is the wrong colour."])),
        ("cancel-order", "/reason", json!({ "It is the wrong colour.": null })),
        ("ship-order", "", json!(["Royal Mail", "RM 1234 5678 9GB"])),
        ("create-refund", "", json!([{ "amount": 1000, "currency": "USD" }, "The lid was broken"])),
        ("create-refund", "/amount", json!([1000, "USD"])),
        ("create-order", "/items/0", json!([edge.product, 1])),
        ("create-order", "/expected_total", json!([2999, "USD"])),
        ("create-order", "/payment_method", json!(["card", "tok_ok"])),
        ("create-order", "/payment_method/type", json!({ "card": null })),
        ("create-order", "/shipping_address", json!(["Ada", "1 Way", null, "Town", null, "SW1", "GB"])),
        ("create-payment", "/payment_method", json!(["card", "tok_ok"])),
        ("create-payment", "/payment_method/type", json!({ "card": null })),
    ];
    for (operation, place, value) in lists {
        let mut body = edge.body(operation).unwrap();
        *body.pointer_mut(place).unwrap() = value.clone();
        let event = edge.with_body(operation, &body.to_string());
        edge.check(&format!("{place} = {value}"), operation, event, Expect::OneOf(&["wrong_type", "malformed_json"])).await;
    }
    edge.done();
}

#[tokio::test]
async fn a_field_that_is_missing_is_422_unless_it_may_be() {
    for operation in takers() {
        let mut edge = Edge::new("missing fields").await;
        let body = edge.body(operation).unwrap();
        for place in places(&body).into_iter().filter(|place| !place.is_empty()) {
            let (parent, name) = place.rsplit_once('/').unwrap();
            let mut less = body.clone();
            match less.pointer_mut(parent).unwrap() {
                Value::Object(members) => drop(members.remove(name)),
                _ => continue,
            }
            if OPTIONAL.iter().chain(&ABSENT).any(|field| *field == (operation, place.as_str())) {
                continue;
            }
            let event = edge.with_body(operation, &less.to_string());
            let document =
                edge.check(&format!("without {place}"), operation, event, Expect::Problem(422, "required")).await.unwrap_or_default();
            if document["errors"][0]["pointer"] != place.as_str() {
                edge.odd(format!("{operation}: without {place}: the error points at {}", document["errors"][0]["pointer"]));
            }
        }
        edge.done();
    }
}

#[tokio::test]
async fn a_field_that_there_is_not_is_422_at_every_level() {
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
        "created_as",
    ];
    let mut edge = Edge::new("unknown fields").await;
    for operation in takers() {
        let body = edge.body(operation).unwrap();
        for place in places(&body) {
            let Some(members) = body.pointer(&place).unwrap().as_object() else { continue };
            for (i, name) in STRANGE.iter().enumerate().filter(|(_, name)| !members.contains_key(**name)) {
                let value = [json!("admin"), json!(1), json!(null), json!({ "a": [ECHO] })][i % 4].clone();
                let mut more = body.clone();
                more.pointer_mut(&place).unwrap()[*name] = value;
                let what = format!("{place}/{name}");
                edge.check(&what, operation, edge.with_body(operation, &more.to_string()), Expect::Problem(422, "unknown_field")).await;
            }
        }
    }
    edge.done();
}

/// The words of serde's messages, in places where a client can put them: what stands behind them must not come back as ours.
#[tokio::test]
async fn no_answer_repeats_what_was_sent() {
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
    let mut edge = Edge::new("repeated input").await;
    for operation in takers() {
        let body = edge.body(operation).unwrap();
        for trick in &tricks {
            for place in places(&body) {
                if body.pointer(&place).unwrap().is_string() {
                    continue;
                }
                let text = with_text(&body, &place, &Value::from(trick.as_str()).to_string());
                let what = format!("{place} = {trick:?}");
                edge.check(&what, operation, edge.with_body(operation, &text), Expect::OneOf(&["wrong_type"])).await;
            }
            // The name of a field that there is not is part of its pointer, and of nothing else.
            let mut more = body.clone();
            more[trick.as_str()] = json!(1);
            let event = edge.with_body(operation, &more.to_string());
            let called = edge.shop.call(operation, event).await;
            let document = called.json();
            let without = [&document["detail"], &document["title"], &document["errors"][0]["detail"], &document["errors"][0]["code"]];
            if called.status() != 422 || without.iter().any(|text| text.to_string().contains(ECHO)) {
                edge.odd(format!("{operation}: a field called {trick:?}: {document}"));
            }
        }
    }
    edge.done();
}

/// Fields that read well and break a rule: operation, place, value, code.
fn broken_rules() -> Vec<(&'static str, &'static str, Value, &'static str)> {
    let mut rows = Vec::new();
    let long = |length| "x".repeat(length);
    for amount in [-1_i64, 100_000_000, 4_294_967_296, i64::MAX, i64::MIN] {
        rows.push(("create-product", "/price/amount", json!(amount), "out_of_range"));
        rows.push(("create-order", "/expected_total/amount", json!(amount), "out_of_range"));
        rows.push(("create-payment", "/amount/amount", json!(amount), "out_of_range"));
        rows.push(("update-product", "/price/amount", json!(amount), "out_of_range"));
        rows.push(("create-refund", "/amount/amount", json!(amount), "out_of_range"));
    }
    for (operation, place) in
        [("create-product", "/price/amount"), ("update-product", "/price/amount"), ("create-refund", "/amount/amount")]
    {
        rows.push((operation, place, json!(0), "out_of_range"));
    }
    for most in [0_i64, -1, 1000, 4_294_967_295, 4_294_967_296] {
        rows.push(("create-product", "/max_per_order", json!(most), "out_of_range"));
        rows.push(("update-product", "/max_per_order", json!(most), "out_of_range"));
    }
    for shards in [0_i64, -1, 4_294_967_295, 4_294_967_296] {
        rows.push(("adjust-stock", "/shards", json!(shards), "out_of_range"));
    }
    for threshold in [-1_i64, 1_000_001, i64::MIN, i64::MAX] {
        rows.push(("adjust-stock", "/low_stock_threshold", json!(threshold), "out_of_range"));
    }
    for currency in ["eur", "EURO", "XXX", "XTS", "BTC", "€", "", "USD ", "US\u{0}", "ＵＳＤ"] {
        rows.push(("create-product", "/price/currency", json!(currency), "unsupported_currency"));
        rows.push(("create-order", "/expected_total/currency", json!(currency), "unsupported_currency"));
        rows.push(("create-payment", "/amount/currency", json!(currency), "unsupported_currency"));
        rows.push(("update-product", "/price/currency", json!(currency), "unsupported_currency"));
        rows.push(("create-refund", "/amount/currency", json!(currency), "unsupported_currency"));
    }
    for quantity in [0_i64, -1, 1000, 4_294_967_295, 4_294_967_296] {
        rows.push(("create-order", "/items/0/quantity", json!(quantity), "out_of_range"));
    }
    for delta in [0_i64, 1_000_001, -1_000_001, i64::MIN, i64::MAX] {
        rows.push(("adjust-stock", "/delta", json!(delta), "out_of_range"));
    }
    for id in [
        "",
        "x",
        "usr_0199c2a8-0000-7000-8000-000000000001",
        "prd_9f8b3c1e-2d4a-4f6b-8c7d-1234567890ab",
        "prd_%2e%2e%2f",
        "../x",
        "prd_\u{0}",
    ] {
        rows.push(("create-order", "/items/0/product_id", json!(id), "invalid_id"));
        rows.push(("create-payment", "/order_id", json!(id), "invalid_id"));
    }
    rows.push(("create-order", "/items/0/product_id", json!("PRD_0199C2A8-0000-7000-8000-00000000000A"), "invalid_id"));
    rows.push(("create-order", "/items/0/product_id", json!(long(10_000)), "invalid_id"));
    for token in ["", "a b", "a\tb", "é", "a\u{0}", "tok\u{7f}", &long(256)] {
        rows.push(("create-order", "/payment_method/token", json!(token), "invalid_token"));
        rows.push(("create-payment", "/payment_method/token", json!(token), "invalid_token"));
    }
    for kind in ["", "Card", "cash", "credit_card; DROP"] {
        rows.push(("create-order", "/payment_method/type", json!(kind), "unknown_value"));
        rows.push(("create-payment", "/payment_method/type", json!(kind), "unknown_value"));
    }
    for country in ["", "de", "DEU", "D", "D1", "ＤＥ", "É", "UK", "XX", "ZZ", "EU", "AN"] {
        rows.push(("create-order", "/shipping_address/country", json!(country), "invalid_country"));
    }
    rows.push(("create-order", "/shipping_address/postal_code", json!(""), "required"));
    let zalgo = format!("a{}", "\u{301}".repeat(10_000));
    let texts: [(&str, &str); 17] = [
        ("   ", "blank"),
        ("\u{a0}\u{2003}", "blank"),
        ("\r\n\t", "blank"),
        ("\u{feff}\u{200b}", "blank"),
        ("\u{3164}", "blank"),
        ("\u{2800}\u{2800}", "blank"),
        ("\u{ad}\u{e0041}\u{fe0f}", "blank"),
        ("a\u{0}b", "invalid_characters"),
        ("a\u{1b}[31m", "invalid_characters"),
        ("a\u{202e}b", "invalid_characters"),
        ("a\u{ad}b", "invalid_characters"),
        ("a\u{180e}b", "invalid_characters"),
        ("a\u{fff9}b\u{fffa}c\u{fffb}", "invalid_characters"),
        ("a\u{e0062}", "invalid_characters"),
        ("a \u{200d}b", "invalid_characters"),
        ("1\u{200c}", "invalid_characters"),
        (&zalgo, "too_long"),
    ];
    for (operation, place) in [
        ("register-user", "/full_name"),
        ("update-me", "/full_name"),
        ("update-user", "/full_name"),
        ("create-product", "/name"),
        ("update-product", "/name"),
        ("adjust-stock", "/reason"),
        ("ship-order", "/carrier"),
        ("ship-order", "/tracking"),
        ("create-refund", "/reason"),
        ("create-order", "/shipping_address/name"),
    ] {
        rows.push((operation, place, json!(""), "blank"));
    }
    for (text, code) in texts {
        for (operation, place) in [
            ("register-user", "/full_name"),
            ("update-me", "/full_name"),
            ("update-user", "/full_name"),
            ("create-product", "/name"),
            ("update-product", "/name"),
            ("adjust-stock", "/reason"),
            ("cancel-order", "/reason"),
            ("ship-order", "/carrier"),
            ("ship-order", "/tracking"),
            ("create-refund", "/reason"),
            ("create-order", "/shipping_address/name"),
            ("create-order", "/shipping_address/line2"),
            ("create-order", "/shipping_address/postal_code"),
        ] {
            rows.push((operation, place, json!(text), code));
        }
    }
    for (operation, place, most) in [
        ("register-user", "/full_name", 100),
        ("update-me", "/full_name", 100),
        ("update-user", "/full_name", 100),
        ("create-product", "/name", 120),
        ("create-product", "/description", 2000),
        ("update-product", "/name", 120),
        ("update-product", "/description", 2000),
        ("adjust-stock", "/reason", 200),
        ("cancel-order", "/reason", 200),
        ("ship-order", "/carrier", 100),
        ("ship-order", "/tracking", 100),
        ("create-refund", "/reason", 200),
        ("create-order", "/shipping_address/city", 100),
    ] {
        rows.push((operation, place, json!(long(most + 1)), "too_long"));
        rows.push((operation, place, json!(long(200_000)), "too_long"));
        rows.push((operation, place, json!("\u{200d}\u{1f469}".repeat(20)), "invalid_characters"));
    }
    for email in [
        "",
        "a",
        "a@",
        "@b.c",
        "a@b",
        "a@@b.c",
        "\"a b\"@c.de",
        "a@[127.0.0.1]",
        "Name <a@b.c>",
        "a@b.cd\r\nBcc: x@y.zz",
        "a@b.cd\u{0}",
        "a\u{ffff}@b.cd",
        "a\u{202e}@b.cd",
        "jos\u{e9}@b.cd",
        "a@b\u{2800}.cd",
        &format!("{}@b.cd", long(65)),
        &format!("a@{}.cd", long(255)),
        &long(100_000),
        &"@".repeat(50_000),
    ] {
        for operation in ["register-user", "update-me"] {
            rows.push((operation, "/email", json!(email), "invalid_email"));
        }
    }
    for username in ["", "ab", "_ada", "a da", "adä", "<script>", "ada\u{0}", &long(33)] {
        for operation in ["register-user", "update-me", "update-user"] {
            rows.push((operation, "/username", json!(username), "invalid_username"));
        }
    }
    for role in ["", "root", "Admin", "ADMIN", " admin", "admin admin", "admin,user", "user\u{0}", "anonymous", "owner", &long(200_000)] {
        rows.push(("update-user", "/role", json!(role), "unknown_value"));
    }
    let long_password = long(1025);
    let huge_password = long(200_000);
    for (password, code) in [
        ("seven77", "password_too_short"),
        ("", "password_too_short"),
        ("password", "password_compromised"),
        ("12345678", "password_compromised"),
        ("\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}", "password_too_short"),
        (&long_password, "password_too_long"),
        (&huge_password, "password_too_long"),
    ] {
        rows.push(("register-user", "/password", json!(password), code));
        rows.push(("change-password", "/new_password", json!(password), code));
        rows.push(("confirm-password-reset", "/new_password", json!(password), code));
    }
    rows.push(("register-user", "/password", json!("GRACE@example.org"), "password_is_email"));
    rows.push(("change-password", "/new_password", json!("ADA@example.com"), "password_is_email"));
    rows.push(("confirm-password-reset", "/new_password", json!("ADA@example.com"), "password_is_email"));
    for password in ["", "x", "correct horse battery staple ", "\0", "\u{ffff}", "Correct Horse Battery Staple"] {
        rows.push(("change-password", "/current_password", json!(password), "wrong_password"));
    }
    for sku in ["", " ", "\u{3164}", "A\nB", "A\tB", "A\u{0}", "A\u{202e}B", &long(65)] {
        rows.push(("create-product", "/sku", json!(sku), "invalid_sku"));
        rows.push(("update-product", "/sku", json!(sku), "invalid_sku"));
    }
    for category in ["", "Upper", "a--b", "-a", "a b", "ä", "active#0", &long(51)] {
        rows.push(("create-product", "/category", json!(category), "invalid_category"));
        rows.push(("update-product", "/category", json!(category), "invalid_category"));
    }
    for card in [
        "4242424242424242",
        "4242 4242 4242 4242",
        "4242-4242-4242-4242",
        "378282246310005",
        "3782 822463 10005",
        "3056 930902 5904",
        "6200000000000005",
        "my card is 4242424242424242, thanks",
        "4242 4242 4242 4242 12/29 123",
    ] {
        for (operation, place) in [
            ("register-user", "/full_name"),
            ("refresh-token", "/refresh_token"),
            ("verify-email", "/token"),
            ("withdraw-email-change", "/token"),
            ("update-me", "/full_name"),
            ("update-user", "/is_active"),
            ("create-product", "/description"),
            ("update-product", "/description"),
            ("adjust-stock", "/reason"),
            ("cancel-order", "/reason"),
            ("ship-order", "/carrier"),
            ("create-refund", "/reason"),
            ("create-refund", "/amount"),
            ("create-order", "/payment_method/token"),
            ("create-order", "/payment_method"),
            ("create-order", "/shipping_address/line1"),
            ("create-payment", "/payment_method/token"),
            ("create-payment", "/payment_method"),
        ] {
            rows.push((operation, place, json!(card), "card_number_refused"));
        }
    }
    rows.push(("create-order", "/items", json!([]), "out_of_range"));
    rows
}

#[tokio::test]
async fn a_field_that_breaks_a_rule_is_422_with_its_code() {
    let mut edge = Edge::new("broken rules").await;
    for (operation, place, value, code) in broken_rules() {
        let mut body = edge.body(operation).unwrap();
        *body.pointer_mut(place).unwrap() = value.clone();
        let what = format!("{place} = {value}");
        let event = edge.with_body(operation, &body.to_string());
        let document = edge.check(&what, operation, event, Expect::Problem(422, code)).await.unwrap_or_default();
        let pointer = document["errors"][0]["pointer"].as_str();
        if code != "card_number_refused" && pointer.is_none_or(|pointer| pointer.is_empty() || !place.starts_with(pointer)) {
            edge.odd(format!("{operation}: {what}: the error points at {pointer:?}"));
        }
        if document.to_string().contains("4242") || document.to_string().contains("37828") {
            edge.odd(format!("{operation}: {what}: the card's number comes back"));
        }
    }
    let line = |quantity: u32| json!({ "product_id": edge.product, "quantity": quantity });
    let baskets = [vec![line(1); 41], vec![line(500), line(500)], vec![line(999), line(999)], vec![line(1); 3000]];
    for items in baskets {
        let event = edge.with_body("create-order", &json!({ "items": items }).to_string());
        edge.check("a basket outside the limits", "create-order", event, Expect::Problem(422, "out_of_range")).await;
    }
    edge.done();
}

/// Digits that are no card, and fields that hold any digits.
#[tokio::test]
async fn digits_that_are_no_card_are_accepted() {
    let mut edge = Edge::new("digits").await;
    for (operation, place, value, expect) in [
        ("login-user", "/password", "4242424242424242", Expect::Problem(401, "invalid_credentials")),
        ("login-user", "/email", "4242424242424242@example.com", Expect::Problem(401, "invalid_credentials")),
        ("change-password", "/current_password", "4242424242424242", Expect::Problem(422, "wrong_password")),
        ("confirm-password-reset", "/new_password", "4242 4242 4242 4242", Expect::Fine),
        ("request-password-reset", "/email", "4242424242424242@example.com", Expect::Fine),
        ("create-product", "/sku", "4242424242424242", Expect::Fine),
        ("ship-order", "/tracking", "4242 4242 4242 4242", Expect::Fine),
        ("adjust-stock", "/reason", "Barcode 5901234123457, IMEI 490154203237518, call +49 4242 4242 4242 42", Expect::Fine),
        ("create-refund", "/reason", "Sizes 37 38 39 40 41 42 43, to DE89 3704 0044 0532 0130 00", Expect::Fine),
        ("cancel-order", "/reason", "0.4242424242424242 of it; ISBN 978-3-16-148410-0", Expect::Fine),
    ] {
        let mut body = edge.body(operation).unwrap();
        *body.pointer_mut(place).unwrap() = json!(value);
        let event = edge.with_body(operation, &body.to_string());
        edge.check(&format!("{place} = {value}"), operation, event, expect).await;
    }
    edge.done();
}

/// What forms send for inputs that were left empty.
#[tokio::test]
async fn an_empty_text_in_an_optional_field_counts_as_left_out() {
    for (operation, place) in OPTIONAL.into_iter().filter(|(_, place)| !place.is_empty()) {
        let mut edge = Edge::new("empty texts").await;
        let mut body = edge.body(operation).unwrap();
        *body.pointer_mut(place).unwrap() = json!("");
        let event = edge.with_body(operation, &body.to_string());
        edge.check(&format!("{place} = \"\""), operation, event, Expect::Fine).await;
        edge.done();
    }
    let mut edge = Edge::new("addresses without a postal code").await;
    let mut body = edge.body("create-order").unwrap();
    body["shipping_address"]["country"] = json!("HK");
    body["shipping_address"]["postal_code"] = json!("");
    let event = edge.with_body("create-order", &body.to_string());
    let order = edge.check("Hong Kong", "create-order", event, Expect::Fine).await.unwrap_or_default();
    assert_eq!(order["shipping_address"]["postal_code"], Value::Null);
    edge.done();
}

/// What the gateway makes of bytes that are not UTF-8.
#[tokio::test]
async fn a_replacement_character_is_400() {
    let mut edge = Edge::new("replacement characters").await;
    for operation in takers() {
        let body = edge.body(operation).unwrap();
        for place in places(&body) {
            if body.pointer(&place).unwrap().is_string() {
                for text in ["\"caf\u{fffd}\"", "\"caf\\ufffd\""] {
                    let event = edge.with_body(operation, &with_text(&body, &place, text));
                    edge.check(&format!("{place} = {text}"), operation, event, Expect::Problem(400, "malformed_json")).await;
                }
            }
        }
    }
    edge.done();
}

/// Code points that look harmless and that some store or queue on the way refuses: DynamoDB takes them, SQS does not.
#[tokio::test]
async fn characters_that_no_queue_takes_are_refused_at_the_door() {
    let mut edge = Edge::new("noncharacters").await;
    for text in ["Ada\u{fffe}Lovelace", "Ada\u{ffff}Lovelace"] {
        for (operation, place) in [
            ("register-user", "/full_name"),
            ("update-me", "/full_name"),
            ("update-user", "/full_name"),
            ("create-product", "/name"),
            ("create-product", "/description"),
            ("update-product", "/name"),
            ("update-product", "/description"),
            ("adjust-stock", "/reason"),
            ("cancel-order", "/reason"),
            ("ship-order", "/carrier"),
            ("ship-order", "/tracking"),
            ("create-refund", "/reason"),
            ("create-order", "/shipping_address/name"),
        ] {
            let mut body = edge.body(operation).unwrap();
            *body.pointer_mut(place).unwrap() = json!(text);
            let event = edge.with_body(operation, &body.to_string());
            edge.check(&format!("{place} = {text:?}"), operation, event, Expect::Problem(422, "invalid_characters")).await;
        }
    }
    edge.done();
}

/// What looks like an attack and is only text: taken, and stored as it is. What was pasted from elsewhere is normalized.
#[tokio::test]
async fn text_is_text() {
    let mut edge = Edge::new("odd texts").await;
    let same = [
        "<script>alert(1)</script>",
        "{{7*7}}",
        "'; DROP TABLE users;--",
        "${jndi:ldap://x}",
        "%s%n%x",
        "=HYPERLINK(\"x\")",
        "O'Hara",
        "李",
        "\u{1f600}",
        "../../etc/passwd",
        "#pk = :x",
        "null",
        "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}",
        "\u{dc1}\u{dca}\u{200d}\u{dbb}\u{dd3}",
        "\u{d28}\u{d4d}\u{200d}",
        "\u{1f469}\u{1f3fd}\u{200d}\u{1f680}",
        "\u{1f3f4}\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
    ];
    let pasted = [
        ("a\r\nb", "a b", "a\nb"),
        ("a\rb", "a b", "a\nb"),
        ("a\nb", "a b", "a\nb"),
        ("a\tb", "a b", "a b"),
        ("a\u{2028}b", "a b", "a\nb"),
        ("a\u{2029}b", "a b", "a\nb"),
        ("a\u{85}b", "a b", "a\nb"),
        ("\u{feff}a\u{200b}b ", "ab", "ab"),
    ];
    let texts = same.into_iter().map(|text| (text, text, text)).chain(pasted);
    for (i, (text, line, lines)) in texts.enumerate() {
        let mut body = edge.body("create-order").unwrap();
        body["shipping_address"]["name"] = json!(text);
        let mut event = edge.with_body("create-order", &body.to_string());
        header(&mut event, "idempotency-key", &[&format!("text-{i}")]);
        let document = edge.check(text, "create-order", event, Expect::Fine).await.unwrap_or_default();
        if document["shipping_address"]["name"] != line {
            edge.odd(format!("{text} became {}", document["shipping_address"]["name"]));
        }
        // Given up at once: nobody has many orders that are not paid.
        let mut event = edge.with_body("cancel-order", &json!({ "reason": text }).to_string());
        event["pathParameters"]["order_id"] = document["id"].clone();
        let document = edge.check(text, "cancel-order", event, Expect::Fine).await.unwrap_or_default();
        if document["cancellation"]["reason"] != lines {
            edge.odd(format!("{text} is another reason afterwards: {}", document["cancellation"]));
        }
        let mut event =
            edge.with_body("create-refund", &json!({ "amount": { "amount": 1, "currency": "USD" }, "reason": text }).to_string());
        header(&mut event, "idempotency-key", &[&format!("text-{i}")]);
        let document = edge.check(text, "create-refund", event, Expect::Fine).await.unwrap_or_default();
        if document["reason"] != lines {
            edge.odd(format!("{text} is another reason afterwards: {}", document["reason"]));
        }
        let document =
            edge.check(text, "update-me", edge.with_body("update-me", &json!({ "full_name": text }).to_string()), Expect::Fine).await;
        edge.next_version();
        if document.unwrap_or_default()["full_name"] != line {
            edge.odd(format!("{text} is another name afterwards"));
        }
    }
    edge.done();
}
