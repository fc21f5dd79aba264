//! Orders that need review: flagged ones with their reasons, and stuck ones.

use super::*;

/// The ids of the orders that match a query.
async fn listed(fixture: &OrdersFixture, query: &str) -> BTreeSet<String> {
    ids(&fixture.page(query, ADMIN).await).into_iter().collect()
}

fn set(orders: &[&String]) -> BTreeSet<String> {
    orders.iter().map(|order| (*order).clone()).collect()
}

#[tokio::test]
async fn review_list_has_exactly_the_flagged_orders() {
    let fixture = OrdersFixture::new().await;
    let (plain, disputed, failing) = (
        fixture.ready("plain").await,
        fixture.ready("disputed").await,
        fixture.ready("failing").await,
    );
    let stuck = fixture.stored("stuck", &two_spoons()).await;
    assert_eq!(listed(&fixture, "needs_review=true").await, set(&[]));
    let money = |version: u64, refunded: i64| json!({ "version": version, "captured_total": 5998, "refunded_total": refunded });
    let open_dispute =
        |version: u64| json!({ "version": version, "captured_total": 5998, "dispute": "open" });
    fixture.send_event(&disputed, "payment_disputed.v1", &open_dispute(3)).await;
    fixture.step(USER, "cancel", &failing, &Value::Null).await;
    fixture.send_event(&failing, "payment_refund_failed.v1", &money(3, 0)).await;
    fixture.send_event(&stuck, "payment_succeeded.v1", &money(1, 0)).await;
    for check in 0..2 {
        assert_eq!(listed(&fixture, "stuck=true").await, set(&[]), "after {check} checks");
        fixture.clock.advance(Duration::from_secs(3600));
        fixture.resume().await;
    }
    // The order of another buyer, disputed and also stuck.
    let theirs = events::order("k", &two_spoons()).caller(STRANGER).event();
    let theirs =
        fixture.call("create-order", theirs).await.json()["id"].as_str().unwrap().to_owned();
    fixture.send_event(&theirs, "payment_disputed.v1", &open_dispute(1)).await;
    for _ in 0..2 {
        fixture.clock.advance(Duration::from_secs(3600));
        fixture.resume().await;
    }

    let of_ada = format!("user_id={USER}");
    for (query, orders) in [
        ("needs_review=true", &[&disputed, &failing, &theirs][..]),
        ("stuck=true", &[&failing, &stuck, &theirs]),
        ("needs_review=true&stuck=true", &[&failing, &theirs]),
        ("needs_review=true&stuck=false", &[&disputed, &failing, &theirs]),
        ("stuck=true&status=pending", &[&stuck, &theirs]),
        ("needs_review=true&status=confirmed", &[&disputed, &failing]),
        (&*format!("needs_review=true&{of_ada}"), &[&disputed, &failing]),
        (&*format!("stuck=true&{of_ada}&status=pending"), &[&stuck]),
        ("needs_review=true&status=delivered", &[]),
        (&*format!("needs_review=false&{of_ada}"), &[&plain, &disputed, &failing, &stuck]),
    ] {
        assert_eq!(listed(&fixture, query).await, set(orders), "{query}");
    }
    let page = fixture.page("needs_review=true", ADMIN).await;
    assert_eq!(page.operations(), vec!["Query"; SHARDS as usize], "only flagged orders are read");
    let why: BTreeMap<String, Value> = page.json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["id"].as_str().unwrap().to_owned(), item["needs_review"].clone()))
        .collect();
    let expected = [
        (&disputed, "payment_disputed"),
        (&failing, "refund_failed"),
        (&theirs, "payment_disputed"),
    ];
    assert_eq!(why, expected.map(|(order, why)| (order.clone(), json!(why))).into());

    // A refunded order leaves the list. A dispute leaves it once a person has reviewed it.
    fixture.send_event(&failing, "payment_refunded.v1", &money(4, 5998)).await;
    fixture.send_event(&failing, "stock_released.v1", &json!({ "version": 3 })).await;
    fixture.send_event(&stuck, "stock_reserved.v1", &json!({ "version": 1 })).await;
    assert_eq!(listed(&fixture, "needs_review=true").await, set(&[&disputed, &theirs]));
    assert_eq!(listed(&fixture, "stuck=true").await, set(&[&theirs]));
    for order in [&failing, &stuck] {
        assert!(fixture.item(order).get("review_shard").is_none(), "{}", fixture.item(order));
    }
}

#[tokio::test]
async fn review_list_pages_are_complete() {
    let fixture = OrdersFixture::new().await;
    let mut flagged = Vec::new();
    for number in 0..12 {
        let order = fixture.ready(&format!("k-{number}")).await;
        if number % 3 != 0 {
            fixture
                .send_event(
                    &order,
                    "payment_disputed.v1",
                    &json!({ "version": 3, "captured_total": 5998, "dispute": "open" }),
                )
                .await;
            flagged.push(order);
        }
        fixture.clock.advance(Duration::from_secs(1));
    }
    flagged.reverse();
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = fixture.page(&format!("needs_review=true&limit=3{after}"), ADMIN).await;
        seen.extend(ids(&page));
        let Some(cursor) = page.json()["next_cursor"].as_str().map(str::to_owned) else { break };
        after = format!("&cursor={cursor}");
        let elsewhere = fixture.page(&format!("stuck=true&limit=3{after}"), ADMIN).await;
        assert_eq!((elsewhere.status(), elsewhere.code().as_str()), (400, "invalid_cursor"));
    }
    assert_eq!(seen, flagged);
}

/// With the consumer stopped, the order's command gets no answer.
#[tokio::test]
async fn order_without_an_answer_at_its_second_check_is_stuck_until_answered() {
    let fixture = OrdersFixture::new().await;
    let order = fixture.stored("stopped", &two_spoons()).await;
    let started = fixture.clock.now();
    for (wait, stuck) in [(60, false), (120, true), (240, true)] {
        fixture.clock.advance(Duration::from_secs(wait));
        fixture.resume().await;
        assert_eq!(
            listed(&fixture, "stuck=true").await,
            if stuck { set(&[&order]) } else { set(&[]) },
            "after {wait} seconds more"
        );
    }
    let view = fixture.read(&order, USER, None).await.json();
    let since = json!(started.to_string());
    let next = json!(fixture.order(&order).await.schedule.next_check_at);
    assert_eq!(
        view["waiting_for"],
        json!({ "commands": ["reserve_stock"], "since": since, "next_check_at": next })
    );
    let entries = |view: &Value| {
        view["history"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|entry| entry["event"] == "waiting")
            .cloned()
            .collect::<Vec<_>>()
    };
    let at = started.plus(Duration::from_secs(180)).to_string();
    let waiting = json!({ "at": at, "event": "waiting", "status": "pending", "pending_command": "reserve_stock", "since": since, "next_check_at": next });
    assert_eq!(entries(&view), std::slice::from_ref(&waiting), "one entry for all retries");

    // The payment deadline has passed, and inventory still does not answer.
    fixture.clock.advance(PAY_WITHIN);
    fixture.resume().await;
    let view = fixture.read(&order, USER, None).await.json();
    assert_eq!(view["waiting_for"]["commands"], json!(["release_stock"]), "{view}");
    assert_eq!(view["waiting_for"]["since"], since);
    assert_eq!(listed(&fixture, "stuck=true").await, set(&[&order]));

    fixture.send_event(&order, "stock_released.v1", &json!({ "version": 1 })).await;
    let view = fixture.read(&order, USER, None).await.json();
    assert_eq!(listed(&fixture, "stuck=true").await, set(&[]));
    assert!(
        view.get("waiting_for").is_none() && fixture.item(&order).get("review_shard").is_none(),
        "{view}"
    );
    let [entry] = &entries(&view)[..] else { panic!("{view}") };
    assert_eq!(
        (&entry["answered_at"], entry.get("next_check_at")),
        (&json!(fixture.clock.now().to_string()), None)
    );
}
