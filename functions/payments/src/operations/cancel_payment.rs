//! Queue `cancel-payment`: the fence. After it no attempt ever starts.

use std::sync::Arc;

use provider::ProviderResult;
use shared::queue::Received;

use crate::{
    Payments, TRIES,
    asking::Leave,
    domain::{Change, Expected, Head},
    error::PaymentError,
    messages::CancelPayment,
    store::{Records, WriteOutcome},
};

/// Closes the head of an order, or lets it close with the attempt that is alive. Where there is no head yet a closed one is put, for a
/// command that comes late to run into. An attempt that waits for its customer is called off at the provider, and the head closes then.
pub async fn cancel_payment(payments: Arc<Payments>, received: Received<CancelPayment>) -> Result<(), PaymentError> {
    let CancelPayment { order_id, user_id, amount, drive } = received.message;

    for _ in 0..TRIES {
        let head = payments.store.head(order_id).await?;
        let now = payments.clock.now();
        let Some(head) = head else {
            let expected = Expected { order_id, user_id, amount, expires_at: now, tries: 0, drive };
            let head = Head::never_opened(&expected, "order_closed", now, &received.trace);
            if payments.store.write(&Change { head: Some(head), ..Change::default() }, None).await? == WriteOutcome::Written {
                return Ok(());
            }
            continue;
        };
        let records = match head.active_attempt {
            Some(attempt) => payments.store.attempt_and_breaker(attempt).await?,
            None => Records::default(),
        };
        let change = head.fence(records.attempt.as_ref(), drive, now, payments.nudge, &received.trace);
        if !change.is_empty() && payments.store.write(&change, None).await? != WriteOutcome::Written {
            continue;
        }
        let (head, attempt) = (change.head.unwrap_or(head), change.attempt.or(records.attempt));
        if let Some(attempt) = attempt.filter(|attempt| attempt.is_to_be_called_off(&head, now))
            // Without leave to ask, the schedule calls it off.
            && let Leave::Ask(asking) = payments.leave(records.breaker, received.deadline).await
        {
            payments.call_off(&asking, head, attempt, &ProviderResult::OutcomeUnknown).await?;
        }
        return Ok(());
    }
    Err(PaymentError::Contention)
}
