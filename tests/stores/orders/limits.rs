//! Order limits: the number of a buyer's unpaid orders, their payment deadline, and the quantity of
//! a product in one order.

use super::*;

/// Maximum unpaid orders of a buyer with a verified address.
const MOST: usize = 5;
const UNVERIFIED_PAY_WITHIN: Duration = Duration::from_secs(600);

async fn leave_unpaid(fixture: &OrdersFixture, many: usize) -> Vec<String> {
    let mut unpaid = Vec::new();
    for number in 0..many {
        unpaid.push(fixture.placed(&format!("unpaid-{number}")).await);
    }
    unpaid
}

/// The order request of a buyer whose address is not verified.
fn unverified(who: &str, key: &str) -> Value {
    events::order(key, &two_spoons()).unverified_caller(who).event()
}

/// The number of entries in a buyer's list of unpaid orders.
fn listed(fixture: &OrdersFixture, user: &str) -> usize {
    let pk = format!("UNPAID#{user}");
    let item = fixture.aws.items("orders").into_iter().find(|item| item["pk"]["S"] == pk.as_str());
    item.map_or(0, |item| {
        item.as_object().unwrap().keys().filter(|name| name.starts_with("ord_")).count()
    })
}

/// The same order request from buyer number `who`.
fn of_buyer(who: u32) -> events::Http {
    events::order("k", &two_spoons())
        .caller(&format!("usr_0199c2a8-0000-7000-8000-0000000001{who:02}"))
}

#[tokio::test]
async fn sixth_unpaid_order_is_rejected() {
    let fixture = OrdersFixture::new().await;
    leave_unpaid(&fixture, MOST).await;
    let refused = fixture.post("one-more", &two_spoons()).await;
    assert_eq!(
        (refused.status(), refused.code().as_str(), &refused.json()["maximum"]),
        (409, "too_many_unpaid_orders", &json!(5))
    );
    assert_eq!(refused.json()["detail"], "Pay or cancel one of them, then repeat the request.");
    assert_eq!(
        (refused.operations(), fixture.count()),
        (vec!["BatchGetItem", "BatchGetItem"], MOST),
        "the second reads the listed orders"
    );

    // Existing orders are answered again, and other buyers are not affected.
    let again = fixture.post("unpaid-0", &two_spoons()).await;
    assert_eq!(
        (again.status(), again.header("idempotent-replayed").as_deref()),
        (201, Some("true"))
    );
    let strangers = events::order("k", &two_spoons()).caller(STRANGER).event();
    assert_eq!(fixture.call("create-order", strangers).await.status(), 201);
    // Validation errors take precedence over the limit.
    let wrong = json!({ "items": [{ "product_id": SPOON, "quantity": 2 }], "expected_total": { "amount": 1, "currency": "USD" } });
    assert_eq!(fixture.post("wrong", &wrong).await.code(), "price_changed");
}

#[tokio::test]
async fn unverified_account_has_one_unpaid_order_for_ten_minutes() {
    let fixture = OrdersFixture::new().await;
    let first = fixture.call("create-order", unverified(USER, "one")).await;
    assert_eq!(
        (first.status(), &first.json()["expires_at"]),
        (201, &json!("2026-11-21T10:10:00.000Z"))
    );
    let mut without = unverified(USER, "two");
    without["requestContext"]["authorizer"].as_object_mut().unwrap().remove("email_verified");
    for event in [unverified(USER, "two"), without] {
        let refused = fixture.call("create-order", event).await;
        assert_eq!(
            (refused.status(), refused.code().as_str(), &refused.json()["maximum"]),
            (409, "too_many_unpaid_orders", &json!(1))
        );
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(
            detail.ends_with("verify your e-mail address to have up to 5 unpaid orders."),
            "{detail}"
        );
    }
    let again = fixture.call("create-order", unverified(USER, "one")).await;
    assert_eq!((again.status(), again.body()), (201, first.body()));
    // After verification the same request succeeds, and four more unpaid orders are allowed.
    assert_eq!(
        fixture.post("two", &two_spoons()).await.json()["expires_at"],
        "2026-11-21T10:30:00.000Z"
    );

    let order = first.json()["id"].as_str().unwrap().to_owned();
    fixture.send_event(&order, "stock_reserved.v1", &json!({ "version": 1 })).await;
    fixture.clock.advance(UNVERIFIED_PAY_WITHIN);
    fixture.resume().await;
    assert_eq!(fixture.order(&order).await.progress.reason.as_deref(), Some("not_paid_in_time"));
}

#[tokio::test]
async fn payment_commands_carry_the_deadline() {
    let fixture = OrdersFixture::new().await;
    let mut stream = fixture.stream();
    for (event, deadline) in [
        (unverified(STRANGER, "k"), "2026-11-21T10:10:00.000Z"),
        (events::order("k", &two_spoons()).event(), "2026-11-21T10:30:00.000Z"),
    ] {
        let order =
            fixture.call("create-order", event).await.json()["id"].as_str().unwrap().to_owned();
        fixture.send_event(&order, "stock_reserved.v1", &json!({ "version": 1 })).await;
        stream.publish().await;
        let opened = fixture.aws.queues().take("open-payment", usize::MAX);
        assert_eq!(
            opened
                .iter()
                .map(|message| message.json()["data"]["expires_at"].clone())
                .collect::<Vec<_>>(),
            [deadline]
        );
    }
}

#[tokio::test]
async fn paid_order_frees_the_limit_and_its_key_stays_valid() {
    for way in [
        "paid before its stock is held",
        "paid",
        "unknown",
        "cancelled",
        "failed",
        "rejected",
        "expired",
    ] {
        let fixture = OrdersFixture::new().await;
        let unpaid = leave_unpaid(&fixture, MOST).await;
        for order in unpaid.iter().skip(1) {
            // A started payment may wait for the buyer's bank: the order still counts.
            fixture.send_event(order, "stock_reserved.v1", &json!({ "version": 1 })).await;
            fixture
                .send_event(
                    order,
                    "payment_started.v1",
                    &json!({ "version": 1, "payment_id": "pay_1" }),
                )
                .await;
        }
        assert_eq!(fixture.post("next", &two_spoons()).await.code(), "too_many_unpaid_orders");
        let order = &unpaid[2];
        match way {
            "paid" => fixture.confirm(order).await,
            // An unknown outcome waits for the shop, so the order does not count.
            "unknown" => assert!(
                fixture
                    .send_event(order, "payment_unknown.v1", &json!({ "version": 2 }))
                    .await
                    .is_done()
            ),
            "cancelled" => {
                assert_eq!(fixture.step(USER, "cancel", order, &Value::Null).await.status(), 202)
            }
            "failed" => assert!(
                fixture
                    .send_event(order, "payment_closed.v1", &json!({ "version": 2 }))
                    .await
                    .is_done()
            ),
            "rejected" => assert!(
                fixture
                    .send_event(&unpaid[0], "stock_rejected.v1", &json!({ "version": 1 }))
                    .await
                    .is_done()
            ),
            // Expired orders can no longer be paid, although no scheduled check has run yet.
            "expired" => fixture.clock.advance(PAY_WITHIN),
            _ => {
                let captured = json!({ "version": 1, "captured_total": 5998 });
                assert!(
                    fixture
                        .send_event(&unpaid[0], "payment_succeeded.v1", &captured)
                        .await
                        .is_done()
                );
            }
        }
        assert_eq!(listed(&fixture, USER), MOST, "{way}: only the next order changes the list");
        let next = fixture.post("next", &two_spoons()).await;
        let reads = if way == "expired" { 1 } else { 2 };
        let calls = [vec!["BatchGetItem"; reads], vec!["TransactWriteItems"]].concat();
        assert_eq!((next.status(), next.operations()), (201, calls), "{way}");
        // An order whose payment has no outcome stays listed. It counts again if the payment is
        // declined.
        let stays = usize::from(way == "unknown");
        assert_eq!(
            listed(&fixture, USER),
            if way == "expired" { 1 } else { MOST + stays },
            "{way}"
        );
        let code = if way == "expired" { "" } else { "too_many_unpaid_orders" };
        assert_eq!(fixture.post("one-more", &two_spoons()).await.code(), code, "{way}");
    }
}

/// The function of these payments was killed: the orders wait for the shop.
#[tokio::test]
async fn orders_with_a_stuck_payment_do_not_count_and_those_at_the_bank_do() {
    for (requires_action, waits_for_us) in [(false, true), (true, false)] {
        let fixture = OrdersFixture::new().await;
        let unpaid = leave_unpaid(&fixture, MOST).await;
        for order in &unpaid {
            fixture.send_event(order, "stock_reserved.v1", &json!({ "version": 1 })).await;
            let started =
                json!({ "version": 2, "payment_id": "pay_1", "requires_action": requires_action });
            assert!(fixture.send_event(order, "payment_started.v1", &started).await.is_done());
        }
        assert_eq!(
            fixture.post("next", &two_spoons()).await.code(),
            "too_many_unpaid_orders",
            "the provider call may still be running"
        );
        fixture.clock.advance(Duration::from_secs(31));
        let next = fixture.post("next", &two_spoons()).await;
        assert_eq!(next.status(), if waits_for_us { 201 } else { 409 }, "{:?}", next.answer);

        // After the decline the buyer can pay again, so the orders count again.
        for order in &unpaid {
            fixture
                .send_event(
                    order,
                    "payment_declined.v1",
                    &json!({ "version": 3, "payment_id": "pay_1" }),
                )
                .await;
        }
        assert_eq!(fixture.post("one-more", &two_spoons()).await.code(), "too_many_unpaid_orders");
    }
}

/// A buyer who pays each order at once reads a full list again and again, and it does not grow.
#[tokio::test]
async fn list_of_a_buyer_who_pays_does_not_grow() {
    let fixture = OrdersFixture::new().await;
    for number in 0..3 * MOST {
        let order = fixture.placed(&format!("paid-{number}")).await;
        fixture.confirm(&order).await;
        assert!(listed(&fixture, USER) <= MOST, "{number}");
    }
    fixture.clock.advance(PAY_WITHIN);
    assert_eq!(fixture.post("later", &two_spoons()).await.status(), 201);
    assert_eq!(listed(&fixture, USER), 1);
}

#[tokio::test]
async fn unreadable_order_counts_and_failed_read_rejects_the_order() {
    let fixture = OrdersFixture::new().await;
    let unpaid = leave_unpaid(&fixture, MOST).await;
    for order in &unpaid {
        assert_eq!(fixture.step(USER, "cancel", order, &Value::Null).await.status(), 202);
    }
    fixture.aws.fail(1, Fault::LoseRequest);
    assert_eq!(fixture.post("next", &two_spoons()).await.status(), 503);
    fixture.aws.heal();
    for order in &unpaid {
        fixture.set(order, "updated_at", "yesterday").await;
    }
    assert_eq!(fixture.post("next", &two_spoons()).await.code(), "too_many_unpaid_orders");
}

/// Half of the network's limit is left for others, so the charge of the first order stays.
#[tokio::test]
async fn failed_refund_of_the_networks_limit_does_not_fail_the_payment() {
    for fault in [Fault::Throttle, Fault::LoseRequest] {
        let fixture = OrdersFixture::new().await.with_network_limit(2).await;
        let orders = leave_unpaid(&fixture, 2).await;
        assert_eq!(fixture.item(&orders[0]).get("network"), None);
        assert!(fixture.item(&orders[1])["network"].is_object());
        fixture.send_event(&orders[1], "stock_reserved.v1", &json!({ "version": 1 })).await;
        // The calls are the read, the write and the refund.
        fixture.aws.fail(2, fault);
        let capture = Capture::start();
        let paid = json!({ "version": 2, "payment_id": "pay_1", "captured_total": 5998 });
        assert!(fixture.send_event(&orders[1], "payment_succeeded.v1", &paid).await.is_done());
        assert_eq!(capture.total(&orders::metrics::LIMIT_RELEASE_FAILED), 1, "{fault:?}");
        assert_eq!(fixture.order(&orders[1]).await.progress.status, Status::Confirmed);
    }
}

#[tokio::test]
async fn twenty_concurrent_orders_are_written_up_to_the_limit() {
    for seed in 0..10 {
        for (verified, most) in [(true, MOST), (false, 1)] {
            let fixture = OrdersFixture::crowded(seed).await;
            let event = |number: usize| {
                let key = format!("k-{number}");
                if verified {
                    events::order(&key, &two_spoons()).event()
                } else {
                    unverified(USER, &key)
                }
            };
            let answers = fixture.call_all("create-order", (0..20).map(event)).await;
            assert_eq!(
                statuses(&answers),
                BTreeMap::from([(201, most), (409, 20 - most)]),
                "seed {seed}"
            );
            assert_eq!((fixture.count(), listed(&fixture, USER)), (most, most), "seed {seed}");
        }
    }
}

#[tokio::test]
async fn copies_of_the_last_allowed_request_get_one_answer() {
    for seed in 0..10 {
        let fixture = OrdersFixture::crowded(seed).await;
        leave_unpaid(&fixture, MOST - 1).await;
        let copies = fixture
            .call_all("create-order", vec![events::order("k", &two_spoons()).event(); 8])
            .await;
        assert_eq!(statuses(&copies), BTreeMap::from([(201, 8)]), "seed {seed}");
        let bodies: BTreeSet<_> =
            copies.iter().map(|answer| answer["body"].as_str().unwrap()).collect();
        assert_eq!((bodies.len(), fixture.count()), (1, MOST), "seed {seed}");
    }
}

#[tokio::test]
async fn conflicting_transaction_is_retried_then_answered_503() {
    let fixture = OrdersFixture::new().await;
    for call in 1..=4 {
        fixture.aws.fail(call, Fault::Conflict);
    }
    let placed = fixture.post("k", &two_spoons()).await;
    assert_eq!((placed.status(), placed.operations().len()), (201, 6));
    for call in 1..=5 {
        fixture.aws.fail(call, Fault::Conflict);
    }
    assert_eq!(fixture.post("other", &two_spoons()).await.status(), 503);
    assert_eq!((fixture.count(), listed(&fixture, USER)), (1, 1));
}

#[tokio::test]
async fn network_limit_covers_all_buyers() {
    let fixture = OrdersFixture::new().await.with_network_limit(3).await;
    let order = async |who: u32, address: &str| {
        fixture.call("create-order", of_buyer(who).source_ip(address).event()).await
    };
    let mut orders = Vec::new();
    // One provider customer controls a /64 of IPv6 addresses.
    for (who, address) in
        [(1, "2001:db8:1:2::1"), (2, "2001:db8:1:2::2"), (3, "2001:db8:1:2:ffff::3")]
    {
        let placed = order(who, address).await;
        assert_eq!(placed.status(), 201, "{:?}", placed.answer);
        orders.push(placed.json()["id"].as_str().unwrap().to_owned());
    }
    for who in [4, 5] {
        let refused = order(who, "2001:db8:1:2::4").await;
        assert_eq!((refused.status(), refused.code().as_str()), (429, "too_many_requests"));
        assert_eq!(
            (refused.header("retry-after").as_deref(), refused.operations()),
            (Some("600"), vec!["BatchGetItem"])
        );
    }
    assert_eq!(
        order(1, "2001:db8:1:2::1").await.header("idempotent-replayed").as_deref(),
        Some("true"),
        "a replay does not count"
    );
    assert_eq!(order(6, "2001:db8:1:3::1").await.status(), 201, "another network");

    // A cancelled order stays charged to the network limit; a paid one does not.
    let owner = "usr_0199c2a8-0000-7000-8000-000000000101";
    assert_eq!(fixture.step(owner, "cancel", &orders[0], &Value::Null).await.status(), 202);
    assert_eq!(order(4, "2001:db8:1:2::4").await.status(), 429);
    fixture.confirm(&orders[1]).await;
    assert_eq!(order(4, "2001:db8:1:2::4").await.status(), 201);
    assert_eq!(order(5, "2001:db8:1:2::4").await.status(), 429);
    fixture.clock.advance(Duration::from_secs(600));
    assert_eq!(order(5, "2001:db8:1:2::4").await.status(), 201);

    let stored: String = fixture.aws.items("orders").iter().map(Value::to_string).collect();
    assert!(!stored.contains("2001:db8"), "no address is stored");
}

#[tokio::test]
async fn only_written_orders_count_against_the_network_limit() {
    let fixture = OrdersFixture::new().await.with_network_limit(2).await;
    let arrival = || {
        let networks = fixture
            .aws
            .items("orders")
            .into_iter()
            .filter(|item| item["pk"]["S"].as_str().unwrap().starts_with("NETWORK#"));
        networks.map(|item| item["tat"]["N"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let wrong = json!({ "items": [{ "product_id": SPOON, "quantity": 2 }], "expected_total": { "amount": 1, "currency": "USD" } });
    assert_eq!(fixture.post("k", &wrong).await.code(), "price_changed");
    assert!(arrival().is_empty());
    assert_eq!(fixture.call("create-order", unverified(USER, "k")).await.status(), 201);
    let charged = arrival();
    for (event, status) in [(unverified(USER, "k"), 201), (unverified(USER, "other"), 409)] {
        assert_eq!(fixture.call("create-order", event).await.status(), status);
        assert_eq!(arrival(), charged);
    }
}

#[tokio::test]
async fn concurrent_orders_of_one_network_use_exactly_its_limit() {
    for seed in 0..10 {
        let fixture = OrdersFixture::crowded(seed).await.with_network_limit(7).await;
        let answers =
            fixture.call_all("create-order", (0..20).map(|who| of_buyer(who).event())).await;
        assert_eq!(statuses(&answers), BTreeMap::from([(201, 7), (429, 13)]), "seed {seed}");
    }
}

#[tokio::test]
async fn unpaid_order_lists_are_not_published_and_expire() {
    let fixture = OrdersFixture::new().await;
    let order = fixture.placed("k").await;
    let unpaid_lists: Vec<_> = fixture
        .aws
        .items("orders")
        .into_iter()
        .filter(|item| item["listed_at"].is_null())
        .collect();
    let mut kinds: Vec<_> = unpaid_lists
        .iter()
        .map(|item| item["pk"]["S"].as_str().unwrap().split('#').next().unwrap())
        .collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["NETWORK", "UNPAID"]);
    for item in &unpaid_lists {
        let ttl = item["ttl"]["N"].as_str().unwrap().parse::<i64>().unwrap();
        assert!(ttl > fixture.clock.now().plus(Duration::from_secs(3600)).seconds(), "{item}");
        for attribute in ["user_id", "listed_at", "status_shard", "check_shard", "review_shard"] {
            assert!(item[attribute].is_null(), "no index has it: {item}");
        }
    }
    assert!(fixture.item(&order)["ttl"].is_null(), "an order stays");
    let mut stream = fixture.stream();
    stream.publish().await;
    assert_eq!(fixture.sent(), 1, "to reserve the stock");
    assert_eq!(ids(&fixture.page("", USER).await), [order]);
}

#[tokio::test]
async fn product_limit_overrides_the_shops_default() {
    let fixture = OrdersFixture::new().await;
    let mut few = product(SPOON, 2, 2999, true);
    few["max_per_order"] = 3.into();
    assert!(fixture.replicate(&few).await);
    let spoons = |quantity: u32| json!({ "product_id": SPOON, "quantity": quantity });
    let bowls = |quantity: u32| json!({ "product_id": BOWL, "quantity": quantity });
    for (items, pointer, maximum) in [
        (json!([spoons(4)]), "/items/0/quantity", 3),
        (json!([bowls(20), spoons(2), spoons(2)]), "/items/1/quantity", 3),
        (json!([spoons(1), bowls(21)]), "/items/1/quantity", 20),
        (json!([bowls(999)]), "/items/0/quantity", 20),
    ] {
        let refused = fixture.post("k", &json!({ "items": items })).await;
        let problem = refused.json();
        assert_eq!(
            (refused.status(), &problem["errors"][0]["code"]),
            (422, &json!("too_many_of_product"))
        );
        assert_eq!(
            (&problem["errors"][0]["pointer"], &problem["maximum"]),
            (&json!(pointer), &json!(maximum))
        );
    }
    let request = json!({ "items": [bowls(20), spoons(1), spoons(2)] });
    let placed = fixture.post("k", &request).await;
    assert_eq!((placed.status(), fixture.count()), (201, 1));

    few["max_per_order"] = 1.into();
    few["version"] = 3.into();
    assert!(fixture.replicate(&few).await);
    assert_eq!(
        fixture.post("k", &request).await.body(),
        placed.body(),
        "existing orders are answered again"
    );
    assert_eq!(fixture.post("new", &request).await.status(), 422);

    // A product may also allow more than the shop's default.
    few["max_per_order"] = 999.into();
    few["version"] = 4.into();
    assert!(fixture.replicate(&few).await);
    assert_eq!(fixture.post("many", &json!({ "items": [spoons(999)] })).await.status(), 201);
}
