//! The address book of a user: saved addresses, one of them the default for shipping and one for
//! billing.

use serde::{Deserialize, Serialize};
use shared::{
    address::Address,
    clock::Timestamp,
    ids::{AddressId, UserId},
};

use super::ChangeError;

/// Maximum number of addresses of a user. An address has at most 4 KB, so the item that contains
/// all of them stays far below the 400 KB that DynamoDB accepts.
pub const MAX_ADDRESSES: usize = 20;

#[derive(Clone, Debug, PartialEq)]
pub struct AddressBook {
    pub user_id: UserId,
    /// Oldest first.
    pub addresses: Vec<SavedAddress>,
    /// At most one address is the default for shipping, because the book names it.
    pub default_shipping: Option<AddressId>,
    /// The default for billing.
    pub default_billing: Option<AddressId>,
    /// Incremented by every write; 0 before the first one.
    pub version: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedAddress {
    /// Derived from the idempotency key of the request that created it.
    pub id: AddressId,
    pub address: Address,
    /// A hash of the request that created it. It detects a different request with the same
    /// idempotency key.
    pub fingerprint: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A change of an address. `None` keeps the present value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AddressEdit {
    pub address: Option<Address>,
    pub default_shipping: Option<bool>,
    pub default_billing: Option<bool>,
}

impl AddressBook {
    /// The book of a user who has saved no address.
    pub fn empty(user_id: UserId) -> Self {
        Self {
            user_id,
            addresses: Vec::new(),
            default_shipping: None,
            default_billing: None,
            version: 0,
        }
    }

    pub fn find(&self, id: AddressId) -> Option<&SavedAddress> {
        self.addresses.iter().find(|saved| saved.id == id)
    }

    pub fn is_default_shipping(&self, id: AddressId) -> bool {
        self.default_shipping == Some(id)
    }

    pub fn is_default_billing(&self, id: AddressId) -> bool {
        self.default_billing == Some(id)
    }

    /// Returns the book with a new address.
    ///
    /// # Errors
    /// If the book has [`MAX_ADDRESSES`].
    pub fn with(
        &self,
        saved: SavedAddress,
        default_shipping: bool,
        default_billing: bool,
    ) -> Result<Self, ChangeError> {
        if self.addresses.len() >= MAX_ADDRESSES {
            return Err(ChangeError::AddressBookFull);
        }
        let id = saved.id;
        let mut book = self.next_version();
        book.addresses.push(saved);
        set_default(&mut book.default_shipping, id, Some(default_shipping));
        set_default(&mut book.default_billing, id, Some(default_billing));
        Ok(book)
    }

    /// Returns the book with a changed address. A new default replaces the previous one.
    ///
    /// # Errors
    /// If the book does not contain the address.
    pub fn edited(
        &self,
        id: AddressId,
        edit: AddressEdit,
        now: Timestamp,
    ) -> Result<Self, ChangeError> {
        let mut book = self.next_version();
        let saved = book.addresses.iter_mut().find(|saved| saved.id == id);
        let saved = saved.ok_or(ChangeError::UnknownAddress)?;
        if let Some(address) = edit.address {
            saved.address = address;
        }
        saved.updated_at = now;
        set_default(&mut book.default_shipping, id, edit.default_shipping);
        set_default(&mut book.default_billing, id, edit.default_billing);
        Ok(book)
    }

    /// Returns the book without an address. If it was a default, the book has no default.
    ///
    /// # Errors
    /// If the book does not contain the address.
    pub fn without(&self, id: AddressId) -> Result<Self, ChangeError> {
        self.find(id).ok_or(ChangeError::UnknownAddress)?;
        let mut book = self.next_version();
        book.addresses.retain(|saved| saved.id != id);
        set_default(&mut book.default_shipping, id, Some(false));
        set_default(&mut book.default_billing, id, Some(false));
        Ok(book)
    }

    fn next_version(&self) -> Self {
        Self { version: self.version + 1, ..self.clone() }
    }
}

fn set_default(default: &mut Option<AddressId>, id: AddressId, wanted: Option<bool>) {
    match wanted {
        Some(true) => *default = Some(id),
        Some(false) if *default == Some(id) => *default = None,
        _ => {}
    }
}

#[cfg(test)]
mod tests;
