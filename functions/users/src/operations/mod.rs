//! One file for each function of this service, and the views that several of them answer with.

use serde::Serialize;
use shared::{clock::Timestamp, ids::UserId};

use crate::{
    Users,
    domain::User,
    error::UsersError,
    tokens::{
        access::{Claims, LIFETIME},
        refresh::{RefreshToken, RefreshTokenKey},
        signing_keys::CurrentKey,
    },
};

pub mod authorize_request;
pub mod change_password;
pub mod confirm_password_reset;
pub mod delete_me;
pub mod get_jwks;
pub mod get_me;
pub mod get_user;
pub mod grant_role;
pub mod list_users;
pub mod login_user;
pub mod logout_user;
pub mod publish_user_events;
pub mod refresh_token;
pub mod register_user;
pub mod request_password_reset;
pub mod rotate_signing_key;
pub mod update_me;
pub mod update_user;
pub mod verify_email;
pub mod withdraw_email_change;

shared::operations! {
    Users:
    http change_password(POST "/users/me/password", Token);
    http confirm_password_reset(POST "/users/password-reset/confirm", Public);
    http delete_me(DELETE "/users/me", Token);
    http get_jwks(GET "/.well-known/jwks.json", Public);
    http get_me(GET "/users/me", Token);
    http get_user(GET "/users/{user_id}", Token);
    http list_users(GET "/users", Token);
    http login_user(POST "/users/login", Public);
    http logout_user(POST "/users/logout", Token);
    http refresh_token(POST "/users/token/refresh", Public);
    http register_user(POST "/users", Public);
    http request_password_reset(POST "/users/password-reset", Public);
    http update_me(PATCH "/users/me", Token);
    http update_user(PUT "/users/{user_id}", Token);
    http verify_email(POST "/users/verify-email", Public);
    http withdraw_email_change(POST "/users/email-change/withdraw", Public);
    stream publish_user_events("users");
    invoke authorize_request();
    invoke grant_role();
    invoke rotate_signing_key();
}

/// The header in which a device token comes and goes.
const DEVICE_TOKEN: &str = "x-device-token";

/// What a login and a refresh answer: RFC 6749, section 5.1.
#[derive(Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
struct TokensView {
    /// Goes into the header `Authorization`, after `Bearer`.
    access_token: String,
    #[cfg_attr(feature = "api-document", schema(pattern = "^Bearer$"))]
    token_type: &'static str,
    /// For how long the access token is good, in seconds.
    expires_in: u64,
    /// Is good once, for the next access token.
    refresh_token: String,
}

impl TokensView {
    /// The tokens of a session that has come to `refresh_token`.
    fn new(
        refresh_token: &RefreshToken,
        key: &RefreshTokenKey,
        signing_key: &CurrentKey,
        users: &Users,
        now: Timestamp,
    ) -> Result<Self, UsersError> {
        let claims = Claims::new(&refresh_token.bearer, refresh_token.family, &users.parties, &users.ids, now);
        Ok(Self {
            access_token: claims.sign(signing_key)?,
            token_type: "Bearer",
            expires_in: LIFETIME.as_secs(),
            refresh_token: refresh_token.text(key),
        })
    }
}

/// A user as they and admins see them.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct UserView {
    id: UserId,
    #[cfg_attr(feature = "api-document", schema(examples("ada@example.com")))]
    email: String,
    /// Whether they have shown that they read what is sent there.
    email_verified: bool,
    /// The address that becomes theirs once they have followed the link that was sent there.
    pending_email: Option<String>,
    #[cfg_attr(feature = "api-document", schema(examples("ada")))]
    username: String,
    #[cfg_attr(feature = "api-document", schema(examples("Ada Lovelace")))]
    full_name: String,
    #[cfg_attr(feature = "api-document", schema(value_type = shared::auth::Role))]
    role: String,
    /// Whether they may use the shop at all.
    is_active: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<&User> for UserView {
    fn from(user: &User) -> Self {
        Self {
            id: user.id,
            email: user.email.clone(),
            email_verified: user.email_verified,
            pending_email: user.pending_email().map(str::to_owned),
            username: user.username.clone(),
            full_name: user.full_name.clone(),
            role: user.role.clone(),
            is_active: user.is_active,
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}
