//! Who bought, and what becomes of that when their account changes or is deleted.
//!
//! While an order is not settled, a change of the account is only noted in it. The write that
//! settles the order carries the change out: every [`Order::apply`](super::Order::apply) ends with
//! it.

use serde::{Deserialize, Serialize};

use super::{address::Address, order_request::PaymentMethod, progress::Progress, state::Status};

/// Who bought. Written as their name and address, or as the word `redacted`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Buyer {
    /// Their account was deleted: nothing of them is kept but the id.
    Redacted,
    /// Somebody who can be written to.
    #[serde(untagged)]
    Known(Contact),
}

/// How a buyer is called and reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contact {
    /// Their full name.
    pub name: String,
    /// Their e-mail address.
    pub email: String,
    /// The version of their account that says so; 0 where it is their token that said so, when they
    /// ordered.
    #[serde(default)]
    pub version: u64,
}

/// What became of a buyer's account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuyerChange {
    /// They are called or reached otherwise now.
    Changed(Contact),
    /// It was deleted, for good.
    Deleted,
}

/// What an order knows of the person who placed it. It is kept for as long as it is needed.
#[derive(Clone, Debug, PartialEq)]
pub struct Customer {
    /// Who bought, as far as orders may still know: mails about the order go there.
    pub buyer: Buyer,
    /// What became of the buyer's account while a command was pending: the write that settles the
    /// order carries it out.
    pub buyer_change: Option<BuyerChange>,
    /// Where it goes. Of a buyer who is redacted it is kept as long as something is still to go
    /// there.
    pub shipping_address: Option<Address>,
    /// What to charge as soon as the stock is held; none if the buyer pays by a request of its own.
    pub payment_method: Option<PaymentMethod>,
    /// What tells the request that placed it from another with the same key; empty where the buyer
    /// is redacted.
    pub fingerprint: String,
    /// The name of the network that it came from, while it counts against that network's limit:
    /// until it is paid or cancelled.
    pub network: Option<String>,
}

impl Customer {
    /// Notes what became of the buyer's account, unless something later is known: a deletion is
    /// later than everything.
    pub(super) fn record_change(&mut self, change: &BuyerChange) {
        let Buyer::Known(copy) = &self.buyer else { return };
        let is_new = match (&self.buyer_change, change) {
            (Some(BuyerChange::Deleted), _) => false,
            (_, BuyerChange::Deleted) => true,
            (Some(BuyerChange::Changed(recorded)), BuyerChange::Changed(contact)) => {
                contact.version > recorded.version.max(copy.version)
            }
            (None, BuyerChange::Changed(contact)) => contact.version > copy.version,
        };
        if is_new {
            self.buyer_change = Some(change.clone());
        }
    }

    /// Keeps of the buyer what the order still needs, and no more.
    pub(super) fn settle(&mut self, progress: &mut Progress) {
        if progress.is_settled() {
            match self.buyer_change.take() {
                Some(BuyerChange::Changed(contact)) => self.buyer = Buyer::Known(contact),
                Some(BuyerChange::Deleted) => self.buyer = Buyer::Redacted,
                None => {}
            }
        }
        if self.buyer == Buyer::Redacted {
            self.payment_method = None;
            if let Some(cancellation) = &mut progress.cancellation {
                cancellation.reason = None;
            }
            // Derived from the address, among other things: anyone who guesses the address could
            // verify the guess with it.
            self.fingerprint.clear();
            if matches!(progress.status, Status::Delivered | Status::Cancelled | Status::Failed) {
                self.shipping_address = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json, to_value};

    #[test]
    fn a_buyer_of_an_earlier_release_is_read_as_known() {
        let stored = json!({ "name": "Ada", "email": "ada@example.com" });
        let contact =
            Contact { name: "Ada".to_owned(), email: "ada@example.com".to_owned(), version: 0 };
        assert_eq!(from_value::<Buyer>(stored).unwrap(), Buyer::Known(contact));
    }

    #[test]
    fn buyers_and_their_changes_are_read_as_they_were_written() {
        let contact =
            Contact { name: "Ada".to_owned(), email: "ada@example.com".to_owned(), version: 3 };
        for (buyer, stored) in [
            (
                Buyer::Known(contact.clone()),
                json!({ "name": "Ada", "email": "ada@example.com", "version": 3 }),
            ),
            (Buyer::Redacted, json!("redacted")),
        ] {
            assert_eq!(to_value(&buyer).unwrap(), stored);
            assert_eq!(from_value::<Buyer>(stored).unwrap(), buyer);
        }
        for (change, stored) in [
            (
                BuyerChange::Changed(contact),
                json!({ "changed": { "name": "Ada", "email": "ada@example.com", "version": 3 } }),
            ),
            (BuyerChange::Deleted, json!("deleted")),
        ] {
            assert_eq!(to_value(&change).unwrap(), stored);
            assert_eq!(from_value::<BuyerChange>(stored).unwrap(), change);
        }
    }

    #[test]
    fn a_buyer_that_cannot_be_read_is_not_taken_for_redacted() {
        for odd in [
            json!(null),
            json!({}),
            json!({ "name": "Ada" }),
            json!("deleted"),
            json!(false),
            json!([]),
        ] {
            assert!(from_value::<Buyer>(odd.clone()).is_err(), "{odd}");
        }
    }
}
