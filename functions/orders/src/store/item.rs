//! The DynamoDB item of an order, with all attributes on one level.
//!
//! The attributes are listed one by one, because serde's `flatten` reads numbers without their type
//! and could change amounts of money. What follows from other attributes is not stored: see
//! [`parts`](super::parts). `listed_at` contains the id of the order and the time of placement. A
//! total or version of 0 and a flag that is not set are absent.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use shared::{
    address::Address,
    clock::Timestamp,
    ids::{CartId, UserId},
    telemetry::Trace,
};

use super::{
    parts::{
        HistoryItem, LineItem, TotalsItem, WaitItem, is_default, listed_at, order_key_text,
        placed_at, read_history, read_lines, stored_history, stored_lines,
    },
    price::PriceItem,
};
use crate::domain::{
    Goal, Order, PaymentState, PlacedOrder, Status, StockState,
    actions::{Cancellation, Shipment},
    buyer::{Buyer, BuyerChange, Customer},
    cart::{Attributes, Locale, Note},
    order_request::{PaymentMethod, TaxId},
    ordered_cart::{OrderedCart, RequestId, line_owner},
    progress::Progress,
    schedule::Schedule,
};

/// The attributes of an order, in the order in which they are written.
#[derive(Serialize, Deserialize)]
struct OrderItem {
    pk: String,
    listed_at: String,
    /// Outside `buyer`, because it is the key of an index.
    user_id: UserId,
    buyer: Buyer,
    #[serde(default)]
    buyer_change: Option<BuyerChange>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cart_id: Option<CartId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request_id: Option<RequestId>,
    lines: BTreeMap<String, LineItem>,
    item_count: u32,
    totals: TotalsItem,
    /// Never changes. A write keeps the stored attribute, with the fields of later releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    price: Option<PriceItem>,
    shipping_address: Option<Address>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    billing_address: Option<Address>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tax_id: Option<TaxId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    locale: Option<Locale>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<Note>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attributes: Option<Attributes>,
    payment_method: Option<PaymentMethod>,
    status: Status,
    goal: Goal,
    reason: Option<String>,
    #[serde(default)]
    cancellation: Option<Cancellation>,
    stock: StockState,
    payment: PaymentState,
    payment_id: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    captured_total: i64,
    #[serde(default, skip_serializing_if = "is_default")]
    refunded_total: i64,
    #[serde(default, skip_serializing_if = "is_default")]
    refunds_reversed_total: i64,
    #[serde(default, skip_serializing_if = "is_default")]
    dispute_withdrawn_total: i64,
    #[serde(default, skip_serializing_if = "is_default")]
    dispute_reinstated_total: i64,
    #[serde(default, skip_serializing_if = "is_default")]
    refund_refused: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    stock_version: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    payment_version: u64,
    #[serde(default)]
    last_declined: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    payment_opened: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payment_in_flight_since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stock_unanswered: Option<WaitItem>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payment_unanswered: Option<WaitItem>,
    shipment: Option<Shipment>,
    needs_review: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    further_review_reasons: Vec<String>,
    history: Vec<HistoryItem>,
    #[serde(default, skip_serializing_if = "is_default")]
    history_omitted: u32,
    attempt: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    retries: u32,
    next_check_at: Option<Timestamp>,
    /// Absent if it is the time of the last entry of the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    updated_at: Option<Timestamp>,
    expires_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    network: Option<String>,
    version: u64,
    fingerprint: String,
    traceparent: Trace,
}

// Implemented for `Order`, because the store and the table's stream read and write orders.
impl Serialize for Order {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        OrderItem::from(self.clone()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Order {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(OrderItem::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl From<Order> for OrderItem {
    // Destructured without `..`, so a new field does not compile until it has an attribute.
    fn from(order: Order) -> Self {
        let Order { placed, customer, progress, schedule, updated_at, version, traceparent } =
            order;
        let PlacedOrder {
            order_id,
            user_id,
            cart,
            lines,
            item_count,
            totals,
            price,
            created_at,
            expires_at,
        } = placed;
        let (cart_id, request_id) = cart.map(|cart| (cart.cart_id, cart.request_id)).unzip();
        let Customer {
            buyer,
            buyer_change,
            shipping_address,
            billing_address,
            tax_id,
            locale,
            note,
            attributes,
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
        let wait = |unanswered| WaitItem::new(unanswered, updated_at);
        let (stock_unanswered, payment_unanswered) =
            (stock_unanswered.map(wait), payment_unanswered.map(wait));
        let last = history.last().map(|entry| entry.at);
        Self {
            pk: order_key_text(order_id),
            listed_at: listed_at(created_at, order_id),
            user_id,
            buyer,
            buyer_change,
            cart_id,
            request_id,
            lines: stored_lines(lines),
            item_count,
            totals: totals.into(),
            price: price.map(PriceItem::from),
            shipping_address,
            billing_address,
            tax_id,
            locale,
            note,
            attributes,
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
            history: stored_history(history),
            history_omitted,
            attempt,
            retries,
            next_check_at,
            updated_at: Some(updated_at).filter(|at| Some(*at) != last),
            expires_at,
            network,
            version,
            fingerprint,
            traceparent,
        }
    }
}

/// The order of an item, or why it cannot be read.
fn read(item: OrderItem) -> Result<Order, &'static str> {
    let (created_at, order_id) =
        placed_at(&item.listed_at).ok_or("listed_at is not a time and an order id")?;
    let currency = item.totals.currency;
    let cart = match (item.cart_id, item.request_id) {
        (Some(cart_id), Some(request_id)) => Some(OrderedCart { cart_id, request_id }),
        (None, None) => None,
        _ => return Err("an order of a cart has both cart_id and request_id"),
    };
    let owner = line_owner(order_id, cart);
    let lines = read_lines(item.lines, currency, &owner).ok_or("a line is out of range")?;
    let price = match item.price {
        Some(price) => Some(price.read().ok_or("the price cannot be read")?),
        None => None,
    };
    let history = read_history(item.history);
    let updated_at = item.updated_at.or_else(|| history.last().map(|entry| entry.at));
    let updated_at = updated_at.ok_or("neither updated_at nor the history has a time")?;
    Ok(Order {
        placed: PlacedOrder {
            order_id,
            user_id: item.user_id,
            cart,
            lines,
            item_count: item.item_count,
            totals: item.totals.read().ok_or("a total is out of range")?,
            price,
            created_at,
            expires_at: item.expires_at,
        },
        customer: Customer {
            buyer: item.buyer,
            buyer_change: item.buyer_change,
            shipping_address: item.shipping_address,
            billing_address: item.billing_address,
            tax_id: item.tax_id,
            locale: item.locale,
            note: item.note,
            attributes: item.attributes,
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
            history,
            history_omitted: item.history_omitted,
        },
        schedule: Schedule {
            attempt: item.attempt,
            retries: item.retries,
            next_check_at: item.next_check_at,
            stock_unanswered: item.stock_unanswered.map(|wait| wait.read(updated_at)),
            payment_unanswered: item.payment_unanswered.map(|wait| wait.read(updated_at)),
        },
        updated_at,
        version: item.version,
        traceparent: item.traceparent,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};
    use shared::ids;

    use super::*;
    use crate::domain::tests::placed;

    /// An order of a cart, with a note.
    fn of_cart() -> Order {
        let mut order = placed();
        let cart =
            OrderedCart { cart_id: ids::derive(&["cart"]), request_id: ids::derive(&["key"]) };
        let owner = line_owner(order.placed.order_id, Some(cart));
        for line in &mut order.placed.lines {
            line.line_id = crate::domain::pricing::line_id(&owner, line.product_id);
        }
        order.placed.cart = Some(cart);
        order.customer.locale = from_value(json!("de-CH")).ok();
        order.customer.note = from_value(json!("Please ring twice.")).ok();
        order.customer.attributes =
            from_value(json!([{ "name": "gift_wrapping", "value": "yes" }])).ok();
        order
    }

    #[test]
    fn order_of_a_cart_is_read_as_it_was_stored() {
        let order = of_cart();
        let stored = to_value(&order).unwrap();
        let cart = order.placed.cart.unwrap();
        assert_eq!(stored["cart_id"], json!(cart.cart_id));
        assert_eq!(stored["request_id"], json!(cart.request_id));
        assert_eq!(stored["note"], "Please ring twice.");
        assert_eq!(from_value::<Order>(stored).unwrap(), order);
    }

    #[test]
    fn order_of_items_stores_no_cart() {
        let stored = to_value(placed()).unwrap();
        for name in ["cart_id", "request_id", "locale", "note", "attributes"] {
            assert_eq!(stored.get(name), None, "{name}");
        }
    }

    #[test]
    fn cart_without_its_request_is_unreadable() {
        for name in ["cart_id", "request_id"] {
            let mut stored = to_value(of_cart()).unwrap();
            stored.as_object_mut().unwrap().remove(name);
            assert!(from_value::<Order>(stored).is_err(), "{name}");
        }
    }
}
