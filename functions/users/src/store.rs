//! Users and sessions as items. The only file that knows attribute names.
//!
//! | table | key | item |
//! |---|---|---|
//! | users | `USER#<id>` | the profile; in the index `listed-index` by time of registration |
//! | users | `EMAIL#<SHA-256 of the address>` | credentials: all that a login needs, found by one read |
//! | sessions | `FAMILY#<id>` | a family of refresh tokens: the number and the hash of the one that counts |

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    ids::{self, UserId},
    table::{Conflict, Expression, Key, Outcome, Table, TableError, Transacted, from_item, to_item},
};

use crate::{
    domain::{Credentials, RoleChange, User},
    error::UsersError,
    refresh_token::{FamilyId, RefreshToken},
};

/// How long somebody stays logged in who does not come back.
pub const SESSION_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);

/// The tables of this service.
#[derive(Clone, Debug)]
pub struct Store {
    /// Profiles and credentials.
    pub users: Table,
    /// Families of refresh tokens.
    pub sessions: Table,
    /// How many parts the index of users has.
    pub shards: u32,
}

#[derive(Serialize, Deserialize)]
struct ProfileItem {
    pk: String,
    user_id: UserId,
    email: String,
    username: String,
    full_name: String,
    role: String,
    is_active: bool,
    tv: u64,
    created_at: Timestamp,
    updated_at: Timestamp,
    version: u64,
    listed_shard: String,
    listed_at: String,
}

#[derive(Serialize, Deserialize)]
struct CredentialsItem {
    pk: String,
    user_id: UserId,
    email: String,
    username: String,
    full_name: String,
    password_hash: String,
    role: String,
    is_active: bool,
    tv: u64,
}

#[derive(Serialize, Deserialize)]
struct FamilyItem {
    pk: String,
    user_id: UserId,
    sequence: u64,
    secret_hash: String,
    started_at: Timestamp,
    ttl: i64,
}

impl Store {
    /// Writes a new user: profile and credentials, or neither.
    ///
    /// # Errors
    /// [`UsersError::EmailTaken`] when there are credentials for the address.
    pub async fn register(&self, user: &User, password_hash: String) -> Result<(), UsersError> {
        let profile = ProfileItem {
            pk: profile_key(user.id),
            user_id: user.id,
            email: user.email.clone(),
            username: user.username.clone(),
            full_name: user.full_name.clone(),
            role: user.role.clone(),
            is_active: user.is_active,
            tv: user.token_version,
            created_at: user.created_at,
            updated_at: user.updated_at,
            version: user.version,
            listed_shard: format!("listed#{}", ids::shard_of(&user.id.to_string(), self.shards)),
            listed_at: format!("{}#{}", user.created_at, user.id),
        };
        let credentials = CredentialsItem {
            pk: credentials_key(&user.email),
            user_id: user.id,
            email: user.email.clone(),
            username: user.username.clone(),
            full_name: user.full_name.clone(),
            password_hash,
            role: user.role.clone(),
            is_active: user.is_active,
            tv: user.token_version,
        };
        let writes = vec![
            self.users.putting(to_item(&credentials), Expression::absent()),
            self.users.putting(to_item(&profile), Expression::absent()),
        ];
        match self.users.transact(writes).await? {
            Transacted::Written => Ok(()),
            Transacted::Refused(conflicts) => {
                // The answer to our own write may have been lost on its way: then what stands there is ours.
                let first: Option<Conflict> = conflicts.into_iter().next().flatten();
                let stored = first.and_then(|conflict| conflict.item).map(from_item::<CredentialsItem>).transpose()?;
                if stored.is_some_and(|stored| stored.user_id == user.id) { Ok(()) } else { Err(UsersError::EmailTaken) }
            }
        }
    }

    /// The credentials for an address in its normal form. No other text has any.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn credentials(&self, address: &str) -> Result<Option<Credentials>, TableError> {
        let item = self.users.get(Key::new(credentials_key(address))).await?;
        item.map(|item| from_item::<CredentialsItem>(item).map(Credentials::from)).transpose()
    }

    /// A user's profile.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn user(&self, id: UserId) -> Result<Option<User>, TableError> {
        let item = self.users.get(Key::new(profile_key(id))).await?;
        item.map(|item| from_item::<ProfileItem>(item).map(User::from)).transpose()
    }

    /// Gives a user another role, in profile and credentials. `false`: somebody changed the user meanwhile, and nothing is written.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn change_role(&self, user: &Credentials, change: RoleChange, now: Timestamp) -> Result<bool, TableError> {
        let seen = || Expression::new("#tv = :seen AND #user_id = :user_id").value("seen", change.seen).value("user_id", user.user_id);
        let profile = Expression::new("SET #role = :role, #tv = :tv, #version = #version + :one, #updated_at = :now")
            .value("role", change.role)
            .value("tv", change.next)
            .value("one", 1)
            .value("now", now);
        let credentials = Expression::new("SET #role = :role, #tv = :tv").value("role", change.role).value("tv", change.next);
        let writes = vec![
            self.users.updating(Key::new(profile_key(user.user_id)), profile, seen()),
            self.users.updating(Key::new(credentials_key(&user.email)), credentials, seen()),
        ];
        Ok(self.users.transact(writes).await? == Transacted::Written)
    }

    /// Begins a family with its first token.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn begin_family(&self, user_id: UserId, token: &RefreshToken, now: Timestamp) -> Result<(), UsersError> {
        let family = FamilyItem {
            pk: family_key(token.family),
            user_id,
            sequence: token.sequence,
            secret_hash: token.secret_hash(),
            started_at: now,
            ttl: now.plus(SESSION_LIFETIME).seconds(),
        };
        match self.sessions.put(to_item(&family), Expression::absent()).await? {
            Outcome::Written => Ok(()),
            Outcome::Refused(stored) => {
                // Ours, if the answer to an earlier try was lost; two families never share a secret.
                let stored = stored.map(from_item::<FamilyItem>).transpose()?;
                if stored.is_some_and(|stored| stored.secret_hash == family.secret_hash) { Ok(()) } else { Err(UsersError::Contended) }
            }
        }
    }
}

fn profile_key(id: UserId) -> String {
    format!("USER#{id}")
}

fn credentials_key(address: &str) -> String {
    format!("EMAIL#{}", ids::sha256_hex(address))
}

fn family_key(id: FamilyId) -> String {
    format!("FAMILY#{id}")
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
            token_version: item.tv,
            created_at: item.created_at,
            updated_at: item.updated_at,
            version: item.version,
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
            token_version: item.tv,
        }
    }
}
