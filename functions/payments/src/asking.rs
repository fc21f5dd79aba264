//! Asking the provider: only with the breaker's leave, no longer than may be, and what came of it is the breaker's to know.

use std::{future::Future, time::Duration};

use shared::clock::Timestamp;

use crate::{
    PROVIDER_BUDGET, Payments,
    domain::{Breaker, Stance},
    error::PaymentError,
    provider::ProviderError,
};

/// How often the breaker is written anew because others wrote meanwhile. It only counts: one call more or less does not matter.
const TRIES: u32 = 3;

/// Whoever asks while one call finds out whether the provider answers again comes back after so long.
const SOON: Duration = Duration::from_secs(2);

/// Whether the provider may be asked.
#[derive(Clone, Debug)]
pub(crate) enum Leave {
    /// It may.
    Ask(Asking),
    /// Not before this moment.
    Wait { until: Timestamp },
}

/// Somebody who has leave to ask.
#[derive(Clone, Debug)]
pub(crate) struct Asking {
    breaker: Breaker,
    owner: String,
}

impl Payments {
    /// Whether the provider may be asked, by what was read of its breaker. A breaker that cannot be written stops nobody.
    pub(crate) async fn leave(&self, breaker: Option<Breaker>) -> Leave {
        let now = self.clock.now();
        let breaker = breaker.unwrap_or_else(|| Breaker::unused(self.provider.name(), now));
        match breaker.stance(now) {
            Stance::Closed => Leave::Ask(Asking { breaker, owner: String::new() }),
            Stance::Open { until } => Leave::Wait { until },
            Stance::Probe => {
                let owner = self.lock_owner();
                let probed = breaker.probed_by(&owner, now);
                match self.store.write_breaker(&probed).await {
                    Ok(Ok(())) => Leave::Ask(Asking { breaker: probed, owner }),
                    // The answer to an earlier try of this very write was lost.
                    Ok(Err(Some(stands))) if stands == probed => Leave::Ask(Asking { breaker: probed, owner }),
                    Ok(Err(_)) => Leave::Wait { until: now.plus(SOON) },
                    Err(error) => {
                        shared::http::warn(&error, "the breaker cannot be written: the provider is asked all the same");
                        Leave::Ask(Asking { breaker, owner })
                    }
                }
            }
        }
    }

    /// Leave to ask, for those who wait at the door.
    pub(crate) async fn leave_at_the_door(&self, breaker: Option<Breaker>) -> Result<Asking, PaymentError> {
        match self.leave(breaker).await {
            Leave::Ask(asking) => Ok(asking),
            Leave::Wait { until } => {
                let retry_after_seconds = until.since(self.clock.now()).as_millis().div_ceil(1000);
                Err(PaymentError::ProviderUnavailable { retry_after_seconds: u64::try_from(retry_after_seconds).unwrap_or(1).max(1) })
            }
        }
    }

    /// The leave that was given before, or leave now: whoever has it does not ask for it twice.
    pub(crate) async fn still_at_the_door(&self, leave: Option<Asking>, breaker: Option<Breaker>) -> Result<Asking, PaymentError> {
        match leave {
            Some(asking) => Ok(asking),
            None => self.leave_at_the_door(breaker).await,
        }
    }

    /// Waits for the provider no longer than may be, notes what it would not say, and tells the breaker.
    pub(crate) async fn ask<T>(&self, asking: &Asking, call: impl Future<Output = Result<T, ProviderError>>) -> Result<T, ProviderError> {
        let answer = tokio::time::timeout(PROVIDER_BUDGET, call).await;
        let answer = answer.unwrap_or_else(|_| Err(ProviderError::NoAnswer("it took too long".to_owned())));
        match &answer {
            Err(ProviderError::NoAnswer(cause)) => tracing::warn!(cause, "the provider gave no answer: the outcome is unknown"),
            Err(ProviderError::Busy(cause)) => tracing::warn!(cause, "provider does not take the request now, retrying later"),
            Err(ProviderError::Refused(cause)) => {
                tracing::error!(cause, "the provider refuses our request: the outcome is unknown");
                self.count("ProviderRefused");
            }
            Err(ProviderError::CredentialsRejected(cause)) => {
                tracing::error!(cause, "provider rejects our credentials, request not carried out");
                self.count("ProviderRefused");
            }
            Err(ProviderError::KeyMismatch(cause)) => tracing::warn!(cause, "idempotency key belongs to another request, request rejected"),
            Err(ProviderError::StoredFailure(cause)) => tracing::warn!(cause, "provider repeats a stored server error: outcome unknown"),
            Ok(_) => {}
        }
        self.heard(asking, matches!(answer, Err(ProviderError::NoAnswer(_)))).await;
        answer
    }

    /// Tells the breaker how a call went. That it cannot be told stops nobody either.
    async fn heard(&self, asking: &Asking, silence: bool) {
        let mut breaker = asking.breaker.clone();
        for _ in 0..TRIES {
            let now = self.clock.now();
            let next = if silence { breaker.after_silence(&asking.owner, now) } else { breaker.after_answer(&asking.owner, now) };
            let Some(next) = next else { return };
            match self.store.write_breaker(&next).await {
                Ok(Ok(())) => {
                    if next.is_open() {
                        tracing::error!(provider = next.provider, "the provider does not answer: it is left alone for a while");
                        self.count("ProviderLeftAlone");
                    }
                    return;
                }
                Ok(Err(Some(stands))) if stands != next => breaker = stands,
                Ok(Err(_)) => return,
                Err(error) => return shared::http::warn(&error, "the breaker could not be told how a call went"),
            }
        }
    }
}
