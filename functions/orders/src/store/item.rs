//! The DynamoDB item of an order, with all attributes on one level.
//!
//! The attributes are listed one by one, because serde's `flatten` reads numbers without their type
//! and could change amounts of money.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use shared::{
    clock::Timestamp,
    ids::{OrderId, UserId},
    telemetry::Trace,
};

use crate::domain::{
    Goal, Order, OrderLine, PaymentState, PlacedOrder, Status, StockState, Totals,
    actions::{Cancellation, Shipment},
    address::Address,
    buyer::{Buyer, BuyerChange, Customer},
    history::HistoryEntry,
    order_request::PaymentMethod,
    progress::Progress,
    schedule::{Schedule, Unanswered},
};

/// The attributes of an order, in the order in which they are written.
#[derive(Serialize, Deserialize)]
struct OrderItem {
    order_id: OrderId,
    /// Outside `buyer`, because it is the key of an index.
    user_id: UserId,
    buyer: Buyer,
    #[serde(default)]
    buyer_change: Option<BuyerChange>,
    lines: Vec<OrderLine>,
    item_count: u32,
    totals: Totals,
    shipping_address: Option<Address>,
    payment_method: Option<PaymentMethod>,
    status: Status,
    goal: Goal,
    reason: Option<String>,
    #[serde(default)]
    cancellation: Option<Cancellation>,
    stock: StockState,
    payment: PaymentState,
    payment_id: Option<String>,
    captured_total: i64,
    refunded_total: i64,
    #[serde(default)]
    refunds_reversed_total: i64,
    #[serde(default)]
    dispute_withdrawn_total: i64,
    #[serde(default)]
    dispute_reinstated_total: i64,
    #[serde(default)]
    refund_refused: bool,
    stock_version: u64,
    payment_version: u64,
    #[serde(default)]
    last_declined: Option<String>,
    #[serde(default)]
    payment_opened: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payment_in_flight_since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stock_unanswered: Option<Unanswered>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payment_unanswered: Option<Unanswered>,
    shipment: Option<Shipment>,
    needs_review: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    further_review_reasons: Vec<String>,
    history: Vec<HistoryEntry>,
    #[serde(default, skip_serializing_if = "is_zero")]
    history_omitted: u32,
    attempt: u64,
    retries: u32,
    next_check_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
    expires_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    network: Option<String>,
    version: u64,
    fingerprint: String,
    traceparent: Trace,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

// Implemented for `Order`, because the store and the table's stream read and write orders.
impl Serialize for Order {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        OrderItem::from(self.clone()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Order {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        OrderItem::deserialize(deserializer).map(Self::from)
    }
}

impl From<Order> for OrderItem {
    // Destructured without `..`, so a new field does not compile until it has an attribute.
    fn from(order: Order) -> Self {
        let Order { placed, customer, progress, schedule, updated_at, version, traceparent } =
            order;
        let PlacedOrder { order_id, user_id, lines, item_count, totals, created_at, expires_at } =
            placed;
        let Customer {
            buyer,
            buyer_change,
            shipping_address,
            payment_method,
            fingerprint,
            network,
        } = customer;
        let Progress {
            status,
            goal,
            reason,
            cancellation,
            shipment,
            stock,
            stock_version,
            payment,
            payment_version,
            payment_id,
            captured_total,
            refunded_total,
            refunds_reversed_total,
            dispute_withdrawn_total,
            dispute_reinstated_total,
            refund_refused,
            last_declined,
            payment_opened,
            payment_in_flight_since,
            needs_review,
            further_review_reasons,
            history,
            history_omitted,
        } = progress;
        let Schedule { attempt, retries, next_check_at, stock_unanswered, payment_unanswered } =
            schedule;
        Self {
            order_id,
            user_id,
            buyer,
            buyer_change,
            lines,
            item_count,
            totals,
            shipping_address,
            payment_method,
            status,
            goal,
            reason,
            cancellation,
            stock,
            payment,
            payment_id,
            captured_total,
            refunded_total,
            refunds_reversed_total,
            dispute_withdrawn_total,
            dispute_reinstated_total,
            refund_refused,
            stock_version,
            payment_version,
            last_declined,
            payment_opened,
            payment_in_flight_since,
            stock_unanswered,
            payment_unanswered,
            shipment,
            needs_review,
            further_review_reasons,
            history,
            history_omitted,
            attempt,
            retries,
            next_check_at,
            created_at,
            updated_at,
            expires_at,
            network,
            version,
            fingerprint,
            traceparent,
        }
    }
}

impl From<OrderItem> for Order {
    fn from(item: OrderItem) -> Self {
        Self {
            placed: PlacedOrder {
                order_id: item.order_id,
                user_id: item.user_id,
                lines: item.lines,
                item_count: item.item_count,
                totals: item.totals,
                created_at: item.created_at,
                expires_at: item.expires_at,
            },
            customer: Customer {
                buyer: item.buyer,
                buyer_change: item.buyer_change,
                shipping_address: item.shipping_address,
                payment_method: item.payment_method,
                fingerprint: item.fingerprint,
                network: item.network,
            },
            progress: Progress {
                status: item.status,
                goal: item.goal,
                reason: item.reason,
                cancellation: item.cancellation,
                shipment: item.shipment,
                stock: item.stock,
                stock_version: item.stock_version,
                payment: item.payment,
                payment_version: item.payment_version,
                payment_id: item.payment_id,
                captured_total: item.captured_total,
                refunded_total: item.refunded_total,
                refunds_reversed_total: item.refunds_reversed_total,
                dispute_withdrawn_total: item.dispute_withdrawn_total,
                dispute_reinstated_total: item.dispute_reinstated_total,
                refund_refused: item.refund_refused,
                last_declined: item.last_declined,
                payment_opened: item.payment_opened,
                payment_in_flight_since: item.payment_in_flight_since,
                needs_review: item.needs_review,
                further_review_reasons: item.further_review_reasons,
                history: item.history,
                history_omitted: item.history_omitted,
            },
            schedule: Schedule {
                attempt: item.attempt,
                retries: item.retries,
                next_check_at: item.next_check_at,
                stock_unanswered: item.stock_unanswered,
                payment_unanswered: item.payment_unanswered,
            },
            updated_at: item.updated_at,
            version: item.version,
            traceparent: item.traceparent,
        }
    }
}
