//! Changes the payment intent together with its attempt: starts an attempt or closes the payment.

use std::time::Duration;

use shared::{clock::Timestamp, telemetry::Trace};

use super::{
    Attempt, AttemptState, Change, IntentEvent, IntentState, PaymentIntent, intent::ORDER_CLOSED,
};

impl PaymentIntent {
    /// The intent after `attempt` has started. Callers check [`PaymentIntent::may_start`] first.
    #[must_use]
    pub fn processing_with(&self, attempt: &Attempt, now: Timestamp) -> Self {
        let id = attempt.payment_id;
        Self {
            state: IntentState::Processing,
            active_attempt: Some(id),
            latest_attempt: Some(id),
            attempts_left: self.attempts_left.saturating_sub(1),
            last_event: IntentEvent::Started,
            failure_reason: None,
            traceparent: attempt.traceparent.clone(),
            ..self.written(now)
        }
    }

    /// Closes the payment: from now on no attempt starts. `active` is the attempt in flight.
    ///
    /// A delayed attempt is abandoned in the same transaction, so that a function about to send it
    /// fails with a version conflict. The outcome of a sent attempt decides, and it is voided or
    /// cancelled where possible. An attempt that needs a review does not delay closing. A settled
    /// intent publishes its state again.
    pub fn close(
        &self,
        active: Option<&Attempt>,
        command_attempt: u64,
        now: Timestamp,
        first_retry: Duration,
        trace: &Trace,
    ) -> Change {
        let closed = |state, last_event| {
            let intent =
                Self { state, last_event, traceparent: trace.clone(), ..self.written(now) };
            Some(intent.with_answered_attempt(command_attempt))
        };
        let answering = |intent: Self| {
            Some(
                Self { traceparent: trace.clone(), ..intent }
                    .with_answered_attempt(command_attempt),
            )
        };
        match (&self.state, active) {
            (IntentState::Open, _) => Change {
                intent: closed(IntentState::Closed, IntentEvent::Closed),
                ..Change::default()
            },
            (IntentState::Processing, Some(attempt)) if attempt.state == AttemptState::New => {
                Change {
                    intent: closed(IntentState::Closed, IntentEvent::Closed)
                        .map(|intent| Self { active_attempt: None, ..intent }),
                    attempt: Some(attempt.abandoned(ORDER_CLOSED, now)),
                    ..Change::default()
                }
            }
            (IntentState::Processing | IntentState::Closing, Some(attempt))
                if attempt.state == AttemptState::NeedsReview =>
            {
                Change { intent: answering(self.closed_with(attempt, now)), ..Change::default() }
            }
            (IntentState::Processing, active) => Change {
                intent: closed(IntentState::Closing, self.last_event.clone()),
                attempt: active
                    .filter(|attempt| attempt.is_in_flight())
                    .map(|attempt| attempt.unwanted(now, first_retry)),
                ..Change::default()
            },
            _ => {
                Change { intent: self.answering(command_attempt, now, trace), ..Change::default() }
            }
        }
    }

    /// The intent when it closes although its attempt settled without a result that the totals
    /// could count.
    pub(super) fn closed_with(&self, attempt: &Attempt, now: Timestamp) -> Self {
        Self {
            state: IntentState::Closed,
            active_attempt: None,
            last_event: IntentEvent::Closed,
            failure_reason: attempt.failure_reason.clone(),
            ..self.written(now)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::{MINUTE, NOW, attempt, intent, trace};

    #[test]
    fn close_ends_open_intents_and_unsent_attempts() {
        let open = intent();
        let closed = open.close(None, 7, NOW, MINUTE, &trace()).intent.expect("a change");
        assert_eq!(
            (closed.state, closed.answered_attempt, closed.version),
            (IntentState::Closed, 7, 2)
        );

        let new = attempt(1);
        let change = open.processing_with(&new, NOW).close(Some(&new), 7, NOW, MINUTE, &trace());
        assert_eq!(change.intent.expect("a change").state, IntentState::Closed);
        let abandoned = change.attempt.expect("the attempt is abandoned in the same transaction");
        assert_eq!(
            (abandoned.state, abandoned.dispatch.next_check_at),
            (AttemptState::Abandoned, None)
        );
    }

    #[test]
    fn close_waits_for_sent_attempts_and_answers_repeats() {
        let sent = attempt(1).sending("me", NOW, MINUTE);
        let processing = intent().processing_with(&sent, NOW);
        let change = processing.close(Some(&sent), 7, NOW, MINUTE, &trace());
        let counted = change.attempt.expect("a new version makes a concurrent send fail");
        assert_eq!(counted, Attempt { version: sent.version + 1, ..sent.clone() });
        let closing = change.intent.expect("a change");
        assert_eq!(
            (&closing.state, closing.event()),
            (&IntentState::Closing, IntentEvent::Started)
        );
        assert!(
            closing.close(Some(&sent), 7, NOW, MINUTE, &trace()).is_empty(),
            "the command was answered before"
        );
        assert_eq!(
            closing.close(Some(&sent), 8, NOW, MINUTE, &trace()).intent.expect("a change").state,
            IntentState::Closing
        );
    }

    #[test]
    fn close_schedules_the_check_that_the_order_no_longer_causes() {
        let sent = attempt(1).sent_at_once("me", NOW, MINUTE).checked_by_its_order();
        assert_eq!((sent.version, sent.dispatch.next_check_at), (1, None));
        let processing = intent().processing_with(&sent, NOW);
        for (time, check_at) in [(NOW, NOW.plus(MINUTE)), (NOW.plus(MINUTE), NOW.plus(2 * MINUTE))]
        {
            let change = processing.close(Some(&sent), 7, time, MINUTE, &trace());
            let unwanted = change.attempt.expect("the attempt changes");
            assert_eq!(unwanted.dispatch.next_check_at, Some(check_at));
            assert_eq!((unwanted.state, unwanted.version), (AttemptState::Sent, 2));
        }
    }
}
