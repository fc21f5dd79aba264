//! Webhooks of the payment provider: the signature header, then the body. `{t}` and `{v1}` in the
//! header become the present time and the signature of the body.

use ring::hmac;
use serde_json::{Value, json};
use tests::{
    api::fixture::{WEBHOOK_SECRET, WEBHOOK_SECRET_BEFORE, header},
    events,
};

use crate::{
    fixture::FuzzFixture,
    http,
    input::{first_line, input},
};

const OPERATION: &str = "receive-payment-webhook";

pub fn run(fixture: &mut FuzzFixture, input: &[u8]) {
    let (template, body) = first_line(input);
    let (template, body) = (String::from_utf8_lossy(template), String::from_utf8_lossy(body));
    let now = fixture.api.shop.clock.now().seconds();
    let signed = signature(WEBHOOK_SECRET, &now.to_string(), &body);
    let value = template.replace("{t}", &now.to_string()).replace("{v1}", &signed);
    let mut event = fixture.api.webhook(&body);
    header(&mut event, "stripe-signature", &[&value]);
    if http::check(fixture, OPERATION, &event).is_none() {
        return;
    }
    assert!(is_signed(&value, now, &body), "a webhook with the signature {value} is accepted");
    let written = fixture.state();
    assert!(fixture.call(OPERATION, event).status() < 300, "a repeated webhook is rejected");
    assert!(fixture.state() == written, "a repeated webhook writes");
}

/// Whether a header has one timestamp that is at most five minutes old, and a signature of it.
fn is_signed(header: &str, now: i64, body: &str) -> bool {
    let parts: Vec<(&str, &str)> =
        header.split(',').filter_map(|part| part.trim().split_once('=')).collect();
    let with = |name: &str| -> Vec<&str> {
        parts.iter().filter(|(found, _)| *found == name).map(|(_, value)| *value).collect()
    };
    let [signed_at] = with("t")[..] else { return false };
    let Ok(seconds) = signed_at.parse::<i64>() else { return false };
    // The time is signed as it is written, such as `0001795255200`.
    let valid =
        [WEBHOOK_SECRET, WEBHOOK_SECRET_BEFORE].map(|secret| signature(secret, signed_at, body));
    let is_valid = |value: &&str| valid.contains(&value.to_lowercase());
    (now - seconds).abs() <= 300 && with("v1").iter().any(is_valid)
}

/// The signature of a body, in hexadecimal digits.
fn signature(secret: &str, seconds: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{seconds}.{body}").as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn seeds(fixture: &mut FuzzFixture) -> Vec<Vec<u8>> {
    const SIGNED: &str = "t={t},v1={v1}";
    let payment = fixture.api.payment.clone();
    let about = |kind: &str, object: Value| events::provider_event("evt_1", kind, &object);
    let refund = json!({ "object": "refund", "id": "re_1", "metadata": {
        "payment_id": payment, "refund_id": "ref_0199c2a8-0000-7000-8000-0000000000c1",
    } });
    let foreign = json!({ "object": "refund", "id": "re_2", "payment_intent": "pi_1" });
    let dispute = json!({ "object": "dispute", "id": "dp_1", "payment_intent": "pi_1" });
    let bodies = [
        events::payment_event("evt_1", &payment),
        about("refund.updated", refund),
        about("refund.created", foreign),
        about("charge.dispute.created", dispute),
        about("customer.created", json!({ "object": "customer" })),
    ];
    let headers = ["", "t={t}", "t={t},t={t},v1={v1}", "t={t},v0={v1}", "v1={v1},v1={v1},t={t}"];
    let signed = bodies.iter().map(|body| input(SIGNED, body));
    let unsigned = headers.iter().map(|header| input(header, &bodies[0]));
    signed.chain(unsigned).collect()
}
