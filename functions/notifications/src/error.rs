//! What can go wrong with a notification.

use shared::{problem::Problem, table::TableError};

use crate::mailer::MailError;

/// Why a notification was not sent or shown.
#[derive(Debug, thiserror::Error)]
pub enum NotificationError {
    /// Another copy of the same message is being worked off.
    #[error("another try is sending this notification")]
    InProgress,
    /// A template failed.
    #[error("the mail cannot be written")]
    Unwritable(#[from] askama::Error),
    /// SES did not take the mail.
    #[error("the mail cannot be sent")]
    Mail(#[from] MailError),
    /// The table failed.
    #[error("the table of notifications failed")]
    Table(#[from] TableError),
}

impl From<NotificationError> for Problem {
    fn from(error: NotificationError) -> Self {
        match error {
            NotificationError::Table(error) => error.into(),
            NotificationError::InProgress | NotificationError::Mail(_) => Self::unavailable().because(&error),
            NotificationError::Unwritable(_) => Self::internal().because(&error),
        }
    }
}
