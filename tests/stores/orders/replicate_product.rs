//! The orders service's copy of the catalog keeps the newest version of each product.

use super::*;

#[tokio::test]
async fn product_copy_keeps_the_newest_version() {
    let fixture = OrdersFixture::new().await;
    let (new, old) = (product(SPOON, 3, 3999, true), product(SPOON, 2, 1, true));
    assert!(fixture.replicate(&new).await);
    let kept = fixture.known(SPOON).await;
    assert_eq!((&kept["price"]["amount"], &kept["version"]), (&json!(3999), &json!(3)));
    for late in [&old, &new, &product(SPOON, 3, 1, false)] {
        let replicated = fixture
            .call(
                "replicate-product",
                events::message("product-changes", "product_changed.v1", late),
            )
            .await;
        assert_eq!((replicated.is_done(), replicated.operations()), (true, vec!["PutItem"]));
        assert_eq!(fixture.known(SPOON).await, kept, "{late}");
    }
}

#[tokio::test]
async fn archived_product_stays_as_a_tombstone() {
    let fixture = OrdersFixture::new().await;
    assert!(fixture.replicate(&product(SPOON, 3, 2999, false)).await);
    assert!(fixture.replicate(&product(SPOON, 2, 2999, true)).await);
    assert_eq!(fixture.known(SPOON).await["active"], false);
    assert_eq!(fixture.post("k", &two_spoons()).await.code(), "unknown_product");
    assert!(fixture.replicate(&product(SPOON, 4, 2999, true)).await);
    assert_eq!(fixture.post("k", &two_spoons()).await.status(), 201);
}

#[tokio::test]
async fn newest_product_version_wins_under_any_fault() {
    for order in [[2, 3, 4], [4, 3, 2], [3, 4, 2]] {
        for faulty in 0..order.len() {
            for_each_fault([0], async |InjectedFault { call, fault }| {
                let fixture = OrdersFixture::new().await;
                for (number, version) in order.into_iter().enumerate() {
                    let message =
                        product(SPOON, version, 1000 + i64::try_from(version).unwrap(), true);
                    if number == faulty {
                        fixture.aws.fail(call, fault);
                        assert!(!fixture.replicate(&message).await, "{fault:?}: it is redelivered");
                    }
                    assert!(fixture.replicate(&message).await);
                }
                let kept = fixture.known(SPOON).await;
                assert_eq!(
                    (&kept["version"], &kept["price"]["amount"]),
                    (&json!(4), &json!(1004)),
                    "{fault:?} {order:?}"
                );
            })
            .await;
        }
    }
}

#[tokio::test]
async fn copy_keeps_what_a_price_needs() {
    let fixture = OrdersFixture::new().await;
    let mut message = product(SPOON, 3, 2999, true);
    message["tax_class"] = json!("reduced");
    message["weight_g"] = json!(45);
    message["requires_shipping"] = json!(false);
    message["prices"] = json!([{
        "market": "de", "currency": "EUR", "amount": 2599, "compare_at": 3299,
        "compare_at_from": "2026-11-21T00:00:00.000Z", "compare_at_until": "2026-12-24T00:00:00.000Z",
    }]);
    assert!(fixture.replicate(&message).await);
    let kept = fixture.known(SPOON).await;
    for name in ["tax_class", "weight_g", "requires_shipping", "category", "price"] {
        assert_eq!(kept[name], message[name], "{name}");
    }
    let price = json!({
        "market": "de", "currency": "EUR", "amount": 2599, "compare_at": 3299,
        "from": 1_795_219_200_000_i64, "until": 1_798_070_400_000_i64,
    });
    assert_eq!((&kept["prices"], &kept["shape"]), (&json!([price]), &json!(1)));
}

#[tokio::test]
async fn same_version_replaces_a_copy_of_an_earlier_shape_only() {
    for (shape, is_replaced) in [(None, true), (Some(0), true), (Some(1), false), (Some(2), false)]
    {
        let fixture = OrdersFixture::new().await;
        let (key, products) =
            (Key::new(format!("PRODUCT#{SPOON}")), fixture.aws.table("order-products"));
        let earlier = match shape {
            Some(shape) => Expression::new("SET #shape = :shape, #weight_g = :weight_g")
                .value("shape", shape)
                .value("weight_g", 7),
            None => Expression::new("SET #weight_g = :weight_g REMOVE #shape").value("weight_g", 7),
        };
        products.update(key, earlier, Expression::exists()).await.unwrap();
        let mut message = product(SPOON, 1, 2999, true);
        message["weight_g"] = json!(45);
        assert!(fixture.replicate(&message).await);
        let expected = if is_replaced { (45, 1) } else { (7, shape.unwrap_or_default()) };
        let kept = fixture.known(SPOON).await;
        assert_eq!(
            (&kept["weight_g"], &kept["shape"]),
            (&json!(expected.0), &json!(expected.1)),
            "{shape:?}"
        );
        // A newer version replaces every shape.
        assert!(fixture.replicate(&product(SPOON, 2, 2999, true)).await);
        assert_eq!(fixture.known(SPOON).await["version"], 2);
    }
}
