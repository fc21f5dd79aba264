//! Texts in bodies: accepted texts, and characters that are rejected.

use super::*;

/// Digits that are not a card number, and fields that accept any digits.
#[tokio::test]
async fn digits_that_are_not_card_numbers_are_accepted() {
    let mut edge = ApiFixture::new("digits").await;
    for (operation, place, value, expect) in [
        (
            "login-user",
            "/password",
            "4242424242424242",
            Expect::Problem(401, "invalid_credentials"),
        ),
        (
            "login-user",
            "/email",
            "4242424242424242@example.com",
            Expect::Problem(401, "invalid_credentials"),
        ),
        (
            "change-password",
            "/current_password",
            "4242424242424242",
            Expect::Problem(422, "wrong_password"),
        ),
        ("confirm-password-reset", "/new_password", "4242 4242 4242 4242", Expect::Fine),
        ("request-password-reset", "/email", "4242424242424242@example.com", Expect::Fine),
        ("create-product", "/sku", "4242424242424242", Expect::Fine),
        ("ship-order", "/tracking", "4242 4242 4242 4242", Expect::Fine),
        (
            "adjust-stock",
            "/reason",
            "Barcode 5901234123457, IMEI 490154203237518, call +49 4242 4242 4242 42",
            Expect::Fine,
        ),
        (
            "create-refund",
            "/reason",
            "Sizes 37 38 39 40 41 42 43, to DE89 3704 0044 0532 0130 00",
            Expect::Fine,
        ),
        (
            "cancel-order",
            "/reason",
            "0.4242424242424242 of it; ISBN 978-3-16-148410-0",
            Expect::Fine,
        ),
    ] {
        let mut body = edge.body(operation).unwrap();
        *body.pointer_mut(place).unwrap() = json!(value);
        let event = edge.with_body(operation, &body.to_string());
        edge.check(&format!("{place} = {value}"), operation, event, expect).await;
    }
    edge.done();
}

/// Forms send empty texts for inputs that were left empty.
#[tokio::test]
async fn empty_text_in_an_optional_field_counts_as_absent() {
    for field in fields()
        .iter()
        .filter(|field| !field.place.is_empty() && may_be_null(&field.operation, &field.place))
    {
        let (operation, place) = (field.operation.as_str(), field.place.as_str());
        let mut edge = ApiFixture::new("empty texts").await;
        let mut body = edge.body(operation).unwrap();
        *body.pointer_mut(place).unwrap() = json!("");
        let event = edge.with_body(operation, &body.to_string());
        let expect =
            code_without(operation, place).map_or(Expect::Fine, |code| Expect::Problem(422, code));
        edge.check(&format!("{place} = \"\""), operation, event, expect).await;
        edge.done();
    }
    let mut edge = ApiFixture::new("addresses without a postal code").await;
    let mut body = edge.body("create-order").unwrap();
    // The market does not deliver there.
    for of_market in ["market", "shipping_method", "expected_total"] {
        body.as_object_mut().unwrap().remove(of_market);
    }
    body["shipping_address"]["country"] = json!("HK");
    body["shipping_address"]["postal_code"] = json!("");
    let event = edge.with_body("create-order", &body.to_string());
    let order =
        edge.check("Hong Kong", "create-order", event, Expect::Fine).await.unwrap_or_default();
    assert_eq!(order["shipping_address"]["postal_code"], Value::Null);
    edge.done();
}

/// The gateway replaces bytes that are not UTF-8 by this character.
#[tokio::test]
async fn a_replacement_character_is_400() {
    let mut edge = ApiFixture::new("replacement characters").await;
    for operation in operations_with_body() {
        let body = edge.body(operation).unwrap();
        for place in places(&body) {
            if body.pointer(&place).unwrap().is_string() {
                for text in ["\"caf\u{fffd}\"", "\"caf\\ufffd\""] {
                    let event = edge.with_body(operation, &with_text(&body, &place, text));
                    edge.check(
                        &format!("{place} = {text}"),
                        operation,
                        event,
                        Expect::Problem(400, "malformed_json"),
                    )
                    .await;
                }
            }
        }
    }
    edge.done();
}

/// Text that resembles an attack is accepted and stored unchanged. Pasted text is normalized.
#[tokio::test]
async fn text_that_resembles_an_attack_is_stored_unchanged() {
    let mut edge = ApiFixture::new("unusual texts").await;
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
        let document =
            edge.check(text, "create-order", event, Expect::Fine).await.unwrap_or_default();
        if document["shipping_address"]["name"] != line {
            edge.report(format!("{text} became {}", document["shipping_address"]["name"]));
        }
        // Cancelled at once: a buyer has a limit of unpaid orders.
        let mut event = edge.with_body("cancel-order", &json!({ "reason": text }).to_string());
        event["pathParameters"]["order_id"] = document["id"].clone();
        let document =
            edge.check(text, "cancel-order", event, Expect::Fine).await.unwrap_or_default();
        if document["cancellation"]["reason"] != lines {
            edge.report(format!(
                "{text} is another reason afterwards: {}",
                document["cancellation"]
            ));
        }
        let mut event = edge.with_body(
            "create-refund",
            &json!({ "amount": { "amount": 1, "currency": "USD" }, "reason": text }).to_string(),
        );
        header(&mut event, "idempotency-key", &[&format!("text-{i}")]);
        let document =
            edge.check(text, "create-refund", event, Expect::Fine).await.unwrap_or_default();
        if document["reason"] != lines {
            edge.report(format!("{text} is another reason afterwards: {}", document["reason"]));
        }
        let document = edge
            .check(
                text,
                "update-me",
                edge.with_body("update-me", &json!({ "full_name": text }).to_string()),
                Expect::Fine,
            )
            .await;
        edge.next_version();
        if document.unwrap_or_default()["full_name"] != line {
            edge.report(format!("{text} is another name afterwards"));
        }
    }
    edge.done();
}
