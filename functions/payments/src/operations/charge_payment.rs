//! Queue `charge-payment`: opens the payment of an order and charges its payment method at once.

use std::sync::Arc;

use provider::PaymentId;
use shared::{clock::Timestamp, queue::Received};

use crate::{
    MAX_WRITE_ATTEMPTS, Payments,
    circuit_breaker::{Permit, ProviderCall},
    domain::{Attempt, Breaker, Change, NewAttempt, PaymentIntent, UNSENT_TIMEOUT},
    error::PaymentError,
    messages::ChargePayment,
    store::WriteOutcome,
};

/// Makes the one automatic attempt. A repeated message finds that attempt: it sends the attempt if
/// no function has, and otherwise publishes the payment's state again.
///
/// The queue is not used as a retry timer. The message is acknowledged even if the outcome is
/// unknown, or if the attempt is delayed because the provider does not answer.
/// `reconcile-payments` continues both.
pub async fn charge_payment(
    payments: Arc<Payments>,
    received: Received<ChargePayment>,
) -> Result<(), PaymentError> {
    let expected = received.message.expected();
    let payment_id = PaymentId::automatic(expected.order_id);
    let lock_owner = payments.lock_owner();

    for _ in 0..MAX_WRITE_ATTEMPTS {
        let records = payments.store.intent_and_attempt(payment_id).await?;
        let now = payments.clock.now();
        let mut permit = None;
        let change = match (records.intent, records.attempt) {
            (Some(intent), Some(attempt))
                if attempt.can_be_taken_over(now) || attempt.is_unsent_by(&lock_owner) =>
            {
                match payments.try_acquire(records.breaker, received.deadline).await {
                    Permit::Granted(call) => {
                        return payments.send(&call, intent, attempt).await.map(|_| ());
                    }
                    // `reconcile-payments` sends it.
                    Permit::Denied { .. } => answering(&intent, &received, now),
                }
            }
            (_, Some(attempt)) if attempt.is_about_to_be_sent(now) => {
                return Err(PaymentError::SendInProgress);
            }
            (Some(intent), None)
                if intent.may_start(now).is_ok()
                    && intent.check_amount(Some(expected.amount)).is_ok() =>
            {
                let (change, call) =
                    begin(&payments, &received, &intent, &lock_owner, records.breaker).await;
                permit = call;
                Some(change)
            }
            (Some(intent), _) => answering(&intent, &received, now),
            (None, Some(_)) => continue, // The intent was read just before it was written.
            (None, None) => {
                let intent = PaymentIntent::opened(&expected, now, &received.trace);
                if intent.may_start(now).is_ok() {
                    let (Change { intent, attempt, .. }, call) =
                        begin(&payments, &received, &intent, &lock_owner, records.breaker).await;
                    permit = call;
                    // The intent is new, so its first write already has the state `processing`.
                    Some(Change {
                        intent: intent.map(|intent| PaymentIntent { version: 1, ..intent }),
                        attempt,
                        ..Change::default()
                    })
                } else {
                    let intent =
                        PaymentIntent::unpayable(&expected, "expired", now, &received.trace);
                    Some(Change { intent: Some(intent), ..Change::default() })
                }
            }
        };
        let Some(change) = change else { return Ok(()) };
        if payments.store.write(&change, None).await? == WriteOutcome::Written {
            if let (Some(intent), Some(attempt), Some(call)) =
                (change.intent, change.attempt, permit)
            {
                payments.send(&call, intent, attempt).await?;
            }
            return Ok(());
        }
    }
    Err(PaymentError::Contention)
}

/// Creates the attempt and the processing intent. Without a permit the attempt is recorded as
/// delayed.
async fn begin(
    payments: &Payments,
    received: &Received<ChargePayment>,
    intent: &PaymentIntent,
    lock_owner: &str,
    breaker: Option<Breaker>,
) -> (Change, Option<ProviderCall>) {
    let now = payments.clock.now();
    let new = NewAttempt {
        payment_id: PaymentId::automatic(intent.order_id),
        payment_method: received.message.payment_method.clone(),
        provider: payments.provider.name(),
        livemode: payments.provider.is_live(),
        lock_owner,
        return_url: payments.provider.return_url(),
        abandoned_after: UNSENT_TIMEOUT,
        request: None,
        trace: &received.trace,
    };
    let attempt = Attempt::new(intent, new, now);
    let (attempt, call) = match payments.try_acquire(breaker, received.deadline).await {
        Permit::Granted(call) => (attempt, Some(call)),
        Permit::Denied { until } => (attempt.delayed(until, now), None),
    };
    (
        Change {
            intent: Some(intent.processing_with(&attempt, now)),
            attempt: Some(attempt),
            ..Change::default()
        },
        call,
    )
}

/// Publishes the intent's state again; `None` if this command was answered before.
fn answering(
    intent: &PaymentIntent,
    received: &Received<ChargePayment>,
    now: Timestamp,
) -> Option<Change> {
    let intent =
        intent.answering(received.message.expected().command_attempt, now, &received.trace);
    intent.map(|intent| Change { intent: Some(intent), ..Change::default() })
}
