//! Errors of payments and, at the end, their mapping to API problems.

use lambda_http::http::StatusCode;
use provider::{
    PaymentId, ProviderError, RefundId,
    webhook::{BadSignature, WebhookError},
};
use serde_json::json;
use shared::{
    http::IdempotencyKey, money::Money, problem::Problem, queue::Retryable, secret::SecretError,
    table::TableError,
};

use crate::domain::{IntentState, RefundError, StartError};

/// Why a payment cannot be made, shown or changed.
#[derive(Debug, thiserror::Error)]
pub enum PaymentError {
    /// The order does not exist, belongs to another user or cannot be paid yet. The caller cannot
    /// distinguish these cases.
    #[error("the order does not exist or cannot be paid yet")]
    OrderNotFound,
    /// The payment does not exist or belongs to another user.
    #[error("the payment does not exist")]
    PaymentNotFound,
    #[error("the attempt cannot start: {reason}")]
    NotPayable {
        reason: StartError,
        /// State of the order's payment.
        state: IntentState,
    },
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The same request is still running.
    #[error("the same request is in progress")]
    RequestInProgress { retry_after_seconds: u64 },
    /// The provider declined the attempt, or it was abandoned.
    #[error("the payment {payment_id} was declined: {reason}")]
    Declined { payment_id: PaymentId, reason: String },
    /// The payment, or the requested amount, cannot be refunded.
    #[error("the refund cannot start: {0}")]
    NotRefundable(RefundError),
    /// The provider did not make the refund.
    #[error("the refund {refund_id} failed: {reason}")]
    RefundFailed { refund_id: RefundId, reason: String },
    /// The circuit breaker is open: the provider does not answer.
    #[error("the payment provider is unavailable")]
    ProviderUnavailable { retry_after_seconds: u64 },
    /// The webhook's path names another provider than the configured one.
    #[error("the payment provider does not exist")]
    ProviderNotFound,
    /// The webhook's signature is missing, wrong or outdated.
    #[error("invalid webhook signature: {0}")]
    BadSignature(BadSignature),
    /// The webhook's body exceeds the size limit.
    #[error("the webhook event is too large")]
    EventTooLarge,
    /// The webhook secret is malformed. Its content is never logged.
    #[error("the webhook secret is malformed")]
    WebhookSecretsUnreadable,
    /// The attempt was abandoned because the order was cancelled.
    #[error("the order was cancelled before the charge was sent")]
    OrderClosed,
    /// A command refers to an order whose payment was never opened.
    #[error("the order has no payment yet")]
    IntentNotFound,
    /// A record is in a state that only a newer release knows.
    #[error("a record has a state that this release does not know")]
    UnknownState,
    /// Every write attempt conflicted with another writer.
    #[error("every write attempt conflicted with another writer")]
    Contention,
    #[error(transparent)]
    Table(#[from] TableError),
    /// The key that seals cursors is unavailable.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// Every error may pass: a payment is opened later, a transaction ends, the provider recovers.
impl Retryable for PaymentError {}

impl PaymentError {
    /// The lookup for a webhook event failed: the provider redelivers the event.
    pub(crate) fn redeliver(_: ProviderError) -> Self {
        Self::ProviderUnavailable { retry_after_seconds: 5 }
    }
}

impl From<WebhookError> for PaymentError {
    fn from(error: WebhookError) -> Self {
        match error {
            WebhookError::SecretUnreadable => Self::WebhookSecretsUnreadable,
            WebhookError::BadSignature(reason) => Self::BadSignature(reason),
        }
    }
}

impl From<PaymentError> for Problem {
    fn from(error: PaymentError) -> Self {
        match error {
            PaymentError::OrderNotFound => Problem::not_found("order")
                .detail("If the order was just placed, read it until it awaits payment, then repeat this request."),
            PaymentError::PaymentNotFound => Problem::not_found("payment"),
            PaymentError::NotPayable { reason, state } => not_payable(reason, &state),
            PaymentError::KeyReused => IdempotencyKey::reused(),
            PaymentError::RequestInProgress { retry_after_seconds } => {
                Problem::conflict("request_in_progress", "Request in progress")
                    .detail("Repeat it with the same Idempotency-Key after Retry-After to get its result.")
                    .retry_after(retry_after_seconds)
            }
            PaymentError::Declined { payment_id, reason } => {
                Problem::new(StatusCode::PAYMENT_REQUIRED, "payment_declined", "Payment declined")
                    .detail("Nothing was charged. Try another payment method under a new Idempotency-Key.")
                    .with("payment_id", payment_id.to_string())
                    .with("failure_reason", reason)
            }
            PaymentError::NotRefundable(reason) => not_refundable(reason),
            PaymentError::RefundFailed { refund_id, reason } => Problem::conflict(
                "refund_failed",
                "Refund failed",
            )
            .detail("Nothing was refunded. Check failure_reason with the provider, then try again under a new Idempotency-Key.")
            .with("refund_id", refund_id.to_string())
            .with("failure_reason", reason),
            PaymentError::ProviderUnavailable { retry_after_seconds } => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "provider_unavailable", "Payment provider unavailable")
                    .detail("Nothing was started. Repeat the request with the same Idempotency-Key after Retry-After.")
                    .retry_after(retry_after_seconds)
            }
            PaymentError::ProviderNotFound => Problem::not_found("provider"),
            PaymentError::BadSignature(_) => Problem::bad_request("bad_signature", "Invalid webhook signature").caused_by(&error),
            PaymentError::EventTooLarge => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", "Body too large")
                .detail("Send at most 262,144 bytes."),
            PaymentError::OrderClosed => not_payable(StartError::Closed, &IntentState::Closed),
            PaymentError::WebhookSecretsUnreadable
            | PaymentError::Contention
            | PaymentError::UnknownState => {
                Problem::unavailable().caused_by(&error)
            }
            PaymentError::IntentNotFound => Problem::internal().caused_by(&error),
            PaymentError::Table(error) => error.into(),
            PaymentError::Secret(error) => Problem::unavailable().caused_by(&error),
        }
    }
}

fn not_payable(reason: StartError, state: &IntentState) -> Problem {
    let problem = match reason {
        StartError::InProgress => {
            Problem::conflict("payment_in_progress", "Payment in progress")
                .detail("Another payment of this order is in progress. Wait for its outcome in GET /payments?order_id=….")
                .retry_after(2)
        }
        StartError::AlreadyPaid => Problem::conflict("already_paid", "Order already paid"),
        StartError::Closed => {
            Problem::conflict("order_closed", "Order no longer payable")
        }
        StartError::AmountMismatch => {
            Problem::unprocessable("amount_mismatch", "Amount mismatch")
                .detail("Omit the amount, or send the order's total.")
        }
        StartError::CurrencyMismatch => {
            Problem::unprocessable("currency_mismatch", "Currency mismatch")
                .detail("Omit the amount, or send the order's total.")
        }
        StartError::UnknownState => {
            return PaymentError::UnknownState.into();
        }
    };
    problem.with("payment_state", state.name())
}

fn not_refundable(reason: RefundError) -> Problem {
    let conflict = || Problem::conflict("not_refundable", "Payment not refundable");
    let money = |money: Money| json!({ "amount": money.amount, "currency": money.currency });
    match reason {
        RefundError::NothingCaptured => conflict().detail("The payment captured nothing for its order. Refund the payment that paid the order."),
        RefundError::NothingLeft => conflict().detail("The whole payment is refunded, being refunded or disputed."),
        RefundError::UnderWay { refundable } => conflict()
            .detail("Other refunds of the payment are pending. Wait for their outcome, or request at most `refundable`.")
            .with("refundable", money(refundable))
            .retry_after(2),
        RefundError::Exceeds { at_most } => Problem::unprocessable("exceeds_refundable", "Refund exceeds the refundable amount")
            .detail("Request at most `refundable`, or omit the amount.")
            .with("refundable", money(at_most)),
        RefundError::OnlyWhole { amount } => Problem::unprocessable("exceeds_refundable", "Refund exceeds the refundable amount")
            .detail("A duplicate capture is refunded in full. Omit the amount.")
            .with("refundable", money(amount)),
        RefundError::CurrencyMismatch => Problem::unprocessable("currency_mismatch", "Currency mismatch")
            .detail("Use the currency of the payment, or omit the amount."),
        RefundError::UnknownState => PaymentError::UnknownState.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another release may process the repeated request.
    #[test]
    fn request_about_an_unknown_state_can_be_repeated() {
        let state = IntentState::Unknown("paused".to_owned());
        for error in [
            PaymentError::UnknownState,
            PaymentError::NotPayable { reason: StartError::UnknownState, state },
            PaymentError::NotRefundable(RefundError::UnknownState),
        ] {
            let problem = Problem::from(error);
            assert_eq!(problem.status, StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(problem.retry_after_seconds(), Some(1));
        }
    }
}
