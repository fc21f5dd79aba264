//! Which attempts may be sent, and the records of one whose charge is voided or looked up because its order no longer wants it.

use std::time::Duration;

use shared::clock::Timestamp;

use crate::domain::{Attempt, AttemptState, Head, HeadState, KEY_IS_SAFE};

/// The provider's list is read twice, so far apart, before a charge counts as never made.
const LISTED_AGAIN_AFTER: Duration = Duration::from_secs(600);

impl Attempt {
    /// Whether its charge may be sent, for the first time or again: the order wants it, and the key is young enough to be repeated. Every
    /// path that sends a charge checks this first.
    pub fn may_be_sent(&self, head: &Head, now: Timestamp) -> bool {
        matches!(self.state, AttemptState::New | AttemptState::Sent | AttemptState::OutcomeUnknown)
            && head.wants(self.payment_id, now)
            && self.dispatch.key_age(now) < KEY_IS_SAFE
    }

    /// Whether it may still charge, and the order does not want that: it is closing, closed, paid otherwise, or expired.
    pub fn is_unwanted(&self, head: &Head, now: Timestamp) -> bool {
        let readable = !matches!(head.state, HeadState::Unknown(_));
        self.is_alive() && readable && (self.state == AttemptState::Fencing || !head.wants(self.payment_id, now))
    }

    /// Whether only the provider's list of charges can tell its outcome: its key is too old to be used, or holds a server error.
    pub fn must_be_listed(&self, now: Timestamp) -> bool {
        self.key_failed || self.dispatch.key_age(now) >= KEY_IS_SAFE
    }

    /// The attempt before the provider is asked to void its charge. From here on the charge is not sent any more, except to read the answer
    /// that the provider has stored under its key.
    #[must_use]
    pub fn fencing(&self, now: Timestamp, nudge: Duration) -> Self {
        let given_up = self.given_up(now, nudge);
        Self { state: AttemptState::Fencing, dispatch: given_up.dispatch.released(now), ..given_up }
    }

    /// The attempt that is checked again at a fixed time.
    #[must_use]
    pub fn checked_again_after(&self, wait: Duration, now: Timestamp) -> Self {
        Self { dispatch: self.dispatch.checked_after(wait, now), ..self.written(now) }
    }

    /// The attempt whose key holds a server error.
    #[must_use]
    pub fn with_failed_key(&self, now: Timestamp, nudge: Duration) -> Self {
        Self { key_failed: true, ..self.checked_again_after(nudge, now) }
    }

    /// The attempt that the provider's list does not contain. It is listed a second time, because the list may lag.
    #[must_use]
    pub fn missing(&self, now: Timestamp) -> Self {
        let dispatch = self.dispatch.released(now).checked_after(LISTED_AGAIN_AFTER, now);
        Self { missing_since: self.missing_since.or(Some(now)), dispatch, ..self.written(now) }
    }

    /// Whether the provider's list, read now, is the second one without it.
    pub fn is_missing_twice(&self, now: Timestamp) -> bool {
        self.missing_since.is_some_and(|since| now.since(since) >= LISTED_AGAIN_AFTER)
    }
}
