//! Which committed change of a reservation sends what to whom. This file is the whole list.

use shared::queue::{Message, Subject};

use crate::{
    domain::reservation::{Reservation, State},
    messages::ReservationFact,
};

/// The messages that a change from `old` (none: it was just written first) to `new` sends: the order is told how far its reservation is,
/// when that has changed or when it has asked once more.
///
/// # Panics
/// When the state is one that only a later release knows: it has no name on the wire here. The change goes to the dead-letter queue then.
pub fn messages(old: Option<&Reservation>, new: &Reservation) -> Vec<Message> {
    if old.is_some_and(|old| old.state == new.state && old.answered_drive >= new.answered_drive) {
        return Vec::new();
    }
    let (kind, product_id) = match &new.state {
        State::Held => ("stock_reserved.v1", None),
        State::Rejected => ("stock_rejected.v1", new.rejected_product),
        State::Released => ("stock_released.v1", None),
        State::Committed => ("stock_committed.v1", None),
        State::Unknown(name) => panic!("there is no message for the state {name}"),
    };
    let subject = Subject {
        service: "inventory",
        id: new.order_id.to_string(),
        version: new.version,
        time: new.updated_at,
        trace: new.traceparent.clone(),
    };
    let fact = ReservationFact { order_id: new.order_id, version: new.version, product_id };
    vec![Message::new("order-events", kind, &subject, &fact)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reservation::tests::held;
    use serde_json::json;
    use shared::ids::derive;

    #[test]
    fn every_state_has_its_fact() {
        let held = held();
        let short = derive(&["lamp"]);
        for (state, kind) in [
            (State::Held, "stock_reserved.v1"),
            (State::Rejected, "stock_rejected.v1"),
            (State::Released, "stock_released.v1"),
            (State::Committed, "stock_committed.v1"),
        ] {
            let rejected_product = (state == State::Rejected).then_some(short);
            let sent = messages(None, &Reservation { state, rejected_product, ..held.clone() });
            assert_eq!(sent.len(), 1);
            assert_eq!((sent[0].queue, sent[0].kind), ("order-events", kind));
            let mut expected = json!({ "order_id": held.order_id, "version": 1 });
            if let Some(product_id) = rejected_product {
                expected["product_id"] = json!(product_id);
            }
            assert_eq!(sent[0].data, expected);
        }
    }

    #[test]
    fn only_a_change_or_another_asking_is_told() {
        let held = held();
        let asked_again = Reservation { version: 2, answered_drive: held.answered_drive + 1, ..held.clone() };
        let sold = Reservation { version: 2, state: State::Committed, ..held.clone() };
        let backfilled = Reservation { version: 2, ..held.clone() };
        assert_eq!(messages(Some(&held), &asked_again)[0].kind, "stock_reserved.v1");
        assert_ne!(messages(Some(&held), &asked_again)[0].id, messages(None, &held)[0].id);
        assert_eq!(messages(Some(&held), &sold)[0].kind, "stock_committed.v1");
        assert!(messages(Some(&held), &backfilled).is_empty());
    }

    #[test]
    #[should_panic(expected = "no message for the state")]
    fn a_state_of_a_later_release_is_not_passed_over() {
        messages(None, &Reservation { state: State::Unknown("parcelled".to_owned()), ..held() });
    }
}
