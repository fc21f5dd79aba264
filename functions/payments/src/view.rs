//! Payments and refunds as the API returns them.

use provider::{NextAction, PaymentId, RefundId};
use serde::Serialize;
use shared::{clock::Timestamp, ids::OrderId, money::Money};

use crate::domain::{Attempt, PaymentMethodType, PaymentStatus, Refund, RefundStatus};

#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct PaymentView {
    pub id: PaymentId,
    pub order_id: OrderId,
    pub status: PaymentStatus,
    pub amount: Money,
    /// The payment method without its token, which is never returned.
    pub payment_method: PaymentMethodView,
    /// The provider's id of the charge.
    pub transaction_id: Option<String>,
    /// Why the payment failed.
    pub failure_reason: Option<String>,
    /// What the customer must do before the payment can continue.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    pub next_action: Option<NextActionView>,
    /// Amount refunded so far.
    pub refunded: Money,
    /// Whether real money moves: `false` for test cards and the simulated provider.
    pub livemode: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema), schema(as = PaymentMethodShown))]
pub struct PaymentMethodView {
    pub r#type: PaymentMethodType,
}

/// An action that the customer must take.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema), schema(as = NextAction))]
pub struct NextActionView {
    pub r#type: NextActionType,
    /// The provider's page to send the customer to. It redirects back to the store afterwards.
    pub url: String,
}

/// Kinds of actions that a customer must take.
#[derive(Clone, Copy, Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum NextActionType {
    Redirect,
}

impl From<&NextAction> for NextActionView {
    fn from(action: &NextAction) -> Self {
        Self { r#type: NextActionType::Redirect, url: action.url.clone() }
    }
}

impl From<&Attempt> for PaymentView {
    fn from(attempt: &Attempt) -> Self {
        Self {
            id: attempt.payment_id,
            order_id: attempt.order_id,
            status: attempt.status(),
            amount: attempt.money(),
            payment_method: PaymentMethodView { r#type: attempt.payment_method.r#type },
            transaction_id: attempt.transaction_id.clone(),
            failure_reason: attempt.failure_reason.clone(),
            next_action: attempt.next_action.as_ref().map(NextActionView::from),
            refunded: Money::new(attempt.refunded, attempt.currency),
            livemode: attempt.livemode,
            created_at: attempt.created_at,
            updated_at: attempt.updated_at,
        }
    }
}

impl PaymentView {
    /// The payment in its state at settlement. A repeated request gets this response, even if the
    /// payment has changed since.
    pub fn as_settled(attempt: &Attempt) -> Self {
        Self {
            refunded: Money::new(0, attempt.currency),
            updated_at: attempt.settled_at.unwrap_or(attempt.updated_at),
            ..Self::from(attempt)
        }
    }
}

#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct RefundView {
    pub id: RefundId,
    pub payment_id: PaymentId,
    pub status: RefundStatus,
    pub amount: Money,
    /// The reason that the admin entered.
    pub reason: Option<String>,
    /// Why the refund failed.
    pub failure_reason: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl From<&Refund> for RefundView {
    fn from(refund: &Refund) -> Self {
        Self {
            id: refund.refund_id,
            payment_id: refund.payment_id,
            status: refund.status(),
            amount: refund.money(),
            reason: refund.reason.clone(),
            failure_reason: refund.failure_reason.clone(),
            created_at: refund.created_at,
            updated_at: refund.settled_at.unwrap_or(refund.updated_at),
        }
    }
}
