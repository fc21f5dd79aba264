//! Queue `charge-payment`: an order can be paid, and is to be charged at once with the method given when it was placed.

use std::sync::Arc;

use shared::queue::{self, Delivery};

use crate::{
    Payments, TRIES,
    domain::{Attempt, Change, Head, NewAttempt, PaymentId},
    error::PaymentError,
    messages::ChargePayment,
    store::Stored,
};

/// The function.
pub fn main() -> Result<(), lambda_http::Error> {
    queue::run(Payments::from_env, charge_payment)
}

/// Makes the one automatic attempt. A second copy of the message finds the first one's attempt: not sent yet and left alone, it is sent
/// now; else the head answers again.
///
/// The queue is not the timer: an outcome that nobody knows is recorded and the message is done.
pub async fn charge_payment(payments: Arc<Payments>, delivery: Delivery<ChargePayment>) -> Result<(), PaymentError> {
    let expected = delivery.message.expected();
    let payment_id = PaymentId::automatic(expected.order_id);
    let lock_owner = payments.lock_owner();

    for _ in 0..TRIES {
        let standing = payments.store.head_and_attempt(payment_id).await?;
        let now = payments.clock.now();
        let change = match (standing.head, standing.attempt) {
            (Some(head), Some(attempt)) if attempt.can_be_taken_over(now) || attempt.is_new_of(&lock_owner) => {
                payments.send(head, attempt).await?;
                return Ok(());
            }
            (_, Some(attempt)) if attempt.is_about_to_be_sent(now) => return Err(PaymentError::AboutToBeSent),
            (Some(head), None) if head.may_start(now).is_ok() && head.agrees_with(Some(expected.amount)).is_ok() => {
                Some(begin(&payments, &delivery, &head, payment_id, &lock_owner))
            }
            (Some(head), _) => {
                head.answering(expected.drive, now, &delivery.trace).map(|head| Change { head: Some(head), ..Change::default() })
            }
            (None, Some(_)) => continue, // The head was read just before it was written.
            (None, None) => {
                let head = Head::opened(&expected, now, &delivery.trace);
                if head.may_start(now).is_ok() {
                    let Change { head, attempt, .. } = begin(&payments, &delivery, &head, payment_id, &lock_owner);
                    // The head's first write: as if it had been busy from the start.
                    Some(Change { head: head.map(|head| Head { version: 1, ..head }), attempt, ..Change::default() })
                } else {
                    let head = Head::never_opened(&expected, "expired", now, &delivery.trace);
                    Some(Change { head: Some(head), ..Change::default() })
                }
            }
        };
        let Some(change) = change else { return Ok(()) };
        if payments.store.write(&change, None).await? == Stored::Written {
            if let (Some(head), Some(attempt)) = (change.head, change.attempt) {
                payments.send(head, attempt).await?;
            }
            return Ok(());
        }
    }
    Err(PaymentError::Contention)
}

fn begin(payments: &Payments, delivery: &Delivery<ChargePayment>, head: &Head, payment_id: PaymentId, lock_owner: &str) -> Change {
    let now = payments.clock.now();
    let new = NewAttempt {
        payment_id,
        payment_method: delivery.message.payment_method.clone(),
        provider: payments.provider.name(),
        livemode: payments.provider.is_live(),
        lock_owner,
        request: None,
        trace: &delivery.trace,
    };
    let attempt = Attempt::new(head, new, now);
    Change { head: Some(head.busy_with(&attempt, now)), attempt: Some(attempt), ..Change::default() }
}
