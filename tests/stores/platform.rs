//! Health and pages: what the check records, what the public routes return, and what they cost.

use std::time::Duration;

use platform::{problems::PROBLEMS, services::SERVICES};
use serde_json::{Value, json};
use tests::{
    aws::{Called, Fault},
    events, ses,
    shop::Shop,
};

async fn check(shop: &Shop) -> Value {
    shop.call("check-health", json!({})).await.answer.unwrap()
}

async fn get(shop: &Shop, operation: &str, path: &str) -> Called {
    let parameter = path.rsplit('/').next().unwrap();
    let request = events::get(path)
        .path_parameter(if path.starts_with("/health/") { "service" } else { "code" }, parameter);
    let is_plain = matches!(path, "/health" | "/health/live" | "/health/ready");
    shop.call(operation, if is_plain { events::get(path).event() } else { request.event() }).await
}

#[tokio::test]
async fn health_is_read_from_the_record_of_the_latest_check() {
    let shop = Shop::new();
    let report = check(&shop).await;
    let healthy = json!({
        "unhealthy_services": 0,
        "dead_letters": 0,
        "overdue_seconds": 0,
        "suppressed_addresses": 0,
        "unavailable": 0,
    });
    assert_eq!(report, healthy);
    let called = get(&shop, "get-health", "/health").await;
    assert_eq!((called.status(), called.operations()), (200, vec!["GetItem"]));
    insta::assert_json_snapshot!(called.json());
    let ready = get(&shop, "get-health", "/health/ready").await;
    assert_eq!((ready.status(), ready.json()), (200, json!({ "status": "ready" })));
}

#[tokio::test]
async fn liveness_reads_nothing() {
    let shop = Shop::new();
    let called = get(&shop, "get-health", "/health/live").await;
    assert_eq!((called.status(), called.json()), (200, json!({ "status": "live" })));
    assert!(called.calls.is_empty());
}

#[tokio::test]
async fn missing_or_old_record_is_503_health_unknown() {
    let shop = Shop::new();
    for path in ["/health", "/health/ready", "/health/orders"] {
        let called = get(&shop, "get-health", path).await;
        assert_eq!((called.status(), called.code().as_str()), (503, "health_unknown"), "{path}");
    }
    check(&shop).await;
    shop.clock.advance(Duration::from_secs(180));
    assert_eq!(get(&shop, "get-health", "/health").await.status(), 200);
    shop.clock.advance(Duration::from_secs(1));
    let called = get(&shop, "get-health", "/health").await;
    assert_eq!((called.status(), called.code().as_str()), (503, "health_unknown"));
    assert_eq!(called.header("retry-after").as_deref(), Some("60"));
    check(&shop).await;
    assert_eq!(get(&shop, "get-health", "/health").await.status(), 200);
}

#[tokio::test]
async fn service_with_an_inactive_table_is_unhealthy() {
    let shop = Shop::new();
    // After the recorded deployment, the first table is asked.
    shop.aws.fail(1, Fault::LoseRequest);
    assert_eq!(check(&shop).await["unhealthy_services"], 1);
    let called = get(&shop, "get-health", "/health").await;
    assert_eq!((called.status(), &called.json()["status"]), (503, &json!("degraded")));
    let unhealthy = called.json()["unhealthy"].as_array().unwrap().clone();
    assert_eq!(unhealthy.len(), 1);
    let ready = get(&shop, "get-health", "/health/ready").await;
    assert_eq!((ready.status(), ready.json()), (503, json!({ "status": "not_ready" })));
    for service in SERVICES {
        let is_healthy = !unhealthy.contains(&json!(service.name));
        let one = get(&shop, "get-health", &format!("/health/{}", service.name)).await;
        assert_eq!(one.status(), if is_healthy { 200 } else { 503 });
        let status = if is_healthy { "healthy" } else { "unhealthy" };
        assert_eq!(one.json(), json!({ "service": service.name, "status": status }));
    }
}

/// The stored record of the latest check as DynamoDB JSON.
fn record(shop: &Shop) -> Value {
    shop.aws.item("platform", &json!({ "pk": { "S": "health" } })).unwrap()
}

#[tokio::test]
async fn service_that_the_record_lacks_is_unhealthy() {
    let shop = Shop::new();
    check(&shop).await;
    let mut of_earlier_release = record(&shop);
    of_earlier_release["services"]["M"].as_object_mut().unwrap().remove("ledger");
    shop.aws.put("platform", &of_earlier_release);
    let called = get(&shop, "get-health", "/health").await;
    assert_eq!((called.status(), &called.json()["status"]), (503, &json!("degraded")));
    assert_eq!(called.json()["unhealthy"], json!(["ledger"]));
    let services = called.json()["services"].as_object().unwrap().clone();
    assert_eq!((services.len(), &services["ledger"]), (SERVICES.len(), &json!("unhealthy")));
    assert_eq!(get(&shop, "get-health", "/health/ready").await.status(), 503);
    let ledger = get(&shop, "get-health", "/health/ledger").await;
    assert_eq!((ledger.status(), &ledger.json()["status"]), (503, &json!("unhealthy")));
    assert_eq!(get(&shop, "get-health", "/health/orders").await.status(), 200);
}

#[tokio::test]
async fn health_is_recorded_if_the_deployment_cannot_be_read() {
    let shop = Shop::new();
    let mut deployment = json!({
        "pk": { "S": "deployment#latest" },
        "version": { "S": "0.2.0" },
        "commit": { "S": "0a1b2c3d" },
        "deployed_at": { "S": "2026-11-21T09:00:00.000Z" },
    });
    shop.aws.put("platform", &deployment);
    check(&shop).await;
    let release = get(&shop, "get-health", "/health").await.json()["release"].clone();
    assert_eq!((&release["version"], &release["commit"]), (&json!("0.2.0"), &json!("0a1b2c3d")));

    let check_without_deployment = async || {
        shop.clock.advance(Duration::from_secs(60));
        assert_eq!(check(&shop).await["unavailable"], 1);
        assert_eq!(record(&shop)["facts"]["M"]["unavailable"]["L"], json!([{ "S": "deployment" }]));
        let called = get(&shop, "get-health", "/health").await;
        assert_eq!((called.status(), called.json().get("release")), (200, None));
    };
    for fault in [Fault::LoseRequest, Fault::Throttle] {
        shop.aws.fail(0, fault);
        check_without_deployment().await;
    }
    deployment.as_object_mut().unwrap().remove("version");
    shop.aws.put("platform", &deployment);
    check_without_deployment().await;
}

#[tokio::test]
async fn unknown_service_is_404_without_a_read() {
    let shop = Shop::new();
    let called = get(&shop, "get-health", "/health/nothing").await;
    assert_eq!((called.status(), called.code().as_str()), (404, "service_not_found"));
    assert!(called.calls.is_empty());
}

#[tokio::test]
async fn check_counts_dead_letters_and_overdue_records() {
    let shop = Shop::new();
    let product = shop.product("teapot", 2999, 10).await;
    shop.harness().drain_queues().await;
    let order = events::order("key", &events::order_request(&product, 1, None)).event();
    assert_eq!(shop.call("create-order", order).await.status(), 201);
    shop.aws.queues().send("reserve-stock-dead-letter", "{}");
    shop.clock.advance(Duration::from_secs(60 + 90));
    let report = check(&shop).await;
    assert_eq!((&report["dead_letters"], &report["overdue_seconds"]), (&json!(1), &json!(90)));
    // Operators see this, the public does not.
    let public = get(&shop, "get-health", "/health").await.json();
    assert!(!public.to_string().contains("dead"), "{public}");
}

#[tokio::test]
async fn check_counts_suppressed_addresses_with_one_read() {
    let shop = Shop::new();
    for number in 0..3 {
        for kind in ["Transient", "Permanent", "Permanent"] {
            let data = ses::bounced(&format!("user{number}@example.com"), kind);
            let event = events::message("record-mail-feedback", "mail_bounced.v1", &data);
            assert!(shop.call("record-mail-feedback", event).await.is_done());
        }
        shop.clock.advance(Duration::from_secs(20 * 24 * 3600));
    }
    let called = shop.call("check-health", json!({})).await;
    assert_eq!(called.ok()["suppressed_addresses"], 3);
    assert_eq!(called.operations_on("notifications"), ["DescribeTable", "GetItem"]);
    assert_eq!(record(&shop)["facts"]["M"]["suppressed_addresses"]["N"], "3");
    // The public could find out whether mails to an address bounce.
    let public = get(&shop, "get-health", "/health").await.json();
    assert!(!public.to_string().contains("suppress"), "{public}");

    // Each suppression counts until the end of the day on which it ends.
    for (days, expected) in [(30, 3), (1, 2), (19, 2), (1, 1), (20, 0)] {
        shop.clock.advance(Duration::from_secs(days * 24 * 3600));
        let report = check(&shop).await;
        assert_eq!(report["suppressed_addresses"], expected, "{days} days later");
    }
}

#[tokio::test]
async fn ages_are_read_of_queues_that_are_not_empty() {
    let shop = Shop::new();
    let cloudwatch = shop.aws.cloudwatch();
    for (queue, ages) in [
        ("reserve-stock", &[35.0, 95.0][..]),
        ("charge-payment-dead-letter", &[90_000.0, 7200.0]),
        ("open-payment", &[60.0]),
    ] {
        cloudwatch.set_ages(queue, ages);
    }
    // CloudWatch bills each metric that is read.
    assert_eq!(check(&shop).await.get("oldest_message_seconds"), None);
    assert!(cloudwatch.requests().is_empty());

    for queue in ["reserve-stock", "charge-payment-dead-letter", "refund-payment"] {
        shop.aws.queues().send(queue, "{}");
    }
    shop.clock.advance(Duration::from_secs(60));
    let report = check(&shop).await;
    assert_eq!(
        (&report["oldest_message_seconds"], &report["unavailable"]),
        (&json!(7200), &json!(0))
    );
    // A queue without a recent value has no age.
    let filled = ["charge-payment-dead-letter", "refund-payment", "reserve-stock"];
    assert_eq!(cloudwatch.requests(), [filled]);
    assert_eq!(
        record(&shop)["facts"]["M"]["oldest_message_seconds"]["M"],
        json!({ "charge-payment-dead-letter": { "N": "7200" }, "reserve-stock": { "N": "95" } })
    );
    let public = get(&shop, "get-health", "/health").await.json();
    assert!(!public.to_string().contains("oldest"), "{public}");
}

#[tokio::test]
async fn health_is_recorded_if_cloudwatch_fails() {
    let shop = Shop::new();
    shop.aws.queues().send("reserve-stock", "{}");
    let calls = shop.call("check-health", json!({})).await.calls;
    // Then only the record is written.
    let ages = calls.len() - 2;
    assert_eq!(calls[ages].service, "cloudwatch");
    for fault in [Fault::LoseRequest, Fault::LoseResponse, Fault::Throttle] {
        shop.clock.advance(Duration::from_secs(60));
        shop.aws.fail(ages, fault);
        assert_eq!(check(&shop).await["unavailable"], 1, "{fault:?}");
        let facts = &record(&shop)["facts"]["M"];
        assert_eq!(facts["unavailable"]["L"], json!([{ "S": "ages of messages" }]), "{fault:?}");
        assert_eq!(facts["queues"]["M"]["reserve-stock"]["M"]["visible"]["N"], "1", "{fault:?}");
        assert_eq!(get(&shop, "get-health", "/health").await.status(), 200, "{fault:?}");
    }
}

#[tokio::test]
async fn fact_that_cannot_be_read_is_counted_and_leaves_the_others() {
    let shop = Shop::new();
    // After the recorded deployment and the twelve tables, the first queue is asked.
    shop.aws.fail(13, Fault::LoseRequest);
    let report = check(&shop).await;
    assert_eq!((&report["unavailable"], &report["unhealthy_services"]), (&json!(1), &json!(0)));
}

#[tokio::test]
async fn every_page_has_a_policy_an_entity_tag_and_relative_links() {
    let shop = Shop::new();
    let mut paths: Vec<String> =
        ["/", "/docs", "/openapi.json", "/openapi-3.0.json", "/problems"].map(str::to_owned).into();
    let public = SERVICES.iter().filter(|service| service.is_public);
    paths.extend(public.map(|service| format!("/docs/{}", service.name)));
    paths.extend(PROBLEMS.iter().map(|problem| format!("/problems/{}", problem.code)));
    let assets = ["pages.css", "health.js", "icon.svg", "reference.css", "reference.js"];
    paths.extend(assets.map(|file| format!("/assets/{file}")));
    for path in paths {
        let called = get(&shop, "get-docs", &path).await;
        assert_eq!((called.status(), called.calls.len()), (200, 0), "{path}");
        let policy = called.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{path}: {policy}");
        let is_reference = path.starts_with("/docs");
        assert_eq!(policy.contains("unsafe-inline"), is_reference, "{path}: {policy}");
        let tag = called.header("etag").unwrap();
        assert!(tag.starts_with("W/\""), "{path}: {tag}");
        let again = events::get(&path).header("if-none-match", &tag).event();
        let again = shop.call("get-docs", again).await;
        assert_eq!((again.status(), again.body()), (304, ""), "{path}");
        for (_, link) in called
            .body()
            .match_indices("href=\"")
            .map(|(at, text)| (at, called.body()[at + text.len()..].split('"').next().unwrap()))
        {
            assert!(!link.starts_with('/') && !link.contains("//"), "{path}: {link}");
        }
    }
}

#[tokio::test]
async fn unknown_pages_are_404_with_a_link_to_the_problem() {
    let shop = Shop::new();
    for (path, link) in [
        ("/docs/nothing", "<../problems/route_not_found>; rel=\"help\""),
        ("/docs/ledger", "<../problems/route_not_found>; rel=\"help\""),
        ("/problems/nothing", "<../problems/route_not_found>; rel=\"help\""),
        ("/assets/..", "<../problems/route_not_found>; rel=\"help\""),
    ] {
        let called = get(&shop, "get-docs", path).await;
        assert_eq!((called.status(), called.code().as_str()), (404, "route_not_found"), "{path}");
        assert_eq!(called.header("link").as_deref(), Some(link), "{path}");
    }
}

#[tokio::test]
async fn address_of_the_stage_without_a_slash_is_redirected() {
    let shop = Shop::new();
    for (full_path, location) in
        [("/v1", Some("v1/")), ("/shop/v1", Some("v1/")), ("/v1/", None), ("/", None)]
    {
        let mut event = events::get("/").event();
        event["resource"] = "/".into();
        event["requestContext"]["path"] = full_path.into();
        let called = shop.call("get-docs", event).await;
        assert_eq!(called.header("location").as_deref(), location, "{full_path}");
        assert_eq!(called.status(), if location.is_some() { 308 } else { 200 }, "{full_path}");
    }
}
