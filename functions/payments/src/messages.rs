//! What payments tells orders and the ledger, and what orders asks of payments: the data of the
//! messages, as it stands on the wire.

use provider::PaymentId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::{
    clock::Timestamp,
    ids::{OrderId, UserId},
    money::Money,
    prefixed_id,
    queue::{FromMessage, InvalidMessage, read_as},
};

use crate::domain::{DisputeStatus, ExpectedPayment, PaymentMethod};

/// `payment_opened.v1`, `payment_started.v1`, `payment_declined.v1`, `payment_unknown.v1`,
/// `payment_succeeded.v1`, `payment_closed.v1`, `payment_refunded.v1`, `payment_refund_failed.v1`:
/// how the payment of an order stands. `payment_disputed.v1`: the state of a dispute has changed.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct PaymentEvent {
    /// The order.
    pub order_id: OrderId,
    /// The intent's version: what is told with an older one is out of date.
    pub version: u64,
    /// The attempt that paid, else the one that began last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_id: Option<PaymentId>,
    /// How much was captured for the order, in minor units.
    pub captured_total: i64,
    /// How much refunds gave back. It only grows.
    pub refunded_total: i64,
    /// How much of that came back, because refunds failed after they had succeeded. It only grows.
    #[serde(skip_serializing_if = "is_zero")]
    pub refunds_reversed_total: i64,
    /// How much banks took because of disputes. It only grows.
    #[serde(skip_serializing_if = "is_zero")]
    pub dispute_withdrawn_total: i64,
    /// How much of that banks gave back. It only grows.
    #[serde(skip_serializing_if = "is_zero")]
    pub dispute_reinstated_total: i64,
    /// Whether payments tries no further automatic refund: a person has to request one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub refund_refused: bool,
    /// Whether a second capture of the order could not be refunded: a person has to.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub duplicate_capture_refund_refused: bool,
    /// Whether the attempt waits for the buyer, who has to act first (3-D Secure).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub requires_action: bool,
    /// Why the last attempt came to nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// Whether the buyer may try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_try_possible: Option<bool>,
    /// The state of all disputes of the payment together, if there ever was one: `open`, `won` or
    /// `lost`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api-document", schema(value_type = Option<String>))]
    pub dispute: Option<DisputeStatus>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(amount: &i64) -> bool {
    *amount == 0
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
    /// Follows from the intent, its version and the kind: the same movement is the same entry.
    pub entry_id: EntryId,
    /// When.
    pub occurred_at: Timestamp,
    /// `capture`, `refund`, or the same of a payment that was one too many: `duplicate_capture`,
    /// `duplicate_capture_refund`. A refund that failed after it succeeded: `refund_reversal`,
    /// `duplicate_capture_refund_reversal`. Disputes: `dispute_withdrawal`,
    /// `dispute_reinstatement`.
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
    /// Where: `provider_clearing` is what the provider holds for the shop, `customer_funds:<order>`
    /// what was taken for an order.
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
    attempt: u64,
}

impl OpenPayment {
    pub(crate) fn expected(&self) -> ExpectedPayment {
        let Self { order_id, user_id, amount, expires_at, tries, attempt } = *self;
        ExpectedPayment { order_id, user_id, amount, expires_at, tries, command_attempt: attempt }
    }
}

impl FromMessage for OpenPayment {
    fn from_message(kind: &str, data: Value) -> Result<Self, InvalidMessage> {
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
    attempt: u64,
    /// With what.
    pub(crate) payment_method: PaymentMethod,
}

impl ChargePayment {
    pub(crate) fn expected(&self) -> ExpectedPayment {
        let Self { order_id, user_id, amount, expires_at, tries, attempt, .. } = *self;
        ExpectedPayment { order_id, user_id, amount, expires_at, tries, command_attempt: attempt }
    }
}

impl FromMessage for ChargePayment {
    fn from_message(kind: &str, data: Value) -> Result<Self, InvalidMessage> {
        read_as("charge_payment.v1", kind, data)
    }
}

/// `cancel_payment.v1`: let nothing more be paid.
#[derive(Clone, Debug, Deserialize)]
pub struct CancelPayment {
    pub(crate) order_id: OrderId,
    pub(crate) user_id: UserId,
    pub(crate) amount: Money,
    pub(crate) attempt: u64,
}

impl FromMessage for CancelPayment {
    fn from_message(kind: &str, data: Value) -> Result<Self, InvalidMessage> {
        read_as("cancel_payment.v1", kind, data)
    }
}

/// `refund_payment.v1`: give back all that can still be given back.
#[derive(Clone, Debug, Deserialize)]
pub struct RefundPayment {
    pub(crate) order_id: OrderId,
    pub(crate) attempt: u64,
}

impl FromMessage for RefundPayment {
    fn from_message(kind: &str, data: Value) -> Result<Self, InvalidMessage> {
        read_as("refund_payment.v1", kind, data)
    }
}
