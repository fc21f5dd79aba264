//! Every sample in `events/` is sent to its operation and has its documented outcome, so that no
//! sample becomes outdated.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use serde_json::{Value, json};
use shared::operation::Trigger;
use tests::{
    events::sample,
    samples,
    shop::{Shop, operation_names, operations},
    template,
};

#[derive(Clone, Debug)]
enum Then {
    /// An HTTP response that is a success.
    Success,
    /// An HTTP response with this status.
    Status(u64),
    /// Every message is acknowledged, and none is rejected.
    Acknowledged,
    /// One message in each of these queues.
    Published(&'static [&'static str]),
    /// A response with these members.
    Answer(Value),
    /// A failure of this kind.
    Failure(&'static str),
}

use Then::*;

/// The outcome of each sample. An operation without a row succeeds.
fn rows() -> Vec<(&'static str, Then)> {
    vec![
        ("register-user", Status(201)),
        ("login-user", Status(200)),
        ("refresh-token", Status(401)),
        ("logout-user", Status(204)),
        ("authorize-request", Failure("Unauthorized")),
        ("get-me", Status(200)),
        ("update-me", Status(200)),
        ("delete-me", Status(204)),
        ("create-address", Status(201)),
        ("list-addresses", Status(200)),
        ("update-address", Status(200)),
        ("delete-address", Status(204)),
        ("change-password", Status(204)),
        ("request-password-reset", Status(202)),
        ("confirm-password-reset", Status(204)),
        ("verify-email", Status(204)),
        ("withdraw-email-change", Status(204)),
        ("list-users", Status(200)),
        ("get-user", Status(200)),
        ("update-user", Status(200)),
        ("get-jwks", Status(200)),
        ("grant-role", Answer(json!({ "role": "admin" }))),
        ("rotate-signing-key", Answer(json!({}))),
        (
            "publish-user-events",
            Published(&["send-account-notification", "update-buyer", "forget-recipient"]),
        ),
        ("create-product", Status(201)),
        ("list-products", Status(200)),
        ("get-product", Status(200)),
        ("update-product", Status(200)),
        ("archive-product", Status(204)),
        ("resync-products", Answer(json!({ "resynced": 1, "finished": true }))),
        ("publish-product-events", Published(&["product-changes"])),
        ("create-market", Status(201)),
        ("get-market", Status(200)),
        ("update-market", Status(200)),
        ("delete-market", Status(204)),
        ("create-shipping-method", Status(201)),
        ("get-shipping-method", Status(200)),
        ("update-shipping-method", Status(200)),
        ("delete-shipping-method", Status(204)),
        ("create-tax-rate", Status(201)),
        ("get-tax-rate", Status(200)),
        ("update-tax-rate", Status(200)),
        ("delete-tax-rate", Status(204)),
        ("create-promotion", Status(201)),
        ("get-promotion", Status(200)),
        ("update-promotion", Status(200)),
        ("delete-promotion", Status(204)),
        ("list-markets", Status(200)),
        ("list-shipping-methods", Status(200)),
        ("list-tax-rates", Status(200)),
        ("list-promotions", Status(200)),
        ("compile-market", Acknowledged),
        ("resync-pricing", Answer(json!({ "resynced": 1, "failed": 0 }))),
        ("publish-pricing-events", Published(&["compile-market", "replicate-pricing"])),
        ("adjust-stock", Status(201)),
        ("get-stock", Status(200)),
        ("reserve-stock", Acknowledged),
        ("release-stock", Acknowledged),
        ("commit-stock", Acknowledged),
        ("check-reservations", Answer(json!({ "held_too_long": 0, "remaining": 0 }))),
        ("publish-stock-events", Published(&["order-events", "record-entry"])),
        ("create-order", Status(201)),
        ("preview-prices", Status(200)),
        ("create-cart", Status(201)),
        ("get-cart", Status(200)),
        ("change-cart", Status(200)),
        ("merge-cart", Status(200)),
        ("list-shipping-options", Status(200)),
        ("get-order", Status(200)),
        ("get-order-timeline", Status(200)),
        ("list-orders", Status(200)),
        ("cancel-order", Status(202)),
        ("update-order", Status(200)),
        ("ship-order", Status(200)),
        ("deliver-order", Status(200)),
        ("replicate-product", Acknowledged),
        ("replicate-pricing", Acknowledged),
        ("advance-order", Acknowledged),
        ("update-buyer", Acknowledged),
        ("resume-orders", Answer(json!({ "resumed": 1, "failed": 0 }))),
        ("publish-order-events", Published(&["reserve-stock"])),
        ("create-payment", Status(201)),
        ("get-payment", Status(200)),
        ("list-payments", Status(200)),
        ("create-refund", Status(201)),
        ("receive-payment-webhook", Status(200)),
        ("open-payment", Acknowledged),
        ("charge-payment", Acknowledged),
        ("cancel-payment", Acknowledged),
        ("refund-payment", Acknowledged),
        ("reconcile-payments", Answer(json!({ "failed": 0, "remaining": 0 }))),
        ("publish-payment-events", Published(&["order-events", "record-entry"])),
        ("send-notification", Acknowledged),
        ("send-account-notification", Acknowledged),
        ("list-notifications", Status(200)),
        ("read-notification", Status(204)),
        ("record-mail-feedback", Acknowledged),
        ("forget-recipient", Acknowledged),
        ("record-entry", Acknowledged),
        ("reconcile-ledger", Answer(json!({ "checked": 1, "balanced": 0, "not_checked": [] }))),
        ("check-health", Answer(json!({ "unhealthy_services": 0, "unavailable": 0 }))),
        ("get-health", Status(200)),
        (
            "check-release",
            Answer(json!({ "function": "ferrocart-create-order", "version": "7", "ready": true })),
        ),
    ]
}

/// The rows, including those of the operations that are not listed.
fn all_rows() -> Vec<(String, Then)> {
    let mut rows: Vec<(String, Then)> =
        rows().into_iter().map(|(name, then)| (name.to_owned(), then)).collect();
    for operation in operations()
        .filter(|operation| rows.iter().all(|(name, ..)| *name != operation.name()))
        .collect::<Vec<_>>()
    {
        let then = match operation.trigger {
            Trigger::Http(_) | Trigger::Pages(_) => Success,
            Trigger::Queue(_) => Acknowledged,
            Trigger::Stream { queues, .. } => Published(queues),
            Trigger::Invoke => Answer(json!({})),
        };
        rows.push((operation.name(), then));
    }
    rows
}

#[test]
fn every_row_names_an_operation() {
    let names = operation_names();
    let unknown: Vec<_> = rows()
        .into_iter()
        .map(|(name, ..)| name)
        .filter(|name| !names.contains(&(*name).to_owned()))
        .collect();
    assert!(unknown.is_empty(), "there are no operations {unknown:?}: delete their rows");
}

#[tokio::test]
async fn every_sample_has_its_documented_outcome() {
    let mut violations = Vec::new();
    for (operation, then) in all_rows() {
        if !template::root().join(format!("events/{operation}.json")).is_file() {
            violations.push(format!("events/{operation}.json is missing"));
            continue;
        }
        let shop = Shop::new();
        samples::prepare(&operation, &shop).await;
        // Later: the period that the reconciliation checks excludes its end.
        shop.clock.advance(Duration::from_secs(1));
        // Messages of the preparation are not counted.
        let waiting = |queue: &str| shop.aws.queues().waiting(queue).len();
        let waiting_before: Vec<usize> = queues(&then).iter().map(|queue| waiting(queue)).collect();
        let called = shop.call(&operation, sample(&operation)).await;
        let holds = match &then {
            Success => called.answer.is_ok() && (200..300).contains(&called.status()),
            Status(status) => called.answer.is_ok() && called.status() == *status,
            Acknowledged => called.answer.is_ok() && called.is_done(),
            Published(queues) => {
                called.answer.is_ok()
                    && queues
                        .iter()
                        .zip(waiting_before)
                        .all(|(queue, before)| waiting(queue) > before)
            }
            Answer(members) => called.answer.as_ref().is_ok_and(|answer| has(answer, members)),
            Failure(kind) => called
                .answer
                .as_ref()
                .is_err_and(|failure| failure.kind == *kind || failure.message == *kind),
        };
        if !holds {
            violations.push(format!(
                "events/{operation}.json should give {then:?}, but gives {:?}",
                called.answer
            ));
        }
    }
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

fn queues(then: &Then) -> &'static [&'static str] {
    if let Published(queues) = then { queues } else { &[] }
}

fn has(answer: &Value, members: &Value) -> bool {
    members.as_object().unwrap().iter().all(|(name, value)| answer[name] == *value)
}
