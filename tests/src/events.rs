//! Builders for the events that API Gateway, queues and streams send to functions, and the samples
//! in `events/`.

use std::collections::BTreeMap;

use ring::hmac;
use serde_json::{Value, json};
use shared::clock::Timestamp;

use crate::{
    secrets::SecretsManager,
    sqs::{self, QueuedMessage},
    template,
};

/// Ada, a customer.
pub const USER: &str = "usr_0199c2a8-0000-7000-8000-000000000001";
/// An administrator of the shop.
pub const ADMIN: &str = "usr_0199c2a8-0000-7000-8000-000000000002";
/// A customer who owns nothing in the tests.
pub const STRANGER: &str = "usr_0199c2a8-0000-7000-8000-000000000003";

/// Builder of an API Gateway request.
#[derive(Clone, Debug)]
pub struct Http(Value);

/// `GET path`, optionally with a query string.
pub fn get(path: &str) -> Http {
    http("GET", path)
}

/// `POST path` with a JSON body.
pub fn post(path: &str, body: &Value) -> Http {
    http("POST", path).header("content-type", "application/json").body(&body.to_string())
}

/// `POST /orders` by [`USER`] under an idempotency key.
pub fn order(key: &str, body: &Value) -> Http {
    post("/orders", body).caller(USER).header("idempotency-key", key)
}

/// `PUT path` with a JSON body.
pub fn put(path: &str, body: &Value) -> Http {
    http("PUT", path).header("content-type", "application/json").body(&body.to_string())
}

/// `POST /products` by an admin.
pub fn new_product(key: &str, product: &Value) -> Value {
    post("/products", product).caller(ADMIN).header("idempotency-key", key).event()
}

/// `POST /inventory/{product_id}/adjustments` by an admin.
pub fn adjustment(key: &str, product: &str, body: &Value) -> Value {
    let request = post(&format!("/inventory/{product}/adjustments"), body)
        .path_parameter("product_id", product);
    request.caller(ADMIN).header("idempotency-key", key).event()
}

pub fn new_order(key: &str, order_request: &Value) -> Value {
    order(key, order_request).event()
}

/// `POST /payments` by [`USER`], with a card.
pub fn new_payment(key: &str, order: &str, token: &str) -> Value {
    let body = json!({ "order_id": order, "payment_method": { "type": "card", "token": token } });
    post("/payments", &body).caller(USER).header("idempotency-key", key).event()
}

/// A request without a body.
pub fn http(method: &str, path: &str) -> Http {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let parameters: Vec<(&str, &str)> =
        query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let single: serde_json::Map<_, _> =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let several: serde_json::Map<_, _> =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), json!([value]))).collect();
    Http(json!({
        "httpMethod": method,
        "path": path,
        "headers": {},
        "multiValueHeaders": {},
        "queryStringParameters": single,
        "multiValueQueryStringParameters": several,
        "pathParameters": {},
        "requestContext": { "requestId": "request-1", "stage": "v1", "identity": { "sourceIp": "203.0.113.7" } },
        "body": null,
        "isBase64Encoded": false,
    }))
}

impl Http {
    /// Calls as [`USER`], [`ADMIN`] or another user whose token the authorizer accepted and whose
    /// address is verified. Only [`ADMIN`] has the admin role.
    #[must_use]
    pub fn caller(mut self, user_id: &str) -> Self {
        let (role, name, email) = match user_id {
            ADMIN => ("admin", "Grace Hopper", "grace@example.com"),
            _ => ("user", "Ada Lovelace", "ada@example.com"),
        };
        self.0["requestContext"]["authorizer"] = json!({
            "sub": user_id, "role": role, "name": name, "email": email, "email_verified": "true", "tv": "1", "exp": "4102444800",
        });
        self
    }

    /// Calls as a user whose address is not verified.
    #[must_use]
    pub fn unverified_caller(self, user_id: &str) -> Self {
        let mut request = self.caller(user_id);
        request.0["requestContext"]["authorizer"]["email_verified"] = "false".into();
        request
    }

    /// Calls from this IP address.
    #[must_use]
    pub fn source_ip(mut self, address: &str) -> Self {
        self.0["requestContext"]["identity"]["sourceIp"] = address.into();
        self
    }

    /// Adds this authorizer context.
    ///
    /// The token's times follow the test's clock, but expiry is checked against the system clock.
    /// The expiry is therefore moved into the future.
    #[must_use]
    pub fn authorized(mut self, answer: &Value) -> Self {
        self.0["requestContext"]["authorizer"] = answer["context"].clone();
        self.0["requestContext"]["authorizer"]["exp"] = "4102444800".into();
        self
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.0["headers"][name] = value.into();
        let several = &mut self.0["multiValueHeaders"][name];
        match several.as_array_mut() {
            Some(values) => values.push(value.into()),
            None => *several = json!([value]),
        }
        self
    }

    #[must_use]
    pub fn body(mut self, body: &str) -> Self {
        self.0["body"] = body.into();
        self
    }

    /// Sets a path parameter, such as `order_id`.
    #[must_use]
    pub fn path_parameter(mut self, name: &str, value: &str) -> Self {
        self.0["pathParameters"][name] = value.into();
        self
    }

    pub fn event(self) -> Value {
        self.0
    }
}

/// An order request for a quantity of a product, shipped to Ada, and paid with `token` if there is
/// one.
pub fn order_request(product: &str, quantity: u32, token: Option<&str>) -> Value {
    let mut order_request = json!({
        "items": [{ "product_id": product, "quantity": quantity }],
        "shipping_address": {
            "name": "Ada Lovelace", "line1": "12 St James's Square", "city": "London", "postal_code": "SW1Y 4JH", "country": "GB",
        },
    });
    if let Some(token) = token {
        order_request["payment_method"] = json!({ "type": "card", "token": token });
    }
    order_request
}

/// The body of a provider event about a payment. It only identifies the payment; the service
/// queries the provider for the rest.
///
/// # Panics
/// If `payment` is not a payment id.
pub fn payment_event(event_id: &str, payment: &str) -> String {
    let transaction = payment.rsplit('_').next().expect("an attempt").replace('-', "");
    let object = json!({ "object": "payment_intent", "id": format!("ch_{transaction}"), "metadata": { "payment_id": payment } });
    provider_event(event_id, "payment_intent.succeeded", &object)
}

/// The body of a provider event of this type about this object.
pub fn provider_event(event_id: &str, kind: &str, object: &Value) -> String {
    json!({ "id": event_id, "type": kind, "data": { "object": object } }).to_string()
}

/// The `stripe-signature` header for a body, signed at `seconds`.
pub fn provider_signature(secret: &str, seconds: i64, body: impl AsRef<[u8]>) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, &[format!("{seconds}.").as_bytes(), body.as_ref()].concat());
    let signature: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={seconds},v1={signature}")
}

/// A webhook request to the endpoint of `provider`, with this signature.
pub fn webhook_request(provider: &str, signature: &str, body: &str) -> Value {
    let request = http("POST", &format!("/webhooks/payments/{provider}"))
        .path_parameter("provider", provider);
    request.header("stripe-signature", signature).body(body).event()
}

/// A webhook event of the provider about one of our payments at `now`, signed with the current
/// secret.
///
/// # Panics
/// If the secret does not exist, or `payment` is not a payment id.
pub fn webhook(secrets: &SecretsManager, now: Timestamp, event_id: &str, payment: &str) -> Value {
    signed_webhook(secrets, now, &payment_event(event_id, payment))
}

/// A webhook of the simulated provider: an event of this type about this object, signed at `now`.
///
/// # Panics
/// If the secret does not exist.
pub fn webhook_about(
    secrets: &SecretsManager,
    now: Timestamp,
    event_id: &str,
    kind: &str,
    object: &Value,
) -> Value {
    signed_webhook(secrets, now, &provider_event(event_id, kind, object))
}

/// A webhook request of the simulated provider with this body, signed at `now` with the current
/// secret.
///
/// # Panics
/// If the secret does not exist.
pub fn signed_webhook(secrets: &SecretsManager, now: Timestamp, body: &str) -> Value {
    let secret = secrets
        .text("payment-webhook-secrets")
        .and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let secret = secret
        .and_then(|secrets| secrets["current"].as_str().map(str::to_owned))
        .expect("the provider signs with a secret");
    webhook_request("simulated", &provider_signature(&secret, now.seconds(), body), body)
}

/// The event that SQS sends to a consumer. Records have no receipt handle, so only the returned
/// batch failures decide which messages are redelivered.
pub fn sqs(queue: &str, messages: &[QueuedMessage]) -> Value {
    let record = |message: &QueuedMessage| {
        json!({
            "messageId": message.id,
            "body": message.body,
            "eventSource": "aws:sqs",
            "eventSourceARN": sqs::arn(queue),
            "awsRegion": template::REGION,
            "attributes": { "ApproximateReceiveCount": (message.receives + 1).to_string() },
            "messageAttributes": {},
        })
    };
    json!({ "Records": messages.iter().map(record).collect::<Vec<_>>() })
}

/// An event with one message of type `kind`, in the envelope of its sender.
pub fn message(queue: &str, kind: &str, data: &Value) -> Value {
    let body = json!({
        "specversion": "1.0",
        "id": "0199c2a8-0000-8000-8000-00000000000a",
        "source": "/ferrocart/tests",
        "type": kind,
        "time": "2026-11-21T09:48:49.123Z",
        "subject": "test",
        "datacontenttype": "application/json",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "data": data,
    });
    sqs(
        queue,
        &[QueuedMessage {
            id: "message-1".to_owned(),
            body: body.to_string(),
            receives: 0,
            delay_seconds: 0,
            attributes: BTreeMap::new(),
        }],
    )
}

/// An event with a command in the queue of the same name, in version 1: `reserve_stock.v1` in
/// `reserve-stock`.
pub fn command(queue: &str, data: &Value) -> Value {
    message(queue, &format!("{}.v1", queue.replace('-', "_")), data)
}

/// The data of a pricing document: that of the market `gb` for its own country, in the sample of
/// `replicate-pricing`.
///
/// # Panics
/// If the sample has no message.
pub fn pricing() -> Value {
    let body = sample("replicate-pricing")["Records"][0]["body"].clone();
    let envelope: Value =
        serde_json::from_str(body.as_str().expect("the sample has a body")).expect("JSON");
    envelope["data"].clone()
}

/// An event with a pricing document.
pub fn pricing_changed(pricing: &Value) -> Value {
    message("replicate-pricing", "pricing_changed.v1", pricing)
}

/// The authorizer's request event for an access token.
pub fn authorize(access_token: &str) -> Value {
    let mut event = sample("authorize-request");
    let bearer = format!("Bearer {access_token}");
    event["headers"]["Authorization"] = json!(bearer);
    event["multiValueHeaders"]["Authorization"] = json!([bearer]);
    event
}

/// The sample event of an operation.
///
/// # Panics
/// If `events/<operation>.json` is missing or not JSON.
pub fn sample(operation: &str) -> Value {
    let path = template::root().join("events").join(format!("{operation}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|_| {
        panic!("events/{operation}.json is missing: every operation has a sample")
    });
    serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("events/{operation}.json is no JSON: {error}"))
}
