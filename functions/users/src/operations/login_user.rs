//! `POST /users/login`: exchanges an e-mail address and a password for an access token and a
//! refresh token.

use std::sync::Arc;

use serde::Deserialize;
use shared::{
    clock::Timestamp,
    http::{self, Request, Response},
    problem::Problem,
};

use super::view::{DEVICE_TOKEN_HEADER, TokensView};
use crate::{
    Users,
    domain::{Credentials, Email},
    error::UsersError,
    password_hash::{Normalization, PasswordHasher},
    throttle::{Bucket, Buckets},
    tokens::{
        device::DeviceToken,
        refresh::{RefreshToken, TokenSubject},
    },
};

/// The credentials. Any text is accepted: malformed values are answered like wrong ones.
#[derive(Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct LoginUser {
    email: String,
    #[cfg_attr(feature = "api-document", schema(format = "password"))]
    password: String,
}

/// Answers `200` with the tokens. A malformed, unknown or disabled address and a wrong password get
/// the same `401` after the same work: one read and one hash. A password that was not typed in
/// composed form costs a second hash.
///
/// Too many attempts get `429`, whether or not the address is registered. Attempts from unknown
/// devices are counted by account and by network. Attempts from a device that has logged in before
/// are counted by its device token. So strangers who guess passwords lock out themselves, not the
/// owner.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/users/login",
    params(("X-Device-Token" = Option<String>, Header, description = "The device token of an earlier login to this account.")),
    request_body = LoginUser,
    responses((status = 200, description = "The tokens.", body = TokensView, headers(("X-Device-Token")))),
    security(()),
    extensions(
        ("x-roles" = json!(["anonymous"])),
        ("x-problems" = json!(["invalid_credentials", "too_many_requests", "no_signing_key"])),
    ),
))]
pub async fn login_user(users: Arc<Users>, request: Request) -> Result<Response, Problem> {
    let LoginUser { email, password } = request.json()?;
    // Checked first, so that `no_signing_key` reveals nothing about a password.
    let (signing_key, keys) = tokio::try_join!(users.signing_key(), users.server_keys())?;

    let now = users.clock.now();
    let address = Email::parse(&email).map_or(email, String::from);
    let device_keys = Users::device_token_keys(&keys);
    let header = request.header(DEVICE_TOKEN_HEADER);
    let presented =
        header.and_then(|text| device_keys.open(|key| DeviceToken::open(text, &address, key, now)));
    let buckets = users.buckets_of(&keys);
    let Account { credentials, limit } =
        read_account(&users, &buckets, &address, request.source_ip(), presented, now).await?;
    let stored_hash = credentials.as_ref().map(|credentials| credentials.password_hash.as_str());
    let normalization =
        users.hasher().matching_normalization(&password, stored_hash).map_err(UsersError::from)?;
    let Some((user, normalization)) = credentials.filter(|user| user.is_active).zip(normalization)
    else {
        limit.charge_failure(&users, now).await?;
        return Err(UsersError::InvalidCredentials.into());
    };

    let refresh_token = RefreshToken::first(TokenSubject::from(&user), &users.ids, now);
    limit.start_session(&users, &refresh_token, now).await?;
    upgrade_password_hash(&users, &user, &password, normalization).await;

    let answer = http::ok(&TokensView::new(
        &refresh_token,
        Users::refresh_token_keys(&keys).active(),
        &signing_key,
        &users,
        now,
    )?);
    // A token under the previous server key is replaced, so that it survives the next rotation of
    // that key too.
    let issued = || DeviceToken::issue(&address, user.user_id, user.session_epoch, &users.ids, now);
    let device = limit.device().unwrap_or_else(issued).text(device_keys.active());
    Ok(if header == Some(device.as_str()) {
        answer
    } else {
        answer.with_header(DEVICE_TOKEN_HEADER, &device)
    })
}

/// The account that an attempt is made for, and the limit that counts the attempt.
struct Account {
    credentials: Option<Credentials>,
    limit: AttemptLimit,
}

/// The limit that counts an attempt.
enum AttemptLimit {
    /// Charged before the password is checked: attempts of strangers cost no more hashes than the
    /// limit allows. A successful attempt is refunded to this bucket, that of the account. It is not
    /// refunded to the network, whose bucket many transactions would write at the same moment.
    UnknownDevice(Bucket),
    /// Read together with the credentials, and charged if the attempt fails. No attempt is answered
    /// unless the bucket has capacity *after* the password is checked, so concurrent attempts get no
    /// more answers than consecutive ones.
    KnownDevice { device: DeviceToken, bucket: Bucket, arrival: Option<Timestamp> },
}

/// Reads the credentials for an address, if an attempt is allowed.
async fn read_account(
    users: &Users,
    buckets: &Buckets,
    address: &str,
    source_ip: &str,
    presented: Option<DeviceToken>,
    now: Timestamp,
) -> Result<Account, UsersError> {
    let bucket = buckets.login_unknown_device(address);
    let unknown_device = [buckets.login_network(source_ip), bucket.clone()];
    let Some(device) = presented else {
        let (allowed, credentials) = tokio::join!(
            users.check_rate_limits(&unknown_device),
            users.store.credentials(address)
        );
        allowed?;
        let limit = AttemptLimit::UnknownDevice(bucket);
        return Ok(Account { credentials: credentials?, limit });
    };
    let device_bucket = buckets.login_known_device(&device);
    let (credentials, arrival) =
        users.store.credentials_and_bucket(address, &device_bucket).await?;
    let is_current = credentials
        .as_ref()
        .is_some_and(|user| device.belongs_to(user.user_id, user.session_epoch));
    if !is_current {
        // The token was issued before the last reset, or to an earlier user, so the device counts
        // as unknown.
        users.check_rate_limits(&unknown_device).await?;
        return Ok(Account { credentials, limit: AttemptLimit::UnknownDevice(bucket) });
    }
    device_bucket.decide(arrival, now).into_result()?;
    let limit = AttemptLimit::KnownDevice { device, bucket: device_bucket, arrival };
    Ok(Account { credentials, limit })
}

impl AttemptLimit {
    /// Charges a failed attempt, unless it was charged before.
    ///
    /// # Errors
    /// [`UsersError::Throttled`] if other attempts have used the bucket meanwhile.
    async fn charge_failure(&self, users: &Users, now: Timestamp) -> Result<(), UsersError> {
        match self {
            Self::UnknownDevice(_) => Ok(()),
            Self::KnownDevice { bucket, arrival, .. } => {
                users.store.consume_attempt_at(bucket, *arrival, now).await?.into_result()
            }
        }
    }

    /// Starts the session of a successful attempt, which costs nothing.
    ///
    /// # Errors
    /// [`UsersError::Throttled`] if other attempts have used the bucket meanwhile.
    async fn start_session(
        &self,
        users: &Users,
        token: &RefreshToken,
        now: Timestamp,
    ) -> Result<(), UsersError> {
        let expires_at = users.session_expiry(token, now);
        match self {
            Self::UnknownDevice(bucket) => {
                let refund = vec![users.store.transact_refund_attempt(bucket, now)];
                users.store.start_session(token, expires_at, now, refund).await
            }
            Self::KnownDevice { bucket, .. } => users
                .store
                .start_session_within(token, expires_at, now, bucket)
                .await?
                .into_result(),
        }
    }

    /// Returns the device that has logged in to the account before.
    fn device(self) -> Option<DeviceToken> {
        match self {
            Self::UnknownDevice(_) => None,
            Self::KnownDevice { device, .. } => Some(device),
        }
    }
}

/// Replaces the stored hash if it has outdated parameters or is of the password as typed. If that
/// fails, the next login retries.
async fn upgrade_password_hash(
    users: &Users,
    user: &Credentials,
    password: &str,
    normalization: Normalization,
) {
    if normalization == Normalization::Nfc && !PasswordHasher::needs_rehash(&user.password_hash) {
        return;
    }
    match users.hasher().hash(password, users.ids.bytes()) {
        Ok(hash) => {
            if let Err(error) = users.store.update_password_hash(user, &hash).await {
                http::warn(&error, "password not rehashed, the old hash stays valid");
            }
        }
        Err(error) => http::warn(&error, "password not rehashed, the old hash stays valid"),
    }
}
