//! Bodies that read well and break a rule: each rule once, with the code of its violation.

use super::*;

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
