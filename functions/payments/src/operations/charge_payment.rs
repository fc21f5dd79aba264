//! Queue `charge-payment`: opens the payment of an order and charges its payment method at once.

use std::{sync::Arc, time::Duration};

use provider::{PaymentId, ProviderResult};
use shared::{clock::Timestamp, queue::Received};

use crate::{
    MAX_WRITE_ATTEMPTS, Payments,
    circuit_breaker::{CallTime, Permit, ProviderCall},
    domain::{Attempt, Breaker, Change, NewAttempt, PaymentIntent, apply_provider_result},
    error::PaymentError,
    messages::ChargePayment,
    store::WriteOutcome,
};

/// Makes the one automatic attempt. A repeated message finds that attempt: it sends a delayed one,
/// hands an interrupted one to `reconcile-payments`, and otherwise publishes the payment's state
/// again.
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
    let mut sending: Option<(ProviderCall, CallTime)> = None;

    for _ in 0..MAX_WRITE_ATTEMPTS {
        let records = payments.store.intent_and_attempt(payment_id).await?;
        let now = payments.clock.now();
        // The attempt was recorded, but the response of that write was lost.
        if let (Some(intent), Some(attempt), Some((call, time))) =
            (&records.intent, &records.attempt, &sending)
            && attempt.is_sent_by(&lock_owner)
        {
            payments.charge(call, *time, intent.clone(), attempt.clone(), true).await?;
            return Ok(());
        }
        sending = None;
        let change = match (records.intent, records.attempt) {
            (Some(intent), Some(attempt)) if attempt.is_delayed() => {
                match payments.try_acquire(records.breaker, received.deadline).await {
                    Permit::Granted(call) => {
                        return payments.send(&call, intent, attempt).await.map(|_| ());
                    }
                    // `reconcile-payments` sends it.
                    Permit::Denied { .. } => answering(&intent, &received, now),
                }
            }
            (Some(intent), Some(attempt)) if attempt.was_interrupted(now) => {
                // Due at once, so that the next run of `reconcile-payments` asks the provider.
                let unknown = ProviderResult::OutcomeUnknown;
                Some(apply_provider_result(&intent, &attempt, &unknown, now, Duration::ZERO))
            }
            (Some(intent), None)
                if intent.may_start(now).is_ok()
                    && intent.check_amount(Some(expected.amount)).is_ok() =>
            {
                let (change, started) =
                    begin(&payments, &received, &intent, &lock_owner, records.breaker).await;
                sending = started;
                Some(change)
            }
            (Some(intent), _) => answering(&intent, &received, now),
            (None, Some(_)) => continue, // The intent was read just before it was written.
            (None, None) => {
                let intent = PaymentIntent::opened(&expected, now, &received.trace);
                if intent.may_start(now).is_ok() {
                    let (Change { intent, attempt, .. }, started) =
                        begin(&payments, &received, &intent, &lock_owner, records.breaker).await;
                    sending = started;
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
            if let (Some(intent), Some(attempt), Some((call, time))) =
                (change.intent, change.attempt, sending)
            {
                payments.charge(&call, time, intent, attempt, true).await?;
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
) -> (Change, Option<(ProviderCall, CallTime)>) {
    let now = payments.clock.now();
    let new = NewAttempt {
        payment_id: PaymentId::automatic(intent.order_id),
        payment_method: received.message.payment_method.clone(),
        provider: payments.provider.name(),
        livemode: payments.provider.is_live(),
        return_url: payments.provider.return_url(),
        request: None,
        trace: &received.trace,
    };
    let attempt = Attempt::new(intent, new, now);
    let (attempt, sending) = match payments.try_acquire(breaker, received.deadline).await {
        Permit::Granted(call) => {
            let time = call.call_time();
            let sent = attempt.sent_at_once(lock_owner, payments.clock.now(), time.lock);
            (sent.checked_by_its_order(), Some((call, time)))
        }
        Permit::Denied { until } => (attempt.delayed(until, now), None),
    };
    (
        Change {
            intent: Some(intent.processing_with(&attempt, now)),
            attempt: Some(attempt),
            ..Change::default()
        },
        sending,
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
