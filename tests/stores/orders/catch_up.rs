//! The cost of resuming many orders: `CATCH_UP_RECORDS=2000 cargo test -p tests --test stores
//! catch_up`.

use std::io::Write;

use tests::metering::{Meter, Terms, records};

use super::*;

#[tokio::test]
async fn catch_up_of_orders_costs_a_read_and_a_write_each() {
    let aws = Aws::new();
    let meter = Meter::new(&aws);
    let fixture = OrdersFixture::over(aws.through(meter.sdk_config())).await;
    let many = records();
    for number in 0..many {
        fixture.stored(&format!("k-{number}"), &two_spoons()).await;
    }
    fixture.clock.advance(RETRY);
    let before = meter.microseconds();
    let called = fixture.call("resume-orders", json!({})).await;
    let cpu = (meter.microseconds() - before) / u64::from(many);
    assert_eq!(called.ok()["resumed"], many);
    let calls = |name: &str| called.operations().iter().filter(|call| **call == name).count();
    let (gets, puts, queries) = (calls("GetItem"), calls("PutItem"), calls("Query"));
    // The lease takes two writes. A page has a hundred orders of one shard, and the page after a
    // full one may be empty.
    let most_queries = (many / 100 + 2 * SHARDS) as usize;
    assert_eq!((gets, puts), (many as usize, many as usize + 2));
    assert!(
        queries <= most_queries && gets + puts + queries == called.operations().len(),
        "{queries} queries"
    );

    let terms = Terms {
        timeout: 300.0,
        min_time_left: 20.0,
        megabytes: 512.0,
        at_once: 16.0,
        table_calls: 2.0,
        cpu: cpu as f64 / 1_000_000.0,
        provider: None,
    };
    let (per_hour, limit) = terms.records_per_hour();
    let _ = writeln!(
        std::io::stderr(),
        "resume-orders: {many} orders, {gets} GetItem, {puts} PutItem, {queries} Query, {cpu} us of CPU each; {per_hour:.0} an hour \
         (limit: {limit}), 100,000 in {:.0} minutes",
        100_000.0 / per_hour * 60.0
    );
}
