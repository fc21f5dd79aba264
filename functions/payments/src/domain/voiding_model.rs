//! Exhaustive model of voiding one attempt.
//!
//! The order may be cancelled or expire. A charge request may arrive late, twice or never,
//! responses may be lost, and searches may lag. The provider forgets keys after a day.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    time::Duration,
};

use provider::ProviderResult;
use shared::clock::Timestamp;

use super::{
    Attempt, AttemptState, Change, IntentState, PaymentIntent, apply_provider_result,
    model::{MINUTE, NOW, attempt, intent, results, trace},
};

/// Times of events: before and after the order's deadline, when the key is too old to be used, and
/// when the provider has forgotten it.
const TIMES: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_secs(3600),
    Duration::from_secs(23 * 3600),
    Duration::from_secs(25 * 3600),
];
const KEY_TOO_OLD: usize = 2;
const KEY_FORGOTTEN: usize = 3;

/// Outcome of a charge at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChargeOutcome {
    Charged,
    Declined,
    Waiting,
    Cancelled,
    /// The charge failed with a server error, which the provider repeats.
    ServerError,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Unused,
    Charge,
    Probe,
}

#[derive(Clone, Debug)]
struct VoidingModel {
    time: usize,
    intent: PaymentIntent,
    attempt: Attempt,
    /// Whether a charge request is in transit.
    in_transit: bool,
    key: Key,
    made: Option<ChargeOutcome>,
}

impl VoidingModel {
    fn start() -> Self {
        let attempt = attempt(0);
        let intent = intent().processing_with(&attempt, NOW);
        Self { time: 0, intent, attempt, in_transit: false, key: Key::Unused, made: None }
    }

    fn now(&self) -> Timestamp {
        // The second list is read ten minutes after the first.
        let again = if self.attempt.missing_since.is_some() { 11 * MINUTE } else { Duration::ZERO };
        NOW.plus(TIMES[self.time]).plus(again)
    }

    fn after(&self, change: Change) -> Self {
        Self {
            intent: change.intent.unwrap_or_else(|| self.intent.clone()),
            attempt: change.attempt.unwrap_or_else(|| self.attempt.clone()),
            ..self.clone()
        }
    }

    fn apply(&self, result: &ProviderResult) -> Self {
        self.after(apply_provider_result(&self.intent, &self.attempt, result, self.now(), MINUTE))
    }

    fn with(&self, attempt: Attempt) -> Self {
        Self { attempt, ..self.clone() }
    }

    fn check(&self) {
        let charged = self.made == Some(ChargeOutcome::Charged);
        let ended = matches!(self.attempt.state, AttemptState::Declined | AttemptState::Abandoned);
        assert!(
            !charged || !ended && self.intent.state != IntentState::Closed,
            "charged after it was abandoned: {self:#?}"
        );
        assert!(self.attempt.state != AttemptState::Succeeded || charged, "{self:#?}");
    }

    fn cancelled(&self) -> Self {
        self.after(self.intent.close(
            Some(&self.attempt),
            self.intent.answered_attempt,
            self.now(),
            MINUTE,
            &trace(),
        ))
    }

    /// A charge request reaches the provider.
    fn arrives(&self, made: ChargeOutcome) -> Self {
        let model = Self { in_transit: false, ..self.clone() };
        match self.key {
            Key::Unused => Self { key: Key::Charge, made: Some(made), ..model },
            Key::Charge | Key::Probe => model,
        }
    }

    /// The result that the provider reports for the charge.
    fn shown(&self) -> Option<ProviderResult> {
        let [charged, _, declined, ..] = results();
        match self.made? {
            ChargeOutcome::Charged => Some(charged),
            ChargeOutcome::Declined => Some(declined),
            ChargeOutcome::Waiting => Some(results()[5].clone()),
            ChargeOutcome::Cancelled => Some(ProviderResult::Abandoned { reason: "cancelled" }),
            ChargeOutcome::ServerError => None,
        }
    }

    /// Cancels a waiting charge, or records the outcome that it has by now.
    fn cancelled_charge(&self) -> Self {
        let made = self.made.map(|made| {
            if made == ChargeOutcome::Waiting { ChargeOutcome::Cancelled } else { made }
        });
        let model = Self { made, ..self.clone() };
        match model.shown() {
            Some(result) => model.apply(&result),
            None => model,
        }
    }

    /// Records the result of a lookup, or cancels an unwanted charge.
    fn found(&self, result: &ProviderResult) -> Self {
        if result.is_pending() && self.attempt.is_unwanted(&self.intent, self.now()) {
            self.cancelled_charge()
        } else {
            self.apply(result)
        }
    }

    /// Reads the provider's list of charges.
    fn listed(&self) -> Self {
        match self.shown() {
            Some(result) => self.apply(&result),
            None if self.attempt.is_missing_twice(self.now()) => {
                self.apply(&ProviderResult::NeverCreated)
            }
            None => self.with(self.attempt.missing(self.now())),
        }
    }

    /// Asks the provider to void the charge and receives its response.
    fn voided(&self) -> Self {
        assert_eq!(
            self.attempt.state,
            AttemptState::Voiding,
            "the attempt is marked before the provider is called"
        );
        match self.key {
            Key::Unused | Key::Probe => Self { key: Key::Probe, ..self.clone() }
                .apply(&ProviderResult::Abandoned { reason: "order_closed" }),
            // Reading the stored answer creates no new charge.
            Key::Charge => match self.shown() {
                Some(result) => self.apply(&result),
                None => self.with(self.attempt.with_failed_key(self.now(), MINUTE)),
            },
        }
    }

    fn can_be_voided(&self) -> bool {
        let state = matches!(self.attempt.state, AttemptState::Sent | AttemptState::OutcomeUnknown);
        state
            && self.attempt.is_unwanted(&self.intent, self.now())
            && !self.attempt.must_be_listed(self.now())
    }

    /// Every state that one transition leads to.
    fn steps(&self) -> Vec<Self> {
        let mut steps = vec![self.cancelled()];
        if self.time < KEY_FORGOTTEN {
            let time = self.time + 1;
            // No request is in transit for 23 hours.
            let in_transit = self.in_transit && time < KEY_TOO_OLD;
            let key = if time < KEY_FORGOTTEN { self.key } else { Key::Unused };
            steps.push(Self { time, in_transit, key, ..self.clone() });
        }
        if self.in_transit {
            steps.extend(
                [
                    ChargeOutcome::Charged,
                    ChargeOutcome::Declined,
                    ChargeOutcome::Waiting,
                    ChargeOutcome::ServerError,
                ]
                .map(|made| self.arrives(made)),
            );
            steps.push(Self { in_transit: false, ..self.clone() });
        }
        if self.made == Some(ChargeOutcome::Waiting) {
            steps.push(Self { made: Some(ChargeOutcome::Charged), ..self.clone() });
        }
        // Searches may lag, so no transition below depends on their result.
        if self.attempt.may_be_sent(&self.intent, self.now()) {
            assert!(self.intent.allows_charge(self.attempt.payment_id, self.now()));
            steps.push(Self {
                in_transit: true,
                ..self.with(self.attempt.sending("me", self.now(), MINUTE))
            });
        }
        if self.attempt.is_in_flight() && self.attempt.dispatch.sent_at.is_some() {
            steps.extend(self.shown().map(|result| self.found(&result)));
            steps.push(self.apply(&ProviderResult::OutcomeUnknown));
        }
        if self.can_be_voided() {
            steps.push(self.with(self.attempt.voiding(self.now(), MINUTE)));
        }
        if self.attempt.state == AttemptState::Voiding && !self.attempt.must_be_listed(self.now()) {
            steps.push(self.voided());
            // The key is taken, but the response is lost.
            steps.push(Self {
                key: if self.key == Key::Unused { Key::Probe } else { self.key },
                ..self.clone()
            });
        }
        if self.attempt.is_in_flight()
            && self.attempt.dispatch.sent_at.is_some()
            && self.attempt.must_be_listed(self.now())
        {
            steps.push(self.listed());
        }
        steps
    }

    /// One reconciliation step with a provider that answers every call.
    fn reconciled(&self) -> Self {
        match (&self.attempt.state, self.shown()) {
            (AttemptState::New, _) => {
                self.apply(&ProviderResult::Abandoned { reason: "order_closed" })
            }
            (AttemptState::Voiding, _) if !self.attempt.must_be_listed(self.now()) => self.voided(),
            (
                AttemptState::Sent | AttemptState::OutcomeUnknown | AttemptState::RequiresAction,
                Some(result),
            ) => self.found(&result),
            _ if self.can_be_voided() => self.with(self.attempt.voiding(self.now(), MINUTE)),
            _ => self.listed(),
        }
    }

    fn name(&self) -> String {
        let attempt = &self.attempt;
        let marks = (
            attempt.dispatch.sent_at,
            attempt.key_failed,
            attempt.missing_since,
            attempt.transaction_id.is_some(),
        );
        format!(
            "{} {:?} {:?} {:?}",
            self.time,
            (&self.intent.state, &attempt.state),
            marks,
            (self.in_transit, self.key, self.made)
        )
    }
}

fn reachable() -> Vec<VoidingModel> {
    let start = VoidingModel::start();
    let mut known = HashMap::from([(start.name(), start.clone())]);
    let mut waiting = VecDeque::from([start]);
    while let Some(model) = waiting.pop_front() {
        for next in model.steps() {
            next.check();
            if let Entry::Vacant(place) = known.entry(next.name()) {
                waiting.push_back(place.insert(next).clone());
            }
        }
    }
    known.into_values().collect()
}

#[test]
fn cancelled_attempt_is_never_charged_and_always_ends() {
    let states = reachable();
    let has = |state: AttemptState| states.iter().any(|model| model.attempt.state == state);
    assert!(
        [AttemptState::Voiding, AttemptState::Abandoned, AttemptState::Succeeded]
            .into_iter()
            .all(has)
    );
    assert!(
        states
            .iter()
            .any(|model| model.attempt.state == AttemptState::Abandoned && model.in_transit),
        "an attempt is abandoned while its request is in transit"
    );
    assert!(states.len() > 200, "{}", states.len());
    for model in states {
        let mut model = VoidingModel { in_transit: false, ..model.cancelled() };
        for _ in 0..8 {
            if model.attempt.is_in_flight() {
                model = model.reconciled();
                model.check();
            }
        }
        let charged = model.made == Some(ChargeOutcome::Charged);
        assert!(!model.attempt.is_in_flight(), "{model:#?}");
        assert_eq!(model.attempt.state == AttemptState::Succeeded, charged, "{model:#?}");
    }
}
