//! Which committed change of a head tells orders and the ledger what. This file is the list of all that payments sends.
//!
//! The head counts all money that moves, in the write that records it: what its totals have grown by is what the ledger writes down.

use shared::{
    ids,
    queue::{Message, MessageContext},
};

use crate::{
    domain::{Head, HeadFact, HeadState},
    messages::{EntryLine, PaymentEvent, RecordEntry},
    store::HeadImage,
};

/// The queue of what orders hears.
pub const ORDER_EVENTS: &str = "order-events";

/// The queue of what the ledger writes down.
pub const RECORD_ENTRY: &str = "record-entry";

/// What a change of a head tells: its present fact, when its state changed or it answered once more; the state of its disputes, when that
/// changed; and what money has moved.
pub fn messages(old: Option<&HeadImage>, new: &HeadImage) -> Vec<Message> {
    let (old, new) = (old.map(|old| &old.0), &new.0);
    let fact = kind(&new.fact()).filter(|_| old.is_none_or(|old| has_news(old, new)));
    let disputed = (new.disputes != old.map_or_else(Vec::new, |old| old.disputes.clone())).then_some("payment_disputed.v1");
    fact.into_iter().chain(disputed).map(|kind| event(kind, new)).chain(entries(old, new)).collect()
}

/// Whether there is something that was not told before.
fn has_news(old: &Head, new: &Head) -> bool {
    let told = |head: &Head| {
        let totals = (head.captured_total, head.refunded_total, head.refunds_reversed_total);
        let failures = (head.failed_refunds, head.automatic_refunds_failed, head.surplus_refunds_refused.clone());
        (head.state.clone(), head.fact(), head.latest_attempt, totals, failures)
    };
    told(old) != told(new) || new.answered_drive > old.answered_drive
}

/// The message's type.
fn kind(fact: &HeadFact) -> Option<&'static str> {
    match fact {
        HeadFact::Opened => Some("payment_opened.v1"),
        HeadFact::Started | HeadFact::ActionRequired => Some("payment_started.v1"),
        HeadFact::OutcomeUnknown => Some("payment_unknown.v1"),
        HeadFact::Declined => Some("payment_declined.v1"),
        HeadFact::Succeeded => Some("payment_succeeded.v1"),
        HeadFact::Closed => Some("payment_closed.v1"),
        HeadFact::Refunded => Some("payment_refunded.v1"),
        HeadFact::RefundFailed => Some("payment_refund_failed.v1"),
        HeadFact::Unknown(_) => None,
    }
}

fn message_context(head: &Head) -> MessageContext {
    MessageContext {
        service: "payments",
        id: head.order_id.to_string(),
        version: head.version,
        time: head.updated_at,
        trace: head.traceparent.clone(),
    }
}

fn event(kind: &'static str, head: &Head) -> Message {
    let came_to_nothing = matches!(head.state, HeadState::Open | HeadState::Closed);
    let data = PaymentEvent {
        order_id: head.order_id,
        version: head.version,
        payment_id: head.told_attempt(),
        captured_total: head.captured_total,
        refunded_total: head.refunded_total,
        failure_reason: head.failure_reason.clone(),
        next_try_possible: came_to_nothing.then(|| head.next_try_possible()),
        refunds_reversed_total: head.refunds_reversed_total,
        dispute_withdrawn_total: head.dispute_withdrawn_total,
        dispute_reinstated_total: head.dispute_reinstated_total,
        refund_refused: head.is_refund_refused(),
        surplus_refund_refused: !head.surplus_refunds_refused.is_empty(),
        requires_action: head.fact() == HeadFact::ActionRequired,
        dispute: head.dispute_status(),
    };
    Message::new(ORDER_EVENTS, kind, &message_context(head), &data)
}

/// An entry for each total that has grown: what is captured comes to the provider from the customer, what is refunded or taken by a dispute
/// goes back.
fn entries(old: Option<&Head>, new: &Head) -> Vec<Message> {
    let totals = |head: &Head| {
        [
            ("capture", head.captured_total),
            ("refund", -head.refunded_total),
            ("refund_reversal", head.refunds_reversed_total),
            ("surplus_capture", head.surplus_captured),
            ("surplus_refund", -head.surplus_refunded),
            ("surplus_refund_reversal", head.surplus_refunds_reversed),
            ("dispute_withdrawal", -head.dispute_withdrawn_total),
            ("dispute_reinstatement", head.dispute_reinstated_total),
        ]
    };
    let before = old.map_or([0; 8], |old| totals(old).map(|(_, total)| total));
    let moved = totals(new).into_iter().zip(before).map(|((kind, now), before)| (kind, now - before));
    moved.filter(|(_, amount)| *amount != 0).map(|(kind, amount)| entry(kind, amount, new)).collect()
}

fn entry(kind: &'static str, amount: i64, head: &Head) -> Message {
    let line = |account: String, amount| EntryLine { account, unit: head.currency.code(), amount };
    let data = RecordEntry {
        entry_id: ids::derive(&["payments", &head.order_id.to_string(), &head.version.to_string(), kind]),
        occurred_at: head.updated_at,
        kind,
        order_id: head.order_id,
        lines: [line("provider_clearing".to_owned(), amount), line(format!("customer_funds:{}", head.order_id), -amount)],
    };
    Message::new(RECORD_ENTRY, "record_entry.v1", &message_context(head), &data)
}

#[cfg(test)]
mod tests {
    use provider::{ProviderDispute, DisputeState, PaymentId};
    use shared::{
        clock::Timestamp,
        ids::{self, Ids},
        money::{Currency, Money},
        telemetry::Trace,
    };

    use super::*;
    use crate::{
        domain::{Expected, apply_dispute_fact},
        messages::EntryId,
    };

    const NOW: Timestamp = Timestamp::from_milliseconds(1_795_000_000_000);

    fn open() -> Head {
        let amount = Money::new(5998, Currency::parse("USD").expect("a currency"));
        let (order_id, user_id) = (ids::derive(&["order"]), ids::derive(&["user"]));
        Head::opened(&Expected { order_id, user_id, amount, expires_at: NOW, tries: 3, drive: 1 }, NOW, &Trace::start(&Ids::seeded(1)))
    }

    fn told(old: Option<&Head>, new: &Head) -> Vec<&'static str> {
        let old = old.cloned().map(HeadImage);
        let messages = messages(old.as_ref(), &HeadImage(new.clone()));
        messages.iter().filter(|message| message.queue == ORDER_EVENTS).map(|message| message.kind).collect()
    }

    /// The entries of the ledger: the kind, and what comes to the provider.
    fn written_down(old: Option<&Head>, new: &Head) -> Vec<(String, i64)> {
        let old = old.cloned().map(HeadImage);
        let messages = messages(old.as_ref(), &HeadImage(new.clone()));
        let entries = messages.iter().filter(|message| message.queue == RECORD_ENTRY).map(|message| &message.data);
        let entry = |data: &serde_json::Value| {
            let amounts = [0, 1].map(|line: usize| data["lines"][line]["amount"].as_i64().expect("an amount"));
            assert_eq!(amounts[0] + amounts[1], 0, "{data}");
            (data["kind"].as_str().expect("a kind").to_owned(), amounts[0])
        };
        entries.map(entry).collect()
    }

    #[test]
    fn each_fact_is_told_when_it_comes_about_and_whenever_it_is_asked_for_again() {
        let latest_attempt = Some(PaymentId::automatic(open().order_id));
        let tried = Head { latest_attempt, ..open() };
        let captured = Head { state: HeadState::Captured, captured_total: 5998, ..tried.clone() };
        for (head, kind) in [
            (open(), "payment_opened.v1"),
            (Head { state: HeadState::Busy, last_fact: HeadFact::Started, ..tried.clone() }, "payment_started.v1"),
            (Head { state: HeadState::Busy, last_fact: HeadFact::ActionRequired, ..tried.clone() }, "payment_started.v1"),
            (Head { state: HeadState::Closing, last_fact: HeadFact::Started, ..tried.clone() }, "payment_started.v1"),
            (Head { state: HeadState::Busy, last_fact: HeadFact::OutcomeUnknown, ..tried.clone() }, "payment_unknown.v1"),
            (tried.clone(), "payment_declined.v1"),
            (Head { state: HeadState::Closed, ..tried.clone() }, "payment_closed.v1"),
            (captured.clone(), "payment_succeeded.v1"),
            (Head { refund_failed: true, failed_refunds: 1, ..captured.clone() }, "payment_refund_failed.v1"),
            (Head { refunded_total: 5998, ..captured.clone() }, "payment_refunded.v1"),
        ] {
            assert_eq!(told(None, &head), [kind]);
            if head != open() {
                assert_eq!(told(Some(&open()), &head), [kind]);
            }
            assert!(told(Some(&head), &Head { version: 2, updated_at: NOW, ..head.clone() }).is_empty(), "no change, no message");
            assert_eq!(told(Some(&head), &Head { answered_drive: 2, ..head.clone() }), [kind]);
        }
        let partly = Head { refunded_total: 1, ..captured.clone() };
        assert_eq!(told(Some(&captured), &partly), ["payment_succeeded.v1"], "the totals have changed");
    }

    /// A captured head after disputes in these states, one after the other.
    fn disputed(states: &[DisputeState]) -> Vec<Head> {
        let payment_id = PaymentId::automatic(open().order_id);
        let captured = Head {
            state: HeadState::Captured,
            captured_total: 5998,
            refundable: 5998,
            captured_payment: Some(payment_id),
            latest_attempt: Some(payment_id),
            ..open()
        };
        let mut heads = vec![captured];
        for state in states {
            let fact = ProviderDispute { dispute_id: "dp_1".to_owned(), payment_id, amount: open().money(), state: state.clone() };
            let last = heads.last().expect("a head");
            heads.push(apply_dispute_fact(last, &fact, NOW, &last.traceparent).head.expect("a change"));
        }
        heads
    }

    #[test]
    fn each_state_of_a_dispute_is_published_once_and_moves_its_money() {
        let heads = disputed(&[DisputeState::Open, DisputeState::Withdrawn, DisputeState::Won]);
        let [captured, open, withdrawn, won] = &heads[..] else { panic!("four") };
        assert_eq!(told(Some(captured), open), ["payment_disputed.v1"]);
        assert_eq!(told(Some(open), withdrawn), ["payment_refunded.v1", "payment_disputed.v1"], "the money is gone");
        assert_eq!(told(Some(withdrawn), won), ["payment_succeeded.v1", "payment_disputed.v1"]);
        assert_eq!(told(Some(won), &Head { version: 99, ..won.clone() }), [""; 0]);
        assert_eq!(written_down(Some(captured), open), []);
        assert_eq!(written_down(Some(open), withdrawn), [("dispute_withdrawal".to_owned(), -5998)]);
        assert_eq!(written_down(Some(withdrawn), won), [("dispute_reinstatement".to_owned(), 5998)]);
        for (head, status) in [(open, "open"), (withdrawn, "open"), (won, "won")] {
            let again = Head { answered_drive: 9, ..head.clone() };
            assert_eq!(messages(None, &HeadImage(again)).remove(0).data["dispute"], status);
        }
        let lost = disputed(&[DisputeState::Lost]);
        assert_eq!(messages(Some(&HeadImage(lost[0].clone())), &HeadImage(lost[1].clone())).remove(0).data["dispute"], "lost");
        assert_eq!(written_down(Some(&lost[0]), &lost[1]), [("dispute_withdrawal".to_owned(), -5998)]);
    }

    #[test]
    fn a_refund_that_failed_after_it_succeeded_is_published_and_booked_back() {
        let captured = Head { state: HeadState::Captured, captured_total: 5998, version: 3, ..open() };
        let refunded = Head { refunded_total: 5998, version: 4, ..captured };
        let reversed = Head { refunds_reversed_total: 5998, refund_failed: true, failed_refunds: 1, version: 5, ..refunded.clone() };
        assert_eq!(told(Some(&refunded), &reversed), ["payment_refund_failed.v1"]);
        assert_eq!(written_down(Some(&refunded), &reversed), [("refund_reversal".to_owned(), 5998)]);
        let surplus = Head { surplus_refunds_reversed: 100, version: 6, ..reversed.clone() };
        assert_eq!(written_down(Some(&reversed), &surplus), [("surplus_refund_reversal".to_owned(), 100)]);
        let refused = Head { surplus_refunds_refused: vec![PaymentId::automatic(open().order_id)], version: 7, ..surplus.clone() };
        assert_eq!(told(Some(&surplus), &refused), ["payment_refund_failed.v1"], "a person has to know");
    }

    #[test]
    fn what_the_totals_grow_by_is_written_down_once() {
        let captured = Head { state: HeadState::Captured, captured_total: 5998, version: 3, ..open() };
        assert_eq!(written_down(Some(&open()), &captured), [("capture".to_owned(), 5998)]);
        assert_eq!(written_down(None, &captured), [("capture".to_owned(), 5998)]);
        assert!(written_down(Some(&captured), &Head { answered_drive: 2, version: 4, ..captured.clone() }).is_empty());
        let partly = Head { refunded_total: 1000, version: 4, ..captured.clone() };
        assert_eq!(written_down(Some(&captured), &partly), [("refund".to_owned(), -1000)]);
        let wholly = Head { refunded_total: 5998, version: 5, ..partly.clone() };
        assert_eq!(written_down(Some(&partly), &wholly), [("refund".to_owned(), -4998)]);
        let twice = Head { surplus_captured: 5998, version: 6, ..wholly.clone() };
        assert_eq!(written_down(Some(&wholly), &twice), [("surplus_capture".to_owned(), 5998)]);
        let right_again = Head { surplus_refunded: 5998, version: 7, ..twice.clone() };
        assert_eq!(written_down(Some(&twice), &right_again), [("surplus_refund".to_owned(), -5998)]);
    }

    #[test]
    fn an_entry_looks_like_this() {
        let captured = Head { state: HeadState::Captured, captured_total: 5998, version: 3, ..open() };
        let message = messages(Some(&HeadImage(open())), &HeadImage(captured.clone())).remove(1);
        let entry_id: EntryId = ids::derive(&["payments", &captured.order_id.to_string(), "3", "capture"]);
        let funds = format!("customer_funds:{}", captured.order_id);
        let data = serde_json::json!({
            "entry_id": entry_id, "occurred_at": NOW, "kind": "capture", "order_id": captured.order_id,
            "lines": [
                { "account": "provider_clearing", "unit": "USD", "amount": 5998 },
                { "account": funds, "unit": "USD", "amount": -5998 },
            ],
        });
        assert_eq!((message.queue, message.kind, message.data), ("record-entry", "record_entry.v1", data));
    }

    #[test]
    fn a_state_of_a_newer_release_is_no_image_that_can_be_told() {
        let mut stored = serde_json::to_value(open()).expect("JSON");
        assert!(serde_json::from_value::<HeadImage>(stored.clone()).is_ok());
        stored["state"] = "paused".into();
        assert!(serde_json::from_value::<HeadImage>(stored).is_err());
    }

    #[test]
    fn an_event_looks_like_this() {
        let payment = PaymentId::automatic(open().order_id);
        let head =
            Head { latest_attempt: Some(payment), failure_reason: Some("card_declined".into()), attempts_left: 2, version: 4, ..open() };
        let message = messages(None, &HeadImage(head.clone())).remove(0);
        let data = serde_json::json!({
            "order_id": head.order_id, "version": 4, "payment_id": payment, "captured_total": 0, "refunded_total": 0,
            "failure_reason": "card_declined", "next_try_possible": true,
        });
        assert_eq!((message.queue, message.data), ("order-events", data));
    }
}
