//! Exhaustive model of the payment rules.
//!
//! It explores every state that an intent, two attempts and their refunds can reach by results and
//! commands in any order. In each state it applies every result again, twice, and every pair of
//! results in both orders.

use std::{
    collections::{BTreeMap, HashMap, VecDeque, hash_map::Entry},
    sync::OnceLock,
    time::Duration,
};

use provider::{CardToken, NextAction, PaymentId, ProviderResult, RefundId, RefundResult};
use shared::{
    clock::Timestamp,
    ids::{self, OrderId, Uuid},
    money::{Currency, Money},
    telemetry::Trace,
};

use super::{
    Attempt, AttemptState, Change, ExpectedPayment, IntentEvent, IntentState, NewAttempt,
    PaymentIntent, PaymentMethod, PaymentMethodType, Refund, RefundKind, RefundState,
    RequestedRefund, apply_provider_result, apply_refund_result, begin_refund,
    begin_requested_refund,
};

pub(crate) const NOW: Timestamp = Timestamp::from_milliseconds(1_795_000_000_000);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
/// After the intent's `expires_at`.
const LATE: Timestamp = Timestamp::from_milliseconds(1_795_009_000_000);
pub(super) const PRICE: i64 = 5998;
/// Attempts that the model may start, and refunds for one reason that may fail.
const ATTEMPTS: u8 = 2;
const FAILED_REFUNDS: u32 = 1;
/// Partial refunds that may be requested.
const REQUESTED_REFUNDS: usize = 1;

pub(crate) fn trace() -> Trace {
    Trace::start(&ids::Ids::seeded(1))
}

fn order() -> OrderId {
    ids::derive(&["the order"])
}

pub(super) fn usd(amount: i64) -> Money {
    Money::new(amount, Currency::parse("USD").expect("a currency"))
}

fn expected() -> ExpectedPayment {
    let expires_at = NOW.plus(30 * MINUTE);
    ExpectedPayment {
        order_id: order(),
        user_id: ids::derive(&["the buyer"]),
        amount: usd(PRICE),
        expires_at,
        tries: u32::from(ATTEMPTS),
        command_attempt: 0,
    }
}

pub(crate) fn intent() -> PaymentIntent {
    PaymentIntent::opened(&expected(), NOW, &trace())
}

pub(super) fn nth_payment(number: u8) -> PaymentId {
    let uuid: Uuid = ids::derive_uuid(&["attempt", &number.to_string()]);
    PaymentId::new(order(), uuid)
}

pub(crate) fn attempt(number: u8) -> Attempt {
    let token = CardToken::try_from("tok_ok".to_owned()).expect("a token");
    let payment_method = PaymentMethod { r#type: PaymentMethodType::Card, token };
    let new = NewAttempt {
        payment_id: nth_payment(number),
        payment_method,
        provider: "double",
        livemode: false,
        lock_owner: "another",
        return_url: None,
        abandoned_after: super::UNSENT_TIMEOUT,
        request: None,
        trace: &trace(),
    };
    Attempt::new(&intent(), new, NOW)
}

pub(crate) fn results() -> [ProviderResult; 7] {
    let succeeded = |amount| ProviderResult::Succeeded {
        transaction_id: "ch".to_owned(),
        amount,
        order_id: Some(order()),
    };
    [
        succeeded(usd(PRICE)),
        succeeded(usd(PRICE + 1)),
        ProviderResult::Declined { reason: "card_declined".to_owned() },
        ProviderResult::Abandoned { reason: "never_charged" },
        ProviderResult::OutcomeUnknown,
        ProviderResult::ActionRequired {
            transaction_id: "ch".to_owned(),
            next_action: NextAction { url: "https://bank.example".to_owned() },
        },
        ProviderResult::NotSent,
    ]
}

/// A request to refund half of the payment.
pub(super) fn requested() -> RequestedRefund {
    RequestedRefund {
        refund_id: ids::derive(&["requested"]),
        amount: Some(usd(PRICE / 2)),
        reason: "why".to_owned(),
        by: ids::derive(&["another"]),
        request_id: "request".to_owned(),
    }
}

fn refund_results(refund: &Refund) -> [RefundResult; 5] {
    let succeeded =
        |amount| RefundResult::Succeeded { provider_refund_id: "re".to_owned(), amount };
    [
        succeeded(refund.money()),
        succeeded(usd(refund.amount + 1)),
        RefundResult::Rejected { reason: "no".to_owned() },
        RefundResult::Failed { provider_refund_id: "re".to_owned(), reason: "closed".to_owned() },
        RefundResult::OutcomeUnknown,
    ]
}

#[derive(Clone, Debug)]
struct World {
    intent: PaymentIntent,
    attempts: BTreeMap<PaymentId, Attempt>,
    refunds: BTreeMap<RefundId, Refund>,
}

impl World {
    /// The state after `change` is written as the store would write it: all records, each with its
    /// next version.
    fn after(&self, change: Change) -> Self {
        let mut world = self.clone();
        if let Some(intent) = change.intent {
            assert_eq!(intent.version, self.intent.version + 1);
            world.intent = intent;
        }
        if let Some(attempt) = change.attempt {
            assert_eq!(
                attempt.version,
                self.attempts.get(&attempt.payment_id).map_or(0, |before| before.version) + 1
            );
            world.attempts.insert(attempt.payment_id, attempt);
        }
        for refund in [change.refund, change.next_refund].into_iter().flatten() {
            assert_eq!(
                refund.version,
                self.refunds.get(&refund.refund_id).map_or(0, |before| before.version) + 1
            );
            world.refunds.insert(refund.refund_id, refund);
        }
        world.check();
        self.check_step(&world);
        world
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
        let back = intent.refunded_net();
        assert!(back >= 0 && intent.refundable >= 0 && held >= 0);
        assert_eq!(intent.refunds_pending, held, "{self:#?}");
        assert_eq!(
            intent.refundable + back + held,
            intent.captured_total.max(back + held),
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

    fn apply(&self, id: PaymentId, result: &ProviderResult, now: Timestamp) -> Self {
        self.after(apply_provider_result(&self.intent, &self.attempts[&id], result, now, MINUTE))
    }

    fn apply_refund(&self, id: RefundId, result: &RefundResult) -> Self {
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

    fn cancelled(&self) -> Self {
        let active = self.intent.active_attempt.and_then(|id| self.attempts.get(&id));
        let world = self.after(self.intent.close(
            active,
            self.intent.answered_attempt + 1,
            NOW,
            MINUTE,
            &trace(),
        ));
        assert!(world.intent.may_start(NOW).is_err(), "no attempt starts after closing");
        world
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
            // Requested refunds beside duplicate captures, which are refunded automatically, would
            // only multiply the states.
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
    fn name(&self) -> String {
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

/// Every reachable state.
fn reachable() -> &'static [World] {
    static WORLDS: OnceLock<Vec<World>> = OnceLock::new();
    WORLDS.get_or_init(explored)
}

fn explored() -> Vec<World> {
    let start = World { intent: intent(), attempts: BTreeMap::new(), refunds: BTreeMap::new() };
    let mut known = HashMap::from([(start.name(), start.clone())]);
    let mut waiting = VecDeque::from([start]);
    while let Some(world) = waiting.pop_front() {
        for next in world.steps() {
            if let Entry::Vacant(place) = known.entry(next.name()) {
                waiting.push_back(place.insert(next).clone());
            }
        }
    }
    known.into_values().collect()
}

#[test]
fn every_reachable_state_keeps_the_money_invariants() {
    let worlds = reachable();
    let has = |state: IntentState| worlds.iter().any(|world| world.intent.state == state);
    assert!(
        [
            IntentState::Open,
            IntentState::Processing,
            IntentState::Captured,
            IntentState::Closing,
            IntentState::Closed
        ]
        .into_iter()
        .all(has)
    );
    assert!(
        worlds.iter().any(|world| world.attempts.values().any(|attempt| attempt.duplicate_capture)),
        "the model reaches duplicate captures"
    );
    assert!(
        worlds.iter().any(|world| world.intent.refunded_total == PRICE),
        "the model reaches full refunds"
    );
    assert!(
        worlds.iter().any(|world| world.intent.refunds_reversed_total == PRICE),
        "the model reaches reversed refunds"
    );
    assert!(worlds.len() > 1000, "{}", worlds.len());

    for world in worlds {
        let results: Vec<ProviderResult> = results()
            .into_iter()
            .filter(|result| {
                world.attempts.len() == 1 || !matches!(result, ProviderResult::NotSent)
            })
            .collect();
        for (id, attempt) in &world.attempts {
            for first in results.clone() {
                let once = world.apply(*id, &first, NOW);
                let twice = once.apply(*id, &first, NOW);
                let repeats = first == ProviderResult::OutcomeUnknown && attempt.is_in_flight();
                assert!(
                    repeats || once.name() == twice.name() && once.intent == twice.intent,
                    "{first:?} twice"
                );
                for second in results.clone() {
                    let (one, other) = (
                        once.apply(*id, &second, NOW),
                        world.apply(*id, &second, NOW).apply(*id, &first, NOW),
                    );
                    let charged = [&first, &second].contains(&&results[0]);
                    for end in [&one, &other] {
                        assert!(
                            !charged || end.attempts[id].state == AttemptState::Succeeded,
                            "{first:?} and {second:?}"
                        );
                        assert!(!charged || end.intent.captured_total == PRICE);
                    }
                    assert_eq!(one.intent.captured_total, other.intent.captured_total);
                    assert_eq!(
                        one.attempts[id].is_in_flight(),
                        other.attempts[id].is_in_flight(),
                        "{first:?} and {second:?}"
                    );
                }
            }
        }
        for (id, refund) in &world.refunds {
            for first in refund_results(refund) {
                let once = world.apply_refund(*id, &first);
                let twice = once.apply_refund(*id, &first);
                assert!(refund.is_in_flight() || once.name() == twice.name(), "{first:?} twice");
                for second in refund_results(refund) {
                    let (one, other) = (
                        once.apply_refund(*id, &second),
                        world.apply_refund(*id, &second).apply_refund(*id, &first),
                    );
                    assert_eq!(
                        one.intent.refunded_net(),
                        other.intent.refunded_net(),
                        "{first:?} and {second:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn cancelled_order_keeps_no_money_from_any_state() {
    for world in reachable() {
        let in_review =
            world.attempts.values().any(|attempt| attempt.state == AttemptState::NeedsReview)
                || world.refunds.values().any(|refund| refund.state == RefundState::NeedsReview);
        if in_review {
            continue;
        }
        // The order is cancelled, attempts in flight settle, captured money is refunded, and the
        // provider accepts every request.
        let mut world = world.cancelled();
        let in_flight: Vec<PaymentId> = world
            .attempts
            .values()
            .filter(|attempt| attempt.is_in_flight())
            .map(|attempt| attempt.payment_id)
            .collect();
        for id in in_flight {
            world = world.apply(id, &results()[2], NOW);
        }
        for _ in 0..3 {
            let refunds: Vec<Refund> =
                world.refunds.values().filter(|refund| refund.is_in_flight()).cloned().collect();
            for refund in refunds {
                world = world.apply_refund(refund.refund_id, &refund_results(&refund)[0]);
            }
            if let Some(paid) = world.intent.captured_payment
                && let Some(change) =
                    begin_refund(&world.intent, &world.attempts[&paid], 99, "me", NOW, &trace())
            {
                world = world.after(change);
            }
        }
        // A duplicate capture whose refund was reversed waits for an admin.
        let waits = |a: &&Attempt| world.intent.duplicate_refunds_refused.contains(&a.payment_id);
        let succeeded =
            world.attempts.values().filter(|a| a.state == AttemptState::Succeeded && !waits(a));
        let kept: i64 = succeeded.map(|a| a.amount - a.refunded).sum();
        assert!(kept <= 0, "a cancelled order keeps money: {world:#?}");
        assert!(
            matches!(world.intent.event(), IntentEvent::Closed | IntentEvent::Refunded),
            "{world:#?}"
        );
    }
}

#[test]
fn decline_reopens_the_intent_only_before_expiry_with_attempts_left() {
    let processing = |left: u32| {
        let attempt = attempt(0).sending("me", NOW, MINUTE);
        let intent =
            PaymentIntent { attempts_left: left + 1, ..intent() }.processing_with(&attempt, NOW);
        (intent, attempt)
    };
    let declined = &results()[2];
    for (left, now, state) in
        [(1, NOW, IntentState::Open), (0, NOW, IntentState::Closed), (1, LATE, IntentState::Closed)]
    {
        let (intent, attempt) = processing(left);
        let intent = apply_provider_result(&intent, &attempt, declined, now, MINUTE)
            .intent
            .expect("a change");
        assert_eq!(
            (intent.state, intent.failure_reason.as_deref()),
            (state, Some("card_declined"))
        );
    }
}

#[test]
fn unknown_outcome_is_checked_with_growing_delays() {
    let mut attempt = attempt(0).sending("me", NOW, MINUTE);
    let intent = intent().processing_with(&attempt, NOW);
    let mut waits = Vec::new();
    for _ in 0..8 {
        attempt =
            apply_provider_result(&intent, &attempt, &ProviderResult::OutcomeUnknown, NOW, MINUTE)
                .attempt
                .expect("a change");
        waits.push(attempt.dispatch.next_check_at.expect("a next check").since(NOW).as_secs() / 60);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
}

#[test]
fn charge_with_another_amount_or_order_needs_review() {
    let attempt = attempt(0).sending("me", NOW, MINUTE);
    let intent = intent().processing_with(&attempt, NOW);
    let euro = Money::new(PRICE, Currency::parse("EUR").expect("a currency"));
    let other: OrderId = ids::derive(&["another order"]);
    for (amount, order_id) in [
        (usd(1), Some(order())),
        (euro, Some(order())),
        (usd(PRICE), Some(other)),
        (usd(PRICE), None),
    ] {
        let change = apply_provider_result(
            &intent,
            &attempt,
            &ProviderResult::Succeeded { transaction_id: "ch".into(), amount, order_id },
            NOW,
            MINUTE,
        );
        assert!(change.needs_review);
        let (intent, attempt) =
            (change.intent.expect("an intent"), change.attempt.expect("an attempt"));
        assert_eq!(
            (attempt.state, intent.state.clone(), intent.event()),
            (AttemptState::NeedsReview, IntentState::Processing, IntentEvent::OutcomeUnknown)
        );
        assert_eq!(intent.captured_total, 0);
    }
}
