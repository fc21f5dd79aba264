//! Queue `open-payment`: opens the payment of an order for its amount.

use std::sync::Arc;

use shared::queue::Received;

use crate::{
    MAX_WRITE_ATTEMPTS, Payments,
    domain::{Change, PaymentIntent},
    error::PaymentError,
    messages::OpenPayment,
    store::WriteOutcome,
};

/// Writes the payment intent, payments' own copy of the amount to charge. If the intent exists, its
/// state is published again.
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
        // A conflict without an item means that the item did not exist when the condition was
        // evaluated, so the same write is tried again.
        change = match records.intent {
            Some(current) => {
                current.answering(expected.command_attempt, payments.clock.now(), &received.trace)
            }
            None => Some(intent),
        };
    }
    Err(PaymentError::Contention)
}
