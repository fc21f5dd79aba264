//! Orders after placement: cancelled, shipped, delivered, refunded.

use reqwest::Method;
use serde_json::{Value, json};

use crate::shop::{
    Answer, Person, ProviderRecords, Shop, card, events_of, shop_with, unique, until,
};

fn address() -> Value {
    json!({ "name": "Ada Lovelace", "line1": "12 St James's Square", "city": "London", "postal_code": "SW1Y 4JH", "country": "GB" })
}

impl Person {
    async fn step(&self, order: &str, step: &str, body: Option<Value>) -> Answer {
        self.send(
            Method::POST,
            &format!("/orders/{order}/{step}"),
            body.map(|body| body.to_string()),
            &[],
        )
        .await
    }

    async fn cancel(&self, order: &str) -> Answer {
        self.step(order, "cancel", Some(json!({ "reason": "It is the wrong colour." }))).await
    }
}

/// Asserts a rejected transition, with the current status and the allowed transitions.
#[track_caller]
fn refused(answer: &Answer, code: &str, current: &str, allowed: &[&str]) {
    assert_eq!(answer.problem(409), code);
    let document = answer.json();
    assert_eq!((&document["current"], &document["allowed"]), (&json!(current), &json!(allowed)));
}

/// The templates of a recipient's mails about an order.
async fn mail_templates(person: &Person, order: &str) -> Vec<String> {
    let listed = person.get("/notifications").await.expect(200);
    let about =
        listed["items"].as_array().unwrap().iter().filter(|item| item.to_string().contains(order));
    let mut templates: Vec<String> =
        about.map(|item| item["template"].as_str().unwrap().to_owned()).collect();
    templates.sort();
    templates
}

async fn expect_mails(person: &Person, order: &str, templates: &[&str]) {
    until(
        "all mails are there",
        || mail_templates(person, order),
        |mail_templates| mail_templates == templates,
    )
    .await;
}

#[tokio::test]
async fn order_is_shipped_and_delivered_in_this_order_only() {
    let shop = shop_with!(Tables);
    let (admin, buyer, product) =
        (shop.admin().await, shop.customer().await, shop.product(1500, 5).await);
    let order = buyer.order_to(Some(address()), &product, 2, None).await;
    buyer.order_at_step(&order, "awaiting_payment").await;
    let parcel = || Some(json!({ "carrier": "Royal Mail", "tracking": "RM 1234 5678 9GB" }));
    refused(
        &admin.step(&order, "ship", parcel()).await,
        "invalid_transition",
        "pending",
        &["cancel"],
    );
    refused(
        &admin.step(&order, "deliver", None).await,
        "invalid_transition",
        "pending",
        &["cancel"],
    );
    let pay = || buyer.pay(&order, "tok_ok");
    until("payments knows the order", pay, |answer| answer.status != 404).await.expect(201);
    buyer.order_with_status(&order, "confirmed").await;

    assert_eq!(buyer.step(&order, "ship", parcel()).await.problem(403), "insufficient_permissions");
    assert_eq!(
        admin.step(&order, "ship", Some(json!({ "carrier": "Royal Mail" }))).await.problem(422),
        "required"
    );
    let shipped = admin.step(&order, "ship", parcel()).await.expect(200);
    assert_eq!((&shipped["status"], &shipped["shipment"]), (&json!("shipped"), &parcel().unwrap()));
    assert_eq!(admin.step(&order, "ship", parcel()).await.expect(200)["status"], "shipped");
    let another = Some(json!({ "carrier": "DHL", "tracking": "1" }));
    refused(
        &admin.step(&order, "ship", another).await,
        "invalid_transition",
        "shipped",
        &["deliver"],
    );
    refused(&buyer.cancel(&order).await, "not_cancellable", "shipped", &["deliver"]);
    assert_eq!(buyer.step(&order, "deliver", None).await.problem(403), "insufficient_permissions");
    for _ in 0..2 {
        assert_eq!(admin.step(&order, "deliver", None).await.expect(200)["status"], "delivered");
    }
    refused(&buyer.cancel(&order).await, "not_cancellable", "delivered", &[]);

    // The commit may come before or after the shipment.
    let committed = |order: &Value| events_of(order).contains(&"stock_committed".to_owned());
    let mut history =
        events_of(&until("its stock is committed", || buyer.read_order(&order), committed).await);
    let steps = ["placed", "stock_reserved", "payment_succeeded", "shipped", "delivered"];
    history.retain(|event| steps.contains(&event.as_str()));
    assert_eq!(history, steps);
    expect_mails(&buyer, &order, &["order_confirmed", "order_delivered", "order_shipped"]).await;
    assert_eq!(
        (shop.stock(&product).await, shop.provider_records(&order).await.refunded),
        ((3, 3, 0), 0)
    );
}

#[tokio::test]
async fn order_without_an_address_cannot_be_shipped() {
    let shop = Shop::open().await;
    let (admin, buyer, product) =
        (shop.admin().await, shop.customer().await, shop.product(1500, 5).await);
    let order = buyer.order(&product, 1, Some("tok_ok")).await;
    buyer.order_with_status(&order, "confirmed").await;
    let parcel = Some(json!({ "carrier": "Royal Mail", "tracking": "1" }));
    refused(
        &admin.step(&order, "ship", parcel).await,
        "no_shipping_address",
        "confirmed",
        &["cancel"],
    );
}

#[tokio::test]
async fn order_cancelled_before_payment_is_not_charged() {
    let shop = shop_with!(Tables);
    let (buyer, stranger, product) =
        (shop.customer().await, shop.customer().await, shop.product(1500, 5).await);
    let order = buyer.order(&product, 2, None).await;
    buyer.order_at_step(&order, "awaiting_payment").await;
    assert_eq!(stranger.cancel(&order).await.problem(404), "order_not_found");
    assert_eq!(buyer.cancel(&order).await.expect(202)["cancellation"]["by"], "customer");
    let cancelled = buyer.order_with_status(&order, "cancelled").await;
    assert_eq!(
        (&cancelled["reason"], &cancelled["payment_status"]),
        (&json!("cancelled"), &json!("unpaid"))
    );
    buyer.cancel(&order).await.expect(202);
    assert_eq!(buyer.pay(&order, "tok_ok").await.problem(409), "order_closed");
    assert_eq!(
        (shop.stock(&product).await, shop.provider_records(&order).await),
        ((5, 5, 0), ProviderRecords::default())
    );
    expect_mails(&buyer, &order, &["order_cancelled"]).await;
}

#[tokio::test]
async fn order_cancelled_during_payment_keeps_no_money() {
    let shop = shop_with!(Tables);
    let (buyer, product) = (shop.customer().await, shop.product(1500, 20).await);
    for token in [
        "tok_ok",
        "tok_timeout_after_charge",
        "tok_timeout_before_charge",
        "tok_3ds",
        "tok_3ds_abandoned",
        "tok_late_webhook",
    ] {
        let order = buyer.order(&product, 1, Some(token)).await;
        buyer.cancel(&order).await.expect(202);
        let read = || async {
            shop.sweep().await;
            buyer.read_order(&order).await
        };
        until(&format!("{order} with {token} is cancelled"), read, |order| {
            order["status"] == "cancelled"
        })
        .await;
        let provider_records = shop.provider_records(&order).await;
        assert_eq!(provider_records.charged, provider_records.refunded, "{token}");
        assert!(provider_records.charges <= 1, "{token}");
    }
    assert_eq!(shop.stock(&product).await, (20, 20, 0));
}

#[tokio::test]
async fn order_cancelled_after_confirmation_is_refunded_and_restocked() {
    let shop = shop_with!(Tables);
    let (admin, buyer, product) =
        (shop.admin().await, shop.customer().await, shop.product(1500, 5).await);
    let order = buyer.order(&product, 2, Some("tok_ok")).await;
    buyer.order_with_status(&order, "confirmed").await;
    assert_eq!(admin.cancel(&order).await.expect(202)["cancellation"]["by"], "admin");
    let cancelled = buyer.order_with_status(&order, "cancelled").await;
    assert_eq!(cancelled["payment_status"], "refunded");
    assert_eq!(
        (shop.stock(&product).await, shop.provider_records(&order).await),
        ((5, 5, 0), ProviderRecords { charges: 1, charged: 3000, refunded: 3000 })
    );
    expect_mails(&buyer, &order, &["order_cancelled", "order_confirmed", "order_refunded"]).await;
}

#[tokio::test]
async fn three_d_secure_payment_completes_after_the_challenge() {
    let shop = shop_with!(Tables);
    let (buyer, product) = (shop.customer().await, shop.product(1500, 5).await);
    for (token, end) in [
        ("tok_3ds", "confirmed"),
        ("tok_3ds_declined", "pending"),
        ("tok_3ds_abandoned", "cancelled"),
    ] {
        let order = buyer.order(&product, 1, None).await;
        buyer.order_at_step(&order, "awaiting_payment").await;
        let waiting = until(
            "payments knows the order",
            || buyer.pay(&order, token),
            |answer| answer.status != 404,
        )
        .await
        .expect(202);
        assert_eq!(
            (&waiting["status"], &waiting["next_action"]["type"]),
            (&json!("requires_action"), &json!("redirect")),
            "{token}"
        );
        if end == "cancelled" {
            buyer.order_at_step(&order, "paying").await;
            buyer.cancel(&order).await.expect(202);
        }
        let read = || async {
            shop.sweep().await;
            buyer.read_order(&order).await
        };
        let done = |order: &Value| {
            order["status"] == end
                && (end != "pending" || events_of(order).contains(&"payment_declined".to_owned()))
        };
        until(&format!("{order} with {token} is {end}"), read, done).await;
        assert_eq!(
            shop.provider_records(&order).await.charges,
            u32::from(end == "confirmed"),
            "{token}"
        );
    }
}

#[tokio::test]
async fn partial_refunds_are_limited_to_the_capture() {
    let shop = shop_with!(Tables);
    let (admin, buyer, product) =
        (shop.admin().await, shop.customer().await, shop.product(100, 5).await);
    let order = buyer.order(&product, 1, Some("tok_ok")).await;
    buyer.order_with_status(&order, "confirmed").await;
    let payment = buyer.payment_of(&order).await;
    let body =
        json!({ "amount": { "amount": 30, "currency": "USD" }, "reason": "The lid was broken" });
    let path = format!("/payments/{payment}/refunds");
    assert_eq!(
        buyer.post_with_key(&path, "mine", &body).await.problem(403),
        "insufficient_permissions"
    );
    let key = unique("refund");
    let first = admin.post_with_key(&path, &key, &body).await;
    assert_eq!(first.expect(201)["amount"]["amount"], 30);
    let again = admin.post_with_key(&path, &key, &body).await;
    assert_eq!(
        (again.status, &again.text, again.header("idempotent-replayed")),
        (201, &first.text, "true")
    );
    // The same amount under another key is another refund.
    admin.refund(&payment, 30).await.expect(201);
    let too_much = admin.refund(&payment, 41).await;
    assert_eq!(
        (too_much.problem(422).as_str(), &too_much.json()["refundable"]["amount"]),
        ("exceeds_refundable", &json!(40))
    );
    until(
        "the order receives the event",
        || buyer.read_order(&order),
        |order| order["payment_status"] == "partially_refunded",
    )
    .await;
    let rest =
        admin.post_with_key(&path, &unique("refund"), &json!({ "reason": "All of it was" })).await;
    assert_eq!(rest.expect(201)["amount"]["amount"], 40);
    assert_eq!(admin.refund(&payment, 1).await.problem(409), "not_refundable");
    let refunded = until(
        "the order receives the event",
        || buyer.read_order(&order),
        |order| order["payment_status"] == "refunded",
    )
    .await;
    assert_eq!(refunded["status"], "confirmed");
    assert_eq!(
        shop.provider_records(&order).await,
        ProviderRecords { charges: 1, charged: 100, refunded: 100 }
    );
    assert_eq!(
        buyer.get(&format!("/payments/{payment}")).await.expect(200)["refunded"]["amount"],
        100
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_concurrent_refunds_above_the_capture_one_is_accepted() {
    let shop = shop_with!(Tables);
    let (admin, buyer, product) =
        (shop.admin().await, shop.customer().await, shop.product(100, 5).await);
    let order = buyer.order(&product, 1, Some("tok_ok")).await;
    buyer.order_with_status(&order, "confirmed").await;
    let payment = buyer.payment_of(&order).await;
    let refunds: Vec<_> = (0..50)
        .map(|_| {
            let (admin, payment) = (admin.clone(), payment.clone());
            tokio::spawn(async move { admin.refund(&payment, 60).await })
        })
        .collect();
    let mut accepted = 0;
    for refund in refunds {
        let answer = refund.await.unwrap();
        match answer.status {
            201 => accepted += 1,
            409 => assert_eq!(answer.problem(409), "not_refundable"),
            _ => assert_eq!(answer.problem(422), "exceeds_refundable"),
        }
    }
    assert_eq!((accepted, shop.provider_records(&order).await.refunded), (1, 60));
    admin.refund(&payment, 40).await.expect(201);
    assert_eq!(
        shop.provider_records(&order).await,
        ProviderRecords { charges: 1, charged: 100, refunded: 100 }
    );
}

#[tokio::test]
async fn buyer_has_at_most_five_unpaid_orders() {
    let shop = shop_with!(Tables);
    let (buyer, product) = (shop.customer().await, shop.product(100, 20).await);
    let mut orders = Vec::new();
    for _ in 0..5 {
        orders.push(buyer.order(&product, 1, None).await);
    }
    let body = json!({ "items": [{ "product_id": product, "quantity": 1 }], "payment_method": card("tok_ok") });
    let place = || buyer.post_with_key("/orders", "the-sixth", &body);
    let full = until("the sixth is refused", place, |answer| answer.status == 409).await;
    assert_eq!(full.problem(409), "too_many_unpaid_orders");
    buyer.cancel(&orders[0]).await.expect(202);
    let sixth =
        until("there is room for it", place, |answer| answer.status != 409).await.expect(201);
    buyer.order_with_status(sixth["id"].as_str().unwrap(), "confirmed").await;
}

#[tokio::test]
async fn unverified_account_may_have_one_unpaid_order() {
    let shop = shop_with!(Mails);
    let (buyer, product) = (shop.unverified_customer().await, shop.product(100, 20).await);
    let first = buyer.order(&product, 1, None).await;
    let body = json!({ "items": [{ "product_id": product, "quantity": 1 }] });
    let refused = buyer.post_with_key("/orders", "the-second", &body).await;
    assert_eq!(
        (refused.problem(409), refused.json()["maximum"].as_u64()),
        ("too_many_unpaid_orders".to_owned(), Some(1))
    );
    // Paying the first order makes room for the second.
    let pay = || buyer.pay(&first, "tok_ok");
    until("payments knows the order", pay, |answer| ![404, 409].contains(&answer.status))
        .await
        .expect(201);
    buyer.order_with_status(&first, "confirmed").await;
    buyer.post_with_key("/orders", "the-second", &body).await.expect(201);
    assert_eq!(
        buyer.post_with_key("/orders", "the-third", &body).await.problem(409),
        "too_many_unpaid_orders"
    );

    let link = shop.link_mailed_to(&buyer.email, "verify-email").await;
    shop.visitor().post("/users/verify-email", &json!({ "token": link })).await.expect(204);
    // A new token: the gateway caches the old one's context for a minute.
    let verified = shop.log_in(&buyer.email).await;
    verified.post_with_key("/orders", "the-third", &body).await.expect(201);
}

#[tokio::test]
async fn product_changes_and_archiving_reach_orders() {
    let shop = shop_with!(Tables);
    let (admin, buyer, product) =
        (shop.admin().await, shop.customer().await, shop.product(1500, 5).await);
    let path = format!("/products/{product}");
    let read = shop.visitor().get(&path).await;
    let mut wanted = read.expect(200);
    wanted.as_object_mut().unwrap().retain(|name, value| {
        ["name", "category", "sku", "price"].contains(&name.as_str()) && !value.is_null()
    });
    wanted["price"]["amount"] = 1600.into();
    wanted["max_per_order"] = 2.into();
    let put = |etag: String| {
        let (admin, path, body) = (admin.clone(), path.clone(), wanted.to_string());
        async move { admin.send(Method::PUT, &path, Some(body), &[("if-match", &etag)]).await }
    };
    assert_eq!(put("\"99\"".to_owned()).await.problem(412), "precondition_failed");
    let changed = put(read.header("etag").to_owned()).await;
    assert_eq!(changed.expect(200)["price"]["amount"], 1600);
    let order = |quantity: u32, total: i64| {
        let expected = json!({ "amount": total, "currency": "USD" });
        let body = json!({ "items": [{ "product_id": product, "quantity": quantity }], "expected_total": expected });
        let buyer = buyer.clone();
        async move { buyer.post_with_key("/orders", &unique("key"), &body).await }
    };
    let refusal = until(
        "orders knows the price",
        || order(1, 1),
        |answer| answer.json()["total"]["amount"] == 1600,
    )
    .await;
    assert_eq!(refusal.problem(409), "price_changed");
    assert_eq!(order(1, 1500).await.problem(409), "price_changed");
    assert_eq!(order(3, 4800).await.problem(422), "too_many_of_product");
    let id = order(2, 3200).await.expect(201)["id"].as_str().unwrap().to_owned();
    buyer.order_at_step(&id, "awaiting_payment").await;

    admin
        .send(Method::DELETE, &path, None, &[("if-match", changed.header("etag"))])
        .await
        .expect(204);
    assert_eq!(shop.visitor().get(&path).await.problem(404), "product_not_found");
    let refusal = until(
        "orders knows that it is withdrawn",
        || order(1, 1600),
        |answer| answer.status == 422,
    )
    .await;
    assert_eq!(refusal.problem(422), "unknown_product");
    // Existing orders can still be paid.
    until("payments knows the order", || buyer.pay(&id, "tok_ok"), |answer| answer.status != 404)
        .await
        .expect(201);
    buyer.order_with_status(&id, "confirmed").await;
}

#[tokio::test]
async fn notification_is_marked_as_read_by_its_owner() {
    let shop = Shop::open().await;
    let (buyer, stranger, product) =
        (shop.customer().await, shop.customer().await, shop.product(100, 5).await);
    let order = buyer.order(&product, 1, Some("tok_ok")).await;
    expect_mails(&buyer, &order, &["order_confirmed"]).await;
    let newest = || async { buyer.get("/notifications").await.expect(200)["items"][0].clone() };
    let path = format!("/notifications/{}/read", newest().await["id"].as_str().unwrap());
    assert_eq!(
        stranger.send(Method::POST, &path, None, &[]).await.problem(404),
        "notification_not_found"
    );
    assert_eq!(newest().await["read"], false);
    for _ in 0..2 {
        buyer.send(Method::POST, &path, None, &[]).await.expect(204);
    }
    assert_eq!(newest().await["read"], true);
}
