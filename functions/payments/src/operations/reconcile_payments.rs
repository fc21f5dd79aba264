//! Schedule: settles attempts and refunds whose outcome is unknown.

use std::{fmt::Display, sync::Arc, time::Duration};

use provider::{PaymentId, ProviderResult, RefundId, RefundResult};
use shared::{
    clock::Clock,
    ids::OrderId,
    invoke::{Call, ScheduledEvent},
    lambda::Failure,
    sweep::{LongestWait, Report, Stop, Sweep},
    table::Item,
    telemetry,
};
use tracing::Instrument;

use crate::{
    PROVIDER_BUDGET, Payments,
    circuit_breaker::{Permit, ProviderCall},
    domain::{Attempt, AttemptState, Breaker, Dispatch, PaymentIntent, Refund, RefundState},
    error::PaymentError,
    metrics,
    store::{self, Due},
};

/// Number of checks without an outcome after which the alarm metric is counted.
const CHECKS_BEFORE_ALARM: u32 = 5;

/// Time reserved for one record and the end of the run: two provider calls, with the reads and
/// writes around them.
const MIN_TIME_LEFT: Duration =
    PROVIDER_BUDGET.saturating_mul(2).saturating_add(Duration::from_secs(14));

/// Checks every due record and looks up its outcome at the provider. A charge that the order still
/// wants is sent again; one that it no longer wants is voided or cancelled.
///
/// The records that have been due for longest come first. A record without an outcome is due again
/// later, so the next run continues with those that this run did not reach. A run ends when the
/// breaker is open: nearly every record needs the provider, and a run that skipped them would read
/// the whole backlog each minute.
///
/// It processes as many records at a time as the provider accepts calls per second
/// ([`crate::Payments`]). A record makes one call at a time, and a call rarely takes longer than a
/// second. Versions decide which writes succeed, and locks decide which function sends. The lease
/// only prevents duplicate work by a second run.
///
/// # Errors
/// When the lease cannot be acquired or the index cannot be read.
pub async fn reconcile_payments(
    payments: Arc<Payments>,
    call: Call<ScheduledEvent>,
) -> Result<Report, Failure> {
    let sweep = Sweep {
        lease: payments.store.lease(),
        backlog: payments.store.due(payments.clock.now()),
        clock: &payments.clock,
        deadline: call.deadline,
        concurrency: payments.concurrency,
        min_time_left: MIN_TIME_LEFT,
    };
    let run = Run::default();
    let reconcile_item = |found: Item| -> shared::BoxFuture<'static, _> {
        let (payments, run) = (payments.clone(), run.clone());
        Box::pin(async move { Ok(payments.reconcile(store::due_record(&found)?, &run).await?) })
    };
    let report = sweep.run_until(run.stop.clone(), &reconcile_item).await?;
    if report.failed > 0 {
        metrics::SWEEP_FAILED.increment();
    }
    if !report.already_running {
        metrics::OLDEST_UNSETTLED_PAYMENT_SECONDS.lasting(run.longest_wait.get()).record();
    }
    Ok(report)
}

/// What the concurrent tasks of a run share.
#[derive(Clone, Debug, Default)]
struct Run {
    longest_wait: LongestWait,
    /// Requested when the breaker is open.
    stop: Stop,
}

impl Payments {
    /// Checks one record. Returns whether it is settled.
    async fn reconcile(&self, due: Due, run: &Run) -> Result<bool, PaymentError> {
        match due {
            Due::Attempt(payment) => self.reconcile_attempt(payment, run).await,
            Due::Refund(order, refund) => self.reconcile_refund(order, refund, run).await,
        }
    }

    async fn reconcile_attempt(&self, payment: PaymentId, run: &Run) -> Result<bool, PaymentError> {
        let records = self.store.intent_and_attempt(payment).await?;
        let (Some(intent), Some(attempt)) = (records.intent, records.attempt) else {
            return Ok(false);
        };
        if attempt.awaits_outcome(self.clock.now()) {
            run.longest_wait.include(self.clock.now().since(attempt.created_at));
        }
        let span = telemetry::record_span(&attempt.order_id, &attempt.traceparent);
        self.reconcile_found(intent, attempt, records.breaker, &run.stop).instrument(span).await
    }

    async fn reconcile_found(
        &self,
        intent: PaymentIntent,
        attempt: Attempt,
        breaker: Option<Breaker>,
        stop: &Stop,
    ) -> Result<bool, PaymentError> {
        let now = self.clock.now();
        let deadline = Clock::System.now().plus(MIN_TIME_LEFT);
        let settled = if attempt.is_delayed() && attempt.is_unwanted(&intent, now) {
            self.abandon(intent, attempt).await?
        } else if !attempt.is_in_flight() {
            attempt
        } else {
            let Permit::Granted(call) = self.try_acquire(breaker, deadline).await else {
                stop.request();
                tracing::info!(
                    r#type = "sweep",
                    payment_id = %attempt.payment_id,
                    "circuit breaker open, payment stays due, run ends"
                );
                return Ok(false);
            };
            self.resolve_attempt(&call, intent, attempt).await?
        };
        log_checked("payment", &settled.payment_id, settled.state.name(), &settled.dispatch);
        self.count_exhausted_retries(settled.is_in_flight(), settled.dispatch.checks);
        Ok(!settled.is_in_flight())
    }

    async fn resolve_attempt(
        &self,
        call: &ProviderCall,
        intent: PaymentIntent,
        attempt: Attempt,
    ) -> Result<Attempt, PaymentError> {
        let now = self.clock.now();
        if attempt.is_delayed() {
            return self.send(call, intent, attempt).await;
        }
        let is_unwanted = attempt.is_unwanted(&intent, now);
        // Using the key is more reliable than a search: it reveals whether the charge arrived.
        if attempt.state == AttemptState::Voiding && attempt.transaction_id.is_none() {
            return if attempt.must_be_listed(now) {
                self.find_in_list(call, intent, attempt).await
            } else {
                self.void_charge(call, intent, attempt).await
            };
        }
        let found = self.look_up(call, &attempt).await;
        // A running call reports its own outcome.
        if attempt.is_locked(now) && !matches!(found, Ok(Some(ProviderResult::Succeeded { .. }))) {
            return Ok(attempt);
        }
        match found {
            Ok(Some(result)) if result.is_pending() && (is_unwanted || attempt.is_overdue(now)) => {
                self.cancel_charge(call, intent, attempt, &result).await
            }
            Ok(Some(result)) => self.settle_observed(intent, attempt, &result).await,
            Ok(None) if attempt.transaction_id.is_some() => {
                self.settle(intent, attempt, &ProviderResult::OutcomeUnknown).await
            }
            Ok(None) if attempt.must_be_listed(now) => {
                self.find_in_list(call, intent, attempt).await
            }
            Ok(None) if is_unwanted => self.void_charge(call, intent, attempt).await,
            Ok(None) => self.send(call, intent, attempt).await,
            Err(_) => self.settle(intent, attempt, &ProviderResult::OutcomeUnknown).await,
        }
    }

    /// Counts a record that is still unsettled after [`CHECKS_BEFORE_ALARM`] checks. Checks
    /// continue.
    fn count_exhausted_retries(&self, is_in_flight: bool, checks: u32) {
        if is_in_flight && checks >= CHECKS_BEFORE_ALARM {
            metrics::RETRIES_EXHAUSTED.increment();
        }
    }

    async fn reconcile_refund(
        &self,
        order: OrderId,
        refund: RefundId,
        run: &Run,
    ) -> Result<bool, PaymentError> {
        let records = self.store.intent_and_refund(order, refund).await?;
        let (Some(intent), Some(refund)) = (records.intent, records.refund) else {
            return Ok(false);
        };
        if refund.is_in_flight() {
            run.longest_wait.include(self.clock.now().since(refund.created_at));
        }
        let span = telemetry::record_span(&refund.order_id, &refund.traceparent);
        self.reconcile_found_refund(intent, refund, records.breaker, &run.stop)
            .instrument(span)
            .await
    }

    async fn reconcile_found_refund(
        &self,
        intent: PaymentIntent,
        refund: Refund,
        breaker: Option<Breaker>,
        stop: &Stop,
    ) -> Result<bool, PaymentError> {
        let now = self.clock.now();
        if !refund.is_in_flight() || refund.state == RefundState::New && refund.is_locked(now) {
            return Ok(!refund.is_in_flight());
        }
        let Some(paid) = self.store.attempt(refund.payment_id).await? else { return Ok(false) };
        let Permit::Granted(call) =
            self.try_acquire(breaker, Clock::System.now().plus(MIN_TIME_LEFT)).await
        else {
            stop.request();
            tracing::info!(
                r#type = "sweep",
                refund_id = %refund.refund_id,
                "circuit breaker open, refund stays due, run ends"
            );
            return Ok(false);
        };
        let settled = self.resolve_refund(&call, intent, paid, refund).await?;
        log_checked("refund", &settled.refund_id, settled.state.name(), &settled.dispatch);
        self.count_exhausted_retries(settled.is_in_flight(), settled.dispatch.checks);
        Ok(!settled.is_in_flight())
    }

    async fn resolve_refund(
        &self,
        call: &ProviderCall,
        intent: PaymentIntent,
        paid: Attempt,
        refund: Refund,
    ) -> Result<Refund, PaymentError> {
        let now = self.clock.now();
        if refund.state == RefundState::New {
            return self.send_refund(call, intent, paid, refund).await;
        }
        match self.look_up_refund(call, &refund).await {
            Ok(Some(result)) => self.settle_refund(intent, paid, refund, &result).await,
            Ok(None) if refund.is_lost(now) => {
                let result = RefundResult::Rejected { reason: "never_refunded".to_owned() };
                self.settle_refund(intent, paid, refund, &result).await
            }
            Ok(None) if refund.may_be_resent(now) => {
                self.send_refund(call, intent, paid, refund).await
            }
            Ok(None) | Err(_) if refund.is_locked(now) => Ok(refund),
            Ok(None) | Err(_) => {
                self.settle_refund(intent, paid, refund, &RefundResult::OutcomeUnknown).await
            }
        }
    }
}

/// Logs what the check of a payment or refund found, and when the provider is asked again.
fn log_checked(kind: &'static str, id: &impl Display, state: &str, dispatch: &Dispatch) {
    let is_payment = kind == "payment";
    tracing::info!(
        r#type = "sweep",
        payment_id = is_payment.then(|| id.to_string()),
        refund_id = (!is_payment).then(|| id.to_string()),
        state,
        checks = dispatch.checks,
        next_check_at = dispatch.next_check_at.map(|time| time.to_string()),
        "{kind} checked"
    );
}
