//! Ledger: where all money and all goods have gone, in double entry, and whether that is what everybody else says.
//!
//! - **Owns** the table `ledger`: entries, each also under its order, its day and its products.
//! - **Answers** nobody over HTTP.
//! - **Consumes** `record-entry`: what payments and inventory have committed; and a schedule, or an operator, that wants the books compared.
//! - **Emits** nothing. Books that do not balance are a metric with an alarm, and a report that names every order.
//! - **Never** writes an entry that does not balance, changes or deletes one, moves money or goods, or corrects the records of others.
//!
//! In reading order: [`domain`] (accounts, entries, and what the books of an order and of a product have to say), [`operations`] (one file
//! for each function), [`round`] (how far an audit has come), [`walk`] (which orders and products it looks at), [`look`] (and how), [`store`] (this service's table),
//! [`repair`] (booking what is missing), [`sources`] (the tables of the others and the provider's statement), [`error`].
//!
//! # The one exception
//!
//! A service reads its own tables only. `reconcile-books` is the exception, and the only one: an audit that asked the services what they
//! think would hear what they think. It reads the items themselves (orders, payments, stock, and what the provider itself has), it reads
//! *only*, its role holds no permission to write any of them, and no request waits for it. The attribute names that it relies on stand in
//! [`domain::audit::record`], and the tests let the services themselves write what it reads.
//!
//! # What an entry is worth
//!
//! Entries come from committed changes alone, through the publishers of payments and inventory, under ids that follow from the record and
//! its version: a message that comes twice is recorded once, and two messages that contradict each other are not both believed. An entry
//! whose message was lost is missed by the audit, which names the order. The dead-letter queue has the message; where that is gone too,
//! an operator lets `reconcile-books` book the entry from the records.

use std::time::Duration;

use provider::choice;
use shared::{aws, clock::Clock, config, secret::Secrets, table::Table};

pub mod domain;
pub mod error;
pub mod look;
pub mod operations;
pub mod repair;
pub mod round;
pub mod sources;
pub mod store;
pub mod walk;

use sources::Sources;
use store::Store;

/// How long what happens to an order may be on its way to everybody's books. Until then a contradiction is no news.
pub const GRACE: Duration = Duration::from_secs(600);

/// What the operations of this service work with.
pub struct Ledger {
    /// The entries.
    pub store: Store,
    /// The tables of the others, for the audit.
    pub sources: Sources,
    /// The time.
    pub clock: Clock,
}

impl Ledger {
    /// The service as it runs deployed.
    ///
    /// # Panics
    /// When the environment lacks a setting, or names a provider that there is not; see the template.
    pub fn from_env() -> Self {
        let client = aws_sdk_dynamodb::Client::new(&aws::sdk_config());
        let table = |variable| Table::new(client.clone(), config::required(variable));
        let shards = config::parsed("INDEX_SHARDS");
        let secrets = || {
            let client = aws_sdk_secretsmanager::Client::new(&aws::sdk_config());
            Secrets::new(client, config::required("SERVER_KEYS_PREFIX"), Clock::System)
        };
        let statement = choice::statement(&choice::Surroundings { table: &table, secrets: &secrets });
        Self {
            store: Store::new(table("LEDGER_TABLE"), shards),
            sources: Sources {
                orders: table("ORDERS_TABLE"),
                payments: table("PAYMENTS_TABLE"),
                stock: table("STOCK_TABLE"),
                statement: Some(statement),
                shards,
            },
            clock: Clock::System,
        }
    }
}
