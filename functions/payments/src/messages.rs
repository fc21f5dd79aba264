//! What payments tells orders and the ledger, and what orders asks of payments: the data of the messages, as it stands on the wire.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::{
    clock::Timestamp,
    ids::{OrderId, UserId},
    money::Money,
    prefixed_id,
    queue::{Consumed, Unreadable, read_as},
};

use crate::domain::{Expected, PaymentId, PaymentMethod};

/// `payment_started.v1`, `payment_declined.v1`, `payment_unknown.v1`, `payment_succeeded.v1`, `payment_closed.v1`, `payment_refunded.v1`,
/// `payment_refund_failed.v1`: how the payment of an order stands. `payment_disputed.v1`: the buyer's bank asks for the money back.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct PaymentEvent {
    /// The order.
    pub order_id: OrderId,
    /// The head's version: what is told with an older one is out of date.
    pub version: u64,
    /// The attempt that paid, else the one that began last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_id: Option<PaymentId>,
    /// How much was captured for the order, in minor units.
    pub captured_total: i64,
    /// How much of that was given back.
    pub refunded_total: i64,
    /// Why the last attempt came to nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// Whether the buyer may try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_try_possible: Option<bool>,
    /// Whether the buyer's bank has asked for the money back.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub disputed: bool,
}

prefixed_id!(
    /// An entry of the ledger.
    EntryId,
    "ent"
);

/// `record_entry.v1`: money has moved. What the lines add up to is nothing.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct RecordEntry {
    /// Follows from the head, its version and the kind: the same movement is the same entry.
    pub entry_id: EntryId,
    /// When.
    pub occurred_at: Timestamp,
    /// `capture`, `refund`, or the same of a payment that was one too many: `surplus_capture`, `surplus_refund`.
    pub kind: &'static str,
    /// For which order.
    pub order_id: OrderId,
    /// From where to where.
    pub lines: [EntryLine; 2],
}

/// So much into an account (above zero) or out of it (below).
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct EntryLine {
    /// Where: `provider_clearing` is what the provider holds for the shop, `customer_funds:<order>` what was taken for an order.
    pub account: String,
    /// The currency.
    pub unit: &'static str,
    /// Minor units.
    pub amount: i64,
}

/// `open_payment.v1`: this order costs so much and can be paid from now on.
#[derive(Clone, Debug, Deserialize)]
pub struct OpenPayment {
    order_id: OrderId,
    user_id: UserId,
    amount: Money,
    expires_at: Timestamp,
    tries: u32,
    drive: u64,
}

impl OpenPayment {
    pub(crate) fn expected(&self) -> Expected {
        let Self { order_id, user_id, amount, expires_at, tries, drive } = *self;
        Expected { order_id, user_id, amount, expires_at, tries, drive }
    }
}

impl Consumed for OpenPayment {
    fn read(kind: &str, data: Value) -> Result<Self, Unreadable> {
        read_as("open_payment.v1", kind, data)
    }
}

/// `charge_payment.v1`: the same, and charge this method at once.
#[derive(Clone, Debug, Deserialize)]
pub struct ChargePayment {
    order_id: OrderId,
    user_id: UserId,
    amount: Money,
    expires_at: Timestamp,
    tries: u32,
    drive: u64,
    /// With what.
    pub(crate) payment_method: PaymentMethod,
}

impl ChargePayment {
    pub(crate) fn expected(&self) -> Expected {
        let Self { order_id, user_id, amount, expires_at, tries, drive, .. } = *self;
        Expected { order_id, user_id, amount, expires_at, tries, drive }
    }
}

impl Consumed for ChargePayment {
    fn read(kind: &str, data: Value) -> Result<Self, Unreadable> {
        read_as("charge_payment.v1", kind, data)
    }
}

/// `cancel_payment.v1`: let nothing more be paid.
#[derive(Clone, Debug, Deserialize)]
pub struct CancelPayment {
    pub(crate) order_id: OrderId,
    pub(crate) user_id: UserId,
    pub(crate) amount: Money,
    pub(crate) drive: u64,
}

impl Consumed for CancelPayment {
    fn read(kind: &str, data: Value) -> Result<Self, Unreadable> {
        read_as("cancel_payment.v1", kind, data)
    }
}

/// `refund_payment.v1`: give back all that can still be given back.
#[derive(Clone, Debug, Deserialize)]
pub struct RefundPayment {
    pub(crate) order_id: OrderId,
    pub(crate) drive: u64,
}

impl Consumed for RefundPayment {
    fn read(kind: &str, data: Value) -> Result<Self, Unreadable> {
        read_as("refund_payment.v1", kind, data)
    }
}
