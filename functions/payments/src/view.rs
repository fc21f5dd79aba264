//! A payment as clients see it.

use provider::{NextAction, PaymentId, RefundId};
use serde::Serialize;
use shared::{clock::Timestamp, ids::OrderId, money::Money};

use crate::domain::{Attempt, PaymentMethodType, PaymentStatus, Refund, RefundStatus};

/// A payment.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct PaymentView {
    /// Its id.
    pub id: PaymentId,
    /// The order that it pays.
    pub order_id: OrderId,
    /// How far it has come.
    pub status: PaymentStatus,
    /// How much.
    pub amount: Money,
    /// With what. The token is not shown again.
    pub payment_method: PaymentMethodView,
    /// The provider's name for the charge.
    pub transaction_id: Option<String>,
    /// Why it came to nothing.
    pub failure_reason: Option<String>,
    /// What the customer has to do before the payment goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    pub next_action: Option<NextActionView>,
    /// How much of it was given back.
    pub refunded: Money,
    /// Whether real money moves.
    pub livemode: bool,
    /// When it began.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A method of payment.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema), schema(as = PaymentMethodShown))]
pub struct PaymentMethodView {
    /// Its kind.
    pub r#type: PaymentMethodType,
}

/// What the customer has to do.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema), schema(as = NextAction))]
pub struct NextActionView {
    /// Its kind.
    pub r#type: NextActionType,
    /// The provider's page: open it, and come back from it.
    pub url: String,
}

/// The kinds of what a customer has to do.
#[derive(Clone, Copy, Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum NextActionType {
    /// Open a page.
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
    /// The payment as it was at its end: the answer to its request, which must not change with what
    /// happens later.
    pub fn as_settled(attempt: &Attempt) -> Self {
        Self {
            refunded: Money::new(0, attempt.currency),
            updated_at: attempt.settled_at.unwrap_or(attempt.updated_at),
            ..Self::from(attempt)
        }
    }
}

/// A refund.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct RefundView {
    /// Its id.
    pub id: RefundId,
    /// The payment that is given back.
    pub payment_id: PaymentId,
    /// How far it has come.
    pub status: RefundStatus,
    /// How much.
    pub amount: Money,
    /// Why, in the words of whoever asked for it.
    pub reason: Option<String>,
    /// Why it came to nothing.
    pub failure_reason: Option<String>,
    /// When it began.
    pub created_at: Timestamp,
    /// When it last changed.
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
