//! A payment as clients see it.

use serde::Serialize;
use shared::{clock::Timestamp, ids::OrderId, money::Money};

use crate::domain::{Attempt, MethodType, PaymentId, PaymentStatus};

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
    pub payment_method: MethodView,
    /// The provider's name for the charge.
    pub transaction_id: Option<String>,
    /// Why it came to nothing.
    pub failure_reason: Option<String>,
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
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct MethodView {
    /// Its kind.
    pub r#type: MethodType,
}

impl From<&Attempt> for PaymentView {
    fn from(attempt: &Attempt) -> Self {
        Self {
            id: attempt.payment_id,
            order_id: attempt.order_id,
            status: attempt.status(),
            amount: attempt.money(),
            payment_method: MethodView { r#type: attempt.payment_method.r#type },
            transaction_id: attempt.transaction_id.clone(),
            failure_reason: attempt.failure_reason.clone(),
            refunded: Money::new(attempt.refunded, attempt.currency),
            livemode: attempt.livemode,
            created_at: attempt.created_at,
            updated_at: attempt.updated_at,
        }
    }
}

impl PaymentView {
    /// The payment as it was at its end: the answer to its request, which must not change with what happens later.
    pub fn at_its_end(attempt: &Attempt) -> Self {
        Self {
            refunded: Money::new(0, attempt.currency),
            updated_at: attempt.settled_at.unwrap_or(attempt.updated_at),
            ..Self::from(attempt)
        }
    }
}
