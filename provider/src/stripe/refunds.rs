//! Refunds and disputes at Stripe.
//!
//! A rejected refund is a definite result: Stripe read the request and created no refund. The
//! following responses are not definite, because an earlier request may have succeeded:
//!
//! - an invalid API key (401, 403)
//! - an idempotency key in use or used for another request
//! - too many requests

use reqwest::StatusCode;
use serde_json::Value;
use shared::{
    ids::PrefixedId,
    money::{Currency, Money},
};

use super::{
    Stripe,
    client::{Response, error_from, name, optional, text},
};
use crate::{
    dispute::{DisputeState, ProviderDispute},
    error::ProviderError,
    payment_id::PaymentId,
    refund::{ProviderRefund, RefundId, RefundRequest, RefundResult},
};

/// Maximum pages of refunds per charge, 100 refunds each.
const PAGES: u32 = 10;

/// Makes Stripe return the payment intent itself instead of its id.
const WITH_INTENT: [(&str, &str); 1] = [("expand[]", "payment_intent")];

impl Stripe {
    pub(super) async fn create_refund(
        &self,
        request: &RefundRequest,
    ) -> Result<RefundResult, ProviderError> {
        let (amount, refund_id) =
            (request.amount.amount.to_string(), request.refund_id.to_string());
        let (order_id, payment_id) = (request.order_id.to_string(), request.payment_id.to_string());
        let form = [
            ("payment_intent", &*request.transaction_id),
            ("amount", &amount),
            ("metadata[order_id]", &order_id),
            ("metadata[payment_id]", &payment_id),
            ("metadata[refund_id]", &refund_id),
            ("metadata[trace_id]", request.trace.id()),
        ];
        refund_outcome(&self.client.post("/v1/refunds", &form, Some(&refund_id)).await?, request)
    }

    pub(super) async fn fetch_refund(
        &self,
        request: &RefundRequest,
    ) -> Result<Option<RefundResult>, ProviderError> {
        if let Some(id) = &request.provider_refund_id {
            let refund = optional(self.client.get(&format!("/v1/refunds/{id}"), &[]).await?)?;
            return refund.map(|refund| refund_result(&refund, request)).transpose();
        }
        let refund_id = request.refund_id.to_string();
        let is_it = |refund: &&Value| refund["metadata"]["refund_id"] == *refund_id;
        let filter = [("payment_intent", &*request.transaction_id)];
        let listed = self
            .client
            .find_in_pages("/v1/refunds", &filter, PAGES, |refunds| {
                refunds.iter().find(is_it).cloned()
            })
            .await?;
        listed.map(|refund| refund_result(&refund, request)).transpose()
    }

    pub(super) async fn fetch_refund_by_id(
        &self,
        provider_refund_id: &str,
    ) -> Result<Option<ProviderRefund>, ProviderError> {
        let refund = optional(
            self.client.get(&format!("/v1/refunds/{provider_refund_id}"), &WITH_INTENT).await?,
        )?;
        let Some((refund, payment_id)) = refund.and_then(of_our_payment) else { return Ok(None) };
        let amount = money(&refund)?;
        Ok(Some(ProviderRefund {
            provider_refund_id: provider_refund_id.to_owned(),
            payment_id,
            amount,
            result: outcome(&refund, provider_refund_id.to_owned(), || Ok(amount))?,
        }))
    }

    pub(super) async fn fetch_dispute(
        &self,
        dispute_id: &str,
    ) -> Result<Option<ProviderDispute>, ProviderError> {
        let dispute =
            optional(self.client.get(&format!("/v1/disputes/{dispute_id}"), &WITH_INTENT).await?)?;
        let Some((dispute, payment_id)) = dispute.and_then(of_our_payment) else { return Ok(None) };
        let (amount, state) = (money(&dispute)?, dispute_state(&dispute)?);
        Ok(Some(ProviderDispute { dispute_id: dispute_id.to_owned(), payment_id, amount, state }))
    }
}

/// The document with the payment of its intent; `None` if the intent is not ours.
fn of_our_payment(document: Value) -> Option<(Value, PaymentId)> {
    let payment_id = PaymentId::parse(text(&document["payment_intent"]["metadata"]["payment_id"]))?;
    Some((document, payment_id))
}

fn money(document: &Value) -> Result<Money, ProviderError> {
    let currency = Currency::parse(&text(&document["currency"]).to_uppercase()).ok();
    let money = document["amount"]
        .as_i64()
        .zip(currency)
        .map(|(amount, currency)| Money::new(amount, currency));
    money.ok_or_else(|| {
        ProviderError::Indeterminate("it did not say how much money it is".to_owned())
    })
}

/// Maps a dispute to its state. If the balance transactions of an open dispute sum to less than
/// zero, the bank has withdrawn the amount.
pub(super) fn dispute_state(dispute: &Value) -> Result<DisputeState, ProviderError> {
    let transactions = dispute["balance_transactions"].as_array();
    let balance: i64 = transactions
        .into_iter()
        .flatten()
        .filter_map(|transaction| transaction["amount"].as_i64())
        .sum();
    match text(&dispute["status"]) {
        "warning_needs_response" | "warning_under_review" => Ok(DisputeState::Inquiry),
        "warning_closed" | "prevented" => Ok(DisputeState::InquiryClosed),
        "needs_response" | "under_review" if balance < 0 => Ok(DisputeState::Withdrawn),
        "needs_response" | "under_review" => Ok(DisputeState::Open),
        "won" => Ok(DisputeState::Won),
        "lost" => Ok(DisputeState::Lost),
        _ => Err(ProviderError::Indeterminate(
            "it answered a state of a dispute that is not known here".to_owned(),
        )),
    }
}

/// Maps a response to the result of the refund.
fn refund_outcome(
    (status, document): &Response,
    request: &RefundRequest,
) -> Result<RefundResult, ProviderError> {
    if status.is_success() {
        return refund_result(document, request);
    }
    let error = &document["error"];
    // 401 and 403 concern our API key. After 408, 409, 425 and 429, this request or another one
    // under the same key may still be in progress.
    let is_definite =
        status.is_client_error() && !matches!(status.as_u16(), 401 | 403 | 408 | 409 | 425 | 429);
    // An `idempotency_error` means that an earlier request used the key. Its outcome is unknown.
    let is_of_request = matches!(text(&error["type"]), "invalid_request_error" | "card_error");
    if !(is_definite && is_of_request) {
        return Err(error_from(*status, document));
    }
    // Stripe has no code for "Refund amount is greater than unrefunded amount on charge".
    let is_too_much =
        *status == StatusCode::BAD_REQUEST && error["param"] == "amount" && error["code"].is_null();
    let code = if is_too_much { "charge_not_refundable" } else { text(&error["code"]) };
    Ok(RefundResult::Rejected { reason: name(code, "refund_refused") })
}

/// Maps a refund to its result. The refund must belong to `request`, by our id or by Stripe's.
fn refund_result(refund: &Value, request: &RefundRequest) -> Result<RefundResult, ProviderError> {
    let provider_refund_id = text(&refund["id"]).to_owned();
    let is_named = request.provider_refund_id.as_ref() == Some(&provider_refund_id);
    let is_ours =
        RefundId::parse(text(&refund["metadata"]["refund_id"])) == Some(request.refund_id);
    if provider_refund_id.is_empty() || !(is_named || is_ours) {
        return Err(ProviderError::Indeterminate(
            "response is not a refund of this shop".to_owned(),
        ));
    }
    outcome(refund, provider_refund_id, || {
        let amount = refund["amount"].as_i64();
        let amount = amount.ok_or_else(|| {
            ProviderError::Indeterminate("response lacks the refunded amount".to_owned())
        })?;
        // An amount in another currency becomes negative, so that it never matches.
        let currency = request.amount.currency;
        let same = text(&refund["currency"]).eq_ignore_ascii_case(currency.code());
        Ok(Money::new(if same { amount } else { -amount }, currency))
    })
}

fn outcome(
    refund: &Value,
    provider_refund_id: String,
    amount: impl FnOnce() -> Result<Money, ProviderError>,
) -> Result<RefundResult, ProviderError> {
    match text(&refund["status"]) {
        "succeeded" => Ok(RefundResult::Succeeded { provider_refund_id, amount: amount()? }),
        "failed" | "canceled" => {
            let reason = name(text(&refund["failure_reason"]), text(&refund["status"]));
            Ok(RefundResult::Failed { provider_refund_id, reason })
        }
        "pending" | "requires_action" => Ok(RefundResult::OutcomeUnknown),
        _ => Err(ProviderError::Indeterminate(
            "it answered a status that is not known here".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::{ids, telemetry::Trace};

    use super::*;

    const REFUND: &str = "ref_0199c2a8-0000-7000-8000-0000000000c1";
    const PAYMENT: &str =
        "pay_0199c2a8-0000-7000-8000-0000000000f1_0199c2a8-0000-7000-8000-0000000000a1";

    fn usd(amount: i64) -> Money {
        Money::new(amount, Currency::parse("USD").expect("a currency"))
    }

    fn request(provider_refund_id: Option<&str>) -> RefundRequest {
        RefundRequest {
            refund_id: RefundId::parse(REFUND).expect("an id"),
            order_id: ids::derive(&["order"]),
            payment_id: PaymentId::parse(PAYMENT).expect("an id"),
            transaction_id: "pi_1".to_owned(),
            amount: usd(1000),
            provider_refund_id: provider_refund_id.map(str::to_owned),
            trace: Trace::start(&ids::Ids::seeded(1)),
        }
    }

    fn refund(status: &str) -> Value {
        json!({ "id": "re_1", "status": status, "amount": 1000, "currency": "usd", "metadata": { "refund_id": REFUND } })
    }

    fn with(mut document: Value, member: &str, value: Value) -> Value {
        document[member] = value;
        document
    }

    fn answer(status: u16, error: Value) -> Response {
        (StatusCode::from_u16(status).expect("a status"), json!({ "error": error }))
    }

    #[test]
    fn refund_status_maps_to_refund_result() {
        let back = |amount| RefundResult::Succeeded {
            provider_refund_id: "re_1".to_owned(),
            amount: usd(amount),
        };
        let failed = |reason: &str| RefundResult::Failed {
            provider_refund_id: "re_1".to_owned(),
            reason: reason.to_owned(),
        };
        for (document, result) in [
            (refund("succeeded"), back(1000)),
            (with(refund("succeeded"), "currency", json!("eur")), back(-1000)),
            (refund("pending"), RefundResult::OutcomeUnknown),
            (
                with(refund("failed"), "failure_reason", json!("lost_or_stolen_card")),
                failed("lost_or_stolen_card"),
            ),
            (refund("canceled"), failed("canceled")),
        ] {
            assert_eq!(refund_result(&document, &request(None)), Ok(result), "{document}");
        }
        let foreign = with(refund("succeeded"), "metadata", json!({}));
        assert!(refund_result(&foreign, &request(None)).is_err());
        assert_eq!(
            refund_result(&foreign, &request(Some("re_1"))),
            Ok(back(1000)),
            "the provider's name is enough"
        );
    }

    #[test]
    fn definite_refund_errors_are_rejections() {
        let invalid = |code: &str| json!({ "type": "invalid_request_error", "code": code });
        for code in [
            "charge_already_refunded",
            "charge_disputed",
            "refund_disputed_payment",
            "resource_missing",
            "parameter_unknown",
        ] {
            for status in [400, 402, 404] {
                let refused = RefundResult::Rejected { reason: code.to_owned() };
                assert_eq!(
                    refund_outcome(&answer(status, invalid(code)), &request(None)),
                    Ok(refused),
                    "{status} {code}"
                );
            }
        }
        for (error, reason) in [
            (
                json!({ "type": "invalid_request_error", "param": "amount" }),
                "charge_not_refundable",
            ),
            (json!({ "type": "invalid_request_error" }), "refund_refused"),
            (json!({ "type": "card_error", "code": "insufficient_funds" }), "insufficient_funds"),
        ] {
            assert_eq!(
                refund_outcome(&answer(400, error), &request(None)),
                Ok(RefundResult::Rejected { reason: reason.to_owned() })
            );
        }
    }

    #[test]
    fn ambiguous_refund_errors_are_not_rejections() {
        let invalid = json!({ "type": "invalid_request_error", "code": "charge_disputed" });
        for status in [401, 403] {
            let answer = refund_outcome(&answer(status, invalid.clone()), &request(None));
            assert!(
                matches!(answer, Err(ProviderError::CredentialsRejected(_))),
                "our key, {status}: {answer:?}"
            );
        }
        for status in [409, 425, 429] {
            let answer = refund_outcome(&answer(status, invalid.clone()), &request(None));
            assert!(matches!(answer, Err(ProviderError::Busy(_))), "{status}: {answer:?}");
        }
        for status in [300, 408, 500, 502, 503, 504] {
            let answer = refund_outcome(&answer(status, invalid.clone()), &request(None));
            assert!(matches!(answer, Err(ProviderError::Indeterminate(_))), "{status}: {answer:?}");
        }
        for error in [
            json!({ "type": "idempotency_error" }),
            json!({ "type": "api_error" }),
            json!({}),
            json!(null),
        ] {
            assert!(
                refund_outcome(&answer(400, error.clone()), &request(None)).is_err(),
                "{error}"
            );
        }
    }

    #[test]
    fn dispute_status_and_balance_map_to_dispute_state() {
        let taken = json!([{ "amount": -1000 }]);
        for (status, transactions, state) in [
            ("warning_needs_response", json!([]), DisputeState::Inquiry),
            ("warning_under_review", json!([]), DisputeState::Inquiry),
            ("warning_closed", json!([]), DisputeState::InquiryClosed),
            ("needs_response", json!([]), DisputeState::Open),
            ("needs_response", json!(null), DisputeState::Open),
            ("needs_response", taken.clone(), DisputeState::Withdrawn),
            ("under_review", taken.clone(), DisputeState::Withdrawn),
            ("won", json!([{ "amount": -1000 }, { "amount": 1000 }]), DisputeState::Won),
            ("lost", taken, DisputeState::Lost),
        ] {
            let dispute = json!({ "status": status, "balance_transactions": transactions });
            assert_eq!(dispute_state(&dispute), Ok(state), "{dispute}");
        }
        for malformed in [json!({}), json!({ "status": "superseded" }), json!(null)] {
            assert!(
                matches!(dispute_state(&malformed), Err(ProviderError::Indeterminate(_))),
                "{malformed}"
            );
        }
    }

    #[test]
    fn refunds_and_disputes_of_foreign_intents_are_ignored() {
        let of = |intent: Value| {
            of_our_payment(json!({ "payment_intent": intent })).map(|(_, payment)| payment)
        };
        assert_eq!(
            of(json!({ "id": "pi_1", "metadata": { "payment_id": PAYMENT } })),
            PaymentId::parse(PAYMENT)
        );
        for malformed in [
            json!(null),
            json!("pi_1"),
            json!({ "metadata": {} }),
            json!({ "metadata": { "payment_id": "pay_1" } }),
        ] {
            assert_eq!(of(malformed.clone()), None, "{malformed}");
        }
    }
}
