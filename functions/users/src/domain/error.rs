//! Why a change to a user is rejected.

use shared::clock::Timestamp;

/// Why a change to a user is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The link is not the last one sent, has expired, or belongs to a disabled user.
    #[error("invalid one-time token")]
    InvalidLink,
    /// The login moved to the current address recently, and the owner of the previous address can
    /// still restore it.
    #[error(
        "the address changed recently, and the change can be withdrawn until {revertible_until}"
    )]
    EmailChangedRecently {
        /// When the link that restores the login expires.
        revertible_until: Timestamp,
    },
    /// The address book has the maximum number of addresses.
    #[error("the address book is full")]
    AddressBookFull,
    /// The address book does not contain the address.
    #[error("the address book does not contain the address")]
    UnknownAddress,
}
