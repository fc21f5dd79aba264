//! Buyer data of a changed or deleted account: updated at once if no command is pending, otherwise
//! with the write that settles the order.

mod faults;

use orders::domain::buyer::{Buyer, BuyerChange, Contact};

use super::*;

/// Ada's personal data in her orders. No other attribute contains these texts.
const PLANTED: [&str; 6] = [
    "Ada Lovelace",
    "ada@example.com",
    "12 St James's Square",
    "SW1Y 4JH",
    "tok_insufficient_funds",
    "Augusta",
];

fn changed(version: u64) -> Value {
    let data = json!({
        "user_id": USER,
        "version": version,
        "name": format!("Augusta King {version}"),
        "email": format!("augusta-{version}@example.com"),
    });
    events::message("update-buyer", "user_changed.v1", &data)
}

fn deleted() -> Value {
    events::message("update-buyer", "user_deleted.v1", &json!({ "user_id": USER, "version": 9 }))
}

fn contact(version: u64) -> Contact {
    Contact {
        name: format!("Augusta King {version}"),
        email: format!("augusta-{version}@example.com"),
        version,
    }
}

fn ada() -> Buyer {
    Buyer::Known(Contact {
        name: "Ada Lovelace".to_owned(),
        email: "ada@example.com".to_owned(),
        version: 0,
    })
}

fn writes(called: &Called) -> usize {
    called.operations().iter().filter(|operation| **operation == "PutItem").count()
}

impl OrdersFixture {
    async fn deliver_update(&self, event: Value) -> Called {
        self.call("update-buyer", event).await
    }

    /// Places an order with every kind of personal data.
    async fn placed_in_full(&self, key: &str) -> String {
        self.stored(key, &events::order_request(SPOON, 2, Some("tok_insufficient_funds"))).await
    }

    /// Like [`OrdersFixture::placed_in_full`], paid and with its stock committed.
    async fn settled_in_full(&self, key: &str) -> String {
        let order = self.placed_in_full(key).await;
        self.settle(&order).await;
        order
    }

    /// The texts of [`PLANTED`] that are still stored.
    fn left(&self) -> Vec<&'static str> {
        let stored: String = self.aws.items("orders").iter().map(Value::to_string).collect();
        PLANTED.into_iter().filter(|planted| stored.contains(planted)).collect()
    }

    async fn ship_order(&self, order: &str) {
        assert_eq!(self.step(ADMIN, "ship", order, &parcel()).await.status(), 200);
    }

    async fn deliver_order(&self, order: &str) {
        assert_eq!(self.step(ADMIN, "deliver", order, &Value::Null).await.status(), 200);
    }
}

#[tokio::test]
async fn buyer_update_reaches_every_order_once() {
    let fixture = OrdersFixture::new().await;
    let (mut settled, mut open) = (Vec::new(), Vec::new());
    for number in 0..200 {
        let key = format!("k-{number}");
        // Some orders are placed in the same millisecond.
        fixture.clock.advance(Duration::from_millis(number % 2));
        match number % 3 {
            0 => settled.push(fixture.settled_in_full(&key).await),
            _ => open.push(fixture.placed_in_full(&key).await),
        }
    }
    let theirs = events::order("k", &two_spoons()).caller(STRANGER).event();
    let theirs =
        fixture.call("create-order", theirs).await.json()["id"].as_str().unwrap().to_owned();
    let theirs_before = fixture.item(&theirs);

    let first = fixture.deliver_update(changed(3)).await;
    assert!(first.is_done());
    let reads = |called: &Called, operation: &str| {
        called.operations().iter().filter(|made| **made == operation).count()
    };
    assert_eq!(
        (reads(&first, "Query"), reads(&first, "BatchGetItem"), writes(&first)),
        (3, 2, 200)
    );
    assert_eq!(first.operations().len(), 205);
    for order in &settled {
        let order = fixture.order(order).await;
        assert_eq!(
            (&order.customer.buyer, &order.customer.buyer_change),
            (&Buyer::Known(contact(3)), &None)
        );
        assert!(
            order.customer.shipping_address.is_some() && order.customer.payment_method.is_some()
        );
    }
    for order in &open {
        let order = fixture.order(order).await;
        assert_eq!(
            (&order.customer.buyer, &order.customer.buyer_change),
            (&ada(), &Some(BuyerChange::Changed(contact(3))))
        );
    }
    let stored = fixture.aws.items("orders");
    for old in [changed(3), changed(2)] {
        let again = fixture.deliver_update(old).await;
        assert_eq!((again.is_done(), again.operations().len()), (true, 5));
    }
    assert_eq!(fixture.aws.items("orders"), stored);

    let gone = fixture.deliver_update(deleted()).await;
    assert_eq!((gone.is_done(), writes(&gone)), (true, 200));
    for late in [deleted(), changed(11)] {
        let again = fixture.deliver_update(late).await;
        assert_eq!((again.is_done(), writes(&again)), (true, 0));
    }
    for order in &settled {
        let order = fixture.order(order).await;
        assert_eq!(
            (&order.customer.buyer, &order.customer.payment_method, order.version),
            (&Buyer::Redacted, &None, 6)
        );
        assert!(order.customer.shipping_address.is_some(), "the order is not delivered yet");
    }
    for order in &open {
        fixture.confirm(order).await;
        assert_eq!(fixture.order(order).await.customer.buyer, ada(), "not yet");
        assert!(
            fixture
                .send_event(order, "stock_committed.v1", &json!({ "version": 2 }))
                .await
                .is_done()
        );
        assert_eq!(fixture.order(order).await.customer.buyer, Buyer::Redacted);
    }
    assert_eq!(fixture.item(&theirs), theirs_before);
    // The other customer of these tests has Ada's name too. Only her delivery address is left.
    fixture
        .deliver_update(events::message(
            "update-buyer",
            "user_deleted.v1",
            &json!({ "user_id": STRANGER, "version": 2 }),
        ))
        .await;
    fixture.send_event(&theirs, "stock_rejected.v1", &json!({ "version": 1 })).await;
    assert_eq!(fixture.left(), ["Ada Lovelace", "12 St James's Square", "SW1Y 4JH"]);
    for order in settled.iter().chain(&open) {
        fixture.ship_order(order).await;
        assert!(fixture.order(order).await.customer.shipping_address.is_some());
        fixture.deliver_order(order).await;
    }
    assert_eq!(fixture.left(), [""; 0]);
}

#[tokio::test]
async fn deleted_buyer_is_redacted_when_the_order_settles() {
    type Facts = &'static [(&'static str, i64, i64)];
    let ends: [(Facts, Status); 3] = [
        (&[("payment_closed.v1", 0, 0), ("stock_released.v1", 0, 0)], Status::Failed),
        (&[("payment_succeeded.v1", 5998, 0), ("stock_committed.v1", 0, 0)], Status::Confirmed),
        (
            &[
                ("payment_declined.v1", 0, 0),
                ("payment_closed.v1", 0, 0),
                ("stock_released.v1", 0, 0),
            ],
            Status::Failed,
        ),
    ];
    for (facts, end) in ends {
        let fixture = OrdersFixture::new().await;
        let order = fixture.placed_in_full("k").await;
        for kind in ["stock_reserved.v1", "payment_started.v1"] {
            assert!(
                fixture
                    .send_event(&order, kind, &json!({ "version": 1, "payment_id": "pay_1" }))
                    .await
                    .is_done()
            );
        }
        let noted = fixture.deliver_update(deleted()).await;
        assert_eq!(
            (noted.is_done(), noted.operations()),
            (true, vec!["Query", "BatchGetItem", "PutItem", "GetItem"])
        );
        assert_eq!(fixture.left().len(), 5);
        for (number, (kind, captured, refunded)) in facts.iter().enumerate() {
            assert_eq!(
                fixture.order(&order).await.customer.buyer,
                ada(),
                "{kind} is still to come"
            );
            let more = json!({
                "version": number + 2,
                "payment_id": "pay_1",
                "captured_total": captured,
                "refunded_total": refunded,
                "failure_reason": "card_declined",
            });
            let called = fixture.send_event(&order, kind, &more).await;
            assert_eq!((called.is_done(), writes(&called)), (true, 1), "in one write");
        }
        let settled = fixture.order(&order).await;
        assert_eq!(
            (&settled.progress.status, &settled.customer.buyer, settled.schedule.next_check_at),
            (&end, &Buyer::Redacted, None)
        );
        let address = if end == Status::Confirmed {
            vec!["Ada Lovelace", "12 St James's Square", "SW1Y 4JH"]
        } else {
            vec![]
        };
        assert_eq!(fixture.left(), address);

        let read = fixture.read(&order, ADMIN, None).await;
        assert_eq!(
            (read.status(), &read.json()["buyer"], &read.json()["user_id"]),
            (200, &Value::Null, &json!(USER))
        );
        assert_eq!(read.json()["shipping_address"].is_null(), end != Status::Confirmed);
        assert_eq!(ids(&fixture.page(&format!("user_id={USER}"), ADMIN).await), [order]);
    }
}

#[tokio::test]
async fn stale_index_entry_of_a_buyer_is_ignored() {
    let mut too_late_for_the_index = 0;
    for seed in 0..20 {
        let fixture = OrdersFixture::crowded(seed).await;
        let order = fixture.settled_in_full("k").await;
        let table = fixture.aws.crowded(seed + 7).table("orders");
        let key = format!("ORDER#{order}");
        let give_away: Lambda = Arc::new(move |_| {
            let (table, key) = (table.clone(), key.clone());
            Box::pin(async move {
                let change = Expression::new("SET #user_id = :stranger, #version = :next")
                    .value("stranger", STRANGER)
                    .value("next", 40);
                table.update(Key::new(key), change, Expression::version(4)).await.unwrap();
                Ok(Value::Null)
            })
        });
        let called = fixture
            .aws
            .call_both((fixture.lambda("update-buyer"), deleted()), (give_away, Value::Null))
            .await;
        assert_eq!(called.ok()[0], json!({ "batchItemFailures": [] }), "seed {seed}");
        let current = fixture.order(&order).await;
        if current.placed.user_id.to_string() == STRANGER {
            assert_eq!((current.customer.buyer, current.version), (ada(), 40), "seed {seed}");
            too_late_for_the_index += called
                .operations()
                .iter()
                .filter(|operation| **operation == "BatchGetItem")
                .count();
        }
    }
    assert!(
        too_late_for_the_index > 0,
        "no seed changes the order's buyer after the index query: the test is vacuous"
    );
}

/// Restores the buyer attributes of an earlier release.
fn named() -> Expression {
    Expression::new("SET #buyer = :buyer")
        .value("buyer", json!({ "name": "Ada Lovelace", "email": "ada@example.com" }))
}

#[tokio::test]
async fn contact_without_a_version_is_read_and_updated() {
    let fixture = OrdersFixture::new().await;
    let order = fixture.settled_in_full("k").await;
    let item = fixture.item(&order);
    assert!(item.get("buyer_change").is_none(), "{item}");
    assert!(item["buyer"]["M"].get("version").is_none(), "{item}");
    let view = fixture.read(&order, USER, None).await.json();
    assert_eq!(view["buyer"], json!({ "name": "Ada Lovelace", "email": "ada@example.com" }));
    assert!(fixture.deliver_update(changed(1)).await.is_done());
    assert_eq!(fixture.order(&order).await.customer.buyer, Buyer::Known(contact(1)));
    let view = fixture.read(&order, USER, None).await.json();
    assert_eq!(
        view["buyer"],
        json!({ "name": "Augusta King 1", "email": "augusta-1@example.com" })
    );
}

#[tokio::test]
async fn repeated_request_shows_the_current_buyer_only() {
    let fixture = OrdersFixture::new().await;
    let first = fixture.post("k", &two_spoons()).await.json();
    let order = first["id"].as_str().unwrap();
    fixture.settle(order).await;
    fixture.deliver_update(changed(2)).await;
    let mut again = fixture.post("k", &two_spoons()).await.json();
    assert_eq!(again["buyer"]["name"], "Augusta King 2");
    again["buyer"] = first["buyer"].clone();
    assert_eq!(again, first);
}

#[tokio::test]
async fn malformed_buyer_update_is_rejected() {
    let fixture = OrdersFixture::new().await;
    fixture.placed("k").await;
    let user = json!({ "user_id": USER });
    for (kind, data) in [
        ("user_deleted.v2", user.clone()),
        ("user_vanished.v1", user.clone()),
        ("user_changed.v1", user),
        (
            "user_changed.v1",
            json!({ "user_id": USER, "version": "1", "name": "Ada", "email": "ada@example.com" }),
        ),
        ("user_deleted.v1", json!({ "user_id": "ada", "version": 1 })),
        ("user_deleted.v1", json!({})),
    ] {
        let called = fixture.deliver_update(events::message("update-buyer", kind, &data)).await;
        assert_eq!((called.rejected(), called.calls.len()), (1, 1), "{kind} {data}");
    }
}

#[tokio::test]
async fn update_of_a_user_without_orders_costs_one_query_and_a_deletion_one_more_read() {
    let fixture = OrdersFixture::new().await;
    let called = fixture.deliver_update(changed(3)).await;
    assert_eq!((called.is_done(), called.operations()), (true, vec!["Query"]));
    let called = fixture.deliver_update(deleted()).await;
    assert_eq!((called.is_done(), called.operations()), (true, vec!["Query", "GetItem"]));
}

#[tokio::test]
async fn redaction_sends_no_mail_and_keeps_recipients() {
    let fixture = OrdersFixture::new().await;
    let mut stream = fixture.stream();
    let (open, settled) =
        (fixture.placed_in_full("open").await, fixture.settled_in_full("settled").await);
    fixture.send_event(&open, "stock_reserved.v1", &json!({ "version": 1 })).await;
    stream.publish().await;
    let before = fixture.sent();
    for event in [changed(3), changed(4), deleted(), deleted()] {
        fixture.deliver_update(event).await;
        stream.publish().await;
        assert_eq!(fixture.sent(), before);
    }
    let mails = || {
        fixture
            .aws
            .queues()
            .take("send-notification", 100)
            .iter()
            .map(|message| message.json()["data"].clone())
            .collect::<Vec<_>>()
    };
    mails();
    fixture.send_event(&open, "payment_closed.v1", &json!({ "version": 2 })).await;
    fixture.send_event(&open, "stock_released.v1", &json!({ "version": 2 })).await;
    fixture.ship_order(&settled).await;
    fixture.deliver_order(&settled).await;
    stream.publish().await;
    let called: Vec<_> = mails()
        .iter()
        .map(|mail| {
            [mail["template"].clone(), mail["email"].clone(), mail["data"]["order_id"].clone()]
        })
        .collect();
    assert_eq!(called, [[json!("order_failed"), json!("ada@example.com"), json!(open)]]);
    assert_eq!(
        (fixture.left(), fixture.aws.queues().waiting("publish-order-dead-letter").len()),
        (vec![], 0)
    );
}
