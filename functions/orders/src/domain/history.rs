//! What happened to an order, across the services, in the order in which orders heard of it. Kept for ever: it says nothing of a person.

use serde::{Deserialize, Serialize};
use shared::clock::Timestamp;

use super::{Order, PaymentLeg, Status, steps::Actor};

/// The most entries that are kept: the first half and the last half of them. Only a great many refunds can lead there.
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
    /// Why, or what else there is to know: why a payment was declined, which product was short, who carries the goods.
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
    pub waits_for: Option<String>,
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
    fn is_about_stock(&self) -> bool {
        self.waits_for.as_deref().is_some_and(|command| command.ends_with("_stock"))
    }
}

/// The event of entries about commands without an answer.
const WAITING: &str = "waiting";

/// A command that has no answer for long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Waiting {
    pub(super) command: &'static str,
    pub(super) since: Timestamp,
    /// Whether inventory is to answer; otherwise payments.
    pub(super) is_of_stock: bool,
}

/// What an event leads the history to say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct News {
    event: &'static str,
    detail: Option<String>,
    by: Option<Actor>,
    payment_id: Option<String>,
    amount: Option<i64>,
}

impl News {
    pub(super) fn of(event: &'static str) -> Self {
        Self { event, ..Self::default() }
    }

    pub(super) fn because(self, detail: Option<String>) -> Self {
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
        HistoryEntry { at, event, status, detail, by, payment_id, amount, waits_for: None, since: None, answered_at: None }
    }
}

impl Order {
    /// What follows for the order as a whole from what has just happened on its legs, `before` which it was as given.
    pub(super) fn consequences(&self, before: &Self) -> Vec<News> {
        let mut news = Vec::new();
        let became = |status: Status| before.status != status && self.status == status;
        if became(Status::Confirmed) {
            news.push(News::of("confirmed"));
        }
        if before.payment != PaymentLeg::Refunding && self.payment == PaymentLeg::Refunding {
            news.push(News::of("refund_started").payment(self.payment_id.as_ref()).amount(self.captured_total - self.returned_total()));
        }
        for (status, event) in [(Status::Cancelled, "cancelled"), (Status::Failed, "failed")] {
            if became(status) {
                news.push(News::of(event).because(self.reason.clone()));
            }
        }
        news
    }

    /// Writes down what happened, and makes room for it in the middle.
    pub(super) fn tell(&mut self, news: Vec<News>, now: Timestamp) {
        self.history.extend(news.into_iter().map(|news| news.at(now, &self.status)));
        self.shorten_history();
    }

    /// Keeps one entry for each wait: begins it, names the command that is pending now, and ends it with the answer. Returns whether
    /// anything changed.
    pub(super) fn record_waiting(&mut self, waits: &[Waiting], now: Timestamp) -> bool {
        let mut changed = false;
        for is_of_stock in [true, false] {
            let wait = waits.iter().find(|wait| wait.is_of_stock == is_of_stock);
            let open = self.history.iter_mut().rfind(|entry| entry.is_open_wait() && entry.is_about_stock() == is_of_stock);
            changed |= match (wait, open) {
                (Some(wait), Some(entry)) if entry.since == Some(wait.since) => {
                    let is_other = entry.waits_for.as_deref() != Some(wait.command);
                    entry.waits_for = Some(wait.command.to_owned());
                    is_other
                }
                (None, None) => false,
                (wait, open) => {
                    if let Some(entry) = open {
                        entry.answered_at = Some(now);
                    }
                    if let Some(wait) = wait {
                        let entry = News::of(WAITING).at(now, &self.status);
                        self.history.push(HistoryEntry { waits_for: Some(wait.command.to_owned()), since: Some(wait.since), ..entry });
                        self.shorten_history();
                    }
                    true
                }
            };
        }
        changed
    }

    fn shorten_history(&mut self) {
        while self.history.len() > MAX_HISTORY {
            self.history.remove(MAX_HISTORY / 2);
            self.history_omitted += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json, to_value};

    #[test]
    fn an_entry_is_read_as_it_was_written_and_so_is_one_of_an_earlier_release() {
        let placed = json!({ "at": "2026-11-21T09:48:49.123Z", "event": "placed", "status": "pending" });
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
