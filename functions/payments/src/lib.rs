//! Payments: charges, refunds and disputes.
//!
#![doc = include_str!("../README.md")]

use std::{sync::Arc, time::Duration};

use provider::{PaymentProvider, factory};
use shared::{aws, clock::Clock, config, ids::Ids, secret::Secrets, table::Table};

pub mod domain;
pub mod error;
pub mod messages;
pub mod publish;
pub mod store;

mod charging;
mod circuit_breaker;
mod disputing;
pub mod operations;
mod refunding;
mod view;

use store::Store;

/// The service, as its operations are given it.
pub struct Payments {
    store: Store,
    provider: Arc<dyn PaymentProvider>,
    secrets: Secrets,
    clock: Clock,
    ids: Ids,
    first_retry: Duration,
    /// How many due records are looked after at once.
    concurrency: usize,
}

/// What can be set.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How many shards the index of due records has.
    pub shards: u32,
    /// How long after it was sent an unsettled record is looked at first; then twice as long each
    /// time.
    pub first_retry: Duration,
}

impl Payments {
    /// The service as the environment describes it.
    ///
    /// # Panics
    /// When the environment lacks something, or names a provider that there is not.
    pub fn from_env() -> Self {
        let sdk = aws::sdk_config();
        let dynamodb = aws_sdk_dynamodb::Client::new(&sdk);
        let table = |variable| Table::new(dynamodb.clone(), config::required(variable));
        let clock = Clock::System;
        let secrets = || {
            let client = aws_sdk_secretsmanager::Client::new(&sdk);
            Secrets::new(client, config::required("SERVER_KEYS_PREFIX"), clock.clone())
        };
        // Only the sweep has a pace: other functions make the calls of one request.
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

    /// The service over these surroundings.
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

    /// The records, for those who look from outside.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Counts something that an alarm watches.
    fn count(&self, metric: &'static str) {
        shared::telemetry::count(metric, "payments", &self.clock);
    }

    /// A name for one who is about to send: no two are alike.
    fn lock_owner(&self) -> String {
        self.ids.bytes::<8>().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// How long one call of the provider may take, whatever it does: with the writes around it less
/// than the function's own time.
const PROVIDER_BUDGET: Duration = Duration::from_secs(8);

/// How many due records are looked after at once, unless a pace is set.
const CONCURRENCY: usize = 15;

/// How often a change is worked out anew because others wrote meanwhile.
const MAX_WRITE_ATTEMPTS: u32 = 8;
