//! Storage of users and sessions. Within the service, only this folder contains attribute names.
//!
//! | table | key | item |
//! |---|---|---|
//! | users | `USER#<id>` | profile with its pending links; listed by time of registration in `listed-index` |
//! | users | `USER#<id>`, deleted | tombstone of a deleted account, without personal data |
//! | users | `EMAIL#<SHA-256 of the address>` | credentials: everything that a login reads |
//! | users | `EMAIL#<SHA-256 of the address>`, reserved | former login address, reserved for its owner while the withdraw link works |
//! | users | `ADDRESSES#<id>` | address book of a user, deleted with the account |
//! | sessions | `SESSION#<id>` | session, with the number and the hash of its current refresh token |
//! | sessions | `BUCKET#<HMAC>` | rate limit bucket |

use shared::{
    ids::{self, UserId},
    table::Table,
};

use crate::tokens::refresh::SessionId;

mod addresses;
mod buckets;
mod items;
mod sessions;
mod users;

pub use addresses::SaveOutcome;
pub use items::{Image, StoredCredentials};
pub use sessions::RotationOutcome;
pub use users::{UpdateOutcome, UserChange};

#[derive(Clone, Debug)]
pub struct Store {
    pub users: Table,
    /// Sessions and rate limit buckets.
    pub sessions: Table,
    /// Number of shards of the index of users. It may be raised, and never lowered: users keep their
    /// shard until they are written again.
    pub shards: u32,
}

fn profile_key(id: UserId) -> String {
    format!("USER#{id}")
}

fn address_book_key(id: UserId) -> String {
    format!("ADDRESSES#{id}")
}

fn credentials_key(address: &str) -> String {
    format!("EMAIL#{}", ids::sha256_hex(address))
}

fn session_key(id: SessionId) -> String {
    format!("SESSION#{id}")
}
