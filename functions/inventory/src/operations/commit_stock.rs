//! Queue `commit-stock`: decrements the on-hand stock of a paid order.

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

/// `commit_stock.v1`: records the reserved stock of an order as sold.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct CommitStock {
    order_id: OrderId,
    attempt: u64,
}

impl FromMessage for CommitStock {
    fn from_message(kind: &str, data: Value) -> Result<Self, InvalidMessage> {
        read_as("commit_stock.v1", kind, data)
    }

    /// The message does not name its products, and concurrent transactions on the stock of one
    /// conflict.
    fn contends_for(_data: &Value) -> Vec<String> {
        vec!["stock".to_owned()]
    }
}

/// Commits the order's reservation. If none exists yet, the command is retried until its reserve
/// command has arrived.
///
/// # Errors
/// When the command must be retried.
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
