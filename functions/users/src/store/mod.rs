//! Users and sessions as items. The only folder that knows attribute names.
//!
//! | table | key | item |
//! |---|---|---|
//! | users | `USER#<id>` | the profile, with the links that wait for its owner; in the index `listed-index` by time of registration |
//! | users | `USER#<id>`, deleted | the remains of a deleted account: that it existed, without personal data |
//! | users | `EMAIL#<SHA-256 of the address>` | credentials: all that a login needs, found by one read |
//! | users | `EMAIL#<SHA-256 of the address>`, reserved | an address that the login has left: kept for its owner while the withdraw link works |
//! | sessions | `SESSION#<id>` | a family of refresh tokens: the number and the hash of the one that counts |
//! | sessions | `BUCKET#<HMAC>` | rate limit of an account or a network |

use shared::{
    ids::{self, UserId},
    table::Table,
};

use crate::tokens::refresh::SessionId;

mod buckets;
mod items;
mod sessions;
mod users;

pub use items::Image;
pub use sessions::RotationOutcome;
pub use users::{ListedUser, UpdateOutcome, UserChange};

/// The tables of this service.
#[derive(Clone, Debug)]
pub struct Store {
    /// Profiles and credentials.
    pub users: Table,
    /// Families of refresh tokens, and buckets.
    pub sessions: Table,
    /// How many parts the index of users has.
    pub shards: u32,
}

fn profile_key(id: UserId) -> String {
    format!("USER#{id}")
}

fn credentials_key(address: &str) -> String {
    format!("EMAIL#{}", ids::sha256_hex(address))
}

fn session_key(id: SessionId) -> String {
    format!("SESSION#{id}")
}
