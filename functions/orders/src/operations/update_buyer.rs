//! Queue `update-buyer`: brings the orders of a user up to date when their account was changed or
//! deleted.
//!
//! An order that owes nothing is rewritten at once. One that still does takes a note, which the
//! write that settles it carries out; see [`buyer`](crate::domain::buyer). What is done is done: a
//! message that comes again reads the user's orders and writes nothing.

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::Value;
use shared::{
    ids::{OrderId, UserId},
    queue::{self, FromMessage, InvalidMessage, Received},
    table::TableError,
    telemetry::{self, Trace},
};
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::{
    Orders,
    advance::MAX_WRITE_ATTEMPTS,
    domain::{
        Order,
        buyer::{BuyerChange, Contact},
        saga::Event,
    },
    error::OrderError,
    store::{StoredOrder, WriteOutcome},
};

/// `user_changed.v1` or `user_deleted.v1`: what became of the account of somebody who may have
/// ordered.
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

/// Its version is of no interest: nothing comes after it.
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

/// How many orders are found and read at once: as many as one call reads.
const PAGE_SIZE: u32 = 100;
/// How many are written at the same time.
const WRITE_CONCURRENCY: usize = 16;
/// For how long one message is worked on. What is left of the function's time is enough for the
/// calls that are under way then, and for giving the message back.
const WORK_TIME: Duration = Duration::from_secs(35);

/// Tells every order of the user what became of their account. The message comes back when there
/// are too many for the time, or when some of them failed; those are no reason to leave the others
/// as they were.
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
    if failed > 0 { Err(OrderError::NotAllUpdated { failed }) } else { Ok(()) }
}

/// Some orders at the same time; how many of them failed.
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
                Ok(order) => update_order(&orders, order, &received.message, &received.trace).await,
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
                tracing::error!(order.id = %order_id, error = telemetry::causes(&error), "an order still has its buyer as they were");
                failed += 1;
            }
            Err(panic) => {
                tracing::error!(
                    error = panic.to_string(),
                    "bringing an order's buyer up to date panicked"
                );
                failed += 1;
            }
        }
    }
    failed
}

/// One order. One that knows already is not written; one that only the index takes for theirs is
/// left alone.
async fn update_order(
    orders: &Orders,
    mut seen: StoredOrder,
    account_change: &AccountChange,
    trace: &Trace,
) -> Result<(), OrderError> {
    let event = Event::BuyerChanged(account_change.change.clone());
    for _ in 0..MAX_WRITE_ATTEMPTS {
        if seen.order.placed.user_id != account_change.user_id {
            return Ok(());
        }
        let Some(next) = seen.order.apply(&event, orders.clock.now(), orders.timing)? else {
            return Ok(());
        };
        match orders.store.replace(&seen, &Order { traceparent: trace.clone(), ..next }).await? {
            WriteOutcome::Written => return Ok(()),
            WriteOutcome::VersionConflict(current) => seen = *current,
        }
    }
    Err(OrderError::Contended)
}
