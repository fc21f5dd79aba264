//! A sweep of the due orders checks each of them, runs exclusively, and stops before its timeout.

use shared::lambda::Failure;

use super::*;

/// How long a killed run keeps its lease: the function's timeout plus a margin for clock skew.
const LEASE: Duration = Duration::from_secs(300 + 10);

impl OrdersFixture {
    /// Places orders that are due.
    async fn due(&self, many: usize) -> Vec<String> {
        let mut orders = Vec::new();
        for number in 0..many {
            orders.push(self.stored(&format!("k-{number:03}"), &two_spoons()).await);
        }
        self.clock.advance(RETRY);
        orders
    }

    fn is_leased(&self) -> bool {
        self.aws.items("orders").iter().any(|item| item["pk"]["S"] == "LEASE#resume-orders")
    }

    async fn report(&self) -> Value {
        self.call("resume-orders", json!({})).await.ok().clone()
    }
}

#[tokio::test]
async fn orders_behind_250_broken_ones_are_resumed_in_one_run() {
    let fixture = OrdersFixture::new().await;
    let orders = fixture.due(255).await;
    let (broken, good) = orders.split_at(250);
    for (number, order) in broken.iter().enumerate() {
        let (attribute, value) =
            if number % 2 == 0 { ("stock", "parcelled") } else { ("updated_at", "yesterday") };
        fixture.set(order, attribute, value).await;
        // All are due since the same time.
        fixture.set(order, "next_check_at", "2026-11-21T09:00:00.000Z").await;
    }
    // Index entries that are not orders.
    for (pk, next_check_at) in [("ORDER#nonsense", "2026-11-21T09:00:00.000Z"), ("SOMETHING", "0")]
    {
        fixture.aws.put("orders", &json!({ "pk": { "S": pk }, "check_shard": { "S": "due#0" }, "next_check_at": { "S": next_check_at } }));
    }
    assert_eq!(fixture.resume().await, (5, 0, 252));
    for order in good {
        assert_eq!(fixture.order(order).await.version, 2);
    }
    assert_eq!(fixture.resume().await, (0, 0, 252), "broken orders stay due");
}

#[tokio::test]
async fn second_run_at_the_same_time_reports_the_lease_and_touches_no_order() {
    for seed in 0..6 {
        let fixture = OrdersFixture::crowded(seed).await;
        let orders = fixture.due(20).await;
        let called =
            fixture.call_both(("resume-orders", json!({})), ("resume-orders", json!({}))).await;
        let mut reports = called.ok().as_array().unwrap().clone();
        reports.sort_by_key(|report| report["already_running"] == true);
        let idle = json!({ "resumed": 0, "skipped": 0, "failed": 0, "remaining": 0, "already_running": true });
        assert_eq!(
            (&reports[0]["resumed"], &reports[0]["failed"], &reports[1]),
            (&json!(20), &json!(0), &idle),
            "seed {seed}"
        );
        // Each order is read and written once. The lease is requested twice and released once.
        let calls = |name: &str| called.operations().iter().filter(|call| **call == name).count();
        assert_eq!((calls("GetItem"), calls("PutItem")), (20, 20 + 3), "seed {seed}");
        for order in &orders {
            assert_eq!(fixture.order(order).await.schedule.attempt, 1, "seed {seed}");
        }
    }
}

#[tokio::test]
async fn lease_of_a_killed_run_expires() {
    let fixture = OrdersFixture::crowded(1).await;
    fixture.due(20).await;
    let run = fixture.lambda("resume-orders")(Invocation::with_event(json!({})));
    let leased = async {
        while !fixture.is_leased() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        _ = run => panic!("the run ends before it is killed"),
        () = leased => {}
    }
    assert_eq!(fixture.report().await["already_running"], true);
    fixture.clock.advance(LEASE - Duration::from_secs(5));
    assert_eq!(
        fixture.report().await["already_running"],
        true,
        "the killed run may still have its last call under way"
    );
    fixture.clock.advance(Duration::from_secs(5));
    assert_eq!(fixture.report().await["already_running"], false);
    assert!(
        fixture.aws.orders().iter().all(|order| order["attempt"]["N"] != "0"),
        "every order was resumed"
    );
}

#[tokio::test]
async fn run_without_time_leaves_the_rest_due_and_releases_the_lease() {
    let fixture = OrdersFixture::new().await;
    fixture.due(200).await;
    // Less time than another order needs.
    let short = Invocation {
        deadline: Clock::System.now().plus(Duration::from_secs(19)),
        ..Invocation::with_event(json!({}))
    };
    let report = fixture.aws.invoke(&fixture.lambda("resume-orders"), short).await.ok().clone();
    assert_eq!(
        report,
        json!({ "resumed": 0, "skipped": 0, "failed": 0, "remaining": 200, "already_running": false })
    );

    // The time runs out after some of the orders.
    fixture.aws.take_time(Duration::from_millis(20));
    let short = Invocation {
        deadline: Clock::System.now().plus(Duration::from_millis(20_100)),
        ..Invocation::with_event(json!({}))
    };
    let report = fixture.aws.invoke(&fixture.lambda("resume-orders"), short).await.ok().clone();
    fixture.aws.take_time(Duration::ZERO);
    let (resumed, left) =
        (report["resumed"].as_u64().unwrap(), report["remaining"].as_u64().unwrap());
    assert!(left > 0 && resumed + left == 200, "{report}");
    assert_eq!(fixture.resume().await, (left, 0, 0), "the rest is due, and the lease is released");
}

#[tokio::test]
async fn run_that_fails_releases_the_lease() {
    let fixture = OrdersFixture::new().await;
    fixture.due(1).await;
    // The lease is acquired, and no query succeeds.
    for call in 1..=SHARDS as usize {
        fixture.aws.fail(call, Fault::LoseRequest);
    }
    let failed = fixture.call("resume-orders", json!({})).await;
    assert!(
        matches!(&failed.answer, Err(Failure { kind: "BacklogReadFailed", .. })),
        "{:?}",
        failed.answer
    );
    fixture.aws.heal();
    assert_eq!(fixture.resume().await, (1, 0, 0));
}
