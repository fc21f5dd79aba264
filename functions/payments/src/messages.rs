//! Payloads of the messages that payments publishes to orders and ledger and consumes from orders.

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
/// `payment_succeeded.v1`, `payment_closed.v1`, `payment_refunded.v1` and
/// `payment_refund_failed.v1` report the payment state of an order. `payment_disputed.v1` reports
/// that the state of a dispute changed.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct PaymentEvent {
    pub order_id: OrderId,
    /// Version of the payment intent. An event with a lower version than one already seen is
    /// outdated.
    pub version: u64,
    /// The attempt that paid the order, otherwise the latest attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_id: Option<PaymentId>,
    /// Amount captured for the order, in minor units.
    pub captured_total: i64,
    /// Amount refunded. It only grows.
    pub refunded_total: i64,
    /// Part of `refunded_total` whose refunds failed after they had succeeded. It only grows.
    #[serde(skip_serializing_if = "is_zero")]
    pub refunds_reversed_total: i64,
    /// Amount that banks have withdrawn because of disputes. It only grows.
    #[serde(skip_serializing_if = "is_zero")]
    pub dispute_withdrawn_total: i64,
    /// Part of `dispute_withdrawn_total` that banks have returned. It only grows.
    #[serde(skip_serializing_if = "is_zero")]
    pub dispute_reinstated_total: i64,
    /// Whether payments has stopped automatic refunds. An admin must request one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub refund_refused: bool,
    /// Whether a duplicate capture of the order could not be refunded. An admin must refund it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub duplicate_capture_refund_refused: bool,
    /// Whether the buyer must act before the attempt can continue (3-D Secure).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub requires_action: bool,
    /// Why the latest attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// Whether the buyer may start another attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_try_possible: Option<bool>,
    /// Combined state of all disputes of the payment: `open`, `won` or `lost`. Absent if it was
    /// never disputed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api-document", schema(value_type = Option<String>))]
    pub dispute: Option<DisputeStatus>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(amount: &i64) -> bool {
    *amount == 0
}

prefixed_id!(
    /// Id of a ledger entry.
    EntryId,
    "ent"
);

/// `record_entry.v1`: money moved. The amounts of the lines sum to zero.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct RecordEntry {
    /// Derived from the order, the intent's version and the kind, so a repeated message has the
    /// same id.
    pub entry_id: EntryId,
    pub occurred_at: Timestamp,
    /// `capture` or `refund`; for a duplicate capture, `duplicate_capture` or
    /// `duplicate_capture_refund`. `refund_reversal` and `duplicate_capture_refund_reversal` record
    /// a refund that failed after it succeeded. `dispute_withdrawal` and `dispute_reinstatement`
    /// record disputes.
    pub kind: &'static str,
    pub order_id: OrderId,
    /// The two accounts that the amount moves between.
    pub lines: [EntryLine; 2],
}

/// A debit or credit of one account: a positive amount enters the account, a negative one leaves
/// it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct EntryLine {
    /// `provider_clearing` is the money that the provider holds for the shop,
    /// `customer_funds:<order>` the money captured for an order.
    pub account: String,
    /// The currency code.
    pub unit: &'static str,
    /// In minor units.
    pub amount: i64,
}

/// `open_payment.v1`: opens the payment of an order for this amount.
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

/// `charge_payment.v1`: opens the payment of an order and charges this payment method at once.
#[derive(Clone, Debug, Deserialize)]
pub struct ChargePayment {
    order_id: OrderId,
    user_id: UserId,
    amount: Money,
    expires_at: Timestamp,
    tries: u32,
    attempt: u64,
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

/// `cancel_payment.v1`: closes the payment of an order; no further attempt can start.
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

/// `refund_payment.v1`: refunds everything of the order that is still refundable.
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
