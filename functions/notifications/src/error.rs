//! What can go wrong with a notification.

use shared::{problem::Problem, queue::Retryable, secret::SecretError, table::TableError};

use crate::mailer::MailError;

/// Why a notification was not sent, shown or forgotten.
#[derive(Debug, thiserror::Error)]
pub enum NotificationError {
    /// The user has no such notification: it does not exist, belongs to another user, or has
    /// expired.
    #[error("notification not found")]
    NotFound,
    /// Another copy of the same message is being worked off.
    #[error("another try is sending this notification")]
    InProgress,
    /// The link of a mail cannot be opened under our key for this user: it was sealed elsewhere, or
    /// for another user.
    #[error("the link of the mail cannot be opened")]
    UnsealFailed,
    /// The user had more notifications than one run deletes.
    #[error("the user has more notifications than are deleted at once")]
    DeletionIncomplete,
    /// A template failed.
    #[error("the mail cannot be written")]
    RenderFailed(#[from] askama::Error),
    /// SES did not take the mail.
    #[error("the mail cannot be sent")]
    Mail(#[from] MailError),
    /// Secrets Manager failed.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The table failed.
    #[error("the table of notifications failed")]
    Table(#[from] TableError),
}

impl Retryable for NotificationError {
    /// A template of this release renders at the first try, or never. A link may open later: for a
    /// few minutes after a key was revoked this instance still has the earlier one. It is retried
    /// until it has expired.
    fn is_retryable(&self) -> bool {
        !matches!(self, Self::RenderFailed(_))
    }
}

impl From<NotificationError> for Problem {
    fn from(error: NotificationError) -> Self {
        match error {
            NotificationError::NotFound => Self::not_found("notification"),
            NotificationError::Table(error) => error.into(),
            NotificationError::InProgress
            | NotificationError::DeletionIncomplete
            | NotificationError::Mail(_)
            | NotificationError::Secret(_) => Self::unavailable().caused_by(&error),
            NotificationError::UnsealFailed | NotificationError::RenderFailed(_) => {
                Self::internal().caused_by(&error)
            }
        }
    }
}
