//! Stripe's webhooks: verifies signatures and parses events. The simulated provider uses the same
//! format.
//!
//! A signature is an HMAC-SHA-256 of the timestamp and the raw body. Two secrets are accepted, so
//! that they can be rotated without downtime.

use std::time::Duration;

use ring::hmac;
use serde::Deserialize;
use serde_json::Value;
use shared::{clock::Timestamp, ids::PrefixedId};

use crate::{
    payment_id::PaymentId,
    refund::RefundId,
    webhook::{BadSignature, EventSubject, WebhookError, WebhookEvent, WebhookRequest},
};

/// The header that contains the timestamp and the signatures.
const SIGNATURE: &str = "stripe-signature";

/// Maximum difference between the signature's timestamp and our clock.
const TOLERANCE: Duration = Duration::from_secs(300);

/// A shorter secret is treated as unset.
const SHORTEST_SECRET: usize = 16;

/// Maximum signatures that are checked per event.
const MOST_SIGNATURES: usize = 8;

/// Maximum length of the header in bytes: enough for the maximum number of signatures.
const LONGEST_HEADER: usize = 4096;

/// The secrets that the provider may sign with, as stored in Secrets Manager.
#[derive(Deserialize)]
struct WebhookSecrets {
    current: String,
    #[serde(default)]
    previous: String,
}

/// The fields of a Stripe event that are used.
#[derive(Debug, Deserialize)]
struct StripeEvent {
    id: String,
    r#type: String,
    data: Data,
}

#[derive(Debug, Deserialize)]
struct Data {
    object: Value,
}

/// The signature header in the API document.
#[cfg(feature = "api-document")]
pub struct SignatureHeader;

#[cfg(feature = "api-document")]
impl utoipa::IntoParams for SignatureHeader {
    fn into_params(
        _: impl Fn() -> Option<utoipa::openapi::path::ParameterIn>,
    ) -> Vec<utoipa::openapi::path::Parameter> {
        use utoipa::openapi::schema::{ObjectBuilder, Type};

        let text = ObjectBuilder::new().schema_type(Type::String);
        vec![shared::api_document::header(
            "Stripe-Signature",
            true,
            text,
            "Timestamp and signature: `t=…,v1=…`.",
        )]
    }
}

/// Verifies the request with the secrets in `secret` and parses its event. `None` if the body is
/// not an event: not JSON, or without an id, a type and an object.
pub(crate) fn event(
    request: &WebhookRequest<'_>,
    secret: &str,
) -> Result<Option<WebhookEvent>, WebhookError> {
    let secrets = WebhookSecrets::read(secret).ok_or(WebhookError::SecretUnreadable)?;
    secrets.verify((request.header)(SIGNATURE), request.body, request.received_at)?;
    Ok(parse(request.body))
}

impl WebhookSecrets {
    /// Parses the content of the secret. The parse error is dropped, because it could contain a
    /// key.
    fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Verifies that `header` contains a recent signature of `body`.
    fn verify(
        &self,
        header: Option<&str>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), BadSignature> {
        let header = header.filter(|header| header.len() <= LONGEST_HEADER).unwrap_or_default();
        let (mut moments, mut signatures) = (Vec::new(), Vec::new());
        for (name, value) in header.split(',').filter_map(|part| part.trim().split_once('=')) {
            match name {
                "t" => moments.push(value),
                "v1" if signatures.len() < MOST_SIGNATURES => signatures.extend(from_hex(value)),
                _ => {}
            }
        }
        // With two timestamps it is ambiguous which one was signed.
        let [signed_at] = moments[..] else { return Err(BadSignature::Missing) };
        let is_number = (1..=12).contains(&signed_at.len())
            && signed_at.bytes().all(|digit| digit.is_ascii_digit());
        let seconds: i64 =
            signed_at.parse().ok().filter(|_| is_number).ok_or(BadSignature::Missing)?;
        if signatures.is_empty() {
            return Err(BadSignature::Missing);
        }
        if (now.seconds() - seconds).unsigned_abs() > TOLERANCE.as_secs() {
            return Err(BadSignature::Stale);
        }
        let signed = [signed_at.as_bytes(), b".", body].concat();
        let made_with = |secret: &String| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
            // Compares in constant time.
            signatures.iter().any(|signature| hmac::verify(&key, &signed, signature).is_ok())
        };
        let secrets = [&self.current, &self.previous]
            .into_iter()
            .filter(|secret| secret.len() >= SHORTEST_SECRET);
        if secrets.into_iter().any(made_with) { Ok(()) } else { Err(BadSignature::Mismatch) }
    }
}

fn parse(body: &[u8]) -> Option<WebhookEvent> {
    let StripeEvent { id, r#type: kind, data } = serde_json::from_slice(body).ok()?;
    let is_id = (1..=255).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    is_id.then(|| WebhookEvent { subject: subject(&data.object), id, kind })
}

fn subject(object: &Value) -> EventSubject {
    let payment_id = object["metadata"]["payment_id"].as_str().and_then(PaymentId::parse);
    match object["object"].as_str().unwrap_or_default() {
        "payment_intent" => match (payment_id, provider_id(&object["id"])) {
            (Some(payment_id), Some(transaction_id)) => {
                EventSubject::Payment { payment_id, transaction_id }
            }
            // An intent of another shop: several shops can share an account.
            _ => EventSubject::Other,
        },
        "refund" => {
            let refund_id = object["metadata"]["refund_id"].as_str().and_then(RefundId::parse);
            match (payment_id, refund_id, provider_id(&object["id"])) {
                (Some(payment_id), Some(refund_id), Some(provider_refund_id)) => {
                    EventSubject::Refund { payment_id, refund_id, provider_refund_id }
                }
                // Our charges always have a payment intent.
                (_, _, Some(provider_refund_id))
                    if provider_id(&object["payment_intent"]).is_some() =>
                {
                    EventSubject::ProviderRefund { provider_refund_id }
                }
                _ => EventSubject::Other,
            }
        }
        "dispute" => match (provider_id(&object["id"]), provider_id(&object["payment_intent"])) {
            (Some(dispute_id), Some(_)) => EventSubject::Dispute { dispute_id },
            _ => EventSubject::Other,
        },
        _ => EventSubject::Other,
    }
}

/// The provider's id, if valid. It becomes part of a path and of a table key.
fn provider_id(value: &Value) -> Option<String> {
    let is_id = |text: &&str| {
        (1..=255).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    value.as_str().filter(is_id).map(str::to_owned)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const BODY: &[u8] = br#"{"id":"evt_1"}"#;
    const NOW: Timestamp = Timestamp::from_milliseconds(1_795_000_000_000);
    const SECRET: &str = "whsec_0123456789abcdef";

    fn secrets(current: &str, previous: &str) -> WebhookSecrets {
        WebhookSecrets { current: current.to_owned(), previous: previous.to_owned() }
    }

    fn signed(secret: &str, seconds: i64, body: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let tag = hmac::sign(&key, &[format!("{seconds}.").as_bytes(), body].concat());
        tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn header(secret: &str, seconds: i64, body: &[u8]) -> String {
        format!("t={seconds},v1={}", signed(secret, seconds, body))
    }

    #[test]
    fn signature_of_current_or_previous_secret_is_accepted() {
        let ours = secrets(SECRET, "whsec_of_yesterday_000");
        let at = NOW.seconds();
        let verify = |header: &str| ours.verify(Some(header), BODY, NOW);
        assert_eq!(verify(&header(SECRET, at, BODY)), Ok(()));
        assert_eq!(verify(&header("whsec_of_yesterday_000", at, BODY)), Ok(()));
        let while_rotating = format!(
            "t={at},v1={},v1={},v0=abc",
            signed("another secret altogether", at, BODY),
            signed(SECRET, at, BODY)
        );
        assert_eq!(verify(&while_rotating), Ok(()));
        assert_eq!(
            verify(&header("another secret altogether", at, BODY)),
            Err(BadSignature::Mismatch)
        );
        assert_eq!(verify(&header(SECRET, at, b"{}")), Err(BadSignature::Mismatch));
        assert_eq!(
            verify(&format!("t={},v1={}", at + 1, signed(SECRET, at, BODY))),
            Err(BadSignature::Mismatch),
            "the time is signed too"
        );
        assert_eq!(
            verify(&format!("t={at},v0={}", signed(SECRET, at, BODY))),
            Err(BadSignature::Missing),
            "only v1 counts"
        );
    }

    #[test]
    fn signature_timestamp_tolerance_is_five_minutes() {
        let ours = secrets(SECRET, "");
        for (seconds, expected) in [
            (-301, Err(BadSignature::Stale)),
            (-300, Ok(())),
            (300, Ok(())),
            (301, Err(BadSignature::Stale)),
        ] {
            assert_eq!(
                ours.verify(Some(&header(SECRET, NOW.seconds() + seconds, BODY)), BODY, NOW),
                expected,
                "{seconds}"
            );
        }
    }

    #[test]
    fn short_or_empty_secret_accepts_no_signature() {
        for (current, previous) in [("", ""), ("short", ""), ("", "short")] {
            for secret in ["", "short"] {
                let verdict = secrets(current, previous).verify(
                    Some(&header(secret, NOW.seconds(), BODY)),
                    BODY,
                    NOW,
                );
                assert_eq!(verdict, Err(BadSignature::Mismatch));
            }
        }
    }

    #[test]
    fn malformed_webhook_secrets_are_rejected() {
        assert!(WebhookSecrets::read(r#"{"current":"whsec_0123456789abcdef"}"#).is_some());
        for malformed in [
            "",
            "whsec_0123456789abcdef",
            "\"whsec_0123456789abcdef\"",
            "{}",
            r#"{"current":5}"#,
            "[]",
        ] {
            assert!(WebhookSecrets::read(malformed).is_none(), "{malformed}");
        }
    }

    #[test]
    fn malformed_signature_header_is_rejected() {
        let good = signed(SECRET, NOW.seconds(), BODY);
        let at = NOW.seconds();
        for malformed in [
            String::new(),
            "t".to_owned(),
            format!("v1={good}"),
            format!("t={at}"),
            format!("t=,v1={good}"),
            format!("t=-{at},v1={good}"),
            format!("t=99999999999999999999,v1={good}"),
            format!("t={at},v1={}", &good[1..]),
            format!("t={at},v1={}é", &good[2..]),
            format!("t={at},v1={}", "zz".repeat(32)),
            format!("t={at},v1=+{}", &good[1..]),
            format!("t={at},t={at},v1={good}"),
            format!("t={at},v1={good},v0={}", "0".repeat(4096)),
        ] {
            assert_eq!(
                secrets(SECRET, "").verify(Some(&malformed), BODY, NOW),
                Err(BadSignature::Missing),
                "{malformed}"
            );
        }
        assert_eq!(secrets(SECRET, "").verify(None, BODY, NOW), Err(BadSignature::Missing));
    }

    #[test]
    fn webhook_event_maps_to_its_subject() {
        const PAYMENT: &str =
            "pay_0199c2a8-0000-7000-8000-0000000000f1_0199c2a8-0000-7000-8000-0000000000a1";
        const REFUND: &str = "ref_0199c2a8-0000-7000-8000-0000000000c1";
        let subject_of = |kind: &str, object: Value| {
            let body =
                json!({ "id": "evt_1", "type": kind, "data": { "object": object } }).to_string();
            parse(body.as_bytes()).expect("an event").subject
        };
        let payment_id = PaymentId::parse(PAYMENT).expect("an id");
        let intent = json!({ "object": "payment_intent", "id": "pi_1", "metadata": { "payment_id": PAYMENT } });
        assert_eq!(
            subject_of("payment_intent.succeeded", intent),
            EventSubject::Payment { payment_id, transaction_id: "pi_1".to_owned() }
        );
        let refund = json!({ "object": "refund", "id": "re_1", "metadata": { "payment_id": PAYMENT, "refund_id": REFUND } });
        let refund_id = RefundId::parse(REFUND).expect("an id");
        assert_eq!(
            subject_of("refund.updated", refund),
            EventSubject::Refund { payment_id, refund_id, provider_refund_id: "re_1".to_owned() }
        );
        let by_hand =
            json!({ "object": "refund", "id": "re_2", "payment_intent": "pi_1", "metadata": {} });
        assert_eq!(
            subject_of("refund.created", by_hand),
            EventSubject::ProviderRefund { provider_refund_id: "re_2".to_owned() }
        );
        let dispute = json!({ "object": "dispute", "id": "dp_1", "payment_intent": "pi_1" });
        for kind in ["created", "updated", "closed", "funds_withdrawn", "funds_reinstated"] {
            let subject = subject_of(&format!("charge.dispute.{kind}"), dispute.clone());
            assert_eq!(subject, EventSubject::Dispute { dispute_id: "dp_1".to_owned() }, "{kind}");
        }
        for (kind, object) in [
            (
                "refund.created",
                json!({ "object": "refund", "id": "re_2", "payment_intent": null, "metadata": {} }),
            ),
            (
                "charge.dispute.closed",
                json!({ "object": "dispute", "id": "../dp_1", "payment_intent": "pi_1" }),
            ),
            (
                "payment_intent.succeeded",
                json!({ "object": "payment_intent", "id": "pi_2", "metadata": {} }),
            ),
            // The probe's intent, which only voids the key of a charge.
            (
                "payment_intent.canceled",
                json!({ "object": "payment_intent", "id": "pi_3",
                    "metadata": { "order_id": "ord_1", "voided_payment_id": PAYMENT, "purpose": "void_unsent_charge" } }),
            ),
            ("customer.created", json!({ "object": "customer" })),
            (
                "charge.dispute.created",
                json!({ "object": "dispute", "id": "dp_1", "payment_intent": null }),
            ),
            (
                "payment_intent.succeeded",
                json!({ "object": "payment_intent", "id": "../x", "metadata": { "payment_id": PAYMENT } }),
            ),
            ("made.up", json!([])),
        ] {
            assert_eq!(subject_of(kind, object), EventSubject::Other, "{kind}");
        }
        for malformed in [
            "",
            "[]",
            "{}",
            r#"{"id":"","type":"x","data":{"object":{}}}"#,
            r#"{"id":"e v","type":"x","data":{"object":{}}}"#,
        ] {
            assert!(parse(malformed.as_bytes()).is_none(), "{malformed}");
        }
    }
}
