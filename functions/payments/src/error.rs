//! What can go wrong with a payment, in the trade's words; and, in the last lines, what clients are
//! told of it.

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
    /// There is no such order, it is another's, or it cannot be paid yet: all the same to the
    /// caller.
    #[error("there is no such order to pay")]
    OrderNotFound,
    /// There is no such payment, or it is another's.
    #[error("there is no such payment")]
    PaymentNotFound,
    /// No attempt may start.
    #[error("no attempt may start: {reason}")]
    NotPayable {
        /// Why.
        reason: StartError,
        /// The state of the order's payment.
        state: IntentState,
    },
    /// The idempotency key stands for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The same request is being worked on.
    #[error("the same request is being worked on")]
    RequestInProgress {
        /// When to ask again.
        retry_after_seconds: u64,
    },
    /// The attempt came to nothing.
    #[error("the payment {payment_id} was declined: {reason}")]
    Declined {
        /// The attempt.
        payment_id: PaymentId,
        /// Why.
        reason: String,
    },
    /// The payment, or so much of it, cannot be given back.
    #[error("no refund may begin: {0}")]
    NotRefundable(RefundError),
    /// The provider did not give it back.
    #[error("the refund {refund_id} failed: {reason}")]
    RefundFailed {
        /// The refund.
        refund_id: RefundId,
        /// Why.
        reason: String,
    },
    /// The provider does not answer, and is left alone for a while.
    #[error("the provider does not answer, and is left alone")]
    ProviderUnavailable {
        /// When to ask again.
        retry_after_seconds: u64,
    },
    /// No such provider tells this shop anything.
    #[error("there is no such payment provider")]
    ProviderNotFound,
    /// What claims to come from the provider does not.
    #[error("the signature is not the provider's: {0}")]
    BadSignature(BadSignature),
    /// What claims to come from the provider is larger than any event.
    #[error("the provider's event is too large")]
    EventTooLarge,
    /// The secret of the webhooks does not hold what it should. What it holds instead stays untold.
    #[error("the secret of the webhooks cannot be read")]
    WebhookSecretsUnreadable,
    /// The attempt was abandoned because the order gave up.
    #[error("the order gave up while it was about to be paid")]
    OrderClosed,
    /// Somebody else is about to send the attempt: the message is given back until that is done or
    /// its lock is over.
    #[error("the attempt is about to be sent by somebody else")]
    SendInProgress,
    /// A command about the money of an order whose payment was never opened.
    #[error("the order has no payment yet")]
    IntentNotFound,
    /// A record is in a state that only a newer release can judge.
    #[error("a record is in a state that this release does not know")]
    UnknownState,
    /// Others wrote the same records each time.
    #[error("others wrote the same records each time")]
    Contention,
    /// The table did not do as it was told.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The key of the cursors could not be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// Each may pass: the payment is opened a moment later, a transaction ends, the provider answers.
impl Retryable for PaymentError {}

impl PaymentError {
    /// The provider did not answer while its event was handled: it redelivers the event.
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
                .detail("If the order was placed a moment ago, read it until it awaits payment, and repeat this request."),
            PaymentError::PaymentNotFound => Problem::not_found("payment"),
            PaymentError::NotPayable { reason, state } => not_payable(reason, &state),
            PaymentError::KeyReused => IdempotencyKey::reused(),
            PaymentError::RequestInProgress { retry_after_seconds } => {
                Problem::conflict("request_in_progress", "The same request is being worked on")
                    .detail("Repeat it with the same Idempotency-Key a little later: it will answer what became of it.")
                    .retry_after(retry_after_seconds)
            }
            PaymentError::Declined { payment_id, reason } => {
                Problem::new(StatusCode::PAYMENT_REQUIRED, "payment_declined", "The payment was declined")
                    .detail("Nothing was charged. To try again, send another payment method under a new Idempotency-Key.")
                    .with("payment_id", payment_id.to_string())
                    .with("failure_reason", reason)
            }
            PaymentError::NotRefundable(reason) => not_refundable(reason),
            PaymentError::RefundFailed { refund_id, reason } => Problem::conflict(
                "refund_failed",
                "The provider did not give the money back",
            )
            .detail("Nothing was given back. What stands in the way is for the provider to say; to try again, use a new Idempotency-Key.")
            .with("refund_id", refund_id.to_string())
            .with("failure_reason", reason),
            PaymentError::ProviderUnavailable { retry_after_seconds } => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "provider_unavailable", "The payment provider does not answer")
                    .detail("Nothing was begun. Repeat the request later, with the same Idempotency-Key.")
                    .retry_after(retry_after_seconds)
            }
            PaymentError::ProviderNotFound => Problem::not_found("provider"),
            PaymentError::BadSignature(_) => Problem::bad_request("bad_signature", "The signature is not the provider's").caused_by(&error),
            PaymentError::EventTooLarge => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", "The body is too large")
                .detail("A body may have 262,144 bytes."),
            PaymentError::OrderClosed => not_payable(StartError::Closed, &IntentState::Closed),
            PaymentError::WebhookSecretsUnreadable | PaymentError::SendInProgress | PaymentError::Contention => {
                Problem::unavailable().caused_by(&error)
            }
            PaymentError::IntentNotFound | PaymentError::UnknownState => Problem::internal().caused_by(&error),
            PaymentError::Table(error) => error.into(),
            PaymentError::Secret(error) => Problem::unavailable().caused_by(&error),
        }
    }
}

fn not_payable(reason: StartError, state: &IntentState) -> Problem {
    let problem = match reason {
        StartError::InProgress => {
            Problem::conflict("payment_in_progress", "Another payment of this order is in progress")
                .detail("Wait for its outcome: GET /payments?order_id=… shows it.")
                .retry_after(2)
        }
        StartError::AlreadyPaid => Problem::conflict("already_paid", "The order is paid already"),
        StartError::Closed => {
            Problem::conflict("order_closed", "The order takes no payment any more")
        }
        StartError::AmountMismatch => {
            Problem::unprocessable("amount_mismatch", "The amount is not what the order costs")
                .detail("Leave the amount out, or send the order's total.")
        }
        StartError::CurrencyMismatch => {
            Problem::unprocessable("currency_mismatch", "The currencies differ")
                .detail("Leave the amount out, or send the order's total.")
        }
        StartError::UnknownState => {
            return Problem::internal().caused_by(&PaymentError::UnknownState);
        }
    };
    problem.with("payment_state", state.name())
}

fn not_refundable(reason: RefundError) -> Problem {
    let conflict = || Problem::conflict("not_refundable", "The payment cannot be given back");
    let money = |money: Money| json!({ "amount": money.amount, "currency": money.currency });
    match reason {
        RefundError::NothingCaptured => conflict().detail("It captured nothing for its order."),
        RefundError::NothingLeft => conflict().detail("All of it is given back, on its way back, or taken by a dispute."),
        RefundError::UnderWay { refundable } => conflict()
            .detail("Other refunds of it are under way. Wait for their outcome, or ask for no more than they leave.")
            .with("refundable", money(refundable))
            .retry_after(2),
        RefundError::Exceeds { at_most } => Problem::unprocessable("exceeds_refundable", "The amount is more than can be given back")
            .detail("Ask for no more than was captured and not given back yet, or leave the amount out.")
            .with("refundable", money(at_most)),
        RefundError::OnlyWhole { amount } => Problem::unprocessable("exceeds_refundable", "The amount is more than can be given back")
            .detail("The order was paid twice. The second payment is refunded whole: leave the amount out.")
            .with("refundable", money(amount)),
        RefundError::CurrencyMismatch => Problem::unprocessable("currency_mismatch", "The currencies differ")
            .detail("Ask for the currency that was paid, or leave the amount out."),
        RefundError::UnknownState => Problem::internal().caused_by(&PaymentError::UnknownState),
    }
}
