//! Which attempts may be sent, and the records of one whose charge is voided or looked up because
//! its order no longer wants it.

use std::time::Duration;

use shared::clock::Timestamp;

use crate::domain::{Attempt, AttemptState, IntentState, KEY_REUSE_AGE, PaymentIntent};

/// The provider's list is read twice, so far apart, before a charge counts as never made.
const RELIST_DELAY: Duration = Duration::from_secs(600);

impl Attempt {
    /// Whether its charge may be sent, for the first time or again: the order wants it, and the key
    /// is young enough to be repeated. Every path that sends a charge checks this first.
    pub fn may_be_sent(&self, intent: &PaymentIntent, now: Timestamp) -> bool {
        matches!(self.state, AttemptState::New | AttemptState::Sent | AttemptState::OutcomeUnknown)
            && intent.allows_charge(self.payment_id, now)
            && self.dispatch.key_age(now) < KEY_REUSE_AGE
    }

    /// Whether it may still charge, and the order does not want that: it is closing, closed, paid
    /// otherwise, or expired.
    pub fn is_unwanted(&self, intent: &PaymentIntent, now: Timestamp) -> bool {
        let readable = !matches!(intent.state, IntentState::Unknown(_));
        self.is_in_flight()
            && readable
            && (self.state == AttemptState::Voiding || !intent.allows_charge(self.payment_id, now))
    }

    /// Whether only the provider's list of charges can tell its outcome: its key is too old to be
    /// used, or holds a server error.
    pub fn must_be_listed(&self, now: Timestamp) -> bool {
        self.key_failed || self.dispatch.key_age(now) >= KEY_REUSE_AGE
    }

    /// The attempt before the provider is asked to void its charge. From here on the charge is not
    /// sent any more, except to read the answer that the provider has stored under its key.
    #[must_use]
    pub fn voiding(&self, now: Timestamp, first_retry: Duration) -> Self {
        let unwanted = self.unwanted(now, first_retry);
        Self { state: AttemptState::Voiding, dispatch: unwanted.dispatch.released(now), ..unwanted }
    }

    /// The attempt that is checked again at a fixed time.
    #[must_use]
    pub fn checked_again_after(&self, wait: Duration, now: Timestamp) -> Self {
        Self { dispatch: self.dispatch.checked_after(wait, now), ..self.written(now) }
    }

    /// The attempt whose key holds a server error.
    #[must_use]
    pub fn with_failed_key(&self, now: Timestamp, first_retry: Duration) -> Self {
        Self { key_failed: true, ..self.checked_again_after(first_retry, now) }
    }

    /// The attempt that the provider's list does not contain. It is listed a second time, because
    /// the list may lag.
    #[must_use]
    pub fn missing(&self, now: Timestamp) -> Self {
        let dispatch = self.dispatch.released(now).checked_after(RELIST_DELAY, now);
        Self { missing_since: self.missing_since.or(Some(now)), dispatch, ..self.written(now) }
    }

    /// Whether the provider's list, read now, is the second one without it.
    pub fn is_missing_twice(&self, now: Timestamp) -> bool {
        self.missing_since.is_some_and(|since| now.since(since) >= RELIST_DELAY)
    }
}
