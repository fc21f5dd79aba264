//! Views that several operations return, and the header that carries a device token.

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

/// Header that carries a device token, in requests and responses.
pub const DEVICE_TOKEN_HEADER: &str = "x-device-token";

/// The tokens of a login or a refresh (RFC 6749, section 5.1).
#[derive(Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct TokensView {
    /// Access token, to be sent in the header `Authorization` after `Bearer`.
    access_token: String,
    #[cfg_attr(feature = "api-document", schema(pattern = "^Bearer$"))]
    token_type: &'static str,
    /// Lifetime of the access token in seconds.
    expires_in: u64,
    /// Refresh token, to be exchanged once for the next pair of tokens.
    refresh_token: String,
}

impl TokensView {
    /// Issues the response for a session whose current refresh token is `refresh_token`.
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

/// A user as the user and admins see it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct UserView {
    id: UserId,
    #[cfg_attr(feature = "api-document", schema(examples("ada@example.com")))]
    email: String,
    /// Whether the user has proved access to the mailbox of `email`.
    email_verified: bool,
    /// New address that replaces `email` once the link sent to it is followed.
    pending_email: Option<String>,
    #[cfg_attr(feature = "api-document", schema(examples("ada")))]
    username: String,
    #[cfg_attr(feature = "api-document", schema(examples("Ada Lovelace")))]
    full_name: String,
    #[cfg_attr(feature = "api-document", schema(value_type = shared::auth::Role))]
    role: String,
    /// Whether the account is enabled. A disabled account cannot log in.
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
