//! Every single corrupted figure makes the audit report its order or product.

use super::{fixture::*, *};

/// One stored figure and its corrupted value.
struct Corruption {
    name: &'static str,
    table: &'static str,
    item: Value,
    pointer: String,
    value: Value,
    /// The order or product that the audit must report.
    named: String,
    /// The check that must fail.
    check: &'static str,
}

/// One corruption for each stored figure of money and stock.
fn corruptions(fixture: &LedgerFixture) -> Vec<Corruption> {
    let number = |item: &Value, pointer: &str, by: i64| {
        let stored: i64 = item
            .pointer(pointer)
            .unwrap_or_else(|| panic!("{pointer}: {item:#}"))
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        json!((stored + by).to_string())
    };
    let is = |item: &Value, name: &str, value: &str| item[name]["S"] == value;
    let begins = |item: &Value, name: &str, with: &str| {
        item[name]["S"].as_str().is_some_and(|text| text.starts_with(with))
    };
    // A total of 0 is not stored.
    let order = |id: &str| {
        let mut order = fixture.order_item(id);
        for name in ["captured_total", "refunded_total"] {
            if order[name].is_null() {
                order[name] = json!({ "N": "0" });
            }
        }
        order
    };
    let payment = |id: &str, sk: &str| {
        fixture.item("payments", |item| is(item, "order_id", id) && begins(item, "sk", sk))
    };
    let provider = |id: &str, pk: &str| {
        fixture.item("payment-simulator", |item| is(item, "order_id", id) && begins(item, "pk", pk))
    };
    let stock = |pk: String| fixture.item("stock", |item| is(item, "pk", &pk));
    let entry = |pk: String, kind: &str| {
        fixture.item("ledger", |item| is(item, "pk", &pk) && is(item, "kind", kind))
    };
    let (confirmed, refunded, failed) = (&fixture.confirmed, &fixture.refunded, &fixture.failed);
    let mut all = Vec::new();
    let mut change = |name, table, item: Value, pointer: &str, by: i64, named: &str, check| {
        let (value, pointer, named) =
            (number(&item, pointer, by), pointer.to_owned(), named.to_owned());
        all.push(Corruption { name, table, item, pointer, value, named, check });
    };
    change(
        "order captured_total",
        "orders",
        order(confirmed),
        "/captured_total/N",
        1,
        confirmed,
        "captured_by_order",
    );
    change(
        "order refunded_total",
        "orders",
        order(confirmed),
        "/refunded_total/N",
        1,
        confirmed,
        "refunded_by_order",
    );
    change(
        "order refunded_total, refunded",
        "orders",
        order(refunded),
        "/refunded_total/N",
        -1,
        refunded,
        "refunded_by_order",
    );
    change(
        "order captured_total, failed",
        "orders",
        order(failed),
        "/captured_total/N",
        500,
        failed,
        "captured_by_order",
    );
    change(
        "order total",
        "orders",
        order(confirmed),
        "/totals/M/total/N",
        1,
        confirmed,
        "one_full_capture",
    );
    change(
        "order line",
        "orders",
        order(confirmed),
        &format!("/lines/M/{SPOON}/M/quantity/N"),
        1,
        confirmed,
        "reserved_quantity",
    );
    change(
        "intent captured_total",
        "payments",
        payment(confirmed, "INTENT"),
        "/captured_total/N",
        -1,
        confirmed,
        "captured_by_payments",
    );
    change(
        "intent refunded_total",
        "payments",
        payment(refunded, "INTENT"),
        "/refunded_total/N",
        -1,
        refunded,
        "refunded_by_payments",
    );
    change(
        "intent refundable",
        "payments",
        payment(confirmed, "INTENT"),
        "/refundable/N",
        1,
        confirmed,
        "refundable",
    );
    change(
        "intent amount",
        "payments",
        payment(confirmed, "INTENT"),
        "/amount/N",
        1,
        confirmed,
        "amount_due",
    );
    change(
        "attempt amount",
        "payments",
        payment(confirmed, "ATTEMPT#"),
        "/amount/N",
        1,
        confirmed,
        "charge_at_provider",
    );
    change(
        "attempt refunded",
        "payments",
        payment(refunded, "ATTEMPT#"),
        "/refunded/N",
        -1,
        refunded,
        "refunded_of_payment",
    );
    change(
        "refund amount",
        "payments",
        payment(refunded, "REFUND#"),
        "/amount/N",
        -1,
        refunded,
        "refund_at_provider",
    );
    change(
        "simulator charge",
        "payment-simulator",
        provider(confirmed, "CHARGE#"),
        "/amount/N",
        1,
        confirmed,
        "charge_at_provider",
    );
    change(
        "simulator refundable",
        "payment-simulator",
        provider(refunded, "CHARGE#"),
        "/refundable/N",
        1,
        refunded,
        "refundable_at_provider",
    );
    change(
        "simulator refund",
        "payment-simulator",
        provider(refunded, "REFUND#"),
        "/amount/N",
        -1,
        refunded,
        "refund_at_provider",
    );
    let reservation = |id: &str| stock(format!("RESERVATION#{id}"));
    // The key of a line contains its shard, unless that is 0.
    let quantity = |reservation: &Value, product: &str| {
        let lines = reservation["lines"]["M"].as_object().unwrap();
        let line = lines.keys().find(|line| line.starts_with(product)).unwrap();
        format!("/lines/M/{line}/N")
    };
    change(
        "reservation quantity",
        "stock",
        reservation(confirmed),
        &quantity(&reservation(confirmed), SPOON),
        -1,
        confirmed,
        "reserved_quantity",
    );
    change(
        "reservation quantity, refunded",
        "stock",
        reservation(refunded),
        &quantity(&reservation(refunded), BOWL),
        1,
        refunded,
        "reserved_quantity",
    );
    change(
        "held quantity",
        "stock",
        reservation(&fixture.open),
        &quantity(&reservation(&fixture.open), SPOON),
        1,
        SPOON,
        "held_for_orders",
    );
    change(
        "stock available",
        "stock",
        stock(format!("STOCK#{SPOON}")),
        "/available/N",
        1,
        SPOON,
        "held_for_orders",
    );
    change(
        "stock on_hand",
        "stock",
        stock(format!("STOCK#{BOWL}")),
        "/on_hand/N",
        -1,
        BOWL,
        "on_hand_in_ledger",
    );
    let line = "/lines/M/USD/M/provider_clearing/N";
    change(
        "ledger line of a capture",
        "ledger",
        entry(format!("ORDER#{confirmed}"), "capture"),
        line,
        1,
        confirmed,
        "entry_balances",
    );
    change(
        "ledger line of a refund",
        "ledger",
        entry(format!("ORDER#{refunded}"), "refund"),
        line,
        -1,
        refunded,
        "entry_balances",
    );
    change(
        "ledger line of a sale",
        "ledger",
        entry(format!("ORDER#{confirmed}"), "commit"),
        &format!("/lines/M/{SPOON}/M/shipped_out/N"),
        1,
        confirmed,
        "committed_in_ledger",
    );
    change(
        "ledger line of earned revenue",
        "ledger",
        entry(format!("ORDER#{confirmed}"), "sale"),
        "/lines/M/USD/M/revenue:goods/N",
        1,
        confirmed,
        "sale_in_ledger",
    );
    change(
        "ledger line of a product",
        "ledger",
        entry(format!("PRODUCT#{BOWL}"), "adjustment"),
        &format!("/lines/M/{BOWL}/M/on_hand/N"),
        1,
        BOWL,
        "on_hand_in_ledger",
    );

    let mut rename = |name, table, item: Value, pointer: &str, value: &str, named: &str, check| {
        all.push(Corruption {
            name,
            table,
            item,
            pointer: pointer.to_owned(),
            value: json!(value),
            named: named.to_owned(),
            check,
        });
    };
    rename(
        "order status, confirmed",
        "orders",
        order(confirmed),
        "/status/S",
        "cancelled",
        confirmed,
        "net_zero",
    );
    rename(
        "order status, failed",
        "orders",
        order(failed),
        "/status/S",
        "confirmed",
        failed,
        "one_full_capture",
    );
    rename(
        "order status, pending",
        "orders",
        order(confirmed),
        "/status/S",
        "pending",
        confirmed,
        "confirmed",
    );
    rename(
        "order stock state",
        "orders",
        order(confirmed),
        "/stock/S",
        "released",
        confirmed,
        "reservation_state",
    );
    rename(
        "reservation state",
        "stock",
        reservation(confirmed),
        "/state/S",
        "held",
        confirmed,
        "reservation_state",
    );
    rename(
        "attempt state",
        "payments",
        payment(confirmed, "ATTEMPT#"),
        "/state/S",
        "declined",
        confirmed,
        "charge_at_provider",
    );
    rename(
        "attempt under review",
        "payments",
        payment(confirmed, "ATTEMPT#"),
        "/state/S",
        "needs_review",
        confirmed,
        "under_review",
    );
    rename(
        "refund state",
        "payments",
        payment(refunded, "REFUND#"),
        "/state/S",
        "failed",
        refunded,
        "refund_at_provider",
    );
    rename(
        "currency",
        "payments",
        payment(confirmed, "INTENT"),
        "/currency/S",
        "EUR",
        confirmed,
        "amount_due",
    );
    rename(
        "charge of another order",
        "payment-simulator",
        provider(confirmed, "CHARGE#"),
        "/order_id/S",
        refunded,
        confirmed,
        "order_at_provider",
    );
    rename(
        "order that cannot be read",
        "orders",
        order(confirmed),
        "/captured_total",
        "much",
        confirmed,
        "readable",
    );
    all
}

#[tokio::test]
async fn corrupted_figure_reports_its_order_or_product() {
    let fixture = LedgerFixture::past_grace().await;
    assert!(fixture.unbalanced().await.is_empty());
    let corruptions = corruptions(&fixture);
    assert!(corruptions.len() > 30);
    for Corruption { name, table, item, pointer, value, named, check } in corruptions {
        let mut corrupted = item.clone();
        *corrupted.pointer_mut(&pointer).unwrap() =
            if pointer == "/captured_total" { json!({ "S": value }) } else { value };
        assert_ne!(corrupted, item, "{name}");
        // Only the service sets index keys. The order is still found by its previous status, as if
        // someone had edited the table.
        fixture.aws.put(table, &corrupted);
        let report = fixture.report(json!({})).await;
        assert!(
            unbalanced(&report).contains(&named),
            "{name}: {named} is not reported: {report:#}"
        );
        assert!(
            checks(&report, &named).contains(check),
            "{name}: {check} is not among {:?}",
            checks(&report, &named)
        );
        for bystander in [&fixture.confirmed, &fixture.refunded, &fixture.failed]
            .into_iter()
            .filter(|id| **id != named)
        {
            let same_product = named.starts_with("prd_");
            assert!(
                same_product || !unbalanced(&report).contains(bystander),
                "{name}: {bystander} is reported for another order's records: {report:#}"
            );
        }
        fixture.aws.put(table, &item);
    }
    assert!(
        fixture.unbalanced().await.is_empty(),
        "everything is corrected, but mismatches are still reported"
    );
}
