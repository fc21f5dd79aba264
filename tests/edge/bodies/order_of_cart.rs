//! The second form of `POST /orders`: a cart in place of items.

use super::*;

/// An order of a cart with every field.
fn of_cart() -> Value {
    json!({
        "cart_id": "crt_0199c2a8-0000-7000-8000-00000000000c",
        "cart_version": 7,
        "expected_total": { "amount": 2999, "currency": "USD" },
        "payment_method": { "type": "card", "token": "tok_ok" },
        "tax_id": "GB 123 4567 73",
    })
}

/// Invalid fields: the pointer, the value, and the code of the problem.
fn broken(items: &Value) -> Vec<(&'static str, Option<Value>, &'static str)> {
    vec![
        ("/cart_id", None, "required"),
        ("/cart_id", Some(Value::Null), "required"),
        ("/cart_id", Some(json!("")), "required"),
        ("/cart_id", Some(json!("X")), "invalid_id"),
        ("/cart_id", Some(json!("ord_0199c2a8-0000-7000-8000-00000000000c")), "invalid_id"),
        ("/cart_id", Some(json!("crt_0199c2a8-0000-7000-8000-00000000000c.secret")), "invalid_id"),
        ("/cart_id", Some(json!(1)), "wrong_type"),
        ("/cart_version", None, "required"),
        ("/cart_version", Some(Value::Null), "required"),
        ("/cart_version", Some(json!(-1)), "out_of_range"),
        ("/cart_version", Some(json!(1.5)), "wrong_type"),
        ("/cart_version", Some(json!("7")), "wrong_type"),
        ("/cart_version", Some(json!([7])), "wrong_type"),
        ("/expected_total", None, "required"),
        ("/expected_total", Some(Value::Null), "required"),
        ("/expected_total", Some(json!(2999)), "wrong_type"),
        ("/expected_total/amount", Some(json!(-1)), "out_of_range"),
        ("/expected_total/currency", Some(json!("eur")), "unsupported_currency"),
        ("/payment_method/token", Some(json!("a b")), "invalid_token"),
        ("/tax_id", Some(json!("x".repeat(41))), "too_long"),
        ("/items", Some(items["items"].clone()), "unknown_field"),
        ("/market", Some(json!("gb")), "unknown_field"),
        ("/shipping_address", Some(items["shipping_address"].clone()), "unknown_field"),
        ("/billing_address", Some(items["billing_address"].clone()), "unknown_field"),
        ("/shipping_method", Some(items["shipping_method"].clone()), "unknown_field"),
        ("/locale", Some(json!("en-GB")), "unknown_field"),
        ("/note", Some(json!("Ring twice.")), "unknown_field"),
        (
            "/attributes",
            Some(json!([{ "name": "gift_wrapping", "value": "yes" }])),
            "unknown_field",
        ),
        ("/cart_token", Some(json!("secret")), "unknown_field"),
    ]
}

#[tokio::test]
async fn broken_order_of_a_cart_is_422_with_its_field() {
    let mut edge = ApiFixture::new("orders of carts").await;
    let items = edge.body("create-order").unwrap();
    for (place, value, code) in broken(&items) {
        let mut body = of_cart();
        let (parent, name) = place.rsplit_once('/').unwrap();
        let members = body.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        match value.clone() {
            Some(value) => drop(members.insert(name.to_owned(), value)),
            None => drop(members.remove(name)),
        }
        let what = format!("{place} = {value:?}");
        let event = edge.with_body("create-order", &body.to_string());
        let expect = Expect::Problem(422, code);
        let document = edge.check(&what, "create-order", event, expect).await.unwrap_or_default();
        if document["errors"][0]["pointer"] != place {
            edge.report(format!(
                "{what}: the error points at {}",
                document["errors"][0]["pointer"]
            ));
        }
    }
    let mut both = items.clone();
    both["cart_version"] = json!(7);
    let event = edge.with_body("create-order", &both.to_string());
    edge.check("a version of items", "create-order", event, Expect::Problem(422, "unknown_field"))
        .await;
    let event = edge.with_body("create-order", &of_cart().to_string());
    edge.check("an unknown cart", "create-order", event, Expect::Problem(404, "cart_not_found"))
        .await;
    edge.done();
}
