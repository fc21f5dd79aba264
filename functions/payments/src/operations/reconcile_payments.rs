//! Schedule: looks after attempts and refunds whose end is not known.

use std::{sync::Arc, time::Duration};

use provider::{ProviderResult, PaymentId, RefundResult, RefundId};
use shared::{
    clock::Clock,
    ids::OrderId,
    invoke::{Call, ScheduledEvent},
    lambda::Failure,
    sweep::{Report, Sweep},
    table::Item,
};

use crate::{
    PROVIDER_BUDGET, Payments,
    asking::{Asking, Leave},
    domain::{Attempt, AttemptState, Head, Refund, RefundState},
    error::PaymentError,
    store::{self, Due},
};

/// After so many looks without an end somebody should know.
const CHECKS_BEFORE_ALARM: u32 = 5;

/// What one record and the end of the run may take: two calls of the provider, and the reads and writes around them.
const MIN_TIME_LEFT: Duration = PROVIDER_BUDGET.saturating_mul(2).saturating_add(Duration::from_secs(14));

/// Checks each record that is due: asks the provider, sends again what its order still wants, voids or cancels what it no longer wants,
/// and abandons what was never sent. While the breaker is open, records that need the provider stay due.
///
/// It works on as many records at once as the provider takes calls per second ([`crate::Payments`]): a record has one call under way at a
/// time, and a call rarely takes longer than a second. What a record becomes is decided by its version, and who sends by its lock: the
/// lease only saves the second run the work.
///
/// # Errors
/// When the lease cannot be taken or the index cannot be read.
pub async fn reconcile_payments(payments: Arc<Payments>, call: Call<ScheduledEvent>) -> Result<Report, Failure> {
    let sweep = Sweep {
        lease: payments.store.lease(),
        backlog: payments.store.due(payments.clock.now()),
        clock: &payments.clock,
        deadline: call.deadline,
        concurrency: payments.concurrency,
        min_time_left: MIN_TIME_LEFT,
    };
    let looked_after = |found: Item| -> shared::BoxFuture<'static, _> {
        let payments = payments.clone();
        Box::pin(async move { Ok(payments.look_after(store::due_record(&found)?).await?) })
    };
    let report = sweep.run(&looked_after).await?;
    if report.failed > 0 {
        payments.count("SweepFailed");
    }
    Ok(report)
}

impl Payments {
    /// Looks after one record; `true` if its end is known then.
    async fn look_after(&self, due: Due) -> Result<bool, PaymentError> {
        match due {
            Due::Attempt(payment) => self.look_after_attempt(payment).await,
            Due::Refund(order, refund) => self.look_after_refund(order, refund).await,
        }
    }

    async fn look_after_attempt(&self, payment: PaymentId) -> Result<bool, PaymentError> {
        let records = self.store.head_and_attempt(payment).await?;
        let (Some(head), Some(attempt)) = (records.head, records.attempt) else { return Ok(false) };
        let now = self.clock.now();
        let deadline = Clock::System.now().plus(MIN_TIME_LEFT);
        let asks_nobody = match attempt.state {
            AttemptState::New if attempt.is_held_back() => false,
            AttemptState::New => true,
            _ => !attempt.is_alive(),
        };
        let settled = if attempt.state == AttemptState::New && attempt.is_unwanted(&head, now) && !attempt.is_locked(now) {
            self.withdraw(head, attempt).await?
        } else if asks_nobody {
            if attempt.was_never_sent(now) { self.settle(head, attempt, &ProviderResult::Abandoned { reason: "never_sent" }).await? } else { attempt }
        } else {
            // While the provider is left alone it stays due.
            let Leave::Ask(asking) = self.leave(records.breaker, deadline).await else { return Ok(false) };
            self.ask_after(&asking, head, attempt).await?
        };
        self.alarm_if_stuck(settled.is_alive(), settled.dispatch.checks);
        Ok(!settled.is_alive())
    }

    async fn ask_after(&self, asking: &Asking, head: Head, attempt: Attempt) -> Result<Attempt, PaymentError> {
        let now = self.clock.now();
        if attempt.is_held_back() {
            return self.send(asking, head, attempt).await;
        }
        let is_unwanted = attempt.is_unwanted(&head, now);
        // The key tells more than a search: whether the charge arrived at all.
        if attempt.state == AttemptState::Fencing && attempt.transaction_id.is_none() {
            return if attempt.must_be_listed(now) {
                self.find(asking, head, attempt).await
            } else {
                self.fence(asking, head, attempt).await
            };
        }
        let found = self.look_up(asking, &attempt).await;
        // The call that runs reports its own outcome.
        if attempt.is_locked(now) && !matches!(found, Ok(Some(ProviderResult::Succeeded { .. }))) {
            return Ok(attempt);
        }
        match found {
            Ok(Some(fact)) if fact.is_pending() && (is_unwanted || attempt.is_overdue(now)) => {
                self.call_off(asking, head, attempt, &fact).await
            }
            Ok(Some(fact)) => self.settle_beside(head, attempt, &fact).await,
            Ok(None) if attempt.transaction_id.is_some() => self.settle(head, attempt, &ProviderResult::OutcomeUnknown).await,
            Ok(None) if attempt.must_be_listed(now) => self.find(asking, head, attempt).await,
            Ok(None) if is_unwanted => self.fence(asking, head, attempt).await,
            Ok(None) => self.send(asking, head, attempt).await,
            Err(_) => self.settle(head, attempt, &ProviderResult::OutcomeUnknown).await,
        }
    }

    /// Asking goes on; but somebody should know.
    fn alarm_if_stuck(&self, is_alive: bool, checks: u32) {
        if is_alive && checks >= CHECKS_BEFORE_ALARM {
            self.count("RetriesExhausted");
        }
    }

    async fn look_after_refund(&self, order: OrderId, refund: RefundId) -> Result<bool, PaymentError> {
        let records = self.store.head_and_refund(order, refund).await?;
        let (Some(head), Some(refund)) = (records.head, records.refund) else { return Ok(false) };
        let now = self.clock.now();
        if !refund.is_alive() || refund.state == RefundState::New && refund.is_locked(now) {
            return Ok(!refund.is_alive());
        }
        let Some(paid) = self.store.attempt(refund.payment_id).await? else { return Ok(false) };
        let Leave::Ask(asking) = self.leave(records.breaker, Clock::System.now().plus(MIN_TIME_LEFT)).await else { return Ok(false) };
        let settled = self.ask_after_refund(&asking, head, paid, refund).await?;
        self.alarm_if_stuck(settled.is_alive(), settled.dispatch.checks);
        Ok(!settled.is_alive())
    }

    async fn ask_after_refund(&self, asking: &Asking, head: Head, paid: Attempt, refund: Refund) -> Result<Refund, PaymentError> {
        let now = self.clock.now();
        if refund.state == RefundState::New {
            return self.send_refund(asking, head, paid, refund).await;
        }
        match self.look_up_refund(asking, &refund).await {
            Ok(Some(fact)) => self.settle_refund(head, paid, refund, &fact).await,
            Ok(None) if refund.is_lost(now) => {
                let fact = RefundResult::Rejected { reason: "never_refunded".to_owned() };
                self.settle_refund(head, paid, refund, &fact).await
            }
            Ok(None) if refund.may_be_resent(now) => self.send_refund(asking, head, paid, refund).await,
            Ok(None) | Err(_) if refund.is_locked(now) => Ok(refund),
            Ok(None) | Err(_) => self.settle_refund(head, paid, refund, &RefundResult::OutcomeUnknown).await,
        }
    }
}
