//! What a rule decides: the records to write.

use super::{Attempt, PaymentIntent, Refund};

/// What follows from a fact or command: the records to be written, all or none, each only if it
/// still stands in the version before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// The intent, if it changes.
    pub intent: Option<PaymentIntent>,
    /// The attempt, if it changes.
    pub attempt: Option<Attempt>,
    /// The refund, if one changes or begins.
    pub refund: Option<Refund>,
    /// The refund that takes the place of one that failed.
    pub next_refund: Option<Refund>,
    /// Whether a person has to look.
    pub needs_review: bool,
}

impl Change {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.intent.is_none()
            && self.attempt.is_none()
            && self.refund.is_none()
            && self.next_refund.is_none()
    }
}
