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
        let heard = fixture
            .call(
                "replicate-product",
                events::message("product-changes", "product_changed.v1", late),
            )
            .await;
        assert_eq!((heard.is_done(), heard.operations()), (true, vec!["PutItem"]));
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
