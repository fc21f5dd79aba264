//! Queue `reserve-stock`: reserves the stock of an order: all of its lines, or none.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use shared::{
    ids::OrderId,
    queue::{FromMessage, InvalidMessage, Received, read_as},
};

use crate::{
    Inventory,
    domain::reservation::{Lines, ReservationCommand, ReservationRequest},
    error::InventoryError,
};

/// `reserve_stock.v1`: reserves these lines for an order.
#[derive(Clone, Debug, Deserialize)]
pub struct ReserveStock {
    order_id: OrderId,
    attempt: u64,
    lines: Lines,
}

impl FromMessage for ReserveStock {
    fn from_message(kind: &str, data: Value) -> Result<Self, InvalidMessage> {
        read_as("reserve_stock.v1", kind, data)
    }

    /// The products. Concurrent transactions on the stock of the same product conflict.
    fn contends_for(data: &Value) -> Vec<String> {
        let lines = data["lines"].as_array().into_iter().flatten();
        lines.filter_map(|line| line["product_id"].as_str()).map(str::to_owned).collect()
    }
}

/// Writes the reservation without reading first, because nearly always none exists yet.
///
/// A repeated command reads first. A transaction that its condition cancels loads the product's
/// partition as much as one that succeeds. The service orders re-sends commands when that partition
/// is overloaded.
///
/// # Errors
/// When the command must be retried.
pub async fn reserve_stock(
    inventory: Arc<Inventory>,
    received: Received<ReserveStock>,
) -> Result<(), InventoryError> {
    let ReserveStock { order_id, attempt, lines } = received.message;
    let request = ReservationRequest {
        order_id,
        attempt,
        command: ReservationCommand::Reserve(lines),
        at: inventory.clock.now(),
        trace: received.trace,
    };

    let reservation =
        if attempt == 0 { None } else { inventory.store.reservation_of(order_id).await? };
    inventory.execute(request, reservation).await
}
