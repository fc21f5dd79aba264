//! Queue `release-stock`: returns an order's stock, whether held or sold.

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

/// `release_stock.v1`: returns the stock of an order.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct ReleaseStock {
    order_id: OrderId,
    attempt: u64,
}

impl FromMessage for ReleaseStock {
    fn from_message(kind: &str, data: Value) -> Result<Self, InvalidMessage> {
        read_as("release_stock.v1", kind, data)
    }

    /// The message does not name its products, and concurrent transactions on the stock of one
    /// conflict.
    fn contends_for(_data: &Value) -> Vec<String> {
        vec!["stock".to_owned()]
    }
}

/// Releases the order's reservation. If none exists, a tombstone is written, so that a late reserve
/// command holds nothing.
///
/// # Errors
/// When the command must be retried.
pub async fn release_stock(
    inventory: Arc<Inventory>,
    received: Received<ReleaseStock>,
) -> Result<(), InventoryError> {
    let ReleaseStock { order_id, attempt } = received.message;
    let request = ReservationRequest {
        order_id,
        attempt,
        command: ReservationCommand::Release,
        at: inventory.clock.now(),
        trace: received.trace,
    };

    let reservation = inventory.store.reservation_of(order_id).await?;
    inventory.execute(request, reservation).await
}
