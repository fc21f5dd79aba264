//! The records of other services, as far as the audit reads them. States of a later release count
//! as unsettled.

use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    ids::{OrderId, ProductId},
    money::Currency,
};

use crate::domain::{EntryId, Kind, Line};

/// An order, as orders has it.
#[derive(Clone, Debug, Deserialize)]
pub struct OrderRecord {
    /// What the public sees.
    pub status: Status,
    /// Where it is going.
    pub goal: Goal,
    /// How far the stock is.
    pub stock: StockState,
    /// How far the money is.
    pub payment: PaymentState,
    /// What was bought.
    pub lines: Vec<Quantity>,
    /// What it costs.
    pub totals: Totals,
    /// Minor units captured.
    pub captured_total: i64,
    /// Minor units refunded.
    pub refunded_total: i64,
    /// Minor units of these that came back because a refund failed later.
    #[serde(default)]
    pub refunds_reversed_total: i64,
    /// Minor units that banks took because of disputes.
    #[serde(default)]
    pub dispute_withdrawn_total: i64,
    /// Minor units of these that banks returned.
    #[serde(default)]
    pub dispute_reinstated_total: i64,
    /// Why a person should review it.
    #[serde(default)]
    pub needs_review: Option<String>,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// What the public sees of an order.
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
    /// In the order in which an order can take them: who looks for orders by status in this order
    /// misses none that moves on meanwhile.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Confirmed,
        Self::Shipped,
        Self::Delivered,
        Self::Cancelled,
        Self::Failed,
    ];

    /// The name.
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

/// Where an order is going.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// To the buyer.
    Fulfil,
    /// To its end without the buyer.
    #[serde(alias = "cancel", alias = "fail")]
    Compensate,
    /// Somewhere that only a later release knows.
    #[serde(other)]
    Unknown,
}

/// What an order believes of its stock.
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

/// What an order believes of its money, as far as it matters here: whether it has come to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentState {
    Paid,
    Closed,
    Refunded,
    #[serde(other)]
    InProgress,
}

/// A quantity of a product.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Quantity {
    pub product_id: ProductId,
    /// How many.
    pub quantity: i64,
}

/// What an order costs.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Totals {
    /// In all.
    pub total: Amount,
}

/// An amount as stored, without validation.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Amount {
    /// Minor units.
    pub amount: i64,
    pub currency: Currency,
}

/// The payment intent of an order.
#[derive(Clone, Debug, Deserialize)]
pub struct IntentRecord {
    /// What the order costs.
    pub amount: i64,
    pub currency: Currency,
    /// How much was captured, once.
    pub captured_total: i64,
    /// The refunded part of it.
    pub refunded_total: i64,
    /// The duplicate captures, and their refunded part; `None` if the intent was last written by a
    /// release that did not count them.
    #[serde(default)]
    pub duplicate_captured_total: Option<i64>,
    /// See above.
    #[serde(default)]
    pub duplicate_refunded_total: Option<i64>,
    /// How much of the refunds came back because they failed later.
    #[serde(default)]
    pub refunds_reversed_total: i64,
    /// The same of refunds of what was captured once too often.
    #[serde(default)]
    pub duplicate_refunds_reversed_total: i64,
    /// How much banks took because of disputes.
    #[serde(default)]
    pub dispute_withdrawn_total: i64,
    /// The part of it that banks returned.
    #[serde(default)]
    pub dispute_reinstated_total: i64,
    #[serde(default)]
    pub disputes: Vec<DisputeRecord>,
    /// How much of it no refund has taken.
    pub refundable: i64,
    /// Counts its writes.
    pub version: u64,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl IntentRecord {
    /// What has come to the provider (above zero) or has gone from it, by the kind of the entries
    /// that say so.
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

    /// How much banks hold because of disputes.
    pub fn disputed_amount(&self) -> i64 {
        self.dispute_withdrawn_total.saturating_sub(self.dispute_reinstated_total)
    }
}

/// A dispute, as payments has it.
#[derive(Clone, Debug, Deserialize)]
pub struct DisputeRecord {
    /// The provider's name for it.
    pub dispute_id: String,
    /// The disputed payment.
    pub payment_id: String,
    /// How much of the order's money the bank holds.
    pub held_amount: i64,
}

/// An attempt to pay.
#[derive(Clone, Debug, Deserialize)]
pub struct AttemptRecord {
    pub payment_id: String,
    /// How far it is.
    pub state: Outcome,
    /// How much.
    pub amount: i64,
    pub currency: Currency,
    /// The provider that was asked.
    pub provider: String,
    /// The provider's name for the charge.
    #[serde(default)]
    pub transaction_id: Option<String>,
    /// Whether the order was paid already.
    #[serde(default)]
    pub duplicate_capture: bool,
    /// The refunded part of it.
    #[serde(default)]
    pub refunded: i64,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A refund.
#[derive(Clone, Debug, Deserialize)]
pub struct RefundRecord {
    pub refund_id: String,
    /// The refunded payment.
    pub payment_id: String,
    /// Why: `duplicate_capture` is money that was captured once too often.
    pub kind: String,
    /// How far it is.
    pub state: Outcome,
    /// How much.
    pub amount: i64,
    /// The provider's name for it.
    #[serde(default)]
    pub provider_refund_id: Option<String>,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl RefundRecord {
    /// Whether it refunds a duplicate capture.
    pub fn is_duplicate_capture(&self) -> bool {
        self.kind == "duplicate_capture"
    }
}

/// How an attempt or a refund ended, if it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The money has moved.
    Succeeded,
    /// It has not and will not.
    #[serde(alias = "declined", alias = "abandoned")]
    Failed,
    /// The money went back, and came back to the provider because the refund failed later.
    Reversed,
    /// The provider says something that does not fit: a person has to look.
    NeedsReview,
    /// Its end is not known.
    #[serde(other)]
    Open,
}

/// What is, was or could not be held for an order.
#[derive(Clone, Debug, Deserialize)]
pub struct ReservationRecord {
    pub order_id: OrderId,
    /// How far it is.
    pub state: ReservationState,
    pub lines: Vec<Quantity>,
    /// The product that was short, if one was: nothing was held then.
    #[serde(default)]
    pub rejected_product: Option<ProductId>,
    /// Counts its writes.
    pub version: u64,
    /// When it was written first.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl ReservationRecord {
    /// Whether nothing was ever held: it was rejected, or released before it was made.
    pub fn never_held(&self) -> bool {
        self.lines.is_empty()
            || self.rejected_product.is_some()
            || self.state == ReservationState::Rejected
    }
}

/// Goods that came in or were written off by hand.
#[derive(Clone, Debug, Deserialize)]
pub struct MovementRecord {
    pub movement_id: String,
    pub product_id: ProductId,
    /// How many came in (above zero) or went; none: something was settled, and no goods moved.
    #[serde(default)]
    pub delta: Option<i64>,
    pub created_at: Timestamp,
}

/// How far a reservation is.
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
    /// The name.
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

/// The figures of a product, or of one part of its stock.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct StockRecord {
    /// The quantity that new orders can reserve.
    pub available: i64,
    /// The quantity in stock.
    pub on_hand: i64,
    /// The last further part in which anything of it may lie; the first part alone says it.
    #[serde(default)]
    pub last_shard: u32,
    /// When they last changed.
    #[serde(default)]
    pub updated_at: Option<Timestamp>,
}

/// A ledger entry as stored under an order, a day or a product.
#[derive(Clone, Debug, Deserialize)]
pub struct Posting {
    pub entry_id: EntryId,
    /// When the recorded change happened.
    pub occurred_at: Timestamp,
    /// What it is about.
    pub kind: Kind,
    /// The order that it belongs to.
    #[serde(default)]
    pub order_id: Option<OrderId>,
    /// What moved.
    pub lines: Vec<Line>,
}
