//! A provider's statement: what it has recorded itself of charges, refunds and disputes. The audit
//! compares it with what payments recorded.

use std::collections::BTreeMap;

use serde::Deserialize;
use shared::{BoxFuture, ids::OrderId, money::Currency, table::TableError};

use crate::error::ProviderError;

/// Reads a provider's statement. It changes nothing at the provider.
pub trait StatementReader: Send + Sync {
    /// What the report of an audit calls the statement.
    fn name(&self) -> &'static str;

    /// What the provider has of these payments, refunds and disputes, whatever payments recorded as
    /// their outcome.
    fn read<'a>(
        &'a self,
        recorded: &'a StatementQuery,
    ) -> BoxFuture<'a, Result<Statement, StatementError>>;
}

/// What payments has recorded of an order: where to look at the provider.
#[derive(Clone, Debug, Default)]
pub struct StatementQuery {
    pub payments: Vec<RecordedPayment>,
    /// Its refunds, by the ids of payments and by the names that the provider gave.
    pub refunds: Vec<String>,
    /// Its disputes, by the names that the provider gave.
    pub disputes: Vec<String>,
}

/// A payment, as payments has recorded it.
#[derive(Clone, Debug)]
pub struct RecordedPayment {
    pub payment_id: String,
    /// The provider's name for the charge.
    pub transaction_id: Option<String>,
    pub currency: Currency,
    /// Whether its outcome is not known yet.
    pub is_open: bool,
}

/// What the provider has about one order.
#[derive(Clone, Debug, Default)]
pub struct Statement {
    /// Its charges, by the payment that asked for them.
    pub charges: BTreeMap<String, ChargeRecord>,
    /// Its refunds, by the refund that asked for them, or by the provider's name where none did.
    pub refunds: BTreeMap<String, RefundRecord>,
    /// How much banks hold because of its disputes, by the provider's name for them.
    pub disputes: BTreeMap<String, i64>,
}

/// A charge in the provider's statement.
#[derive(Clone, Debug, Deserialize)]
pub struct ChargeRecord {
    /// Its name.
    pub charge_id: String,
    pub payment_id: String,
    /// For which order, where it says one.
    pub order_id: Option<OrderId>,
    /// How much.
    pub amount: i64,
    /// The amount that was not refunded.
    pub refundable: i64,
}

/// A refund in the provider's statement.
#[derive(Clone, Debug, Deserialize)]
pub struct RefundRecord {
    pub charge_id: String,
    /// How much.
    pub amount: i64,
}

/// Why there is no statement.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// The provider's table did not answer, or never will.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The provider did not answer.
    #[error(transparent)]
    Provider(#[from] ProviderError),
}
