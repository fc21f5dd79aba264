//! The parts of other services' records that the audit reads. States of a later release count as
//! unsettled.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, de::Error};
use shared::{
    clock::Timestamp,
    ids::{PrefixedId, ProductId},
    money::Currency,
};

use crate::domain::{Account, Entry, EntryId, Jurisdiction, Kind, Line};

/// The record of an order in the orders table.
#[derive(Clone, Debug, Deserialize)]
pub struct OrderRecord {
    pub status: Status,
    pub goal: Goal,
    pub stock: StockState,
    pub payment: PaymentState,
    #[serde(deserialize_with = "ordered_quantities")]
    pub lines: Vec<Quantity>,
    pub totals: Totals,
    /// `None` for an order without a market.
    #[serde(default)]
    pub price: Option<PriceRecord>,
    /// Minor units captured, without duplicate captures.
    #[serde(default)]
    pub captured_total: i64,
    /// Minor units refunded, without duplicate captures.
    #[serde(default)]
    pub refunded_total: i64,
    /// Minor units of refunds that failed later and were returned.
    #[serde(default)]
    pub refunds_reversed_total: i64,
    /// Minor units that banks withdrew for disputes.
    #[serde(default)]
    pub dispute_withdrawn_total: i64,
    /// Minor units of withdrawals that banks returned.
    #[serde(default)]
    pub dispute_reinstated_total: i64,
    /// The reason for a manual review.
    #[serde(default)]
    pub needs_review: Option<String>,
    #[serde(default)]
    updated_at: Option<Timestamp>,
    pub(super) history: Vec<HistoryEntry>,
    /// Incremented by every write.
    pub version: u64,
}

impl OrderRecord {
    /// The time of the last change. An order stores it only if it is not that of the last entry of
    /// the history.
    pub fn changed_at(&self) -> Option<Timestamp> {
        self.updated_at.or_else(|| self.history.last().map(|entry| entry.at))
    }

    /// Minor units that are returned to the buyer now: refunds that did not fail later, and
    /// disputed amounts that banks did not reinstate.
    pub fn returned_total(&self) -> i64 {
        let refunded = self.refunded_total.saturating_sub(self.refunds_reversed_total);
        let disputed = self.dispute_withdrawn_total.saturating_sub(self.dispute_reinstated_total);
        refunded.saturating_add(disputed)
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct HistoryEntry {
    pub(super) at: Timestamp,
    /// Absent if it equals that of the previous entry.
    #[serde(default)]
    pub(super) status: Option<Status>,
}

/// The public status of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Pending,
    Confirmed,
    Shipped,
    Delivered,
    Cancelled,
    Failed,
    #[serde(other)]
    Unknown,
}

impl Status {
    /// Lifecycle order. An order that changes status during a run is found again under a later
    /// status, so reading in this order misses none.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Confirmed,
        Self::Shipped,
        Self::Delivered,
        Self::Cancelled,
        Self::Failed,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// The outcome that an order is working towards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    Fulfil,
    /// Cancel: release the stock and refund the money.
    #[serde(alias = "cancel", alias = "fail")]
    Compensate,
    /// A goal of a later release.
    #[serde(other)]
    Unknown,
}

/// The stock state as recorded by the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StockState {
    Reserving,
    Reserved,
    Committing,
    Committed,
    Rejected,
    Releasing,
    Released,
    #[serde(other)]
    Unknown,
}

/// The payment state as recorded by the order. The audit needs only the settled states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentState {
    Paid,
    Closed,
    Refunded,
    #[serde(other)]
    InProgress,
}

#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    pub product_id: ProductId,
    pub quantity: i64,
}

/// The lines of an order, which it stores by product.
fn ordered_quantities<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Quantity>, D::Error> {
    #[derive(Deserialize)]
    struct Line {
        quantity: i64,
    }
    let lines = BTreeMap::<String, Line>::deserialize(deserializer)?;
    quantities(lines.into_iter().map(|(product, line)| (product, line.quantity)))
}

/// The quantities of a reservation, which it stores by product, or by product and shard.
fn reserved_quantities<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Quantity>, D::Error> {
    quantities(BTreeMap::<String, i64>::deserialize(deserializer)?)
}

fn quantities<E: Error>(
    places: impl IntoIterator<Item = (String, i64)>,
) -> Result<Vec<Quantity>, E> {
    let quantity = |(place, quantity): (String, i64)| {
        let product = place.split('#').next().and_then(ProductId::parse);
        product.map(|product_id| Quantity { product_id, quantity })
    };
    let quantities = places.into_iter().map(quantity).collect::<Option<_>>();
    quantities.ok_or_else(|| E::custom("a line has no product"))
}

/// The total of an order as stored, without validation.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Totals {
    /// Minor units.
    pub total: i64,
    pub currency: Currency,
}

/// The price of an order: the amount of each account of its sale.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "StoredPrice")]
pub struct PriceRecord(pub BTreeMap<Account, i64>);

/// The stored price. Taxes refer to a rate by its index.
#[derive(Deserialize)]
struct StoredPrice {
    lines: Vec<NetAmount>,
    #[serde(default)]
    shipping: Option<NetAmount>,
    /// The index of a rate, the taxed amount, and the tax.
    tax_summary: Vec<(usize, i64, i64)>,
    rates: Vec<Rate>,
}

#[derive(Deserialize)]
struct NetAmount {
    /// Minor units without tax.
    net: i64,
}

#[derive(Deserialize)]
struct Rate {
    jurisdiction: String,
}

impl TryFrom<StoredPrice> for PriceRecord {
    type Error = &'static str;

    fn try_from(price: StoredPrice) -> Result<Self, &'static str> {
        let mut parts = BTreeMap::new();
        let mut add = |account, amount: i64| {
            let sum: &mut i64 = parts.entry(account).or_default();
            *sum = sum.saturating_add(amount);
        };
        price.lines.iter().for_each(|line| add(Account::RevenueGoods, line.net));
        price.shipping.iter().for_each(|shipping| add(Account::RevenueShipping, shipping.net));
        for (rate, _, amount) in price.tax_summary {
            let rate = price.rates.get(rate).ok_or("a tax has no rate")?;
            let jurisdiction = Jurisdiction::parse(&rate.jurisdiction);
            add(Account::Tax(jurisdiction.ok_or("a rate has no jurisdiction")?), amount);
        }
        Ok(Self(parts))
    }
}

/// The payment intent of an order.
#[derive(Clone, Debug, Deserialize)]
pub struct IntentRecord {
    pub state: IntentState,
    /// Minor units due.
    pub amount: i64,
    pub currency: Currency,
    /// Minor units captured, without duplicate captures.
    pub captured_total: i64,
    /// Minor units refunded, without duplicate captures.
    pub refunded_total: i64,
    /// Minor units of duplicate captures. `None` if the intent was last written by a release that
    /// did not count them.
    #[serde(default)]
    pub duplicate_captured_total: Option<i64>,
    /// Minor units of duplicate captures that were refunded; `None` as above.
    #[serde(default)]
    pub duplicate_refunded_total: Option<i64>,
    /// Minor units of refunds that failed later and were returned.
    #[serde(default)]
    pub refunds_reversed_total: i64,
    /// Minor units of duplicate capture refunds that failed later and were returned.
    #[serde(default)]
    pub duplicate_refunds_reversed_total: i64,
    /// Minor units that banks withdrew for disputes.
    #[serde(default)]
    pub dispute_withdrawn_total: i64,
    /// Minor units of withdrawals that banks returned.
    #[serde(default)]
    pub dispute_reinstated_total: i64,
    #[serde(default)]
    pub disputes: Vec<DisputeRecord>,
    /// Minor units that can still be refunded.
    pub refundable: i64,
    /// Incremented by every write.
    pub version: u64,
    pub updated_at: Timestamp,
}

impl IntentRecord {
    /// The totals of the intent as movements at the provider, by entry kind: inflows positive,
    /// outflows negative.
    pub fn movements(&self) -> [(&'static str, i64); 8] {
        [
            ("capture", self.captured_total),
            ("refund", -self.refunded_total),
            ("refund_reversal", self.refunds_reversed_total),
            ("duplicate_capture", self.duplicate_captured_total.unwrap_or_default()),
            ("duplicate_capture_refund", -self.duplicate_refunded_total.unwrap_or_default()),
            ("duplicate_capture_refund_reversal", self.duplicate_refunds_reversed_total),
            ("dispute_withdrawal", -self.dispute_withdrawn_total),
            ("dispute_reinstatement", self.dispute_reinstated_total),
        ]
    }

    /// Minor units that banks currently hold for disputes.
    pub fn disputed_amount(&self) -> i64 {
        self.dispute_withdrawn_total.saturating_sub(self.dispute_reinstated_total)
    }
}

/// The state of a payment intent. The audit needs only the state of a cancelled free order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentState {
    /// Nothing was captured, and no attempt can start.
    Closed,
    #[serde(other)]
    Other,
}

/// A dispute as recorded by payments.
#[derive(Clone, Debug, Deserialize)]
pub struct DisputeRecord {
    /// The provider's id of the dispute.
    pub dispute_id: String,
    pub payment_id: String,
    /// Minor units of the order that the bank holds.
    pub held_amount: i64,
}

/// A payment attempt.
#[derive(Clone, Debug, Deserialize)]
pub struct AttemptRecord {
    pub payment_id: String,
    pub state: Outcome,
    pub amount: i64,
    pub currency: Currency,
    /// The provider that received the charge.
    pub provider: String,
    /// The provider's id of the charge.
    #[serde(default)]
    pub transaction_id: Option<String>,
    /// Whether the order was already paid when this attempt succeeded.
    #[serde(default)]
    pub duplicate_capture: bool,
    /// Minor units refunded of this attempt.
    #[serde(default)]
    pub refunded: i64,
    pub updated_at: Timestamp,
}

#[derive(Clone, Debug, Deserialize)]
pub struct RefundRecord {
    pub refund_id: String,
    pub payment_id: String,
    /// The reason. `duplicate_capture` refunds a duplicate capture.
    pub kind: String,
    pub state: Outcome,
    pub amount: i64,
    /// The provider's id of the refund.
    #[serde(default)]
    pub provider_refund_id: Option<String>,
    pub updated_at: Timestamp,
}

impl RefundRecord {
    /// Whether it refunds a duplicate capture.
    pub fn is_duplicate_capture(&self) -> bool {
        self.kind == "duplicate_capture"
    }
}

/// The outcome of an attempt or a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Succeeded,
    /// The money has not moved and will not.
    #[serde(alias = "declined", alias = "abandoned")]
    Failed,
    /// The refund succeeded first and failed later, so the provider holds the money again.
    Reversed,
    /// The provider's result contradicts the record; an operator must review it.
    NeedsReview,
    /// The outcome is not known yet.
    #[serde(other)]
    Open,
}

/// The reservation of an order, held or not.
#[derive(Clone, Debug, Deserialize)]
pub struct ReservationRecord {
    pub state: ReservationState,
    #[serde(deserialize_with = "reserved_quantities")]
    pub lines: Vec<Quantity>,
    /// The product without sufficient stock. If set, nothing was held.
    #[serde(default)]
    pub rejected_product: Option<ProductId>,
    /// Incremented by every write.
    pub version: u64,
    pub updated_at: Timestamp,
}

impl ReservationRecord {
    /// Whether no stock was ever held: the reservation was rejected, or released before it was
    /// created.
    pub fn never_held(&self) -> bool {
        self.lines.is_empty()
            || self.rejected_product.is_some()
            || self.state == ReservationState::Rejected
    }
}

/// A stock adjustment: goods that were delivered or written off.
#[derive(Clone, Debug, Deserialize)]
pub struct MovementRecord {
    pub movement_id: String,
    pub product_id: ProductId,
    /// Pieces delivered (positive) or written off (negative). `None` if only a setting changed.
    #[serde(default)]
    pub delta: Option<i64>,
    pub created_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReservationState {
    Held,
    Committed,
    Released,
    Rejected,
    #[serde(other)]
    Unknown,
}

impl ReservationState {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Committed => "committed",
            Self::Released => "released",
            Self::Rejected => "rejected",
            Self::Unknown => "unknown",
        }
    }
}

/// The stock of a product, or one shard of it.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct StockRecord {
    /// The quantity that new orders can reserve.
    pub available: i64,
    /// The quantity in stock, including the held quantity.
    pub on_hand: i64,
    /// The highest shard that may contain stock. Only the first shard records it.
    #[serde(default)]
    pub last_shard: u32,
    #[serde(default)]
    pub updated_at: Option<Timestamp>,
}

/// A ledger entry as stored. Its lines need not balance: someone may have changed the item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEntry {
    pub entry_id: EntryId,
    /// The time of the recorded change.
    pub occurred_at: Timestamp,
    pub kind: Kind,
    /// Sorted.
    pub lines: Vec<Line>,
}

impl RecordedEntry {
    /// Whether this is `entry`, which has the same owner.
    pub fn is(&self, entry: &Entry) -> bool {
        (self.entry_id, self.occurred_at, &self.kind, &*self.lines)
            == (entry.id(), entry.occurred_at(), entry.kind(), entry.lines())
    }
}
