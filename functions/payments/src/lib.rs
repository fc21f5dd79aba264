//! Payments: charges, refunds and disputes.
//!
#![doc = include_str!("../README.md")]

use std::{sync::Arc, time::Duration};

use provider::{PaymentProvider, factory};
use shared::{aws, clock::Clock, config, ids::Ids, secret::Secrets, table::Table};

pub mod domain;
pub mod error;
pub mod messages;
pub mod metrics;
pub mod publish;
pub mod store;

mod charging;
mod circuit_breaker;
mod disputing;
pub mod operations;
mod refunding;
mod view;

use store::Store;

/// The dependencies and settings that every operation of payments shares.
pub struct Payments {
    store: Store,
    provider: Arc<dyn PaymentProvider>,
    secrets: Secrets,
    clock: Clock,
    ids: Ids,
    first_retry: Duration,
    /// Due records that a sweep processes at the same time.
    concurrency: usize,
}

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Shards of the index of due records.
    pub shards: u32,
    /// Delay from sending an unsettled record to its first check. It doubles with each check.
    pub first_retry: Duration,
}

impl Payments {
    /// Builds the service from environment variables.
    ///
    /// # Panics
    /// When a variable is missing, or when it names an unknown provider.
    pub fn from_env() -> Self {
        let sdk = aws::sdk_config();
        let dynamodb = aws_sdk_dynamodb::Client::new(&sdk);
        let table = |variable| Table::new(dynamodb.clone(), config::required(variable));
        let clock = Clock::System;
        let secrets = || {
            let client = aws_sdk_secretsmanager::Client::new(&sdk);
            Secrets::new(client, config::required("SERVER_KEYS_PREFIX"), clock.clone())
        };
        // Only the sweep limits its rate: every other function makes the calls of one request.
        let calls_per_second = config::optional("PROVIDER_CALLS_PER_SECOND")
            .map(|_| config::parsed("PROVIDER_CALLS_PER_SECOND"));
        let provider = factory::payment_provider(
            &factory::ProviderDependencies { table: &table, secrets: &secrets },
            calls_per_second,
        );
        let secrets = secrets();
        let settings = Settings {
            shards: config::parsed("INDEX_SHARDS"),
            first_retry: config::seconds("RETRY_SECONDS"),
        };
        let payments =
            Self::new(table("PAYMENTS_TABLE"), provider, secrets, clock, Ids::System, settings);
        Self {
            concurrency: calls_per_second
                .map_or(CONCURRENCY, |calls: u32| usize::try_from(calls).unwrap_or(CONCURRENCY)),
            ..payments
        }
    }

    pub fn new(
        table: Table,
        provider: Arc<dyn PaymentProvider>,
        secrets: Secrets,
        clock: Clock,
        ids: Ids,
        settings: Settings,
    ) -> Self {
        let store = Store::new(table, settings.shards, provider.name());
        Self {
            store,
            provider,
            secrets,
            clock,
            ids,
            first_retry: settings.first_retry,
            concurrency: CONCURRENCY,
        }
    }

    /// The records, for tests and tools that read them.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// A random lock owner, unique to each invocation.
    fn lock_owner(&self) -> String {
        self.ids.bytes::<8>().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Upper limit of one provider call, including all HTTP requests it makes. The call and the writes
/// around it take less than the function's timeout.
const PROVIDER_BUDGET: Duration = Duration::from_secs(8);

/// Due records that a sweep processes at the same time when no rate limit is set.
const CONCURRENCY: usize = 15;

/// Attempts to apply a change when other writers change the same records.
const MAX_WRITE_ATTEMPTS: u32 = 8;
