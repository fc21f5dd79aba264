//! Orders in a market whose products require no shipping: priced for the billing address, and
//! delivered without a shipment.

use super::{in_market::usd, update_order::change, *};

/// Two spoons at 29.99: 59.98 less 10 %, and tax of 20 %.
const TOTAL: i64 = 6478;

/// A request for two spoons in the market `gb`, which are billed to London.
fn download() -> Value {
    let mut request = addressed();
    request["billing_address"] = request["shipping_address"].take();
    request["market"] = "gb".into();
    request
}

impl OrdersFixture {
    async fn with_downloads() -> Self {
        let fixture = Self::new().await;
        fixture.sell_downloads().await;
        fixture
    }

    /// Replicates the rules of a market in which spoons require no shipping.
    async fn sell_downloads(&self) {
        assert!(self.replicate_rules(&events::pricing()).await);
        let mut spoon = product(SPOON, 2, 2999, true);
        spoon["requires_shipping"] = false.into();
        assert!(self.replicate(&spoon).await);
    }

    /// Places a paid order of downloads, and returns its id.
    async fn paid_download(&self) -> String {
        let placed = self.post("k", &download()).await;
        assert_eq!(placed.status(), 201, "{:?}", placed.answer);
        let order = placed.json()["id"].as_str().unwrap().to_owned();
        let paid = json!({ "version": 2, "payment_id": "pay_1", "captured_total": TOTAL });
        for (kind, more) in
            [("stock_reserved.v1", json!({ "version": 1 })), ("payment_succeeded.v1", paid)]
        {
            assert!(self.send_event(&order, kind, &more).await.is_done());
        }
        order
    }

    async fn commit(&self, order: &str) {
        let committed = json!({ "version": 2 });
        assert!(self.send_event(order, "stock_committed.v1", &committed).await.is_done());
    }
}

/// The members of a rejected transition.
fn refused(called: &Called) -> (u64, String, Value) {
    (called.status(), called.code(), called.json()["allowed"].clone())
}

#[tokio::test]
async fn order_of_downloads_has_no_shipping_line_and_no_shipping_address() {
    let fixture = OrdersFixture::with_downloads().await;
    let placed = fixture.post("k", &download()).await;
    assert_eq!(
        (placed.status(), placed.operations()),
        (201, vec!["BatchGetItem", "TransactWriteItems"])
    );
    let view = placed.json();
    assert_eq!(
        view["totals"],
        json!({ "items": usd(5398), "shipping": usd(0), "tax": usd(1080), "total": usd(TOTAL) })
    );
    assert_eq!(view["shipping_address"], Value::Null);
    assert_eq!(view["billing_address"]["country"], "GB");
    assert!(view["price"]["shipping"].is_null());
    let mut expected = download();
    expected["expected_total"] = usd(TOTAL);
    assert_eq!(fixture.post("another", &expected).await.status(), 201);
}

#[tokio::test]
async fn rules_of_both_countries_are_read_and_the_destination_decides() {
    let fixture = OrdersFixture::with_downloads().await;
    let mut ireland = events::pricing();
    (ireland["country"], ireland["document"]["taxes"][0]["rates"][0]["ppm"]) =
        (json!("IE"), json!(230_000));
    assert!(fixture.replicate_rules(&ireland).await);
    let mut request = download();
    request["shipping_address"] = addressed()["shipping_address"].clone();
    request["billing_address"]["country"] = "IE".into();
    let taxed = |placed: &Called| placed.json()["price"]["tax_summary"][0]["jurisdiction"].clone();
    let placed = fixture.post("download", &request).await;
    assert_eq!(
        (placed.status(), taxed(&placed), placed.operations()),
        (201, json!("IE"), vec!["BatchGetItem", "TransactWriteItems"])
    );
    fixture.step(USER, "cancel", placed.json()["id"].as_str().unwrap(), &Value::Null).await;
    // If one product requires shipping, the whole order is shipped.
    request["items"] = json!([
        { "product_id": SPOON, "quantity": 1 }, { "product_id": BOWL, "quantity": 1 },
    ]);
    request["shipping_method"] = super::in_market::parcel_service();
    let placed = fixture.post("parcel", &request).await;
    assert_eq!((placed.status(), taxed(&placed)), (201, json!("GB")), "{:?}", placed.answer);
    assert_eq!(placed.json()["price"]["shipping"]["base"], 490);
}

#[tokio::test]
async fn download_without_a_usable_destination_is_422_and_writes_nothing() {
    let fixture = OrdersFixture::with_downloads().await;
    let mut closed = super::in_market::rules(1, "served", json!(false));
    closed["market"] = "closed".into();
    let regional = json!([{
        "region": "CA", "tax_class": "standard", "treatment": "standard",
        "rates": [{ "name": "State", "ppm": 72_500 }], "valid_from": "2026-01-01T00:00:00Z",
    }]);
    let mut regional = super::in_market::rules(1, "taxes", regional);
    regional["market"] = "regional".into();
    for rules in [&closed, &regional] {
        assert!(fixture.replicate_rules(rules).await);
    }
    let with = |place: &str, value: Value| {
        let mut request = download();
        *request.pointer_mut(place).unwrap() = value;
        request
    };
    for (request, code, pointer) in [
        (with("/billing_address", Value::Null), "billing_address_required", "/billing_address"),
        (with("/billing_address/country", json!("IE")), "unknown_market", "/market"),
        (with("/market", json!("closed")), "not_delivered_there", "/billing_address/country"),
        (with("/market", json!("regional")), "unknown_region", "/billing_address/region"),
    ] {
        let refused = fixture.post("k", &request).await;
        assert_eq!((refused.status(), refused.code().as_str()), (422, code));
        assert_eq!(refused.json()["errors"][0]["pointer"], pointer, "{code}");
        assert_eq!((fixture.count(), refused.operations()), (0, vec!["BatchGetItem"]), "{code}");
    }
}

#[tokio::test]
async fn download_is_delivered_without_a_shipment_once_its_stock_is_committed() {
    let fixture = OrdersFixture::with_downloads().await;
    let mut stream = fixture.stream();
    let order = fixture.paid_download().await;
    let early = fixture.step(ADMIN, "deliver", &order, &Value::Null).await;
    assert_eq!(refused(&early), (409, "invalid_transition".to_owned(), json!(["cancel"])));
    fixture.commit(&order).await;
    let actions = || json!(["cancel", "deliver"]);
    let shipped = fixture.step(ADMIN, "ship", &order, &parcel()).await;
    assert_eq!(refused(&shipped), (409, "invalid_transition".to_owned(), actions()));
    for who in [USER, ADMIN] {
        let tag = fixture.tag(&order).await;
        let moved = change(who, &order, &tag, &addressed()["shipping_address"]);
        let moved = fixture.call("update-order", moved).await;
        assert_eq!(refused(&moved), (409, "invalid_transition".to_owned(), actions()));
        assert_eq!(moved.operations(), ["GetItem"]);
    }
    let delivered = fixture.step(ADMIN, "deliver", &order, &Value::Null).await;
    assert_eq!((delivered.status(), delivered.operations()), (200, vec!["GetItem", "PutItem"]));
    let view = delivered.json();
    assert_eq!((&view["status"], &view["shipment"]), (&json!("delivered"), &Value::Null));
    let again = fixture.step(ADMIN, "deliver", &order, &Value::Null).await;
    assert_eq!((again.status(), again.operations()), (200, vec!["GetItem"]));

    stream.publish().await;
    let mails = fixture.aws.queues().waiting("send-notification");
    let mails: Vec<Value> = mails.iter().map(|mail| mail.json()["data"].clone()).collect();
    let templates: Vec<_> = mails.iter().map(|mail| mail["template"].clone()).collect();
    assert_eq!(templates, ["order_confirmed", "order_delivered"]);
    for mail in &mails {
        assert_eq!(mail["data"]["requires_shipping"], false);
        assert_eq!(mail["data"]["shipping"], Value::Null);
    }
}

#[tokio::test]
async fn delivery_and_cancellation_of_a_download_have_one_outcome() {
    let (mut delivered, mut cancelled) = (0, 0);
    for seed in 0..20 {
        let fixture = OrdersFixture::crowded(seed).await;
        fixture.sell_downloads().await;
        let order = fixture.paid_download().await;
        fixture.commit(&order).await;
        let cancel = ("cancel-order", action_request(USER, "cancel", &order, &Value::Null));
        let deliver = ("deliver-order", action_request(ADMIN, "deliver", &order, &Value::Null));
        let (one, other) = if seed % 2 == 0 { (cancel, deliver) } else { (deliver, cancel) };
        let called = fixture.call_both(one, other).await;
        let statuses: Vec<_> = statuses(called.ok().as_array().unwrap()).into_keys().collect();
        let landed = fixture.order(&order).await;
        match landed.progress.goal {
            Goal::Fulfil => {
                assert_eq!((statuses, landed.progress.status), (vec![200, 409], Status::Delivered));
                delivered += 1;
            }
            _ => {
                assert_eq!((statuses, landed.progress.status), (vec![202, 409], Status::Confirmed));
                cancelled += 1;
            }
        }
    }
    assert!(delivered > 0 && cancelled > 0, "{delivered} delivered, {cancelled} cancelled");
}
