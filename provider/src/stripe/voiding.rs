//! Voids a charge that may not have arrived, and finds a charge without its idempotency key.
//!
//! Stripe stores the first response to an idempotency key for 24 hours and rejects the key with
//! another body. The probe is a request under the charge's key that charges nothing. It creates a
//! payment intent without a payment method and without confirming it. If Stripe creates that intent,
//! the charge has not arrived, and Stripe rejects it if it arrives later. If Stripe rejects the
//! probe, it has the charge.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use super::{
    Stripe,
    client::{Response, error_from, optional, text},
    intent_result,
};
use crate::{
    charge::{ChargeRequest, KeyState, ProviderResult},
    error::ProviderError,
};

/// Marks the probe's intent in its metadata. The payment id has another metadata key than in a
/// charge, so that searches, lists and webhooks do not mistake the probe for a charge.
const PURPOSE: &str = "void_unsent_charge";

/// How far Stripe's creation time of a charge may be before and after our times of sending.
const BEFORE: Duration = Duration::from_secs(60);
const AFTER: Duration = Duration::from_secs(300);

/// Maximum pages per list, 100 payment intents each.
const PAGES: u32 = 20;

#[derive(Debug, PartialEq)]
enum ProbeOutcome {
    /// The probe's intent was created, now or by an earlier probe.
    Created(String),
    /// Not created, because the key is in use or was used.
    NotCreated(KeyState),
}

impl Stripe {
    pub(super) async fn void_key(
        &self,
        request: &ChargeRequest,
    ) -> Result<KeyState, ProviderError> {
        let (amount, currency) =
            (request.amount.amount.to_string(), request.amount.currency.code().to_lowercase());
        let (order_id, payment_id) = (request.order_id.to_string(), request.payment_id.to_string());
        // Built only from stored values of the attempt and constants: a repeat has the same body
        // and gets the same stored response.
        let form = [
            ("amount", &*amount),
            ("currency", &currency),
            ("payment_method_types[0]", "card"),
            ("metadata[order_id]", &order_id),
            ("metadata[voided_payment_id]", &payment_id),
            ("metadata[purpose]", PURPOSE),
        ];
        match probe_outcome(
            &self.client.post("/v1/payment_intents", &form, Some(&payment_id)).await?,
            &payment_id,
        )? {
            ProbeOutcome::Created(id) => self.cancel_probe(&id).await,
            ProbeOutcome::NotCreated(state) => Ok(state),
        }
    }

    async fn cancel_probe(&self, id: &str) -> Result<KeyState, ProviderError> {
        let path = format!("/v1/payment_intents/{id}");
        let (status, answer) = self.client.post(&format!("{path}/cancel"), &[], None).await?;
        // Stripe returns 400 if the intent is already cancelled.
        let intent = if status == StatusCode::BAD_REQUEST {
            optional(self.client.get(&path, &[]).await?)?
        } else {
            optional((status, answer))?
        };
        match intent {
            Some(intent) if intent["status"] == "canceled" => Ok(KeyState::Voided),
            _ => Err(ProviderError::Indeterminate(
                "the intent that voids a charge is not cancelled yet".to_owned(),
            )),
        }
    }

    pub(super) async fn find_in_list(
        &self,
        request: &ChargeRequest,
    ) -> Result<Option<ProviderResult>, ProviderError> {
        let Some((first, last)) = request.sent else { return Ok(None) };
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        let (from, to) = (
            (first.seconds() - seconds(BEFORE)).to_string(),
            (last.seconds() + seconds(AFTER)).to_string(),
        );
        let payment_id = request.payment_id.to_string();
        let is_it = |intent: &&Value| intent["metadata"]["payment_id"] == *payment_id;
        let filter = [("created[gte]", &*from), ("created[lte]", &*to)];
        let listed = self
            .client
            .find_in_pages("/v1/payment_intents", &filter, PAGES, |intents| {
                intents.iter().find(is_it).cloned()
            })
            .await?;
        listed.map(|intent| intent_result(&intent, request.amount.currency)).transpose()
    }
}

/// Maps a response to the outcome of the probe.
fn probe_outcome(
    (status, document): &Response,
    payment_id: &str,
) -> Result<ProbeOutcome, ProviderError> {
    let metadata = &document["metadata"];
    let id = text(&document["id"]);
    match status.as_u16() {
        // 409 means that a request under the key is in progress, regardless of the error type.
        409 => Ok(ProbeOutcome::NotCreated(KeyState::Running)),
        400 if document["error"]["type"] == "idempotency_error" => {
            Ok(ProbeOutcome::NotCreated(KeyState::Used))
        }
        _ if status.is_success() && metadata["purpose"] == PURPOSE && !id.is_empty() => {
            Ok(ProbeOutcome::Created(id.to_owned()))
        }
        // The stored response of the charge, if Stripe does not compare bodies.
        _ if status.is_success() && metadata["payment_id"] == *payment_id => {
            Ok(ProbeOutcome::NotCreated(KeyState::Used))
        }
        _ if status.is_success() => Err(ProviderError::Indeterminate(
            "it answered something that is not the probe".to_owned(),
        )),
        _ => Err(error_from(*status, document)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(status: u16, document: Value) -> Response {
        (StatusCode::from_u16(status).expect("a status"), document)
    }

    #[test]
    fn probe_response_shows_whether_the_charge_arrived() {
        let created = json!({ "id": "pi_1", "status": "requires_payment_method", "metadata": { "purpose": PURPOSE } });
        let stored =
            json!({ "id": "pi_2", "status": "succeeded", "metadata": { "payment_id": "pay_1" } });
        let error = |kind: &str| json!({ "error": { "type": kind } });
        for (answer, expected) in [
            (answer(200, created), ProbeOutcome::Created("pi_1".to_owned())),
            (answer(200, stored), ProbeOutcome::NotCreated(KeyState::Used)),
            (answer(400, error("idempotency_error")), ProbeOutcome::NotCreated(KeyState::Used)),
            (answer(409, error("idempotency_error")), ProbeOutcome::NotCreated(KeyState::Running)),
            (
                answer(409, error("invalid_request_error")),
                ProbeOutcome::NotCreated(KeyState::Running),
            ),
        ] {
            assert_eq!(probe_outcome(&answer, "pay_1"), Ok(expected), "{answer:?}");
        }
        let what = |status| probe_outcome(&answer(status, error("invalid_request_error")), "pay_1");
        assert!(matches!(what(400), Err(ProviderError::Rejected(_))));
        assert!(
            [401, 403]
                .into_iter()
                .all(|status| matches!(what(status), Err(ProviderError::CredentialsRejected(_))))
        );
        assert!(matches!(what(429), Err(ProviderError::Busy(_))));
        assert!(
            [500, 503]
                .into_iter()
                .all(|status| matches!(what(status), Err(ProviderError::Indeterminate(_))))
        );
        for malformed in [
            json!({}),
            json!({ "id": "pi_3", "metadata": {} }),
            json!({ "metadata": { "purpose": PURPOSE } }),
        ] {
            assert!(matches!(
                probe_outcome(&answer(200, malformed), "pay_1"),
                Err(ProviderError::Indeterminate(_))
            ));
        }
    }
}
