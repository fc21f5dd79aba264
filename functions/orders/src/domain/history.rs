//! What happened to an order, across the services, in the order in which orders heard of it. Kept
//! for ever: it says nothing of a person.

use serde::{Deserialize, Serialize};
use shared::clock::Timestamp;

use super::{actions::Actor, state::Status};

/// The most entries that are kept: the first half and the last half of them. Only a great many
/// refunds can lead there.
pub const MAX_HISTORY: usize = 200;

/// Something that happened to an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// When.
    pub at: Timestamp,
    /// What: `placed`, `stock_reserved`, `payment_declined`, …
    pub event: String,
    /// The status afterwards.
    pub status: Status,
    /// Why, or what else there is to know: why a payment was declined, which product was short, who
    /// carries the goods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Who wanted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Actor>,
    /// The payment that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_id: Option<String>,
    /// How much money moved or is to move, in minor units of the order's currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<i64>,
    /// The command that had no answer at its second scheduled check: of an entry `waiting`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_command: Option<String>,
    /// Since when it had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// When it was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<Timestamp>,
}

impl HistoryEntry {
    /// Whether it is about a wait that is not over.
    pub fn is_open_wait(&self) -> bool {
        self.event == WAITING && self.answered_at.is_none()
    }

    /// Whether the command of a wait is one to inventory.
    pub(super) fn is_about_stock(&self) -> bool {
        self.pending_command.as_deref().is_some_and(|command| command.ends_with("_stock"))
    }
}

/// The event of entries about commands without an answer.
pub(super) const WAITING: &str = "waiting";

/// What an event adds to the history, before its time and the status are known.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct NewEntry {
    event: &'static str,
    detail: Option<String>,
    by: Option<Actor>,
    payment_id: Option<String>,
    amount: Option<i64>,
}

impl NewEntry {
    pub(super) fn new(event: &'static str) -> Self {
        Self { event, ..Self::default() }
    }

    pub(super) fn detail(self, detail: Option<String>) -> Self {
        Self { detail, ..self }
    }

    pub(super) fn by(self, actor: &Actor) -> Self {
        Self { by: Some(actor.clone()), ..self }
    }

    pub(super) fn payment(self, payment_id: Option<&String>) -> Self {
        Self { payment_id: payment_id.cloned(), ..self }
    }

    pub(super) fn amount(self, amount: i64) -> Self {
        Self { amount: Some(amount), ..self }
    }

    /// The entry for it.
    pub(super) fn at(self, at: Timestamp, status: &Status) -> HistoryEntry {
        let Self { event, detail, by, payment_id, amount } = self;
        let (event, status) = (event.to_owned(), status.clone());
        HistoryEntry {
            at,
            event,
            status,
            detail,
            by,
            payment_id,
            amount,
            pending_command: None,
            since: None,
            answered_at: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json, to_value};

    #[test]
    fn an_entry_is_read_as_it_was_written_and_so_is_one_of_an_earlier_release() {
        let placed =
            json!({ "at": "2026-11-21T09:48:49.123Z", "event": "placed", "status": "pending" });
        let refunded = json!({
            "at": "2026-11-21T09:48:49.123Z",
            "event": "payment_refunded",
            "status": "shipped",
            "detail": "broken",
            "by": "admin",
            "payment_id": "pay_1",
            "amount": 1000,
        });
        for stored in [placed, refunded] {
            let entry: HistoryEntry = from_value(stored.clone()).unwrap();
            assert_eq!(to_value(entry).unwrap(), stored);
        }
    }
}
