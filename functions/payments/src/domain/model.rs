//! The rules, tried out exhaustively: every state that a head, two attempts and their refunds can reach by any facts and commands in any
//! order, and in each of them every fact once more, twice, and in pairs both ways round.

use std::{
    collections::{BTreeMap, HashMap, VecDeque, hash_map::Entry},
    sync::OnceLock,
    time::Duration,
};

use provider::{CardToken, ProviderResult, NextAction, PaymentId, RefundResult, RefundId};
use shared::{
    clock::Timestamp,
    ids::{self, OrderId, Uuid},
    money::{Currency, Money},
    telemetry::Trace,
};

use super::{
    Attempt, AttemptState, Change, Expected, Head, HeadFact, HeadState, MethodType, NewAttempt, PaymentMethod, Refund, RefundKind,
    RefundState, RequestedRefund, apply_provider_fact, apply_refund_fact, begin_refund, begin_requested_refund,
};

pub(crate) const NOW: Timestamp = Timestamp::from_milliseconds(1_795_000_000_000);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
/// After the head's `expires_at`.
const LATE: Timestamp = Timestamp::from_milliseconds(1_795_009_000_000);
pub(super) const PRICE: i64 = 5998;
/// How many attempts the model may start, and how many refunds for one reason may fail.
const ATTEMPTS: u8 = 2;
const FAILED_REFUNDS: u32 = 1;
/// How many refunds of a part may be requested.
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

fn expected() -> Expected {
    let expires_at = NOW.plus(30 * MINUTE);
    Expected {
        order_id: order(),
        user_id: ids::derive(&["the buyer"]),
        amount: usd(PRICE),
        expires_at,
        tries: u32::from(ATTEMPTS),
        drive: 0,
    }
}

pub(crate) fn head() -> Head {
    Head::opened(&expected(), NOW, &trace())
}

pub(super) fn nth_payment(number: u8) -> PaymentId {
    let uuid: Uuid = ids::derive_uuid(&["attempt", &number.to_string()]);
    PaymentId::new(order(), uuid)
}

pub(crate) fn attempt(number: u8) -> Attempt {
    let token = CardToken::try_from("tok_ok".to_owned()).expect("a token");
    let payment_method = PaymentMethod { r#type: MethodType::Card, token };
    let new = NewAttempt {
        payment_id: nth_payment(number),
        payment_method,
        provider: "double",
        livemode: false,
        lock_owner: "somebody",
        return_url: None,
        abandoned_after: super::NEVER_SENT,
        request: None,
        trace: &trace(),
    };
    Attempt::new(&head(), new, NOW)
}

pub(crate) fn facts() -> [ProviderResult; 7] {
    let succeeded = |amount| ProviderResult::Succeeded { transaction_id: "ch".to_owned(), amount, order_id: Some(order()) };
    [
        succeeded(usd(PRICE)),
        succeeded(usd(PRICE + 1)),
        ProviderResult::Declined { reason: "card_declined".to_owned() },
        ProviderResult::Abandoned { reason: "never_charged" },
        ProviderResult::OutcomeUnknown,
        ProviderResult::ActionRequired { transaction_id: "ch".to_owned(), next_action: NextAction { url: "https://bank.example".to_owned() } },
        ProviderResult::NotSent,
    ]
}

/// A request to give half of it back.
pub(super) fn requested() -> RequestedRefund {
    RequestedRefund {
        refund_id: ids::derive(&["requested"]),
        amount: Some(usd(PRICE / 2)),
        reason: "why".to_owned(),
        by: ids::derive(&["somebody"]),
        request_id: "request".to_owned(),
    }
}

fn refund_facts(refund: &Refund) -> [RefundResult; 5] {
    let succeeded = |amount| RefundResult::Succeeded { provider_refund_id: "re".to_owned(), amount };
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
    head: Head,
    attempts: BTreeMap<PaymentId, Attempt>,
    refunds: BTreeMap<RefundId, Refund>,
}

impl World {
    /// The world once `change` is written, as the store would: all of it, each record only as its next version.
    fn after(&self, change: Change) -> Self {
        let mut world = self.clone();
        if let Some(head) = change.head {
            assert_eq!(head.version, self.head.version + 1);
            world.head = head;
        }
        if let Some(attempt) = change.attempt {
            assert_eq!(attempt.version, self.attempts.get(&attempt.payment_id).map_or(0, |before| before.version) + 1);
            world.attempts.insert(attempt.payment_id, attempt);
        }
        for refund in [change.refund, change.next_refund].into_iter().flatten() {
            assert_eq!(refund.version, self.refunds.get(&refund.refund_id).map_or(0, |before| before.version) + 1);
            world.refunds.insert(refund.refund_id, refund);
        }
        world.check();
        self.check_step(&world);
        world
    }

    /// What holds in every state.
    fn check(&self) {
        let head = &self.head;
        let paid: Vec<&Attempt> =
            self.attempts.values().filter(|attempt| attempt.state == AttemptState::Succeeded && !attempt.surplus).collect();
        assert!(paid.len() <= 1, "two captures for one order: {self:#?}");
        assert_eq!(paid.first().map(|attempt| attempt.payment_id), head.captured_payment, "{self:#?}");
        assert_eq!(head.state == HeadState::Captured, head.captured_payment.is_some(), "{self:#?}");
        assert_eq!(head.captured_total, if head.captured_payment.is_some() { PRICE } else { 0 });
        let alive: Vec<PaymentId> = self.attempts.values().filter(|attempt| attempt.is_alive()).map(|attempt| attempt.payment_id).collect();
        for attempt in self.attempts.values() {
            assert_eq!(attempt.is_alive(), attempt.dispatch.check_at.is_some(), "who is not settled is looked after: {attempt:#?}");
            assert!(attempt.refunded >= 0);
        }
        assert!(alive.len() <= 1 && alive.first().is_none_or(|alive| head.active_attempt == Some(*alive)), "{self:#?}");
        match head.state {
            HeadState::Open | HeadState::Closed => {
                assert_eq!(head.active_attempt, None, "an open or closed head promises that nothing is alive")
            }
            HeadState::Busy | HeadState::Closing => assert!(head.active_attempt.is_some()),
            _ => {}
        }
        let of_order = || self.refunds.values().filter(|refund| refund.kind != RefundKind::Surplus);
        let holds = |refund: &&Refund| refund.is_alive() || refund.state == RefundState::NeedsReview;
        let held: i64 = of_order().filter(holds).map(|refund| refund.amount).sum();
        let back = head.refunded_net();
        assert!(back >= 0 && head.refundable >= 0 && held >= 0);
        assert_eq!(head.refunds_pending, held, "{self:#?}");
        assert_eq!(head.refundable + back + held, head.captured_total.max(back + held), "{self:#?}");
        for refund in self.refunds.values() {
            assert_eq!(refund.is_alive(), refund.dispatch.check_at.is_some(), "{refund:#?}");
        }
        for surplus in self.attempts.values().filter(|attempt| attempt.surplus && attempt.refunded == 0) {
            let on_its_way = self.refunds.values().any(|refund| refund.payment_id == surplus.payment_id && holds(&refund));
            assert!(on_its_way || head.surplus_refunds_refused.contains(&surplus.payment_id), "a surplus capture is looked after");
        }
    }

    /// What holds for every step.
    fn check_step(&self, after: &Self) {
        match self.head.state {
            HeadState::Closed => assert!(matches!(after.head.state, HeadState::Closed | HeadState::Captured), "closed never reopens"),
            HeadState::Closing => assert!(matches!(after.head.state, HeadState::Closing | HeadState::Closed | HeadState::Captured)),
            HeadState::Captured => assert_eq!(after.head.state, HeadState::Captured, "paid is paid"),
            _ => {}
        }
        let totals = |head: &Head| {
            let surplus = [head.surplus_captured, head.surplus_refunded, head.surplus_refunds_reversed];
            [[head.captured_total, head.refunded_total, head.refunds_reversed_total], surplus].concat()
        };
        assert!(totals(&after.head).iter().zip(totals(&self.head)).all(|(after, before)| *after >= before), "totals only grow");
        assert!(after.head.answered_drive >= self.head.answered_drive);
        for (id, attempt) in &self.attempts {
            let next = &after.attempts[id];
            if attempt.state == AttemptState::Succeeded {
                assert_eq!(next.state, AttemptState::Succeeded, "a success is never lost");
            }
            let can_be_sent = matches!(next.state, AttemptState::New | AttemptState::Sent | AttemptState::OutcomeUnknown);
            assert!(attempt.state != AttemptState::Fencing || !can_be_sent, "a charge that is fenced is not sent again");
            let is_sent = next.version > attempt.version && next.state == AttemptState::Sent;
            assert!(!is_sent || self.head.wants(*id, NOW), "only a charge that its order wants is sent: {self:#?}");
        }
    }

    fn told(&self, id: PaymentId, fact: &ProviderResult, now: Timestamp) -> Self {
        self.after(apply_provider_fact(&self.head, &self.attempts[&id], fact, now, MINUTE))
    }

    fn told_of_refund(&self, id: RefundId, fact: &RefundResult) -> Self {
        let refund = &self.refunds[&id];
        self.after(apply_refund_fact(&self.head, &self.attempts[&refund.payment_id], refund, fact, NOW, MINUTE))
    }

    fn fenced(&self) -> Self {
        let active = self.head.active_attempt.and_then(|id| self.attempts.get(&id));
        let world = self.after(self.head.fence(active, self.head.answered_drive + 1, NOW, MINUTE, &trace()));
        assert!(world.head.may_start(NOW).is_err(), "after the fence no attempt starts");
        world
    }

    /// Every world that one step leads to.
    fn steps(&self) -> Vec<Self> {
        let mut steps = vec![self.fenced()];
        let number = u8::try_from(self.attempts.len()).expect("few");
        if number < ATTEMPTS && self.head.may_start(NOW).is_ok() {
            let attempt = attempt(number);
            steps.push(self.after(Change { head: Some(self.head.busy_with(&attempt, NOW)), attempt: Some(attempt), ..Change::default() }));
        }
        for (id, attempt) in &self.attempts {
            if attempt.may_be_sent(&self.head, NOW) {
                steps.push(self.after(Change { attempt: Some(attempt.sending("me", NOW, MINUTE)), ..Change::default() }));
            }
            if matches!(attempt.state, AttemptState::Sent | AttemptState::OutcomeUnknown) && attempt.is_unwanted(&self.head, LATE) {
                steps.push(self.after(Change { attempt: Some(attempt.fencing(LATE, MINUTE)), ..Change::default() }));
            }
            let is_rare = |fact: &&ProviderResult| matches!(fact, ProviderResult::ActionRequired { .. } | ProviderResult::NotSent);
            // One attempt that waits for its customer, or that the provider rejected, stands for all.
            let told: Vec<ProviderResult> = facts().iter().filter(|fact| !is_rare(fact) || self.attempts.len() == 1).cloned().collect();
            steps.extend(told.iter().map(|fact| self.told(*id, fact, NOW)));
            steps.extend(told.iter().map(|fact| self.told(*id, fact, LATE)));
        }
        if let Some(paid) = self.head.captured_payment
            && let Some(change) = begin_refund(&self.head, &self.attempts[&paid], self.head.answered_drive + 1, "me", NOW, &trace())
            && self.head.failed_refunds <= FAILED_REFUNDS
        {
            steps.push(self.after(change));
        }
        let requests = self.refunds.values().filter(|refund| refund.kind == RefundKind::Requested).count();
        if let Some(paid) = self.head.captured_payment
            && requests < REQUESTED_REFUNDS
            // Beside second captures, which are given back by themselves, they only multiply the worlds.
            && self.attempts.len() == 1
            && let Ok(change) = begin_requested_refund(&self.head, &self.attempts[&paid], &requested(), "me", NOW, &trace())
        {
            steps.push(self.after(change));
        }
        for (id, refund) in &self.refunds {
            if refund.is_alive() {
                steps.push(self.after(Change { refund: Some(refund.sending("me", NOW, MINUTE)), ..Change::default() }));
            }
            for fact in refund_facts(refund) {
                if refund.number < FAILED_REFUNDS || !matches!(fact, RefundResult::Failed { .. } | RefundResult::Rejected { .. }) {
                    steps.push(self.told_of_refund(*id, &fact));
                }
            }
        }
        steps
    }

    /// What tells this world from others, leaving out what only counts or dates.
    fn name(&self) -> String {
        let head = &self.head;
        let attempts: Vec<_> = self.attempts.values().map(|a| (&a.state, a.surplus, a.refunded, a.dispatch.sent_at.is_some())).collect();
        let refunds: Vec<_> = self.refunds.iter().map(|(id, r)| (id, &r.state, r.provider_refund_id.is_some())).collect();
        let state = (&head.state, &head.last_fact, head.attempts_left, &head.active_attempt, &head.captured_payment);
        let money = (head.refunded_total, head.refunds_reversed_total, head.refundable, head.refund_failed, head.failed_refunds);
        format!("{state:?} {money:?} {attempts:?} {refunds:?} {:?}", head.surplus_refunds_refused)
    }
}

/// Every world that can be reached.
fn reachable() -> &'static [World] {
    static WORLDS: OnceLock<Vec<World>> = OnceLock::new();
    WORLDS.get_or_init(explored)
}

fn explored() -> Vec<World> {
    let start = World { head: head(), attempts: BTreeMap::new(), refunds: BTreeMap::new() };
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
fn whatever_happens_in_whatever_order_the_money_is_right() {
    let worlds = reachable();
    let has = |state: HeadState| worlds.iter().any(|world| world.head.state == state);
    assert!([HeadState::Open, HeadState::Busy, HeadState::Captured, HeadState::Closing, HeadState::Closed].into_iter().all(has));
    assert!(worlds.iter().any(|world| world.attempts.values().any(|attempt| attempt.surplus)), "the model reaches surplus captures");
    assert!(worlds.iter().any(|world| world.head.refunded_total == PRICE), "and refunds");
    assert!(worlds.iter().any(|world| world.head.refunds_reversed_total == PRICE), "and refunds that fail after they succeeded");
    assert!(worlds.len() > 1000, "{}", worlds.len());

    for world in worlds {
        let facts: Vec<ProviderResult> = facts().into_iter().filter(|fact| world.attempts.len() == 1 || !matches!(fact, ProviderResult::NotSent)).collect();
        for (id, attempt) in &world.attempts {
            for first in facts.clone() {
                let once = world.told(*id, &first, NOW);
                let twice = once.told(*id, &first, NOW);
                let repeats = first == ProviderResult::OutcomeUnknown && attempt.is_alive();
                assert!(repeats || once.name() == twice.name() && once.head == twice.head, "{first:?} twice");
                for second in facts.clone() {
                    let (one, other) = (once.told(*id, &second, NOW), world.told(*id, &second, NOW).told(*id, &first, NOW));
                    let charged = [&first, &second].contains(&&facts[0]);
                    for end in [&one, &other] {
                        assert!(!charged || end.attempts[id].state == AttemptState::Succeeded, "{first:?} and {second:?}");
                        assert!(!charged || end.head.captured_total == PRICE);
                    }
                    assert_eq!(one.head.captured_total, other.head.captured_total);
                    assert_eq!(one.attempts[id].is_alive(), other.attempts[id].is_alive(), "{first:?} and {second:?}");
                }
            }
        }
        for (id, refund) in &world.refunds {
            for first in refund_facts(refund) {
                let once = world.told_of_refund(*id, &first);
                let twice = once.told_of_refund(*id, &first);
                assert!(refund.is_alive() || once.name() == twice.name(), "{first:?} twice");
                for second in refund_facts(refund) {
                    let (one, other) = (once.told_of_refund(*id, &second), world.told_of_refund(*id, &second).told_of_refund(*id, &first));
                    assert_eq!(one.head.refunded_net(), other.head.refunded_net(), "{first:?} and {second:?}");
                }
            }
        }
    }
}

#[test]
fn from_every_state_the_money_can_be_set_right_again() {
    for world in reachable() {
        let in_review = world.attempts.values().any(|attempt| attempt.state == AttemptState::NeedsReview)
            || world.refunds.values().any(|refund| refund.state == RefundState::NeedsReview);
        if in_review {
            continue;
        }
        // The order gives up; whatever is alive comes to an end; what is captured is asked back, and the provider does as it is told.
        let mut world = world.fenced();
        let alive: Vec<PaymentId> =
            world.attempts.values().filter(|attempt| attempt.is_alive()).map(|attempt| attempt.payment_id).collect();
        for id in alive {
            world = world.told(id, &facts()[2], NOW);
        }
        for _ in 0..3 {
            let refunds: Vec<Refund> = world.refunds.values().filter(|refund| refund.is_alive()).cloned().collect();
            for refund in refunds {
                world = world.told_of_refund(refund.refund_id, &refund_facts(&refund)[0]);
            }
            if let Some(paid) = world.head.captured_payment
                && let Some(change) = begin_refund(&world.head, &world.attempts[&paid], 99, "me", NOW, &trace())
            {
                world = world.after(change);
            }
        }
        // A surplus capture whose refund failed late waits for a person.
        let waits = |a: &&Attempt| world.head.surplus_refunds_refused.contains(&a.payment_id);
        let succeeded = world.attempts.values().filter(|a| a.state == AttemptState::Succeeded && !waits(a));
        let kept: i64 = succeeded.map(|a| a.amount - a.refunded).sum();
        assert!(kept <= 0, "money is kept: {world:#?}");
        assert!(matches!(world.head.fact(), HeadFact::Closed | HeadFact::Refunded), "{world:#?}");
    }
}

#[test]
fn a_decline_opens_the_head_again_only_in_time_and_with_attempts_left() {
    let busy = |left: u32| {
        let attempt = attempt(0).sending("me", NOW, MINUTE);
        let head = Head { attempts_left: left + 1, ..head() }.busy_with(&attempt, NOW);
        (head, attempt)
    };
    let declined = &facts()[2];
    for (left, now, state) in [(1, NOW, HeadState::Open), (0, NOW, HeadState::Closed), (1, LATE, HeadState::Closed)] {
        let (head, attempt) = busy(left);
        let head = apply_provider_fact(&head, &attempt, declined, now, MINUTE).head.expect("a change");
        assert_eq!((head.state, head.failure_reason.as_deref()), (state, Some("card_declined")));
    }
}

#[test]
fn an_unknown_outcome_is_looked_at_later_and_later() {
    let mut attempt = attempt(0).sending("me", NOW, MINUTE);
    let head = head().busy_with(&attempt, NOW);
    let mut waits = Vec::new();
    for _ in 0..8 {
        attempt = apply_provider_fact(&head, &attempt, &ProviderResult::OutcomeUnknown, NOW, MINUTE).attempt.expect("a change");
        waits.push(attempt.dispatch.check_at.expect("it is looked at").since(NOW).as_secs() / 60);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
}

#[test]
fn what_the_provider_charged_must_be_what_was_asked_for() {
    let attempt = attempt(0).sending("me", NOW, MINUTE);
    let head = head().busy_with(&attempt, NOW);
    let euro = Money::new(PRICE, Currency::parse("EUR").expect("a currency"));
    let other: OrderId = ids::derive(&["another order"]);
    for (amount, order_id) in [(usd(1), Some(order())), (euro, Some(order())), (usd(PRICE), Some(other)), (usd(PRICE), None)] {
        let change = apply_provider_fact(&head, &attempt, &ProviderResult::Succeeded { transaction_id: "ch".into(), amount, order_id }, NOW, MINUTE);
        assert!(change.needs_review);
        let (head, attempt) = (change.head.expect("a head"), change.attempt.expect("an attempt"));
        assert_eq!(
            (attempt.state, head.state.clone(), head.fact()),
            (AttemptState::NeedsReview, HeadState::Busy, HeadFact::OutcomeUnknown)
        );
        assert_eq!(head.captured_total, 0);
    }
}
