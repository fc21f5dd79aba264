//! Changes of items as streams deliver them, and the messages that their publishers send. The items
//! come from `events/`, with the changes that are published.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use shared::{queue::Message, stream::UnknownState};
use tests::events::sample;

/// A message that results from a change.
pub struct Sent {
    pub change: &'static str,
    pub queue: &'static str,
    pub message: Value,
}

/// The messages of all changes, and those that AWS services send.
pub fn sent() -> Vec<Sent> {
    let mut all = Vec::new();
    let order = image("publish-order-events", 0);
    for (change, old, new) in order_changes() {
        publish(&mut all, change, orders::publish::messages, &order, old, new);
    }
    let intent = image("publish-payment-events", 0);
    for (change, old, new) in intent_changes() {
        publish(&mut all, change, payments::publish::messages, &intent, old, new);
    }
    for (change, base, old, new) in stock_changes() {
        publish(&mut all, change, from_inventory, &base, old, new);
    }
    let product = image("publish-product-events", 0);
    let mut limited = product["details"].clone();
    limited["max_per_order"] = 5.into();
    publish(&mut all, "created", catalog::publish::messages, &product, None, json!({}));
    publish(
        &mut all,
        "limited",
        catalog::publish::messages,
        &product,
        None,
        json!({ "details": limited }),
    );
    let mut priced = product["details"].clone();
    priced["tax_class"] = "reduced".into();
    priced["weight_g"] = 45.into();
    priced["requires_shipping"] = false.into();
    priced["prices"] = json!([
        { "currency": "EUR", "amount": 2799 },
        {
            "market": "de", "currency": "EUR", "amount": 2599, "compare_at": 3299,
            "compare_at_from": "2026-11-21T00:00:00.000Z", "compare_at_until": "2026-12-24T00:00:00.000Z",
        },
    ]);
    publish(
        &mut all,
        "priced",
        catalog::publish::messages,
        &product,
        None,
        json!({ "details": priced }),
    );
    for (record, change) in [(0, "changed"), (1, "compiled")] {
        let item = image("publish-pricing-events", record);
        publish(&mut all, change, pricing::publish::messages, &item, None, json!({}));
    }
    publish(
        &mut all,
        "regional",
        pricing::publish::messages,
        &image("publish-pricing-events", 1),
        None,
        json!({ "document": regional_rules() }),
    );
    for (change, old, new) in user_changes() {
        publish(
            &mut all,
            change,
            users::publish::messages,
            &image("publish-user-events", 0),
            old,
            new,
        );
    }
    all.extend(foreign());
    all
}

/// Publishes as inventory with an operator address.
fn from_inventory(
    old: Option<&inventory::store::Image>,
    new: &inventory::store::Image,
) -> Result<Vec<Message>, UnknownState> {
    let operator = inventory::publish::Operator {
        email: "operator@example.com".to_owned(),
        low_stock_threshold: 10,
    };
    inventory::publish::messages_to(Some(&operator), old, new)
}

/// The item in the sample of a publisher, as plain JSON.
fn image(publisher: &str, record: usize) -> Value {
    serde_dynamo::from_item(dynamodb(&sample(publisher)["Records"][record]["dynamodb"]["NewImage"]))
        .unwrap()
}

fn dynamodb(item: &Value) -> serde_dynamo::Item {
    serde_json::from_value(item.clone()).unwrap()
}

/// Runs a publisher on a change of its sample item. `old` and `new` are the differences from the
/// sample: `None` means that the item did not exist, `null` that the attribute is absent.
fn publish<T: DeserializeOwned>(
    all: &mut Vec<Sent>,
    change: &'static str,
    messages: fn(Option<&T>, &T) -> Result<Vec<Message>, UnknownState>,
    base: &Value,
    old: Option<Value>,
    new: Value,
) {
    let item = |patch: &Value| -> T {
        let mut item = base.clone();
        for (name, value) in patch.as_object().unwrap() {
            match value {
                Value::Null => item.as_object_mut().unwrap().remove(name),
                value => item.as_object_mut().unwrap().insert(name.clone(), value.clone()),
            };
        }
        serde_json::from_value(item.clone())
            .unwrap_or_else(|error| panic!("{change}: {error}: {item:#}"))
    };
    let (old, new) = (old.as_ref().map(item), item(&new));
    let sent = messages(old.as_ref(), &new).unwrap();
    assert!(!sent.is_empty(), "{change} sends nothing");
    all.extend(sent.into_iter().map(|message| Sent {
        change,
        queue: message.queue,
        message: serde_json::to_value(&message).unwrap(),
    }));
}

type Change = (&'static str, Option<Value>, Value);

/// The attributes of an order whose newest history entry is this event.
fn happened(event: &str, status: &str, detail: Option<&str>) -> Value {
    let mut entry = json!({ "at": "2026-11-21T09:50:00.000Z", "event": event, "status": status });
    if let Some(detail) = detail {
        entry["detail"] = json!(detail);
    }
    json!([{ "at": "2026-11-21T09:48:49.123Z", "event": "placed", "status": "pending" }, entry])
}

/// Rules with every field that is optional.
fn regional_rules() -> Value {
    json!({
        "currency": "USD", "prices_include_tax": false, "minimum_charge": 50, "served": true,
        "taxes": [{
            "region": "CA", "tax_class": "standard", "treatment": "standard",
            "rates": [{ "name": "State tax", "ppm": 72500 }], "valid_from": "2024-01-01T00:00:00.000Z",
        }],
        "shipping_methods": [{
            "id": "shp_f59ab468-833f-8415-9587-1e3b6b3e0864", "name": "Economy parcel", "price": 790, "tax": { "class": "reduced" },
        }],
        "promotions": [{
            "id": "prm_1c53f33b-ff1f-8847-9cc2-2f0cd7ec3e1f", "name": "Winter sale", "target": "order", "effect": { "fixed": 500 },
            "products": ["prd_0199c2a8-0000-7000-8000-00000000000a"], "categories": ["kitchen"], "min_subtotal": 5000,
            "priority": 10, "combinable": true,
            "starts_at": "2026-11-21T00:00:00.000Z", "ends_at": "2026-12-24T00:00:00.000Z",
        }],
    })
}

/// The price of an order as it is stored: a discount, shipping, and a tax that is added.
fn price() -> Value {
    json!({
        "market": "gb", "version": 7, "currency": "USD", "basis": "net", "rounding": "per_rate",
        "lines": [{
            "id": "lin_0199c2a8-0000-7000-8000-0000000000e1", "base": 5998, "discounts": [[0, 1490]],
            "taxes": [[0, 4508, 902]], "net": 4508, "tax": 902, "gross": 5410,
        }],
        "shipping": {
            "method": "shp_0199c2a8-0000-7000-8000-0000000000d1", "name": "Parcel", "base": 490, "discounts": [],
            "taxes": [[0, 490, 98]], "net": 490, "tax": 98, "gross": 588,
        },
        "tax_summary": [[0, 4998, 1000]], "discount_total": 1490, "tax_source": { "kind": "rules", "version": 7 },
        "promotions": [{ "id": "prm_0199c2a8-0000-7000-8000-0000000000d2", "name": "Autumn sale" }],
        "rates": [{ "jurisdiction": "GB", "name": "VAT", "treatment": "standard", "ppm": 200_000 }],
    })
}

/// A stored price of goods that are not shipped.
fn price_without_shipping() -> Value {
    let mut price = price();
    price.as_object_mut().unwrap().remove("shipping");
    price
}

fn order_changes() -> Vec<Change> {
    let paid = json!({ "status": "confirmed", "stock": "committed", "payment": "paid", "captured_total": 5998, "version": 5,
        "payment_id": "pay_0199c2a8-0000-7000-8000-0000000000f1_0199c2a8-0000-7000-8000-0000000000a1",
        "history": happened("payment_succeeded", "confirmed", None) });
    let with = |base: &Value, more: Value| {
        let mut all = base.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let shipment = json!({ "carrier": "Post", "tracking": "RR123456789" });
    let shipped = with(
        &paid,
        json!({ "status": "shipped", "shipment": shipment, "version": 6, "history": happened("shipped", "shipped", None) }),
    );
    let held = json!({ "stock": "reserved", "payment": "processing", "version": 3 });
    vec![
        ("placed", None, json!({})),
        ("held", Some(json!({})), json!({ "stock": "reserved", "payment": "open", "version": 2 })),
        (
            "held-to-be-paid-later",
            Some(json!({ "payment_method": null })),
            json!({ "payment_method": null, "stock": "reserved", "payment": "open", "version": 2 }),
        ),
        ("paid", Some(held.clone()), with(&paid, json!({ "stock": "committing", "version": 4 }))),
        (
            "paid-in-a-market",
            Some(with(&held, json!({ "price": price() }))),
            with(&paid, json!({ "price": price(), "stock": "committing", "version": 4 })),
        ),
        (
            "declined",
            Some(held.clone()),
            json!({ "stock": "reserved", "payment": "open", "version": 4, "history": happened("payment_declined", "pending", Some("card_declined")) }),
        ),
        (
            "given-up",
            Some(held.clone()),
            json!({ "goal": "cancel", "reason": "cancelled", "stock": "releasing", "payment": "closing", "version": 4 }),
        ),
        (
            "given-up-and-paid",
            Some(with(&held, json!({ "payment": "paid", "captured_total": 5998 }))),
            json!({ "goal": "cancel", "reason": "cancelled", "stock": "releasing", "payment": "refunding", "captured_total": 5998, "version": 4 }),
        ),
        (
            "cancelled",
            Some(
                json!({ "goal": "cancel", "reason": "cancelled", "stock": "released", "payment": "closing", "version": 5 }),
            ),
            json!({ "status": "cancelled", "goal": "cancel", "reason": "cancelled", "stock": "released", "payment": "closed", "version": 6,
                "history": happened("payment_closed", "cancelled", None) }),
        ),
        (
            "failed",
            Some(
                json!({ "goal": "fail", "reason": "out_of_stock", "stock": "rejected", "payment": "closing", "version": 2 }),
            ),
            json!({ "status": "failed", "goal": "fail", "reason": "out_of_stock", "stock": "rejected", "payment": "closed", "version": 3,
                "history": happened("stock_rejected", "failed", None) }),
        ),
        (
            "failed-for-a-product",
            Some(
                json!({ "goal": "fail", "reason": "out_of_stock", "stock": "rejected", "payment": "closing", "version": 2 }),
            ),
            json!({ "status": "failed", "goal": "fail", "reason": "out_of_stock", "stock": "rejected", "payment": "closed", "version": 3,
                "history": happened("stock_rejected", "failed", Some("prd_0199c2a8-0000-7000-8000-00000000000a")) }),
        ),
        ("shipped", Some(paid.clone()), shipped.clone()),
        (
            "shipped-in-a-market",
            Some(with(&paid, json!({ "price": price() }))),
            with(&shipped, json!({ "price": price() })),
        ),
        (
            "confirmed-without-shipping",
            Some(with(&held, json!({ "price": price_without_shipping() }))),
            with(&paid, json!({ "stock": "committing", "price": price_without_shipping() })),
        ),
        (
            "delivered",
            Some(shipped.clone()),
            with(
                &shipped,
                json!({ "status": "delivered", "version": 7, "history": happened("delivered", "delivered", None) }),
            ),
        ),
        (
            "refunded",
            Some(paid.clone()),
            with(
                &paid,
                json!({ "refunded_total": 1000, "version": 6, "history": happened("payment_refunded", "confirmed", None) }),
            ),
        ),
        (
            "refunded-after-shipping",
            Some(shipped.clone()),
            with(
                &shipped,
                json!({ "refunded_total": 1000, "version": 7, "history": happened("payment_refunded", "shipped", None) }),
            ),
        ),
        (
            "refund-failed-after-it-succeeded",
            Some(with(&paid, json!({ "refunded_total": 1000 }))),
            with(
                &paid,
                json!({ "refunded_total": 1000, "refunds_reversed_total": 1000, "version": 7, "history": happened("refund_reversed", "confirmed", None) }),
            ),
        ),
    ]
}

fn intent_changes() -> Vec<Change> {
    let attempt = "pay_0199c2a8-0000-7000-8000-0000000000f1_0199c2a8-0000-7000-8000-0000000000a1";
    let open = json!({ "state": "open", "latest_attempt": null, "active_attempt": null, "captured_payment": null, "last_event": "opened",
        "captured_total": 0, "refundable": 0, "attempts_left": 5, "version": 1 });
    let tried = |state: &str, fact: &str| {
        json!({ "state": state, "latest_attempt": attempt, "captured_payment": null, "last_event": fact, "captured_total": 0,
            "refundable": 0, "attempts_left": 4, "version": 2 })
    };
    let declined = |state: &str, left: u32| {
        let mut intent = tried(state, "declined");
        (intent["failure_reason"], intent["attempts_left"]) = (json!("card_declined"), json!(left));
        intent
    };
    let dispute = |state: &str, held_amount: i64| json!({ "dispute_id": "dp_1", "payment_id": attempt, "state": state, "held_amount": held_amount, "updated_at": "2026-11-21T09:48:49.123Z" });
    let processing = tried("processing", "started");
    // A started attempt alone publishes nothing. Here the order has repeated its command.
    let mut answered = processing.clone();
    answered["answered_attempt"] = 9.into();
    vec![
        ("opened", None, open.clone()),
        ("started", Some(processing.clone()), answered),
        ("requires-action", Some(processing.clone()), tried("processing", "action_required")),
        ("unknown", Some(processing.clone()), tried("processing", "unknown")),
        ("declined", Some(processing.clone()), declined("open", 4)),
        ("declined-for-good", Some(processing.clone()), declined("closed", 0)),
        (
            "closed",
            Some(open),
            json!({ "state": "closed", "latest_attempt": null, "captured_payment": null, "captured_total": 0, "refundable": 0 }),
        ),
        ("captured", Some(processing), json!({})),
        (
            "refunded-in-part",
            Some(json!({})),
            json!({ "refunded_total": 1000, "refundable": 4998, "version": 5 }),
        ),
        (
            "refunded",
            Some(json!({})),
            json!({ "refunded_total": 5998, "refundable": 0, "version": 5 }),
        ),
        (
            "refund-failed",
            Some(json!({})),
            json!({ "refund_failed": true, "failed_refunds": 1, "version": 5 }),
        ),
        (
            "refund-failed-after-it-succeeded",
            Some(json!({ "refunded_total": 1000 })),
            json!({ "refunded_total": 1000, "refunds_reversed_total": 1000, "refund_failed": true, "failed_refunds": 1, "version": 6 }),
        ),
        (
            "refund-refused",
            Some(json!({})),
            json!({ "refund_failed": true, "failed_refunds": 5, "automatic_refunds_failed": 5, "version": 9 }),
        ),
        (
            "duplicate-capture-refund-refused",
            Some(json!({})),
            json!({ "duplicate_refunds_refused": [attempt], "version": 9 }),
        ),
        ("disputed", Some(json!({})), json!({ "disputes": [dispute("open", 0)], "version": 5 })),
        (
            "dispute-lost",
            Some(json!({ "disputes": [dispute("open", 0)] })),
            json!({ "disputes": [dispute("lost", 5998)], "dispute_withdrawn_total": 5998, "refundable": 0, "version": 6 }),
        ),
        (
            "dispute-won",
            Some(
                json!({ "disputes": [dispute("withdrawn", 5998)], "dispute_withdrawn_total": 5998, "refundable": 0, "version": 6 }),
            ),
            json!({ "disputes": [dispute("won", 0)], "dispute_withdrawn_total": 5998, "dispute_reinstated_total": 5998, "version": 7 }),
        ),
        (
            "duplicate-capture",
            Some(json!({})),
            json!({ "duplicate_captured_total": 5998, "version": 5 }),
        ),
    ]
}

fn stock_changes() -> Vec<(&'static str, Value, Option<Value>, Value)> {
    let reservation = image("publish-stock-events", 0);
    let held = json!({});
    let product = "prd_0199c2a8-0000-7000-8000-00000000000a";
    let movement = json!({ "pk": "MOVE#mov_0199c2a8-0000-7000-8000-0000000000c1", "movement_id": "mov_0199c2a8-0000-7000-8000-0000000000c1",
        "product_id": product, "delta": -3, "reason": "Broken", "fingerprint": "0", "user_id": "usr_0199c2a8-0000-7000-8000-000000000002",
        "created_at": "2026-11-21T09:48:49.123Z", "traceparent": reservation["traceparent"] });
    let stock = json!({ "pk": format!("STOCK#{product}"), "product_id": product, "available": 4, "on_hand": 12, "version": 7,
        "updated_at": "2026-11-21T09:48:49.123Z", "traceparent": reservation["traceparent"] });
    vec![
        ("held", reservation.clone(), None, json!({})),
        (
            "rejected",
            reservation.clone(),
            None,
            json!({ "state": "rejected", "rejected_product": "prd_0199c2a8-0000-7000-8000-00000000000a" }),
        ),
        (
            "released",
            reservation.clone(),
            Some(held.clone()),
            json!({ "state": "released", "version": 2 }),
        ),
        (
            "committed",
            reservation.clone(),
            Some(held),
            json!({ "state": "committed", "version": 2 }),
        ),
        (
            "restocked",
            reservation,
            Some(json!({ "state": "committed" })),
            json!({ "state": "released", "version": 3 }),
        ),
        ("adjusted", movement, None, json!({})),
        ("running-out", stock, Some(json!({ "available": 11, "version": 6 })), json!({})),
    ]
}

fn user_changes() -> Vec<Change> {
    let link = |hash: &str| json!({ "token_hash": hash, "sealed_token": "sealed-token", "expires_at": "2026-11-22T09:48:49.123Z", "send_count": 1 });
    let wanted = json!({ "email": "ada@example.com", "link": link("first") });
    vec![
        ("registered", None, json!({ "verification": wanted })),
        (
            "asked-for-another-address",
            Some(json!({})),
            json!({ "verification": { "email": "ada@example.org", "link": link("second") } }),
        ),
        (
            "asked-to-withdraw",
            Some(json!({})),
            json!({ "withdrawal": { "email": "ada@example.com", "link": link("fourth") } }),
        ),
        (
            "moved-to-another-address",
            Some(json!({ "email": "old@example.com" })),
            json!({ "version": 5, "withdrawal": { "email": "old@example.com", "link": link("fourth") } }),
        ),
        (
            "withdrew-the-change",
            Some(json!({})),
            json!({ "email_change_withdrawn_at": "2026-11-21T10:00:00.000Z" }),
        ),
        ("forgot-the-password", Some(json!({})), json!({ "reset": link("third") })),
        (
            "has-another-password",
            Some(json!({})),
            json!({ "password_changed_at": "2026-11-21T10:00:00.000Z" }),
        ),
        (
            "has-another-address",
            Some(json!({ "email": "old@example.com" })),
            json!({ "version": 5 }),
        ),
        ("is-called-otherwise", Some(json!({ "full_name": "Ada Byron" })), json!({ "version": 5 })),
        (
            "deleted",
            Some(json!({})),
            json!({ "email": null, "username": null, "full_name": null, "role": null, "is_active": null, "token_version": null, "session_epoch": null,
                "email_verified": null, "created_at": null, "updated_at": null, "listed_shard": null, "listed_at": null,
                "deleted_at": "2026-11-21T10:02:31.012Z", "version": 6 }),
        ),
    ]
}

/// Messages of AWS services, from the samples in `events/`.
fn foreign() -> Vec<Sent> {
    let of = |record: &Value| serde_json::from_str(record["body"].as_str().unwrap()).unwrap();
    let records = sample("record-mail-feedback")["Records"].as_array().cloned().unwrap_or_default();
    records
        .iter()
        .map(|record| Sent {
            change: "reported",
            queue: "record-mail-feedback",
            message: of(record),
        })
        .collect()
}
