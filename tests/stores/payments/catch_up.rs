//! The cost of settling many payments: `CATCH_UP_RECORDS=2000 cargo test -p tests --test stores
//! catch_up`.

use std::io::Write;

use tests::metering::{Meter, Terms, records};

use super::*;

/// One run over many stuck payments: DynamoDB calls and provider calls per payment, and
/// microseconds of CPU time.
async fn caught_up(token: &str) -> (usize, usize, u64) {
    let many = records();
    let aws = Aws::new();
    let meter = Meter::new(&aws);
    let fixture = PaymentsFixture::over(aws.through(meter.sdk_config()));
    fixture.stuck(many, token).await;
    let lambda = fixture.lambda("reconcile-payments");
    let before = meter.microseconds();
    let called = fixture.aws.call(&lambda, json!({})).await;
    let cpu = (meter.microseconds() - before) / u64::from(many);
    let report = called.ok();
    assert_eq!(
        (&report["settled"], &report["failed"], &report["remaining"]),
        (&json!(many), &json!(0), &json!(0))
    );
    // The simulated provider is a table: a query reads it, and a charge writes it.
    let provider = called.operations_on("payment-simulator");
    let asked =
        provider.iter().filter(|call| ["GetItem", "TransactWriteItems"].contains(call)).count();
    let tables =
        called.operations_on("payments").iter().filter(|call| **call != "Query").count() - 2;
    assert_eq!(
        (tables % many as usize, asked % many as usize),
        (0, 0),
        "each payment costs the same"
    );
    (tables / many as usize, asked / many as usize, cpu)
}

#[tokio::test]
async fn catch_up_of_payments_costs_one_or_two_calls_of_the_provider() {
    for (what, token, expected) in [
        ("answer lost", "tok_timeout_after_charge", (2, 1)),
        ("request lost", "tok_timeout_before_charge", (3, 2)),
    ] {
        let (tables, asked, cpu) = caught_up(token).await;
        assert_eq!((tables, asked), expected, "{what}");
        for (takes, per_second) in [(25, 15.0), (100, 60.0)] {
            let terms = Terms {
                timeout: 300.0,
                min_time_left: 30.0,
                megabytes: 512.0,
                at_once: per_second,
                table_calls: tables as f64,
                cpu: cpu as f64 / 1_000_000.0,
                provider: Some((asked as f64, per_second)),
            };
            let (per_hour, limit) = terms.records_per_hour();
            let _ = writeln!(
                std::io::stderr(),
                "reconcile-payments, {what}: {tables} calls of DynamoDB and {asked} of the provider, {cpu} us of CPU each; provider that \
                 takes {takes} a second: {per_hour:.0} an hour (limit: {limit}), 100,000 in {:.1} hours",
                100_000.0 / per_hour
            );
        }
    }
}
