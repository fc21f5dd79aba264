//! Errors of notifications and their problem responses.

use shared::{problem::Problem, queue::Retryable, secret::SecretError, table::TableError};

use crate::mailer::MailError;

#[derive(Debug, thiserror::Error)]
pub enum NotificationError {
    /// The notification does not exist, belongs to another user, or has expired.
    #[error("notification not found")]
    NotFound,
    /// Another attempt is processing the same message.
    #[error("another attempt is sending this notification")]
    InProgress,
    /// Our key cannot open the link of the mail for this user: it was sealed elsewhere, or for
    /// another user.
    #[error("the sealed link of the mail cannot be opened")]
    UnsealFailed,
    /// The user had more notifications than one run deletes.
    #[error("the user has more notifications than are deleted at once")]
    DeletionIncomplete,
    #[error("the mail cannot be written")]
    RenderFailed(#[from] askama::Error),
    #[error("the mail cannot be sent")]
    Mail(#[from] MailError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("the table of notifications failed")]
    Table(#[from] TableError),
}

impl Retryable for NotificationError {
    /// A template of this release always renders or never does. A link may open later: for a few
    /// minutes after a key is revoked, this instance still uses the earlier key. The message is
    /// retried until the link expires.
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
