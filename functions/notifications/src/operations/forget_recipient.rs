//! Queue `forget-recipient`: deletes whatever was written to a user who is gone.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use shared::{
    ids::UserId,
    queue::{FromMessage, Received, InvalidMessage, read_as},
};
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::{Notifications, error::NotificationError};

/// `user_deleted.v1`: who is to be forgotten.
#[derive(Clone, Debug, Deserialize)]
pub struct UserDeleted {
    user_id: UserId,
}

impl FromMessage for UserDeleted {
    fn from_message(kind: &str, data: Value) -> Result<Self, InvalidMessage> {
        read_as("user_deleted.v1", kind, data)
    }
}

/// How many notifications are found at once, and deleted at the same time.
const FOUND_AT_ONCE: u32 = 100;
const DELETED_AT_ONCE: usize = 16;
/// After how many pages the message is given back, so that no user holds up the others of the batch: 2,000 notifications take seconds.
const PAGES: u32 = 20;

/// Deletes all notifications of the user. What was deleted stays so: a second copy of the message finds nothing, and a run that broke off
/// is taken up where it ended.
///
/// # Errors
/// When there may be some left: the message comes back.
pub async fn forget_recipient(notifications: Arc<Notifications>, received: Received<UserDeleted>) -> Result<(), NotificationError> {
    let user = received.message.user_id;
    for _ in 0..PAGES {
        let found = notifications.store.sort_keys(user, FOUND_AT_ONCE).await?;
        let last_page = found.len() < usize::try_from(FOUND_AT_ONCE).unwrap_or(usize::MAX);
        forget_page(&notifications, user, found).await?;
        if last_page {
            return Ok(());
        }
    }
    Err(NotificationError::NotAllForgotten)
}

/// Deletes these, a few at the same time, and goes no further than to the first that cannot be deleted.
async fn forget_page(notifications: &Arc<Notifications>, user: UserId, sort_keys: Vec<String>) -> Result<(), NotificationError> {
    let (mut waiting, mut running) = (sort_keys.into_iter(), JoinSet::new());
    loop {
        for sort_key in waiting.by_ref().take(DELETED_AT_ONCE - running.len()) {
            let notifications = notifications.clone();
            running.spawn(async move { notifications.store.forget(user, sort_key).await }.in_current_span());
        }
        match running.join_next().await {
            None => return Ok(()),
            Some(Ok(forgotten)) => forgotten?,
            Some(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_user_that_was_deleted_is_forgotten() {
        let user = json!({ "user_id": "usr_0199c2a8-0000-7000-8000-000000000001", "version": 7 });
        assert!(UserDeleted::from_message("user_deleted.v1", user.clone()).is_ok());
        assert!(UserDeleted::from_message("user_changed.v1", user).is_err());
        assert!(UserDeleted::from_message("user_deleted.v1", json!({ "user_id": "ord_0199c2a8-0000-7000-8000-000000000001" })).is_err());
    }
}
