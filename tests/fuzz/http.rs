//! What applies to every HTTP request.

use serde_json::{Value, json};
use tests::{
    api::{
        fixture::{Expect, violations},
        routes::ROUTES,
    },
    aws::Called,
};

use crate::fixture::FuzzFixture;

/// Operations that return the resource that they have written, the operation that reads it, and the
/// parameter with its id.
const READERS: [(&str, &str, &str); 7] = [
    ("create-product", "get-product", "product_id"),
    ("update-product", "get-product", "product_id"),
    ("create-order", "get-order", "order_id"),
    ("create-payment", "get-payment", "payment_id"),
    ("register-user", "get-user", "user_id"),
    ("update-me", "get-user", "user_id"),
    ("update-user", "get-user", "user_id"),
];

/// Sends a request. Returns the response if it is a success.
///
/// # Panics
/// If the response is a 5xx or not well formed, if a rejected request writes, or if an accepted one
/// is not repeatable, not readable, or causes a dead letter.
pub fn check(fixture: &mut FuzzFixture, operation: &str, event: &Value) -> Option<Called> {
    let called = fixture.call(operation, event.clone());
    let found = violations(&called, Expect::Any);
    assert!(found.is_empty(), "{operation}: {found:#?}");
    if called.status() >= 400 {
        // The provider has declined the charge, and the attempt is recorded.
        let is_declined = called.status() == 402;
        assert!(
            is_declined || !fixture.has_changed(),
            "{operation} writes, and returns {}",
            called.ok()
        );
        return None;
    }
    repeat(fixture, operation, event, &called);
    read_back(fixture, operation, event, &called);
    if fixture.has_changed() {
        fixture.drain_queues();
    }
    Some(called)
}

/// A repeated key returns the first response, and writes nothing.
fn repeat(fixture: &mut FuzzFixture, operation: &str, event: &Value, first: &Called) {
    if !ROUTES.iter().any(|route| route.operation == operation && route.key) {
        return;
    }
    let written = fixture.state();
    let second = fixture.call(operation, event.clone());
    assert_eq!(
        (second.status(), second.json()),
        (first.status(), first.json()),
        "{operation} is repeated"
    );
    assert!(fixture.state() == written, "a repeated {operation} writes");
}

/// The response to a write is what the next read returns.
fn read_back(fixture: &mut FuzzFixture, operation: &str, event: &Value, written: &Called) {
    let Some((_, reader, parameter)) = READERS.iter().find(|(name, ..)| *name == operation) else {
        return;
    };
    let mut read = fixture.api.valid(reader);
    read["pathParameters"] = json!({ (*parameter): written.json()["id"] });
    if *reader != "get-user" {
        read["requestContext"]["authorizer"] = event["requestContext"]["authorizer"].clone();
    }
    let read = fixture.call(reader, read);
    assert_eq!(read.json(), written.json(), "{reader} after {operation}");
}
