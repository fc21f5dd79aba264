//! Calls the provider through the circuit breaker, with a timeout, and records the outcome.

use std::{future::Future, time::Duration};

use provider::ProviderError;
use shared::clock::{Clock, Timestamp};

use crate::{
    PROVIDER_BUDGET, Payments,
    domain::{Breaker, BreakerDecision},
    error::PaymentError,
    metrics,
};

/// Attempts to write the breaker when other writers change it. If all fail, the call is not
/// counted.
const MAX_WRITE_ATTEMPTS: u32 = 3;

/// Time that must remain before the function's deadline to start a call.
const MIN_CALL_TIME: Duration = Duration::from_secs(2);

/// Time reserved after a call to record its outcome.
const OUTCOME_WRITE_TIME: Duration = Duration::from_secs(1);

/// Time by which a lock outlives its call. It covers the write of the outcome and clock skew.
const LOCK_MARGIN: Duration = Duration::from_secs(3);

/// Retry delay for callers while another call probes the provider.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The breaker ignores the timeout of a call that had this much less time than the budget. The
/// function's own writes or its deadline cut that call short, so its timeout does not reveal the
/// provider's health.
const CUT_SHORT_BY: Duration = Duration::from_secs(1);

/// The breaker's answer to a request for a provider call.
#[derive(Clone, Debug)]
pub(crate) enum Permit {
    Granted(ProviderCall),
    /// No call may start before `until`.
    Denied {
        until: Timestamp,
    },
}

/// A permitted provider call.
#[derive(Clone, Debug)]
pub(crate) struct ProviderCall {
    breaker: Breaker,
    owner: String,
    /// Deadline of the calling function.
    deadline: Timestamp,
}

/// The time limit of one provider call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallTime {
    ends_at: Timestamp,
    /// Duration of the lock on the record, from the creation of this value. The call ends before
    /// the lock does.
    pub(crate) lock: Duration,
}

impl CallTime {
    /// The time limit of a call that starts now, in a function with this deadline.
    /// [`PROVIDER_BUDGET`] is the upper limit.
    fn before(deadline: Timestamp) -> Self {
        let now = Clock::System.now();
        let call = deadline.since(now).saturating_sub(OUTCOME_WRITE_TIME).min(PROVIDER_BUDGET);
        Self { ends_at: now.plus(call), lock: call + LOCK_MARGIN }
    }

    /// Time left until the limit.
    fn remaining(self) -> Duration {
        self.ends_at.since(Clock::System.now())
    }
}

impl ProviderCall {
    /// The time limit of a call that starts now.
    pub(crate) fn call_time(&self) -> CallTime {
        CallTime::before(self.deadline)
    }
}

impl Payments {
    /// Requests a permit for a provider call. `breaker` is the stored breaker, `deadline` the
    /// deadline of the function. If the breaker cannot be written, the call is permitted.
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
                    // An earlier try of this write succeeded, but its response was lost.
                    Ok(Err(Some(current))) if current == probed => {
                        Permit::Granted(ProviderCall { breaker: probed, owner, deadline })
                    }
                    Ok(Err(_)) => Permit::Denied { until: now.plus(RETRY_AFTER) },
                    Err(error) => {
                        shared::http::warn(
                            &error,
                            "failed to write circuit breaker, calling the provider anyway",
                        );
                        Permit::Granted(ProviderCall { breaker, owner, deadline })
                    }
                }
            }
        }
    }

    /// Requests a permit, and fails with a retry delay if it is denied.
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

    /// Reuses a permit from an earlier write attempt, so that a conflict does not probe the
    /// provider twice.
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

    /// Calls the provider within the time limit, logs failures and records the outcome in the
    /// breaker.
    pub(crate) async fn call_provider<T>(
        &self,
        call: &ProviderCall,
        request: impl Future<Output = Result<T, ProviderError>>,
    ) -> Result<T, ProviderError> {
        self.call_provider_within(call.call_time(), call, request).await
    }

    /// Like [`Payments::call_provider`], with a time limit that has already started. The call never
    /// outlives the lock that was taken for it.
    pub(crate) async fn call_provider_within<T>(
        &self,
        time: CallTime,
        call: &ProviderCall,
        request: impl Future<Output = Result<T, ProviderError>>,
    ) -> Result<T, ProviderError> {
        let remaining = time.remaining();
        if remaining.is_zero() {
            tracing::warn!("no time left for the provider call, outcome unknown");
            return Err(ProviderError::Busy("no time left for the call".to_owned()));
        }
        let answer = tokio::time::timeout(remaining, request).await;
        let was_cut_short = answer.is_err() && remaining + CUT_SHORT_BY < PROVIDER_BUDGET;
        let answer =
            answer.unwrap_or_else(|_| Err(ProviderError::Indeterminate("timed out".to_owned())));
        match &answer {
            Err(ProviderError::Indeterminate(cause)) => {
                tracing::warn!(cause, "provider call failed or timed out, outcome unknown")
            }
            Err(ProviderError::Busy(cause)) => {
                tracing::warn!(cause, "provider busy, retrying later")
            }
            Err(ProviderError::Rejected(cause)) => {
                tracing::error!(cause, "provider rejected the request as invalid, outcome unknown");
                metrics::PROVIDER_REQUEST_REJECTED.increment();
            }
            Err(ProviderError::CredentialsRejected(cause)) => {
                tracing::error!(cause, "provider rejected the credentials, request not executed");
                metrics::PROVIDER_REQUEST_REJECTED.increment();
            }
            Err(ProviderError::KeyMismatch(cause)) => tracing::warn!(
                cause,
                "idempotency key belongs to another request, request rejected"
            ),
            Err(ProviderError::StoredFailure(cause)) => {
                tracing::warn!(cause, "provider repeats a stored server error, outcome unknown")
            }
            Ok(_) => {}
        }
        if !was_cut_short {
            self.record_outcome(call, matches!(answer, Err(ProviderError::Indeterminate(_)))).await;
        }
        answer
    }

    /// Records the outcome of a call in the breaker. A failed write is logged and does not fail the
    /// call.
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
                            "circuit breaker opened, provider calls paused"
                        );
                        metrics::CIRCUIT_BREAKER_OPENED.increment();
                    }
                    return;
                }
                Ok(Err(Some(current))) if current != next => breaker = current,
                Ok(Err(_)) => return,
                Err(error) => {
                    return shared::http::warn(
                        &error,
                        "failed to record call outcome in circuit breaker",
                    );
                }
            }
        }
    }
}
