//! What can go wrong with users, in the words of the trade; at the end, as problems.

use lambda_http::http::StatusCode;
use shared::{problem::Problem, secret::SecretError, table::TableError, validation::Violation};

use crate::{
    domain::ChangeError, password_hash::HashError, tokens::signing_keys::SigningKeysError,
};

/// What can go wrong with users.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// The address is registered already.
    #[error("the e-mail address is taken")]
    EmailTaken,
    /// The password is the e-mail address.
    #[error("the password breaks a rule that depends on another field")]
    Password(Violation),
    /// A new password breaks such a rule.
    #[error("the new password breaks a rule that depends on another field")]
    NewPassword(Violation),
    /// A change that needs the present password came without it.
    #[error("the present password is missing")]
    CurrentPasswordRequired,
    /// The password that is to be changed is another one.
    #[error("the present password is another one")]
    WrongPassword,
    /// Unknown, wrong or disabled: which of them is not said.
    #[error("e-mail address and password do not belong together")]
    InvalidCredentials,
    /// A refresh token that does not count. What is wrong with it is not said.
    #[error("the refresh token does not count: {0}")]
    InvalidRefreshToken(&'static str),
    /// The user does not change as asked.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// Too many tries.
    #[error("too many tries")]
    Throttled {
        /// When the next one is looked at.
        retry_after_seconds: u64,
    },
    /// There is no such user.
    #[error("user not found")]
    NotFound,
    /// The change starts from another version.
    #[error("the user has changed since they were read")]
    VersionMismatch {
        /// The current version.
        current: u64,
    },
    /// An admin may not take the admin's rights away from themselves.
    #[error("users cannot change their own role or disable themselves")]
    OwnAccount,
    /// No key has been made yet.
    #[error("there is no key to sign tokens with yet")]
    NoSigningKey,
    /// Others changed the same thing each time.
    #[error("the user kept changing")]
    Contended,
    /// The secret holds no keys.
    #[error(transparent)]
    SigningKeys(#[from] SigningKeysError),
    /// A token could not be signed.
    #[error("a token could not be signed")]
    Signing(#[from] jsonwebtoken::errors::Error),
    /// A password could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// Secrets Manager failed.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A table failed.
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
                Self::invalid_field("/current_password", &Violation::new("wrong_password", "This is not the present password."))
            }
            UsersError::CurrentPasswordRequired => {
                Self::invalid_field("/current_password", &Violation::new("required", "Another e-mail address needs the present password."))
            }
            UsersError::Change(ChangeError::EmailChangedRecently { .. }) => {
                Self::conflict("email_changed_recently", "E-mail address changed recently")
                    .detail("Wait until 48 hours after the last change, or undo it with the link that was mailed to the address before.")
            }
            UsersError::InvalidRefreshToken(_) => Self::unauthorized(),
            UsersError::Change(ChangeError::InvalidLink) => Self::bad_request("invalid_one_time_token", "Invalid or expired link")
                .detail("It was used already, has expired, or was replaced by a newer one. Ask for a new link."),
            UsersError::Throttled { retry_after_seconds } => Self::too_many_requests(retry_after_seconds),
            UsersError::NotFound => Self::not_found("user"),
            UsersError::VersionMismatch { current } => Self::precondition_failed(current),
            UsersError::OwnAccount => Self::conflict("own_account", "Own account not changeable")
                .detail("Ask another admin, or an operator."),
            UsersError::InvalidCredentials => Self::new(StatusCode::UNAUTHORIZED, "invalid_credentials", "Invalid credentials")
                .detail("Check the e-mail address and the password."),
            UsersError::NoSigningKey => Self::new(StatusCode::SERVICE_UNAVAILABLE, "no_signing_key", "Login is not available yet")
                .detail("The key that signs access tokens is being made: this takes a minute after the first deployment.")
                .retry_after(5)
                .caused_by(&UsersError::NoSigningKey),
            UsersError::Contended => Self::unavailable().caused_by(&error),
            UsersError::SigningKeys(_) | UsersError::Secret(_) => Self::unavailable().caused_by(&error),
            UsersError::Signing(_) | UsersError::Hash(_) => Self::internal().caused_by(&error),
            UsersError::Table(error) => error.into(),
        }
    }
}
