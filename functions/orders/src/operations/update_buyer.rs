//! Queue `update-buyer`: updates or redacts the buyer in all orders of a user.
//!
//! A settled order is rewritten at once. An unsettled order only records the change, and the write
//! that settles it applies the change; see [`buyer`](crate::domain::buyer). A deletion also deletes
//! the cart of the user. The operation is idempotent: a repeated message reads the user's orders
//! and writes nothing.

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::Value;
use shared::{
    ids::{OrderId, UserId},
    queue::{self, FromMessage, InvalidMessage, Received},
    table::TableError,
    telemetry,
};
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::{
    Orders,
    advance::MAX_WRITE_ATTEMPTS,
    domain::{
        buyer::{BuyerChange, Contact},
        saga::Event,
    },
    error::OrderError,
    store::{StoredOrder, WriteOutcome},
};

/// `user_changed.v1` or `user_deleted.v1`: a change of an account that may have orders.
#[derive(Clone, Debug)]
pub struct AccountChange {
    user_id: UserId,
    change: BuyerChange,
}

#[derive(Deserialize)]
struct UserChanged {
    user_id: UserId,
    version: u64,
    name: String,
    email: String,
}

/// The version is not read, because a deletion is the last change of an account.
#[derive(Deserialize)]
struct UserDeleted {
    user_id: UserId,
}

impl FromMessage for AccountChange {
    fn from_message(kind: &str, data: Value) -> Result<Self, InvalidMessage> {
        match kind {
            "user_changed.v1" => {
                let UserChanged { user_id, version, name, email } =
                    queue::read_as(kind, kind, data)?;
                Ok(Self { user_id, change: BuyerChange::Changed(Contact { name, email, version }) })
            }
            "user_deleted.v1" => {
                let UserDeleted { user_id } = queue::read_as(kind, kind, data)?;
                Ok(Self { user_id, change: BuyerChange::Deleted })
            }
            _ => Err(InvalidMessage::unknown_type()),
        }
    }
}

/// Orders read at once: the maximum of one `BatchGetItem` call.
const PAGE_SIZE: u32 = 100;
/// Orders written at the same time.
const WRITE_CONCURRENCY: usize = 16;
/// Maximum time for one message. The rest of the function's timeout is for calls in flight and for
/// returning the message to the queue.
const WORK_TIME: Duration = Duration::from_secs(35);

/// Applies the change to every order of the user, and deletes the cart of a deleted user. A failed
/// order does not stop the others. If the time runs out or an order failed, the message is retried.
pub async fn update_buyer(
    orders: Arc<Orders>,
    received: Received<AccountChange>,
) -> Result<(), OrderError> {
    let stop_at = orders.clock.now().plus(WORK_TIME);
    let (mut after, mut failed) = (None, 0);
    loop {
        let page = orders.store.order_ids_of(received.message.user_id, after, PAGE_SIZE).await?;
        let found = if page.order_ids.is_empty() {
            Vec::new()
        } else {
            orders.store.find_many(&page.order_ids).await?
        };
        let mut found = found.into_iter();
        while found.len() > 0 {
            if orders.clock.now() >= stop_at {
                return Err(OrderError::OutOfTime);
            }
            failed +=
                update_group(&orders, found.by_ref().take(WRITE_CONCURRENCY), &received).await;
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let AccountChange { user_id, change } = &received.message;
    if *change == BuyerChange::Deleted {
        orders.store.delete_own_cart(*user_id).await?;
    }
    if failed > 0 { Err(OrderError::NotAllUpdated { failed }) } else { Ok(()) }
}

/// Updates a group of orders concurrently. Returns how many failed.
async fn update_group(
    orders: &Arc<Orders>,
    group: impl Iterator<Item = (OrderId, Result<StoredOrder, TableError>)>,
    received: &Received<AccountChange>,
) -> usize {
    let (mut running, mut failed) = (JoinSet::new(), 0);
    for (order_id, order) in group {
        let (orders, received) = (orders.clone(), received.clone());
        let update = async move {
            let updated = match order {
                Ok(order) => update_order(&orders, order, &received.message).await,
                Err(unreadable) => Err(unreadable.into()),
            };
            updated.map_err(|error| (order_id, error))
        };
        running.spawn(update.in_current_span());
    }
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok(Ok(())) => {}
            Ok(Err((order_id, error))) => {
                tracing::error!(order.id = %order_id, error = telemetry::causes(&error), "failed to update buyer on order, message is retried");
                failed += 1;
            }
            Err(panic) => {
                tracing::error!(
                    error = panic.to_string(),
                    "update of an order's buyer panicked, message is retried"
                );
                failed += 1;
            }
        }
    }
    failed
}

/// Updates one order. Writes nothing if the order already has the change, or if the order belongs
/// to another user and the index is outdated.
///
/// The order keeps its trace: a changed buyer sends no command, and a command that is sent again
/// continues the trace of the request that caused it.
async fn update_order(
    orders: &Orders,
    mut seen: StoredOrder,
    account_change: &AccountChange,
) -> Result<(), OrderError> {
    let event = Event::BuyerChanged(account_change.change.clone());
    for _ in 0..MAX_WRITE_ATTEMPTS {
        if seen.order.placed.user_id != account_change.user_id {
            return Ok(());
        }
        let Some(next) = seen.order.apply(&event, orders.clock.now(), orders.timing)? else {
            return Ok(());
        };
        match orders.store.replace(&seen, &next).await? {
            WriteOutcome::Written => return Ok(()),
            WriteOutcome::VersionConflict(current) => seen = *current,
        }
    }
    Err(OrderError::Contended)
}
