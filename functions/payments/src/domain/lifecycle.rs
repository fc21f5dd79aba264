//! How the head of an order changes together with its attempt: one begins, or the order gives up.

use std::time::Duration;

use shared::{clock::Timestamp, telemetry::Trace};

use super::{Attempt, AttemptState, Change, Head, HeadFact, HeadState, head::ORDER_CLOSED};

impl Head {
    /// The head once `attempt` has begun. Ask [`Head::may_start`] first.
    #[must_use]
    pub fn busy_with(&self, attempt: &Attempt, now: Timestamp) -> Self {
        let id = attempt.payment_id;
        Self {
            state: HeadState::Busy,
            active_attempt: Some(id),
            latest_attempt: Some(id),
            attempts_left: self.attempts_left.saturating_sub(1),
            last_fact: HeadFact::Started,
            failure_reason: None,
            traceparent: attempt.traceparent.clone(),
            ..self.written(now)
        }
    }

    /// The fence: from here on no attempt starts. `active` is the attempt that is alive, where there is one.
    ///
    /// An attempt that was not sent yet is abandoned in the same write, which its sender runs into; one that was sent decides by its outcome,
    /// and is to be called back; one that a person has to look at holds nothing up. A head that is decided already answers again.
    pub fn fence(&self, active: Option<&Attempt>, drive: u64, now: Timestamp, nudge: Duration, trace: &Trace) -> Change {
        let closed = |state, last_fact| {
            let head = Self { state, last_fact, traceparent: trace.clone(), ..self.written(now) };
            Some(head.having_answered(drive))
        };
        let answering = |head: Self| Some(Self { traceparent: trace.clone(), ..head }.having_answered(drive));
        match (&self.state, active) {
            (HeadState::Open, _) => Change { head: closed(HeadState::Closed, HeadFact::Closed), ..Change::default() },
            (HeadState::Busy, Some(attempt)) if attempt.state == AttemptState::New => Change {
                head: closed(HeadState::Closed, HeadFact::Closed).map(|head| Self { active_attempt: None, ..head }),
                attempt: Some(attempt.abandoned(ORDER_CLOSED, now)),
                ..Change::default()
            },
            (HeadState::Busy | HeadState::Closing, Some(attempt)) if attempt.state == AttemptState::NeedsReview => {
                Change { head: answering(self.closed_with(attempt, now)), ..Change::default() }
            }
            (HeadState::Busy, active) => Change {
                head: closed(HeadState::Closing, self.last_fact.clone()),
                attempt: active.filter(|attempt| attempt.is_alive()).map(|attempt| attempt.given_up(now, nudge)),
                ..Change::default()
            },
            _ => Change { head: self.answering(drive, now, trace), ..Change::default() },
        }
    }

    /// The head once it is closed although its attempt did not come to an end that the books could hold.
    pub(super) fn closed_with(&self, attempt: &Attempt, now: Timestamp) -> Self {
        Self {
            state: HeadState::Closed,
            active_attempt: None,
            last_fact: HeadFact::Closed,
            failure_reason: attempt.failure_reason.clone(),
            ..self.written(now)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::{MINUTE, NOW, attempt, head, trace};

    #[test]
    fn the_fence_closes_an_open_head_and_one_whose_attempt_was_not_sent() {
        let open = head();
        let closed = open.fence(None, 7, NOW, MINUTE, &trace()).head.expect("a change");
        assert_eq!((closed.state, closed.answered_drive, closed.version), (HeadState::Closed, 7, 2));

        let new = attempt(1);
        let change = open.busy_with(&new, NOW).fence(Some(&new), 7, NOW, MINUTE, &trace());
        assert_eq!(change.head.expect("a change").state, HeadState::Closed);
        let abandoned = change.attempt.expect("the attempt is abandoned in the same write");
        assert_eq!((abandoned.state, abandoned.dispatch.check_at), (AttemptState::Abandoned, None));
    }

    #[test]
    fn the_fence_waits_for_an_attempt_that_was_sent_and_answers_again_where_all_is_decided() {
        let sent = attempt(1).sending("me", NOW, MINUTE);
        let busy = head().busy_with(&sent, NOW);
        let change = busy.fence(Some(&sent), 7, NOW, MINUTE, &trace());
        let counted = change.attempt.expect("a send that was decided before is refused");
        assert_eq!(counted, Attempt { version: sent.version + 1, ..sent.clone() });
        let closing = change.head.expect("a change");
        assert_eq!((&closing.state, closing.fact()), (&HeadState::Closing, HeadFact::Started));
        assert!(closing.fence(Some(&sent), 7, NOW, MINUTE, &trace()).is_empty(), "answered before");
        assert_eq!(closing.fence(Some(&sent), 8, NOW, MINUTE, &trace()).head.expect("again").state, HeadState::Closing);
    }
}
