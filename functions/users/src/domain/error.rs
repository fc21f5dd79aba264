//! Why a change to a user is rejected.

use shared::clock::Timestamp;

/// Why a change to a user is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The link is not the one that was sent last, has expired, or its user cannot use it.
    #[error("the link does not work")]
    InvalidLink,
    /// The login moved to the present address a short while ago, and the owner of the address
    /// before can still return it.
    #[error("the address moved recently and can be returned until {revertible_until}")]
    EmailChangedRecently {
        /// When the link that returns the login expires.
        revertible_until: Timestamp,
    },
}
