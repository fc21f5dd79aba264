//! Queue `forget-recipient`: deletes all notifications of a deleted user.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use shared::{
    ids::UserId,
    queue::{FromMessage, InvalidMessage, Received, read_as},
};
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::{Notifications, error::NotificationError};

/// `user_deleted.v1`: the user whose notifications are deleted.
#[derive(Clone, Debug, Deserialize)]
pub struct UserDeleted {
    user_id: UserId,
}

impl FromMessage for UserDeleted {
    fn from_message(kind: &str, data: Value) -> Result<Self, InvalidMessage> {
        read_as("user_deleted.v1", kind, data)
    }
}

/// Notifications per page, and notifications deleted concurrently.
const PAGE_SIZE: u32 = 100;
const DELETE_CONCURRENCY: usize = 16;
/// Maximum pages per delivery. The message then returns to the queue, so that one user does not
/// delay the others of the batch. 2,000 notifications take seconds.
const MAX_PAGES: u32 = 20;

/// Deletes all notifications of the user. Idempotent: a duplicate message finds nothing, and a
/// retry continues an interrupted run.
///
/// # Errors
/// If notifications may remain: the message is redelivered.
pub async fn forget_recipient(
    notifications: Arc<Notifications>,
    received: Received<UserDeleted>,
) -> Result<(), NotificationError> {
    let user = received.message.user_id;
    for _ in 0..MAX_PAGES {
        let sort_keys = notifications.store.sort_keys(user, PAGE_SIZE).await?;
        let last_page = sort_keys.len() < usize::try_from(PAGE_SIZE).unwrap_or(usize::MAX);
        delete_page(&notifications, user, sort_keys).await?;
        if last_page {
            return Ok(());
        }
    }
    Err(NotificationError::DeletionIncomplete)
}

/// Deletes these notifications concurrently, and stops at the first error.
async fn delete_page(
    notifications: &Arc<Notifications>,
    user: UserId,
    sort_keys: Vec<String>,
) -> Result<(), NotificationError> {
    let (mut waiting, mut running) = (sort_keys.into_iter(), JoinSet::new());
    loop {
        for sort_key in waiting.by_ref().take(DELETE_CONCURRENCY - running.len()) {
            let notifications = notifications.clone();
            running.spawn(
                async move { notifications.store.delete(user, sort_key).await }.in_current_span(),
            );
        }
        match running.join_next().await {
            None => return Ok(()),
            Some(Ok(deleted)) => deleted?,
            Some(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_user_deleted_messages_are_accepted() {
        let user = json!({ "user_id": "usr_0199c2a8-0000-7000-8000-000000000001", "version": 7 });
        assert!(UserDeleted::from_message("user_deleted.v1", user.clone()).is_ok());
        assert!(UserDeleted::from_message("user_changed.v1", user).is_err());
        assert!(
            UserDeleted::from_message(
                "user_deleted.v1",
                json!({ "user_id": "ord_0199c2a8-0000-7000-8000-000000000001" })
            )
            .is_err()
        );
    }
}
