//! Which committed change of a head tells orders what. This file is the list of all that payments sends.

use shared::queue::{Message, Subject};

use crate::{
    domain::{Head, HeadFact, HeadState},
    messages::PaymentEvent,
    store::HeadImage,
};

/// The queue that all of it goes to.
pub const ORDER_EVENTS: &str = "order-events";

/// What a change of a head tells: its present fact, when its state changed or it answered once more.
pub fn messages(old: Option<&HeadImage>, new: &HeadImage) -> Vec<Message> {
    let new = &new.0;
    let tells = old.is_none_or(|old| has_news(&old.0, new));
    match kind(&new.fact()) {
        Some(kind) if tells => vec![event(kind, new)],
        _ => Vec::new(),
    }
}

/// Whether there is something that was not told before.
fn has_news(old: &Head, new: &Head) -> bool {
    let told =
        |head: &Head| (head.state.clone(), head.fact(), head.latest_attempt, head.captured_total, head.refunded_total, head.failed_refunds);
    told(old) != told(new) || new.answered_drive > old.answered_drive
}

/// The message's type. A head that was opened and nothing more tells nothing.
fn kind(fact: &HeadFact) -> Option<&'static str> {
    match fact {
        HeadFact::Started => Some("payment_started.v1"),
        HeadFact::OutcomeUnknown => Some("payment_unknown.v1"),
        HeadFact::Declined => Some("payment_declined.v1"),
        HeadFact::Succeeded => Some("payment_succeeded.v1"),
        HeadFact::Closed => Some("payment_closed.v1"),
        HeadFact::Refunded => Some("payment_refunded.v1"),
        HeadFact::RefundFailed => Some("payment_refund_failed.v1"),
        HeadFact::Opened | HeadFact::Unknown(_) => None,
    }
}

fn event(kind: &'static str, head: &Head) -> Message {
    let subject = Subject {
        service: "payments",
        id: head.order_id.to_string(),
        version: head.version,
        time: head.updated_at,
        trace: head.traceparent.clone(),
    };
    let came_to_nothing = matches!(head.state, HeadState::Open | HeadState::Closed);
    let data = PaymentEvent {
        order_id: head.order_id,
        version: head.version,
        payment_id: head.told_attempt(),
        captured_total: head.captured_total,
        refunded_total: head.refunded_total,
        failure_reason: head.failure_reason.clone(),
        next_try_possible: came_to_nothing.then(|| head.next_try_possible()),
    };
    Message::new(ORDER_EVENTS, kind, &subject, &data)
}

#[cfg(test)]
mod tests {
    use shared::{
        clock::Timestamp,
        ids::{self, Ids},
        money::{Currency, Money},
        telemetry::Trace,
    };

    use super::*;
    use crate::domain::{Expected, PaymentId};

    const NOW: Timestamp = Timestamp::from_milliseconds(1_795_000_000_000);

    fn open() -> Head {
        let amount = Money::new(5998, Currency::parse("USD").expect("a currency"));
        let (order_id, user_id) = (ids::derive(&["order"]), ids::derive(&["user"]));
        Head::opened(&Expected { order_id, user_id, amount, expires_at: NOW, tries: 3, drive: 1 }, NOW, &Trace::start(&Ids::seeded(1)))
    }

    fn told(old: Option<&Head>, new: &Head) -> Vec<&'static str> {
        let old = old.cloned().map(HeadImage);
        messages(old.as_ref(), &HeadImage(new.clone())).iter().map(|message| message.kind).collect()
    }

    #[test]
    fn a_head_that_was_only_opened_tells_nothing_however_often_it_is_asked() {
        assert!(told(None, &open()).is_empty());
        assert!(told(Some(&open()), &Head { answered_drive: 2, ..open() }).is_empty());
    }

    #[test]
    fn each_fact_is_told_when_it_comes_about_and_whenever_it_is_asked_for_again() {
        let latest_attempt = Some(PaymentId::automatic(open().order_id));
        let tried = Head { latest_attempt, ..open() };
        let captured = Head { state: HeadState::Captured, captured_total: 5998, ..tried.clone() };
        for (head, kind) in [
            (Head { state: HeadState::Busy, last_fact: HeadFact::Started, ..tried.clone() }, "payment_started.v1"),
            (Head { state: HeadState::Closing, last_fact: HeadFact::Started, ..tried.clone() }, "payment_started.v1"),
            (Head { state: HeadState::Busy, last_fact: HeadFact::OutcomeUnknown, ..tried.clone() }, "payment_unknown.v1"),
            (tried.clone(), "payment_declined.v1"),
            (Head { state: HeadState::Closed, ..tried.clone() }, "payment_closed.v1"),
            (captured.clone(), "payment_succeeded.v1"),
            (Head { refund_failed: true, failed_refunds: 1, ..captured.clone() }, "payment_refund_failed.v1"),
            (Head { refunded_total: 5998, ..captured.clone() }, "payment_refunded.v1"),
        ] {
            assert_eq!(told(Some(&open()), &head), [kind]);
            assert_eq!(told(None, &head), [kind]);
            assert!(told(Some(&head), &Head { version: 2, updated_at: NOW, ..head.clone() }).is_empty(), "no change, no message");
            assert_eq!(told(Some(&head), &Head { answered_drive: 2, ..head.clone() }), [kind]);
        }
        let partly = Head { refunded_total: 1, ..captured.clone() };
        assert_eq!(told(Some(&captured), &partly), ["payment_succeeded.v1"], "the totals have changed");
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
