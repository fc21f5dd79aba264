//! Users: accounts, passwords, sessions and tokens.
//!
#![doc = include_str!("../README.md")]

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use shared::{
    aws,
    clock::{Clock, Timestamp},
    config,
    http::Request,
    ids::{Ids, UserId},
    problem::Problem,
    seal::SealingKey,
    secret::{KeyRing, Secrets, ServerKey},
    table::{Table, TableError},
};

pub mod domain;
pub mod error;
pub mod messages;
pub mod metrics;
pub mod operations;
pub mod password_hash;
pub mod publish;
pub mod store;
pub mod throttle;
pub mod tokens;

use domain::{Credentials, User, session_expiry};
use error::UsersError;
use password_hash::PasswordHasher;
use store::Store;
use throttle::{Bucket, Buckets};
use tokens::{
    access::Issuer,
    device::DeviceTokenKey,
    refresh::{RefreshToken, RefreshTokenKey, SessionId},
    signing_keys::{self, CurrentKey, SigningKeys},
};

/// The dependencies that all operations of this service share.
pub struct Users {
    pub store: Store,
    /// Reads the signing keys and the server key.
    pub secrets: Secrets,
    pub clock: Clock,
    /// Generates ids, salts and tokens.
    pub ids: Ids,
    /// Issuer and audience of access tokens.
    pub issuer: Issuer,
    /// Attempts that one network may make at once; see [`throttle::Limit::network`].
    pub network_burst: u32,
    /// Maximum lifetime of a session, regardless of its use.
    pub session_max: Duration,
    hasher: PasswordHasher,
    reloads: Mutex<Option<Timestamp>>,
}

impl Users {
    /// Creates the service with these tables and secrets.
    pub fn new(
        store: Store,
        secrets: Secrets,
        clock: Clock,
        ids: Ids,
        issuer: Issuer,
        network_burst: u32,
        session_max: Duration,
    ) -> Self {
        let (hasher, reloads) = (PasswordHasher::default(), Mutex::new(None));
        Self { store, secrets, clock, ids, issuer, network_burst, session_max, hasher, reloads }
    }

    /// Creates the service from the environment of a deployed function.
    ///
    /// # Panics
    /// If a required environment variable is missing or malformed; the template sets them.
    pub fn from_env() -> Self {
        let config = aws::sdk_config();
        let client = aws_sdk_dynamodb::Client::new(&config);
        let secrets = aws_sdk_secretsmanager::Client::new(&config);
        let store = Store {
            users: Table::new(client.clone(), config::required("USERS_TABLE")),
            sessions: Table::new(client, config::required("SESSIONS_TABLE")),
            shards: config::parsed("LIST_SHARDS"),
        };
        let issuer = Issuer {
            name: config::required("TOKEN_ISSUER"),
            audience: config::required("TOKEN_AUDIENCE"),
        };
        let secrets = Secrets::new(secrets, config::required("SERVER_KEYS_PREFIX"), Clock::System);
        let session_max =
            Duration::from_secs(24 * 3600 * u64::from(config::parsed::<u32>("SESSION_MAX_DAYS")));
        Self::new(
            store,
            secrets,
            Clock::System,
            Ids::System,
            issuer,
            config::parsed("NETWORK_BURST"),
            session_max,
        )
    }

    /// Returns the signing keys, at most [`signing_keys::CACHE_TTL`] old.
    pub(crate) async fn signing_keys(&self) -> Result<SigningKeys, UsersError> {
        Ok(SigningKeys::parse(
            &self
                .secrets
                .get_with_max_age(signing_keys::SECRET_NAME, signing_keys::CACHE_TTL)
                .await?,
        )?)
    }

    /// Reads the signing keys from the secret and skips the cache.
    pub(crate) async fn reloaded_signing_keys(&self) -> Result<SigningKeys, UsersError> {
        Ok(SigningKeys::parse(&self.secrets.reload(signing_keys::SECRET_NAME).await?)?)
    }

    /// Returns the signing keys, at most [`signing_keys::JWKS_CACHE_TTL`] old, for publication in
    /// the JWKS.
    pub(crate) async fn fresh_signing_keys(&self) -> Result<SigningKeys, UsersError> {
        Ok(SigningKeys::parse(
            &self
                .secrets
                .get_with_max_age(signing_keys::SECRET_NAME, signing_keys::JWKS_CACHE_TTL)
                .await?,
        )?)
    }

    /// Returns whether the keys may be reloaded for a token with an unknown key id. Invented key
    /// ids must neither cause a call to Secrets Manager each time nor delay the discovery of a new
    /// key.
    pub(crate) fn may_reload(&self) -> bool {
        let mut arrival = self.reloads.lock().unwrap_or_else(PoisonError::into_inner);
        let admitted = signing_keys::RELOAD_LIMIT.check(*arrival, self.clock.now());
        if let Ok(next) = admitted {
            *arrival = Some(next);
        }
        admitted.is_ok()
    }

    pub(crate) async fn buckets(&self) -> Result<Buckets, UsersError> {
        Ok(self.buckets_of(&self.server_keys().await?))
    }

    pub(crate) fn buckets_of(&self, keys: &KeyRing<ServerKey>) -> Buckets {
        Buckets::new(keys.active().derive("throttle"), self.network_burst)
    }

    /// Returns the server keys. An operation that needs another secret too reads both at the same
    /// time.
    pub(crate) async fn server_keys(&self) -> Result<KeyRing<ServerKey>, UsersError> {
        Ok(self.secrets.keys("users-key").await?)
    }

    /// Charges one attempt to all of the buckets, or to none of them; see
    /// [`Store::consume_attempts`].
    pub(crate) async fn check_rate_limits(&self, buckets: &[Bucket]) -> Result<(), UsersError> {
        self.store.consume_attempts(buckets, self.clock.now()).await?.into_result()
    }

    /// Returns the user's credentials if `password` is the current one. The attempt is charged to
    /// `buckets` first. The caller refunds it in the transaction that uses the password. That
    /// transaction is also conditional on the returned credentials, so that it fails if the
    /// password changes meanwhile.
    pub(crate) async fn confirm_password(
        &self,
        user: &User,
        password: &str,
        buckets: &[Bucket],
    ) -> Result<Credentials, UsersError> {
        self.check_rate_limits(buckets).await?;
        let credentials = self
            .store
            .credentials(&user.email)
            .await?
            .filter(|credentials| credentials.user_id == user.id);
        let credentials = credentials.ok_or(UsersError::Contended)?;
        if !self.hasher.verify(password, Some(&credentials.password_hash))? {
            return Err(UsersError::WrongPassword);
        }
        Ok(credentials)
    }

    /// Charges one attempt to use a link to the client's network.
    pub(crate) async fn check_link_rate_limit(&self, request: &Request) -> Result<(), UsersError> {
        self.check_rate_limits(&[self.buckets().await?.link_network(request.source_ip())]).await
    }

    pub(crate) fn device_token_keys(keys: &KeyRing<ServerKey>) -> KeyRing<DeviceTokenKey> {
        keys.derive("device-token").map(DeviceTokenKey::new)
    }

    /// Returns whether the session exists, belongs to this user and has not ended.
    pub(crate) async fn is_session_active(
        &self,
        session: SessionId,
        user: &User,
    ) -> Result<bool, TableError> {
        let session = self.store.session(session).await?;
        Ok(session.is_some_and(|session| {
            session.is_active(user.id, user.session_epoch, self.clock.now())
        }))
    }

    /// Returns 412 with the current version, for a change that is based on an outdated one.
    pub(crate) async fn version_mismatch(&self, id: UserId) -> Result<Problem, TableError> {
        let current = self.store.user(id).await?.map(|user| user.version);
        Ok(current
            .map_or(UsersError::NotFound, |current| UsersError::VersionMismatch { current })
            .into())
    }

    /// Returns the key that signs access tokens. While none exists, the secret is read each time,
    /// so that the first rotation takes effect at once.
    pub(crate) async fn signing_key(&self) -> Result<CurrentKey, UsersError> {
        if let Some(key) = self.signing_keys().await?.current() {
            return Ok(key);
        }
        self.reloaded_signing_keys().await?.current().ok_or(UsersError::NoSigningKey)
    }

    pub(crate) fn refresh_token_keys(keys: &KeyRing<ServerKey>) -> KeyRing<RefreshTokenKey> {
        keys.as_ref().map(|key| {
            RefreshTokenKey::new(key.derive("refresh-token"), key.derive("refresh-token-successor"))
        })
    }

    /// Returns when the session of `token` ends unless it is used again after `now`.
    pub fn session_expiry(&self, token: &RefreshToken, now: Timestamp) -> Timestamp {
        session_expiry(token.started_at(), self.session_max, now)
    }

    /// Returns the key that seals one-time tokens until their mail is written.
    pub(crate) async fn one_time_token_key(&self) -> Result<SealingKey, UsersError> {
        Ok(SealingKey::new(
            self.secrets.keys("mail-token-key").await?.active().derive("one-time-token"),
        ))
    }

    /// Returns the shared hasher, which keeps Argon2's memory between calls.
    pub(crate) fn hasher(&self) -> &PasswordHasher {
        &self.hasher
    }
}
