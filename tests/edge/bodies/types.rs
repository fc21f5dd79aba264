//! Values of another JSON type than the field has.

use super::*;

#[tokio::test]
async fn field_of_another_type_is_422_with_its_pointer() {
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
    let for_texts = [
        "null",
        "true",
        "1",
        "1.5",
        "[]",
        "{}",
        "[\"x\"]",
        "{\"$ne\":null}",
        "[\"card\",null]",
        "1E400",
    ];
    let for_objects = ["\"x\"", "1", "true", "[]", "[[]]", "[[1],[2]]", "1.5"];
    let for_booleans = [
        "null",
        "\"true\"",
        "\"\"",
        "1",
        "0",
        "0.0",
        "[]",
        "[true]",
        "{}",
        "{\"true\":null}",
        "1E400",
    ];
    let for_lists = ["\"x\"", "1", "true", "{}", "{\"0\":1}", "[null]", "[[]]", "[1]", "null"];
    let mut edge = ApiFixture::new("wrong types").await;
    for operation in operations_with_body() {
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
            let optional = may_be_null(operation, &place);
            for text in wrong.iter().filter(|text| !(optional && **text == "null")) {
                let what = format!("{place} = {text}");
                let codes = &[
                    "wrong_type",
                    "out_of_range",
                    "required",
                    "unknown_value",
                    "unknown_field",
                    "malformed_json",
                ];
                let needed = code_without(operation, &place).filter(|_| *text == "null");
                let expect = needed.map_or(Expect::OneOf(codes), |code| Expect::Problem(422, code));
                let event = edge.with_body(operation, &with_text(&body, &place, text));
                let document =
                    edge.check(&what, operation, event, expect).await.unwrap_or_default();
                let pointer = document["errors"][0]["pointer"].as_str().unwrap_or_default();
                if document["status"] == 422 && !pointer.starts_with(&place) {
                    edge.report(format!("{operation}: {what}: the error points at {pointer}"));
                }
            }
        }
    }
    edge.done();
}

/// serde's derived structs also deserialize from a list of their values, and its enums from
/// `{"name": null}`. The API accepts neither form.
#[tokio::test]
async fn wrong_json_types_are_rejected() {
    let mut edge = ApiFixture::new("lists for objects").await;
    let lists: [(&str, &str, Value); 34] = [
        (
            "register-user",
            "",
            json!(["grace@example.org", "grace", "Grace Hopper", "correct horse battery"]),
        ),
        ("login-user", "", json!(["ada@example.com", "correct horse battery staple"])),
        ("refresh-token", "", json!([edge.refresh_token])),
        (
            "change-password",
            "",
            json!(["correct horse battery staple", "four score and seven donkeys"]),
        ),
        ("request-password-reset", "", json!(["ada@example.com"])),
        ("confirm-password-reset", "", json!([edge.reset_token, "four score and seven donkeys"])),
        ("verify-email", "", json!([edge.verification_token])),
        ("withdraw-email-change", "", json!([edge.withdraw_token])),
        (
            "update-me",
            "",
            json!(["countess@example.com", "countess", "Ada King", "correct horse battery staple"]),
        ),
        ("update-user", "", json!(["admin", true, "countess", "Ada King"])),
        ("update-user", "/role", json!({ "admin": null })),
        ("create-address", "", json!([{ "name": "Ada" }, true, true])),
        ("create-address", "/address", json!(["Ada", "1 Way", null, "Town", null, "SW1", "GB"])),
        ("update-address", "/address", json!(["Ada", "1 Way", null, "Town", null, "SW1", "GB"])),
        (
            "create-product",
            "",
            json!(["Oak spoon", "Of oak.", "kitchen", "SPOON-OAK", { "amount": 2999, "currency": "USD" }]),
        ),
        ("create-product", "/price", json!([2999, "USD"])),
        (
            "update-product",
            "",
            json!(["Oak spoon", "Of oak.", "kitchen", "SPOON-OAK", { "amount": 2999, "currency": "USD" }, 9]),
        ),
        ("update-product", "/price", json!([2999, "USD"])),
        ("adjust-stock", "", json!([5, "delivery"])),
        ("adjust-stock", "", json!([5, "delivery", 2, 3])),
        (
            "update-order",
            "/shipping_address",
            json!(["Ada", "1 Way", null, "Town", null, "SW1", "GB"]),
        ),
        ("cancel-order", "", json!(["It is the wrong colour."])),
        ("cancel-order", "/reason", json!({ "It is the wrong colour.": null })),
        ("ship-order", "", json!(["Royal Mail", "RM 1234 5678 9GB"])),
        ("create-refund", "", json!([{ "amount": 1000, "currency": "USD" }, "The lid was broken"])),
        ("create-refund", "/amount", json!([1000, "USD"])),
        ("create-order", "/items/0", json!([edge.product, 1])),
        ("create-order", "/expected_total", json!([2999, "USD"])),
        ("create-order", "/payment_method", json!(["card", "tok_ok"])),
        ("create-order", "/payment_method/type", json!({ "card": null })),
        (
            "create-order",
            "/shipping_address",
            json!(["Ada", "1 Way", null, "Town", null, "SW1", "GB"]),
        ),
        (
            "create-order",
            "/billing_address",
            json!(["Ada", "1 Way", null, "Town", null, "SW1", "GB"]),
        ),
        ("create-payment", "/payment_method", json!(["card", "tok_ok"])),
        ("create-payment", "/payment_method/type", json!({ "card": null })),
    ];
    for (operation, place, value) in lists {
        let mut body = edge.body(operation).unwrap();
        *body.pointer_mut(place).unwrap() = value.clone();
        let event = edge.with_body(operation, &body.to_string());
        edge.check(
            &format!("{place} = {value}"),
            operation,
            event,
            Expect::OneOf(&["wrong_type", "malformed_json"]),
        )
        .await;
    }
    edge.done();
}
