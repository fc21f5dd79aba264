//! Views that several operations answer with, and the header in which a device token comes and
//! goes.

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

/// The header in which a device token comes and goes.
pub const DEVICE_TOKEN_HEADER: &str = "x-device-token";

/// What a login and a refresh answer: RFC 6749, section 5.1.
#[derive(Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct TokensView {
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
    pub fn new(
        refresh_token: &RefreshToken,
        key: &RefreshTokenKey,
        signing_key: &CurrentKey,
        users: &Users,
        now: Timestamp,
    ) -> Result<Self, UsersError> {
        let claims = Claims::new(
            &refresh_token.subject,
            refresh_token.session_id,
            &users.issuer,
            &users.ids,
            now,
        );
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
