//! The view of a saved address that the operations on address books return.

use serde::Serialize;
use shared::{address::Address, clock::Timestamp, ids::AddressId};

use crate::domain::address_book::{AddressBook, SavedAddress};

/// Maximum number of attempts to write an address book when concurrent writes come first. Each of
/// 20 parallel creations succeeds.
pub const MAX_SAVE_ATTEMPTS: u32 = 24;

/// An address in the address book of its user.
#[derive(Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct SavedAddressView<'a> {
    id: AddressId,
    address: &'a Address,
    /// Whether it is the default for shipping.
    default_shipping: bool,
    /// Whether it is the default for billing.
    default_billing: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl<'a> SavedAddressView<'a> {
    pub fn new(book: &AddressBook, saved: &'a SavedAddress) -> Self {
        Self {
            id: saved.id,
            address: &saved.address,
            default_shipping: book.is_default_shipping(saved.id),
            default_billing: book.is_default_billing(saved.id),
            created_at: saved.created_at,
            updated_at: saved.updated_at,
        }
    }
}
