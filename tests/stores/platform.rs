//! Health checks: accurate, fast, and cached to limit the reads of the tables.

use std::time::Duration;

use serde_json::json;
use tests::{aws::Fault, events, shop::Shop};

#[tokio::test]
async fn healthy_shop_is_checked_at_most_every_five_seconds() {
    let shop = Shop::new();
    let first = shop.call("get-health", events::get("/health").event()).await;
    assert_eq!(first.status(), 200);
    insta::assert_json_snapshot!(first.json());
    assert_eq!(first.operations(), ["DescribeTable"; 10]);
    assert!(shop.call("get-health", events::get("/health").event()).await.calls.is_empty());
    shop.clock.advance(Duration::from_secs(5));
    assert_eq!(shop.call("get-health", events::get("/health").event()).await.calls.len(), 10);
}

#[tokio::test]
async fn service_with_an_unavailable_table_is_reported() {
    let shop = Shop::new();
    shop.aws.fail(0, Fault::LoseRequest);
    let called = shop.call("get-health", events::get("/health").event()).await;
    assert_eq!((called.status(), &called.json()["status"]), (503, &json!("degraded")));
    let unhealthy = called.json()["unhealthy"].as_array().unwrap().clone();
    assert_eq!(unhealthy.len(), 1);
    for (service, status) in called.json()["services"].as_object().unwrap() {
        let path = format!("/health/{service}");
        let one = shop
            .call("get-health", events::get(&path).path_parameter("service", service).event())
            .await;
        assert_eq!(one.status(), if *status == "healthy" { 200 } else { 503 });
        assert_eq!(one.json(), json!({ "service": service, "status": status }));
        assert_eq!(unhealthy.contains(&json!(service)), *status == "unhealthy");
    }
}

#[tokio::test]
async fn unknown_service_is_404() {
    let shop = Shop::new();
    let called = shop
        .call(
            "get-health",
            events::get("/health/nothing").path_parameter("service", "nothing").event(),
        )
        .await;
    assert_eq!(
        (called.status(), called.json()["code"].as_str().unwrap()),
        (404, "service_not_found")
    );
}
