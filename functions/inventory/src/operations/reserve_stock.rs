//! The queue `reserve-stock`: holds what an order wants, all of it or none.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use shared::{
    ids::OrderId,
    queue::{self, Consumed, Delivery, Unreadable, read_as},
};

use crate::{
    Inventory,
    domain::reservation::{Command, Lines, Wish},
    error::InventoryError,
};

/// `reserve_stock.v1`, as far as it is read here.
#[derive(Clone, Debug, Deserialize)]
pub struct ReserveStock {
    order_id: OrderId,
    drive: u64,
    lines: Lines,
}

impl Consumed for ReserveStock {
    fn read(kind: &str, data: Value) -> Result<Self, Unreadable> {
        read_as("reserve_stock.v1", kind, data)
    }
}

/// Runs the function.
///
/// # Errors
/// When the Lambda runtime's own interface fails.
pub fn main() -> Result<(), lambda_http::Error> {
    queue::run(Inventory::from_env, reserve_stock)
}

/// Puts the reservation without looking first: nearly always there is none yet. Whatever stands there already is the answer.
///
/// # Errors
/// When the command has to come back.
pub async fn reserve_stock(inventory: Arc<Inventory>, delivery: Delivery<ReserveStock>) -> Result<(), InventoryError> {
    let ReserveStock { order_id, drive, lines } = delivery.message;
    let command = Command { order_id, drive, wish: Wish::Reserve(lines), at: inventory.clock.now(), trace: delivery.trace };

    inventory.carry_out(command, None).await
}
