//! Exhaustive model of refunds and disputes against a provider with its own records.
//!
//! The provider makes refunds, rejects them, and lets them fail days later. Its staff makes refunds
//! by hand, and banks dispute the charge and decide. A lookup is recorded at once, later, twice,
//! or after a newer one. The model visits every reachable state. Once everything is looked up
//! again, the totals must match the provider's.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use provider::{
    DisputeState, ProviderDispute, ProviderRefund, ProviderResult, RefundId, RefundResult,
};

use super::{
    Attempt, Change, IntentEvent, MAX_FAILED_AUTOMATIC_REFUNDS, PaymentIntent, Refund, RefundKind,
    RefundState, adopt_refund, apply_provider_dispute, apply_provider_result, apply_refund_result,
    begin_refund, begin_requested_refund,
    model::{MINUTE, NOW, PRICE, attempt, intent, nth_payment, requested, trace, usd},
};

/// A refund at the provider: its amount, and whether it has failed.
type AtProvider = (i64, bool);

/// A lookup whose result is not recorded yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lookup {
    Refund(String, bool),
    Dispute(DisputeState),
}

#[derive(Clone, Debug)]
struct RefundModel {
    intent: PaymentIntent,
    paid: Attempt,
    refunds: BTreeMap<RefundId, Refund>,
    /// The provider's refunds by their ids.
    provider: BTreeMap<String, AtProvider>,
    dispute: Option<DisputeState>,
    lookups: BTreeSet<Lookup>,
    /// Numbers of refunds: made by hand, requested, and failed late.
    made: [u8; 3],
}

const DISPUTE: &str = "dp_1";
const BY_HAND: &str = "re_by_hand";

impl RefundModel {
    /// A paid order after `failed` automatic refunds have failed.
    fn paid(failed: u32) -> Self {
        let sent = attempt(0).sending("me", NOW, MINUTE);
        let result = ProviderResult::Succeeded {
            transaction_id: "ch".to_owned(),
            amount: usd(PRICE),
            order_id: Some(sent.order_id),
        };
        let change = apply_provider_result(
            &intent().processing_with(&sent, NOW),
            &sent,
            &result,
            NOW,
            MINUTE,
        );
        let (intent, paid) =
            (change.intent.expect("an intent"), change.attempt.expect("an attempt"));
        let intent =
            PaymentIntent { automatic_refunds_failed: failed, failed_refunds: failed, ..intent };
        let (refunds, provider, lookups) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Self { intent, paid, refunds, provider, dispute: None, lookups, made: [0; 3] }
    }

    fn after(&self, change: Change) -> Self {
        let mut model = self.clone();
        if let Some(intent) = change.intent {
            assert_eq!(intent.version, self.intent.version + 1);
            model.intent = intent;
        }
        if let Some(paid) = change.attempt {
            assert_eq!(paid.version, self.paid.version + 1);
            model.paid = paid;
        }
        if let Some(refund) = change.refund {
            assert_eq!(
                refund.version,
                self.refunds.get(&refund.refund_id).map_or(0, |before| before.version) + 1
            );
            model.refunds.insert(refund.refund_id, refund);
        }
        assert_eq!(change.next_refund, None, "this model has no duplicate captures");
        let (before, after) = (&self.intent, &model.intent);
        let totals = |intent: &PaymentIntent| {
            [
                intent.refunded_total,
                intent.refunds_reversed_total,
                intent.dispute_withdrawn_total,
                intent.dispute_reinstated_total,
            ]
        };
        assert!(
            totals(after).iter().zip(totals(before)).all(|(after, before)| *after >= before),
            "totals only grow"
        );
        assert!(after.refunded_net() >= 0, "{model:#?}");
        assert_eq!(model.paid.refunded, after.refunded_net(), "{model:#?}");
        let left = after.captured_total
            - after.refunded_net()
            - after.refunds_pending
            - after.disputed_amount();
        assert_eq!(after.refundable, left.max(0), "{model:#?}");
        model
    }

    /// Amount that the provider refunded and that did not fail.
    fn refunded_at_provider(&self) -> i64 {
        self.provider.values().filter(|(_, failed)| !failed).map(|(amount, _)| amount).sum()
    }

    /// The provider's id of one of our refunds.
    fn provider_id_of(refund: &Refund) -> String {
        refund.provider_refund_id.clone().unwrap_or_else(|| format!("re_{}", refund.refund_id))
    }

    fn result(name: &str, amount: i64, failed: bool) -> RefundResult {
        let provider_refund_id = name.to_owned();
        if failed {
            RefundResult::Failed { provider_refund_id, reason: "closed".to_owned() }
        } else {
            RefundResult::Succeeded { provider_refund_id, amount: usd(amount) }
        }
    }

    fn recorded(&self, lookup: &Lookup) -> Self {
        match lookup {
            Lookup::Dispute(state) => {
                let (dispute_id, payment_id) = (DISPUTE.to_owned(), nth_payment(0));
                let result = ProviderDispute {
                    dispute_id,
                    payment_id,
                    amount: usd(PRICE),
                    state: state.clone(),
                };
                let change = apply_provider_dispute(&self.intent, &result, NOW, &trace());
                assert!(!change.needs_review);
                self.after(change)
            }
            Lookup::Refund(name, failed) => {
                let (amount, _) = self.provider[name];
                let result = Self::result(name, amount, *failed);
                match self.refunds.values().find(|refund| Self::provider_id_of(refund) == *name) {
                    Some(refund) => self.after(apply_refund_result(
                        &self.intent,
                        &self.paid,
                        refund,
                        &result,
                        NOW,
                        MINUTE,
                    )),
                    None => {
                        let found = ProviderRefund {
                            provider_refund_id: name.clone(),
                            payment_id: nth_payment(0),
                            amount: usd(amount),
                            result,
                        };
                        self.after(adopt_refund(
                            &self.intent,
                            &self.paid,
                            &found,
                            NOW,
                            MINUTE,
                            &trace(),
                        ))
                    }
                }
            }
        }
    }

    /// All lookups that are possible in this state.
    fn truth(&self) -> Vec<Lookup> {
        let refunds =
            self.provider.iter().map(|(name, (_, failed))| Lookup::Refund(name.clone(), *failed));
        refunds.chain(self.dispute.clone().map(Lookup::Dispute)).collect()
    }

    /// The provider accepts a refund if the charge has that amount left and is not disputed.
    fn accepts(&self, amount: i64) -> bool {
        let is_disputed = matches!(
            self.dispute,
            Some(DisputeState::Open | DisputeState::Withdrawn | DisputeState::Lost)
        );
        !is_disputed && self.refunded_at_provider() + amount <= PRICE
    }

    fn steps(&self) -> Vec<Self> {
        let mut steps = Vec::new();
        if let Some(change) = begin_refund(
            &self.intent,
            &self.paid,
            self.intent.answered_attempt + 1,
            "me",
            NOW,
            &trace(),
        ) {
            steps.push(self.after(change));
        }
        if self.made[1] == 0
            && let Ok(change) =
                begin_requested_refund(&self.intent, &self.paid, &requested(), "me", NOW, &trace())
        {
            steps.push(Self { made: [self.made[0], 1, self.made[2]], ..self.after(change) });
        }
        for refund in self.refunds.values().filter(|refund| refund.is_in_flight()) {
            let name = Self::provider_id_of(refund);
            if self.provider.contains_key(&name) {
                continue;
            }
            if self.accepts(refund.amount) {
                let mut model = self.clone();
                model.provider.insert(name, (refund.amount, false));
                steps.push(model);
            } else {
                let result = RefundResult::Rejected { reason: "charge_disputed".to_owned() };
                steps.push(self.after(apply_refund_result(
                    &self.intent,
                    &self.paid,
                    refund,
                    &result,
                    NOW,
                    MINUTE,
                )));
            }
        }
        if self.made[0] == 0 && self.accepts(PRICE / 2) {
            let mut model = self.clone();
            model.provider.insert(BY_HAND.to_owned(), (PRICE / 2, false));
            model.made[0] = 1;
            steps.push(model);
        }
        if self.made[2] == 0 {
            for name in self.provider.keys() {
                let mut model = self.clone();
                model.provider.get_mut(name).expect("a refund at the provider").1 = true;
                model.made[2] = 1;
                steps.push(model);
            }
        }
        let next: &[DisputeState] = match &self.dispute {
            None => &[DisputeState::Inquiry, DisputeState::Open, DisputeState::Withdrawn],
            Some(DisputeState::Inquiry) => &[DisputeState::InquiryClosed, DisputeState::Withdrawn],
            Some(DisputeState::Open) => &[DisputeState::Withdrawn, DisputeState::Won],
            Some(DisputeState::Withdrawn) => &[DisputeState::Won, DisputeState::Lost],
            _ => &[],
        };
        // A bank withdraws no more than the charge has left.
        let next = next.iter().filter(|_| self.refunded_at_provider() == 0);
        steps.extend(next.map(|state| Self { dispute: Some(state.clone()), ..self.clone() }));
        if self.lookups.is_empty() {
            for lookup in self.truth() {
                let mut model = self.clone();
                if model.lookups.insert(lookup) {
                    steps.push(model);
                }
            }
        }
        for lookup in &self.lookups {
            let model = self.recorded(lookup);
            let twice = model.recorded(lookup);
            assert_eq!(
                (&model.intent, &model.refunds),
                (&twice.intent, &twice.refunds),
                "{lookup:?} twice"
            );
            // The lookup is recorded for the last time, or remains and is recorded again.
            let mut last = model.clone();
            last.lookups.remove(lookup);
            steps.extend([last, model]);
        }
        steps
    }

    /// Identifies the state, without counters and times.
    fn name(&self) -> String {
        let intent = &self.intent;
        let refunds: Vec<_> = self
            .refunds
            .values()
            .map(|r| (&r.kind, r.amount, &r.state, r.provider_refund_id.is_some()))
            .collect();
        let disputes: Vec<_> =
            intent.disputes.iter().map(|dispute| (&dispute.state, dispute.held_amount)).collect();
        let money = (
            intent.refunded_total,
            intent.refunds_reversed_total,
            intent.refunds_pending,
            intent.refund_failed,
            intent.automatic_refunds_failed,
        );
        let taken = (intent.dispute_withdrawn_total, intent.dispute_reinstated_total);
        format!(
            "{money:?} {taken:?} {disputes:?} {refunds:?} {:?} {:?} {:?} {:?}",
            self.provider, self.dispute, self.lookups, self.made
        )
    }

    /// The state after everything is looked up and recorded.
    fn up_to_date(&self) -> Self {
        let mut model = self.clone();
        // Older lookups are recorded last.
        for lookup in self.truth().iter().chain(&self.lookups) {
            model = model.recorded(lookup);
        }
        model
    }

    fn check(&self) {
        let known = self.up_to_date();
        let (intent, refunded_at_provider) = (&known.intent, known.refunded_at_provider());
        assert_eq!(
            intent.refunded_net(),
            refunded_at_provider,
            "the refunded total equals the provider's: {known:#?}"
        );
        let taken = if matches!(self.dispute, Some(DisputeState::Withdrawn | DisputeState::Lost)) {
            PRICE
        } else {
            0
        };
        assert_eq!(intent.disputed_amount(), taken, "{known:#?}");
        let in_flight: i64 = known
            .refunds
            .values()
            .filter(|refund| refund.is_in_flight())
            .map(|refund| refund.amount)
            .sum();
        assert_eq!(
            intent.refundable,
            (PRICE - refunded_at_provider - taken - in_flight).max(0),
            "{known:#?}"
        );
        let is_refunded = refunded_at_provider + taken >= PRICE;
        assert_eq!(intent.event() == IntentEvent::Refunded, is_refunded, "{known:#?}");
        let reversed = known.refunds.values().any(|refund| refund.state == RefundState::Reversed);
        assert!(
            !reversed
                || in_flight > 0
                || intent.refund_failed
                || intent.refunded_total > intent.refunds_reversed_total
                || is_refunded,
            "a reversed refund flags the order: {known:#?}"
        );
        for refund in known.refunds.values() {
            assert_eq!(
                refund.is_in_flight(),
                refund.dispatch.next_check_at.is_some(),
                "{refund:#?}"
            );
        }
    }
}

fn explored(start: RefundModel) -> Vec<RefundModel> {
    let mut known = HashSet::from([start.name()]);
    let (mut waiting, mut all) = (VecDeque::from([start]), Vec::new());
    while let Some(model) = waiting.pop_front() {
        model.check();
        for next in model.steps() {
            if known.insert(next.name()) {
                waiting.push_back(next);
            }
        }
        all.push(model);
    }
    all
}

#[test]
fn totals_match_the_provider_after_failures_disputes_and_manual_refunds() {
    let states = explored(RefundModel::paid(MAX_FAILED_AUTOMATIC_REFUNDS - 2));
    let some = |is: &dyn Fn(&RefundModel) -> bool| states.iter().any(is);
    eprintln!("refund model: {} states", states.len());
    assert!(states.len() > 1000, "{}", states.len());
    assert!(
        some(&|model| model.intent.refunds_reversed_total > 0),
        "the model reaches reversed refunds"
    );
    assert!(
        some(&|model| model.intent.dispute_reinstated_total > 0),
        "the model reaches won disputes"
    );
    assert!(
        some(&|model| model
            .intent
            .disputes
            .iter()
            .any(|dispute| dispute.state == DisputeState::Lost)),
        "the model reaches lost disputes"
    );
    assert!(
        some(&|model| model
            .refunds
            .values()
            .any(|refund| refund.provider_refund_id.as_deref() == Some(BY_HAND))),
        "the model reaches adopted refunds"
    );
    assert!(
        some(&|model| model.intent.is_refund_refused()),
        "the model reaches the limit of automatic refunds"
    );
}

#[test]
fn automatic_refunds_stop_at_the_limit_and_requests_still_work() {
    let mut model = RefundModel::paid(0);
    for tries in 0..MAX_FAILED_AUTOMATIC_REFUNDS {
        assert_eq!(
            (model.intent.automatic_refunds_failed, model.intent.is_refund_refused()),
            (tries, false)
        );
        let change =
            begin_refund(&model.intent, &model.paid, u64::from(tries) + 1, "me", NOW, &trace())
                .expect("a refund");
        model = model.after(change);
        let refund = model
            .refunds
            .values()
            .find(|refund| refund.is_in_flight())
            .expect("a pending refund")
            .clone();
        assert_eq!(refund.kind, RefundKind::Automatic);
        let refused = RefundResult::Rejected { reason: "charge_disputed".to_owned() };
        model = model.after(apply_refund_result(
            &model.intent,
            &model.paid,
            &refund,
            &refused,
            NOW,
            MINUTE,
        ));
    }
    assert_eq!(
        (model.intent.is_refund_refused(), model.intent.event(), model.intent.refundable),
        (true, IntentEvent::RefundFailed, PRICE)
    );
    assert_eq!(begin_refund(&model.intent, &model.paid, 99, "me", NOW, &trace()), None);
    assert!(
        begin_requested_refund(&model.intent, &model.paid, &requested(), "me", NOW, &trace())
            .is_ok()
    );
}
