//! Address books: one item for each user.

use serde::{Deserialize, Serialize};
use shared::{
    ids::{AddressId, UserId},
    table::{Expression, Item, Key, TableError, TransactionOutcome, Write, from_item, to_patch},
};

use super::{Store, address_book_key, items::Image, profile_key};
use crate::domain::address_book::{AddressBook, SavedAddress};

#[derive(Serialize, Deserialize)]
struct AddressBookItem {
    pk: String,
    user_id: UserId,
    addresses: Vec<SavedAddress>,
    #[serde(default)]
    default_shipping: Option<AddressId>,
    #[serde(default)]
    default_billing: Option<AddressId>,
    version: u64,
}

/// The outcome of a write of an address book.
#[derive(Debug)]
pub enum SaveOutcome {
    Written,
    /// A concurrent write came first. Contains the current book.
    VersionConflict(Box<AddressBook>),
    /// The account was deleted or disabled.
    AccountGone,
}

impl Store {
    /// Reads the profile and the address book of a user in one call. Returns `None` if the account
    /// does not exist or is disabled, and an empty book if the user has saved no address.
    pub async fn address_book(&self, id: UserId) -> Result<Option<AddressBook>, TableError> {
        let book_key = address_book_key(id);
        let keys = [profile_key(id), book_key.clone()];
        let keys = keys.into_iter().map(|key| (&self.users, Key::new(key))).collect();
        let (mut is_active, mut book) = (false, AddressBook::empty(id));
        for item in self.users.get_many(keys).await? {
            if item.get("pk").and_then(|pk| pk.as_s().ok()) == Some(&book_key) {
                book = read(item)?;
            } else {
                is_active =
                    from_item::<Image>(item)?.into_user().is_some_and(|user| user.is_active);
            }
        }
        Ok(is_active.then_some(book))
    }

    /// Writes the next version of an address book, if `before` is still stored and the account is
    /// active: a request that runs while the account is deleted leaves no address behind.
    pub async fn save_address_book(
        &self,
        before: &AddressBook,
        after: &AddressBook,
    ) -> Result<SaveOutcome, TableError> {
        let condition = if before.version == 0 {
            Expression::not_exists()
        } else {
            Expression::version(before.version)
        };
        let is_active = Expression::new("#is_active = :active").value("active", true);
        let writes = vec![
            self.users.transact_merge(to_patch(&AddressBookItem::from(after)), condition),
            self.users.transact_check(Key::new(profile_key(after.user_id)), is_active),
        ];
        let TransactionOutcome::Cancelled(conflicts) = self.users.transact(writes).await? else {
            return Ok(SaveOutcome::Written);
        };
        let mut conflicts = conflicts.into_iter();
        let stored = conflicts.next().flatten().map(|conflict| conflict.item);
        if conflicts.next().flatten().is_some() {
            return Ok(SaveOutcome::AccountGone);
        }
        let stored = stored.flatten().map(read).transpose()?;
        let stored = stored.unwrap_or_else(|| AddressBook::empty(after.user_id));
        // The stored item may be our own write whose response was lost.
        if stored == *after {
            return Ok(SaveOutcome::Written);
        }
        Ok(SaveOutcome::VersionConflict(Box::new(stored)))
    }

    /// For the transaction that erases a user: deletes their address book in any version.
    pub(super) fn erase_address_book(&self, id: UserId) -> Write {
        let own = Expression::new("attribute_not_exists(#pk) OR #user_id = :user_id");
        self.users.transact_delete(Key::new(address_book_key(id)), own.value("user_id", id))
    }
}

fn read(item: Item) -> Result<AddressBook, TableError> {
    let AddressBookItem { pk: _, user_id, addresses, default_shipping, default_billing, version } =
        from_item(item)?;
    Ok(AddressBook { user_id, addresses, default_shipping, default_billing, version })
}

impl From<&AddressBook> for AddressBookItem {
    fn from(book: &AddressBook) -> Self {
        Self {
            pk: address_book_key(book.user_id),
            user_id: book.user_id,
            addresses: book.addresses.clone(),
            default_shipping: book.default_shipping,
            default_billing: book.default_billing,
            version: book.version,
        }
    }
}
