//! The metrics of payments, and which of them a committed change moves.

use shared::{
    dimension,
    metrics::{self, Measurement, Metric, MetricBy},
    money::Currency,
};

use crate::{
    domain::{IntentState, PaymentIntent},
    store::IntentImage,
};

const SERVICE: &str = "payments";

pub const REVENUE: MetricBy<Currency> = MetricBy::money(
    SERVICE,
    "Revenue",
    "Money captured for orders, without duplicate captures and before refunds",
);

pub const REFUNDED_AMOUNT: MetricBy<Currency> = MetricBy::money(
    SERVICE,
    "RefundedAmount",
    "Money refunded to buyers, without refunds of duplicate captures. A refund that fails later is not subtracted",
);

pub const PAYMENT_OUTCOMES: MetricBy<PaymentOutcome> = MetricBy::count(
    SERVICE,
    "PaymentOutcomes",
    "Payment attempts that settled. An attempt whose capture is reported late counts again",
);

pub const REFUNDS: MetricBy<RefundOutcome> = MetricBy::count(
    SERVICE,
    "Refunds",
    "Refunds that settled. A duplicate capture whose refund failed counts once, when its automatic refunds stop",
);

pub const OLDEST_UNSETTLED_PAYMENT_SECONDS: Metric = Metric::seconds(
    SERVICE,
    "OldestUnsettledPaymentSeconds",
    "Age of the oldest payment attempt or refund without an outcome, among the records that a run of `reconcile-payments` checked, except those that wait for their buyer; 0 if no such record was due",
);

pub const NEEDS_REVIEW: Metric = Metric::count(
    SERVICE,
    "NeedsReview",
    "Results that need a review: a failed refund, or a contradiction to the provider's record",
);

pub const RETRIES_EXHAUSTED: Metric = Metric::count(
    SERVICE,
    "RetriesExhausted",
    "Checks of an attempt or refund that is unsettled after five checks",
);

pub const DUPLICATE_CAPTURE: Metric = Metric::count(
    SERVICE,
    "DuplicateCapture",
    "Orders that were paid twice; the duplicate capture is refunded",
);

pub const PROVIDER_REQUEST_REJECTED: Metric = Metric::count(
    SERVICE,
    "ProviderRequestRejected",
    "Requests or credentials that the provider rejected as invalid",
);

pub const CIRCUIT_BREAKER_OPENED: Metric = Metric::count(
    SERVICE,
    "CircuitBreakerOpened",
    "Times that the circuit breaker opened and paused provider calls",
);

pub const PAYMENT_DISPUTED: Metric =
    Metric::count(SERVICE, "PaymentDisputed", "Changes of the state of a dispute");

pub const WEBHOOK_IGNORED: Metric = Metric::count(
    SERVICE,
    "WebhookIgnored",
    "Signed webhook events with an unknown format, or about an unrelated object",
);

pub const SWEEP_FAILED: Metric = metrics::SWEEP_FAILED.of(SERVICE);

/// Every metric of the service.
pub const METRICS: &[Metric] = &[
    REVENUE.metric,
    REFUNDED_AMOUNT.metric,
    PAYMENT_OUTCOMES.metric,
    REFUNDS.metric,
    OLDEST_UNSETTLED_PAYMENT_SECONDS,
    NEEDS_REVIEW,
    RETRIES_EXHAUSTED,
    DUPLICATE_CAPTURE,
    PROVIDER_REQUEST_REJECTED,
    CIRCUIT_BREAKER_OPENED,
    PAYMENT_DISPUTED,
    WEBHOOK_IGNORED,
    SWEEP_FAILED,
    metrics::POISON_MESSAGE.of(SERVICE),
    metrics::MESSAGE_DELAYED.of(SERVICE),
    metrics::UNPUBLISHABLE_CHANGE.of(SERVICE),
    metrics::SERVER_ERRORS.of(SERVICE),
];

dimension!(
    /// How a payment attempt settled.
    PaymentOutcome as "outcome" {
        Captured = "captured",
        /// Captured although the order was already paid.
        DuplicateCapture = "duplicate_capture",
        /// Declined by the provider.
        Declined = "declined",
        /// Not charged, because it was not sent, was voided, or its buyer did not act.
        Abandoned = "abandoned",
        /// The provider charged another amount or order, and the order was cancelled since.
        Mismatch = "mismatch",
    }
);

dimension!(
    RefundOutcome as "outcome" {
        Completed = "completed",
        Failed = "failed",
        /// Failed after it was completed: the provider holds the amount again.
        Reversed = "reversed",
    }
);

/// Returns the measurements of a change from `old` to `new`. `old` is `None` for a new intent.
pub fn measurements(old: Option<&IntentImage>, new: &IntentImage) -> Vec<Measurement> {
    let Some(IntentImage(old)) = old else { return Vec::new() };
    let new = &new.0;
    let captured = new.captured_total - old.captured_total;
    let refunded = new.refunded_total - old.refunded_total;
    let money = [(REVENUE, captured), (REFUNDED_AMOUNT, refunded)];
    money
        .into_iter()
        .filter(|(_, amount)| *amount > 0)
        .map(|(metric, amount)| metric.amount(new.currency, amount))
        .chain(payment_outcome(old, new).map(|outcome| PAYMENT_OUTCOMES.once(outcome)))
        .chain(refund_outcome(old, new).map(|outcome| REFUNDS.once(outcome)))
        .collect()
}

/// The outcome of the attempt that settled with the change, if any.
fn payment_outcome(old: &PaymentIntent, new: &PaymentIntent) -> Option<PaymentOutcome> {
    if new.captured_total > old.captured_total {
        return Some(PaymentOutcome::Captured);
    }
    if new.duplicate_captured_total > old.duplicate_captured_total {
        return Some(PaymentOutcome::DuplicateCapture);
    }
    let has_ended = old.active_attempt.is_some() && new.active_attempt.is_none();
    (has_ended && new.state != IntentState::Captured).then(|| match new.failure_reason.as_deref() {
        Some(MISMATCH) => PaymentOutcome::Mismatch,
        Some(reason) if !ABANDONED.contains(&reason) => PaymentOutcome::Declined,
        _ => PaymentOutcome::Abandoned,
    })
}

/// The outcome of the refund that settled with the change, if any.
fn refund_outcome(old: &PaymentIntent, new: &PaymentIntent) -> Option<RefundOutcome> {
    let has_grown = |total: fn(&PaymentIntent) -> i64| total(new) > total(old);
    if has_grown(|intent| intent.refunded_total + intent.duplicate_refunded_total) {
        Some(RefundOutcome::Completed)
    } else if has_grown(|intent| {
        intent.refunds_reversed_total + intent.duplicate_refunds_reversed_total
    }) {
        Some(RefundOutcome::Reversed)
    } else if new.failed_refunds > old.failed_refunds
        || new.duplicate_refunds_refused.len() > old.duplicate_refunds_refused.len()
    {
        Some(RefundOutcome::Failed)
    } else {
        None
    }
}

/// Failure reason of an attempt whose charge contradicts it.
const MISMATCH: &str = "provider_mismatch";

/// Failure reasons of attempts that were abandoned. All other reasons are declines.
const ABANDONED: [&str; 5] =
    ["order_closed", "not_sent", "never_charged", "action_not_taken", "cancelled"];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use provider::ProviderResult;

    use super::*;
    use crate::domain::{
        AttemptState, apply_provider_result,
        model::{MINUTE, NOW, attempt, intent, results},
    };

    fn moved(old: &PaymentIntent, new: &PaymentIntent) -> Vec<(&'static str, &'static str)> {
        measurements(Some(&IntentImage(old.clone())), &IntentImage(new.clone()))
            .into_iter()
            .filter_map(|measurement| Some((measurement.metric.name, measurement.of?)))
            .collect()
    }

    #[test]
    fn outcome_of_each_result_is_the_state_of_its_attempt() {
        let abandoned = ["order_closed", "action_not_taken", "cancelled"]
            .map(|reason| ProviderResult::Abandoned { reason });
        let more = [ProviderResult::NeverCreated].into_iter().chain(abandoned);
        let sent = attempt(1).sending("me", NOW, Duration::from_secs(60));
        let before = intent().processing_with(&sent, NOW);
        let mut settled = 0;
        for result in results().into_iter().chain(more) {
            let change = apply_provider_result(&before, &sent, &result, NOW, MINUTE);
            let after = change.intent.unwrap_or_else(|| before.clone());
            let state = change.attempt.expect("each result changes the attempt").state;
            let expected = match state {
                AttemptState::Succeeded => {
                    vec![("Revenue", "USD"), ("PaymentOutcomes", "captured")]
                }
                AttemptState::Declined => vec![("PaymentOutcomes", "declined")],
                AttemptState::Abandoned => vec![("PaymentOutcomes", "abandoned")],
                _ => Vec::new(),
            };
            settled += expected.len();
            assert_eq!(moved(&before, &after), expected, "{result:?}");
            assert_eq!(moved(&after, &after), [], "a write without a change");
        }
        assert!(settled > 8);
    }

    #[test]
    fn each_total_that_grows_moves_its_metrics() {
        let paid = PaymentIntent { captured_total: 5998, ..intent() };
        for (change, expected) in [
            (
                PaymentIntent { refunded_total: 1000, ..paid.clone() },
                vec![("RefundedAmount", "USD"), ("Refunds", "completed")],
            ),
            (
                PaymentIntent { duplicate_refunded_total: 5998, ..paid.clone() },
                vec![("Refunds", "completed")],
            ),
            (
                PaymentIntent { refunds_reversed_total: 1000, failed_refunds: 1, ..paid.clone() },
                vec![("Refunds", "reversed")],
            ),
            (PaymentIntent { failed_refunds: 1, ..paid.clone() }, vec![("Refunds", "failed")]),
            (
                PaymentIntent { duplicate_captured_total: 5998, ..paid.clone() },
                vec![("PaymentOutcomes", "duplicate_capture")],
            ),
        ] {
            assert_eq!(moved(&paid, &change), expected);
        }
        assert_eq!(measurements(None, &IntentImage(paid)), [], "a new intent has no attempt");
    }
}
