//! Queue `refund-payment`: an order gave up after it was paid. All that was captured for it goes back.

use std::sync::Arc;

use shared::queue::Received;

use crate::{
    Payments, TRIES,
    asking::Leave,
    domain::{Change, Refund, RefundState, begin_refund},
    error::PaymentError,
    messages::RefundPayment,
    store::WriteOutcome,
};

/// Gives back all that no refund has taken yet. A refund that is under way, and a head without anything to give back, answer again. While
/// the provider is left alone the refund is recorded, and the schedule sends it.
pub async fn refund_payment(payments: Arc<Payments>, received: Received<RefundPayment>) -> Result<(), PaymentError> {
    let RefundPayment { order_id, drive } = received.message;
    let lock_owner = payments.lock_owner();

    for _ in 0..TRIES {
        let head = payments.store.head(order_id).await?.ok_or(PaymentError::NoHead)?;
        let refund_id = Refund::automatic_id(&head);
        let records = match head.captured_payment {
            Some(paid) => payments.store.attempt_and_refund(paid, refund_id).await?,
            None => Default::default(),
        };
        let now = payments.clock.now();
        let change = match (records.attempt, records.refund) {
            (Some(paid), Some(refund))
                if refund.state == RefundState::New && (!refund.is_locked(now) || refund.dispatch.lock.owner == lock_owner) =>
            {
                match payments.leave(records.breaker, received.deadline).await {
                    Leave::Ask(asking) => return payments.send_refund(&asking, head, paid, refund).await.map(|_| ()),
                    // The schedule sends it.
                    Leave::Wait { .. } => head.answering(drive, now, &received.trace),
                }
            }
            (Some(paid), None) => match begin_refund(&head, &paid, drive, &lock_owner, now, &received.trace) {
                Some(change) => {
                    if payments.store.write(&change, None).await? == WriteOutcome::Written {
                        let (head, refund) = (change.head.unwrap_or(head), change.refund.ok_or(PaymentError::NotReadable)?);
                        if let Leave::Ask(asking) = payments.leave(records.breaker, received.deadline).await {
                            payments.send_refund(&asking, head, paid, refund).await?;
                        }
                        return Ok(());
                    }
                    continue;
                }
                None => head.answering(drive, now, &received.trace),
            },
            _ => head.answering(drive, now, &received.trace),
        };
        let Some(answering) = change else { return Ok(()) };
        if payments.store.write(&Change { head: Some(answering), ..Change::default() }, None).await? == WriteOutcome::Written {
            return Ok(());
        }
    }
    Err(PaymentError::Contention)
}
