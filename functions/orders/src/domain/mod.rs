//! The order: placed once, then moved on by events until it is settled. Pure: no AWS, HTTP, JSON or clock.
//!
//! - [`place`](Order::place): from a basket and the catalogue to an order.
//! - [`saga`]: from an order and an event to the next order; what an order still owes to others.
//! - [`basket`]: what a buyer may ask for. [`address`]: where it goes.
//! - [`unpaid`]: how many orders may be unpaid at once, and for how long.
//! - [`steps`]: what people do with an order that stands.
//! - [`history`]: what happened to it.
//! - [`buyer`]: who bought, and what becomes of that when their account changes or is deleted.

pub mod address;
pub mod basket;
pub mod buyer;
mod countries;
pub mod history;
pub mod placing;
pub mod saga;
pub mod steps;
#[cfg(test)]
pub(crate) mod tests;
pub mod unpaid;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    ids::{OrderId, ProductId, UserId},
    money::Money,
    telemetry::Trace,
};

use self::{
    address::Address,
    basket::{Basket, PaymentMethod},
    buyer::{Buyer, BuyerChange, Contact},
    history::{HistoryEntry, News},
    placing::PlacementError,
    saga::Unanswered,
    steps::{Cancellation, Shipment},
    unpaid::Terms,
};

/// How many payments may be tried for one order.
pub const PAYMENT_TRIES: u32 = 5;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// When an unsettled order is looked at first; then after twice as long, and so on.
    pub first_nudge: Duration,
}

/// An order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// Its id, derived from the request that placed it.
    pub order_id: OrderId,
    /// The buyer's id, on its own because an index is built on it.
    pub user_id: UserId,
    /// Who bought, as far as orders may still know: mails about the order go there.
    pub buyer: Buyer,
    /// What became of the buyer's account while something was still owed: the write that settles the order carries it out.
    #[serde(default)]
    pub buyer_change: Option<BuyerChange>,
    /// What was bought, at the price of the time; sorted by product, one line for each.
    pub lines: Vec<OrderLine>,
    /// The number of pieces in all lines.
    pub item_count: u32,
    /// What it costs.
    pub totals: Totals,
    /// Where it goes. Of a buyer who is redacted it is kept as long as something is still to go there.
    pub shipping_address: Option<Address>,
    /// What to charge as soon as the stock is held; none if the buyer pays by a request of its own.
    pub payment_method: Option<PaymentMethod>,
    /// What the public sees.
    pub status: Status,
    /// Where it is going.
    pub goal: Goal,
    /// Why it was abandoned.
    pub reason: Option<String>,
    /// Who gave it up, where somebody did.
    #[serde(default)]
    pub cancellation: Option<Cancellation>,
    /// How far the stock is.
    pub stock: StockLeg,
    /// How far the money is.
    pub payment: PaymentLeg,
    /// The payment that captured the money.
    pub payment_id: Option<String>,
    /// Minor units that were captured in all: only grows.
    pub captured_total: i64,
    /// Minor units that refunds gave back in all: only grows.
    pub refunded_total: i64,
    /// Minor units of these that came back because a refund failed later: only grows.
    #[serde(default)]
    pub refunds_reversed_total: i64,
    /// Minor units that banks took because of disputes: only grows.
    #[serde(default)]
    pub dispute_withdrawn_total: i64,
    /// Minor units of these that banks gave back: only grows.
    #[serde(default)]
    pub dispute_reinstated_total: i64,
    /// Whether payments tries no further automatic refund: once true, it stays so.
    #[serde(default)]
    pub refund_refused: bool,
    /// The latest version of the reservation that was heard of.
    pub stock_version: u64,
    /// The latest version of the payment head that was heard of.
    pub payment_version: u64,
    /// The payment whose decline was told last: told again, it is no news.
    #[serde(default)]
    pub last_declined: Option<String>,
    /// Whether payments has confirmed that the order can be paid.
    #[serde(default)]
    pub payment_opened: bool,
    /// Since when an attempt is under way that waits for payments and its provider. `None` while it waits for the buyer (3-D Secure).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_in_flight_since: Option<Timestamp>,
    /// The command to inventory that has no answer yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stock_unanswered: Option<Unanswered>,
    /// The command to payments that has no answer yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_unanswered: Option<Unanswered>,
    /// How the goods travel.
    pub shipment: Option<Shipment>,
    /// Why an operator should look at this order: what is not over yet of that, and began first.
    pub needs_attention: Option<String>,
    /// What else they should look at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_attention: Vec<String>,
    /// What happened, the oldest first.
    pub history: Vec<HistoryEntry>,
    /// How many entries were left out in the middle of the history, because there were too many.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub history_omitted: u32,
    /// How often what is owed was asked for: commands carry it, so that an answer can be told from an old one.
    pub drive: u64,
    /// How often it was asked for since something last moved.
    pub nudges: u32,
    /// When it is looked at next; none once it is settled.
    pub check_at: Option<Timestamp>,
    /// When it was placed.
    pub created_at: Timestamp,
    /// When something last changed that the buyer can see.
    pub updated_at: Timestamp,
    /// When it must be paid.
    pub expires_at: Timestamp,
    /// The name of the network that it came from, while it counts against that network's limit: until it is paid or given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Grows with every write.
    pub version: u64,
    /// What tells the request that placed it from another with the same key; empty where the buyer is redacted.
    pub fingerprint: String,
    /// The trace that led to the latest change.
    pub traceparent: Trace,
}

/// So many of one product.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct OrderLine {
    /// The product.
    pub product_id: ProductId,
    /// Its article number at the time.
    pub sku: String,
    /// Its name at the time.
    pub name: String,
    /// Its price at the time.
    pub unit_price: Money,
    /// How many.
    pub quantity: u32,
    /// Price times quantity.
    pub line_total: Money,
}

/// What an order costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct Totals {
    /// All lines.
    pub items: Money,
    /// Shipping: nothing today.
    pub shipping: Money,
    /// Tax: nothing today.
    pub tax: Money,
    /// What is charged.
    pub total: Money,
}

/// What the public sees of an order. It only moves forward, and a final one never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Placed; stock and payment are on their way.
    Pending,
    /// Paid, and the stock is held.
    Confirmed,
    /// On its way to the buyer.
    Shipped,
    /// With the buyer.
    Delivered,
    /// Given up by the buyer, or not paid in time. Nothing was charged in the end.
    Cancelled,
    /// It could not be done. Nothing was charged in the end.
    Failed,
    /// Written by a later release.
    #[serde(untagged)]
    Unknown(String),
}

shared::describe!(
    Status as "OrderStatus",
    name_of(
        "How far the order has come. It only moves forward; `delivered`, `cancelled` and `failed` are final.",
        &["pending", "confirmed", "shipped", "delivered", "cancelled", "failed"]
    )
);

impl Status {
    /// The status with this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Pending, Self::Confirmed, Self::Shipped, Self::Delivered, Self::Cancelled, Self::Failed]
            .into_iter()
            .find(|status| status.name() == name)
    }

    /// The name as the public knows it.
    pub fn name(&self) -> &str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Unknown(name) => name,
        }
    }
}

/// Where an order is going. Once it is to be abandoned, it never goes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// To the buyer.
    Fulfil,
    /// To `cancelled`, once stock and money are where they were.
    Cancel,
    /// To `failed`, once stock and money are where they were.
    Fail,
    /// Written by a later release.
    #[serde(untagged)]
    Unknown(String),
}

/// How far the stock of an order is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StockLeg {
    /// Inventory was asked to hold it.
    Asked,
    /// It is held.
    Held,
    /// Inventory was asked to take it out of the books.
    Committing,
    /// It is out of the books.
    Committed,
    /// There is not enough.
    Rejected,
    /// Inventory was asked to give it back.
    Releasing,
    /// It was given back.
    Released,
    /// Written by a later release.
    #[serde(untagged)]
    Unknown(String),
}

/// How far the payment of an order is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentLeg {
    /// Not asked for yet.
    None,
    /// It can be paid.
    Open,
    /// An attempt is under way.
    Processing,
    /// An attempt went out and its outcome is not known.
    Unknown,
    /// The money was captured.
    Paid,
    /// Payments was asked to let nothing more happen.
    Closing,
    /// Nothing was captured, and nothing will be.
    Closed,
    /// Payments was asked to give the money back.
    Refunding,
    /// All of it was given back.
    Refunded,
    /// The automatic refund was refused for good: a person has to refund it.
    RefundRefused,
    /// Written by a later release.
    #[serde(untagged)]
    Unreadable(String),
}

/// A product as orders knows it: a copy of what the catalogue last said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Product {
    /// The product.
    pub product_id: ProductId,
    /// Its article number.
    pub sku: String,
    /// Its name.
    pub name: String,
    /// Its price.
    pub price: Money,
    /// Whether it can be bought.
    pub active: bool,
    /// How many of it one order may have. `None`: the shop's own limit.
    #[serde(default)]
    pub max_per_order: Option<u32>,
    /// The catalogue's version of it.
    pub version: u64,
}

/// Who places an order, and by which request.
#[derive(Clone, Debug)]
pub struct Placement {
    /// The order's id.
    pub order_id: OrderId,
    /// The buyer's id.
    pub user_id: UserId,
    /// The buyer as they are called now.
    pub buyer: Contact,
    /// What tells this request from another with the same key.
    pub fingerprint: String,
    /// What the shop grants this buyer.
    pub terms: Terms,
    /// The name of the network that the request came from.
    pub network: Option<String>,
    /// The request's trace.
    pub trace: Trace,
}

impl Order {
    /// Places an order for what is in the basket, at the catalogue's prices.
    ///
    /// # Errors
    /// When a product is unknown, there is too much of one, the currencies differ, the sum is too large, or it is not what the buyer
    /// expected.
    pub fn place(
        placement: Placement,
        basket: Basket,
        products: &[Product],
        now: Timestamp,
        timing: Timing,
    ) -> Result<Self, PlacementError> {
        let lines = basket.lines().map(|(position, product_id, quantity)| {
            let product = products.iter().find(|product| product.product_id == product_id && product.active);
            let product = product.ok_or(PlacementError::UnknownProduct { position })?;
            let maximum = product.max_per_order.unwrap_or(placement.terms.max_per_order);
            if quantity > maximum {
                return Err(PlacementError::TooManyOfProduct { position, maximum });
            }
            let line_total = product.price.checked_mul(quantity).ok_or(PlacementError::AmountTooLarge)?;
            let (sku, name, unit_price) = (product.sku.clone(), product.name.clone(), product.price);
            Ok(OrderLine { product_id, sku, name, unit_price, quantity, line_total })
        });
        let lines = lines.collect::<Result<Vec<_>, PlacementError>>()?;
        let totals = Totals::of(&lines)?;
        if basket.expected_total.is_some_and(|expected| expected != totals.total) {
            return Err(PlacementError::PriceChanged { total: totals.total });
        }
        let expires_at = now.plus(placement.terms.pay_within);
        Ok(Self {
            order_id: placement.order_id,
            user_id: placement.user_id,
            buyer: Buyer::Known(placement.buyer),
            buyer_change: None,
            item_count: lines.iter().map(|line| line.quantity).sum(),
            lines,
            totals,
            shipping_address: basket.shipping_address,
            payment_method: basket.payment_method,
            status: Status::Pending,
            goal: Goal::Fulfil,
            reason: None,
            cancellation: None,
            stock: StockLeg::Asked,
            payment: PaymentLeg::None,
            payment_id: None,
            captured_total: 0,
            refunded_total: 0,
            refunds_reversed_total: 0,
            dispute_withdrawn_total: 0,
            dispute_reinstated_total: 0,
            refund_refused: false,
            stock_version: 0,
            payment_version: 0,
            last_declined: None,
            payment_opened: false,
            payment_in_flight_since: None,
            stock_unanswered: Some(Unanswered::since(now)),
            payment_unanswered: None,
            shipment: None,
            needs_attention: None,
            further_attention: Vec::new(),
            history: vec![News::of("placed").at(now, &Status::Pending)],
            history_omitted: 0,
            drive: 0,
            nudges: 0,
            check_at: Some(now.plus(timing.first_nudge).min(expires_at)),
            created_at: now,
            updated_at: now,
            expires_at,
            network: placement.network,
            version: 1,
            fingerprint: placement.fingerprint,
            traceparent: placement.trace,
        })
    }

    /// The order as it was when it was placed: what a repeated request is answered with, whatever has happened since. Only the buyer
    /// stands there as they are known now: what was put right or forgotten is not kept for this.
    pub fn as_placed(&self) -> Self {
        Self {
            status: Status::Pending,
            goal: Goal::Fulfil,
            reason: None,
            cancellation: None,
            stock: StockLeg::Asked,
            payment: PaymentLeg::None,
            payment_id: None,
            captured_total: 0,
            refunded_total: 0,
            refunds_reversed_total: 0,
            dispute_withdrawn_total: 0,
            dispute_reinstated_total: 0,
            refund_refused: false,
            payment_in_flight_since: None,
            stock_unanswered: None,
            payment_unanswered: None,
            shipment: None,
            needs_attention: None,
            further_attention: Vec::new(),
            history: self.history.iter().take(1).cloned().collect(),
            history_omitted: 0,
            updated_at: self.created_at,
            version: 1,
            ..self.clone()
        }
    }
}

impl Totals {
    fn of(lines: &[OrderLine]) -> Result<Self, PlacementError> {
        let currency = lines.first().map(|line| line.unit_price.currency).ok_or(PlacementError::NoItems)?;
        if lines.iter().any(|line| line.unit_price.currency != currency) {
            return Err(PlacementError::CurrencyMismatch);
        }
        let nothing = Money::new(0, currency);
        let items = lines.iter().try_fold(nothing, |sum, line| sum.checked_add(line.line_total)).ok_or(PlacementError::AmountTooLarge)?;
        Ok(Self { items, shipping: nothing, tax: nothing, total: items })
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}
