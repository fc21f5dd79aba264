//! Queue `charge-payment`: an order can be paid, and is to be charged at once with the method given when it was placed.

use std::sync::Arc;

use provider::PaymentId;
use shared::{clock::Timestamp, queue::Received};

use crate::{
    Payments, TRIES,
    asking::{Asking, Leave},
    domain::{Attempt, Breaker, Change, Head, NEVER_SENT, NewAttempt},
    error::PaymentError,
    messages::ChargePayment,
    store::WriteOutcome,
};

/// Makes the one automatic attempt. A second copy of the message finds the first one's attempt: not sent yet and left alone, it is sent
/// now; else the head answers again.
///
/// The queue is not the timer: an outcome that nobody knows is recorded and the message is done. So is an attempt that waits because the
/// provider does not answer: the schedule sends it.
pub async fn charge_payment(payments: Arc<Payments>, received: Received<ChargePayment>) -> Result<(), PaymentError> {
    let expected = received.message.expected();
    let payment_id = PaymentId::automatic(expected.order_id);
    let lock_owner = payments.lock_owner();

    for _ in 0..TRIES {
        let records = payments.store.head_and_attempt(payment_id).await?;
        let now = payments.clock.now();
        let mut leave = None;
        let change = match (records.head, records.attempt) {
            (Some(head), Some(attempt)) if attempt.can_be_taken_over(now) || attempt.is_new_of(&lock_owner) => {
                match payments.leave(records.breaker, received.deadline).await {
                    Leave::Ask(asking) => return payments.send(&asking, head, attempt).await.map(|_| ()),
                    // The schedule sends it.
                    Leave::Wait { .. } => answering(&head, &received, now),
                }
            }
            (_, Some(attempt)) if attempt.is_about_to_be_sent(now) => return Err(PaymentError::AboutToBeSent),
            (Some(head), None) if head.may_start(now).is_ok() && head.agrees_with(Some(expected.amount)).is_ok() => {
                let (change, asking) = begin(&payments, &received, &head, &lock_owner, records.breaker).await;
                leave = asking;
                Some(change)
            }
            (Some(head), _) => answering(&head, &received, now),
            (None, Some(_)) => continue, // The head was read just before it was written.
            (None, None) => {
                let head = Head::opened(&expected, now, &received.trace);
                if head.may_start(now).is_ok() {
                    let (Change { head, attempt, .. }, asking) = begin(&payments, &received, &head, &lock_owner, records.breaker).await;
                    leave = asking;
                    // The head's first write: as if it had been busy from the start.
                    Some(Change { head: head.map(|head| Head { version: 1, ..head }), attempt, ..Change::default() })
                } else {
                    let head = Head::never_opened(&expected, "expired", now, &received.trace);
                    Some(Change { head: Some(head), ..Change::default() })
                }
            }
        };
        let Some(change) = change else { return Ok(()) };
        if payments.store.write(&change, None).await? == WriteOutcome::Written {
            if let (Some(head), Some(attempt), Some(asking)) = (change.head, change.attempt, leave) {
                payments.send(&asking, head, attempt).await?;
            }
            return Ok(());
        }
    }
    Err(PaymentError::Contention)
}

/// The attempt, and the head that is busy with it. Without leave to ask the provider it is recorded as one that waits.
async fn begin(
    payments: &Payments,
    received: &Received<ChargePayment>,
    head: &Head,
    lock_owner: &str,
    breaker: Option<Breaker>,
) -> (Change, Option<Asking>) {
    let now = payments.clock.now();
    let new = NewAttempt {
        payment_id: PaymentId::automatic(head.order_id),
        payment_method: received.message.payment_method.clone(),
        provider: payments.provider.name(),
        livemode: payments.provider.is_live(),
        lock_owner,
        return_url: payments.provider.return_url(),
        abandoned_after: NEVER_SENT,
        request: None,
        trace: &received.trace,
    };
    let attempt = Attempt::new(head, new, now);
    let (attempt, asking) = match payments.leave(breaker, received.deadline).await {
        Leave::Ask(asking) => (attempt, Some(asking)),
        Leave::Wait { until } => (attempt.held_back(until, now), None),
    };
    (Change { head: Some(head.busy_with(&attempt, now)), attempt: Some(attempt), ..Change::default() }, asking)
}

/// The head once it has answered again; `None` if it has done so before.
fn answering(head: &Head, received: &Received<ChargePayment>, now: Timestamp) -> Option<Change> {
    let head = head.answering(received.message.expected().drive, now, &received.trace);
    head.map(|head| Change { head: Some(head), ..Change::default() })
}
