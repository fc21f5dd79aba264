//! Queue `order-events`: applies an event of inventory or payments to its order.
//!
//! One event causes at most one conditional write. [`saga`](crate::domain::saga) defines the rules.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use shared::{
    ids::{OrderId, ProductId},
    queue::{self, FromMessage, InvalidMessage, Received},
};

use crate::{
    Orders,
    domain::saga::{DisputeStatus, Event, PaymentUpdate, Rejection, StockUpdate},
    error::OrderError,
};

/// An event about an order, published by inventory or payments.
#[derive(Clone, Debug)]
pub struct OrderEvent {
    order_id: OrderId,
    event: Event,
}

/// The fields of all event types. Each type uses only some of them.
#[derive(Deserialize)]
struct Fields {
    order_id: OrderId,
    version: u64,
    product_id: Option<ProductId>,
    payment_id: Option<String>,
    #[serde(default)]
    captured_total: i64,
    #[serde(default)]
    refunded_total: i64,
    failure_reason: Option<String>,
    #[serde(default)]
    refunds_reversed_total: i64,
    #[serde(default)]
    dispute_withdrawn_total: i64,
    #[serde(default)]
    dispute_reinstated_total: i64,
    #[serde(default)]
    refund_refused: bool,
    #[serde(default)]
    duplicate_capture_refund_refused: bool,
    #[serde(default)]
    requires_action: bool,
    dispute: Option<String>,
}

impl FromMessage for OrderEvent {
    fn from_message(kind: &str, data: Value) -> Result<Self, InvalidMessage> {
        let fields: Fields = queue::read_as(kind, kind, data)?;
        let stock = StockUpdate { version: fields.version, out_of_stock: fields.product_id };
        let payment = PaymentUpdate {
            version: fields.version,
            payment_id: fields.payment_id,
            captured_total: fields.captured_total,
            refunded_total: fields.refunded_total,
            reason: fields.failure_reason,
            refunds_reversed_total: fields.refunds_reversed_total,
            dispute_withdrawn_total: fields.dispute_withdrawn_total,
            dispute_reinstated_total: fields.dispute_reinstated_total,
            refund_refused: fields.refund_refused,
            duplicate_capture_refund_refused: fields.duplicate_capture_refund_refused,
            requires_action: fields.requires_action,
            dispute: fields.dispute.as_deref().map(|status| match status {
                "won" => DisputeStatus::Won,
                "lost" => DisputeStatus::Lost,
                // An unknown status is treated as open, so that an operator reviews the order.
                _ => DisputeStatus::Open,
            }),
        };
        let event = match kind {
            "stock_reserved.v1" => Event::StockReserved(stock),
            "stock_rejected.v1" => Event::StockRejected(stock),
            "stock_committed.v1" => Event::StockCommitted(stock),
            "stock_released.v1" => Event::StockReleased(stock),
            "payment_opened.v1" => Event::PaymentOpened(payment),
            "payment_started.v1" => Event::PaymentStarted(payment),
            "payment_unknown.v1" => Event::PaymentUnknown(payment),
            "payment_declined.v1" => Event::PaymentDeclined(payment),
            "payment_succeeded.v1" => Event::PaymentSucceeded(payment),
            "payment_closed.v1" => Event::PaymentClosed(payment),
            "payment_refunded.v1" => Event::PaymentRefunded(payment),
            "payment_refund_failed.v1" => Event::RefundFailed(payment),
            "payment_disputed.v1" => Event::PaymentDisputed(payment),
            _ => return Err(InvalidMessage::unknown_type()),
        };
        Ok(Self { order_id: fields.order_id, event })
    }
}

/// Applies an event to its order. A missing order is retried: the event may be ahead of a replica
/// of the table.
pub async fn advance_order(
    orders: Arc<Orders>,
    received: Received<OrderEvent>,
) -> Result<(), OrderError> {
    let OrderEvent { order_id, event } = received.message;
    let order = orders.store.find(order_id).await?.ok_or(OrderError::NotFound)?;
    match orders.advance(order, &event, &received.trace).await {
        // The saga rejects only actions of people, never events of services. `UnknownState` is
        // retried until a release that knows the state processes the event.
        Err(OrderError::Rejected(rejection)) if rejection != Rejection::UnknownState => Ok(()),
        outcome => outcome.map(drop),
    }
}
