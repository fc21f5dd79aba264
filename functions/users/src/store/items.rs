//! Items of the table `users`, and their conversion to domain types.

use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    ids::UserId,
    table::{Item, TableError, attribute_names, from_item},
    telemetry::Trace,
};

use super::credentials_key;
use crate::domain::{Credentials, Link, User, Verification, Withdrawal};

#[derive(Serialize, Deserialize)]
pub(super) struct ProfileItem {
    pub(super) pk: String,
    pub(super) user_id: UserId,
    pub(super) email: String,
    pub(super) username: String,
    pub(super) full_name: String,
    pub(super) role: String,
    pub(super) is_active: bool,
    pub(super) token_version: u64,
    #[serde(default)]
    pub(super) session_epoch: u64,
    #[serde(default)]
    pub(super) email_verified: bool,
    #[serde(default)]
    pub(super) verification: Option<Verification>,
    #[serde(default)]
    pub(super) reset: Option<Link>,
    #[serde(default)]
    pub(super) withdrawal: Option<Withdrawal>,
    #[serde(default)]
    pub(super) password_changed_at: Option<Timestamp>,
    #[serde(default)]
    pub(super) email_change_withdrawn_at: Option<Timestamp>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) version: u64,
    #[serde(default)]
    pub(super) traceparent: Option<Trace>,
    pub(super) listed_shard: String,
    pub(super) listed_at: String,
}

/// Tombstone of a deleted user, without personal data.
#[derive(Serialize, Deserialize)]
pub(super) struct DeletedItem {
    pub(super) pk: String,
    pub(super) user_id: UserId,
    pub(super) deleted_at: Timestamp,
    pub(super) version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) traceparent: Option<Trace>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct CredentialsItem {
    pub(super) pk: String,
    pub(super) user_id: UserId,
    pub(super) email: String,
    pub(super) full_name: String,
    pub(super) password_hash: String,
    pub(super) role: String,
    pub(super) is_active: bool,
    pub(super) token_version: u64,
    #[serde(default)]
    pub(super) session_epoch: u64,
    #[serde(default)]
    pub(super) version: u64,
}

/// Credentials whose address changes.
#[derive(Clone, Debug)]
pub struct StoredCredentials {
    pub credentials: Credentials,
    /// Attributes of a later release. They are written again under the new address.
    pub(super) unknown_attributes: Item,
}

/// A former login address. It cannot be registered before `reserved_until`; otherwise an attacker
/// could block the withdrawal.
#[derive(Serialize, Deserialize)]
pub(super) struct ReservedItem {
    pub(super) pk: String,
    pub(super) user_id: UserId,
    pub(super) reserved_until: Timestamp,
    pub(super) ttl: i64,
}

/// The item under a user's key, as the table's stream contains it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "StoredUser")]
pub enum Image {
    Present(Box<User>),
    Deleted {
        user_id: UserId,
        deleted_at: Timestamp,
        /// One more than the last version of the profile.
        version: u64,
        /// Trace of the request that deleted the account.
        trace: Option<Trace>,
    },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum StoredUser {
    Deleted(DeletedItem),
    Present(Box<ProfileItem>),
}

/// Parses credentials. A reservation of an address has none.
pub(super) fn parse_credentials(item: Item) -> Result<Option<Credentials>, TableError> {
    if item.contains_key("reserved_until") {
        return Ok(None);
    }
    from_item::<CredentialsItem>(item).map(|item| Some(item.into()))
}

impl StoredCredentials {
    /// Parses credentials, as [`parse_credentials`].
    pub(super) fn parse(mut item: Item) -> Result<Option<Self>, TableError> {
        let known = attribute_names::<CredentialsItem>();
        let reservation = attribute_names::<ReservedItem>();
        let is_known = |name: &str| known.contains(&name) || reservation.contains(&name);
        let unknown_attributes = item.extract_if(|name, _| !is_known(name)).collect();
        let credentials = parse_credentials(item)?;
        Ok(credentials.map(|credentials| Self { credentials, unknown_attributes }))
    }
}

impl Image {
    /// Returns the user, or `None` if the account is deleted.
    pub fn into_user(self) -> Option<User> {
        match self {
            Self::Present(user) => Some(*user),
            Self::Deleted { .. } => None,
        }
    }
}

impl From<StoredUser> for Image {
    fn from(stored: StoredUser) -> Self {
        match stored {
            StoredUser::Present(item) => Self::Present(Box::new((*item).into())),
            StoredUser::Deleted(DeletedItem {
                user_id, deleted_at, version, traceparent, ..
            }) => Self::Deleted { user_id, deleted_at, version, trace: traceparent },
        }
    }
}

impl CredentialsItem {
    pub(super) fn new(user: &User, password_hash: String) -> Self {
        Self {
            pk: credentials_key(&user.email),
            user_id: user.id,
            email: user.email.clone(),
            full_name: user.full_name.clone(),
            password_hash,
            role: user.role.clone(),
            is_active: user.is_active,
            token_version: user.token_version,
            session_epoch: user.session_epoch,
            version: user.version,
        }
    }
}

impl From<ProfileItem> for User {
    fn from(item: ProfileItem) -> Self {
        Self {
            id: item.user_id,
            email: item.email,
            username: item.username,
            full_name: item.full_name,
            role: item.role,
            is_active: item.is_active,
            token_version: item.token_version,
            session_epoch: item.session_epoch,
            email_verified: item.email_verified,
            verification: item.verification,
            reset: item.reset,
            withdrawal: item.withdrawal,
            password_changed_at: item.password_changed_at,
            email_change_withdrawn_at: item.email_change_withdrawn_at,
            created_at: item.created_at,
            updated_at: item.updated_at,
            version: item.version,
            trace: item.traceparent,
        }
    }
}

impl From<CredentialsItem> for Credentials {
    fn from(item: CredentialsItem) -> Self {
        Self {
            user_id: item.user_id,
            email: item.email,
            full_name: item.full_name,
            password_hash: item.password_hash,
            role: item.role,
            is_active: item.is_active,
            token_version: item.token_version,
            session_epoch: item.session_epoch,
            version: item.version,
        }
    }
}
