//! The DynamoDB item of a reservation.
//!
//! `lines` maps each product to its quantity, so that a reservation of forty products fits into
//! 2 KB: each write costs the size of the item, and twice that in a transaction. A shard other than
//! 0 follows its product: `prd_…#3`. The key contains the id of the order.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use shared::{
    clock::Timestamp,
    ids::{OrderId, PrefixedId, ProductId},
    telemetry::Trace,
};

use crate::domain::reservation::{Line, Reservation, State};

#[derive(Serialize, Deserialize)]
struct ReservationItem {
    pk: String,
    state: State,
    lines: BTreeMap<String, u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rejected_product: Option<ProductId>,
    version: u64,
    answered_attempt: u64,
    created_at: Timestamp,
    updated_at: Timestamp,
    traceparent: Trace,
}

// Implemented for `Reservation`, because the store and the table's stream read and write it.
impl Serialize for Reservation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let reservation = self.clone();
        let item = ReservationItem {
            pk: reservation_key_text(reservation.order_id),
            state: reservation.state,
            lines: reservation.lines.iter().map(stored_line).collect(),
            rejected_product: reservation.rejected_product,
            version: reservation.version,
            answered_attempt: reservation.answered_attempt,
            created_at: reservation.created_at,
            updated_at: reservation.updated_at,
            traceparent: reservation.traceparent,
        };
        item.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Reservation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let item = ReservationItem::deserialize(deserializer)?;
        let order_id = reserving_order(&item.pk)
            .ok_or_else(|| D::Error::custom("the key is not that of a reservation"))?;
        let lines = item.lines.iter().map(|(place, quantity)| read_line(place, *quantity));
        let mut lines: Vec<Line> = lines
            .collect::<Option<_>>()
            .ok_or_else(|| D::Error::custom("a line has no product and shard"))?;
        lines.sort_by_key(|line| (line.product_id, line.shard));
        Ok(Self {
            order_id,
            state: item.state,
            lines,
            rejected_product: item.rejected_product,
            version: item.version,
            answered_attempt: item.answered_attempt,
            created_at: item.created_at,
            updated_at: item.updated_at,
            traceparent: item.traceparent,
        })
    }
}

pub(super) fn reservation_key_text(order_id: OrderId) -> String {
    format!("RESERVATION#{order_id}")
}

/// The order whose reservation has this key.
pub(super) fn reserving_order(pk: &str) -> Option<OrderId> {
    OrderId::parse(pk.strip_prefix("RESERVATION#")?)
}

fn stored_line(line: &Line) -> (String, u32) {
    let place = match line.shard {
        0 => line.product_id.to_string(),
        shard => format!("{}#{shard}", line.product_id),
    };
    (place, line.quantity)
}

fn read_line(place: &str, quantity: u32) -> Option<Line> {
    let (product_id, shard) = match place.split_once('#') {
        None => (place, 0),
        Some((product_id, shard)) => (product_id, shard.parse().ok()?),
    };
    Some(Line { product_id: ProductId::parse(product_id)?, quantity, shard })
}
