//! A provider's statement: the charges, refunds and disputes that it recorded. The reconciliation
//! compares it with the records of payments.

use std::collections::BTreeMap;

use serde::Deserialize;
use shared::{BoxFuture, ids::OrderId, money::Currency, table::TableError};

use crate::error::ProviderError;

/// Reads a provider's statement. It changes nothing at the provider.
pub trait StatementReader: Send + Sync {
    /// The name of the statement in reconciliation reports.
    fn name(&self) -> &'static str;

    /// The provider's records of these payments, refunds and disputes, regardless of the outcome
    /// that payments recorded.
    fn read<'a>(
        &'a self,
        recorded: &'a StatementQuery,
    ) -> BoxFuture<'a, Result<Statement, StatementError>>;
}

/// The records of payments about one order: what to look up at the provider.
#[derive(Clone, Debug, Default)]
pub struct StatementQuery {
    pub payments: Vec<RecordedPayment>,
    /// Ids of the order's refunds: ours, and the provider's where it gave one.
    pub refunds: Vec<String>,
    /// The provider's ids of the order's disputes.
    pub disputes: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct RecordedPayment {
    pub payment_id: String,
    /// The provider's id of the charge.
    pub transaction_id: Option<String>,
    pub currency: Currency,
    /// Whether its outcome is still unknown.
    pub is_open: bool,
}

/// The provider's records of one order.
#[derive(Clone, Debug, Default)]
pub struct Statement {
    /// Charges by payment id.
    pub charges: BTreeMap<String, ChargeRecord>,
    /// Refunds by refund id, or by the provider's id if payments did not request the refund.
    pub refunds: BTreeMap<String, RefundRecord>,
    /// Amounts that banks hold, by the provider's dispute id.
    pub disputes: BTreeMap<String, i64>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct ChargeRecord {
    pub charge_id: String,
    pub payment_id: String,
    /// The order that the charge names, if any.
    pub order_id: Option<OrderId>,
    pub amount: i64,
    /// The amount that was not refunded.
    pub refundable: i64,
}

#[derive(Clone, Debug, Deserialize)]
pub struct RefundRecord {
    pub charge_id: String,
    pub amount: i64,
}

#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// The simulated provider's table failed.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The call to the provider failed.
    #[error(transparent)]
    Provider(#[from] ProviderError),
}
