//! The audit: matching records have no findings, and a mismatch anywhere reports its order or
//! product.

use std::time::Duration;

use super::{fixture::*, *};

#[tokio::test]
async fn matching_records_have_no_findings() {
    let fixture = LedgerFixture::past_grace().await;
    let report = fixture.report(json!({})).await;
    assert_eq!(report["unbalanced"], json!([]), "{report:#}");
    assert_eq!(report["products"], json!([]), "{report:#}");
    assert_eq!(
        (&report["checked"], &report["balanced"], &report["products_checked"]),
        (&json!(4), &json!(3), &json!(2)),
        "{report:#}"
    );
    assert_eq!(report["not_checked"], json!([]));
    assert_eq!(report["provider"], "the simulated provider");
    assert!(report.get("continuation").is_none());
    let unsettled = report["unsettled"].as_array().unwrap();
    let open: Vec<_> = unsettled
        .iter()
        .map(|row| (text(&row["order_id"]), text(&row["status"]), row["findings"].clone()))
        .collect();
    assert_eq!(open, [(fixture.open.clone(), "pending".to_owned(), json!([]))]);
    assert_eq!(fixture.report(json!({ "order_id": fixture.confirmed })).await["balanced"], 1);
    // The ledger's balance of the order is captures minus refunds.
    let seen = fixture.report(json!({ "order_id": fixture.refunded })).await;
    assert_eq!((&seen["checked"], &seen["balanced"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn missing_record_reports_its_order_or_product() {
    let fixture = LedgerFixture::past_grace().await;
    let begins = |item: &Value, name: &str, with: &str| {
        item[name]["S"].as_str().is_some_and(|text| text.starts_with(with))
    };
    let mut deleted = 0;
    for (table, prefix, has_sort_key) in [
        ("orders", "ORDER#", false),
        ("payments", "ORDER#", true),
        ("payment-simulator", "CHARGE#", false),
        ("payment-simulator", "REFUND#", false),
        ("stock", "RESERVATION#", false),
        ("stock", "STOCK#", false),
        ("ledger", "ORDER#", true),
        ("ledger", "PRODUCT#", true),
    ] {
        for item in fixture.aws.items(table).into_iter().filter(|item| begins(item, "pk", prefix)) {
            let id = item["order_id"]["S"].as_str().map(str::to_owned);
            let owner =
                id.unwrap_or_else(|| text(&item["pk"]["S"]).split('#').nth(1).unwrap().to_owned());
            // Failed attempts have no counterpart in other records. Open orders are checked after
            // they settle.
            if owner == fixture.open || item["state"]["S"] == "declined" {
                continue;
            }
            let mut key = json!({ "pk": item["pk"] });
            if has_sort_key {
                key["sk"] = item["sk"].clone();
            }
            fixture.aws.delete(table, &key);
            let unbalanced = fixture.unbalanced().await;
            // An unpaid intent equals a missing one, and no ledger entry refers to an order without
            // movements. A check by its id reports it.
            let says_nothing = table == "payments" && owner == fixture.failed;
            let asked_for =
                unbalanced_of(&fixture, table == "orders" && owner == fixture.failed).await;
            assert!(
                says_nothing || unbalanced.union(&asked_for).any(|id| *id == owner),
                "{table} {key}: {owner} is not among {unbalanced:?}"
            );
            fixture.aws.put(table, &item);
            deleted += 1;
        }
    }
    assert!(deleted >= 20, "{deleted}");
    assert!(fixture.unbalanced().await.is_empty());
}

#[tokio::test]
async fn records_in_flight_are_listed_separately() {
    let fixture = LedgerFixture::fresh().await;
    let order = fixture.order_item(&fixture.open);
    let mut corrupted = order.clone();
    corrupted["captured_total"] = json!({ "N": "5" });
    fixture.aws.put("orders", &corrupted);
    let young = fixture.report(json!({})).await;
    assert!(unbalanced(&young).is_empty(), "{young:#}");
    assert!(
        checks(&young, &fixture.open).contains("captured_by_order"),
        "the findings are listed all the same: {young:#}"
    );
    fixture.clock.advance(PAST_GRACE);
    let later = fixture.report(json!({})).await;
    assert_eq!(unbalanced(&later), BTreeSet::from([fixture.open.clone()]));

    // Stock has just been sold: the ledger receives the entry a little later.
    let fixture = LedgerFixture::fresh().await;
    let mut spoons = fixture.item("stock", |item| item["pk"]["S"] == format!("STOCK#{SPOON}"));
    spoons["available"] = json!({ "N": "80" });
    fixture.aws.put("stock", &spoons);
    let young = fixture.report(json!({})).await;
    assert_eq!(
        (unbalanced(&young).is_empty(), &young["products"][0]["state"]),
        (true, &json!("unsettled")),
        "{young:#}"
    );
    fixture.clock.advance(PAST_GRACE);
    assert_eq!(fixture.unbalanced().await, BTreeSet::from([SPOON.to_owned()]));
}

#[tokio::test]
async fn lost_entry_is_reported_and_its_message_repairs_it() {
    let fixture = LedgerFixture::past_grace().await;
    let capture = fixture.entries.iter().find(|entry| {
        entry["kind"] == "capture" && entry["order_id"] == fixture.confirmed.as_str()
    });
    let capture = capture.unwrap().clone();
    let item = fixture.item("ledger", |item| item["sk"]["S"] == capture["entry_id"]);
    fixture.aws.delete("ledger", &json!({ "pk": item["pk"], "sk": item["sk"] }));
    let measured = Capture::start();
    let report = fixture.report(json!({})).await;
    assert_eq!(measured.total(&ledger::metrics::LEDGER_UNBALANCED), 1);
    assert_eq!(unbalanced(&report), BTreeSet::from([fixture.confirmed.clone()]));
    let expected = BTreeSet::from(["captured_by_ledger".to_owned(), "funds_in_ledger".to_owned()]);
    assert_eq!(checks(&report, &fixture.confirmed), expected);
    assert!(fixture.call("record-entry", message(&capture)).await.is_done());
    assert!(fixture.unbalanced().await.is_empty());
}

#[tokio::test]
async fn money_without_an_order_is_found_by_ledger_and_payments() {
    let fixture = LedgerFixture::past_grace().await;
    let stranger = "ord_0199c2a8-0000-7000-8000-0000000000ff";
    let lines = [
        line("provider_clearing", "USD", 5),
        line(&format!("customer_funds:{stranger}"), "USD", -5),
    ];
    let mut booked = entry(0xc1, "capture", &lines);
    booked["order_id"] = json!(stranger);
    booked["occurred_at"] = json!(fixture.clock.now());
    assert!(fixture.call("record-entry", message(&booked)).await.is_done());
    // A change at the current time belongs to the next window.
    fixture.clock.advance(Duration::from_secs(1));
    let report = fixture.report(json!({})).await;
    assert_eq!(unbalanced(&report), BTreeSet::from([stranger.to_owned()]));
    assert!(checks(&report, stranger).contains("order_exists"));

    let fixture = LedgerFixture::past_grace().await;
    let attempt = fixture.item("payments", |item| {
        item["order_id"]["S"] == fixture.confirmed.as_str()
            && item["sk"]["S"].as_str().unwrap().starts_with("ATTEMPT#")
    });
    let mut sent: Value =
        serde_json::from_str(&attempt.to_string().replace(&fixture.confirmed[4..], &stranger[4..]))
            .unwrap();
    sent["state"] = json!({ "S": "sent" });
    sent["next_check_at"] = json!({ "S": "2026-11-21T09:48:49.123Z" });
    sent["check_shard"] = json!({ "S": "due#0" });
    fixture.aws.put("payments", &sent);
    assert_eq!(fixture.unbalanced().await, BTreeSet::from([stranger.to_owned()]));
}

#[tokio::test]
async fn order_without_any_record_is_unknown_not_unbalanced() {
    let fixture = LedgerFixture::past_grace().await;
    let call = fixture
        .call("reconcile-ledger", json!({ "order_id": "ord_0199c2a8-0000-7000-8000-0000000000fe" }))
        .await;
    let failure = call.answer.expect_err("nothing is recorded under this id");
    assert_eq!(failure.kind, "UnknownOrder");
    assert!(failure.message.contains("ord_0199c2a8-0000-7000-8000-0000000000fe"), "{failure:?}");
}

#[tokio::test]
async fn without_a_statement_recorded_results_count() {
    let fixture = LedgerFixture::past_grace().await;
    let charge = fixture.item("payment-simulator", |item| {
        item["order_id"]["S"] == fixture.confirmed.as_str()
            && item["pk"]["S"].as_str().unwrap().starts_with("CHARGE#")
    });
    fixture.aws.delete("payment-simulator", &json!({ "pk": charge["pk"] }));
    assert_eq!(fixture.unbalanced().await, BTreeSet::from([fixture.confirmed.clone()]));
    let report = fixture.with_statement(None).report(json!({})).await;
    assert!(unbalanced(&report).is_empty());
    assert_eq!(report["provider"], "the results that payments recorded");
}

#[tokio::test]
async fn stepwise_run_finds_the_same_mismatches() {
    let fixture = LedgerFixture::past_grace().await;
    let mut order = fixture.order_item(&fixture.refunded);
    order["refunded_total"] = json!({ "N": "0" });
    fixture.aws.put("orders", &order);
    let mut spoons = fixture.item("stock", |item| item["pk"]["S"] == format!("STOCK#{SPOON}"));
    spoons["available"] = json!({ "N": "1" });
    fixture.aws.put("stock", &spoons);
    // Many orders are due at the same time in one shard.
    for number in 0..40 {
        let pk = format!("ORDER#ord_0199c2a8-0000-7000-8000-0000000002{number:02}");
        let due = json!({ "pk": { "S": pk }, "sk": { "S": "INTENT" }, "check_shard": { "S": "due#3" }, "next_check_at": { "S": "2026-11-21T09:48:49.123Z" } });
        fixture.aws.put("payments", &due);
    }
    let whole = fixture.report(json!({})).await;
    assert_eq!(unbalanced(&whole).len(), 42);
    for limit in [1, 2, 7] {
        let (mut found, mut event, mut pieces) = (BTreeSet::new(), json!({ "limit": limit }), 0);
        loop {
            let piece = fixture.report(event.clone()).await;
            found.extend(unbalanced(&piece));
            pieces += 1;
            assert!(pieces < 200, "the audit never finishes");
            let Some(continuation) = piece.get("continuation") else { break };
            event = json!({ "limit": limit, "continuation": continuation });
        }
        assert_eq!(found, unbalanced(&whole), "pieces of {limit}");
        assert!(pieces > 2, "{pieces}");
    }
}

#[tokio::test]
async fn run_ends_in_time_with_a_continuation() {
    let fixture = LedgerFixture::past_grace().await;
    let mut invocation = Invocation::with_event(json!({}));
    invocation.deadline = Clock::System.now().plus(Duration::from_secs(5));
    let late = fixture.aws.invoke(&fixture.lambda("reconcile-ledger"), invocation).await;
    assert_eq!(
        (&late.ok()["checked"], late.calls.len()),
        (&json!(0), 1),
        "no time is left to start"
    );
    let event = json!({ "continuation": late.ok()["continuation"] });
    let on = fixture.report(event).await;
    assert_eq!((&on["checked"], &on["balanced"]), (&json!(4), &json!(3)));
}

#[tokio::test]
async fn audit_reads_only_existing_records() {
    let fixture = LedgerFixture::past_grace().await;
    for invalid in [
        json!({ "since": "2026-11-21T10:00:00.000Z", "until": "2026-11-21T10:00:00.000Z" }),
        json!({ "since": "2020-01-01T00:00:00.000Z" }),
        json!({ "sinse": "2026-11-21T10:00:00.000Z" }),
        json!({ "order_id": "1" }),
    ] {
        let refused = fixture.call("reconcile-ledger", invalid.clone()).await;
        assert_eq!(
            refused.answer.as_ref().map_err(|failure| failure.kind),
            Err("MalformedEvent"),
            "{invalid}"
        );
        assert!(refused.calls.is_empty());
    }
    let nothing = fixture
        .report(json!({ "since": "2026-11-01T00:00:00.000Z", "until": "2026-11-02T00:00:00.000Z" }))
        .await;
    assert_eq!(nothing["checked"], 1, "unsettled orders are checked regardless of their date");
    assert_eq!(fixture.report(tick()).await["checked"], 4);
}

#[tokio::test]
async fn audit_writes_nothing_and_scans_no_table() {
    let fixture = LedgerFixture::past_grace().await;
    let called = fixture.call("reconcile-ledger", json!({})).await;
    let mut asked: BTreeSet<(String, String)> =
        called.calls.iter().flat_map(|call| call.actions.clone()).collect();
    for (action, resource) in [
        ("dynamodb:Query", "orders/index/status-index"),
        ("dynamodb:Query", "orders/index/check-index"),
        ("dynamodb:GetItem", "orders"),
        ("dynamodb:Query", "payments/index/check-index"),
        ("dynamodb:Query", "payments"),
        ("dynamodb:GetItem", "stock"),
        ("dynamodb:BatchGetItem", "stock"),
        ("dynamodb:BatchGetItem", "payment-simulator"),
        ("dynamodb:Query", "ledger"),
        ("dynamodb:Query", "ledger/index/day-index"),
        ("dynamodb:GetItem", "ledger"),
        ("dynamodb:BatchGetItem", "ledger"),
    ] {
        assert!(asked.remove(&(action.to_owned(), resource.to_owned())), "{action} {resource}");
    }
    assert_eq!(asked, BTreeSet::new());
}

#[tokio::test]
async fn unreadable_records_are_reported_as_not_checked() {
    let calls = LedgerFixture::past_grace().await;
    let many = calls.call("reconcile-ledger", json!({})).await.calls.len();
    let (mut failed, mut noted) = (0, 0);
    let measured = Capture::start();
    for call in (0..many).step_by(4) {
        let fixture = &calls;
        fixture.aws.fail(call, Fault::Throttle);
        let called = fixture.call("reconcile-ledger", json!({})).await;
        fixture.aws.heal();
        match &called.answer {
            Err(failure) => {
                assert!(
                    [
                        "CandidateReadFailed",
                        "EntryReadFailed",
                        "ReservationReadFailed",
                        "AuditRunReadFailed"
                    ]
                    .contains(&failure.kind),
                    "{failure:?}"
                );
                failed += 1;
            }
            Ok(report) => {
                assert!(
                    unbalanced(report).is_empty(),
                    "call {call}: an unavailable table is not a mismatch: {report:#}"
                );
                let not_checked = report["not_checked"].as_array().unwrap().len();
                assert_eq!(not_checked, 1, "call {call}");
                let looked_at = report["checked"].as_i64().unwrap()
                    + report["products_checked"].as_i64().unwrap();
                assert_eq!(looked_at, 5);
                noted += 1;
            }
        }
    }
    assert!(failed > 5 && noted > 3, "{failed} {noted}");
    assert_eq!(measured.total(&ledger::metrics::AUDIT_INCOMPLETE), noted);
}

#[tokio::test(start_paused = true)]
async fn orders_are_checked_with_bounded_concurrency() {
    let fixture = LedgerFixture::past_grace().await;
    for number in 0..64 {
        let pk = format!("ORDER#ord_0199c2a8-0000-7000-8000-0000000002{number:02}");
        let due = json!({ "pk": { "S": pk }, "sk": { "S": "INTENT" }, "check_shard": { "S": "due#3" }, "next_check_at": { "S": "2026-11-21T09:48:49.123Z" } });
        fixture.aws.put("payments", &due);
    }
    fixture.aws.take_time(Duration::from_millis(10));
    let (started, calls) = (tokio::time::Instant::now(), fixture.aws.calls().len());
    let report = fixture.report(json!({})).await;
    assert_eq!(report["checked"], 4 + 64);
    let (rounds, calls) = (started.elapsed().as_millis() / 10, fixture.aws.calls().len() - calls);
    // Each of the 64 orders takes four or five calls, 16 orders concurrently.
    let sequential_reads = u128::from(8 + 8 + 48 + 3 * DAY_SHARDS + 8 + 8 + 8);
    assert!(rounds > 4 * 4 && rounds < sequential_reads + 80, "{rounds} rounds of {calls} calls");
}
