//! The capacity of DynamoDB's partitions: counts the write units of each key, derives the
//! throughput ceilings, and runs the consumers above them.
//!
//! `CAPACITY_MINUTES` sets the duration; the figures are printed.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

mod overload;
mod steps;

use std::collections::BTreeMap;

use tests::{partitions::Limits, template};

use self::{
    overload::{Outcome, Overload},
    steps::Deliveries,
};
use super::*;

/// Write units per second of a partition key ("Service, account, and table quotas", Amazon DynamoDB
/// Developer Guide).
const UNITS_OF_A_KEY: u64 = 1000;

/// The keys that orders share: the write units of one paid order of one product, and the number of
/// keys that they are spread over.
const SHARED_KEYS: [(&str, u64, u64); 9] = [
    ("ledger/day-index day", 3, ledger::store::DAY_SHARDS as u64),
    ("orders NETWORK", 2, 1),
    ("orders UNPAID", 2, 1),
    ("orders/check-index due", 2, SHARDS as u64),
    ("orders/status-index confirmed", 1, SHARDS as u64),
    ("orders/status-index pending", 2, SHARDS as u64),
    ("orders/user-index usr", 2, 1),
    ("stock STOCK", 4, 1),
    ("stock/check-index held", 2, SHARDS as u64),
];

/// The keys of one order, or of one buyer's mails: orders do not contend for them.
const OWN_KEYS: [(&str, u64); 8] = [
    ("ledger ORDER", 3),
    ("notifications USER", 2),
    ("orders ORDER", 7),
    ("orders/number-index", 1),
    ("payment-simulator CHARGE", 2),
    ("payment-simulator KEY", 2),
    ("payments ORDER", 8),
    ("stock RESERVATION", 4),
];

/// Units by kind of key: the text before the first `#` or `_`. The number of an order has no
/// prefix.
fn by_kind(units: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let mut kinds = BTreeMap::new();
    for (key, units) in units {
        let is_number = key.starts_with("orders/number-index ");
        let kind = key.split(['#', '_']).next().unwrap_or(key);
        let kind = if is_number { "orders/number-index" } else { kind };
        *kinds.entry(kind.to_owned()).or_default() += units;
    }
    kinds
}

#[tokio::test]
async fn write_units_of_a_paid_order_are_known_for_every_key() {
    const ORDERS: u64 = 10;
    let (shop, product) = shop().await;
    let mut deliveries = Deliveries::of(&shop);
    // The first entry of an instance ensures that the ledger's progress of posting exists.
    assert_eq!(shop.order("earlier", &product, 1, Some("tok_ok")).await.status(), 201);
    deliveries.drain().await;
    shop.aws.count_write_units(None);
    for number in 0..ORDERS {
        assert_eq!(
            shop.order(&format!("order-{number}"), &product, 1, Some("tok_ok")).await.status(),
            201
        );
        deliveries.drain().await;
    }
    let shared = SHARED_KEYS.iter().map(|(kind, units, _)| (*kind, *units));
    let expected: BTreeMap<String, u64> =
        shared.chain(OWN_KEYS).map(|(kind, units)| (kind.to_owned(), units * ORDERS)).collect();
    assert_eq!(by_kind(&shop.aws.write_units()), expected);
}

#[test]
fn readme_states_the_ceilings_that_follow_from_the_units() {
    let readme = std::fs::read_to_string(template::root().join("functions/README.md")).unwrap();
    for (kind, units, keys) in SHARED_KEYS {
        let row = format!("| `{kind}` | {units} | {keys} | {} |", keys * UNITS_OF_A_KEY / units);
        assert!(readme.contains(&row), "functions/README.md, Capacity, lacks the row: {row}");
    }
}

/// When an order re-sends a pending command ([`shared::retry::exponential_backoff`]).
const REPEATS: [Duration; 4] = [
    Duration::from_secs(60),
    Duration::from_secs(180),
    Duration::from_secs(420),
    Duration::from_secs(900),
];

const PRODUCT: &str = "prd_0199c2a8-0000-7000-8000-00000000000a";

/// The duration of the overload. The figures in functions/README.md are for ten minutes.
fn duration() -> Duration {
    let minutes = std::env::var("CAPACITY_MINUTES").ok().and_then(|minutes| minutes.parse().ok());
    Duration::from_secs(60 * minutes.unwrap_or(1))
}

/// Limits every partition to `1 / scale` of DynamoDB's throughput.
fn scaled_down(shop: &Shop, scale: f64) {
    shop.aws.take_time(Duration::from_millis(10));
    // The window is an assumption: AWS documents that transactions conflict, not for how long.
    let limits = Limits {
        units_per_second: UNITS_OF_A_KEY as f64 / scale,
        conflict_window: Duration::from_millis(5),
    };
    shop.aws.count_write_units(Some(limits));
}

/// Sends commands at three times the ceiling for the duration, then stops.
async fn overloaded(
    shop: &Shop,
    queue: &'static str,
    max_receives: u32,
    ceiling: f64,
    command: impl Fn(usize, usize) -> Value,
) -> Outcome {
    let repeats: &[Duration] = if queue == "reserve-stock" { &REPEATS } else { &[] };
    let (rate, duration) = (3.0 * ceiling, duration());
    let overload = Overload {
        queue,
        consumer: shop.lambda(queue),
        concurrency: 1,
        max_receives,
        rate,
        duration,
        repeats,
    };
    let outcome = overload.run(command).await;
    let (throttled, conflicts) = shop.aws.refusals();
    println!(
        "{queue}: {:.2} a second of at most {ceiling}, repeated {}, received up to {} times, throttled {throttled}, in conflict {conflicts}, \
         the last one done {:.0} s after the last one came",
        outcome.rate,
        outcome.repeats,
        outcome.most_receives,
        outcome.catch_up.as_secs_f64()
    );
    outcome
}

fn all_are_answered(outcome: &Outcome, ceiling: f64) {
    let commands = (3.0 * ceiling * duration().as_secs_f64()) as usize;
    assert_eq!((outcome.answered, outcome.dead_letters), (commands, 0), "{outcome:?}");
    // Hashes spread a few entries per second unevenly over the keys.
    assert!(
        outcome.rate > 0.6 * ceiling,
        "the partitions are idle while commands wait: {outcome:?}"
    );
}

async fn reservations_survive(shards: u32, scale: f64) {
    let shop = Shop::new();
    for (key, body) in [
        ("first", json!({ "delta": 999_999, "reason": "Delivery" })),
        ("shards", json!({ "shard_count": shards, "reason": "Sells fast" })),
    ] {
        let request =
            events::post(&format!("/inventory/{PRODUCT}/adjustments"), &body).caller(events::ADMIN);
        let request = request.path_parameter("product_id", PRODUCT).header("idempotency-key", key);
        assert_eq!(shop.call("adjust-stock", request.event()).await.status(), 201);
    }
    scaled_down(&shop, scale);
    let ceiling = f64::from(shards) * UNITS_OF_A_KEY as f64 / 2.0 / scale;
    let reserve = |number: usize, repeat: usize| {
        let order = format!("ord_0199c2a8-0000-7000-8000-{number:012x}");
        let data = json!({ "order_id": order, "attempt": repeat, "lines": [{ "product_id": PRODUCT, "quantity": 1 }] });
        json!({ "type": "reserve_stock.v1", "subject": order, "data": data })
    };
    let outcome = overloaded(&shop, "reserve-stock", 20, ceiling, reserve).await;
    all_are_answered(&outcome, ceiling);
}

/// Scaled down by 500: the one execution represents 500.
#[tokio::test(start_paused = true)]
async fn reservations_of_one_product_survive_three_times_their_ceiling() {
    reservations_survive(1, 500.0).await;
}

/// Scaled down by 4,000: the one execution represents 4,000.
#[tokio::test(start_paused = true)]
async fn reservations_of_a_sharded_product_survive_three_times_their_ceiling() {
    reservations_survive(16, 4000.0).await;
}

/// The units of the ledger's keys that a paid order of this number of products writes.
async fn ledger_units(products: usize) -> BTreeMap<String, u64> {
    let shop = Shop::new();
    let order = "ord_0199c2a8-0000-7000-8000-0000000000f1";
    let record = async |number: usize, kind: &str, lines: Vec<Value>| {
        let data = json!({
            "entry_id": format!("ent_0199c2a8-0000-8000-8000-{number:012x}"), "occurred_at": "2026-11-21T09:48:49.123Z", "kind": kind,
            "order_id": order, "lines": lines,
        });
        assert!(shop.call("record-entry", events::command("record-entry", &data)).await.is_done());
    };
    let money = |amount: i64| {
        let line =
            |account: &str, amount| json!({ "account": account, "unit": "USD", "amount": amount });
        vec![line("provider_clearing", amount), line(&format!("customer_funds:{order}"), -amount)]
    };
    let sold = |number: usize| {
        let product = format!("prd_0199c2a8-0000-7000-8000-{number:012x}");
        let line = |bucket: &str, pieces: i64| json!({ "account": format!("stock:{product}:{bucket}"), "unit": format!("pcs:{product}"), "amount": pieces });
        [line("on_hand", -25), line("shipped_out", 25)]
    };
    record(0, "capture", money(1)).await;
    shop.aws.count_write_units(None);
    record(1, "capture", money(5998)).await;
    record(2, "commit", (0..products).flat_map(sold).collect()).await;
    let sale = [(format!("customer_funds:{order}"), 5998), ("revenue:goods".to_owned(), -4500)];
    let rest = [("revenue:shipping", -540), ("tax:US", -458), ("tax:US-CA", -500)];
    let rest = rest.map(|(account, amount)| (account.to_owned(), amount));
    let line = |(account, amount): (String, i64)| json!({ "account": account, "unit": "USD", "amount": amount });
    record(3, "sale", sale.into_iter().chain(rest).map(line).collect()).await;
    by_kind(&shop.aws.write_units())
}

#[tokio::test]
async fn ledger_units_of_an_order_hardly_grow_with_its_lines() {
    for (products, units) in [(1, 3), (10, 3), (40, 5)] {
        let expected = [("ledger ORDER", units), ("ledger/day-index day", 3)];
        let expected: BTreeMap<String, u64> =
            expected.map(|(kind, units)| (kind.to_owned(), units)).into();
        assert_eq!(ledger_units(products).await, expected, "{products} lines");
    }
}

/// Scaled down by 8,000: the one execution represents 8,000.
#[tokio::test(start_paused = true)]
async fn ledger_entries_of_one_day_survive_three_times_their_ceiling() {
    const SCALE: f64 = 8000.0;
    let shop = Shop::new();
    scaled_down(&shop, SCALE);
    let ceiling = f64::from(ledger::store::DAY_SHARDS) * UNITS_OF_A_KEY as f64 / SCALE;
    let entry = |number: usize, _: usize| {
        let (order, entry) = (
            format!("ord_0199c2a8-0000-7000-8000-{number:012x}"),
            format!("ent_0199c2a8-0000-8000-8000-{number:012x}"),
        );
        let line = |account: &str, pieces: i64| json!({ "account": format!("stock:{PRODUCT}:{account}"), "unit": format!("pcs:{PRODUCT}"), "amount": pieces });
        let data = json!({
            "entry_id": entry, "occurred_at": "2026-11-21T09:48:49.123Z", "kind": "commit", "order_id": order, "product_id": PRODUCT,
            "lines": [line("on_hand", -1), line("shipped_out", 1)],
        });
        json!({ "type": "record_entry.v1", "subject": order, "data": data })
    };
    let outcome = overloaded(&shop, "record-entry", 500, ceiling, entry).await;
    all_are_answered(&outcome, ceiling);
}
