//! Sends charges to the provider, voids them and records their results.

use std::time::Duration;

use provider::{ChargeRequest, KeyState, ProviderError, ProviderResult};

use crate::{
    MAX_WRITE_ATTEMPTS, Payments,
    circuit_breaker::{CallTime, ProviderCall},
    domain::{Attempt, AttemptState, Change, ORDER_CLOSED, PaymentIntent, apply_provider_result},
    error::PaymentError,
    metrics,
    store::{Records, WriteOutcome},
};

/// Delay before the next check while another request under the same key is running.
const RUNNING_RECHECK: Duration = Duration::from_secs(60);

impl Payments {
    /// Sends the charge of a recorded attempt that its order still wants, unless another writer has
    /// changed the attempt since it was read. Returns the current attempt.
    ///
    /// A charge is never created for an order that is closing or past its deadline. An attempt that
    /// was never sent is abandoned instead. One that was sent before is left to reconciliation,
    /// which voids it.
    pub(crate) async fn send(
        &self,
        call: &ProviderCall,
        intent: PaymentIntent,
        attempt: Attempt,
    ) -> Result<Attempt, PaymentError> {
        let now = self.clock.now();
        if !attempt.may_be_sent(&intent, now) {
            return if attempt.state == AttemptState::New {
                self.abandon(intent, attempt).await
            } else {
                Ok(attempt)
            };
        }
        let is_first = attempt.dispatch.sent_at.is_none();
        let time = call.call_time();
        let sending = attempt.sending(&self.lock_owner(), now, time.lock);
        if let Some(other) = self.write_attempt(&attempt, &sending).await? {
            return Ok(other);
        }
        self.charge(call, time, intent, sending, is_first).await
    }

    /// Calls the provider for an attempt that this function has recorded as sent, and records the
    /// result. `time` is the limit for which the attempt is locked; `is_first` says that no earlier
    /// request can have charged. Returns the current attempt.
    pub(crate) async fn charge(
        &self,
        call: &ProviderCall,
        time: CallTime,
        intent: PaymentIntent,
        sending: Attempt,
        is_first: bool,
    ) -> Result<Attempt, PaymentError> {
        let request = ChargeRequest::from(&sending);
        tracing::info!(
            order_id = %sending.order_id,
            payment_id = %sending.payment_id,
            is_first,
            provider = sending.provider,
            "charge sent to the provider"
        );
        let result =
            match self.call_provider_within(time, call, self.provider.charge(&request)).await {
                Ok(result) => result,
                // For an attempt that was sent before, the error covers only this request: the
                // earlier one may have charged.
                Err(ProviderError::CredentialsRejected(_)) if is_first => ProviderResult::NotSent,
                Err(_) => ProviderResult::OutcomeUnknown,
            };
        self.settle(intent, sending, &result).await
    }

    /// Abandons an attempt that was never sent and that its order no longer wants.
    pub(crate) async fn abandon(
        &self,
        intent: PaymentIntent,
        attempt: Attempt,
    ) -> Result<Attempt, PaymentError> {
        self.settle(intent, attempt, &ProviderResult::Abandoned { reason: ORDER_CLOSED }).await
    }

    /// Voids a charge that its order no longer wants if it never reached the provider, and records
    /// its outcome if it did. Returns the current attempt.
    ///
    /// The attempt is marked before the provider is called. From then on its charge is sent only to
    /// read the answer that the provider has stored under the key. That creates no new charge.
    pub(crate) async fn void_charge(
        &self,
        call: &ProviderCall,
        intent: PaymentIntent,
        attempt: Attempt,
    ) -> Result<Attempt, PaymentError> {
        let now = self.clock.now();
        let is_marked = attempt.state == AttemptState::Voiding;
        let voiding =
            if is_marked { attempt.clone() } else { attempt.voiding(now, self.first_retry) };
        if !is_marked && let Some(other) = self.write_attempt(&attempt, &voiding).await? {
            return Ok(other);
        }
        let request = ChargeRequest::from(&voiding);
        match self.call_provider(call, self.provider.void_unsent(&request)).await {
            Ok(KeyState::Voided) => {
                self.settle(intent, voiding, &ProviderResult::Abandoned { reason: ORDER_CLOSED })
                    .await
            }
            // The first check has already called the provider twice. The next check, a minute
            // later, reads the stored answer.
            Ok(KeyState::Used) if is_marked => {
                self.replay_stored_answer(call, intent, voiding, &request).await
            }
            Ok(KeyState::Used | KeyState::Running) => {
                self.write_next_check(voiding.checked_again_after(RUNNING_RECHECK, now), voiding)
                    .await
            }
            Err(ProviderError::StoredFailure(_)) => {
                self.write_next_check(voiding.with_failed_key(now, self.first_retry), voiding).await
            }
            Err(_) => self.settle(intent, voiding, &ProviderResult::OutcomeUnknown).await,
        }
    }

    /// Sends a charge that the provider already has again under its key. The provider returns its
    /// stored answer.
    async fn replay_stored_answer(
        &self,
        call: &ProviderCall,
        intent: PaymentIntent,
        attempt: Attempt,
        request: &ChargeRequest,
    ) -> Result<Attempt, PaymentError> {
        match self.call_provider(call, self.provider.charge(request)).await {
            Ok(result) => self.settle(intent, attempt, &result).await,
            Err(ProviderError::StoredFailure(_)) => {
                self.write_next_check(
                    attempt.with_failed_key(self.clock.now(), self.first_retry),
                    attempt,
                )
                .await
            }
            Err(_) => self.settle(intent, attempt, &ProviderResult::OutcomeUnknown).await,
        }
    }

    /// Searches the provider's list for a charge whose key can no longer be used. A charge that is
    /// missing from two lists was never created.
    pub(crate) async fn find_in_list(
        &self,
        call: &ProviderCall,
        intent: PaymentIntent,
        attempt: Attempt,
    ) -> Result<Attempt, PaymentError> {
        let request = ChargeRequest::from(&attempt);
        let found = self.call_provider(call, self.provider.find_by_time(&request)).await;
        let now = self.clock.now();
        match found {
            // A pending charge is cancelled at the next check, when its id is known.
            Ok(Some(result)) => self.settle(intent, attempt, &result).await,
            Ok(None) if attempt.is_missing_twice(now) => {
                self.settle(intent, attempt, &ProviderResult::NeverCreated).await
            }
            Ok(None) => self.write_next_check(attempt.missing(now), attempt).await,
            Err(_) => self.settle(intent, attempt, &ProviderResult::OutcomeUnknown).await,
        }
    }

    /// Writes an attempt with its next check scheduled. Returns the current attempt.
    async fn write_next_check(
        &self,
        next: Attempt,
        attempt: Attempt,
    ) -> Result<Attempt, PaymentError> {
        let current = self.write_attempt(&attempt, &next).await?.unwrap_or(next);
        log_recorded(&current);
        Ok(current)
    }

    /// Writes the next version of an attempt. Returns the stored attempt if another writer was
    /// faster.
    async fn write_attempt(
        &self,
        attempt: &Attempt,
        next: &Attempt,
    ) -> Result<Option<Attempt>, PaymentError> {
        let change = Change { attempt: Some(next.clone()), ..Change::default() };
        Ok(match self.store.write(&change, None).await? {
            WriteOutcome::Written => None,
            // The same record: an earlier try of this write succeeded, but its response was lost.
            WriteOutcome::Conflict(records) => {
                Some(records.attempt.unwrap_or_else(|| attempt.clone()))
                    .filter(|other| other != next)
            }
        })
    }

    /// Records a result for an attempt. Returns the current attempt.
    pub(crate) async fn settle(
        &self,
        intent: PaymentIntent,
        attempt: Attempt,
        result: &ProviderResult,
    ) -> Result<Attempt, PaymentError> {
        self.settle_if(intent, attempt, result, |_| true).await
    }

    /// Records a result that was observed outside the attempt's own call. While that call runs,
    /// only a success is recorded: the call reports every outcome itself, and other observations
    /// can be intermediate states.
    pub(crate) async fn settle_observed(
        &self,
        intent: PaymentIntent,
        attempt: Attempt,
        result: &ProviderResult,
    ) -> Result<Attempt, PaymentError> {
        let is_success = matches!(result, ProviderResult::Succeeded { .. });
        self.settle_if(intent, attempt, result, |attempt| {
            is_success || !attempt.is_locked(self.clock.now())
        })
        .await
    }

    async fn settle_if(
        &self,
        intent: PaymentIntent,
        attempt: Attempt,
        result: &ProviderResult,
        applies: impl Fn(&Attempt) -> bool,
    ) -> Result<Attempt, PaymentError> {
        let (mut intent, mut attempt) = (intent, attempt);
        for _ in 0..MAX_WRITE_ATTEMPTS {
            if !applies(&attempt) {
                return Ok(attempt);
            }
            let change = apply_provider_result(
                &intent,
                &attempt,
                result,
                self.clock.now(),
                self.first_retry,
            );
            if change.is_empty() {
                self.report_review(change.needs_review, &attempt);
                return Ok(attempt);
            }
            match self.store.write(&change, None).await? {
                WriteOutcome::Written => {
                    let attempt = change.attempt.unwrap_or(attempt);
                    log_recorded(&attempt);
                    self.report_review(change.needs_review, &attempt);
                    if attempt.duplicate_capture {
                        tracing::error!(payment.id = %attempt.payment_id, "order paid twice, refunding the duplicate capture");
                        metrics::DUPLICATE_CAPTURE.increment();
                    }
                    return Ok(attempt);
                }
                WriteOutcome::Conflict(newer) => {
                    let records = Records {
                        intent: Some(intent.clone()),
                        attempt: Some(attempt.clone()),
                        ..Records::default()
                    }
                    .updated(*newer);
                    (intent, attempt) =
                        (records.intent.unwrap_or(intent), records.attempt.unwrap_or(attempt));
                }
            }
        }
        Err(PaymentError::Contention)
    }

    /// Looks up an attempt at the provider. `None` means that the provider has no such charge; an
    /// error means that the outcome is unknown.
    pub(crate) async fn look_up(
        &self,
        call: &ProviderCall,
        attempt: &Attempt,
    ) -> Result<Option<ProviderResult>, ProviderError> {
        let request = ChargeRequest::from(attempt);
        self.call_provider(call, self.provider.retrieve(&request)).await
    }

    /// Cancels a charge that the provider has not completed. `found` is the result of the last
    /// lookup. Returns the current attempt.
    pub(crate) async fn cancel_charge(
        &self,
        call: &ProviderCall,
        intent: PaymentIntent,
        attempt: Attempt,
        found: &ProviderResult,
    ) -> Result<Attempt, PaymentError> {
        let mut request = ChargeRequest::from(&attempt);
        request.transaction_id =
            request.transaction_id.or(found.transaction_id().map(str::to_owned));
        let result = match self.call_provider(call, self.provider.cancel(&request)).await {
            Ok(ProviderResult::Abandoned { .. }) => ProviderResult::Abandoned {
                reason: attempt.cancellation_reason(&intent, self.clock.now()),
            },
            Ok(result) => result,
            Err(_) => ProviderResult::OutcomeUnknown,
        };
        self.settle(intent, attempt, &result).await
    }

    fn report_review(&self, needed: bool, attempt: &Attempt) {
        if needed {
            tracing::error!(payment.id = %attempt.payment_id, "provider contradicts the payment record, review needed");
            metrics::NEEDS_REVIEW.increment();
        }
    }
}

/// Logs the state of an attempt after a result of the provider, and when the provider is asked
/// again if its outcome is unknown.
fn log_recorded(attempt: &Attempt) {
    tracing::info!(
        order_id = %attempt.order_id,
        payment_id = %attempt.payment_id,
        state = attempt.state.name(),
        reason = attempt.failure_reason,
        transaction_id = attempt.transaction_id,
        checks = attempt.dispatch.checks,
        next_check_at = attempt.dispatch.next_check_at.map(|time| time.to_string()),
        "provider result recorded"
    );
}

impl From<&Attempt> for ChargeRequest {
    fn from(attempt: &Attempt) -> Self {
        Self {
            payment_id: attempt.payment_id,
            order_id: attempt.order_id,
            amount: attempt.money(),
            token: attempt.payment_method.token.clone(),
            return_url: attempt.return_url.clone(),
            sent: attempt
                .dispatch
                .sent_at
                .map(|sent_at| (sent_at, attempt.last_sent_at.unwrap_or(sent_at))),
            transaction_id: attempt.transaction_id.clone(),
            trace: attempt.traceparent.clone(),
        }
    }
}
