//! `POST /users/login`: an access token and a refresh token for an e-mail address and a password.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::{
    http::{self, Request, Response},
    problem::Problem,
};

use crate::{
    Users,
    access_token::{Claims, LIFETIME},
    domain::Email,
    error::UsersError,
    refresh_token::RefreshToken,
    signing_keys::CurrentKey,
};

/// What somebody tries. Any text goes: what cannot be right is answered like what is not.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LoginUser {
    email: String,
    password: String,
}

/// RFC 6749, section 5.1.
#[derive(Serialize)]
struct TokensView {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    refresh_token: String,
}

/// Runs the function.
///
/// # Errors
/// When the Lambda runtime's own interface fails.
pub fn main() -> Result<(), lambda_http::Error> {
    http::run(Users::from_env, login_user)
}

/// Answers `200` with the tokens. An address that is malformed, unknown or disabled and a wrong password are one and the same `401`,
/// after the same work: one read and one hash.
///
/// # Errors
/// The problem that is answered.
pub async fn login_user(users: Arc<Users>, request: Request) -> Result<Response, Problem> {
    let LoginUser { email, password } = request.json()?;
    // First, so that "nobody can log in yet" says nothing about a password.
    let signing_key = signing_key(&users).await?;

    let address = Email::parse(&email).map_or(email, String::from);
    let credentials = users.store.credentials(&address).await?;
    let stored_hash = credentials.as_ref().map(|credentials| credentials.password_hash.as_str());
    let is_right = users.hasher().verify(&password, stored_hash).map_err(UsersError::from)?;
    let user = credentials.filter(|user| is_right && user.is_active).ok_or(UsersError::InvalidCredentials)?;

    let now = users.clock.now();
    let access_token = Claims::new(&user, &users.parties, &users.ids, now).sign(&signing_key).map_err(UsersError::from)?;
    let refresh_token = RefreshToken::first(&users.ids, now);
    let refresh_token_key = users.refresh_token_key().await?;
    users.store.begin_family(user.user_id, &refresh_token, now).await?;

    Ok(http::ok(&TokensView {
        access_token,
        token_type: "Bearer",
        expires_in: LIFETIME.as_secs(),
        refresh_token: refresh_token.text(&refresh_token_key),
    }))
}

/// The key that signs. As long as there is none the secret is read each time: the first rotation is to be noticed at once.
async fn signing_key(users: &Users) -> Result<CurrentKey, UsersError> {
    if let Some(key) = users.signing_keys().await?.current() {
        return Ok(key);
    }
    users.reloaded_signing_keys().await?.current().ok_or(UsersError::NoSigningKey)
}
