//! Who bought, and what becomes of that when their account changes or is deleted.
//!
//! As long as an order owes something to somebody, a change of the account is only noted in it. The write that settles the order
//! carries it out: [`Order::apply`](super::Order::apply) ends with it, so that nobody has to think of it.

use serde::{Deserialize, Serialize};

use super::{Order, Status};

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
    /// The version of their account that says so; 0 where it is their token that said so, when they ordered.
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

impl Order {
    /// Notes what became of the buyer's account, unless something later is known: a deletion is later than everything.
    pub(super) fn note_buyer(&mut self, change: &BuyerChange) {
        let Buyer::Known(copy) = &self.buyer else { return };
        let is_news = match (&self.buyer_change, change) {
            (Some(BuyerChange::Deleted), _) => false,
            (_, BuyerChange::Deleted) => true,
            (Some(BuyerChange::Changed(noted)), BuyerChange::Changed(contact)) => contact.version > noted.version.max(copy.version),
            (None, BuyerChange::Changed(contact)) => contact.version > copy.version,
        };
        if is_news {
            self.buyer_change = Some(change.clone());
        }
    }

    /// Keeps of the buyer what the order still needs, and no more.
    pub(super) fn settle_buyer(&mut self) {
        if self.is_settled() {
            match self.buyer_change.take() {
                Some(BuyerChange::Changed(contact)) => self.buyer = Buyer::Known(contact),
                Some(BuyerChange::Deleted) => self.buyer = Buyer::Redacted,
                None => {}
            }
        }
        if self.buyer == Buyer::Redacted {
            self.payment_method = None;
            if let Some(cancellation) = &mut self.cancellation {
                cancellation.reason = None;
            }
            // Made from the address, among other things: whoever guesses the address could tell by it that they are right.
            self.fingerprint.clear();
            if !self.has_goods_to_send() {
                self.shipping_address = None;
            }
        }
    }

    /// Whether something is still to go to the buyer, or under way to them.
    fn has_goods_to_send(&self) -> bool {
        !matches!(self.status, Status::Delivered | Status::Cancelled | Status::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json, to_value};

    #[test]
    fn a_buyer_of_an_earlier_release_is_read_as_known() {
        let stored = json!({ "name": "Ada", "email": "ada@example.com" });
        let contact = Contact { name: "Ada".to_owned(), email: "ada@example.com".to_owned(), version: 0 };
        assert_eq!(from_value::<Buyer>(stored).unwrap(), Buyer::Known(contact));
    }

    #[test]
    fn buyers_and_their_changes_are_read_as_they_were_written() {
        let contact = Contact { name: "Ada".to_owned(), email: "ada@example.com".to_owned(), version: 3 };
        for (buyer, stored) in [
            (Buyer::Known(contact.clone()), json!({ "name": "Ada", "email": "ada@example.com", "version": 3 })),
            (Buyer::Redacted, json!("redacted")),
        ] {
            assert_eq!(to_value(&buyer).unwrap(), stored);
            assert_eq!(from_value::<Buyer>(stored).unwrap(), buyer);
        }
        for (change, stored) in [
            (BuyerChange::Changed(contact), json!({ "changed": { "name": "Ada", "email": "ada@example.com", "version": 3 } })),
            (BuyerChange::Deleted, json!("deleted")),
        ] {
            assert_eq!(to_value(&change).unwrap(), stored);
            assert_eq!(from_value::<BuyerChange>(stored).unwrap(), change);
        }
    }

    #[test]
    fn a_buyer_that_cannot_be_read_is_not_taken_for_redacted() {
        for odd in [json!(null), json!({}), json!({ "name": "Ada" }), json!("deleted"), json!(false), json!([])] {
            assert!(from_value::<Buyer>(odd.clone()).is_err(), "{odd}");
        }
    }
}
