//! One file for each function of this service, and the views that several of them answer with.

use serde::Serialize;
use shared::{clock::Timestamp, ids::UserId};

use crate::{
    Users,
    access_token::{Claims, LIFETIME},
    domain::User,
    error::UsersError,
    refresh_token::{RefreshToken, RefreshTokenKey},
    signing_keys::CurrentKey,
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

/// What the API document says of this service.
#[cfg(feature = "api-document")]
#[derive(utoipa::OpenApi)]
#[openapi(paths(
    change_password::change_password,
    confirm_password_reset::confirm_password_reset,
    delete_me::delete_me,
    get_jwks::get_jwks,
    get_me::get_me,
    get_user::get_user,
    list_users::list_users,
    login_user::login_user,
    logout_user::logout_user,
    refresh_token::refresh_token,
    register_user::register_user,
    request_password_reset::request_password_reset,
    update_me::update_me,
    update_user::update_user,
    verify_email::verify_email,
    withdraw_email_change::withdraw_email_change
))]
pub struct ApiDocument;
