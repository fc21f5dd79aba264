//! Requests through a custom domain with a base path. `path` of their event begins with the base
//! path, and `resource` does not.

use serde_json::{Value, json};

use crate::{fixture::ApiFixture, routes::ROUTES};

/// The event of the same request through `https://api.example.com/shop`.
fn below_base_path(mut event: Value) -> Value {
    let path = format!("/shop{}", event["path"].as_str().unwrap());
    event["path"] = path.clone().into();
    event["requestContext"]["path"] = path.into();
    event["requestContext"]["domainName"] = "api.example.com".into();
    event
}

#[tokio::test]
async fn every_route_answers_alike_below_a_base_path() {
    for route in ROUTES.iter() {
        let edge = ApiFixture::new("base path").await;
        let event = edge.valid(route.operation);
        assert!(event["resource"].is_string(), "events/{}.json has a resource", route.operation);
        let direct = edge.shop.call(route.operation, event).await;
        let edge = ApiFixture::new("base path").await;
        let mapped =
            edge.shop.call(route.operation, below_base_path(edge.valid(route.operation))).await;
        assert!(direct.status() < 300, "{}: {}", route.operation, direct.json());
        assert_eq!(
            (mapped.status(), mapped.header("location")),
            (direct.status(), direct.header("location")),
            "{}",
            route.operation
        );
        // A relative reference keeps the base path.
        let location = mapped.header("location").unwrap_or_default();
        assert!(!location.starts_with('/') && !location.contains("shop"), "{location}");
    }
}

#[tokio::test]
async fn cursor_is_valid_with_and_without_base_path() {
    let edge = ApiFixture::new("cursors below a base path").await;
    let page = |cursor: Option<&str>| {
        let mut event = edge.valid("list-products");
        event["queryStringParameters"] = json!({ "limit": "1" });
        if let Some(cursor) = cursor {
            event["queryStringParameters"]["cursor"] = cursor.into();
        }
        event["multiValueQueryStringParameters"] = json!({});
        event
    };
    let first = edge.shop.call("list-products", page(None)).await.json();
    let cursor = first["next_cursor"].as_str().unwrap();
    for event in [page(Some(cursor)), below_base_path(page(Some(cursor)))] {
        let second = edge.shop.call("list-products", event).await;
        assert_eq!(second.status(), 200, "{}", second.json());
        assert_ne!(second.json()["items"][0]["id"], first["items"][0]["id"]);
    }
}
