//! Exhaustive model of the payment rules.
//!
//! It explores every state that an intent, two attempts and their refunds can reach by results and
//! commands in any order. In each state it applies every result twice, and every pair of results in
//! both orders.

use std::time::Duration;

use provider::{CardToken, NextAction, PaymentId, ProviderResult, RefundResult};
use shared::{
    clock::Timestamp,
    ids::{self, OrderId, Uuid},
    money::{Currency, Money},
    telemetry::Trace,
};

use super::{
    Attempt, AttemptState, ExpectedPayment, IntentEvent, IntentState, NewAttempt, PaymentIntent,
    PaymentMethod, PaymentMethodType, Refund, RefundState, RequestedRefund, apply_provider_result,
    begin_refund,
};

mod records;

use records::reachable;

pub(crate) const NOW: Timestamp = Timestamp::from_milliseconds(1_795_000_000_000);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
/// After the intent's `expires_at`.
const LATE: Timestamp = Timestamp::from_milliseconds(1_795_009_000_000);
pub(super) const PRICE: i64 = 5998;
/// Attempts that the model may start.
const ATTEMPTS: u8 = 2;

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
        return_url: None,
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

#[test]
fn every_reachable_state_keeps_the_money_invariants() {
    let states = reachable();
    let has = |state: IntentState| states.iter().any(|records| records.intent.state == state);
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
        states
            .iter()
            .any(|records| records.attempts.values().any(|attempt| attempt.duplicate_capture)),
        "the model reaches duplicate captures"
    );
    assert!(
        states.iter().any(|records| records.intent.refunded_total == PRICE),
        "the model reaches full refunds"
    );
    assert!(
        states.iter().any(|records| records.intent.refunds_reversed_total == PRICE),
        "the model reaches reversed refunds"
    );
    assert!(states.len() > 1000, "{}", states.len());

    for records in states {
        let results: Vec<ProviderResult> = results()
            .into_iter()
            .filter(|result| {
                records.attempts.len() == 1 || !matches!(result, ProviderResult::NotSent)
            })
            .collect();
        for (id, attempt) in &records.attempts {
            for first in results.clone() {
                let once = records.apply(*id, &first, NOW);
                let twice = once.apply(*id, &first, NOW);
                let repeats = first == ProviderResult::OutcomeUnknown && attempt.is_in_flight();
                assert!(
                    repeats || once.name() == twice.name() && once.intent == twice.intent,
                    "{first:?} twice"
                );
                for second in results.clone() {
                    let (one, other) = (
                        once.apply(*id, &second, NOW),
                        records.apply(*id, &second, NOW).apply(*id, &first, NOW),
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
        for (id, refund) in &records.refunds {
            for first in refund_results(refund) {
                let once = records.apply_refund(*id, &first);
                let twice = once.apply_refund(*id, &first);
                assert!(refund.is_in_flight() || once.name() == twice.name(), "{first:?} twice");
                for second in refund_results(refund) {
                    let (one, other) = (
                        once.apply_refund(*id, &second),
                        records.apply_refund(*id, &second).apply_refund(*id, &first),
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
    for records in reachable() {
        let in_review =
            records.attempts.values().any(|attempt| attempt.state == AttemptState::NeedsReview)
                || records.refunds.values().any(|refund| refund.state == RefundState::NeedsReview);
        if in_review {
            continue;
        }
        // The order is cancelled, attempts in flight settle, captured money is refunded, and the
        // provider accepts every request.
        let mut records = records.cancelled();
        let in_flight: Vec<PaymentId> = records
            .attempts
            .values()
            .filter(|attempt| attempt.is_in_flight())
            .map(|attempt| attempt.payment_id)
            .collect();
        for id in in_flight {
            records = records.apply(id, &results()[2], NOW);
        }
        for _ in 0..3 {
            let refunds: Vec<Refund> =
                records.refunds.values().filter(|refund| refund.is_in_flight()).cloned().collect();
            for refund in refunds {
                records = records.apply_refund(refund.refund_id, &refund_results(&refund)[0]);
            }
            if let Some(paid) = records.intent.captured_payment
                && let Some(change) =
                    begin_refund(&records.intent, &records.attempts[&paid], 99, "me", NOW, &trace())
            {
                records = records.after(change);
            }
        }
        // A duplicate capture whose refund was reversed waits for an admin.
        let waits = |a: &&Attempt| records.intent.duplicate_refunds_refused.contains(&a.payment_id);
        let succeeded =
            records.attempts.values().filter(|a| a.state == AttemptState::Succeeded && !waits(a));
        let kept: i64 = succeeded.map(|a| a.amount - a.refunded).sum();
        assert!(kept <= 0, "a cancelled order keeps money: {records:#?}");
        assert!(
            matches!(records.intent.event(), IntentEvent::Closed | IntentEvent::Refunded),
            "{records:#?}"
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
