//! Concurrent requests on one cart: none is lost and none counts twice.

use super::*;

/// More rounds than concurrent requests need: each round completes at least one.
const ROUNDS: usize = 40;

impl OrdersFixture {
    /// Sends requests concurrently, and those that were `cart_busy` again. Returns the other
    /// answers.
    async fn until_answered(&self, operation: &str, mut events: Vec<Value>) -> Vec<Value> {
        let mut answers = Vec::new();
        for _ in 0..ROUNDS {
            let round = self.call_all(operation, events.clone()).await;
            let mut busy = Vec::new();
            for (event, answer) in events.into_iter().zip(round) {
                if answer["statusCode"] == 503 {
                    assert!(answer["body"].as_str().unwrap().contains("cart_busy"), "{answer}");
                    busy.push(event);
                } else {
                    answers.push(answer);
                }
            }
            events = busy;
            if events.is_empty() {
                return answers;
            }
        }
        panic!("{} requests were never answered", events.len());
    }
}

#[tokio::test]
async fn concurrent_additions_are_all_counted_once() {
    for seed in 0..5 {
        let fixture = OrdersFixture::crowded(seed).await;
        let guest = fixture.guest_cart(&json!({})).await;
        let additions = (0..20).map(|number| {
            let mut change = add(SPOON, 1);
            change["mutation_id"] = format!("m-{number}").into();
            guest.change(&change).event()
        });
        let answers = fixture.until_answered("change-cart", additions.collect()).await;
        assert_eq!(statuses(&answers), BTreeMap::from([(200, 20)]), "seed {seed}");
        let cart = fixture.read_cart(&guest).await.json();
        assert_eq!(
            (quantities(&cart), &cart["version"]),
            (pieces([(SPOON, 20)]), &json!(21)),
            "seed {seed}"
        );
    }
}

/// Equal changes of the same moment produce equal carts, which must not count as one write.
#[tokio::test]
async fn equal_changes_without_a_mutation_id_are_all_counted() {
    for seed in 0..5 {
        let fixture = OrdersFixture::crowded(seed).await;
        let guest = fixture.guest_cart(&json!({})).await;
        let additions = vec![guest.change(&add(SPOON, 1)).event(); 8];
        fixture.until_answered("change-cart", additions).await;
        let cart = fixture.read_cart(&guest).await.json();
        assert_eq!(quantities(&cart), pieces([(SPOON, 8)]), "seed {seed}");
    }
}

#[tokio::test]
async fn concurrent_copies_of_a_change_apply_once() {
    for seed in 0..5 {
        let fixture = OrdersFixture::crowded(seed).await;
        let guest = fixture.guest_cart(&json!({})).await;
        let mut change = add(SPOON, 1);
        change["mutation_id"] = "m".into();
        let copies = vec![guest.change(&change).event(); 8];
        let answers = fixture.until_answered("change-cart", copies).await;
        let bodies: BTreeSet<_> =
            answers.iter().map(|answer| answer["body"].as_str().unwrap()).collect();
        assert_eq!((answers.len(), bodies.len()), (8, 1), "seed {seed}");
        assert_eq!(quantities(&fixture.read_cart(&guest).await.json()), pieces([(SPOON, 1)]));
    }
}

#[tokio::test]
async fn concurrent_merges_merge_once() {
    for seed in 0..5 {
        let fixture = OrdersFixture::crowded(seed).await;
        let (own, guest) = (fixture.own_cart(USER).await, fixture.guest_cart(&json!({})).await);
        fixture.changed_cart(&own, &add(SPOON, 1)).await;
        fixture.changed_cart(&guest, &add(SPOON, 2)).await;
        let merges = vec![merge(&own, &guest); 5];
        let answers = fixture.until_answered("merge-cart", merges).await;
        assert_eq!(statuses(&answers), BTreeMap::from([(200, 5)]), "seed {seed}");
        let cart = fixture.read_cart(&own).await.json();
        assert_eq!(
            (quantities(&cart), &cart["version"]),
            (pieces([(SPOON, 3)]), &json!(3)),
            "seed {seed}"
        );
    }
}

/// A change of the guest's cart is merged, or finds the cart merged. It is never lost.
#[tokio::test]
async fn concurrent_change_of_the_guest_is_merged_or_rejected() {
    let mut rejected = 0;
    for seed in 0..20 {
        let fixture = OrdersFixture::crowded(seed).await;
        let (own, guest) = (fixture.own_cart(USER).await, fixture.guest_cart(&json!({})).await);
        fixture.changed_cart(&guest, &add(SPOON, 2)).await;
        let change = guest.change(&add(BOWL, 1)).event();
        let called =
            fixture.call_both(("merge-cart", merge(&own, &guest)), ("change-cart", change)).await;
        let answers = called.ok();
        assert_eq!(answers[0]["statusCode"], 200, "seed {seed}");
        let is_merged = answers[1]["statusCode"] == 200;
        rejected += usize::from(!is_merged);
        let cart = fixture.read_cart(&own).await.json();
        let expected =
            if is_merged { pieces([(SPOON, 2), (BOWL, 1)]) } else { pieces([(SPOON, 2)]) };
        assert_eq!(quantities(&cart), expected, "seed {seed}");
    }
    assert!(
        (1..20).contains(&rejected),
        "all seeds have one order of events, so the test has no effect"
    );
}

#[tokio::test]
async fn concurrent_requests_of_a_user_create_one_cart() {
    for seed in 0..5 {
        let fixture = OrdersFixture::crowded(seed).await;
        let create = events::post("/carts", &json!({})).caller(USER).event();
        let answers = fixture.until_answered("create-cart", vec![create; 8]).await;
        assert_eq!(statuses(&answers), BTreeMap::from([(200, 7), (201, 1)]), "seed {seed}");
        assert_eq!(fixture.aws.items("order-carts").len(), 2, "seed {seed}");
    }
}

/// The empty cart is replaced on condition of its version, so a line that is added meanwhile stays.
#[tokio::test]
async fn line_that_is_added_while_the_cart_is_replaced_is_not_lost() {
    for seed in 0..20 {
        let fixture = OrdersFixture::crowded(seed).await;
        let order = fixture.placed("k").await;
        let own = fixture.own_cart(USER).await;
        let from_order = json!({ "from_order": order });
        let create = events::post("/carts", &from_order).caller(USER).event();
        let called = fixture
            .call_both(("create-cart", create), ("change-cart", own.change(&add(BOWL, 1)).event()))
            .await;
        let answers = called.ok();
        assert!([json!(200), json!(201)].contains(&answers[0]["statusCode"]), "{answers}");
        let is_changed = answers[1]["statusCode"] == 200;
        let expected =
            if is_changed { pieces([(SPOON, 2), (BOWL, 1)]) } else { pieces([(SPOON, 2)]) };
        let cart = fixture.create_cart(USER, &json!({})).await.json();
        assert_eq!(quantities(&cart), expected, "seed {seed}");
    }
}
