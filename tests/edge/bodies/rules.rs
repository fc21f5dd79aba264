//! Well-formed bodies that break a rule: each rule once, with the code of its violation.

use super::*;

/// Invalid texts whose length is valid, each with the codes of its problem. They are sent in every
/// field that has this problem.
const ODD: [(&str, &[&str]); 16] = [
    ("unsupported_currency", &["eur", "EURO", "XXX", "XTS", "BTC", "€", "ＵＳＤ"]),
    ("invalid_country", &["de", "DEU", "D", "D1", "ＤＥ", "É", "UK", "XX", "ZZ", "EU", "AN"]),
    (
        "unknown_value",
        &[
            "Card",
            "cash",
            "credit_card; DROP",
            "root",
            "Admin",
            "ADMIN",
            " admin",
            "admin admin",
            "admin,user",
            "anonymous",
            "owner",
        ],
    ),
    (
        "invalid_id",
        &[
            "",
            "X",
            "usr_0199c2a8-0000-7000-8000-000000000001",
            "prd_9f8b3c1e-2d4a-4f6b-8c7d-1234567890ab",
            "prd_%2e%2e%2f",
            "../x",
            "prd_\u{0}",
            "PRD_0199C2A8-0000-7000-8000-00000000000A",
        ],
    ),
    ("invalid_token", &["a b", "a\tb", "é", "a\u{0}", "tok\u{7f}"]),
    (
        "invalid_email",
        &[
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
        ],
    ),
    (
        "invalid_phone",
        &[
            "442079460958",
            "0442079460958",
            "+0442079460958",
            "+44 20 7946 0958",
            "+44(0)2079460958",
            "+４４２０７９４６０９５８",
            "+44207946\u{0}0958",
        ],
    ),
    ("invalid_attribute", &["Gift", "gift-wrapping", "gift wrapping", "é", "a\u{0}"]),
    ("invalid_locale", &["DE", "de_CH", "d", "de-", "deutsch", "é", "de\u{0}"]),
    ("invalid_mutation_id", &["a b", "a\tb", "é", "a\u{0}", "id\u{7f}"]),
    ("invalid_username", &["", "_ada", "a da", "adä", "<script>", "ada\u{0}"]),
    ("invalid_sku", &[" ", "\u{3164}", "A\nB", "A\tB", "A\u{0}", "A\u{202e}B"]),
    ("invalid_category", &["Upper", "a--b", "-a", "a b", "ä", "active#0"]),
    (
        "password_too_short",
        &["seven77", "", "\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}"],
    ),
    ("password_compromised", &["password", "12345678"]),
    (
        "blank",
        &[
            "   ",
            "\u{a0}\u{2003}",
            "\r\n\t",
            "\u{feff}\u{200b}",
            "\u{3164}",
            "\u{2800}\u{2800}",
            "\u{ad}\u{e0041}\u{fe0f}",
        ],
    ),
];

/// Characters that no text may contain.
const INVALID: [&str; 11] = [
    "a\u{0}b",
    "a\u{1b}[31m",
    "a\u{202e}b",
    "a\u{ad}b",
    "a\u{180e}b",
    "a\u{fff9}b\u{fffa}c\u{fffb}",
    "a\u{e0062}",
    "a \u{200d}b",
    "1\u{200c}",
    // DynamoDB accepts these two, SQS does not.
    "Ada\u{fffe}Lovelace",
    "Ada\u{ffff}Lovelace",
];

/// Well-formed fields that break a rule: operation, place, value, code.
fn broken_rules() -> Vec<(&'static str, &'static str, Value, &'static str)> {
    let mut rows = Vec::new();
    let long = |length| "x".repeat(length);
    // `update-promotion` sends a fixed discount.
    let is_sent = |field: &&Field| {
        !(field.operation == "create-promotion" && field.place.starts_with("/fixed/"))
    };
    for field in fields().iter().filter(is_sent) {
        let mut row = |value: Value, code: &'static str| {
            rows.push((field.operation.as_str(), field.place.as_str(), value, code))
        };
        for (value, code) in field.out_of_bounds() {
            row(value, code);
        }
        for (code, texts) in ODD.iter().filter(|(code, _)| field.codes().contains(code)) {
            // An empty text counts as left out where the field is optional.
            let is_left_out = |text: &&&str| text.is_empty() && field.is_nullable();
            texts.iter().filter(|text| !is_left_out(text)).for_each(|text| row(json!(text), code));
        }
        if field.codes().contains(&"invalid_characters") {
            INVALID.iter().for_each(|text| row(json!(text), "invalid_characters"));
            row(json!("\u{200d}\u{1f469}".repeat(20)), "invalid_characters");
            row(json!(format!("a{}", "\u{301}".repeat(10_000))), "too_long");
        }
    }
    // Rules that the document cannot express.
    for (operation, place) in [("register-user", "/email"), ("update-me", "/email")] {
        for email in
            [format!("{}@b.cd", long(65)), format!("a@{}.cd", long(255)), "@".repeat(50_000)]
        {
            rows.push((operation, place, json!(email), "invalid_email"));
        }
    }
    rows.push(("adjust-stock", "/delta", json!(0), "out_of_range"));
    for operation in ["create-product", "update-product"] {
        rows.extend([
            (operation, "/prices/0/compare_at", json!(2799), "invalid_compare_at"),
            (
                operation,
                "/prices/0/compare_at_until",
                json!("2026-11-20T00:00:00Z"),
                "invalid_compare_at",
            ),
            (operation, "/prices/0/compare_at_from", json!("1969-12-31T00:00:00Z"), "out_of_range"),
        ]);
    }
    rows.push(("create-order", "/items/0/product_id", json!(long(10_000)), "invalid_id"));
    rows.push(("create-order", "/shipping_address/postal_code", json!(""), "required"));
    rows.push(("register-user", "/password", json!("GRACE@example.org"), "password_is_email"));
    rows.push(("change-password", "/new_password", json!("ADA@example.com"), "password_is_email"));
    rows.push((
        "confirm-password-reset",
        "/new_password",
        json!("ADA@example.com"),
        "password_is_email",
    ));
    for password in
        ["", "x", "correct horse battery staple ", "\0", "\u{ffff}", "Correct Horse Battery Staple"]
    {
        rows.push(("change-password", "/current_password", json!(password), "wrong_password"));
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
            rows.push((operation, place, json!(card), "card_number_rejected"));
        }
    }
    rows
}

#[tokio::test]
async fn field_that_breaks_a_rule_is_422_with_its_code() {
    let mut edge = ApiFixture::new("broken rules").await;
    for (operation, place, value, code) in broken_rules() {
        let mut body = edge.body(operation).unwrap();
        *body.pointer_mut(place).unwrap() = value.clone();
        let what = format!("{place} = {value}");
        let event = edge.with_body(operation, &body.to_string());
        let document = edge
            .check(&what, operation, event, Expect::Problem(422, code))
            .await
            .unwrap_or_default();
        let pointer = document["errors"][0]["pointer"].as_str();
        if code != "card_number_rejected"
            && pointer.is_none_or(|pointer| pointer.is_empty() || !place.starts_with(pointer))
        {
            edge.report(format!("{operation}: {what}: the error points at {pointer:?}"));
        }
        if document.to_string().contains("4242") || document.to_string().contains("37828") {
            edge.report(format!("{operation}: {what}: the card's number comes back"));
        }
    }
    let line = |quantity: u32| json!({ "product_id": edge.product, "quantity": quantity });
    let requests = [vec![line(500), line(500)], vec![line(999), line(999)]];
    for items in requests {
        let event = edge.with_body("create-order", &json!({ "items": items }).to_string());
        edge.check(
            "an order outside the limits",
            "create-order",
            event,
            Expect::Problem(422, "out_of_range"),
        )
        .await;
    }
    edge.done();
}
