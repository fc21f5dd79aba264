//! Sending an attempt, and recording what becomes of it: the steps 2 to 4 of a charge.

use crate::{
    Payments, TRIES,
    asking::Asking,
    domain::{Attempt, Change, Fact, Head, apply_provider_fact},
    error::PaymentError,
    provider::{ChargeOrder, ProviderError},
    store::{Standing, Stored},
};

impl Payments {
    /// Sends an attempt, unless somebody else has touched it since it was read; answers the attempt as it stands then.
    pub(crate) async fn send(&self, asking: &Asking, head: Head, attempt: Attempt) -> Result<Attempt, PaymentError> {
        let sending = attempt.sending(&self.lock_owner(), self.clock.now(), self.nudge);
        let change = Change { attempt: Some(sending.clone()), ..Change::default() };
        if let Stored::Refused(standing) = self.store.write(&change, None).await? {
            let stands = standing.attempt.unwrap_or(attempt);
            // Is it mine? Then the answer to an earlier try of this very write was lost.
            if stands != sending {
                return Ok(stands);
            }
        }
        let fact = self.charge(asking, &sending).await;
        self.settle(head, sending, &fact).await
    }

    /// Records a fact about an attempt; answers the attempt as it stands then.
    pub(crate) async fn settle(&self, head: Head, attempt: Attempt, fact: &Fact) -> Result<Attempt, PaymentError> {
        let (mut head, mut attempt) = (head, attempt);
        for _ in 0..TRIES {
            let change = apply_provider_fact(&head, &attempt, fact, self.clock.now(), self.nudge);
            if change.is_empty() {
                self.review(change.needs_review, &attempt);
                return Ok(attempt);
            }
            match self.store.write(&change, None).await? {
                Stored::Written => {
                    let attempt = change.attempt.unwrap_or(attempt);
                    self.review(change.needs_review, &attempt);
                    if attempt.surplus {
                        tracing::error!(payment.id = %attempt.payment_id, "the order was paid twice: the second capture is given back");
                        self.count("SurplusCapture");
                    }
                    return Ok(attempt);
                }
                Stored::Refused(newer) => {
                    let standing =
                        Standing { head: Some(head.clone()), attempt: Some(attempt.clone()), ..Standing::default() }.updated(*newer);
                    (head, attempt) = (standing.head.unwrap_or(head), standing.attempt.unwrap_or(attempt));
                }
            }
        }
        Err(PaymentError::Contention)
    }

    /// Asks the provider to charge. What it does not clearly say is unknown.
    async fn charge(&self, asking: &Asking, attempt: &Attempt) -> Fact {
        let order = ChargeOrder::from(attempt);
        self.ask(asking, self.provider.charge(&order)).await.unwrap_or(Fact::OutcomeUnknown)
    }

    /// Asks the provider what became of an attempt. `None`: it knows of none. An error: it did not say.
    pub(crate) async fn look_up(&self, asking: &Asking, attempt: &Attempt) -> Result<Option<Fact>, ProviderError> {
        let order = ChargeOrder::from(attempt);
        self.ask(asking, self.provider.retrieve(&order)).await
    }

    /// Has the provider call off an attempt that waits for its customer; answers the attempt as it stands then.
    pub(crate) async fn call_off(&self, asking: &Asking, head: Head, attempt: Attempt) -> Result<Attempt, PaymentError> {
        let order = ChargeOrder::from(&attempt);
        let fact = match self.ask(asking, self.provider.cancel(&order)).await {
            Ok(Fact::Abandoned { .. }) => Fact::Abandoned { reason: attempt.why_called_off(&head) },
            Ok(fact) => fact,
            Err(_) => Fact::OutcomeUnknown,
        };
        self.settle(head, attempt, &fact).await
    }

    fn review(&self, needed: bool, attempt: &Attempt) {
        if needed {
            tracing::error!(payment.id = %attempt.payment_id, "what the provider says of this payment does not fit: somebody has to look");
            self.count("NeedsReview");
        }
    }
}
