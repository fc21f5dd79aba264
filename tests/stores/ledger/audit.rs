//! The audit: books that agree are left in peace, and one figure that is changed anywhere names its order or its product.
//!
//! The services themselves write what is read here, each by its own functions and publishers.

use std::{sync::Arc, time::Duration};

use inventory::operations::{
    adjust_stock::adjust_stock, commit_stock::commit_stock, publish_stock_events, release_stock::release_stock,
    reserve_stock::reserve_stock,
};
use ledger::operations::reconcile_books::reconcile_books;
use orders::operations::{
    advance_order::advance_order, create_order::create_order, publish_order_events, replicate_product::replicate_product,
    resume_orders::resume_orders,
};
use payments::operations::{
    cancel_payment::cancel_payment, charge_payment::charge_payment, open_payment::open_payment, publish_payment_events,
    reconcile_payments::reconcile_payments, refund_payment::refund_payment,
};
use serde_json::{Value, json};
use shared::{
    clock::Clock,
    http, invoke,
    lambda::{Invocation, Lambda},
    queue::{self, Queue},
    stream,
};
use tests::{pump::Pump, shop::PAY_WITHIN};

use super::*;

/// Longer than anything is on its way.
const AT_REST: Duration = Duration::from_secs(660);

/// A shop with all that an audit looks at.
struct World {
    aws: Aws,
    clock: Clock,
    record: Lambda,
    audit: Lambda,
    /// Paid and confirmed: two spoons and a bowl for 70.00.
    confirmed: String,
    /// Paid and never answered, expired, and given back.
    refunded: String,
    /// More than there is.
    failed: String,
    /// Declined once; it can still be paid.
    open: String,
    /// What the ledger was told.
    told: Vec<Value>,
}

fn lambda_of(service: &Arc<inventory::Inventory>, queue: &str) -> Lambda {
    let source = Queue::new(sqs::url(queue));
    match queue {
        "reserve-stock" => queue::lambda(service.clone(), reserve_stock, source),
        "release-stock" => queue::lambda(service.clone(), release_stock, source),
        _ => queue::lambda(service.clone(), commit_stock, source),
    }
}

impl World {
    /// The world, long after everything in it has happened but for the order that is open.
    async fn at_rest() -> Self {
        let world = Self::fresh().await;
        world.clock.advance(AT_REST);
        world
    }

    async fn fresh() -> Self {
        let (aws, clock) = (Aws::new(), shop::clock());
        let record = queue::lambda(
            Arc::new(ledger_over(&|name| aws.table(name), &clock, ProviderBooks::AsRecorded)),
            record_entry,
            Queue::new(sqs::url("record-entry")),
        );
        let provider = ProviderBooks::Simulated(aws.table("payment-simulator"));
        let audit = invoke::lambda(Arc::new(ledger_over(&|name| aws.table(name), &clock, provider)), reconcile_books);
        let ([confirmed, refunded, failed, open], told) = trade(&aws, &clock, &record).await;
        Self { aws, clock, record, audit, confirmed, refunded, failed, open, told }
    }

    async fn report(&self, event: Value) -> Value {
        self.aws.call(&self.audit, event).await.ok().clone()
    }

    /// The ids of those that are named as broken.
    async fn broken(&self) -> BTreeSet<String> {
        broken(&self.report(json!({})).await)
    }

    /// The one item that this is true of.
    fn item(&self, table: &str, which: impl Fn(&Value) -> bool) -> Value {
        let found: Vec<Value> = self.aws.items(table).into_iter().filter(|item| which(item)).collect();
        assert_eq!(found.len(), 1, "{found:#?}");
        found[0].clone()
    }
}

fn broken(report: &Value) -> BTreeSet<String> {
    let orders = report["broken"].as_array().unwrap().iter().map(|row| text(&row["order_id"]));
    let products = report["products"].as_array().unwrap().iter().filter(|row| row["state"] == "broken").map(|row| text(&row["product_id"]));
    orders.chain(products).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Those that are named where the order that never moved anything is asked for by its id.
async fn broken_of(world: &World, failed: bool) -> BTreeSet<String> {
    if failed { broken(&world.report(json!({ "order_id": world.failed })).await) } else { BTreeSet::new() }
}

/// The checks that are named for an order or a product.
fn checks(report: &Value, id: &str) -> BTreeSet<String> {
    let lists = ["broken", "unsettled", "products"].into_iter().flat_map(|list| report[list].as_array().unwrap());
    let rows = lists.filter(|row| row["order_id"] == id || row["product_id"] == id);
    rows.flat_map(|row| row["findings"].as_array().unwrap()).map(|finding| text(&finding["check"])).collect()
}

/// Lets four buyers order, and everything come to rest; gives their orders, and what the ledger was told.
async fn trade(aws: &Aws, clock: &Clock, record: &Lambda) -> ([String; 4], Vec<Value>) {
    let inventory = Arc::new(shop::inventory(aws, clock));
    let orders = Arc::new(shop::orders(aws, clock));
    let payments = Arc::new(shop::payments(aws, clock));
    let source = |name: &str| Queue::new(sqs::url(name));
    let mut pump = Pump::new(aws)
        .publisher("stock", {
            use publish_stock_events::{PUBLISHED, QUEUES};
            stream::lambda("publish-stock-events", PUBLISHED, inventory::publish::messages, aws.sender(QUEUES, "publish-stock-dead-letter"))
        })
        .publisher("orders", {
            use publish_order_events::{PUBLISHED, QUEUES};
            stream::lambda("publish-order-events", PUBLISHED, orders::publish::messages, aws.sender(QUEUES, "publish-order-dead-letter"))
        })
        .publisher("payments", {
            use publish_payment_events::{PUBLISHED, QUEUES};
            stream::lambda(
                "publish-payment-events",
                PUBLISHED,
                payments::publish::messages,
                aws.sender(QUEUES, "publish-payment-dead-letter"),
            )
        })
        .consumer("record-entry", record.clone())
        .consumer("order-events", queue::lambda(orders.clone(), advance_order, source("order-events")))
        .consumer("open-payment", queue::lambda(payments.clone(), open_payment, source("open-payment")))
        .consumer("charge-payment", queue::lambda(payments.clone(), charge_payment, source("charge-payment")))
        .consumer("cancel-payment", queue::lambda(payments.clone(), cancel_payment, source("cancel-payment")))
        .consumer("refund-payment", queue::lambda(payments.clone(), refund_payment, source("refund-payment")));
    for queue in ["reserve-stock", "release-stock", "commit-stock"] {
        pump = pump.consumer(queue, lambda_of(&inventory, queue));
    }

    let adjust = http::lambda(inventory.clone(), adjust_stock);
    let replicate = queue::lambda(orders.clone(), replicate_product, source("product-changes"));
    for (product, name, cents, delta) in [(SPOON, "spoon", 2000, 100), (SPOON, "spoon", 2000, -10), (BOWL, "bowl", 3000, 50)] {
        let request = events::post(&format!("/inventory/{product}/adjustments"), &json!({ "delta": delta, "reason": "Count" }));
        let request =
            request.path_parameter("product_id", product).caller(events::ADMIN).header("idempotency-key", &format!("{name}{delta}"));
        assert_eq!(aws.call(&adjust, request.event()).await.status(), 201);
        let price = json!({ "amount": cents, "currency": "USD" });
        let data = json!({ "product_id": product, "version": 1, "sku": name.to_uppercase(), "name": name, "category": "kitchen", "price": price, "max_per_order": 900, "active": true });
        assert!(is_done(&aws.call(&replicate, events::message("product-changes", "product_changed.v1", &data)).await));
    }

    // What sells fast is divided: the books are the same.
    let request = events::post(&format!("/inventory/{BOWL}/adjustments"), &json!({ "shards": 4, "reason": "It sells fast" }));
    let request = request.path_parameter("product_id", BOWL).caller(events::ADMIN).header("idempotency-key", "divided");
    assert_eq!(aws.call(&adjust, request.event()).await.status(), 201);

    let place = http::lambda(orders.clone(), create_order);
    let order = async |key: &str, spoons: u32, bowls: u32, token: &str| {
        let items = json!([{ "product_id": SPOON, "quantity": spoons }, { "product_id": BOWL, "quantity": bowls }]);
        let body = json!({ "items": items, "payment_method": { "type": "card", "token": token } });
        let called = aws.call(&place, events::post("/orders", &body).caller(events::USER).header("idempotency-key", key).event()).await;
        assert_eq!(called.status(), 201, "{:?}", called.answer);
        text(&called.json()["id"])
    };
    let confirmed = order("confirmed", 2, 1, "tok_ok").await;
    let refunded = order("refunded", 3, 2, "tok_timeout_after_charge").await;
    let failed = order("failed", 1, 900, "tok_ok").await;
    pump.settle().await;

    // The buyer's time is up before anybody has asked the provider: the charge is found, and given back.
    let resume = invoke::lambda(orders.clone(), resume_orders);
    let reconcile = invoke::lambda(payments.clone(), reconcile_payments);
    clock.advance(PAY_WITHIN);
    for _ in 0..4 {
        for sweep in [&resume, &reconcile] {
            aws.call(sweep, json!({})).await.ok();
            pump.settle().await;
        }
        clock.advance(Duration::from_secs(3600));
    }
    let open = order("open", 1, 1, "tok_declined").await;
    pump.settle().await;

    let states = |id: &str| {
        aws.orders()
            .into_iter()
            .find(|item| item["order_id"]["S"] == id)
            .map(|item| (text(&item["status"]["S"]), text(&item["payment"]["S"])))
    };
    for (id, status, payment) in
        [(&confirmed, "confirmed", "paid"), (&refunded, "cancelled", "refunded"), (&failed, "failed", "closed"), (&open, "pending", "open")]
    {
        assert_eq!(states(id), Some((status.to_owned(), payment.to_owned())));
    }
    assert!(aws.queues().waiting("record-entry-dead-letter").is_empty(), "the ledger can read what it is told");
    let told = pump.delivered.iter().filter(|(queue, _)| *queue == "record-entry").map(|(_, message)| message["data"].clone());
    ([confirmed, refunded, failed, open], told.collect())
}

#[tokio::test]
async fn books_that_agree_are_left_in_peace() {
    let world = World::at_rest().await;
    let report = world.report(json!({})).await;
    assert_eq!(report["broken"], json!([]), "{report:#}");
    assert_eq!(report["products"], json!([]), "{report:#}");
    assert_eq!((&report["checked"], &report["balanced"], &report["products_checked"]), (&json!(4), &json!(3), &json!(2)), "{report:#}");
    assert_eq!(report["not_checked"], json!([]));
    assert_eq!(report["provider"], "the simulated provider's own books");
    assert!(report.get("continuation").is_none());
    let unsettled = report["unsettled"].as_array().unwrap();
    let open: Vec<_> = unsettled.iter().map(|row| (text(&row["order_id"]), text(&row["status"]), row["findings"].clone())).collect();
    assert_eq!(open, [(world.open.clone(), "pending".to_owned(), json!([]))]);
    assert_eq!(world.report(json!({ "order_id": world.confirmed })).await["balanced"], 1);
    // The ledger knows all of the money: what came in, less what went back.
    let seen = world.report(json!({ "order_id": world.refunded })).await;
    assert_eq!((&seen["checked"], &seen["balanced"]), (&json!(1), &json!(1)));
}

/// One figure, and what it becomes.
struct Corruption {
    name: &'static str,
    table: &'static str,
    item: Value,
    pointer: &'static str,
    value: Value,
    /// Whose name has to come up.
    named: String,
    /// The check that it comes up for.
    check: &'static str,
}

/// The figures that are stored about money and goods, each changed in turn.
fn corruptions(world: &World) -> Vec<Corruption> {
    let number = |item: &Value, pointer: &str, by: i64| {
        let stored: i64 = item.pointer(pointer).unwrap_or_else(|| panic!("{pointer}: {item:#}")).as_str().unwrap().parse().unwrap();
        json!((stored + by).to_string())
    };
    let is = |item: &Value, name: &str, value: &str| item[name]["S"] == value;
    let begins = |item: &Value, name: &str, with: &str| item[name]["S"].as_str().is_some_and(|text| text.starts_with(with));
    let order = |id: &str| world.item("orders", |item| is(item, "order_id", id));
    let payment = |id: &str, sk: &str| world.item("payments", |item| is(item, "order_id", id) && begins(item, "sk", sk));
    let provider = |id: &str, pk: &str| world.item("payment-simulator", |item| is(item, "order_id", id) && begins(item, "pk", pk));
    let stock = |pk: String| world.item("stock", |item| is(item, "pk", &pk));
    let entry = |pk: String, kind: &str| world.item("ledger", |item| is(item, "pk", &pk) && is(item, "kind", kind));
    let (confirmed, refunded, failed) = (&world.confirmed, &world.refunded, &world.failed);
    let mut all = Vec::new();
    let mut change = |name, table, item: Value, pointer, by: i64, named: &str, check| {
        let value = number(&item, pointer, by);
        all.push(Corruption { name, table, item, pointer, value, named: named.to_owned(), check });
    };
    change("order captured_total", "orders", order(confirmed), "/captured_total/N", 1, confirmed, "captured_by_order");
    change("order refunded_total", "orders", order(confirmed), "/refunded_total/N", 1, confirmed, "refunded_by_order");
    change("order refunded_total, refunded", "orders", order(refunded), "/refunded_total/N", -1, refunded, "refunded_by_order");
    change("order captured_total, failed", "orders", order(failed), "/captured_total/N", 500, failed, "captured_by_order");
    change("order total", "orders", order(confirmed), "/totals/M/total/M/amount/N", 1, confirmed, "one_full_capture");
    change("order line", "orders", order(confirmed), "/lines/L/0/M/quantity/N", 1, confirmed, "reserved_quantity");
    change("head captured_total", "payments", payment(confirmed, "HEAD"), "/captured_total/N", -1, confirmed, "captured_by_payments");
    change("head refunded_total", "payments", payment(refunded, "HEAD"), "/refunded_total/N", -1, refunded, "refunded_by_payments");
    change("head refundable", "payments", payment(confirmed, "HEAD"), "/refundable/N", 1, confirmed, "refundable");
    change("head amount", "payments", payment(confirmed, "HEAD"), "/amount/N", 1, confirmed, "amount_due");
    change("attempt amount", "payments", payment(confirmed, "ATTEMPT#"), "/amount/N", 1, confirmed, "charge_at_provider");
    change("attempt refunded", "payments", payment(refunded, "ATTEMPT#"), "/refunded/N", -1, refunded, "refunded_of_payment");
    change("refund amount", "payments", payment(refunded, "REFUND#"), "/amount/N", -1, refunded, "refund_at_provider");
    change("simulator charge", "payment-simulator", provider(confirmed, "CHARGE#"), "/amount/N", 1, confirmed, "charge_at_provider");
    change(
        "simulator refundable",
        "payment-simulator",
        provider(refunded, "CHARGE#"),
        "/refundable/N",
        1,
        refunded,
        "refundable_at_provider",
    );
    change("simulator refund", "payment-simulator", provider(refunded, "REFUND#"), "/amount/N", -1, refunded, "refund_at_provider");
    let reservation = |id: &str| stock(format!("RESERVATION#{id}"));
    change("reservation quantity", "stock", reservation(confirmed), "/lines/L/0/M/quantity/N", -1, confirmed, "reserved_quantity");
    change("reservation quantity, refunded", "stock", reservation(refunded), "/lines/L/1/M/quantity/N", 1, refunded, "reserved_quantity");
    change("held quantity", "stock", reservation(&world.open), "/lines/L/0/M/quantity/N", 1, SPOON, "held_for_orders");
    change("stock available", "stock", stock(format!("STOCK#{SPOON}")), "/available/N", 1, SPOON, "available_in_ledger");
    change("stock on_hand", "stock", stock(format!("STOCK#{BOWL}")), "/on_hand/N", -1, BOWL, "held_in_ledger");
    let line = "/lines/L/0/M/amount/N";
    change("ledger line of a capture", "ledger", entry(format!("ORDER#{confirmed}"), "capture"), line, 1, confirmed, "entry_balances");
    change("ledger line of a refund", "ledger", entry(format!("ORDER#{refunded}"), "refund"), line, -1, refunded, "entry_balances");
    change("ledger line of a hold", "ledger", entry(format!("ORDER#{confirmed}"), "hold"), line, 1, confirmed, "reserved_in_ledger");
    change(
        "ledger line of a product",
        "ledger",
        world.item("ledger", |item| {
            item["pk"]["S"].as_str().is_some_and(|pk| pk.starts_with(&format!("PRODUCT#{BOWL}#"))) && is(item, "kind", "adjustment")
        }),
        line,
        1,
        BOWL,
        "entry_balances",
    );

    let mut rename = |name, table, item: Value, pointer, value: &str, named: &str, check| {
        all.push(Corruption { name, table, item, pointer, value: json!(value), named: named.to_owned(), check });
    };
    rename("order status, confirmed", "orders", order(confirmed), "/status/S", "cancelled", confirmed, "net_zero");
    rename("order status, failed", "orders", order(failed), "/status/S", "confirmed", failed, "one_full_capture");
    rename("order status, pending", "orders", order(confirmed), "/status/S", "pending", confirmed, "confirmed");
    rename("order stock leg", "orders", order(confirmed), "/stock/S", "released", confirmed, "reservation_state");
    rename("reservation state", "stock", reservation(confirmed), "/state/S", "held", confirmed, "reservation_state");
    rename("attempt state", "payments", payment(confirmed, "ATTEMPT#"), "/state/S", "declined", confirmed, "charge_at_provider");
    rename("attempt under review", "payments", payment(confirmed, "ATTEMPT#"), "/state/S", "needs_review", confirmed, "under_review");
    rename("refund state", "payments", payment(refunded, "REFUND#"), "/state/S", "failed", refunded, "refund_at_provider");
    rename("currency", "payments", payment(confirmed, "HEAD"), "/currency/S", "EUR", confirmed, "amount_due");
    rename(
        "charge of another order",
        "payment-simulator",
        provider(confirmed, "CHARGE#"),
        "/order_id/S",
        refunded,
        confirmed,
        "order_at_provider",
    );
    rename("order that cannot be read", "orders", order(confirmed), "/captured_total", "much", confirmed, "readable");
    all
}

#[tokio::test]
async fn one_figure_that_is_changed_names_its_order_or_its_product() {
    let world = World::at_rest().await;
    assert!(world.broken().await.is_empty());
    let corruptions = corruptions(&world);
    assert!(corruptions.len() > 30);
    for Corruption { name, table, item, pointer, value, named, check } in corruptions {
        let mut corrupted = item.clone();
        *corrupted.pointer_mut(pointer).unwrap() = if pointer == "/captured_total" { json!({ "S": value }) } else { value };
        assert_ne!(corrupted, item, "{name}");
        // Index keys are the service's to set: an order is found by the status that it had, like one whose table was tampered with.
        world.aws.put(table, &corrupted);
        let report = world.report(json!({})).await;
        assert!(broken(&report).contains(&named), "{name}: {named} is not named: {report:#}");
        assert!(checks(&report, &named).contains(check), "{name}: {check} is not among {:?}", checks(&report, &named));
        for bystander in [&world.confirmed, &world.refunded, &world.failed].into_iter().filter(|id| **id != named) {
            let same_product = named.starts_with("prd_");
            assert!(same_product || !broken(&report).contains(bystander), "{name}: {bystander} is named for another's books: {report:#}");
        }
        world.aws.put(table, &item);
    }
    assert!(world.broken().await.is_empty(), "all is put right, and somebody is still named");
}

#[tokio::test]
async fn one_record_that_is_missing_names_its_order_or_its_product() {
    let world = World::at_rest().await;
    let begins = |item: &Value, name: &str, with: &str| item[name]["S"].as_str().is_some_and(|text| text.starts_with(with));
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
        for item in world.aws.items(table).into_iter().filter(|item| begins(item, "pk", prefix)) {
            let id = item["order_id"]["S"].as_str().filter(|_| !begins(&item, "pk", "PRODUCT#")).map(str::to_owned);
            let owner = id.unwrap_or_else(|| text(&item["pk"]["S"]).split('#').nth(1).unwrap().to_owned());
            // Attempts that came to nothing leave no trace anywhere else; what is open is judged when it is settled.
            if owner == world.open || item["state"]["S"] == "declined" {
                continue;
            }
            let mut key = json!({ "pk": item["pk"] });
            if has_sort_key {
                key["sk"] = item["sk"].clone();
            }
            world.aws.delete(table, &key);
            let broken = world.broken().await;
            // A head that was never paid says nothing that its absence does not; and an order that never moved anything is missed by
            // nothing that has moved. Whoever asks for it is told.
            let says_nothing = table == "payments" && owner == world.failed;
            let asked_for = broken_of(&world, table == "orders" && owner == world.failed).await;
            assert!(says_nothing || broken.union(&asked_for).any(|id| *id == owner), "{table} {key}: {owner} is not among {broken:?}");
            world.aws.put(table, &item);
            deleted += 1;
        }
    }
    assert!(deleted >= 20, "{deleted}");
    assert!(world.broken().await.is_empty());
}

#[tokio::test]
async fn what_still_moves_is_listed_apart_and_judged_when_it_has_come_to_rest() {
    let world = World::fresh().await;
    let order = world.item("orders", |item| item["order_id"]["S"] == world.open.as_str());
    let mut corrupted = order.clone();
    corrupted["captured_total"] = json!({ "N": "5" });
    world.aws.put("orders", &corrupted);
    let young = world.report(json!({})).await;
    assert!(broken(&young).is_empty(), "{young:#}");
    assert!(checks(&young, &world.open).contains("captured_by_order"), "what is found is shown all the same: {young:#}");
    world.clock.advance(AT_REST);
    let later = world.report(json!({})).await;
    assert_eq!(broken(&later), BTreeSet::from([world.open.clone()]));

    // Stock that sells at this moment: the ledger hears of it a little later.
    let world = World::fresh().await;
    let mut spoons = world.item("stock", |item| item["pk"]["S"] == format!("STOCK#{SPOON}"));
    spoons["available"] = json!({ "N": "80" });
    world.aws.put("stock", &spoons);
    let young = world.report(json!({})).await;
    assert_eq!((broken(&young).is_empty(), &young["products"][0]["state"]), (true, &json!("unsettled")), "{young:#}");
    world.clock.advance(AT_REST);
    assert_eq!(world.broken().await, BTreeSet::from([SPOON.to_owned()]));
}

#[tokio::test]
async fn a_lost_entry_is_missed_and_its_message_mends_it() {
    let world = World::at_rest().await;
    let capture = world.told.iter().find(|entry| entry["kind"] == "capture" && entry["order_id"] == world.confirmed.as_str());
    let capture = capture.unwrap().clone();
    for item in world.aws.items("ledger").into_iter().filter(|item| item["entry_id"]["S"] == capture["entry_id"]) {
        world.aws.delete("ledger", &json!({ "pk": item["pk"], "sk": item["sk"] }));
    }
    let report = world.report(json!({})).await;
    assert_eq!(broken(&report), BTreeSet::from([world.confirmed.clone()]));
    let expected = BTreeSet::from(["captured_by_ledger".to_owned(), "funds_in_ledger".to_owned()]);
    assert_eq!(checks(&report, &world.confirmed), expected);
    assert!(is_done(&world.aws.call(&world.record, message(&capture)).await));
    assert!(world.broken().await.is_empty());
}

#[tokio::test]
async fn money_that_no_order_knows_of_is_found_by_the_ledger_and_by_payments() {
    let world = World::at_rest().await;
    let stranger = "ord_0199c2a8-0000-7000-8000-0000000000ff";
    let lines = [line("provider_clearing", "USD", 5), line(&format!("customer_funds:{stranger}"), "USD", -5)];
    let mut booked = entry(0xc1, "capture", &lines);
    booked["order_id"] = json!(stranger);
    booked["occurred_at"] = json!(world.clock.now());
    assert!(is_done(&world.aws.call(&world.record, message(&booked)).await));
    // What happened at this very moment belongs to the next window.
    world.clock.advance(Duration::from_secs(1));
    let report = world.report(json!({})).await;
    assert_eq!(broken(&report), BTreeSet::from([stranger.to_owned()]));
    assert!(checks(&report, stranger).contains("order_exists"));

    let world = World::at_rest().await;
    let attempt = world.item("payments", |item| {
        item["order_id"]["S"] == world.confirmed.as_str() && item["sk"]["S"].as_str().unwrap().starts_with("ATTEMPT#")
    });
    let mut sent: Value = serde_json::from_str(&attempt.to_string().replace(&world.confirmed[4..], &stranger[4..])).unwrap();
    sent["state"] = json!({ "S": "sent" });
    sent["check_at"] = json!({ "S": "2026-11-21T09:48:49.123Z" });
    sent["check_shard"] = json!({ "S": "due#0" });
    world.aws.put("payments", &sent);
    assert_eq!(world.broken().await, BTreeSet::from([stranger.to_owned()]));
}

#[tokio::test]
async fn an_order_without_any_record_is_unknown_not_unbalanced() {
    let world = World::at_rest().await;
    let call = world.aws.call(&world.audit, json!({ "order_id": "ord_0199c2a8-0000-7000-8000-0000000000fe" })).await;
    let failure = call.answer.expect_err("nothing is recorded under this id");
    assert_eq!(failure.kind, "UnknownOrder");
    assert!(failure.message.contains("ord_0199c2a8-0000-7000-8000-0000000000fe"), "{failure:?}");
}

#[tokio::test]
async fn where_the_providers_books_are_not_ours_what_payments_recorded_counts() {
    let world = World::at_rest().await;
    let charge = world.item("payment-simulator", |item| {
        item["order_id"]["S"] == world.confirmed.as_str() && item["pk"]["S"].as_str().unwrap().starts_with("CHARGE#")
    });
    world.aws.delete("payment-simulator", &json!({ "pk": charge["pk"] }));
    assert_eq!(world.broken().await, BTreeSet::from([world.confirmed.clone()]));
    let service = ledger_over(&|name| world.aws.table(name), &world.clock, ProviderBooks::AsRecorded);
    let report = world.aws.call(&invoke::lambda(Arc::new(service), reconcile_books), json!({})).await.ok().clone();
    assert!(broken(&report).is_empty());
    assert_eq!(report["provider"], "what payments recorded of the provider's answers");
}

#[tokio::test]
async fn where_stripe_moves_the_money_its_own_books_are_read() {
    let world = World::at_rest().await;
    // As if Stripe had been asked all along: its books say what the simulated provider's do.
    let text_of = |item: &Value, name: &str| text(&item[name]["S"]);
    let charges: Vec<Value> =
        world.aws.items("payment-simulator").into_iter().filter(|item| text_of(item, "pk").starts_with("CHARGE#")).collect();
    let refunds: Vec<Value> =
        world.aws.items("payment-simulator").into_iter().filter(|item| text_of(item, "pk").starts_with("REFUND#")).collect();
    let number = |item: &Value, name: &str| item[name]["N"].as_str().unwrap().parse::<i64>().unwrap();
    let intents: Vec<Value> = charges
        .iter()
        .map(|charge| {
            let metadata = json!({ "order_id": text_of(charge, "order_id"), "payment_id": text_of(charge, "payment_id") });
            json!({ "id": text_of(charge, "charge_id"), "status": "succeeded", "amount_received": number(charge, "amount"), "currency": "usd", "metadata": metadata })
        })
        .collect();
    let given_back: Vec<Value> = refunds
        .iter()
        .map(|refund| {
            let metadata = json!({ "refund_id": text_of(refund, "pk").trim_start_matches("REFUND#") });
            json!({ "id": "re_1", "status": "succeeded", "amount": number(refund, "amount"), "payment_intent": text_of(refund, "charge_id"), "metadata": metadata })
        })
        .collect();
    assert!(intents.len() == 2 && given_back.len() == 1);
    for attempt in world.aws.items("payments").into_iter().filter(|item| text_of(item, "sk").starts_with("ATTEMPT#")) {
        let mut at_stripe = attempt.clone();
        at_stripe["provider"] = json!({ "S": "stripe" });
        world.aws.put("payments", &at_stripe);
    }
    world.aws.secrets_manager().set("stripe-key", "sk_test_key");
    let audit = async |intents: &[Value], refunds: &[Value]| {
        let stripe = stripe::Double::open(intents.to_vec(), refunds.to_vec());
        let secrets = world.aws.secrets_at(world.clock.clone());
        let books = ProviderBooks::Stripe(Arc::new(ledger::stripe::Stripe::new(stripe.url(), secrets)));
        let service = ledger_over(&|name| world.aws.table(name), &world.clock, books);
        world.aws.call(&invoke::lambda(Arc::new(service), reconcile_books), json!({})).await.ok().clone()
    };
    let clean = audit(&intents, &given_back).await;
    assert_eq!((broken(&clean), &clean["provider"], &clean["not_checked"]), (BTreeSet::new(), &json!("Stripe"), &json!([])), "{clean:#}");
    let changed = |list: &[Value], id: &str, pointer: &str, value: Value| {
        let mut list = list.to_vec();
        let one = list.iter_mut().find(|one| one["metadata"]["order_id"] == id || id.is_empty()).unwrap();
        *one.pointer_mut(pointer).unwrap() = value;
        list
    };
    let disputed = |list: &[Value], id: &str| {
        let mut list = list.to_vec();
        let one = list.iter_mut().find(|one| one["metadata"]["order_id"] == id).unwrap();
        one["latest_charge"] = json!({ "disputed": true });
        one["dispute"] = json!({ "id": "dp_1", "status": "lost", "amount": 7000 });
        list
    };
    for (name, intents, refunds, named, check) in [
        (
            "less",
            changed(&intents, &world.confirmed, "/amount_received", json!(1)),
            given_back.clone(),
            &world.confirmed,
            "charge_at_provider",
        ),
        (
            "euros",
            changed(&intents, &world.confirmed, "/currency", json!("eur")),
            given_back.clone(),
            &world.confirmed,
            "charge_at_provider",
        ),
        (
            "nothing",
            changed(&intents, &world.confirmed, "/status", json!("canceled")),
            given_back.clone(),
            &world.confirmed,
            "charge_at_provider",
        ),
        (
            "stranger",
            changed(&intents, &world.confirmed, "/metadata/order_id", json!("")),
            given_back.clone(),
            &world.confirmed,
            "order_at_provider",
        ),
        ("not given back", intents.clone(), vec![], &world.refunded, "refund_at_provider"),
        ("by hand", intents.clone(), changed(&given_back, "", "/metadata", json!({})), &world.refunded, "refund_at_provider"),
        (
            "a lost dispute that payments does not know",
            disputed(&intents, &world.confirmed),
            given_back.clone(),
            &world.confirmed,
            "dispute_at_provider",
        ),
    ] {
        let report = audit(&intents, &refunds).await;
        assert_eq!(broken(&report), BTreeSet::from([named.clone()]), "{name}: {report:#}");
        assert!(checks(&report, named).contains(check), "{name}: {:?}", checks(&report, named));
    }
    // A Stripe that does not answer is no broken book.
    let books =
        ProviderBooks::Stripe(Arc::new(ledger::stripe::Stripe::new("http://127.0.0.1:9", world.aws.secrets_at(world.clock.clone()))));
    let service = ledger_over(&|name| world.aws.table(name), &world.clock, books);
    let silent = world.aws.call(&invoke::lambda(Arc::new(service), reconcile_books), json!({})).await.ok().clone();
    assert_eq!((broken(&silent).len(), silent["not_checked"].as_array().unwrap().len()), (0, 3), "{silent:#}");
}

#[tokio::test]
async fn a_run_in_small_pieces_finds_what_a_whole_one_finds() {
    let world = World::at_rest().await;
    let mut order = world.item("orders", |item| item["order_id"]["S"] == world.refunded.as_str());
    order["refunded_total"] = json!({ "N": "0" });
    world.aws.put("orders", &order);
    let mut spoons = world.item("stock", |item| item["pk"]["S"] == format!("STOCK#{SPOON}"));
    spoons["available"] = json!({ "N": "1" });
    world.aws.put("stock", &spoons);
    // Many that are due at the same moment, in one shard.
    for number in 0..40 {
        let pk = format!("ORDER#ord_0199c2a8-0000-7000-8000-0000000002{number:02}");
        let due = json!({ "pk": { "S": pk }, "sk": { "S": "HEAD" }, "check_shard": { "S": "due#3" }, "check_at": { "S": "2026-11-21T09:48:49.123Z" } });
        world.aws.put("payments", &due);
    }
    let whole = world.report(json!({})).await;
    assert_eq!(broken(&whole).len(), 42);
    for limit in [1, 2, 7] {
        let (mut found, mut event, mut pieces) = (BTreeSet::new(), json!({ "limit": limit }), 0);
        loop {
            let piece = world.report(event.clone()).await;
            found.extend(broken(&piece));
            pieces += 1;
            assert!(pieces < 200, "it never ends");
            let Some(continuation) = piece.get("continuation") else { break };
            event = json!({ "limit": limit, "continuation": continuation });
        }
        assert_eq!(found, broken(&whole), "pieces of {limit}");
        assert!(pieces > 2, "{pieces}");
    }
}

#[tokio::test]
async fn a_run_ends_in_time_and_says_where_to_go_on() {
    let world = World::at_rest().await;
    let mut invocation = Invocation::with_event(json!({}));
    invocation.deadline = Clock::System.now().plus(Duration::from_secs(5));
    let late = world.aws.invoke(&world.audit, invocation).await;
    assert_eq!((&late.ok()["checked"], late.calls.len()), (&json!(0), 1), "there is no time to begin");
    let event = json!({ "continuation": late.ok()["continuation"] });
    let on = world.report(event).await;
    assert_eq!((&on["checked"], &on["balanced"]), (&json!(4), &json!(3)));
}

#[tokio::test]
async fn an_audit_asks_only_for_what_there_is() {
    let world = World::at_rest().await;
    for odd in [
        json!({ "since": "2026-11-21T10:00:00.000Z", "until": "2026-11-21T10:00:00.000Z" }),
        json!({ "since": "2020-01-01T00:00:00.000Z" }),
        json!({ "sinse": "2026-11-21T10:00:00.000Z" }),
        json!({ "order_id": "1" }),
    ] {
        let refused = world.aws.call(&world.audit, odd.clone()).await;
        assert_eq!(refused.answer.as_ref().map_err(|failure| failure.kind), Err("MalformedEvent"), "{odd}");
        assert!(refused.calls.is_empty());
    }
    let nothing = world.report(json!({ "since": "2026-11-01T00:00:00.000Z", "until": "2026-11-02T00:00:00.000Z" })).await;
    assert_eq!(nothing["checked"], 1, "what is unsettled is looked at whenever it was placed");
    let tick = json!({ "source": "aws.events", "detail-type": "Scheduled Event", "time": "2026-11-21T03:00:00Z", "detail": {} });
    assert_eq!(world.report(tick).await["checked"], 4);
}

#[tokio::test]
async fn an_audit_writes_nothing_and_walks_through_no_table() {
    let world = World::at_rest().await;
    let called = world.aws.call(&world.audit, json!({})).await;
    let mut asked: BTreeSet<(String, String)> = called.calls.iter().flat_map(|call| call.actions.clone()).collect();
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
        ("dynamodb:GetItem", "ledger"),
    ] {
        assert!(asked.remove(&(action.to_owned(), resource.to_owned())), "{action} {resource}");
    }
    assert_eq!(asked, BTreeSet::new());
}

#[tokio::test]
async fn what_cannot_be_read_is_named_and_is_neither_right_nor_wrong() {
    let calls = World::at_rest().await;
    let many = calls.aws.call(&calls.audit, json!({})).await.calls.len();
    let (mut failed, mut noted) = (0, 0);
    for call in (0..many).step_by(5) {
        let world = &calls;
        world.aws.fail(call, Fault::Throttle);
        let called = world.aws.call(&world.audit, json!({})).await;
        world.aws.heal();
        match &called.answer {
            Err(failure) => {
                assert!(["CandidatesNotRead", "ReservationsNotRead", "RoundNotRead"].contains(&failure.kind), "{failure:?}");
                failed += 1;
            }
            Ok(report) => {
                assert!(broken(report).is_empty(), "call {call}: a table that does not answer is not a broken book: {report:#}");
                let not_checked = report["not_checked"].as_array().unwrap().len();
                assert_eq!(not_checked, 1, "call {call}");
                let looked_at = report["checked"].as_i64().unwrap() + report["products_checked"].as_i64().unwrap();
                assert_eq!(looked_at, 5);
                noted += 1;
            }
        }
    }
    assert!(failed > 5 && noted > 3, "{failed} {noted}");
}

#[tokio::test(start_paused = true)]
async fn orders_are_looked_at_side_by_side_but_not_all_at_once() {
    let world = World::at_rest().await;
    for number in 0..64 {
        let pk = format!("ORDER#ord_0199c2a8-0000-7000-8000-0000000002{number:02}");
        let due = json!({ "pk": { "S": pk }, "sk": { "S": "HEAD" }, "check_shard": { "S": "due#3" }, "check_at": { "S": "2026-11-21T09:48:49.123Z" } });
        world.aws.put("payments", &due);
    }
    world.aws.take_time(Duration::from_millis(10));
    let (started, calls) = (tokio::time::Instant::now(), world.aws.calls().len());
    let report = world.report(json!({})).await;
    assert_eq!(report["checked"], 4 + 64);
    let (rounds, calls) = (started.elapsed().as_millis() / 10, world.aws.calls().len() - calls);
    // Each of the 64 takes four or five calls, 16 of them at a time.
    let walk = u128::from(8 + 8 + 48 + 3 * DAY_SHARDS + 8 + 8 + PRODUCT_SHARDS);
    assert!(rounds > 4 * 4 && rounds < walk + 80, "{rounds} rounds of {calls} calls");
}

fn tick() -> Value {
    json!({ "source": "aws.events", "detail-type": "Scheduled Event", "time": "2026-11-21T03:00:00Z", "detail": {} })
}

/// How the round stands: its version, and whether it goes on.
fn round(world: &World) -> Option<(u64, bool)> {
    let found = world.aws.items("ledger").into_iter().find(|item| item["pk"]["S"] == "AUDIT" && item["sk"]["S"] == "ROUND")?;
    Some((found["version"]["N"].as_str().unwrap().parse().unwrap(), found["continuation"]["M"].is_object()))
}

#[tokio::test]
async fn a_schedule_goes_round_the_shop_once_a_day_in_as_many_calls_as_it_takes() {
    let world = World::at_rest().await;
    let mut order = world.item("orders", |item| item["order_id"]["S"] == world.refunded.as_str());
    let paid_back = text(&order["refunded_total"]["N"]);
    order["refunded_total"] = json!({ "N": "0" });
    world.aws.put("orders", &order);
    // The first call has no time: it only begins.
    let mut invocation = Invocation::with_event(tick());
    invocation.deadline = Clock::System.now().plus(Duration::from_secs(5));
    assert_eq!(world.aws.invoke(&world.audit, invocation).await.ok()["checked"], 0);
    assert_eq!(round(&world), Some((1, true)));
    // The next goes on; what is broken is named whoever asks.
    let report = world.report(tick()).await;
    assert_eq!((&report["checked"], broken(&report)), (&json!(4), BTreeSet::from([world.refunded.clone()])));
    assert_eq!(round(&world), Some((2, false)));
    // Until the next day there is nothing to do, and that costs one call beside those of the lease.
    world.clock.advance(Duration::from_secs(3600));
    let idle = world.aws.call(&world.audit, tick()).await;
    assert_eq!((&idle.ok()["checked"], idle.operations()), (&json!(0), vec!["PutItem", "GetItem", "PutItem"]));
    // The next day it begins again, and looks at what moved since.
    world.clock.advance(Duration::from_secs(23 * 3600));
    assert_eq!(broken(&world.report(tick()).await), BTreeSet::from([world.refunded.clone()]));
    assert_eq!(round(&world), Some((3, false)));

    // A call that fails is made up for by the next.
    world.clock.advance(Duration::from_secs(24 * 3600));
    world.aws.fail(1, Fault::Throttle);
    let failed = world.aws.call(&world.audit, tick()).await;
    world.aws.heal();
    assert_eq!(failed.answer.as_ref().map_err(|failure| failure.kind), Err("RoundNotRead"));
    assert_eq!(round(&world), Some((3, false)));
    // An order that cannot be read is looked at again in the next round.
    world.aws.fail(2, Fault::Throttle);
    let unread = world.report(tick()).await;
    world.aws.heal();
    assert_eq!((&unread["not_checked"], broken(&unread)), (&json!([world.refunded]), BTreeSet::new()));
    assert_eq!(round(&world), Some((4, false)));
    world.clock.advance(Duration::from_secs(24 * 3600));
    // By now it was placed and has moved long ago: it is named until its books are put right, by the schedule and to an operator.
    assert_eq!(broken(&world.report(tick()).await), BTreeSet::from([world.refunded.clone()]));
    assert_eq!(round(&world), Some((5, false)));
    world.clock.advance(Duration::from_secs(10 * 24 * 3600));
    assert_eq!(world.broken().await, BTreeSet::from([world.refunded.clone()]));
    order["refunded_total"] = json!({ "N": paid_back });
    world.aws.put("orders", &order);
    assert!(broken(&world.report(tick()).await).is_empty());
    assert!(world.broken().await.is_empty());
}

#[tokio::test]
async fn a_product_that_has_sold_for_years_is_counted_in_parts() {
    let world = World::at_rest().await;
    // As many pieces come in as go out, six hundred times.
    let unit = format!("pcs:{SPOON}");
    let movement = |from: &str, to: &str| {
        let side = |shelf: &str, amount: &str| json!({ "M": { "account": { "S": format!("stock:{SPOON}:{shelf}") }, "unit": { "S": unit }, "amount": { "N": amount } } });
        json!({ "L": [side(from, "-1"), side(to, "1")] })
    };
    for number in 0..600 {
        let (at, id) = ("2020-01-01T00:00:00.000Z", format!("ent_0199c2a8-0000-8000-8000-000000001{number:03}"));
        let lines = if number % 2 == 0 { movement("outside", "available") } else { movement("available", "outside") };
        world.aws.put(
            "ledger",
            &json!({
                "pk": { "S": format!("PRODUCT#{SPOON}#0") }, "sk": { "S": format!("{at}#{id}") }, "entry_id": { "S": id },
                "occurred_at": { "S": at }, "kind": { "S": "adjustment" }, "lines": lines,
            }),
        );
    }
    let whole = world.report(json!({})).await;
    assert_eq!((broken(&whole).len(), &whole["products_checked"]), (0, &json!(2)), "{whole:#}");
    let (mut event, mut pieces, mut parts, mut products) = (json!({ "limit": 1 }), 0, 0, 0);
    let mut dearest = 0;
    loop {
        let called = world.aws.call(&world.audit, event).await;
        let reads =
            called.calls.iter().flat_map(|call| &call.actions).filter(|(action, table)| action == "dynamodb:Query" && table == "ledger");
        dearest = dearest.max(reads.count());
        let piece = called.ok().clone();
        assert!(broken(&piece).is_empty(), "{piece:#}");
        products += piece["products_checked"].as_u64().unwrap();
        pieces += 1;
        assert!(pieces < 100, "it never ends");
        let Some(continuation) = piece.get("continuation") else { break };
        let waits = continuation["counted"].as_array();
        parts += usize::from(waits.is_some_and(|counted| counted.iter().any(|product| product["shard"] != 0)));
        event = json!({ "limit": 1, "continuation": continuation });
    }
    assert_eq!((parts, products), (1, 2), "as many pages as a look has, and the rest with the next call");
    // No call reads more of the ledger for all that is in it: a page of each place without anything, and one look.
    assert!(dearest < (3 * DAY_SHARDS + 2 * PRODUCT_SHARDS) as usize, "{dearest}");
    // One piece too few, years ago.
    let first = format!("2020-01-01T00:00:00.000Z#ent_0199c2a8-0000-8000-8000-000000001{:03}", 7);
    world.aws.delete("ledger", &json!({ "pk": { "S": format!("PRODUCT#{SPOON}#0") }, "sk": { "S": first } }));
    assert_eq!(world.broken().await, BTreeSet::from([SPOON.to_owned()]));
}
