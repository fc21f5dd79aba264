//! Queue `open-payment`: an order can be paid from now on.

use std::sync::Arc;

use shared::queue::Received;

use crate::{
    MAX_WRITE_ATTEMPTS, Payments,
    domain::{Change, PaymentIntent},
    error::PaymentError,
    messages::OpenPayment,
    store::WriteOutcome,
};

/// Puts the intent, payments' own copy of what the order costs. An intent that stands there already
/// answers again.
pub async fn open_payment(
    payments: Arc<Payments>,
    received: Received<OpenPayment>,
) -> Result<(), PaymentError> {
    let expected = received.message.expected();

    let mut change = Some(PaymentIntent::opened(&expected, payments.clock.now(), &received.trace));
    for _ in 0..MAX_WRITE_ATTEMPTS {
        let Some(intent) = change else { return Ok(()) };
        let written = payments
            .store
            .write(&Change { intent: Some(intent.clone()), ..Change::default() }, None)
            .await?;
        let WriteOutcome::Conflict(records) = written else { return Ok(()) };
        // Without an item nothing stood there when the write was judged: the same one is tried
        // again.
        change = match records.intent {
            Some(current) => {
                current.answering(expected.command_attempt, payments.clock.now(), &received.trace)
            }
            None => Some(intent),
        };
    }
    Err(PaymentError::Contention)
}
