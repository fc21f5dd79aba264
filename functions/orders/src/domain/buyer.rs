//! The buyer of an order, and the changes of their account.
//!
//! An order that is not settled only records a change. [`Order::apply`](super::Order::apply)
//! applies it with the write that settles the order.

use serde::{Deserialize, Serialize};
use shared::address::Address;

use super::{
    cart::{Attributes, Locale, Note},
    order_request::{PaymentMethod, TaxId},
    progress::Progress,
    state::Status,
};

/// The buyer, stored as their name and e-mail address or as the word `redacted`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Buyer {
    /// The account was deleted: only the user id is kept.
    Redacted,
    /// The account exists: mails go to this contact.
    #[serde(untagged)]
    Known(Contact),
}

/// The name and the e-mail address of a buyer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contact {
    pub name: String,
    pub email: String,
    /// The version of the account that the contact was copied from; 0 if it comes from the access
    /// token of the request.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub version: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(version: &u64) -> bool {
    *version == 0
}

/// A change of a buyer's account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuyerChange {
    /// The name or the e-mail address changed.
    Changed(Contact),
    /// The account was deleted permanently.
    Deleted,
}

/// The personal data of the buyer. Each part is kept only while it is needed.
#[derive(Clone, Debug, PartialEq)]
pub struct Customer {
    /// The recipient of mails about the order.
    pub buyer: Buyer,
    /// The account change that arrived while a command was pending. The write that settles the
    /// order applies it.
    pub buyer_change: Option<BuyerChange>,
    /// The shipping address. For a redacted buyer it is kept only while something may still be
    /// shipped.
    pub shipping_address: Option<Address>,
    /// The address on the invoice, kept as long as the shipping address.
    pub billing_address: Option<Address>,
    /// The tax number of the buyer, kept as long as the shipping address.
    pub tax_id: Option<TaxId>,
    /// The language of the buyer.
    pub locale: Option<Locale>,
    /// A note from the buyer to the shop, kept as long as the shipping address.
    pub note: Option<Note>,
    /// Values that the storefront keeps with the order, kept as long as the shipping address.
    pub attributes: Option<Attributes>,
    /// The method to charge as soon as the stock is reserved; `None` if the buyer pays with
    /// `POST /payments`.
    pub payment_method: Option<PaymentMethod>,
    /// A hash of the request that placed the order. It detects a different request with the same
    /// idempotency key. Empty for a redacted buyer.
    pub fingerprint: String,
    /// The name of the network whose limit is refunded when the order is paid. `None` once it is
    /// paid, cancelled or failed, or if its charge is not refunded.
    pub network: Option<String>,
}

impl Customer {
    /// Records an account change, unless a later one is known. A deletion is later than every other
    /// change.
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

    /// Applies the recorded change to a settled order, and erases personal data that the order of a
    /// redacted buyer no longer needs.
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
            // The hash covers the address among other data, so an attacker could verify a guessed
            // address with it.
            self.fingerprint.clear();
            if matches!(progress.status, Status::Delivered | Status::Cancelled | Status::Failed) {
                self.shipping_address = None;
                self.billing_address = None;
                self.tax_id = None;
                self.note = None;
                self.attributes = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json, to_value};

    #[test]
    fn buyer_without_a_version_is_read_as_known() {
        let stored = json!({ "name": "Ada", "email": "ada@example.com" });
        let contact =
            Contact { name: "Ada".to_owned(), email: "ada@example.com".to_owned(), version: 0 };
        let buyer = Buyer::Known(contact);
        assert_eq!(to_value(&buyer).unwrap(), stored);
        assert_eq!(from_value::<Buyer>(stored).unwrap(), buyer);
    }

    #[test]
    fn buyers_and_their_changes_round_trip() {
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
    fn invalid_buyer_is_an_error_and_not_redacted() {
        for invalid in [
            json!(null),
            json!({}),
            json!({ "name": "Ada" }),
            json!("deleted"),
            json!(false),
            json!([]),
        ] {
            assert!(from_value::<Buyer>(invalid.clone()).is_err(), "{invalid}");
        }
    }
}
