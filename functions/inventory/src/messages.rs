//! What inventory tells the others: the data of its messages, as it stands on the wire.

use serde::Serialize;
use shared::ids::{OrderId, ProductId};

/// `stock_reserved.v1`, `stock_rejected.v1`, `stock_released.v1`, `stock_committed.v1`: how far the reservation of an order is.
#[derive(Debug, Serialize)]
pub struct ReservationFact {
    /// Which order.
    pub order_id: OrderId,
    /// The reservation's: an older fact than the last one seen says nothing new.
    pub version: u64,
    /// The product that was short, if one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_id: Option<ProductId>,
}
