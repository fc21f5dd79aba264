//! Lost responses, throttling and conflicts at every call of the operations of carts.

use tests::faults::for_each_fault_at_each_call;

use super::*;

#[tokio::test]
async fn change_with_a_mutation_id_applies_once_under_any_fault() {
    for_each_fault_at_each_call(async |InjectedFault { call, fault }| {
        let fixture = OrdersFixture::new().await;
        let guest = fixture.guest_cart(&json!({})).await;
        let mut change = add(SPOON, 1);
        change["mutation_id"] = "m".into();
        fixture.aws.fail(call, fault);
        let first = fixture.change_cart(&guest, &change).await;
        assert!([200, 503].contains(&first.status()), "{:?}", first.answer);
        fixture.aws.heal();
        let cart = fixture.changed_cart(&guest, &change).await;
        assert_eq!((quantities(&cart), &cart["version"]), (pieces([(SPOON, 1)]), &json!(2)));
        first
    })
    .await;
}

#[tokio::test]
async fn merge_happens_once_under_any_fault() {
    for_each_fault_at_each_call(async |InjectedFault { call, fault }| {
        let fixture = OrdersFixture::new().await;
        let (own, guest) = (fixture.own_cart(USER).await, fixture.guest_cart(&json!({})).await);
        fixture.changed_cart(&own, &add(SPOON, 1)).await;
        fixture.changed_cart(&guest, &add(SPOON, 2)).await;
        fixture.aws.fail(call, fault);
        let first = fixture.merge_carts(&own, &guest).await;
        assert!([200, 503].contains(&first.status()), "{:?}", first.answer);
        fixture.aws.heal();
        let again = fixture.merge_carts(&own, &guest).await;
        assert_eq!(again.status(), 200, "{:?}", again.answer);
        let cart = again.json();
        assert_eq!((quantities(&cart), &cart["version"]), (pieces([(SPOON, 3)]), &json!(3)));
        first
    })
    .await;
}

#[tokio::test]
async fn user_gets_one_cart_under_any_fault() {
    for_each_fault_at_each_call(async |InjectedFault { call, fault }| {
        let fixture = OrdersFixture::new().await;
        let order = fixture.placed("k").await;
        fixture.own_cart(USER).await;
        let from_order = json!({ "from_order": order });
        fixture.aws.fail(call, fault);
        let first = fixture.create_cart(USER, &from_order).await;
        assert!([200, 201, 503].contains(&first.status()), "{:?}", first.answer);
        fixture.aws.heal();
        let again = fixture.create_cart(USER, &from_order).await;
        assert!([200, 201].contains(&again.status()), "{:?}", again.answer);
        assert_eq!(quantities(&again.json()), pieces([(SPOON, 2)]));
        // The cart, and the item that names it.
        assert_eq!(fixture.aws.items("order-carts").len(), 2);
        first
    })
    .await;
}

#[tokio::test]
async fn guest_gets_a_cart_or_503_under_any_fault() {
    for_each_fault_at_each_call(async |InjectedFault { call, fault }| {
        let fixture = OrdersFixture::with_market().await;
        let create = json!({ "market": "gb", "country": "GB" });
        fixture.aws.fail(call, fault);
        let request = events::post("/carts", &create).event();
        let first = fixture.call("create-cart", request).await;
        fixture.aws.heal();
        if first.status() == 201 {
            let guest = CartHandle::new(&first.json(), None);
            assert_eq!(fixture.read_cart(&guest).await.status(), 200);
        } else {
            assert_eq!(first.status(), 503, "{:?}", first.answer);
        }
        first
    })
    .await;
}

/// The SDK repeats a write whose response was lost. Its condition then fails because of the first
/// attempt, which the operation recognizes.
#[tokio::test]
async fn sdk_retry_after_a_lost_response_succeeds() {
    let fixture = OrdersFixture::with_retries().await;
    fixture.aws.fail(0, Fault::LoseResponse);
    let guest = fixture.guest_cart(&json!({})).await;
    fixture.aws.fail(2, Fault::LoseResponse);
    let changed = fixture.change_cart(&guest, &add(SPOON, 1)).await;
    assert_eq!(changed.operations(), ["GetItem", "BatchGetItem", "UpdateItem", "UpdateItem"]);
    assert_eq!(quantities(&changed.json()), pieces([(SPOON, 1)]));
    fixture.aws.fail(1, Fault::LoseResponse);
    let created = fixture.create_cart(USER, &json!({})).await;
    assert_eq!(created.status(), 201, "{:?}", created.answer);
    let own = CartHandle::new(&created.json(), Some(USER));
    fixture.aws.fail(2, Fault::LoseResponse);
    let merged = fixture.merge_carts(&own, &guest).await;
    assert_eq!((merged.status(), quantities(&merged.json())), (200, pieces([(SPOON, 1)])));
}

#[tokio::test]
async fn deletion_of_the_user_deletes_the_cart_under_any_fault() {
    for_each_fault_at_each_call(async |InjectedFault { call, fault }| {
        let fixture = OrdersFixture::new().await;
        fixture.own_cart(USER).await;
        let deleted =
            events::message("update-buyer", "user_deleted.v1", &json!({ "user_id": USER }));
        fixture.aws.fail(call, fault);
        let first = fixture.call("update-buyer", deleted.clone()).await;
        fixture.aws.heal();
        assert!(fixture.call("update-buyer", deleted).await.is_done());
        assert_eq!(fixture.aws.items("order-carts"), Vec::<Value>::new());
        first
    })
    .await;
}
