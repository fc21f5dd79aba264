//! `POST /orders` writes one order per request, at the prices of the catalog.

use super::*;

#[tokio::test]
async fn order_is_placed_at_catalog_prices() {
    let fixture = OrdersFixture::new().await;
    let wanted = json!({ "items": [{ "product_id": SPOON, "quantity": 2 }, { "product_id": BOWL, "quantity": 3 }] });
    let placed = fixture.post("k", &wanted).await;
    assert_eq!(
        (placed.status(), placed.operations()),
        (201, vec!["BatchGetItem", "TransactWriteItems"])
    );
    let view = placed.json();
    assert_eq!(placed.header("location"), Some(format!("orders/{}", view["id"].as_str().unwrap())));
    let usd = |amount: i64| json!({ "amount": amount, "currency": "USD" });
    assert_eq!(
        view["totals"],
        json!({ "items": usd(8998), "shipping": usd(0), "tax": usd(0), "total": usd(8998) })
    );
    assert_eq!(
        (&view["status"], &view["step"], &view["payable"]),
        (&json!("pending"), &json!("reserving"), &json!(false))
    );
    assert_eq!(view["expires_at"], "2026-11-21T10:30:00.000Z");
    assert_eq!(fixture.read(view["id"].as_str().unwrap(), USER, None).await.body(), placed.body());
}

#[tokio::test]
async fn order_is_placed_once_under_any_fault() {
    for_each_fault(0..=CALLS, async |InjectedFault { call, fault }| {
        for (later_fault, later_call) in [
            (Fault::LoseRequest, 0),
            (Fault::LoseRequest, 1),
            (Fault::LoseResponse, 1),
            (Fault::Throttle, 1),
            (Fault::Conflict, 1),
        ] {
            let context = format!("{fault:?} at {call}, then {later_fault:?} at {later_call}");
            let fixture = OrdersFixture::new().await;
            fixture.aws.fail(call, fault);
            let first = fixture.post("k", &two_spoons()).await;
            // A read cannot conflict. A conflicting or throttled transaction is retried. There is
            // no third call.
            let is_retried = matches!(fault, Fault::Conflict | Fault::Throttle);
            let fails = call == 0 && fault != Fault::Conflict || call == 1 && !is_retried;
            assert_eq!(first.status(), if fails { 503 } else { 201 }, "{context}");
            let is_written = !fails || (call, fault) == (1, Fault::LoseResponse);
            assert_eq!(fixture.count(), usize::from(is_written), "{context}");

            fixture.aws.heal();
            fixture.clock.advance(Duration::from_secs(7));
            fixture.aws.fail(later_call, later_fault);
            let second = fixture.post("k", &two_spoons()).await;
            fixture.aws.heal();
            fixture.clock.advance(Duration::from_secs(7));
            let (third, fourth) =
                (fixture.post("k", &two_spoons()).await, fixture.post("k", &two_spoons()).await);
            assert_eq!(
                (third.status(), fourth.status(), fixture.count()),
                (201, 201, 1),
                "{context}"
            );
            let bodies: BTreeSet<_> = [&first, &second, &third, &fourth]
                .into_iter()
                .filter(|answer| answer.status() == 201)
                .map(Called::body)
                .collect();
            assert_eq!(bodies.len(), 1, "{context}");
            assert_eq!(fourth.header("idempotent-replayed").as_deref(), Some("true"), "{context}");
            assert_eq!(
                (
                    fixture.order(fourth.json()["id"].as_str().unwrap()).await.version,
                    second.calls.len() <= 3
                ),
                (1, true)
            );
        }
    })
    .await;
}

#[tokio::test]
async fn sdk_retry_after_a_lost_answer_returns_the_stored_order() {
    let fixture = OrdersFixture::with_retries().await;
    fixture.aws.fail(1, Fault::LoseResponse);
    let placed = fixture.post("k", &two_spoons()).await;
    assert_eq!(
        (placed.status(), placed.operations()),
        (201, vec!["BatchGetItem", "TransactWriteItems", "TransactWriteItems"])
    );
    assert_eq!(
        (fixture.post("k", &two_spoons()).await.body(), fixture.count()),
        (placed.body(), 1)
    );
}

#[tokio::test]
async fn concurrent_copies_of_a_request_place_one_order() {
    let mut races = 0;
    for seed in 0..10 {
        let fixture = OrdersFixture::crowded(seed).await;
        let copies = fixture
            .call_all("create-order", vec![events::order("k", &two_spoons()).event(); 16])
            .await;
        assert_eq!(statuses(&copies), BTreeMap::from([(201, 16)]), "seed {seed}");
        let first = copies
            .iter()
            .filter(|answer| answer["headers"].get("idempotent-replayed").is_none())
            .count();
        let bodies: BTreeSet<_> =
            copies.iter().map(|answer| answer["body"].as_str().unwrap()).collect();
        assert_eq!((bodies.len(), first, fixture.count()), (1, 1, 1), "seed {seed}");

        // Two different requests with the same key: one of them wins the key.
        let other = json!({ "items": [{ "product_id": SPOON, "quantity": 3 }] });
        let [one, other] = [two_spoons(), other]
            .map(|body| ("create-order", events::order("another", &body).event()));
        let called = fixture.call_both(one, other).await;
        assert_eq!(
            (statuses(called.ok().as_array().unwrap()), fixture.count()),
            (BTreeMap::from([(201, 1), (422, 1)]), 2),
            "seed {seed}"
        );
        let before_the_first_write = called
            .operations()
            .into_iter()
            .take_while(|operation| *operation != "TransactWriteItems");
        races += usize::from(
            before_the_first_write.filter(|operation| *operation == "BatchGetItem").count() == 2,
        );
    }
    assert!(races > 0, "no seed lets both read before one of them writes: the test is vacuous");
}

#[tokio::test]
async fn idempotency_key_belongs_to_one_request_of_one_buyer() {
    let fixture = OrdersFixture::new().await;
    let first = fixture.post("k", &two_spoons()).await;
    for (field, value) in [
        ("items", json!([{ "product_id": SPOON, "quantity": 3 }])),
        ("items", json!([{ "product_id": BOWL, "quantity": 2 }])),
        ("expected_total", json!({ "amount": 5998, "currency": "USD" })),
        ("payment_method", json!({ "type": "card", "token": "tok_ok" })),
        ("shipping_address", addressed()["shipping_address"].clone()),
    ] {
        let mut other = two_spoons();
        other[field] = value;
        let refused = fixture.post("k", &other).await;
        assert_eq!(
            (refused.status(), refused.code().as_str()),
            (422, "idempotency_key_reused"),
            "{field}"
        );
        assert_eq!(refused.operations(), ["BatchGetItem"]);
    }
    assert_eq!(fixture.count(), 1);
    let strangers = events::order("k", &two_spoons()).caller(STRANGER).event();
    let theirs = fixture.call("create-order", strangers).await;
    assert_eq!((theirs.status(), fixture.count()), (201, 2));
    assert_ne!(theirs.json()["id"], first.json()["id"]);
}

#[tokio::test]
async fn repeated_request_returns_the_original_answer() {
    let fixture = OrdersFixture::new().await;
    let mut request = two_spoons();
    request["expected_total"] = json!({ "amount": 5998, "currency": "USD" });
    let first = fixture.post("k", &request).await;
    let order = first.json()["id"].as_str().unwrap().to_owned();
    let repeated = async |what: &str| {
        fixture.clock.advance(Duration::from_secs(60));
        let again = fixture.post("k", &request).await;
        assert_eq!((again.status(), again.body()), (201, first.body()), "after {what}");
        assert_eq!(again.header("idempotent-replayed").as_deref(), Some("true"));
        assert_eq!(
            (again.header("location"), again.operations()),
            (first.header("location"), vec!["BatchGetItem"])
        );
    };
    repeated("a minute").await;

    fixture.replicate(&product(SPOON, 2, 3999, true)).await;
    repeated("a change of the price").await;
    let refused = fixture.post("new", &request).await;
    assert_eq!((refused.status(), refused.code().as_str()), (409, "price_changed"));
    let (problem, total) = (refused.json(), json!({ "amount": 7998, "currency": "USD" }));
    assert_eq!((&problem["total"], &problem["totals"]["total"]), (&total, &total));
    assert_eq!((&problem["items"][0]["line_total"], &problem["price"]), (&total, &Value::Null));

    fixture.replicate(&product(SPOON, 3, 3999, false)).await;
    repeated("the end of its sale").await;
    let refused = fixture.post("new", &two_spoons()).await;
    assert_eq!((refused.status(), refused.code().as_str()), (422, "unknown_product"));

    let mut renamed = events::order("k", &request).event();
    renamed["requestContext"]["authorizer"]["name"] = "Ada King".into();
    renamed["requestContext"]["authorizer"]["email"] = "ada@king.example".into();
    assert_eq!(fixture.call("create-order", renamed).await.body(), first.body());

    fixture.confirm(&order).await;
    assert_eq!(fixture.order(&order).await.progress.status, Status::Confirmed);
    repeated("the payment").await;
    fixture
        .send_event(
            &order,
            "payment_refunded.v1",
            &json!({ "version": 3, "captured_total": 5998, "refunded_total": 1 }),
        )
        .await;
    fixture.send_event(&order, "stock_released.v1", &json!({ "version": 9 })).await;
    assert!(fixture.order(&order).await.progress.needs_review.is_some());
    repeated("an alarm").await;
    fixture.clock.advance(PAY_WITHIN);
    fixture.resume().await;
    repeated("a retry").await;
    assert_eq!(fixture.count(), 1);
}

#[tokio::test]
async fn rejected_order_writes_nothing_and_frees_its_key() {
    let fixture = OrdersFixture::new().await;
    let unknown = json!({ "items": [{ "product_id": SPOON, "quantity": 1 }, { "product_id": SPOON.replace('a', "c"), "quantity": 1 }] });
    let refused = fixture.post("k", &unknown).await;
    assert_eq!((refused.status(), refused.code().as_str()), (422, "unknown_product"));
    assert_eq!(refused.json()["errors"][0]["pointer"], "/items/1/product_id");
    assert_eq!(fixture.count(), 0);
    assert_eq!(fixture.post("k", &two_spoons()).await.status(), 201);
}
