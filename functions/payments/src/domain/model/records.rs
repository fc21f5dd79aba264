//! The records of one order, their transitions and their invariants.

use std::{
    collections::{BTreeMap, HashMap, VecDeque, hash_map::Entry},
    sync::OnceLock,
};

use provider::{PaymentId, ProviderResult, RefundId, RefundResult};
use shared::clock::Timestamp;

use super::{
    ATTEMPTS, LATE, MINUTE, NOW, PRICE, attempt, intent, refund_results, requested, results, trace,
};
use crate::domain::{
    Attempt, AttemptState, Change, IntentState, PaymentIntent, Refund, RefundKind, RefundState,
    apply_provider_result, apply_refund_result, begin_refund, begin_requested_refund,
};

/// Refunds for one reason that may fail.
const FAILED_REFUNDS: u32 = 1;
/// Partial refunds that may be requested.
const REQUESTED_REFUNDS: usize = 1;

#[derive(Clone, Debug)]
pub(super) struct Records {
    pub(super) intent: PaymentIntent,
    pub(super) attempts: BTreeMap<PaymentId, Attempt>,
    pub(super) refunds: BTreeMap<RefundId, Refund>,
}

impl Records {
    /// The state after `change` is written as the store would write it: all records, each with its
    /// next version.
    pub(super) fn after(&self, change: Change) -> Self {
        let mut records = self.clone();
        if let Some(intent) = change.intent {
            assert_eq!(intent.version, self.intent.version + 1);
            records.intent = intent;
        }
        if let Some(attempt) = change.attempt {
            assert_eq!(
                attempt.version,
                self.attempts.get(&attempt.payment_id).map_or(0, |before| before.version) + 1
            );
            records.attempts.insert(attempt.payment_id, attempt);
        }
        for refund in [change.refund, change.next_refund].into_iter().flatten() {
            assert_eq!(
                refund.version,
                self.refunds.get(&refund.refund_id).map_or(0, |before| before.version) + 1
            );
            records.refunds.insert(refund.refund_id, refund);
        }
        records.check();
        self.check_step(&records);
        records
    }

    /// Invariants of every state.
    fn check(&self) {
        let intent = &self.intent;
        let paid: Vec<&Attempt> = self
            .attempts
            .values()
            .filter(|attempt| {
                attempt.state == AttemptState::Succeeded && !attempt.duplicate_capture
            })
            .collect();
        assert!(paid.len() <= 1, "two captures for one order: {self:#?}");
        assert_eq!(
            paid.first().map(|attempt| attempt.payment_id),
            intent.captured_payment,
            "{self:#?}"
        );
        assert_eq!(
            intent.state == IntentState::Captured,
            intent.captured_payment.is_some(),
            "{self:#?}"
        );
        assert_eq!(
            intent.captured_total,
            if intent.captured_payment.is_some() { PRICE } else { 0 }
        );
        let in_flight: Vec<PaymentId> = self
            .attempts
            .values()
            .filter(|attempt| attempt.is_in_flight())
            .map(|attempt| attempt.payment_id)
            .collect();
        for attempt in self.attempts.values() {
            assert_eq!(
                attempt.is_in_flight(),
                attempt.dispatch.next_check_at.is_some(),
                "an unsettled attempt has a next check: {attempt:#?}"
            );
            assert!(attempt.refunded >= 0);
        }
        assert!(
            in_flight.len() <= 1
                && in_flight
                    .first()
                    .is_none_or(|in_flight| intent.active_attempt == Some(*in_flight)),
            "{self:#?}"
        );
        match intent.state {
            IntentState::Open | IntentState::Closed => {
                assert_eq!(
                    intent.active_attempt, None,
                    "an open or closed intent has no attempt in flight"
                )
            }
            IntentState::Processing | IntentState::Closing => {
                assert!(intent.active_attempt.is_some())
            }
            _ => {}
        }
        let of_order =
            || self.refunds.values().filter(|refund| refund.kind != RefundKind::DuplicateCapture);
        let holds =
            |refund: &&Refund| refund.is_in_flight() || refund.state == RefundState::NeedsReview;
        let held: i64 = of_order().filter(holds).map(|refund| refund.amount).sum();
        let refunded = intent.refunded_net();
        assert!(refunded >= 0 && intent.refundable >= 0 && held >= 0);
        assert_eq!(intent.refunds_pending, held, "{self:#?}");
        assert_eq!(
            intent.refundable + refunded + held,
            intent.captured_total.max(refunded + held),
            "{self:#?}"
        );
        for refund in self.refunds.values() {
            assert_eq!(
                refund.is_in_flight(),
                refund.dispatch.next_check_at.is_some(),
                "{refund:#?}"
            );
        }
        for duplicate in self
            .attempts
            .values()
            .filter(|attempt| attempt.duplicate_capture && attempt.refunded == 0)
        {
            let is_being_refunded = self
                .refunds
                .values()
                .any(|refund| refund.payment_id == duplicate.payment_id && holds(&refund));
            assert!(
                is_being_refunded
                    || intent.duplicate_refunds_refused.contains(&duplicate.payment_id),
                "a duplicate capture is being refunded or left to an admin"
            );
        }
    }

    /// Invariants of every transition.
    fn check_step(&self, after: &Self) {
        match self.intent.state {
            IntentState::Closed => {
                assert!(
                    matches!(after.intent.state, IntentState::Closed | IntentState::Captured),
                    "a closed intent never reopens"
                )
            }
            IntentState::Closing => {
                assert!(matches!(
                    after.intent.state,
                    IntentState::Closing | IntentState::Closed | IntentState::Captured
                ))
            }
            IntentState::Captured => {
                assert_eq!(
                    after.intent.state,
                    IntentState::Captured,
                    "a captured intent stays captured"
                )
            }
            _ => {}
        }
        let totals = |intent: &PaymentIntent| {
            let duplicate = [
                intent.duplicate_captured_total,
                intent.duplicate_refunded_total,
                intent.duplicate_refunds_reversed_total,
            ];
            [
                [intent.captured_total, intent.refunded_total, intent.refunds_reversed_total],
                duplicate,
            ]
            .concat()
        };
        assert!(
            totals(&after.intent)
                .iter()
                .zip(totals(&self.intent))
                .all(|(after, before)| *after >= before),
            "totals only grow"
        );
        assert!(after.intent.answered_attempt >= self.intent.answered_attempt);
        for (id, attempt) in &self.attempts {
            let next = &after.attempts[id];
            if attempt.state == AttemptState::Succeeded {
                assert_eq!(next.state, AttemptState::Succeeded, "a success is never lost");
            }
            let can_be_sent = matches!(
                next.state,
                AttemptState::New | AttemptState::Sent | AttemptState::OutcomeUnknown
            );
            assert!(
                attempt.state != AttemptState::Voiding || !can_be_sent,
                "a charge that is being voided is not sent again"
            );
            let is_sent = next.version > attempt.version && next.state == AttemptState::Sent;
            assert!(
                !is_sent || self.intent.allows_charge(*id, NOW),
                "a charge is sent only if its order wants it: {self:#?}"
            );
        }
    }

    pub(super) fn apply(&self, id: PaymentId, result: &ProviderResult, now: Timestamp) -> Self {
        self.after(apply_provider_result(&self.intent, &self.attempts[&id], result, now, MINUTE))
    }

    pub(super) fn apply_refund(&self, id: RefundId, result: &RefundResult) -> Self {
        let refund = &self.refunds[&id];
        self.after(apply_refund_result(
            &self.intent,
            &self.attempts[&refund.payment_id],
            refund,
            result,
            NOW,
            MINUTE,
        ))
    }

    pub(super) fn cancelled(&self) -> Self {
        let active = self.intent.active_attempt.and_then(|id| self.attempts.get(&id));
        let records = self.after(self.intent.close(
            active,
            self.intent.answered_attempt + 1,
            NOW,
            MINUTE,
            &trace(),
        ));
        assert!(records.intent.may_start(NOW).is_err(), "no attempt starts after closing");
        records
    }

    /// Every state that one transition leads to.
    fn steps(&self) -> Vec<Self> {
        let mut steps = vec![self.cancelled()];
        let number = u8::try_from(self.attempts.len()).expect("a small number");
        if number < ATTEMPTS && self.intent.may_start(NOW).is_ok() {
            let attempt = attempt(number);
            steps.push(self.after(Change {
                intent: Some(self.intent.processing_with(&attempt, NOW)),
                attempt: Some(attempt),
                ..Change::default()
            }));
        }
        for (id, attempt) in &self.attempts {
            if attempt.may_be_sent(&self.intent, NOW) {
                steps.push(self.after(Change {
                    attempt: Some(attempt.sending("me", NOW, MINUTE)),
                    ..Change::default()
                }));
            }
            if matches!(attempt.state, AttemptState::Sent | AttemptState::OutcomeUnknown)
                && attempt.is_unwanted(&self.intent, LATE)
            {
                steps.push(self.after(Change {
                    attempt: Some(attempt.voiding(LATE, MINUTE)),
                    ..Change::default()
                }));
            }
            let is_rare = |result: &&ProviderResult| {
                matches!(result, ProviderResult::ActionRequired { .. } | ProviderResult::NotSent)
            };
            // These rare results are explored with one attempt only, which limits the number of
            // states.
            let applied: Vec<ProviderResult> = results()
                .iter()
                .filter(|result| !is_rare(result) || self.attempts.len() == 1)
                .cloned()
                .collect();
            steps.extend(applied.iter().map(|result| self.apply(*id, result, NOW)));
            steps.extend(applied.iter().map(|result| self.apply(*id, result, LATE)));
        }
        if let Some(paid) = self.intent.captured_payment
            && let Some(change) = begin_refund(
                &self.intent,
                &self.attempts[&paid],
                self.intent.answered_attempt + 1,
                "me",
                NOW,
                &trace(),
            )
            && self.intent.failed_refunds <= FAILED_REFUNDS
        {
            steps.push(self.after(change));
        }
        let requests =
            self.refunds.values().filter(|refund| refund.kind == RefundKind::Requested).count();
        if let Some(paid) = self.intent.captured_payment
            && requests < REQUESTED_REFUNDS
            // Requested refunds are explored with one attempt only, because duplicate captures are
            // refunded automatically.
            && self.attempts.len() == 1
            && let Ok(change) = begin_requested_refund(&self.intent, &self.attempts[&paid], &requested(), "me", NOW, &trace())
        {
            steps.push(self.after(change));
        }
        for (id, refund) in &self.refunds {
            if refund.is_in_flight() {
                steps.push(self.after(Change {
                    refund: Some(refund.sending("me", NOW, MINUTE)),
                    ..Change::default()
                }));
            }
            for result in refund_results(refund) {
                if refund.number < FAILED_REFUNDS
                    || !matches!(
                        result,
                        RefundResult::Failed { .. } | RefundResult::Rejected { .. }
                    )
                {
                    steps.push(self.apply_refund(*id, &result));
                }
            }
        }
        steps
    }

    /// Identifies the state, without counters and times.
    pub(super) fn name(&self) -> String {
        let intent = &self.intent;
        let attempts: Vec<_> = self
            .attempts
            .values()
            .map(|a| (&a.state, a.duplicate_capture, a.refunded, a.dispatch.sent_at.is_some()))
            .collect();
        let refunds: Vec<_> = self
            .refunds
            .iter()
            .map(|(id, r)| (id, &r.state, r.provider_refund_id.is_some()))
            .collect();
        let state = (
            &intent.state,
            &intent.last_event,
            intent.attempts_left,
            &intent.active_attempt,
            &intent.captured_payment,
        );
        let money = (
            intent.refunded_total,
            intent.refunds_reversed_total,
            intent.refundable,
            intent.refund_failed,
            intent.failed_refunds,
        );
        format!(
            "{state:?} {money:?} {attempts:?} {refunds:?} {:?}",
            intent.duplicate_refunds_refused
        )
    }
}

pub(super) fn reachable() -> &'static [Records] {
    static REACHABLE: OnceLock<Vec<Records>> = OnceLock::new();
    REACHABLE.get_or_init(explored)
}

fn explored() -> Vec<Records> {
    let start = Records { intent: intent(), attempts: BTreeMap::new(), refunds: BTreeMap::new() };
    let mut known = HashMap::from([(start.name(), start.clone())]);
    let mut pending = VecDeque::from([start]);
    while let Some(records) = pending.pop_front() {
        for next in records.steps() {
            if let Entry::Vacant(place) = known.entry(next.name()) {
                pending.push_back(place.insert(next).clone());
            }
        }
    }
    known.into_values().collect()
}
