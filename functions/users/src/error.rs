//! Errors of users and their mapping to problem documents.

use lambda_http::http::StatusCode;
use shared::{
    http::IdempotencyKey, problem::Problem, secret::SecretError, table::TableError,
    validation::Violation,
};

use crate::{
    domain::{ChangeError, address_book::MAX_ADDRESSES},
    password_hash::HashError,
    tokens::signing_keys::SigningKeysError,
};

/// An error of an operation on users.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    #[error("the e-mail address is taken")]
    EmailTaken,
    /// The password of a registration equals the e-mail address.
    #[error("the password breaks a rule that depends on another field")]
    Password(Violation),
    /// A changed or reset password equals the e-mail address.
    #[error("the new password breaks a rule that depends on another field")]
    NewPassword(Violation),
    /// A new e-mail address was sent without the current password.
    #[error("the current password is missing")]
    CurrentPasswordRequired,
    #[error("the current password is wrong")]
    WrongPassword,
    /// The account is unknown or disabled, or the password is wrong. The client cannot distinguish
    /// these cases.
    #[error("wrong e-mail address or password")]
    InvalidCredentials,
    /// The refresh token is invalid. The client does not learn the reason.
    #[error("refresh token rejected: {0}")]
    InvalidRefreshToken(&'static str),
    /// A domain rule rejects the change.
    #[error(transparent)]
    Change(#[from] ChangeError),
    #[error("too many attempts")]
    Throttled {
        /// Seconds until the next attempt is allowed.
        retry_after_seconds: u64,
    },
    #[error("user not found")]
    NotFound,
    /// The account of the caller was deleted or disabled after their token was issued.
    #[error("the account is deleted or disabled")]
    AccountGone,
    /// The idempotency key was used for a different request.
    #[error("the idempotency key was used for a different request")]
    KeyReused,
    /// The change is based on an outdated version.
    #[error("the user changed since it was read")]
    VersionMismatch { current: u64 },
    /// Admins cannot change their own role or disable themselves.
    #[error("users cannot change their own role or disable themselves")]
    OwnAccount,
    /// The first rotation of the signing key has not finished.
    #[error("no signing key yet")]
    NoSigningKey,
    /// Every attempt conflicted with a concurrent write.
    #[error("every write of the user conflicted with another")]
    Contended,
    /// The secret cannot be parsed as signing keys.
    #[error(transparent)]
    SigningKeys(#[from] SigningKeysError),
    #[error("a token could not be signed")]
    Signing(#[from] jsonwebtoken::errors::Error),
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Table(#[from] TableError),
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        UsersError::from(error).into()
    }
}

impl From<UsersError> for Problem {
    fn from(error: UsersError) -> Self {
        match error {
            UsersError::EmailTaken => {
                Self::conflict("email_taken", "E-mail address already registered").detail("Log in, or register with another address.")
            }
            UsersError::Password(violation) => Self::invalid_field("/password", &violation),
            UsersError::NewPassword(violation) => Self::invalid_field("/new_password", &violation),
            UsersError::WrongPassword => {
                Self::invalid_field("/current_password", &Violation::new("wrong_password", "The current password is wrong."))
            }
            UsersError::CurrentPasswordRequired => {
                Self::invalid_field("/current_password", &Violation::new("required", "Send the current password to change the e-mail address."))
            }
            UsersError::Change(ChangeError::EmailChangedRecently { .. }) => {
                Self::conflict("email_changed_recently", "E-mail address changed recently")
                    .detail("Wait until 48 hours after the last change, or withdraw it with the link that was mailed to the previous address.")
            }
            UsersError::InvalidRefreshToken(_) => Self::unauthorized(),
            UsersError::Change(ChangeError::InvalidLink) => Self::bad_request("invalid_one_time_token", "Invalid or expired link")
                .detail("The link was used, has expired, or was replaced by a newer one. Request a new link."),
            UsersError::Change(ChangeError::AddressBookFull) => Self::conflict("address_book_full", "Address book full")
                .detail("Delete an address, then repeat the request.")
                .with("maximum", MAX_ADDRESSES),
            UsersError::Change(ChangeError::UnknownAddress) => Self::not_found("address"),
            UsersError::Throttled { retry_after_seconds } => Self::too_many_requests(retry_after_seconds),
            UsersError::NotFound => Self::not_found("user"),
            UsersError::AccountGone => Self::unauthorized(),
            UsersError::KeyReused => IdempotencyKey::reused(),
            UsersError::VersionMismatch { current } => Self::precondition_failed(current),
            UsersError::OwnAccount => Self::conflict("own_account", "Own account not changeable")
                .detail("Ask another admin, or an operator."),
            UsersError::InvalidCredentials => Self::new(StatusCode::UNAUTHORIZED, "invalid_credentials", "Invalid credentials")
                .detail("Check the e-mail address and the password."),
            UsersError::NoSigningKey => Self::new(StatusCode::SERVICE_UNAVAILABLE, "no_signing_key", "Login is not available yet")
                .detail("The signing key of access tokens is being created. This takes a minute after the first deployment.")
                .retry_after(5)
                .caused_by(&UsersError::NoSigningKey),
            UsersError::Contended => Self::unavailable().caused_by(&error),
            UsersError::SigningKeys(_) | UsersError::Secret(_) => Self::unavailable().caused_by(&error),
            UsersError::Signing(_) | UsersError::Hash(_) => Self::internal().caused_by(&error),
            UsersError::Table(error) => error.into(),
        }
    }
}
