//! The orders service's copy of the pricing rules keeps the newest version for each market and country.

use super::*;

/// The rules of a market in this version, with this price of its shipping method.
fn rules(market: &str, version: u64, shipping: u32) -> Value {
    let mut pricing = events::pricing();
    pricing["market"] = market.into();
    pricing["version"] = version.into();
    pricing["document"]["shipping_methods"][0]["price"] = shipping.into();
    pricing
}

impl OrdersFixture {
    async fn stored_rules(&self, market: &str, country: &str) -> Option<Value> {
        let key = Key::new(format!("PRICING#{market}#{country}"));
        let item = self.aws.table("order-products").get(key).await.unwrap()?;
        Some(from_item(item).unwrap())
    }
}

#[tokio::test]
async fn pricing_copy_keeps_the_newest_version() {
    let fixture = OrdersFixture::new().await;
    assert!(fixture.replicate_rules(&rules("gb", 3, 500)).await);
    let kept = fixture.stored_rules("gb", "GB").await.unwrap();
    assert_eq!(kept["version"], 3);
    for late in [rules("gb", 2, 1), rules("gb", 3, 500), rules("gb", 3, 1)] {
        let received = fixture.call("replicate-pricing", events::pricing_changed(&late)).await;
        assert_eq!((received.is_done(), received.operations()), (true, vec!["PutItem"]));
        assert_eq!(fixture.stored_rules("gb", "GB").await.unwrap(), kept, "{late}");
    }
    assert!(fixture.replicate_rules(&rules("gb", 4, 600)).await);
    assert_eq!(fixture.stored_rules("gb", "GB").await.unwrap()["version"], 4);
}

#[tokio::test]
async fn each_market_and_country_has_its_own_copy() {
    let fixture = OrdersFixture::new().await;
    let mut ireland = rules("gb", 1, 900);
    ireland["country"] = "IE".into();
    for rules in [&rules("gb", 2, 500), &ireland, &rules("wholesale", 1, 0)] {
        assert!(fixture.replicate_rules(rules).await);
    }
    for (market, country, version) in [("gb", "GB", 2), ("gb", "IE", 1), ("wholesale", "GB", 1)] {
        let stored = fixture.stored_rules(market, country).await.unwrap();
        assert_eq!(stored["version"], version, "{market} {country}");
    }
    assert!(fixture.stored_rules("wholesale", "IE").await.is_none());
}

/// A later release publishes fields that this one does not know, and uses them after its deployment.
#[tokio::test]
async fn unknown_fields_of_the_rules_are_kept() {
    let fixture = OrdersFixture::new().await;
    let mut later = rules("gb", 1, 500);
    later["document"]["promotions"][0]["effect"] = json!({ "points": 3 });
    later["document"]["gift_wrapping"] = json!({ "price": 300 });
    assert!(fixture.replicate_rules(&later).await);
    let stored = fixture.stored_rules("gb", "GB").await.unwrap();
    let document: Value = serde_json::from_str(stored["document"].as_str().unwrap()).unwrap();
    assert_eq!(document, later["document"]);
}

#[tokio::test]
async fn unreadable_rules_are_dead_lettered_and_the_last_ones_remain() {
    let fixture = OrdersFixture::new().await;
    assert!(fixture.replicate_rules(&rules("gb", 1, 500)).await);
    let kept = fixture.stored_rules("gb", "GB").await;
    let damages: [(&str, Value); 7] = [
        ("/document/currency", json!("XXX")),
        ("/document/taxes/0/rates/0/ppm", json!(-1)),
        ("/document/taxes/0/rates", json!(vec![json!({ "name": "VAT", "ppm": 1 }); 11])),
        ("/document/promotions", json!(vec![json!({}); 201])),
        ("/document", Value::Null),
        ("/country", json!("XX")),
        ("/market", json!("G B")),
    ];
    for (place, value) in damages {
        let mut invalid = rules("gb", 2, 1);
        *invalid.pointer_mut(place).unwrap() = value;
        let event = events::pricing_changed(&invalid);
        let received = fixture.call("replicate-pricing", event).await;
        assert_eq!(received.rejected(), 1, "{place}: {:?}", received.answer);
        assert_eq!(fixture.stored_rules("gb", "GB").await, kept, "{place}");
    }
    assert!(fixture.replicate_rules(&rules("gb", 2, 600)).await);
    assert_eq!(fixture.stored_rules("gb", "GB").await.unwrap()["version"], 2);
}

#[tokio::test]
async fn newest_rules_win_under_any_fault() {
    for order in [[2, 3, 4], [4, 3, 2], [3, 4, 2]] {
        for faulty in 0..order.len() {
            for_each_fault([0], async |InjectedFault { call, fault }| {
                let fixture = OrdersFixture::new().await;
                for (number, version) in order.into_iter().enumerate() {
                    let rules = rules("gb", version, 500);
                    if number == faulty {
                        fixture.aws.fail(call, fault);
                        assert!(!fixture.replicate_rules(&rules).await, "{fault:?}: redelivered");
                    }
                    assert!(fixture.replicate_rules(&rules).await);
                }
                let kept = fixture.stored_rules("gb", "GB").await.unwrap();
                assert_eq!(kept["version"], 4, "{fault:?} {order:?}");
            })
            .await;
        }
    }
}
