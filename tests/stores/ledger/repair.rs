//! Repair books missing ledger entries from the records once, whether or not their messages arrive
//! later.

use orders::domain::Order;
use payments::{publish::messages, store::IntentImage};

use super::{fixture::*, *};

/// Deletes the items that match.
fn delete_items(fixture: &LedgerFixture, which: impl Fn(&Value) -> bool) {
    for item in fixture.aws.items("ledger").into_iter().filter(|item| which(item)) {
        fixture.aws.delete("ledger", &json!({ "pk": item["pk"], "sk": item["sk"] }));
    }
}

fn delete_entry(fixture: &LedgerFixture, entry: &Value) {
    delete_items(fixture, |item| item["sk"]["S"] == entry["entry_id"]);
}

/// Whether an item is an entry or a closed id of the confirmed order.
fn is_of_confirmed(fixture: &LedgerFixture, item: &Value) -> bool {
    item["pk"]["S"] == format!("ORDER#{}", fixture.confirmed)
}

/// Runs a repair and returns the kinds of the entries that it booked, and its report.
async fn repair(fixture: &LedgerFixture, event: Value) -> (Vec<String>, Value) {
    let mut event = event;
    event["repair"] = json!(true);
    let report = fixture.report(event).await;
    let kinds = report["repaired"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| text(&entry["kind"]))
        .collect();
    (kinds, report)
}

/// The balance of each account over all entries.
fn balances(fixture: &LedgerFixture) -> BTreeMap<String, i64> {
    let mut sums = BTreeMap::new();
    for item in fixture.aws.items("ledger").iter().filter(|item| is_entry(item)) {
        for (unit, accounts) in item["lines"]["M"].as_object().unwrap() {
            for (account, amount) in accounts["M"].as_object().unwrap() {
                let owner =
                    if account == "customer_funds" { text(&item["pk"]["S"]) } else { unit.clone() };
                let amount: i64 = amount["N"].as_str().unwrap().parse().unwrap();
                *sums.entry(format!("{owner} {account}")).or_default() += amount;
            }
        }
    }
    sums
}

/// The reasons for mismatches that were not repaired.
fn reasons(report: &Value) -> Vec<String> {
    report["not_repaired"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| text(&row["reason"]))
        .collect()
}

/// Converts DynamoDB JSON to plain JSON.
fn plain(value: &Value) -> Value {
    let (kind, content) = value.as_object().unwrap().iter().next().unwrap();
    match kind.as_str() {
        "N" => content.as_str().unwrap().parse::<i64>().unwrap().into(),
        "L" => content.as_array().unwrap().iter().map(plain).collect(),
        "M" => members(content),
        "NULL" => Value::Null,
        _ => content.clone(),
    }
}

fn members(item: &Value) -> Value {
    item.as_object().unwrap().iter().map(|(name, value)| (name.clone(), plain(value))).collect()
}

/// Writes the next version of the confirmed order's payment intent with these totals, and records
/// its ledger entries.
async fn write_next_intent(fixture: &LedgerFixture, totals: &[(&str, i64)]) -> Vec<Value> {
    let is_intent = |item: &Value| {
        item["sk"]["S"] == "INTENT" && item["order_id"]["S"] == fixture.confirmed.as_str()
    };
    let old = fixture.item("payments", is_intent);
    let mut new = old.clone();
    let version: u64 = old["version"]["N"].as_str().unwrap().parse().unwrap();
    new["version"] = json!({ "N": (version + 1).to_string() });
    for (name, total) in totals {
        new[*name] = json!({ "N": total.to_string() });
    }
    fixture.aws.put("payments", &new);
    let image = |item: &Value| serde_json::from_value::<IntentImage>(members(item)).unwrap();
    let entries = messages(Some(&image(&old)), &image(&new))
        .unwrap()
        .into_iter()
        .filter(|message| message.queue == "record-entry");
    let entries: Vec<Value> = entries.map(|message| message.data).collect();
    for entry in &entries {
        assert!(fixture.call("record-entry", message(entry)).await.is_done());
    }
    entries
}

/// Writes the next version of the confirmed order with these totals, and records its ledger
/// entries.
async fn write_next_order(fixture: &LedgerFixture, totals: &[(&str, i64)]) -> Vec<Value> {
    let old = fixture.order_item(&fixture.confirmed);
    let mut new = old.clone();
    let version: u64 = old["version"]["N"].as_str().unwrap().parse().unwrap();
    new["version"] = json!({ "N": (version + 1).to_string() });
    for (name, total) in totals {
        new[*name] = json!({ "N": total.to_string() });
    }
    fixture.aws.put("orders", &new);
    let image = |item: &Value| serde_json::from_value::<Order>(members(item)).unwrap();
    let messages = orders::publish::messages(Some(&image(&old)), &image(&new)).unwrap();
    let entries = messages.into_iter().filter(|message| message.queue == "record-entry");
    let entries: Vec<Value> = entries.map(|message| message.data).collect();
    for entry in &entries {
        assert!(fixture.call("record-entry", message(entry)).await.is_done());
    }
    entries
}

/// Adds to the confirmed order a refund that failed later, a duplicate capture whose second refund
/// succeeded, and a dispute that was won.
async fn with_reversals_and_dispute() -> (LedgerFixture, Vec<Value>) {
    let fixture = LedgerFixture::past_grace().await;
    let belongs = |item: &Value, sk: &str| {
        item["order_id"]["S"] == fixture.confirmed.as_str()
            && item["sk"]["S"].as_str().is_some_and(|text| text.starts_with(sk))
    };
    let attempt = fixture.item("payments", |item| belongs(item, "ATTEMPT#"));
    let first = fixture
        .aws
        .items("payments")
        .into_iter()
        .find(|item| item["sk"]["S"].as_str().is_some_and(|sk| sk.starts_with("REFUND#")));
    let refund = |number: u8, payment: &Value, kind: &str, state: &str, amount: i64| {
        let mut refund = first.clone().unwrap();
        let id = format!("ref_0199c2a8-0000-8000-8000-0000000000{number:02x}");
        for (name, text) in [
            ("refund_id", id.as_str()),
            ("kind", kind),
            ("state", state),
            ("order_id", &fixture.confirmed),
        ] {
            refund[name] = json!({ "S": text });
        }
        (refund["pk"], refund["sk"]) =
            (attempt["pk"].clone(), json!({ "S": format!("REFUND#{id}") }));
        (refund["payment_id"], refund["amount"]) =
            (payment.clone(), json!({ "N": amount.to_string() }));
        refund["provider_refund_id"] = json!({ "S": format!("re_{number}") });
        fixture.aws.put("payments", &refund);
    };
    let mut duplicate = attempt.clone();
    let second = text(&attempt["payment_id"]["S"]).replace("-8", "-9");
    (duplicate["payment_id"], duplicate["sk"]) =
        (json!({ "S": second }), json!({ "S": format!("ATTEMPT#{second}") }));
    (duplicate["duplicate_capture"], duplicate["refunded"]) =
        (json!({ "BOOL": true }), duplicate["amount"].clone());
    fixture.aws.put("payments", &duplicate);
    refund(1, &attempt["payment_id"], "requested", "reversed", 1000);
    refund(2, &duplicate["payment_id"], "duplicate_capture", "reversed", 7000);
    refund(3, &duplicate["payment_id"], "duplicate_capture", "succeeded", 7000);
    let mut entries = fixture.entries.clone();
    for totals in [
        ("refunded_total", 1000),
        ("refunds_reversed_total", 1000),
        ("dispute_withdrawn_total", 7000),
        ("dispute_reinstated_total", 7000),
    ] {
        entries.extend(write_next_order(&fixture, &[totals]).await);
    }
    for totals in [
        &[("refunded_total", 1000)][..],
        &[("refunds_reversed_total", 1000), ("duplicate_captured_total", 7000)],
        &[("duplicate_refunded_total", 7000)],
        &[("duplicate_refunds_reversed_total", 7000), ("dispute_withdrawn_total", 7000)],
        &[("duplicate_refunded_total", 14_000), ("dispute_reinstated_total", 7000)],
    ] {
        entries.extend(write_next_intent(&fixture, totals).await);
    }
    (fixture, entries)
}

#[tokio::test]
async fn each_entry_kind_is_repaired_and_its_late_message_changes_nothing() {
    let (fixture, entries) = with_reversals_and_dispute().await;
    // The recorded payments count: the provider does not have the charges that
    // [`with_reversals_and_dispute`] adds.
    let fixture = fixture.with_statement(None);
    assert!(fixture.unbalanced().await.is_empty(), "{:#}", fixture.report(json!({})).await);
    let (right, mut kinds) = (balances(&fixture), BTreeSet::new());
    for entry in &entries {
        let kind = text(&entry["kind"]);
        if !kinds.insert(kind.clone()) {
            continue;
        }
        delete_entry(&fixture, entry);
        assert!(!fixture.unbalanced().await.is_empty(), "{kind} is missed");
        let (booked, report) = repair(&fixture, json!({})).await;
        assert_eq!(
            (booked, unbalanced(&report)),
            (vec![kind.clone()], BTreeSet::new()),
            "{kind}: {report:#}"
        );
        assert_eq!(balances(&fixture), right, "{kind}");
        let (again, _) = repair(&fixture, json!({})).await;
        assert!(again.is_empty(), "{kind} is booked only once: {again:?}");
        let late = fixture.call("record-entry", message(entry)).await;
        assert!(late.is_done(), "{kind}: {:?}", late.answer);
        assert_eq!(balances(&fixture), right, "{kind} arrives after its repair");
        assert!(fixture.unbalanced().await.is_empty(), "{kind}");
    }
    let expected = [
        "adjustment",
        "capture",
        "commit",
        "dispute_reinstatement",
        "dispute_withdrawal",
        "refund",
        "refund_reversal",
        "duplicate_capture",
        "duplicate_capture_refund",
        "duplicate_capture_refund_reversal",
        "sale",
        "sale_reversal",
        "sale_reinstatement",
    ];
    assert_eq!(kinds, expected.map(str::to_owned).into());
}

#[tokio::test]
async fn completely_lost_ledger_is_repaired() {
    let (fixture, entries) = with_reversals_and_dispute().await;
    let fixture = fixture.with_statement(None);
    let right = balances(&fixture);
    // As if the table had been restored from an early backup.
    delete_items(&fixture, |_| true);
    let (booked, report) = repair(&fixture, json!({ "since": "2026-11-01T00:00:00.000Z" })).await;
    assert_eq!(unbalanced(&report), BTreeSet::new(), "{report:#}");
    let of = |kind: &str| booked.iter().filter(|booked| *booked == kind).count();
    assert_eq!((of("capture"), of("refund"), of("commit")), (2, 2, 1), "{booked:?}");
    // Products are found by their entries. A product without sales has to be requested by its id.
    for product in [SPOON, BOWL] {
        let (_, report) = repair(&fixture, json!({ "product_id": product })).await;
        assert_eq!(unbalanced(&report), BTreeSet::new(), "{report:#}");
    }
    assert_eq!(balances(&fixture), right);
    for entry in &entries {
        assert!(fixture.call("record-entry", message(entry)).await.is_done(), "{entry}");
    }
    assert_eq!(balances(&fixture), right, "all messages are redelivered");
    assert!(fixture.unbalanced().await.is_empty());
}

#[tokio::test]
async fn concurrent_repair_and_late_messages_book_everything_once() {
    let (fixture, entries) = with_reversals_and_dispute().await;
    let fixture = fixture.with_statement(None);
    let right = balances(&fixture);
    let of_order: Vec<&Value> =
        entries.iter().filter(|entry| entry["order_id"] == fixture.confirmed.as_str()).collect();
    assert!(of_order.len() > 8);
    for seed in 0..12 {
        delete_items(&fixture, |item| is_of_confirmed(&fixture, item));
        let crowded =
            Shop::over(fixture.aws.crowded(seed), fixture.clock.clone()).with_statement(None);
        let event = json!({ "repair": true, "order_id": fixture.confirmed });
        let audit = crowded.lambda("reconcile-ledger");
        let repairs: Vec<_> =
            (0..2).map(|_| tokio::spawn(audit(Invocation::with_event(event.clone())))).collect();
        let record = crowded.lambda("record-entry");
        let late: Vec<_> = of_order
            .iter()
            .map(|entry| tokio::spawn(record(Invocation::with_event(message(entry)))))
            .collect();
        for repair in repairs {
            repair.await.unwrap().unwrap();
        }
        for late in late {
            assert_eq!(late.await.unwrap().unwrap()["batchItemFailures"], json!([]), "seed {seed}");
        }
        repair(&fixture, json!({ "order_id": fixture.confirmed })).await;
        assert_eq!(balances(&fixture), right, "seed {seed}");
    }
}

#[tokio::test]
async fn interrupted_repair_is_completed_by_the_next() {
    let fixture = LedgerFixture::past_grace().await;
    let right = balances(&fixture);
    let capture = fixture
        .entries
        .iter()
        .find(|entry| entry["kind"] == "capture" && entry["order_id"] == fixture.confirmed.as_str())
        .unwrap();
    let event = json!({ "repair": true, "order_id": fixture.confirmed });
    delete_entry(&fixture, capture);
    let calls = fixture.call("reconcile-ledger", event.clone()).await.calls.len();
    assert_eq!(balances(&fixture), right);
    for call in 0..calls {
        delete_items(&fixture, |item| {
            let is_closed_or_capture =
                item["closed_by"].is_object() || item["kind"]["S"] == "capture";
            is_closed_or_capture && is_of_confirmed(&fixture, item)
        });
        fixture.aws.fail(call, Fault::LoseResponse);
        fixture.call("reconcile-ledger", event.clone()).await;
        fixture.aws.heal();
        // The message arrives between the interrupted repair and the next one.
        assert!(fixture.call("record-entry", message(capture)).await.is_done(), "call {call}");
        repair(&fixture, json!({ "order_id": fixture.confirmed })).await;
        assert_eq!(balances(&fixture), right, "call {call}");
    }
}

#[tokio::test]
async fn recent_changes_are_not_repaired() {
    let fixture = LedgerFixture::fresh().await;
    delete_entry(&fixture, fixture.entries.iter().find(|entry| entry["kind"] == "commit").unwrap());
    let mut reservation = fixture
        .item("stock", |item| item["pk"]["S"] == format!("RESERVATION#{}", fixture.confirmed));
    reservation["updated_at"] = json!({ "S": fixture.clock.now() });
    fixture.aws.put("stock", &reservation);
    let before = fixture.aws.items("ledger");
    let (booked, report) = repair(&fixture, json!({})).await;
    assert_eq!((booked, unbalanced(&report)), (vec![], BTreeSet::new()), "{report:#}");
    assert_eq!(fixture.aws.items("ledger"), before);
    fixture.clock.advance(PAST_GRACE);
    assert_eq!(repair(&fixture, json!({})).await.0, ["commit"]);
}

#[tokio::test]
async fn mismatch_with_another_cause_is_kept_with_its_reason() {
    let fixture = LedgerFixture::past_grace().await;
    let capture = fixture
        .entries
        .iter()
        .find(|entry| entry["kind"] == "capture" && entry["order_id"] == fixture.confirmed.as_str())
        .unwrap();
    let of_order = |item: &Value, sk: &str| {
        item["order_id"]["S"] == fixture.confirmed.as_str()
            && item["sk"]["S"].as_str().is_some_and(|text| text.starts_with(sk))
    };
    let (intent, attempt) = (
        fixture.item("payments", |item| of_order(item, "INTENT")),
        fixture.item("payments", |item| of_order(item, "ATTEMPT#")),
    );
    let reservation = fixture
        .item("stock", |item| item["pk"]["S"] == format!("RESERVATION#{}", fixture.confirmed));
    let spoons = fixture.item("stock", |item| item["pk"]["S"] == format!("STOCK#{SPOON}"));
    let with = |item: &Value, name: &str, value: Value| {
        let mut item = item.clone();
        item[name] = value;
        item
    };
    let held = with(&reservation, "state", json!({ "S": "held" }));
    for (name, is_lost, table, item, changed, reason) in [
        (
            "intent and attempts differ",
            true,
            "payments",
            &intent,
            with(&intent, "captured_total", json!({ "N": "6000" })),
            "contradict",
        ),
        (
            "the provider says less",
            true,
            "payments",
            &attempt,
            with(&attempt, "amount", json!({ "N": "7001" })),
            "contradict",
        ),
        (
            "written too often",
            true,
            "payments",
            &intent,
            with(&intent, "version", json!({ "N": "5000" })),
            "written too often",
        ),
        (
            "another state",
            false,
            "stock",
            &reservation,
            held,
            "reservation and the order contradict",
        ),
    ] {
        if is_lost {
            delete_entry(&fixture, capture);
        }
        fixture.aws.put(table, &changed);
        let before = fixture.aws.items("ledger");
        let (booked, report) = repair(&fixture, json!({ "order_id": fixture.confirmed })).await;
        assert!(booked.is_empty(), "{name}: {booked:?}");
        assert_eq!(unbalanced(&report), BTreeSet::from([fixture.confirmed.clone()]), "{name}");
        assert!(
            reasons(&report).iter().any(|said| said.contains(reason)),
            "{name}: {:?}",
            reasons(&report)
        );
        assert_eq!(fixture.aws.items("ledger"), before, "{name}");
        fixture.aws.put(table, item);
        assert!(fixture.call("record-entry", message(capture)).await.is_done(), "{name}");
    }
    // Repair never reverses entries.
    let lines = [
        line("provider_clearing", "USD", 5),
        line(&format!("customer_funds:{}", fixture.confirmed), "USD", -5),
    ];
    let mut more = entry(0xc2, "capture", &lines);
    more["order_id"] = json!(fixture.confirmed);
    assert!(fixture.call("record-entry", message(&more)).await.is_done());
    let (booked, report) = repair(&fixture, json!({ "order_id": fixture.confirmed })).await;
    assert!(booked.is_empty() && reasons(&report)[0].contains("booked more"), "{report:#}");
    delete_entry(&fixture, &more);
    // Repair does not book stock differences that no movement explains.
    fixture.aws.put("stock", &with(&spoons, "available", json!({ "N": "1" })));
    let (booked, report) = repair(&fixture, json!({})).await;
    assert_eq!(
        (booked, unbalanced(&report)),
        (vec![], BTreeSet::from([SPOON.to_owned()])),
        "{report:#}"
    );
}

#[tokio::test]
async fn sale_is_not_repaired_from_an_order_that_contradicts_payments() {
    let fixture = LedgerFixture::past_grace().await;
    let event = json!({ "order_id": fixture.confirmed });
    let order = fixture.order_item(&fixture.confirmed);
    delete_entry(&fixture, fixture.entries.iter().find(|entry| entry["kind"] == "sale").unwrap());
    for (name, value, reason) in
        [("refunded_total", "5", "contradicts its price"), ("version", "5000", "written too often")]
    {
        let mut changed = order.clone();
        changed[name] = json!({ "N": value });
        fixture.aws.put("orders", &changed);
        let (booked, report) = repair(&fixture, event.clone()).await;
        assert!(booked.is_empty(), "{name}: {booked:?}");
        assert!(reasons(&report)[0].contains(reason), "{name}: {:?}", reasons(&report));
    }
    fixture.aws.put("orders", &order);
    assert_eq!(repair(&fixture, event.clone()).await.0, ["sale"]);
    // No version of the order has published this entry.
    let funds = line(&format!("customer_funds:{}", fixture.confirmed), "USD", 5);
    let mut more = entry(0xc3, "sale", &[funds, line("revenue:goods", "USD", -5)]);
    more["order_id"] = json!(fixture.confirmed);
    assert!(fixture.call("record-entry", message(&more)).await.is_done());
    let (booked, report) = repair(&fixture, event).await;
    assert!(booked.is_empty() && reasons(&report)[0].contains("no version"), "{report:#}");
}

#[tokio::test]
async fn scheduled_audit_repairs_nothing() {
    let fixture = LedgerFixture::past_grace().await;
    delete_entry(&fixture, &fixture.entries[0]);
    let tick = json!({ "source": "aws.events", "detail-type": "Scheduled Event", "detail": {}, "repair": true });
    let report = fixture.report(tick).await;
    assert!(report.get("repaired").is_none() && !unbalanced(&report).is_empty(), "{report:#}");
}
