//! Reads the simulated provider's records for the reconciliation.

use shared::{
    BoxFuture,
    table::{Item, Key, Table, TableError, from_item},
};

use crate::{
    dispute::DisputeState,
    statement::{
        ChargeRecord, RefundRecord, Statement, StatementError, StatementQuery, StatementReader,
    },
};

/// Maximum keys in one batch read.
const KEYS_AT_ONCE: usize = 100;

#[derive(Clone, Debug)]
pub struct SimulatedStatement {
    table: Table,
}

impl SimulatedStatement {
    /// Reads the provider's records in this table.
    pub fn new(table: Table) -> Self {
        Self { table }
    }

    async fn of(&self, recorded: &StatementQuery) -> Result<Statement, TableError> {
        let charges = recorded.payments.iter().flat_map(|payment| {
            let derived = payment
                .payment_id
                .rsplit('_')
                .next()
                .map(|id| format!("CHARGE#ch_{}", id.replace('-', "")));
            payment.transaction_id.iter().map(|id| format!("CHARGE#{id}")).chain(derived)
        });
        let refunds = recorded.refunds.iter().map(|name| format!("REFUND#{name}"));
        let disputes = recorded.disputes.iter().map(|name| format!("DISPUTE#{name}"));
        let mut keys: Vec<String> = charges.chain(refunds).chain(disputes).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut statement = Statement::default();
        for keys in keys.chunks(KEYS_AT_ONCE) {
            let keys = keys.iter().map(|key| (&self.table, Key::new(key.as_str())));
            for item in self.table.get_many(keys.collect()).await? {
                add(&mut statement, item)?;
            }
        }
        Ok(statement)
    }
}

fn add(statement: &mut Statement, item: Item) -> Result<(), TableError> {
    let key = text(&item, "pk").to_owned();
    if let Some(refund) = key.strip_prefix("REFUND#") {
        // A failed refund returned no money.
        if !item.contains_key("failure_reason") {
            statement.refunds.insert(refund.to_owned(), from_item::<RefundRecord>(item)?);
        }
    } else if let Some(dispute) = key.strip_prefix("DISPUTE#") {
        let is_taken = DisputeState::from(text(&item, "state").to_owned()).funds_withdrawn();
        let RefundRecord { amount, .. } = from_item(item)?;
        statement.disputes.insert(dispute.to_owned(), if is_taken { amount } else { 0 });
    } else {
        let charge: ChargeRecord = from_item(item)?;
        statement.charges.insert(charge.payment_id.clone(), charge);
    }
    Ok(())
}

impl StatementReader for SimulatedStatement {
    fn name(&self) -> &'static str {
        "the simulated provider"
    }

    fn read<'a>(
        &'a self,
        recorded: &'a StatementQuery,
    ) -> BoxFuture<'a, Result<Statement, StatementError>> {
        Box::pin(async move { Ok(self.of(recorded).await?) })
    }
}

fn text<'a>(item: &'a Item, attribute: &str) -> &'a str {
    item.get(attribute).and_then(|value| value.as_s().ok()).map(String::as_str).unwrap_or_default()
}
