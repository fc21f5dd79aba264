//! Every sample in `events/` is sent to its operation and has its documented outcome, so that no
//! sample becomes outdated.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use serde_json::{Value, json};
use shared::operation::Trigger;
use tests::{
    events::{self, sample},
    shop::{Shop, operation_names, operations},
    template,
};

/// The state before the event.
#[derive(Clone, Copy, Debug)]
enum Before {
    /// A key that signs tokens.
    SigningKey,
    /// Ada, registered as in `events/register-user.json`, with the user id of the samples.
    Ada,
    /// Ada is logged in, in the session of the samples.
    Session,
    /// The link in the sample of this operation was mailed to Ada and is pending in this attribute
    /// of her profile.
    Link(&'static str, &'static str),
    /// The rotation that the sample is a step of has begun.
    Rotation,
    /// The item in the sample of this publisher exists in this table.
    Shown(&'static str, &'static str),
    /// The order of the samples with this status: paid, its stock committed, and with a shipping
    /// address.
    Order(&'static str),
    /// The secret that signs the provider's event in the sample.
    WebhookSecret,
    /// This sample was processed before.
    Done(&'static str),
    /// A payment of the samples' order, with their payment id.
    Paid,
    /// The stock of each product of the samples.
    Stock,
}

/// The expected outcome.
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

use Before::*;
use Then::*;

const PENDING: Before = Shown("publish-order-events", "orders");
const PRODUCT: Before = Shown("publish-product-events", "products");
const INTENT: Before = Done("open-payment");

/// The state before each sample and its outcome. An operation without a row needs no state and
/// succeeds.
fn rows() -> Vec<(&'static str, Vec<Before>, Then)> {
    vec![
        ("register-user", vec![], Status(201)),
        ("login-user", vec![SigningKey, Ada], Status(200)),
        ("refresh-token", vec![SigningKey], Status(401)),
        ("logout-user", vec![SigningKey, Ada, Session], Status(204)),
        ("authorize-request", vec![SigningKey, Ada], Failure("Unauthorized")),
        ("get-me", vec![Ada], Status(200)),
        ("update-me", vec![Ada], Status(200)),
        ("delete-me", vec![Ada], Status(204)),
        ("change-password", vec![SigningKey, Ada, Session], Status(204)),
        ("request-password-reset", vec![Ada], Status(202)),
        ("confirm-password-reset", vec![Ada, Link("confirm-password-reset", "reset")], Status(204)),
        ("verify-email", vec![Ada, Link("verify-email", "verification")], Status(204)),
        (
            "withdraw-email-change",
            vec![Ada, Link("withdraw-email-change", "withdrawal")],
            Status(204),
        ),
        ("list-users", vec![Ada], Status(200)),
        ("get-user", vec![Ada], Status(200)),
        ("update-user", vec![Ada], Status(200)),
        ("get-jwks", vec![SigningKey], Status(200)),
        ("grant-role", vec![Ada], Answer(json!({ "role": "admin" }))),
        ("rotate-signing-key", vec![Rotation], Answer(json!({}))),
        (
            "publish-user-events",
            vec![],
            Published(&["send-account-notification", "update-buyer", "forget-recipient"]),
        ),
        ("create-product", vec![], Status(201)),
        ("list-products", vec![PRODUCT], Status(200)),
        ("get-product", vec![PRODUCT], Status(200)),
        ("update-product", vec![PRODUCT], Status(200)),
        ("archive-product", vec![PRODUCT], Status(204)),
        ("resync-products", vec![PRODUCT], Answer(json!({ "resynced": 1, "finished": true }))),
        ("publish-product-events", vec![], Published(&["product-changes"])),
        ("adjust-stock", vec![], Status(201)),
        ("get-stock", vec![Stock], Status(200)),
        ("reserve-stock", vec![Stock], Acknowledged),
        ("release-stock", vec![Stock, Done("reserve-stock")], Acknowledged),
        ("commit-stock", vec![Stock, Done("reserve-stock")], Acknowledged),
        (
            "check-reservations",
            vec![Stock, Done("reserve-stock")],
            Answer(json!({ "held_too_long": 0, "remaining": 0 })),
        ),
        ("publish-stock-events", vec![], Published(&["order-events", "record-entry"])),
        ("create-order", vec![Done("replicate-product")], Status(201)),
        ("get-order", vec![PENDING], Status(200)),
        ("get-order-timeline", vec![PENDING], Status(200)),
        ("list-orders", vec![PENDING], Status(200)),
        ("cancel-order", vec![PENDING], Status(202)),
        ("ship-order", vec![Order("confirmed")], Status(200)),
        ("deliver-order", vec![Order("shipped")], Status(200)),
        ("replicate-product", vec![], Acknowledged),
        ("advance-order", vec![PENDING], Acknowledged),
        ("update-buyer", vec![PENDING], Acknowledged),
        ("resume-orders", vec![PENDING], Answer(json!({ "resumed": 1, "failed": 0 }))),
        ("publish-order-events", vec![], Published(&["reserve-stock"])),
        ("create-payment", vec![INTENT], Status(201)),
        ("get-payment", vec![Paid], Status(200)),
        ("list-payments", vec![Paid], Status(200)),
        ("create-refund", vec![Paid], Status(201)),
        ("receive-payment-webhook", vec![WebhookSecret, Paid], Status(200)),
        ("open-payment", vec![], Acknowledged),
        ("charge-payment", vec![], Acknowledged),
        ("cancel-payment", vec![INTENT], Acknowledged),
        ("refund-payment", vec![Done("charge-payment")], Acknowledged),
        ("reconcile-payments", vec![INTENT], Answer(json!({ "failed": 0, "remaining": 0 }))),
        ("publish-payment-events", vec![], Published(&["order-events", "record-entry"])),
        ("send-notification", vec![], Acknowledged),
        ("send-account-notification", vec![], Acknowledged),
        ("list-notifications", vec![Done("send-notification")], Status(200)),
        ("read-notification", vec![Done("send-notification")], Status(204)),
        ("record-mail-feedback", vec![], Acknowledged),
        ("forget-recipient", vec![Done("send-notification")], Acknowledged),
        ("record-entry", vec![], Acknowledged),
        (
            "reconcile-ledger",
            vec![Done("record-entry")],
            Answer(json!({ "checked": 1, "balanced": 0, "not_checked": [] })),
        ),
        ("check-health", vec![], Answer(json!({ "unhealthy_services": 0, "unavailable": 0 }))),
        ("get-health", vec![Done("check-health")], Status(200)),
        (
            "check-release",
            vec![],
            Answer(json!({ "function": "ferrocart-create-order", "version": "7", "ready": true })),
        ),
    ]
}

/// The rows, including those of the operations that are not listed.
fn all_rows() -> Vec<(String, Vec<Before>, Then)> {
    let mut rows: Vec<(String, Vec<Before>, Then)> =
        rows().into_iter().map(|(name, before, then)| (name.to_owned(), before, then)).collect();
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
        rows.push((operation.name(), Vec::new(), then));
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
    for (operation, before, then) in all_rows() {
        if !template::root().join(format!("events/{operation}.json")).is_file() {
            violations.push(format!("events/{operation}.json is missing"));
            continue;
        }
        let shop = Shop::new();
        for step in before {
            prepare(&shop, step).await;
        }
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

async fn prepare(shop: &Shop, before: Before) {
    match before {
        SigningKey => shop.rotate_signing_key().await,
        Rotation => {
            let token =
                sample("rotate-signing-key")["ClientRequestToken"].as_str().unwrap().to_owned();
            shop.aws.secrets_manager().begin_rotation("signing-key", &token);
        }
        Ada => shop.ada().await,
        Session => {
            assert_eq!(shop.call("login-user", sample("login-user")).await.status(), 200);
            let sessions = shop.aws.items("sessions");
            let mut session = sessions
                .into_iter()
                .find(|item| item["pk"]["S"].as_str().unwrap().starts_with("SESSION#"))
                .unwrap();
            session["pk"]["S"] = format!(
                "SESSION#{}",
                sample("logout-user")["requestContext"]["authorizer"]["sid"].as_str().unwrap()
            )
            .into();
            shop.aws.put("sessions", &session);
        }
        Link(operation, attribute) => prepare_link(shop, operation, attribute),
        Shown(publisher, table) => shop.aws.put(table, &shown(publisher)),
        Order(status) => {
            let mut order = shown("publish-order-events");
            for (leg, state) in [("status", status), ("stock", "committed"), ("payment", "paid")] {
                order[leg] = json!({ "S": state });
            }
            order["captured_total"] = order["totals"]["M"]["total"].clone();
            let lines = [
                ("name", "Ada Lovelace"),
                ("line1", "12 St James's Square"),
                ("city", "London"),
                ("postal_code", "SW1Y 4JH"),
            ];
            let lines = lines.into_iter().chain([("country", "GB")]);
            order["shipping_address"]["M"] =
                lines.map(|(name, text)| (name.to_owned(), json!({ "S": text }))).collect();
            shop.aws.put("orders", &order);
        }
        WebhookSecret => {
            let secrets = json!({ "current": "whsec_sample_0123456789abcdef", "previous": "" });
            shop.aws.secrets_manager().set("payment-webhook-secrets", &secrets.to_string());
        }
        Done(operation) => {
            let called = shop.call(operation, sample(operation)).await;
            // Only consumers report failed messages.
            let failures = &called.ok()["batchItemFailures"];
            let is_done = failures.is_null() || *failures == json!([]);
            assert!(is_done, "events/{operation}.json is not acknowledged: {failures}");
        }
        Paid => prepare_paid(shop).await,
        Stock => {
            for product in [
                "prd_0199c2a8-0000-7000-8000-00000000000a",
                "prd_0199c2a8-0000-7000-8000-00000000000b",
            ] {
                let adjustment = events::adjustment(
                    product,
                    product,
                    &json!({ "delta": 100, "reason": "sample" }),
                );
                assert_eq!(shop.call("adjust-stock", adjustment).await.status(), 201);
            }
        }
    }
}

/// The first item in the sample of a publisher.
fn shown(publisher: &str) -> Value {
    sample(publisher)["Records"][0]["dynamodb"]["NewImage"].clone()
}

/// Stores the link of a sample in Ada's profile, because generated links are random.
fn prepare_link(shop: &Shop, operation: &str, attribute: &str) {
    let body: Value = serde_json::from_str(sample(operation)["body"].as_str().unwrap()).unwrap();
    let hash = shared::ids::sha256_hex(body["token"].as_str().unwrap());
    let link = json!({ "M": {
        "token_hash": { "S": hash }, "sealed_token": { "S": "" }, "expires_at": { "S": "2026-11-21T12:00:00.000Z" }, "send_count": { "N": "1" },
    } });
    let profiles = shop.aws.items("users");
    let mut ada = profiles
        .into_iter()
        .find(|item| item["pk"]["S"] == format!("USER#{}", events::USER))
        .unwrap();
    ada[attribute] = if attribute == "reset" {
        link
    } else {
        json!({ "M": { "email": ada["email"], "link": link } })
    };
    shop.aws.put("users", &ada);
}

/// Charges as the sample says, with the samples' attempt id: the real one is derived.
async fn prepare_paid(shop: &Shop) {
    let called = shop.call("charge-payment", sample("charge-payment")).await;
    assert_eq!(
        called.ok()["batchItemFailures"],
        json!([]),
        "events/charge-payment.json is not acknowledged"
    );
    let items = shop.aws.items("payments");
    let attempt = items
        .iter()
        .find_map(|item| item["sk"]["S"].as_str()?.strip_prefix("ATTEMPT#"))
        .expect("there was an attempt")
        .to_owned();
    for item in &items {
        let renamed = item.to_string().replace(&attempt, "0199c2a8-0000-7000-8000-0000000000a1");
        shop.aws.put("payments", &serde_json::from_str(&renamed).unwrap());
    }
}
