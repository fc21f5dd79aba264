//! The queue `commit-stock`: decrements the on-hand stock of a paid order.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use shared::{
    ids::OrderId,
    queue::{FromMessage, InvalidMessage, Received, read_as},
};

use crate::{
    Inventory,
    domain::reservation::{ReservationCommand, ReservationRequest},
    error::InventoryError,
};

/// `commit_stock.v1`, as far as it is read here.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct CommitStock {
    order_id: OrderId,
    attempt: u64,
}

impl FromMessage for CommitStock {
    fn from_message(kind: &str, data: Value) -> Result<Self, InvalidMessage> {
        read_as("commit_stock.v1", kind, data)
    }
}

/// Looks at what is held. Where nothing was reserved yet, the command waits for the one that it has
/// overtaken.
///
/// # Errors
/// When the command has to come back.
pub async fn commit_stock(
    inventory: Arc<Inventory>,
    received: Received<CommitStock>,
) -> Result<(), InventoryError> {
    let CommitStock { order_id, attempt } = received.message;
    let request = ReservationRequest {
        order_id,
        attempt,
        command: ReservationCommand::Commit,
        at: inventory.clock.now(),
        trace: received.trace,
    };

    let reservation = inventory.store.reservation_of(order_id).await?;
    inventory.execute(request, reservation).await
}
