//! Maps each committed change of a payment intent to the messages it publishes.
//!
//! The write that moves money also increments a total of the intent. The growth of each total
//! becomes one ledger entry.

use shared::{
    ids,
    queue::{Message, MessageContext},
    stream::UnknownState,
};

use crate::{
    domain::{IntentEvent, IntentState, PaymentIntent},
    messages::{EntryLine, PaymentEvent, RecordEntry},
    store::IntentImage,
};

/// Queue of the payment events that orders consumes.
pub const ORDER_EVENTS: &str = "order-events";

/// Queue of the entries that the ledger posts.
pub const RECORD_ENTRY: &str = "record-entry";

/// The messages for one change of an intent:
///
/// - a payment event if the published state changed or a command was answered again, except for the
///   start of an attempt: the outcome follows within seconds,
/// - a dispute event if a dispute changed,
/// - a ledger entry for each amount that moved.
///
/// # Errors
/// None: [`IntentImage`] rejects unknown states.
pub fn messages(
    old: Option<&IntentImage>,
    new: &IntentImage,
) -> Result<Vec<Message>, UnknownState> {
    let (old, new) = (old.map(|old| &old.0), &new.0);
    let event_kind = kind(&new.event())
        .filter(|_| old.is_none_or(|old| has_changed(old, new)) && !only_starts_attempt(old, new));
    let disputed = (new.disputes != old.map_or_else(Vec::new, |old| old.disputes.clone()))
        .then_some("payment_disputed.v1");
    Ok(event_kind
        .into_iter()
        .chain(disputed)
        .map(|kind| event_message(kind, new))
        .chain(entries(old, new))
        .collect())
}

/// Whether the published state changed, or a command was answered again.
fn has_changed(old: &PaymentIntent, new: &PaymentIntent) -> bool {
    let published = |intent: &PaymentIntent| {
        let totals = (intent.captured_total, intent.refunded_total, intent.refunds_reversed_total);
        let failures = (
            intent.failed_refunds,
            intent.automatic_refunds_failed,
            intent.duplicate_refunds_refused.clone(),
        );
        (intent.state.clone(), intent.event(), intent.latest_attempt, totals, failures)
    };
    published(old) != published(new) || new.answered_attempt > old.answered_attempt
}

/// Whether the change only starts an attempt. Orders receives the attempt with the outcome of its
/// provider call, or with the answer to a command that it has repeated meanwhile.
fn only_starts_attempt(old: Option<&PaymentIntent>, new: &PaymentIntent) -> bool {
    new.state == IntentState::Processing
        && new.event() == IntentEvent::Started
        && old.is_none_or(|old| new.answered_attempt <= old.answered_attempt)
}

/// The message type of an event. `None` for an event that this release does not know.
fn kind(event: &IntentEvent) -> Option<&'static str> {
    match event {
        IntentEvent::Opened => Some("payment_opened.v1"),
        IntentEvent::Started | IntentEvent::ActionRequired => Some("payment_started.v1"),
        IntentEvent::OutcomeUnknown => Some("payment_unknown.v1"),
        IntentEvent::Declined => Some("payment_declined.v1"),
        IntentEvent::Succeeded => Some("payment_succeeded.v1"),
        IntentEvent::Closed => Some("payment_closed.v1"),
        IntentEvent::Refunded => Some("payment_refunded.v1"),
        IntentEvent::RefundFailed => Some("payment_refund_failed.v1"),
        IntentEvent::Unknown(_) => None,
    }
}

fn message_context(intent: &PaymentIntent) -> MessageContext {
    MessageContext {
        service: "payments",
        id: intent.order_id.to_string(),
        version: intent.version,
        time: intent.updated_at,
        trace: intent.traceparent.clone(),
    }
}

fn event_message(kind: &'static str, intent: &PaymentIntent) -> Message {
    let has_no_capture = matches!(intent.state, IntentState::Open | IntentState::Closed);
    let data = PaymentEvent {
        order_id: intent.order_id,
        version: intent.version,
        payment_id: intent.reported_attempt(),
        captured_total: intent.captured_total,
        refunded_total: intent.refunded_total,
        failure_reason: intent.failure_reason.clone(),
        next_try_possible: has_no_capture.then(|| intent.next_try_possible()),
        refunds_reversed_total: intent.refunds_reversed_total,
        dispute_withdrawn_total: intent.dispute_withdrawn_total,
        dispute_reinstated_total: intent.dispute_reinstated_total,
        refund_refused: intent.is_refund_refused(),
        duplicate_capture_refund_refused: !intent.duplicate_refunds_refused.is_empty(),
        requires_action: intent.event() == IntentEvent::ActionRequired,
        dispute: intent.dispute_status(),
    };
    Message::new(ORDER_EVENTS, kind, &message_context(intent), &data)
}

/// One entry for each total that grew. Captures move money from the customer to the provider;
/// refunds and disputes move it back.
fn entries(old: Option<&PaymentIntent>, new: &PaymentIntent) -> Vec<Message> {
    let totals = |intent: &PaymentIntent| {
        [
            ("capture", intent.captured_total),
            ("refund", -intent.refunded_total),
            ("refund_reversal", intent.refunds_reversed_total),
            ("duplicate_capture", intent.duplicate_captured_total),
            ("duplicate_capture_refund", -intent.duplicate_refunded_total),
            ("duplicate_capture_refund_reversal", intent.duplicate_refunds_reversed_total),
            ("dispute_withdrawal", -intent.dispute_withdrawn_total),
            ("dispute_reinstatement", intent.dispute_reinstated_total),
        ]
    };
    let before = old.map_or([0; 8], |old| totals(old).map(|(_, total)| total));
    let moved =
        totals(new).into_iter().zip(before).map(|((kind, now), before)| (kind, now - before));
    moved
        .filter(|(_, amount)| *amount != 0)
        .map(|(kind, amount)| entry(kind, amount, new))
        .collect()
}

fn entry(kind: &'static str, amount: i64, intent: &PaymentIntent) -> Message {
    let line =
        |account: String, amount| EntryLine { account, unit: intent.currency.code(), amount };
    let data = RecordEntry {
        entry_id: ids::derive(&[
            "payments",
            &intent.order_id.to_string(),
            &intent.version.to_string(),
            kind,
        ]),
        occurred_at: intent.updated_at,
        kind,
        order_id: intent.order_id,
        lines: [
            line("provider_clearing".to_owned(), amount),
            line(format!("customer_funds:{}", intent.order_id), -amount),
        ],
    };
    Message::new(RECORD_ENTRY, "record_entry.v1", &message_context(intent), &data)
}

#[cfg(test)]
mod tests {
    use provider::{DisputeState, PaymentId, ProviderDispute};
    use shared::{
        clock::Timestamp,
        ids::{self, Ids},
        money::{Currency, Money},
        telemetry::Trace,
    };

    use super::*;
    use crate::{
        domain::{ExpectedPayment, apply_provider_dispute},
        messages::EntryId,
    };

    const NOW: Timestamp = Timestamp::from_milliseconds(1_795_000_000_000);

    fn open() -> PaymentIntent {
        let amount = Money::new(5998, Currency::parse("USD").expect("a currency"));
        let (order_id, user_id) = (ids::derive(&["order"]), ids::derive(&["user"]));
        PaymentIntent::opened(
            &ExpectedPayment {
                order_id,
                user_id,
                amount,
                expires_at: NOW,
                tries: 3,
                command_attempt: 1,
            },
            NOW,
            &Trace::start(&Ids::seeded(1)),
        )
    }

    fn published(old: Option<&PaymentIntent>, new: &PaymentIntent) -> Vec<Message> {
        let old = old.cloned().map(IntentImage);
        messages(old.as_ref(), &IntentImage(new.clone())).expect("the states are known")
    }

    fn event_kinds(old: Option<&PaymentIntent>, new: &PaymentIntent) -> Vec<&'static str> {
        published(old, new)
            .iter()
            .filter(|message| message.queue == ORDER_EVENTS)
            .map(|message| message.kind)
            .collect()
    }

    /// The kind of each ledger entry and the amount that enters `provider_clearing`.
    fn entry_amounts(old: Option<&PaymentIntent>, new: &PaymentIntent) -> Vec<(String, i64)> {
        let messages = published(old, new);
        let entries = messages
            .iter()
            .filter(|message| message.queue == RECORD_ENTRY)
            .map(|message| &message.data);
        let entry = |data: &serde_json::Value| {
            let amounts = [0, 1]
                .map(|line: usize| data["lines"][line]["amount"].as_i64().expect("an amount"));
            assert_eq!(amounts[0] + amounts[1], 0, "{data}");
            (data["kind"].as_str().expect("a kind").to_owned(), amounts[0])
        };
        entries.map(entry).collect()
    }

    #[test]
    fn each_event_except_a_start_is_published_once_and_again_on_request() {
        let latest_attempt = Some(PaymentId::automatic(open().order_id));
        let tried = PaymentIntent { latest_attempt, ..open() };
        let captured =
            PaymentIntent { state: IntentState::Captured, captured_total: 5998, ..tried.clone() };
        for (intent, kind) in [
            (open(), "payment_opened.v1"),
            (
                PaymentIntent {
                    state: IntentState::Processing,
                    last_event: IntentEvent::Started,
                    ..tried.clone()
                },
                "payment_started.v1",
            ),
            (
                PaymentIntent {
                    state: IntentState::Processing,
                    last_event: IntentEvent::ActionRequired,
                    ..tried.clone()
                },
                "payment_started.v1",
            ),
            (
                PaymentIntent {
                    state: IntentState::Closing,
                    last_event: IntentEvent::Started,
                    ..tried.clone()
                },
                "payment_started.v1",
            ),
            (
                PaymentIntent {
                    state: IntentState::Processing,
                    last_event: IntentEvent::OutcomeUnknown,
                    ..tried.clone()
                },
                "payment_unknown.v1",
            ),
            (tried.clone(), "payment_declined.v1"),
            (PaymentIntent { state: IntentState::Closed, ..tried.clone() }, "payment_closed.v1"),
            (captured.clone(), "payment_succeeded.v1"),
            (
                PaymentIntent { refund_failed: true, failed_refunds: 1, ..captured.clone() },
                "payment_refund_failed.v1",
            ),
            (PaymentIntent { refunded_total: 5998, ..captured.clone() }, "payment_refunded.v1"),
        ] {
            let is_started = intent.state == IntentState::Processing
                && intent.last_event == IntentEvent::Started;
            let once: &[&str] = if is_started { &[] } else { &[kind] };
            assert_eq!(event_kinds(None, &intent), once);
            if intent != open() {
                assert_eq!(event_kinds(Some(&open()), &intent), once);
            }
            assert!(
                event_kinds(
                    Some(&intent),
                    &PaymentIntent { version: 2, updated_at: NOW, ..intent.clone() }
                )
                .is_empty(),
                "a write without a change publishes nothing"
            );
            assert_eq!(
                event_kinds(
                    Some(&intent),
                    &PaymentIntent { answered_attempt: 2, ..intent.clone() }
                ),
                [kind]
            );
        }
        let partly = PaymentIntent { refunded_total: 1, ..captured.clone() };
        assert_eq!(
            event_kinds(Some(&captured), &partly),
            ["payment_succeeded.v1"],
            "a partial refund publishes the new totals"
        );
    }

    /// A captured intent, followed by the intent after each of these dispute states in turn.
    fn disputed(states: &[DisputeState]) -> Vec<PaymentIntent> {
        let payment_id = PaymentId::automatic(open().order_id);
        let captured = PaymentIntent {
            state: IntentState::Captured,
            captured_total: 5998,
            refundable: 5998,
            captured_payment: Some(payment_id),
            latest_attempt: Some(payment_id),
            ..open()
        };
        let mut intents = vec![captured];
        for state in states {
            let reported = ProviderDispute {
                dispute_id: "dp_1".to_owned(),
                payment_id,
                amount: open().money(),
                state: state.clone(),
            };
            let last = intents.last().expect("an intent");
            intents.push(
                apply_provider_dispute(last, &reported, NOW, &last.traceparent)
                    .intent
                    .expect("a change"),
            );
        }
        intents
    }

    #[test]
    fn each_state_of_a_dispute_is_published_once_and_moves_its_money() {
        let intents = disputed(&[DisputeState::Open, DisputeState::Withdrawn, DisputeState::Won]);
        let [captured, open, withdrawn, won] = &intents[..] else { panic!("four") };
        assert_eq!(event_kinds(Some(captured), open), ["payment_disputed.v1"]);
        assert_eq!(
            event_kinds(Some(open), withdrawn),
            ["payment_refunded.v1", "payment_disputed.v1"],
            "the bank holds the money"
        );
        assert_eq!(
            event_kinds(Some(withdrawn), won),
            ["payment_succeeded.v1", "payment_disputed.v1"]
        );
        assert_eq!(event_kinds(Some(won), &PaymentIntent { version: 99, ..won.clone() }), [""; 0]);
        assert_eq!(entry_amounts(Some(captured), open), []);
        assert_eq!(
            entry_amounts(Some(open), withdrawn),
            [("dispute_withdrawal".to_owned(), -5998)]
        );
        assert_eq!(
            entry_amounts(Some(withdrawn), won),
            [("dispute_reinstatement".to_owned(), 5998)]
        );
        for (intent, status) in [(open, "open"), (withdrawn, "open"), (won, "won")] {
            let again = PaymentIntent { answered_attempt: 9, ..intent.clone() };
            assert_eq!(published(None, &again).remove(0).data["dispute"], status);
        }
        let lost = disputed(&[DisputeState::Lost]);
        assert_eq!(published(Some(&lost[0]), &lost[1]).remove(0).data["dispute"], "lost");
        assert_eq!(
            entry_amounts(Some(&lost[0]), &lost[1]),
            [("dispute_withdrawal".to_owned(), -5998)]
        );
    }

    #[test]
    fn reversed_refund_is_published_and_posted_back() {
        let captured = PaymentIntent {
            state: IntentState::Captured,
            captured_total: 5998,
            version: 3,
            ..open()
        };
        let refunded = PaymentIntent { refunded_total: 5998, version: 4, ..captured };
        let reversed = PaymentIntent {
            refunds_reversed_total: 5998,
            refund_failed: true,
            failed_refunds: 1,
            version: 5,
            ..refunded.clone()
        };
        assert_eq!(event_kinds(Some(&refunded), &reversed), ["payment_refund_failed.v1"]);
        assert_eq!(
            entry_amounts(Some(&refunded), &reversed),
            [("refund_reversal".to_owned(), 5998)]
        );
        let duplicate =
            PaymentIntent { duplicate_refunds_reversed_total: 100, version: 6, ..reversed.clone() };
        assert_eq!(
            entry_amounts(Some(&reversed), &duplicate),
            [("duplicate_capture_refund_reversal".to_owned(), 100)]
        );
        let refused = PaymentIntent {
            duplicate_refunds_refused: vec![PaymentId::automatic(open().order_id)],
            version: 7,
            ..duplicate.clone()
        };
        assert_eq!(
            event_kinds(Some(&duplicate), &refused),
            ["payment_refund_failed.v1"],
            "a refused duplicate refund is published"
        );
    }

    #[test]
    fn each_increase_of_a_total_is_posted_once() {
        let captured = PaymentIntent {
            state: IntentState::Captured,
            captured_total: 5998,
            version: 3,
            ..open()
        };
        assert_eq!(entry_amounts(Some(&open()), &captured), [("capture".to_owned(), 5998)]);
        assert_eq!(entry_amounts(None, &captured), [("capture".to_owned(), 5998)]);
        assert!(
            entry_amounts(
                Some(&captured),
                &PaymentIntent { answered_attempt: 2, version: 4, ..captured.clone() }
            )
            .is_empty()
        );
        let partly = PaymentIntent { refunded_total: 1000, version: 4, ..captured.clone() };
        assert_eq!(entry_amounts(Some(&captured), &partly), [("refund".to_owned(), -1000)]);
        let wholly = PaymentIntent { refunded_total: 5998, version: 5, ..partly.clone() };
        assert_eq!(entry_amounts(Some(&partly), &wholly), [("refund".to_owned(), -4998)]);
        let twice = PaymentIntent { duplicate_captured_total: 5998, version: 6, ..wholly.clone() };
        assert_eq!(entry_amounts(Some(&wholly), &twice), [("duplicate_capture".to_owned(), 5998)]);
        let duplicate_refunded =
            PaymentIntent { duplicate_refunded_total: 5998, version: 7, ..twice.clone() };
        assert_eq!(
            entry_amounts(Some(&twice), &duplicate_refunded),
            [("duplicate_capture_refund".to_owned(), -5998)]
        );
    }

    #[test]
    fn entry_message_has_the_documented_format() {
        let captured = PaymentIntent {
            state: IntentState::Captured,
            captured_total: 5998,
            version: 3,
            ..open()
        };
        let message = published(Some(&open()), &captured).remove(1);
        let entry_id: EntryId =
            ids::derive(&["payments", &captured.order_id.to_string(), "3", "capture"]);
        let funds = format!("customer_funds:{}", captured.order_id);
        let data = serde_json::json!({
            "entry_id": entry_id, "occurred_at": NOW, "kind": "capture", "order_id": captured.order_id,
            "lines": [
                { "account": "provider_clearing", "unit": "USD", "amount": 5998 },
                { "account": funds, "unit": "USD", "amount": -5998 },
            ],
        });
        assert_eq!(
            (message.queue, message.kind, message.data),
            ("record-entry", "record_entry.v1", data)
        );
    }

    #[test]
    fn image_with_an_unknown_state_is_rejected() {
        let mut stored = serde_json::to_value(open()).expect("JSON");
        assert!(serde_json::from_value::<IntentImage>(stored.clone()).is_ok());
        stored["state"] = "paused".into();
        assert!(serde_json::from_value::<IntentImage>(stored).is_err());
    }

    #[test]
    fn event_message_has_the_documented_format() {
        let payment = PaymentId::automatic(open().order_id);
        let intent = PaymentIntent {
            latest_attempt: Some(payment),
            failure_reason: Some("card_declined".into()),
            attempts_left: 2,
            version: 4,
            ..open()
        };
        let message = published(None, &intent).remove(0);
        let data = serde_json::json!({
            "order_id": intent.order_id, "version": 4, "payment_id": payment, "captured_total": 0, "refunded_total": 0,
            "failure_reason": "card_declined", "next_try_possible": true,
        });
        assert_eq!((message.queue, message.data), ("order-events", data));
    }
}
