//! Reading orders, one by one and in lists: only their buyer and the shop see them.

use super::*;

#[tokio::test]
async fn order_is_visible_to_buyer_and_shop_only() {
    let fixture = OrdersFixture::new().await;
    let order = fixture.placed("k").await;
    for reader in [USER, ADMIN] {
        let read = fixture.read(&order, reader, None).await;
        assert_eq!((read.status(), read.operations()), (200, vec!["GetItem"]));
    }
    let hidden = fixture.read(&order, STRANGER, None).await;
    assert_eq!((hidden.status(), hidden.code().as_str()), (404, "order_not_found"));
    assert_eq!(hidden.json(), fixture.read(UNKNOWN_ORDER, STRANGER, None).await.json());
    // The answer does not reveal whether the order has changed.
    assert_eq!(fixture.read(&order, STRANGER, Some("*")).await.status(), 404);
}

/// The timeline of an order, as an admin reads it.
async fn timeline(fixture: &OrdersFixture, order: &str) -> Value {
    let request = events::get(&format!("/orders/{order}/timeline"));
    let called = fixture
        .call("get-order-timeline", request.path_parameter("order_id", order).caller(ADMIN).event())
        .await;
    assert_eq!((called.status(), called.operations()), (200, vec!["GetItem"]));
    called.json()
}

#[tokio::test]
async fn timeline_is_visible_to_admins_only() {
    let fixture = OrdersFixture::new().await;
    let order = fixture.placed("k").await;
    for (id, reader, status, code) in [
        (&*order, USER, 403, "insufficient_permissions"),
        (&*order, STRANGER, 403, "insufficient_permissions"),
        (UNKNOWN_ORDER, ADMIN, 404, "order_not_found"),
        ("ord_1", ADMIN, 404, "order_not_found"),
    ] {
        let request = events::get(&format!("/orders/{id}/timeline"));
        let called = fixture
            .call(
                "get-order-timeline",
                request.path_parameter("order_id", id).caller(reader).event(),
            )
            .await;
        assert_eq!((called.status(), called.code().as_str()), (status, code), "{id} {reader}");
    }
}

#[tokio::test]
async fn timeline_lists_entries_waits_and_the_next_check() {
    let fixture = OrdersFixture::new().await;
    let order = fixture.placed("k").await;
    let placed_at = fixture.clock.now().to_string();
    let seen = timeline(&fixture, &order).await;
    assert_eq!(seen["entries"][0]["event"], "placed");
    let retry_at = seen["next_check_at"].clone();
    assert_eq!(
        seen["waiting_for"],
        json!([{ "party": "inventory", "command": "reserve_stock", "reason": null, "since": placed_at, "checks": 0,
            "next_check_at": retry_at, "until": null }])
    );

    // Inventory does not answer: two scheduled checks send the command again.
    for _ in 0..2 {
        fixture.clock.advance(Duration::from_secs(241));
        assert_eq!(fixture.resume().await, (1, 0, 0));
    }
    let seen = timeline(&fixture, &order).await;
    assert_eq!(seen["commands_sent_again"], 2);
    assert_eq!(seen["checks_without_progress"], 2);
    let wait = &seen["waiting_for"][0];
    assert_eq!((&wait["checks"], &wait["since"]), (&json!(2), &json!(placed_at)));
    assert_eq!(wait["next_check_at"], seen["next_check_at"]);
    let entries = seen["entries"].as_array().unwrap();
    let last = entries.last().unwrap();
    assert_eq!(
        (&last["event"], &last["pending_command"]),
        (&json!("waiting"), &json!("reserve_stock"))
    );
    assert_eq!(last["waited_ms"], 482_000);
    assert!(last.get("answered_at").is_none());

    // The answer arrives, and the order waits for its buyer until the payment deadline.
    fixture.send_event(&order, "stock_reserved.v1", &json!({ "version": 1 })).await;
    fixture.send_event(&order, "payment_opened.v1", &json!({ "version": 1 })).await;
    let seen = timeline(&fixture, &order).await;
    let read = fixture.read(&order, USER, None).await.json();
    let wait = &seen["waiting_for"][0];
    assert_eq!((&wait["party"], &wait["until"]), (&json!("buyer"), &read["expires_at"]));
    assert_eq!((&wait["since"], &wait["checks"]), (&Value::Null, &json!(0)));
    assert!(
        seen["entries"].as_array().unwrap().iter().any(|entry| entry["answered_at"].is_string())
    );
    // Both operations report the same history.
    let mut entries = seen["entries"].clone();
    for entry in entries.as_array_mut().unwrap() {
        assert!(entry.as_object_mut().unwrap().remove("waited_ms").is_some(), "{entry}");
    }
    assert_eq!(entries, read["history"]);
}

#[tokio::test]
async fn settled_order_waits_for_no_party() {
    let fixture = OrdersFixture::new().await;
    let order = fixture.ready("k").await;
    let seen = timeline(&fixture, &order).await;
    assert_eq!((&seen["settled"], &seen["status"]), (&json!(true), &json!("confirmed")));
    assert_eq!((&seen["waiting_for"], &seen["next_check_at"]), (&json!([]), &Value::Null));
    assert_eq!(seen["trace_id"].as_str().map(str::len), Some(32));
}

#[tokio::test]
async fn unchanged_order_is_answered_304() {
    let fixture = OrdersFixture::new().await;
    let order = fixture.placed("k").await;
    let read = fixture.read(&order, USER, None).await;
    assert_eq!(read.header("cache-control").as_deref(), Some("private, no-cache"));
    let tag = read.header("etag").unwrap();
    for given in [&*tag, &format!("W/{tag}"), &format!("\"7\", {tag}"), "*"] {
        let unchanged = fixture.read(&order, USER, Some(given)).await;
        assert_eq!((unchanged.status(), unchanged.body()), (304, ""), "{given}");
        assert_eq!(unchanged.header("etag").as_deref(), Some(&*tag));
    }
    fixture.send_event(&order, "stock_reserved.v1", &json!({ "version": 1 })).await;
    for given in [&*tag, "1", "\"11\""] {
        let changed = fixture.read(&order, USER, Some(given)).await;
        assert_eq!(
            (changed.status(), changed.json()["payable"].as_bool()),
            (200, Some(true)),
            "{given}"
        );
        assert_ne!(changed.header("etag").as_ref(), Some(&tag));
    }
    // The payment deadline passes without a write, and still the order has a new ETag.
    let payable = fixture.read(&order, USER, None).await.header("etag").unwrap();
    fixture.clock.advance(Duration::from_secs(24 * 3600));
    let late = fixture.read(&order, USER, Some(&payable)).await;
    assert_eq!((late.status(), late.json()["payable"].as_bool()), (200, Some(false)));
}

#[tokio::test]
async fn pages_cover_all_orders_newest_first() {
    let fixture = OrdersFixture::new().await;
    let mut placed = Vec::new();
    for number in 0..25 {
        placed.push((
            fixture.clock.now(),
            fixture.stored(&format!("k-{number}"), &two_spoons()).await,
        ));
        // Some orders are placed in the same millisecond.
        if number % 3 != 0 {
            fixture.clock.advance(Duration::from_millis(1));
        }
    }
    placed.sort();
    let newest_first: Vec<String> = placed.into_iter().rev().map(|(_, id)| id).collect();
    for (filter, reader, shards) in [
        ("", USER, 1),
        (&*format!("user_id={USER}&"), USER, 1),
        (&*format!("user_id={USER}&"), ADMIN, 1),
        ("status=pending&", USER, 1),
        ("status=pending&", ADMIN, SHARDS as usize),
    ] {
        for (limit, sizes) in [(10, &[10, 10, 5][..]), (5, &[5; 5]), (25, &[25]), (100, &[25])] {
            let (mut seen, mut cursor, mut pages) = (Vec::new(), None::<String>, Vec::new());
            loop {
                let after = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
                let page = fixture.page(&format!("{filter}limit={limit}{after}"), reader).await;
                // A shard with more than its share of the page is read again.
                let queries = page.operations().len();
                assert_eq!(page.operations(), vec!["Query"; queries]);
                assert!(queries >= shards && (shards > 1 || queries == 1), "{queries}");
                pages.push(ids(&page).len());
                seen.extend(ids(&page));
                cursor = page.json()["next_cursor"].as_str().map(str::to_owned);
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(
                (&seen, &pages[..]),
                (&newest_first, sizes),
                "{filter}limit={limit} as {reader}"
            );
        }
    }
    assert_eq!(ids(&fixture.page("", USER).await).len(), 20);
}

#[tokio::test]
async fn filtered_lists_show_customers_only_their_own_orders() {
    let fixture = OrdersFixture::new().await;
    let (pending, confirmed) = (fixture.placed("one").await, fixture.placed("two").await);
    fixture.confirm(&confirmed).await;
    let strangers = events::order("k", &two_spoons()).caller(STRANGER).event();
    let theirs =
        fixture.call("create-order", strangers).await.json()["id"].as_str().unwrap().to_owned();
    let of_user = format!("user_id={USER}");
    let listed = async |query: &str, reader: &str| {
        ids(&fixture.page(query, reader).await).into_iter().collect::<BTreeSet<_>>()
    };
    let set =
        |orders: &[&String]| orders.iter().map(|order| (*order).clone()).collect::<BTreeSet<_>>();
    assert_eq!(listed("", USER).await, set(&[&pending, &confirmed]));
    assert_eq!(listed("", STRANGER).await, set(&[&theirs]));
    assert_eq!(listed("status=pending", USER).await, set(&[&pending]));
    assert_eq!(listed("status=confirmed", USER).await, set(&[&confirmed]));
    assert_eq!(listed("status=shipped", USER).await, set(&[]));
    assert_eq!(listed("status=pending", ADMIN).await, set(&[&pending, &theirs]));
    assert_eq!(listed("status=confirmed", ADMIN).await, set(&[&confirmed]));
    assert_eq!(listed(&of_user, ADMIN).await, set(&[&pending, &confirmed]));
    assert_eq!(listed(&format!("{of_user}&status=confirmed"), ADMIN).await, set(&[&confirmed]));
    // The index is read until the page is full, or to its end.
    let narrowed = fixture.page("status=confirmed&limit=1", USER).await;
    assert_eq!((ids(&narrowed), &narrowed.json()["next_cursor"]), (vec![confirmed], &Value::Null));
    let narrowed = fixture.page("status=shipped&limit=1", USER).await;
    assert_eq!((ids(&narrowed).len(), &narrowed.json()["next_cursor"]), (0, &Value::Null));

    for (query, reader, status, refused) in [
        (&*format!("{of_user}&status=pending"), STRANGER, 403, "insufficient_permissions"),
        ("", ADMIN, 422, "filter_required"),
        ("needs_review=false", ADMIN, 422, "filter_required"),
    ] {
        let answer = fixture.page(query, reader).await;
        assert_eq!(
            (answer.status(), answer.code().as_str(), answer.operations().len()),
            (status, refused, 0),
            "{query} as {reader}"
        );
    }
    let item = fixture.page("status=confirmed", ADMIN).await.json()["items"][0].clone();
    assert_eq!((&item["payment_status"], &item["item_count"]), (&json!("paid"), &json!(2)));
}

/// An index entry is written only if one of its attributes changes.
#[tokio::test]
async fn list_entries_change_with_status_and_payment_status_only() {
    let fixture = OrdersFixture::new().await;
    let order = fixture.placed("k").await;
    let shown = async || fixture.page("", USER).await.json()["items"][0].clone();
    let placed = shown().await;
    assert_eq!(
        (&placed["status"], &placed["payment_status"]),
        (&json!("pending"), &json!("unpaid"))
    );
    fixture.send_event(&order, "stock_reserved.v1", &json!({ "version": 1 })).await;
    assert_eq!(shown().await, placed);
    let paid = json!({ "version": 2, "payment_id": "pay_1", "captured_total": 5998 });
    fixture.send_event(&order, "payment_succeeded.v1", &paid).await;
    let confirmed = shown().await;
    assert_eq!(
        (&confirmed["status"], &confirmed["payment_status"]),
        (&json!("confirmed"), &json!("paid"))
    );
    fixture.send_event(&order, "stock_committed.v1", &json!({ "version": 2 })).await;
    assert_eq!(shown().await, confirmed);
    let refunded = json!({ "version": 3, "payment_id": "pay_1", "captured_total": 5998, "refunded_total": 1000 });
    fixture.send_event(&order, "payment_succeeded.v1", &refunded).await;
    assert_eq!(shown().await["payment_status"], "partially_refunded");
}

/// Payments does not report that the automatic charge has started.
#[tokio::test]
async fn order_with_a_card_is_not_payable_while_it_is_charged() {
    let fixture = OrdersFixture::new().await;
    let order = fixture.stored("k", &events::order_request(SPOON, 2, Some("tok_ok"))).await;
    fixture.send_event(&order, "stock_reserved.v1", &json!({ "version": 1 })).await;
    let seen = fixture.read(&order, USER, None).await.json();
    assert_eq!((&seen["step"], &seen["payable"]), (&json!("paying"), &json!(false)));
    let declined = json!({ "version": 2, "payment_id": "pay_1" });
    fixture.send_event(&order, "payment_declined.v1", &declined).await;
    let seen = fixture.read(&order, USER, None).await.json();
    assert_eq!((&seen["step"], &seen["payable"]), (&json!("awaiting_payment"), &json!(true)));
}

#[tokio::test]
async fn orders_are_spread_over_the_shards_of_their_indexes() {
    let fixture = OrdersFixture::new().await;
    for number in 0..200 {
        fixture.stored(&format!("k-{number}"), &two_spoons()).await;
    }
    let mut shards: BTreeMap<(String, String), usize> = BTreeMap::new();
    for item in fixture.aws.orders() {
        let text = |name: &str| item[name]["S"].as_str().unwrap().to_owned();
        *shards.entry((text("status_shard"), text("check_shard"))).or_default() += 1;
    }
    assert_eq!(shards.len(), SHARDS as usize, "{shards:?}");
    assert!(shards.values().all(|count| *count >= 10), "{shards:?}");
}

#[tokio::test]
async fn write_keeps_attributes_of_a_later_release() {
    let fixture = OrdersFixture::new().await;
    let order = fixture.placed("k").await;
    let mut item = fixture.item(&order);
    let later = [
        ("gift_note", json!({ "S": "Happy birthday" })),
        ("gift_tags", json!({ "SS": ["red"] })),
        ("gift", json!({ "M": { "paper": { "BOOL": true } } })),
    ];
    for (name, value) in &later {
        item[*name] = value.clone();
    }
    fixture.aws.put("orders", &item);
    fixture.send_event(&order, "stock_reserved.v1", &json!({ "version": 1 })).await;
    let written = fixture.item(&order);
    assert_ne!(written["version"], item["version"]);
    for (name, value) in &later {
        assert_eq!(written[*name], *value, "{name}");
    }
    let listed = fixture.page("", USER).await;
    assert_eq!((listed.status(), ids(&listed)), (200, vec![order]));
}
