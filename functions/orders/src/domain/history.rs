//! The history of an order: the events of all services, in the order in which they were applied. It
//! is kept forever, so it contains no personal data.

use shared::clock::Timestamp;

use super::{actions::Actor, state::Status};

/// Maximum number of entries. A longer history loses entries in its middle. Only a very large
/// number of refunds exceeds the maximum.
pub const MAX_HISTORY: usize = 200;

/// An event in the history of an order.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryEntry {
    pub at: Timestamp,
    /// The event: `placed`, `stock_reserved`, `payment_declined`, …
    pub event: String,
    /// The status after the event.
    pub status: Status,
    /// The reason or other details: why a payment was declined, which product was out of stock, the
    /// carrier.
    pub detail: Option<String>,
    /// The role of the person who requested the event.
    pub by: Option<Actor>,
    pub payment_id: Option<String>,
    /// The amount that moved or will move, in minor units of the order's currency.
    pub amount: Option<i64>,
    /// For an entry `waiting`: the command that had no answer at its second scheduled check.
    pub pending_command: Option<String>,
    /// For an entry `waiting`: the start of the wait.
    pub since: Option<Timestamp>,
    /// For an entry `waiting`: the time of the answer.
    pub answered_at: Option<Timestamp>,
}

impl HistoryEntry {
    /// Whether the entry is a wait that has not ended.
    pub fn is_open_wait(&self) -> bool {
        self.event == WAITING && self.answered_at.is_none()
    }

    /// Whether the entry is a wait for inventory.
    pub(super) fn is_about_stock(&self) -> bool {
        self.pending_command.as_deref().is_some_and(|command| command.ends_with("_stock"))
    }
}

/// The event name of an entry about an overdue command.
pub(super) const WAITING: &str = "waiting";

/// The event name of an entry about a new shipping address. The entry does not contain the address.
pub const SHIPPING_ADDRESS_CHANGED: &str = "shipping_address_changed";

/// A new history entry, before its time and status are known.
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

    /// Completes the entry with its time and the status.
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
