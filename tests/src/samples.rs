//! The samples in `events/`, each with the state that it needs.

use serde_json::{Value, json};

use crate::{
    events::{self, sample},
    shop::Shop,
};

/// A part of the state before an event.
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
    /// The carts of the samples: that of a guest, and the empty one of Ada.
    Carts,
    /// The secret that signs the provider's event in the sample.
    WebhookSecret,
    /// This sample was processed before.
    Done(&'static str),
    /// A payment of the samples' order, with their payment id.
    Paid,
    /// The stock of each product of the samples.
    Stock,
}

use Before::*;

const PENDING: Before = Shown("publish-order-events", "orders");
const PRODUCT: Before = Shown("publish-product-events", "products");
const MARKET: Before = Done("create-market");
const INTENT: Before = Done("open-payment");

/// The state before the sample of an operation. An operation that is not listed needs none.
fn state_before(operation: &str) -> Vec<Before> {
    match operation {
        "login-user" | "authorize-request" => vec![SigningKey, Ada],
        "refresh-token" | "get-jwks" => vec![SigningKey],
        "logout-user" | "change-password" => vec![SigningKey, Ada, Session],
        "get-me"
        | "update-me"
        | "delete-me"
        | "request-password-reset"
        | "list-users"
        | "get-user"
        | "update-user"
        | "create-address"
        | "grant-role" => vec![Ada],
        "list-addresses" | "update-address" | "delete-address" => {
            vec![Ada, Done("create-address")]
        }
        "confirm-password-reset" => vec![Ada, Link("confirm-password-reset", "reset")],
        "verify-email" => vec![Ada, Link("verify-email", "verification")],
        "withdraw-email-change" => vec![Ada, Link("withdraw-email-change", "withdrawal")],
        "rotate-signing-key" => vec![Rotation],
        "list-products" | "get-product" | "update-product" | "archive-product"
        | "resync-products" => vec![PRODUCT],
        "list-markets"
        | "get-market"
        | "update-market"
        | "delete-market"
        | "compile-market"
        | "resync-pricing"
        | "create-shipping-method"
        | "create-tax-rate"
        | "create-promotion" => {
            vec![MARKET]
        }
        "list-shipping-methods"
        | "get-shipping-method"
        | "update-shipping-method"
        | "delete-shipping-method" => vec![MARKET, Done("create-shipping-method")],
        "list-tax-rates" | "get-tax-rate" | "update-tax-rate" | "delete-tax-rate" => {
            vec![MARKET, Done("create-tax-rate")]
        }
        "list-promotions" | "get-promotion" | "update-promotion" | "delete-promotion" => {
            vec![MARKET, Done("create-promotion")]
        }
        "get-stock" | "reserve-stock" => vec![Stock],
        "release-stock" | "commit-stock" | "check-reservations" => {
            vec![Stock, Done("reserve-stock")]
        }
        "create-order" => vec![Done("replicate-product")],
        "get-cart" | "list-shipping-options" | "merge-cart" => vec![Carts],
        "change-cart" => vec![Carts, Done("replicate-product")],
        "preview-prices" => vec![Done("replicate-product"), Done("replicate-pricing")],
        "get-order" | "get-order-timeline" | "list-orders" | "cancel-order" | "update-order"
        | "advance-order" | "update-buyer" | "resume-orders" => vec![PENDING],
        "ship-order" => vec![Order("confirmed")],
        "deliver-order" => vec![Order("shipped")],
        "create-payment" | "cancel-payment" | "reconcile-payments" => vec![INTENT],
        "get-payment" | "list-payments" | "create-refund" => vec![Paid],
        "receive-payment-webhook" => vec![WebhookSecret, Paid],
        "refund-payment" => vec![Done("charge-payment")],
        "list-notifications" | "read-notification" | "forget-recipient" => {
            vec![Done("send-notification")]
        }
        "reconcile-ledger" => vec![Done("record-entry")],
        "get-health" => vec![Done("check-health")],
        _ => vec![],
    }
}

/// Prepares an empty shop for the sample of an operation.
///
/// # Panics
/// If the shop rejects a step.
pub async fn prepare(operation: &str, shop: &Shop) {
    for step in state_before(operation) {
        reach(shop, step).await;
    }
}

async fn reach(shop: &Shop, before: Before) {
    match before {
        SigningKey => shop.rotate_signing_key().await,
        Rotation => {
            let token = sample("rotate-signing-key")["ClientRequestToken"]
                .as_str()
                .expect("the sample has it")
                .to_owned();
            shop.aws.secrets_manager().begin_rotation("signing-key", &token);
        }
        Ada => shop.ada().await,
        Session => {
            assert_eq!(shop.call("login-user", sample("login-user")).await.status(), 200);
            let sessions = shop.aws.items("sessions");
            let mut session = sessions
                .into_iter()
                .find(|item| {
                    item["pk"]["S"].as_str().expect("the sample has it").starts_with("SESSION#")
                })
                .expect("the sample has it");
            session["pk"]["S"] = format!(
                "SESSION#{}",
                sample("logout-user")["requestContext"]["authorizer"]["sid"]
                    .as_str()
                    .expect("the sample has it")
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
        Carts => store_carts(shop),
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

/// Stores the carts of the samples, because the secrets of created carts are random.
fn store_carts(shop: &Shop) {
    let event = sample("merge-cart");
    let token = event["headers"]["x-cart-token"].as_str().expect("the sample has it");
    let (guest, secret) = token.split_once('.').expect("the sample has it");
    let own = event["pathParameters"]["cart_id"].as_str().expect("the sample has it");
    let owners = [
        (guest, "secret_hash", shared::ids::sha256_hex(secret)),
        (own, "user_id", events::USER.to_owned()),
    ];
    for (cart, attribute, owner) in owners {
        shop.aws.put("order-carts", &json!({
            "pk": { "S": format!("CART#{cart}") }, attribute: { "S": owner }, "version": { "N": "1" },
            "write_id": { "S": "0199c2a80000700080000000000000b1" }, "state": { "S": "open" },
            "lines": { "L": [] }, "mutations": { "L": [] },
            "created_at": { "S": "2026-11-21T09:48:49.123Z" }, "updated_at": { "S": "2026-11-21T09:48:49.123Z" },
            "expires_at": { "S": "2100-01-01T00:00:00.000Z" }, "ttl": { "N": "4102444800" },
        }));
    }
}

/// The first item in the sample of a publisher.
fn shown(publisher: &str) -> Value {
    sample(publisher)["Records"][0]["dynamodb"]["NewImage"].clone()
}

/// Stores the link of a sample in Ada's profile, because generated links are random.
fn prepare_link(shop: &Shop, operation: &str, attribute: &str) {
    let body: Value =
        serde_json::from_str(sample(operation)["body"].as_str().expect("the sample has it"))
            .expect("the sample has it");
    let hash = shared::ids::sha256_hex(body["token"].as_str().expect("the sample has it"));
    let link = json!({ "M": {
        "token_hash": { "S": hash }, "sealed_token": { "S": "" }, "expires_at": { "S": "2026-11-21T12:00:00.000Z" }, "send_count": { "N": "1" },
    } });
    let profiles = shop.aws.items("users");
    let mut ada = profiles
        .into_iter()
        .find(|item| item["pk"]["S"] == format!("USER#{}", events::USER))
        .expect("the sample has it");
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
        shop.aws.put("payments", &serde_json::from_str(&renamed).expect("the sample has it"));
    }
}
