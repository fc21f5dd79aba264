//! `POST /users/login`: exchanges an e-mail address and a password for an access token and a
//! refresh token.

use std::sync::Arc;

use serde::Deserialize;
use shared::{
    http::{self, Request, Response},
    problem::Problem,
};

use super::view::{DEVICE_TOKEN_HEADER, TokensView};
use crate::{
    Users,
    domain::{Credentials, Email},
    error::UsersError,
    password_hash::{Normalization, PasswordHasher},
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
    let signing_key = users.signing_key().await?;

    let now = users.clock.now();
    let address = Email::parse(&email).map_or(email, String::from);
    let device_keys = users.device_token_keys().await?;
    let header = request.header(DEVICE_TOKEN_HEADER);
    let presented =
        header.and_then(|text| device_keys.open(|key| DeviceToken::open(text, &address, key, now)));
    let buckets = users.buckets().await?;
    let unknown_device =
        || vec![buckets.login_network(request.source_ip()), buckets.login_unknown_device(&address)];
    let mut login_buckets = presented
        .as_ref()
        .map_or_else(unknown_device, |device| vec![buckets.login_known_device(device)]);
    let (allowed, credentials) =
        tokio::join!(users.check_rate_limits(&login_buckets), users.store.credentials(&address));
    allowed?;

    let credentials = credentials?;
    let is_current = |device: &DeviceToken| {
        credentials.as_ref().is_some_and(|user| device.belongs_to(user.user_id, user.session_epoch))
    };
    let device = presented.clone().filter(is_current);
    if presented.is_some() && device.is_none() {
        // The token was issued before the last reset, or to an earlier user, so the device counts
        // as unknown.
        login_buckets = unknown_device();
        users.check_rate_limits(&login_buckets).await?;
    }
    let stored_hash = credentials.as_ref().map(|credentials| credentials.password_hash.as_str());
    let normalization =
        users.hasher().matching_normalization(&password, stored_hash).map_err(UsersError::from)?;
    let (user, normalization) = credentials
        .filter(|user| user.is_active)
        .zip(normalization)
        .ok_or(UsersError::InvalidCredentials)?;

    let refresh_token = RefreshToken::first(TokenSubject::from(&user), &users.ids, now);
    let refresh_token_keys = users.refresh_token_keys().await?;
    // A successful attempt is refunded to the account or device, which is charged last. It is not
    // refunded to the network, whose bucket many transactions would write at the same moment.
    let refund = login_buckets
        .last()
        .map(|bucket| users.store.transact_refund_attempt(bucket, now))
        .into_iter()
        .collect();
    users
        .store
        .start_session(&refresh_token, users.session_expiry(&refresh_token, now), now, refund)
        .await?;
    upgrade_password_hash(&users, &user, &password, normalization).await;

    let answer = http::ok(&TokensView::new(
        &refresh_token,
        refresh_token_keys.active(),
        &signing_key,
        &users,
        now,
    )?);
    // A token under the previous server key is replaced, so that it survives the next rotation of
    // that key too.
    let issued = || DeviceToken::issue(&address, user.user_id, user.session_epoch, &users.ids, now);
    let device = device.unwrap_or_else(issued).text(device_keys.active());
    Ok(if header == Some(device.as_str()) {
        answer
    } else {
        answer.with_header(DEVICE_TOKEN_HEADER, &device)
    })
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
