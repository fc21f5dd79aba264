//! What a buyer may not have: too many orders that wait for their money, and more of a product than it allows.

use super::*;

/// As many orders as a buyer may leave unpaid.
const MOST: usize = orders::domain::MAX_UNPAID_ORDERS;

async fn leave_unpaid(desk: &Desk, many: usize) -> Vec<String> {
    let mut unpaid = Vec::new();
    for number in 0..many {
        unpaid.push(desk.placed(&format!("unpaid-{number}")).await);
    }
    unpaid
}

#[tokio::test]
async fn who_has_five_orders_to_pay_pays_one_before_the_next() {
    let desk = Desk::new().await;
    leave_unpaid(&desk, MOST).await;
    let refused = desk.post("one-more", &two_spoons()).await;
    assert_eq!((refused.status(), code(&refused).as_str(), &refused.json()["maximum"]), (409, "too_many_open_orders", &json!(5)));
    assert_eq!((refused.operations(), desk.count()), (vec!["BatchGetItem", "Query"], MOST), "one more query, beside the read");

    // What was placed is answered again, and others are not concerned.
    let again = desk.post("unpaid-0", &two_spoons()).await;
    assert_eq!((again.status(), again.header("idempotent-replayed").as_deref()), (201, Some("true")));
    let strangers = events::post("/orders", &two_spoons()).caller(STRANGER).header("idempotency-key", "k").event();
    assert_eq!(desk.aws.call(&desk.create, strangers).await.status(), 201);
    // What is wrong with the request itself is said first.
    let wrong = json!({ "items": [{ "product_id": SPOON, "quantity": 2 }], "expected_total": { "amount": 1, "currency": "USD" } });
    assert_eq!(code(&desk.post("wrong", &wrong).await), "price_changed");
}

#[tokio::test]
async fn an_order_that_is_paid_given_up_or_expired_makes_room_and_the_key_is_still_good() {
    for way in ["paid before its stock is held", "paid", "given up", "failed", "expired"] {
        let desk = Desk::new().await;
        let unpaid = leave_unpaid(&desk, MOST).await;
        for order in &unpaid {
            // Whether it is being paid makes no difference: the money is not there.
            desk.tell(order, "stock_reserved.v1", &json!({ "version": 1 })).await;
            desk.tell(order, "payment_started.v1", &json!({ "version": 1, "payment_id": "pay_1" })).await;
        }
        assert_eq!(code(&desk.post("next", &two_spoons()).await), "too_many_open_orders");
        let order = &unpaid[2];
        match way {
            "paid" => desk.confirm(order).await,
            "given up" => assert_eq!(desk.step(USER, "cancel", order, &Value::Null).await.status(), 202),
            "failed" => assert!(is_done(&desk.tell(order, "payment_closed.v1", &json!({ "version": 2 })).await)),
            // Nobody has looked at them yet, and they can be paid no more.
            "expired" => desk.clock.advance(PAY_WITHIN),
            _ => {
                let early = desk.stored("early", &two_spoons()).await;
                assert!(is_done(&desk.tell(&early, "payment_succeeded.v1", &json!({ "version": 1, "captured_total": 5998 })).await));
                assert_eq!(code(&desk.post("next", &two_spoons()).await), "too_many_open_orders", "it does not count itself");
                desk.confirm(order).await;
            }
        }
        assert_eq!(desk.post("next", &two_spoons()).await.status(), 201, "{way}");
    }
}

#[tokio::test]
async fn copies_of_the_last_request_that_is_allowed_get_one_answer() {
    for seed in 0..10 {
        let desk = Desk::crowded(seed).await;
        leave_unpaid(&desk, MOST - 1).await;
        let event = wanted("k", &two_spoons()).event();
        let copies: Vec<_> = (0..8).map(|_| tokio::spawn((desk.create)(Invocation::with_event(event.clone())))).collect();
        let mut bodies = BTreeSet::new();
        for copy in copies {
            let answer = copy.await.unwrap().unwrap();
            assert_eq!(answer["statusCode"], 201, "seed {seed}: {answer}");
            bodies.insert(answer["body"].as_str().unwrap().to_owned());
        }
        assert_eq!((bodies.len(), desk.count()), (1, MOST), "seed {seed}");
    }
}

#[tokio::test]
async fn where_it_cannot_be_found_out_what_a_buyer_has_to_pay_one_more_is_taken() {
    for fault in [Fault::Throttle, Fault::LoseRequest, Fault::LoseResponse] {
        let desk = Desk::new().await;
        leave_unpaid(&desk, MOST).await;
        desk.aws.fail(1, fault);
        assert_eq!(desk.post("one-more", &two_spoons()).await.status(), 201, "{fault:?}");
        desk.aws.heal();
        assert_eq!(code(&desk.post("another", &two_spoons()).await), "too_many_open_orders", "{fault:?}");
    }
}

#[tokio::test]
async fn a_product_says_how_many_of_it_one_order_may_have() {
    let desk = Desk::new().await;
    let mut few = product(SPOON, 2, 2999, true);
    few["max_per_order"] = 3.into();
    assert!(desk.hear_of(&few).await);
    let spoons = |quantity: u32| json!({ "product_id": SPOON, "quantity": quantity });
    let bowl = json!({ "product_id": BOWL, "quantity": 999 });
    for (items, pointer) in [(json!([spoons(4)]), "/items/0/quantity"), (json!([bowl, spoons(2), spoons(2)]), "/items/1/quantity")] {
        let refused = desk.post("k", &json!({ "items": items })).await;
        let problem = refused.json();
        assert_eq!((refused.status(), &problem["errors"][0]["code"]), (422, &json!("too_many_of_product")));
        assert_eq!((&problem["errors"][0]["pointer"], &problem["maximum"]), (&json!(pointer), &json!(3)));
    }
    let wish = json!({ "items": [bowl, spoons(1), spoons(2)] });
    let placed = desk.post("k", &wish).await;
    assert_eq!((placed.status(), desk.count()), (201, 1));

    few["max_per_order"] = 1.into();
    few["version"] = 3.into();
    assert!(desk.hear_of(&few).await);
    assert_eq!(body(&desk.post("k", &wish).await), body(&placed), "what was placed is answered again");
    assert_eq!(desk.post("new", &wish).await.status(), 422);
}
