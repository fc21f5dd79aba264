//! The records that a decision writes.

use super::{Attempt, PaymentIntent, Refund};

/// Records to write in one transaction. Each write requires that the stored record still has the
/// previous version.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    pub intent: Option<PaymentIntent>,
    pub attempt: Option<Attempt>,
    /// A refund that changes or starts.
    pub refund: Option<Refund>,
    /// The automatic refund that replaces a failed one.
    pub next_refund: Option<Refund>,
    /// Whether an operator must review the case.
    pub needs_review: bool,
}

impl Change {
    pub fn is_empty(&self) -> bool {
        self.intent.is_none()
            && self.attempt.is_none()
            && self.refund.is_none()
            && self.next_refund.is_none()
    }
}
