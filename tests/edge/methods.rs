//! `HEAD` on every readable route.

use serde_json::{Value, json};

use crate::{
    fixture::{ApiFixture, header, snapshot},
    routes::ROUTES,
};

/// Returns the response without the headers that differ between two responses.
async fn answer(edge: &ApiFixture, operation: &str, method: &str, mut event: Value) -> Value {
    event["httpMethod"] = method.into();
    let mut answer =
        edge.shop.call(operation, event).await.answer.expect("an HTTP function never fails");
    for name in ["x-process-time", "x-request-id"] {
        answer["headers"].as_object_mut().unwrap().remove(name);
    }
    answer
}

#[tokio::test]
async fn head_equals_get_without_a_body_on_every_readable_route() {
    let edge = ApiFixture::new("HEAD").await;
    let before = snapshot(&edge.shop.aws);
    let mut seen = 0;
    for route in ROUTES.iter() {
        let event = edge.valid(route.operation);
        if event["httpMethod"] != "GET" {
            continue;
        }
        let get = answer(&edge, route.operation, "GET", event.clone()).await;
        let head = answer(&edge, route.operation, "HEAD", event.clone()).await;
        assert_eq!(get["statusCode"], 200, "{}: {get}", route.operation);
        let length = get["body"].as_str().unwrap().len().to_string();
        assert_eq!(
            (&head["body"], &head["headers"]["content-length"]),
            (&json!(""), &json!(length)),
            "{}",
            route.operation
        );
        let mut without_length = head.clone();
        without_length["headers"].as_object_mut().unwrap().remove("content-length");
        without_length["body"] = get["body"].clone();
        assert_eq!(without_length, get, "{}", route.operation);
        if let Some(tag) = get["headers"]["etag"].as_str() {
            let mut unchanged = event;
            header(&mut unchanged, "if-none-match", &[tag]);
            let get = answer(&edge, route.operation, "GET", unchanged.clone()).await;
            assert_eq!(
                answer(&edge, route.operation, "HEAD", unchanged).await["statusCode"],
                get["statusCode"],
                "{}",
                route.operation
            );
        }
        seen += 1;
    }
    assert_eq!(seen, 25);
    assert_eq!(snapshot(&edge.shop.aws), before, "a HEAD request writes");
}
