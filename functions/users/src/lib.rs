//! Users: who may log in, and how the rest of the shop knows who is calling.
//!
//! - **Owns** the tables `users` (profiles and credentials) and `sessions` (families of refresh tokens), and the key that signs
//!   access tokens.
//! - **Answers** `POST /users`, `POST /users/login`, `GET /users/me`; API Gateway, which asks it about every token; Secrets Manager,
//!   which asks it for new keys; and operators, who give roles.
//! - **Consumes** no queue and **emits** nothing.
//! - **Never** stores a password or a refresh token, only what they hash to; never says which of e-mail address and password was wrong;
//!   never accepts a token for its own sake: a user who was disabled, or whose token version moved on, is out.
//!
//! In reading order: [`domain`] (addresses, names, passwords, users), [`operations`] (one file for each function), [`access_token`],
//! [`refresh_token`], [`signing_keys`], [`password_hash`], [`store`], [`error`].

use std::sync::{Mutex, PoisonError};

use shared::{
    aws,
    clock::{Clock, Timestamp},
    config,
    ids::Ids,
    secret::Secrets,
    table::Table,
};

pub mod access_token;
pub mod domain;
mod encoding;
pub mod error;
pub mod operations;
pub mod password_hash;
pub mod refresh_token;
pub mod signing_keys;
pub mod store;

use access_token::Parties;
use error::UsersError;
use password_hash::PasswordHasher;
use refresh_token::RefreshTokenKey;
use signing_keys::SigningKeys;
use store::Store;

/// What every operation of this service works with.
pub struct Users {
    /// The tables.
    pub store: Store,
    /// The signing keys, and the server key of this service.
    pub secrets: Secrets,
    /// The time.
    pub clock: Clock,
    /// Where ids, salts and tokens come from.
    pub ids: Ids,
    /// Who issues access tokens, and for whom.
    pub parties: Parties,
    hasher: PasswordHasher,
    last_reload: Mutex<Option<Timestamp>>,
}

impl Users {
    /// The service over these tables and secrets.
    pub fn new(store: Store, secrets: Secrets, clock: Clock, ids: Ids, parties: Parties) -> Self {
        Self { store, secrets, clock, ids, parties, hasher: PasswordHasher::default(), last_reload: Mutex::new(None) }
    }

    /// The service as it runs deployed.
    ///
    /// # Panics
    /// When the environment lacks a setting; see the template.
    pub fn from_env() -> Self {
        let config = aws::sdk_config();
        let client = aws_sdk_dynamodb::Client::new(&config);
        let secrets = aws_sdk_secretsmanager::Client::new(&config);
        let store = Store {
            users: Table::new(client.clone(), config::required("USERS_TABLE")),
            sessions: Table::new(client, config::required("SESSIONS_TABLE")),
            shards: config::parsed("INDEX_SHARDS"),
        };
        let parties = Parties { issuer: config::required("TOKEN_ISSUER"), audience: config::required("TOKEN_AUDIENCE") };
        let secrets = Secrets::new(secrets, config::required("SERVER_KEYS_PREFIX"), Clock::System);
        Self::new(store, secrets, Clock::System, Ids::System, parties)
    }

    /// The signing keys, at most five minutes old.
    pub(crate) async fn signing_keys(&self) -> Result<SigningKeys, UsersError> {
        Ok(SigningKeys::parse(&self.secrets.get(signing_keys::SECRET).await?)?)
    }

    /// The signing keys as they are now.
    pub(crate) async fn reloaded_signing_keys(&self) -> Result<SigningKeys, UsersError> {
        Ok(SigningKeys::parse(&self.secrets.reload(signing_keys::SECRET).await?)?)
    }

    /// Whether the keys may be read again for the sake of a token that names an unknown one: whoever makes up key ids must not make us
    /// ask Secrets Manager each time.
    pub(crate) fn may_reload(&self) -> bool {
        let now = self.clock.now();
        let mut last = self.last_reload.lock().unwrap_or_else(PoisonError::into_inner);
        let may = last.is_none_or(|last| now.since(last) >= signing_keys::RELOAD_PAUSE);
        if may {
            *last = Some(now);
        }
        may
    }

    /// The key under which refresh tokens are made.
    pub(crate) async fn refresh_token_key(&self) -> Result<RefreshTokenKey, UsersError> {
        Ok(RefreshTokenKey::new(self.secrets.key("users-key", "refresh-token").await?))
    }

    /// What hashes passwords, with the memory that it keeps.
    pub(crate) fn hasher(&self) -> &PasswordHasher {
        &self.hasher
    }
}
