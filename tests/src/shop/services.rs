//! The services over the in-memory AWS, configured like `from_env` with the template's defaults.

use std::time::Duration;

use shared::clock::{Clock, Timestamp};

use crate::aws::Aws;
#[cfg(feature = "users")]
use crate::template::STACK;

/// Number of shards of the indexes that every order is written to.
pub const SHARDS: u32 = 8;
/// Number of shards of the indexes of products and of users.
pub const LIST_SHARDS: u32 = 1;
/// Default low-stock threshold.
#[cfg(feature = "inventory")]
pub const LOW_STOCK_THRESHOLD: i64 = 10;
/// Default limit of a product's quantity in one order.
pub const MAX_PER_ORDER: u32 = 20;
/// Payment deadline for buyers with a verified address.
pub const PAY_WITHIN: Duration = Duration::from_secs(1800);
/// How long an instance uses a pricing document for estimates.
pub const PRICING_CACHE: Duration = Duration::from_secs(10);
/// Delay before the first scheduled check of an unsettled record.
pub const RETRY: Duration = Duration::from_secs(60);
/// Attempts that one network may make at once. It is higher than any test needs, because all
/// requests come from one network. Tests of the limit set [`users::Users::network_burst`].
pub const NETWORK_BURST: u32 = 1_000_000;
/// Maximum lifetime of a session, as in the template.
pub const SESSION_MAX: Duration = Duration::from_secs(180 * 24 * 3600);

/// A manual clock that starts at 2026-11-21T10:00:00Z.
pub fn clock() -> Clock {
    Clock::manual(Timestamp::from_milliseconds(1_795_255_200_000))
}

#[cfg(feature = "users")]
pub fn users(aws: &Aws, clock: &Clock) -> users::Users {
    let store = users::store::Store {
        users: aws.table("users"),
        sessions: aws.table("sessions"),
        shards: LIST_SHARDS,
    };
    users_with(store, aws.secrets_at(clock.clone()), clock, aws.ids(100_000))
}

/// The users service with these clients and ids.
#[cfg(feature = "users")]
pub fn users_over(
    config: &aws_config::SdkConfig,
    clock: &Clock,
    ids: shared::ids::Ids,
) -> users::Users {
    let secrets = aws_sdk_secretsmanager::Client::new(config);
    let secrets = shared::secret::Secrets::new(secrets, format!("{STACK}/"), clock.clone());
    users_with(users_store(config), secrets, clock, ids)
}

#[cfg(feature = "users")]
fn users_with(
    store: users::store::Store,
    secrets: shared::secret::Secrets,
    clock: &Clock,
    ids: shared::ids::Ids,
) -> users::Users {
    let issuer = users::tokens::access::Issuer {
        name: "urn:ferrocart:tests".to_owned(),
        audience: "urn:ferrocart:tests:api".to_owned(),
    };
    users::Users::new(store, secrets, clock.clone(), ids, issuer, NETWORK_BURST, SESSION_MAX)
}

/// The store of the users service with these clients.
#[cfg(feature = "users")]
pub fn users_store(config: &aws_config::SdkConfig) -> users::store::Store {
    let table = |name: &str| {
        shared::table::Table::new(aws_sdk_dynamodb::Client::new(config), format!("{STACK}-{name}"))
    };
    users::store::Store { users: table("users"), sessions: table("sessions"), shards: LIST_SHARDS }
}

#[cfg(feature = "catalog")]
pub fn catalog(aws: &Aws, clock: &Clock) -> catalog::Catalog {
    catalog::Catalog {
        store: catalog::store::Store { products: aws.table("products"), shards: LIST_SHARDS },
        secrets: aws.secrets_at(clock.clone()),
        clock: clock.clone(),
        ids: aws.ids(300_000),
        max_per_order: MAX_PER_ORDER,
    }
}

#[cfg(feature = "pricing")]
pub fn pricing(aws: &Aws, clock: &Clock) -> pricing::Pricing {
    pricing::Pricing {
        store: pricing::store::Store { pricing: aws.table("pricing") },
        secrets: aws.secrets_at(clock.clone()),
        clock: clock.clone(),
        ids: aws.ids(350_000),
    }
}

#[cfg(feature = "inventory")]
pub fn inventory(aws: &Aws, clock: &Clock) -> inventory::Inventory {
    let store = inventory::store::Store { stock: aws.table("stock"), shards: SHARDS };
    inventory::Inventory::new(store, clock.clone(), LOW_STOCK_THRESHOLD)
}

/// The limits of unpaid orders, as in the template. Only the network limit is higher than any test
/// needs, because all requests come from one network.
#[cfg(feature = "orders")]
pub fn limits() -> orders::domain::unpaid::Limits {
    use orders::domain::unpaid::{BuyerLimit, Limits};
    Limits {
        verified: BuyerLimit { orders: 5, pay_within: PAY_WITHIN },
        unverified: BuyerLimit { orders: 1, pay_within: Duration::from_secs(600) },
        network: shared::throttle::Limit::within(NETWORK_BURST, PAY_WITHIN),
        max_per_order: MAX_PER_ORDER,
        requires_market: false,
    }
}

#[cfg(feature = "orders")]
pub fn orders(aws: &Aws, clock: &Clock) -> orders::Orders {
    orders::Orders {
        store: orders::store::Store {
            orders: aws.table("orders"),
            products: aws.table("order-products"),
            carts: aws.table("order-carts"),
            shards: SHARDS,
        },
        secrets: aws.secrets_at(clock.clone()),
        clock: clock.clone(),
        ids: aws.ids(400_000),
        timing: orders::domain::Timing { first_retry: RETRY },
        limits: limits(),
        pricing_cache: orders::pricing_cache::PricingCache::new(PRICING_CACHE),
    }
}

/// Payments with this provider.
#[cfg(feature = "payments")]
pub fn payments(
    aws: &Aws,
    clock: &Clock,
    provider: std::sync::Arc<dyn provider::PaymentProvider>,
) -> payments::Payments {
    let settings = payments::Settings { shards: SHARDS, first_retry: RETRY };
    payments::Payments::new(
        aws.table("payments"),
        provider,
        aws.secrets_at(clock.clone()),
        clock.clone(),
        aws.ids(500_000),
        settings,
    )
}

#[cfg(feature = "notifications")]
pub fn notifications(aws: &Aws, clock: &Clock) -> notifications::Notifications {
    notifications::Notifications {
        store: notifications::store::Store { notifications: aws.table("notifications") },
        secrets: aws.secrets_at(clock.clone()),
        mailer: notifications::mailer::Mailer::new(
            aws.mail_client(),
            "Ferrocart",
            "shop@example.com",
            Some("ferrocart-mail".to_owned()),
        ),
        shop_name: "Ferrocart".to_owned(),
        store_url: "http://localhost:3000".to_owned(),
        clock: clock.clone(),
        ids: aws.ids(600_000),
    }
}

/// The statement of the simulated provider.
#[cfg(feature = "ledger")]
pub fn statement(aws: &Aws) -> std::sync::Arc<dyn provider::statement::StatementReader> {
    std::sync::Arc::new(provider::SimulatedStatement::new(aws.table("payment-simulator")))
}

/// Ledger with the provider's statement, if it offers one.
#[cfg(feature = "ledger")]
pub fn ledger(
    aws: &Aws,
    clock: &Clock,
    statement: Option<std::sync::Arc<dyn provider::statement::StatementReader>>,
) -> ledger::Ledger {
    ledger::Ledger {
        store: ledger::store::Store::new(aws.table("ledger"), SHARDS),
        sources: ledger::sources::Sources {
            orders: aws.table("orders"),
            payments: aws.table("payments"),
            stock: aws.table("stock"),
            statement,
            shards: SHARDS,
        },
        clock: clock.clone(),
    }
}

/// Platform, with everything that its health check reads.
#[cfg(feature = "platform")]
pub fn platform(aws: &Aws, clock: &Clock) -> platform::Platform {
    use platform::measurements::{ServiceTable, Sources, Sweep};
    let table = |service, name: &str| ServiceTable { service, table: aws.table(name) };
    let sweep = |kind, name: &str, partition| Sweep { kind, table: aws.table(name), partition };
    let sources = Sources {
        tables: vec![
            table("users", "users"),
            table("users", "sessions"),
            table("catalog", "products"),
            table("pricing", "pricing"),
            table("inventory", "stock"),
            table("orders", "orders"),
            table("orders", "order-products"),
            table("orders", "order-carts"),
            table("payments", "payments"),
            table("notifications", "notifications"),
            table("ledger", "ledger"),
            table("payments", "payment-simulator"),
        ],
        sweeps: vec![
            sweep("orders", "orders", "due"),
            sweep("payments", "payments", "due"),
            sweep("reservations", "stock", "held"),
        ],
        shards: SHARDS,
        notifications: aws.table("notifications"),
        payments: aws.table("payments"),
        provider: "simulated".to_owned(),
        sqs: aws.sqs_client(),
        queues: crate::template::template().queues(),
        queue_url_prefix: crate::sqs::url(""),
        queue_ages: Some(platform::queue_ages::QueueAges::new(
            &aws.sdk_config(),
            crate::template::STACK,
        )),
        secrets: aws.secrets_client(),
        signing_key: format!("{}/signing-key", crate::template::STACK),
    };
    platform::Platform {
        store: platform::store::Store { platform: aws.table("platform") },
        sources: sources.into(),
        releases: platform::releases::Releases::new(&aws.sdk_config()).into(),
        clock: clock.clone(),
    }
}
