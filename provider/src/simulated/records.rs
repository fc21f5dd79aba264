//! The records of the simulated provider: stored responses by idempotency key, charges, refunds and
//! disputes.

use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    ids::{self, OrderId},
    money::{Currency, Money},
};

use super::behaviour::{Action, Behaviour};
use crate::{
    charge::{ChargeRequest, NextAction, ProviderResult},
    dispute::DisputeState,
    error::ProviderError,
    refund::RefundResult,
};

/// `KEY#…`: the first response to an idempotency key, and the outcome if it waited for the
/// customer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredAnswer {
    pub(super) order_id: OrderId,
    pub(super) amount: i64,
    pub(super) currency: Currency,
    /// Fingerprint of the request.
    pub(super) body: String,
    /// Whether the key was voided: no charge can be made under it.
    #[serde(default)]
    pub(super) voided: bool,
    pub(super) created_at: Timestamp,
    /// How often the key expired and was used again.
    #[serde(default)]
    pub(super) generation: u32,
    #[serde(default)]
    pub(super) charge_id: Option<String>,
    #[serde(default)]
    pub(super) decline_reason: Option<String>,
    #[serde(default)]
    pub(super) action: Option<Action>,
    #[serde(default)]
    pub(super) cancelled: bool,
    /// Number of queries that still report `processing`.
    #[serde(default)]
    pub(super) pending_reads: u32,
    /// Trace of the first request, as in [`StoredCharge`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) trace_id: Option<String>,
    #[serde(default)]
    pub(super) version: u64,
}

/// `CHARGE#…`: a completed charge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredCharge {
    pub(super) charge_id: String,
    pub(super) payment_id: String,
    pub(super) order_id: OrderId,
    pub(super) amount: i64,
    pub(super) currency: Currency,
    pub(super) refundable: i64,
    /// Set while the customer's bank disputes the charge: refunds are rejected.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) disputed: bool,
    /// Trace of the request, as a real provider stores it in the charge's metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) trace_id: Option<String>,
}

/// `DISPUTE#…`: a disputed charge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredDispute {
    pub(super) charge_id: String,
    pub(super) amount: i64,
    pub(super) currency: Currency,
    pub(super) state: DisputeState,
}

/// `REFUND#…`: a completed refund.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredRefund {
    pub(super) order_id: OrderId,
    pub(super) charge_id: String,
    pub(super) amount: i64,
    pub(super) currency: Currency,
    /// Why the refund failed after it had succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failure_reason: Option<String>,
    /// Trace of the request, as in [`StoredCharge`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) trace_id: Option<String>,
}

impl StoredCharge {
    pub(super) fn of(request: &ChargeRequest, charge_id: String) -> Self {
        Self {
            charge_id,
            payment_id: request.payment_id.to_string(),
            order_id: request.order_id,
            amount: request.amount.amount,
            currency: request.amount.currency,
            refundable: request.amount.amount,
            disputed: false,
            trace_id: Some(request.trace.id().to_owned()),
        }
    }
}

impl StoredAnswer {
    pub(super) fn first(request: &ChargeRequest, behaviour: Behaviour, now: Timestamp) -> Self {
        let answer = Self {
            order_id: request.order_id,
            amount: request.amount.amount,
            currency: request.amount.currency,
            body: ids::fingerprint(&(
                request.amount.amount,
                request.amount.currency.code(),
                request.order_id,
                request.token.as_str(),
                request.return_url.as_deref(),
            )),
            voided: false,
            created_at: now,
            generation: 0,
            charge_id: None,
            decline_reason: None,
            action: None,
            cancelled: false,
            pending_reads: 0,
            trace_id: Some(request.trace.id().to_owned()),
            version: 1,
        };
        match behaviour {
            Behaviour::Declined(reason) => {
                Self { decline_reason: Some(reason.to_owned()), ..answer }
            }
            Behaviour::ActionThen(action) => Self { action: Some(action), ..answer },
            Behaviour::ChargedLate => {
                Self { charge_id: Some(answer.id(request)), pending_reads: 1, ..answer }
            }
            _ => Self { charge_id: Some(answer.id(request)), ..answer },
        }
    }

    /// The response to the same request when its key is reused after it expired.
    pub(super) fn reissued(self, generation: u32, version: u64, request: &ChargeRequest) -> Self {
        let renewed = Self { generation, version, ..self };
        Self { charge_id: renewed.charge_id.as_ref().map(|_| renewed.id(request)), ..renewed }
    }

    /// What the caller receives: an error if the behaviour loses the response.
    pub(super) fn response(
        &self,
        request: &ChargeRequest,
        behaviour: Behaviour,
    ) -> Result<ProviderResult, ProviderError> {
        if behaviour == Behaviour::TimeoutAfterCharge {
            Err(ProviderError::Indeterminate("timed out".to_owned()))
        } else {
            Ok(self.result(request))
        }
    }

    /// The charge id, with a suffix for each reuse of the key.
    pub(super) fn id(&self, request: &ChargeRequest) -> String {
        let again =
            if self.generation > 0 { format!("_{}", self.generation) } else { String::new() };
        format!("ch_{}{again}", request.payment_id.attempt().simple())
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.action.is_some() && self.charge_id.is_none() && self.decline_reason.is_none()
    }

    pub(super) fn result(&self, request: &ChargeRequest) -> ProviderResult {
        if self.is_waiting() && self.cancelled {
            return ProviderResult::Abandoned { reason: "cancelled" };
        }
        if self.is_waiting() {
            let transaction_id = self.id(request);
            let url = format!("https://payments.example/authenticate/{transaction_id}");
            return ProviderResult::ActionRequired {
                transaction_id,
                next_action: NextAction { url },
            };
        }
        match (&self.charge_id, &self.decline_reason) {
            (Some(charge_id), _) if self.pending_reads > 0 => {
                ProviderResult::Processing { transaction_id: charge_id.clone() }
            }
            (Some(charge_id), _) => ProviderResult::Succeeded {
                transaction_id: charge_id.clone(),
                amount: Money::new(self.amount, self.currency),
                order_id: Some(self.order_id),
            },
            (None, reason) => ProviderResult::Declined {
                reason: reason.clone().unwrap_or_else(|| "card_declined".to_owned()),
            },
        }
    }
}

impl StoredRefund {
    pub(super) fn result(&self, provider_refund_id: &str) -> RefundResult {
        let provider_refund_id = provider_refund_id.to_owned();
        match &self.failure_reason {
            Some(reason) => RefundResult::Failed { provider_refund_id, reason: reason.clone() },
            None => RefundResult::Succeeded {
                provider_refund_id,
                amount: Money::new(self.amount, self.currency),
            },
        }
    }
}
