//! What can go wrong with a payment, in the trade's words; and, in the last lines, what clients are told of it.

use lambda_http::http::StatusCode;
use shared::{http::IdempotencyKey, problem::Problem, secret::SecretError, table::TableError};

use crate::domain::{HeadState, PaymentId, StartRefused};

/// Why a payment cannot be made, shown or changed.
#[derive(Debug, thiserror::Error)]
pub enum PaymentError {
    /// There is no such order, it is another's, or it cannot be paid yet: all the same to the caller.
    #[error("there is no such order to pay")]
    OrderNotFound,
    /// There is no such payment, or it is another's.
    #[error("there is no such payment")]
    PaymentNotFound,
    /// No attempt may start.
    #[error("no attempt may start: {reason}")]
    NotPayable {
        /// Why.
        reason: StartRefused,
        /// The state of the order's payment.
        state: HeadState,
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
    /// The attempt was abandoned because the order gave up.
    #[error("the order gave up while it was about to be paid")]
    OrderGaveUp,
    /// Somebody else is about to send the attempt: the message is given back until that is done or its lock is over.
    #[error("the attempt is about to be sent by somebody else")]
    AboutToBeSent,
    /// A command about the money of an order whose payment was never opened.
    #[error("the order has no payment yet")]
    NoHead,
    /// A record is in a state that only a newer release can judge.
    #[error("a record is in a state that this release does not know")]
    NotReadable,
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
            PaymentError::OrderGaveUp => not_payable(StartRefused::Closed, &HeadState::Closed),
            PaymentError::AboutToBeSent | PaymentError::Contention => Problem::unavailable().because(&error),
            PaymentError::NoHead | PaymentError::NotReadable => Problem::internal().because(&error),
            PaymentError::Table(error) => error.into(),
            PaymentError::Secret(error) => Problem::unavailable().because(&error),
        }
    }
}

fn not_payable(reason: StartRefused, state: &HeadState) -> Problem {
    let problem = match reason {
        StartRefused::InProgress => Problem::conflict("payment_in_progress", "Another payment of this order is in progress")
            .detail("Wait for its outcome: GET /payments?order_id=… shows it.")
            .retry_after(2),
        StartRefused::AlreadyPaid => Problem::conflict("already_paid", "The order is paid already"),
        StartRefused::Closed => Problem::conflict("order_closed", "The order takes no payment any more"),
        StartRefused::AmountMismatch => Problem::unprocessable("amount_mismatch", "The amount is not what the order costs")
            .detail("Leave the amount out, or send the order's total."),
        StartRefused::CurrencyMismatch => {
            Problem::unprocessable("currency_mismatch", "The currencies differ").detail("Leave the amount out, or send the order's total.")
        }
        StartRefused::NotReadable => return Problem::internal().because(&PaymentError::NotReadable),
    };
    problem.with("payment_state", state.name())
}
