//! Asking the provider: only with the breaker's leave, no longer than may be, and what came of it
//! is the breaker's to know.

use std::{future::Future, time::Duration};

use provider::ProviderError;
use shared::clock::{Clock, Timestamp};

use crate::{
    PROVIDER_BUDGET, Payments,
    domain::{Breaker, BreakerDecision},
    error::PaymentError,
};

/// How often the breaker is written anew because others wrote meanwhile. It only counts: one call
/// more or less does not matter.
const MAX_WRITE_ATTEMPTS: u32 = 3;

/// With less than this left of the function's time, a call is not begun.
const MIN_CALL_TIME: Duration = Duration::from_secs(2);

/// What must be left of the function's time after a call, to record its outcome.
const OUTCOME_WRITE_TIME: Duration = Duration::from_secs(1);

/// How much longer than its call a lock lasts: for the write of the outcome, and because clocks
/// differ.
const LOCK_MARGIN: Duration = Duration::from_secs(3);

/// Whoever asks while one call finds out whether the provider answers again comes back after so
/// long.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// A call that had this much less than the budget, because of our own writes or the function's time
/// limit, and then ran out of time says nothing about the provider: the breaker does not count it.
const CUT_SHORT_BY: Duration = Duration::from_secs(1);

/// Whether the provider may be asked.
#[derive(Clone, Debug)]
pub(crate) enum Permit {
    /// It may.
    Granted(ProviderCall),
    /// Not before this moment.
    Denied { until: Timestamp },
}

/// Somebody who has leave to ask.
#[derive(Clone, Debug)]
pub(crate) struct ProviderCall {
    breaker: Breaker,
    owner: String,
    /// When the function that asks is stopped.
    deadline: Timestamp,
}

/// The time within which one call of the provider begins and ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallTime {
    ends_at: Timestamp,
    /// How long others have to leave the record alone, from the moment at which this was made: the
    /// call is over before that.
    pub(crate) lock: Duration,
}

impl CallTime {
    /// What a call has that begins now, in a function that is stopped at `deadline`. The provider's
    /// budget is an upper limit.
    fn before(deadline: Timestamp) -> Self {
        let now = Clock::System.now();
        let call = deadline.since(now).saturating_sub(OUTCOME_WRITE_TIME).min(PROVIDER_BUDGET);
        Self { ends_at: now.plus(call), lock: call + LOCK_MARGIN }
    }

    /// What is left of it.
    fn remaining(self) -> Duration {
        self.ends_at.since(Clock::System.now())
    }
}

impl ProviderCall {
    /// The time for a call that begins now.
    pub(crate) fn call_time(&self) -> CallTime {
        CallTime::before(self.deadline)
    }
}

/// How long from now until a function that is stopped at `deadline` is sure to send nothing any
/// more.
pub(crate) fn sender_stops_in(deadline: Timestamp) -> Duration {
    deadline.since(Clock::System.now()) + LOCK_MARGIN
}

impl Payments {
    /// Whether the provider may be asked, by what was read of its breaker and of the time until the
    /// function is stopped at `deadline`. If the breaker cannot be written, the call is made all
    /// the same.
    pub(crate) async fn try_acquire(
        &self,
        breaker: Option<Breaker>,
        deadline: Timestamp,
    ) -> Permit {
        let now = self.clock.now();
        if CallTime::before(deadline).remaining() < MIN_CALL_TIME {
            return Permit::Denied { until: now.plus(RETRY_AFTER) };
        }
        let breaker = breaker.unwrap_or_else(|| Breaker::new(self.provider.name(), now));
        match breaker.decide(now) {
            BreakerDecision::Allow => {
                Permit::Granted(ProviderCall { breaker, owner: String::new(), deadline })
            }
            BreakerDecision::Reject { until } => Permit::Denied { until },
            BreakerDecision::Probe => {
                let owner = self.lock_owner();
                let probed = breaker.start_probe(&owner, now);
                match self.store.write_breaker(&probed).await {
                    Ok(Ok(())) => {
                        Permit::Granted(ProviderCall { breaker: probed, owner, deadline })
                    }
                    // The answer to an earlier try of this very write was lost.
                    Ok(Err(Some(current))) if current == probed => {
                        Permit::Granted(ProviderCall { breaker: probed, owner, deadline })
                    }
                    Ok(Err(_)) => Permit::Denied { until: now.plus(RETRY_AFTER) },
                    Err(error) => {
                        shared::http::warn(
                            &error,
                            "the breaker cannot be written: the provider is asked all the same",
                        );
                        Permit::Granted(ProviderCall { breaker, owner, deadline })
                    }
                }
            }
        }
    }

    /// Leave to ask, for those who wait at the door.
    pub(crate) async fn acquire(
        &self,
        breaker: Option<Breaker>,
        deadline: Timestamp,
    ) -> Result<ProviderCall, PaymentError> {
        match self.try_acquire(breaker, deadline).await {
            Permit::Granted(call) => Ok(call),
            Permit::Denied { until } => {
                let retry_after_seconds = until.since(self.clock.now()).as_millis().div_ceil(1000);
                Err(PaymentError::ProviderUnavailable {
                    retry_after_seconds: u64::try_from(retry_after_seconds).unwrap_or(1).max(1),
                })
            }
        }
    }

    /// The leave that was given before, or leave now: whoever has it does not ask for it twice.
    pub(crate) async fn reuse_or_acquire(
        &self,
        held: Option<ProviderCall>,
        breaker: Option<Breaker>,
        deadline: Timestamp,
    ) -> Result<ProviderCall, PaymentError> {
        match held {
            Some(call) => Ok(call),
            None => self.acquire(breaker, deadline).await,
        }
    }

    /// Waits for the provider no longer than may be, notes what it would not say, and tells the
    /// breaker.
    pub(crate) async fn call_provider<T>(
        &self,
        call: &ProviderCall,
        request: impl Future<Output = Result<T, ProviderError>>,
    ) -> Result<T, ProviderError> {
        self.call_provider_within(call.call_time(), call, request).await
    }

    /// As [`Payments::call_provider`], within a time that began before: the call never outlives a
    /// lock that was taken for it.
    pub(crate) async fn call_provider_within<T>(
        &self,
        time: CallTime,
        call: &ProviderCall,
        request: impl Future<Output = Result<T, ProviderError>>,
    ) -> Result<T, ProviderError> {
        let remaining = time.remaining();
        if remaining.is_zero() {
            tracing::warn!("no time is left to ask the provider: the outcome is unknown");
            return Err(ProviderError::Busy(
                "the function has no time left for the call".to_owned(),
            ));
        }
        let answer = tokio::time::timeout(remaining, request).await;
        let was_cut_short = answer.is_err() && remaining + CUT_SHORT_BY < PROVIDER_BUDGET;
        let answer = answer
            .unwrap_or_else(|_| Err(ProviderError::Indeterminate("it took too long".to_owned())));
        match &answer {
            Err(ProviderError::Indeterminate(cause)) => {
                tracing::warn!(cause, "the provider gave no answer: the outcome is unknown")
            }
            Err(ProviderError::Busy(cause)) => {
                tracing::warn!(cause, "provider does not take the request now, retrying later")
            }
            Err(ProviderError::Rejected(cause)) => {
                tracing::error!(cause, "the provider refuses our request: the outcome is unknown");
                self.count("ProviderRequestRejected");
            }
            Err(ProviderError::CredentialsRejected(cause)) => {
                tracing::error!(cause, "provider rejects our credentials, request not carried out");
                self.count("ProviderRequestRejected");
            }
            Err(ProviderError::KeyMismatch(cause)) => tracing::warn!(
                cause,
                "idempotency key belongs to another request, request rejected"
            ),
            Err(ProviderError::StoredFailure(cause)) => {
                tracing::warn!(cause, "provider repeats a stored server error: outcome unknown")
            }
            Ok(_) => {}
        }
        if !was_cut_short {
            self.record_outcome(call, matches!(answer, Err(ProviderError::Indeterminate(_)))).await;
        }
        answer
    }

    /// Tells the breaker how a call went. That it cannot be told stops nobody either.
    async fn record_outcome(&self, call: &ProviderCall, timed_out: bool) {
        let mut breaker = call.breaker.clone();
        for _ in 0..MAX_WRITE_ATTEMPTS {
            let now = self.clock.now();
            let next = if timed_out {
                breaker.after_timeout(&call.owner, now)
            } else {
                breaker.after_response(&call.owner, now)
            };
            let Some(next) = next else { return };
            match self.store.write_breaker(&next).await {
                Ok(Ok(())) => {
                    if next.is_open() {
                        tracing::error!(
                            provider = next.provider,
                            "the provider does not answer: it is left alone for a while"
                        );
                        self.count("CircuitBreakerOpened");
                    }
                    return;
                }
                Ok(Err(Some(current))) if current != next => breaker = current,
                Ok(Err(_)) => return,
                Err(error) => {
                    return shared::http::warn(
                        &error,
                        "the breaker could not be told how a call went",
                    );
                }
            }
        }
    }
}
