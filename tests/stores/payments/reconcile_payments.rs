//! A run over the due payments reaches each of them, queries the provider about each once, runs
//! exclusively, and stops before its timeout.

use payments::domain::IntentState;
use shared::{
    clock::Timestamp,
    table::{Expression, Key},
};
use tests::provider::Network;

use super::*;

fn order_number(number: u32) -> OrderId {
    OrderId::parse(&format!("ord_0199c2a8-0000-7000-8000-{number:012x}")).unwrap()
}

impl PaymentsFixture {
    /// Creates orders whose charge was sent with this token, and whose outcome is due for a query.
    pub(super) async fn stuck(&self, many: u32, token: &str) {
        for number in 0..many {
            assert!(self.charge_order(&order_number(number).to_string(), token, 0).await);
            // A successful call resets the count before five timeouts open the breaker.
            if number % 4 == 3 {
                self.aws.delete(
                    "payments",
                    &json!({ "pk": { "S": "BREAKER#simulated" }, "sk": { "S": "BREAKER" } }),
                );
            }
        }
        self.clock.advance(Duration::from_secs(61));
    }

    /// Makes an attempt unreadable, due since the same time as all others.
    async fn break_attempt(&self, number: u32) {
        let order = order_number(number);
        let key = Key::composite(
            format!("ORDER#{order}"),
            format!("ATTEMPT#{}", PaymentId::automatic(order).attempt()),
        );
        let change =
            Expression::new("SET #created_at = :created_at, #next_check_at = :next_check_at");
        let change = change
            .value("created_at", "yesterday")
            .value("next_check_at", Timestamp::from_milliseconds(0));
        self.aws.table("payments").update(key, change, Expression::exists()).await.unwrap();
    }
}

#[tokio::test]
async fn payments_behind_250_broken_ones_are_settled_in_one_run() {
    let fixture = PaymentsFixture::new();
    fixture.stuck(255, "tok_timeout_after_charge").await;
    for number in 0..250 {
        fixture.break_attempt(number).await;
    }
    // Index entries that are neither attempts nor refunds.
    for (pk, sk) in [("ORDER#nonsense", "ATTEMPT#1"), ("SOMETHING", "ELSE")] {
        let item = json!({ "pk": { "S": pk }, "sk": { "S": sk }, "check_shard": { "S": "due#0" }, "next_check_at": { "S": "0" } });
        fixture.aws.put("payments", &item);
    }
    let capture = Capture::start();
    let report = fixture.reconcile().await;
    assert_eq!(capture.total(&payments::metrics::SWEEP_FAILED), 1);
    assert_eq!(
        (&report["settled"], &report["failed"], &report["remaining"]),
        (&json!(5), &json!(252), &json!(0))
    );
    for number in 250..255 {
        let intent = fixture.payments.store().intent(order_number(number)).await.unwrap().unwrap();
        assert_eq!(intent.state, IntentState::Captured, "order {number}");
    }
    let again = fixture.reconcile().await;
    assert_eq!(
        (&again["settled"], &again["failed"]),
        (&json!(0), &json!(252)),
        "broken records stay due"
    );
}

#[tokio::test]
async fn concurrent_second_run_does_not_query_the_provider() {
    for seed in 0..6 {
        let fixture = PaymentsFixture::crowded(seed);
        fixture.stuck(20, "tok_timeout_after_charge").await;
        let called = fixture
            .call_both(("reconcile-payments", json!({})), ("reconcile-payments", json!({})))
            .await;
        let mut reports = called.ok().as_array().unwrap().clone();
        reports.sort_by_key(|report| report["already_running"] == true);
        assert_eq!(
            (&reports[0]["settled"], &reports[1]["examined"]),
            (&json!(20), &json!(0)),
            "seed {seed}: {reports:?}"
        );
        assert_eq!(reports[1]["already_running"], true, "seed {seed}");
        assert_eq!(
            called.operations_on("payment-simulator"),
            ["GetItem"; 20],
            "seed {seed}: each charge is queried once"
        );
    }
}

#[tokio::test]
async fn lease_of_a_killed_reconciliation_expires() {
    let fixture = PaymentsFixture::crowded(3);
    fixture.stuck(20, "tok_timeout_after_charge").await;
    let run = fixture.lambda("reconcile-payments")(Invocation::with_event(json!({})));
    let leased = async {
        while !fixture.aws.items("payments").iter().any(|item| item["sk"]["S"] == "LEASE") {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        _ = run => panic!("the run ends before it is killed"),
        () = leased => {}
    }
    fixture.clock.advance(Duration::from_secs(300));
    assert_eq!(fixture.reconcile().await["already_running"], true);
    fixture.clock.advance(Duration::from_secs(10));
    assert_eq!(fixture.reconcile().await["already_running"], false);
    assert_eq!(fixture.provider_totals().0, 20);
    assert_eq!(fixture.unsettled(), 0);
}

#[tokio::test]
async fn reconciliation_without_time_leaves_the_rest_due_and_releases_the_lease() {
    let fixture = PaymentsFixture::new();
    fixture.stuck(30, "tok_timeout_after_charge").await;
    let short = Invocation {
        deadline: Clock::System.now().plus(Duration::from_secs(29)),
        ..Invocation::with_event(json!({}))
    };
    let report =
        fixture.aws.invoke(&fixture.lambda("reconcile-payments"), short).await.ok().clone();
    assert_eq!(
        (&report["examined"], &report["remaining"]),
        (&json!(0), &json!(30)),
        "two provider calls may take longer"
    );
    let report = fixture.reconcile().await;
    assert_eq!((&report["settled"], &report["remaining"]), (&json!(30), &json!(0)));
}

#[tokio::test]
async fn backlog_returns_each_record_once_and_the_longest_overdue_first() {
    let fixture = PaymentsFixture::new();
    fixture.stuck(210, "tok_timeout_after_charge").await;
    let mut backlog = fixture.payments.store().due(fixture.clock.now());
    let (mut keys, mut since) = (Vec::new(), Vec::new());
    while let Some(item) = backlog.next_item().await.unwrap() {
        let text = |name: &str| item[name].as_s().unwrap().clone();
        keys.push(text("pk"));
        since.push(text("next_check_at"));
        // Records that leave the index meanwhile do not shift the others.
        if keys.len() % 3 == 0 {
            fixture.aws.delete(
                "payments",
                &json!({ "pk": { "S": text("pk") }, "sk": { "S": text("sk") } }),
            );
        }
    }
    assert!(since.is_sorted());
    keys.sort();
    keys.dedup();
    assert_eq!((keys.len(), since.len()), (210, 210));
}

#[tokio::test]
async fn open_breaker_ends_the_run_before_it_reads_the_backlog() {
    let fixture = PaymentsFixture::new();
    fixture.stuck(60, "tok_timeout_after_charge").await;
    let (store, now) = (fixture.payments.store(), fixture.clock.now());
    for _ in 0..5 {
        let breaker = store.breaker().await.unwrap();
        let breaker = breaker.unwrap_or_else(|| payments::domain::Breaker::new("simulated", now));
        store.write_breaker(&breaker.after_timeout("", now).unwrap()).await.unwrap().unwrap();
    }
    let called = fixture.call("reconcile-payments", json!({})).await;
    let report = called.ok();
    assert_eq!(
        (&report["examined"], &report["settled"], &report["remaining"]),
        (&json!(15), &json!(0), &json!(45)),
        "as many as are checked at the same time"
    );
    assert!(called.operations_on("payment-simulator").is_empty());
    let mut settled = 0;
    for _ in 0..2 {
        settled += fixture.reconcile_after(30).await["settled"].as_u64().unwrap();
    }
    assert_eq!((settled, fixture.unsettled()), (60, 0));
}

#[tokio::test]
async fn next_run_continues_with_the_records_that_have_waited_longest() {
    let fixture = PaymentsFixture::new();
    fixture.provider.set_network(Network::RequestsLost);
    for number in 0..20 {
        assert!(fixture.charge_order(&order_number(number).to_string(), "tok_ok", 0).await);
        fixture.clock.advance(Duration::from_secs(1));
        // The breaker stays closed until the sweep.
        fixture.aws.delete(
            "payments",
            &json!({ "pk": { "S": "BREAKER#simulated" }, "sk": { "S": "BREAKER" } }),
        );
    }
    let asked = async || {
        let mut asked = Vec::new();
        for number in 0..20 {
            let payment = PaymentId::automatic(order_number(number));
            let attempt = fixture.payments.store().attempt(payment).await.unwrap().unwrap();
            asked.extend((attempt.dispatch.checks > 1).then_some(number));
        }
        asked
    };
    fixture.reconcile_after(60).await;
    assert_eq!(asked().await, [0, 1, 2, 3, 4], "the fifth timeout opens the breaker");
    for last in [5, 6] {
        fixture.reconcile_after(31).await;
        assert_eq!(asked().await, (0..=last).collect::<Vec<_>>(), "the probe of the next run");
    }
    fixture.provider.set_network(Network::Up);
    for _ in 0..3 {
        fixture.reconcile_after(200).await;
    }
    assert_eq!((fixture.provider_totals().0, fixture.unsettled()), (20, 0));
}
