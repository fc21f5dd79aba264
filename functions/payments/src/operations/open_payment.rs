//! Queue `open-payment`: an order can be paid from now on.

use std::sync::Arc;

use shared::queue::Received;

use crate::{
    Payments, TRIES,
    domain::{Change, Head},
    error::PaymentError,
    messages::OpenPayment,
    store::WriteOutcome,
};

/// Puts the head, payments' own copy of what the order costs. A head that stands there already answers again.
pub async fn open_payment(payments: Arc<Payments>, received: Received<OpenPayment>) -> Result<(), PaymentError> {
    let expected = received.message.expected();

    let mut change = Some(Head::opened(&expected, payments.clock.now(), &received.trace));
    for _ in 0..TRIES {
        let Some(head) = change else { return Ok(()) };
        let written = payments.store.write(&Change { head: Some(head.clone()), ..Change::default() }, None).await?;
        let WriteOutcome::Conflict(records) = written else { return Ok(()) };
        // Without an item nothing stood there when the write was judged: the same one is tried again.
        change = match records.head {
            Some(stands) => stands.answering(expected.drive, payments.clock.now(), &received.trace),
            None => Some(head),
        };
    }
    Err(PaymentError::Contention)
}
