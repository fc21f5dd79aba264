//! Decides which attempts may be sent, and voids or looks up those whose order no longer wants
//! them.

use std::time::Duration;

use shared::clock::Timestamp;

use crate::domain::{Attempt, AttemptState, IntentState, KEY_REUSE_AGE, PaymentIntent};

/// Minimum delay between the two readings of the provider's list before a charge counts as never
/// created.
const RELIST_DELAY: Duration = Duration::from_secs(600);

impl Attempt {
    /// Whether the charge may be sent, for the first time or again: the order wants it, and the
    /// provider still knows the idempotency key. Every path that sends a charge checks this first.
    pub fn may_be_sent(&self, intent: &PaymentIntent, now: Timestamp) -> bool {
        matches!(self.state, AttemptState::New | AttemptState::Sent | AttemptState::OutcomeUnknown)
            && intent.allows_charge(self.payment_id, now)
            && self.dispatch.key_age(now) < KEY_REUSE_AGE
    }

    /// Whether the attempt may still charge although its order does not want it: the order is
    /// closing, closed, paid by another attempt or past its deadline.
    pub fn is_unwanted(&self, intent: &PaymentIntent, now: Timestamp) -> bool {
        let readable = !matches!(intent.state, IntentState::Unknown(_));
        self.is_in_flight()
            && readable
            && (self.state == AttemptState::Voiding || !intent.allows_charge(self.payment_id, now))
    }

    /// Whether only the provider's list of charges can reveal the outcome: the key is too old to be
    /// used, or a server error is stored under it.
    pub fn must_be_listed(&self, now: Timestamp) -> bool {
        self.key_failed || self.dispatch.key_age(now) >= KEY_REUSE_AGE
    }

    /// The attempt before the provider is asked to void its charge. From now on the charge is sent
    /// only to read the answer that the provider has stored under its key.
    #[must_use]
    pub fn voiding(&self, now: Timestamp, first_retry: Duration) -> Self {
        let unwanted = self.unwanted(now, first_retry);
        Self { state: AttemptState::Voiding, dispatch: unwanted.dispatch.released(now), ..unwanted }
    }

    /// The attempt with its next check after a fixed delay.
    #[must_use]
    pub fn checked_again_after(&self, wait: Duration, now: Timestamp) -> Self {
        Self { dispatch: self.dispatch.checked_after(wait, now), ..self.written(now) }
    }

    /// The attempt when a server error is stored under its key.
    #[must_use]
    pub fn with_failed_key(&self, now: Timestamp, first_retry: Duration) -> Self {
        Self { key_failed: true, ..self.checked_again_after(first_retry, now) }
    }

    /// The attempt when the provider's list does not contain its charge. The list is read a second
    /// time, because it may lag.
    #[must_use]
    pub fn missing(&self, now: Timestamp) -> Self {
        let dispatch = self.dispatch.released(now).checked_after(RELIST_DELAY, now);
        Self { missing_since: self.missing_since.or(Some(now)), dispatch, ..self.written(now) }
    }

    /// Whether a list read now is the second one that does not contain the charge.
    pub fn is_missing_twice(&self, now: Timestamp) -> bool {
        self.missing_since.is_some_and(|since| now.since(since) >= RELIST_DELAY)
    }
}
