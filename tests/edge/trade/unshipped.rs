//! Orders of goods that require no shipping: requests without a destination, and the transitions of
//! such an order.

use serde_json::{Value, json};
use tests::events;

use crate::fixture::{ApiFixture, Expect, header};

/// A fixture in which the market `gb` sells a download, and the id of this product.
async fn with_download(about: &'static str) -> (ApiFixture, String) {
    let mut edge = ApiFixture::new(about).await;
    let mut body = edge.body("create-product").unwrap();
    (body["requires_shipping"], body["tax_class"]) = (false.into(), "standard".into());
    let create = edge.with_body("create-product", &body.to_string());
    let created = edge.check("a download", "create-product", create, Expect::Fine).await;
    let product = created.unwrap_or_default()["id"].as_str().unwrap_or_default().to_owned();
    let delivery = json!({ "delta": 5, "reason": "licences" });
    let adjusted = edge.shop.call("adjust-stock", events::adjustment("d", &product, &delivery));
    assert_eq!(adjusted.await.status(), 201);
    edge.settle().await;
    (edge, product)
}

/// A request for one download that is paid at once, and billed to an address in London.
fn request(product: &str) -> Value {
    let mut request = events::order_request(product, 1, Some("tok_ok"));
    request["billing_address"] = request["shipping_address"].take();
    request["market"] = "gb".into();
    request
}

fn place(key: &str, body: &Value) -> Value {
    let key = key.replace(' ', "-");
    events::post("/orders", body).caller(events::USER).header("idempotency-key", &key).event()
}

#[tokio::test]
async fn download_without_a_destination_is_422() {
    let (mut edge, product) = with_download("destinations of downloads").await;
    let shipping_address = events::order_request(&product, 1, None)["shipping_address"].clone();
    let with = |changes: &[(&str, Value)]| {
        let mut body = request(&product);
        for (name, value) in changes {
            body[*name] = value.clone();
        }
        body
    };
    let elsewhere = |country: &str| {
        let mut address = shipping_address.clone();
        address["country"] = country.into();
        address
    };
    for (what, body, code) in [
        ("no address", with(&[("billing_address", Value::Null)]), "billing_address_required"),
        ("no rules", with(&[("billing_address", elsewhere("IE"))]), "unknown_market"),
        (
            "the billing address decides",
            with(&[
                ("billing_address", elsewhere("IE")),
                ("shipping_address", shipping_address.clone()),
            ]),
            "unknown_market",
        ),
        ("no market", with(&[("market", "nowhere".into())]), "unknown_market"),
    ] {
        edge.check(what, "create-order", place(what, &body), Expect::Problem(422, code)).await;
    }
    for (what, body) in [
        ("a billing address", with(&[])),
        (
            "a shipping address",
            with(&[
                ("billing_address", Value::Null),
                ("shipping_address", shipping_address.clone()),
            ]),
        ),
        (
            "a method that is ignored",
            with(&[("shipping_method", "shp_0199c2a8-0000-7000-8000-0000000000ff".into())]),
        ),
    ] {
        let placed = edge.check(what, "create-order", place(what, &body), Expect::Fine).await;
        let placed = placed.unwrap_or_default();
        if placed["price"]["shipping"] != Value::Null || placed["price"]["market"] != "gb" {
            edge.report(format!("{what}: {placed}"));
        }
    }
    edge.done();
}

#[tokio::test]
async fn download_is_delivered_and_never_shipped() {
    let (mut edge, product) = with_download("transitions of downloads").await;
    let placed = edge.check("paid", "create-order", place("k", &request(&product)), Expect::Fine);
    let order = placed.await.unwrap_or_default()["id"].as_str().unwrap_or_default().to_owned();
    edge.settle().await;
    let read = events::get("/orders").caller(events::USER).path_parameter("order_id", &order);
    let tag = edge.shop.call("get-order", read.event()).await.header("etag").unwrap();
    let step = |edge: &ApiFixture, operation: &str| {
        let mut event = edge.valid(operation);
        event["pathParameters"]["order_id"] = order.as_str().into();
        header(&mut event, "if-match", &[&tag]);
        event
    };
    for operation in ["ship-order", "update-order"] {
        let event = step(&edge, operation);
        let illegal = Expect::Problem(409, "invalid_transition");
        let refused = edge.check("nothing is shipped", operation, event, illegal).await;
        let refused = refused.unwrap_or_default();
        if (&refused["current"], &refused["allowed"])
            != (&json!("confirmed"), &json!(["cancel", "deliver"]))
        {
            edge.report(format!("{operation}: {refused}"));
        }
    }
    let first = edge.check("once", "deliver-order", step(&edge, "deliver-order"), Expect::Fine);
    let first = first.await;
    let again = edge.check("again", "deliver-order", step(&edge, "deliver-order"), Expect::Fine);
    let again = again.await;
    if first != again || first.unwrap_or_default()["status"] != "delivered" {
        edge.report(format!("delivered twice: {again:?}"));
    }
    let late = Expect::Problem(409, "not_cancellable");
    edge.check("the end", "cancel-order", step(&edge, "cancel-order"), late).await;
    edge.done();
}
