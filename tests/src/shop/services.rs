//! The services over the world in memory, set up as `from_env` sets them up with the template's
//! defaults.

use std::time::Duration;

use shared::clock::{Clock, Timestamp};

use crate::aws::Aws;
#[cfg(feature = "users")]
use crate::template::STACK;

/// The shards of each index.
pub const SHARDS: u32 = 8;
/// How many there should be of each product.
#[cfg(feature = "inventory")]
pub const LOW_STOCK_THRESHOLD: i64 = 10;
/// The most pieces of a product in one order, where the product does not say.
pub const MAX_PER_ORDER: u32 = 20;
/// How long an order of a buyer with a verified address waits for its payment.
pub const PAY_WITHIN: Duration = Duration::from_secs(1800);
/// When an unsettled record is looked at first.
pub const RETRY: Duration = Duration::from_secs(60);
/// How much one network may try at once: more than any story does, all of whose requests come from
/// one. A test of the limit gives [`users::Users::network_burst`] another value.
pub const NETWORK_BURST: u32 = 1_000_000;
/// How long a session lasts at most: as long as the template says.
pub const SESSION_MAX: Duration = Duration::from_secs(180 * 24 * 3600);

/// A clock that starts at the beginning of the scenario: 2026-11-21T10:00:00Z.
pub fn clock() -> Clock {
    Clock::manual(Timestamp::from_milliseconds(1_795_255_200_000))
}

/// Users.
#[cfg(feature = "users")]
pub fn users(aws: &Aws, clock: &Clock) -> users::Users {
    users_over(&aws.sdk_config(), clock, aws.ids(100_000))
}

/// Users, with these clients and ids.
#[cfg(feature = "users")]
pub fn users_over(
    config: &aws_config::SdkConfig,
    clock: &Clock,
    ids: shared::ids::Ids,
) -> users::Users {
    let secrets = aws_sdk_secretsmanager::Client::new(config);
    let secrets = shared::secret::Secrets::new(secrets, format!("{STACK}/"), clock.clone());
    let issuer = users::tokens::access::Issuer {
        name: "urn:ferrocart:tests".to_owned(),
        audience: "urn:ferrocart:tests:api".to_owned(),
    };
    users::Users::new(
        users_store(config),
        secrets,
        clock.clone(),
        ids,
        issuer,
        NETWORK_BURST,
        SESSION_MAX,
    )
}

/// The tables of users, with these clients.
#[cfg(feature = "users")]
pub fn users_store(config: &aws_config::SdkConfig) -> users::store::Store {
    let table = |name: &str| {
        shared::table::Table::new(aws_sdk_dynamodb::Client::new(config), format!("{STACK}-{name}"))
    };
    users::store::Store { users: table("users"), sessions: table("sessions"), shards: SHARDS }
}

/// Catalog.
#[cfg(feature = "catalog")]
pub fn catalog(aws: &Aws, clock: &Clock) -> catalog::Catalog {
    catalog::Catalog {
        store: catalog::store::Store { products: aws.table("products"), shards: SHARDS },
        secrets: aws.secrets_at(clock.clone()),
        clock: clock.clone(),
        ids: aws.ids(300_000),
        max_per_order: MAX_PER_ORDER,
    }
}

/// Inventory.
#[cfg(feature = "inventory")]
pub fn inventory(aws: &Aws, clock: &Clock) -> inventory::Inventory {
    let store = inventory::store::Store { stock: aws.table("stock"), shards: SHARDS };
    inventory::Inventory::new(store, clock.clone(), LOW_STOCK_THRESHOLD)
}

/// How many orders may be unpaid at once, as the template has it. Only the limit of a network is
/// higher than any story needs, because all requests come from one.
#[cfg(feature = "orders")]
pub fn limits() -> orders::domain::unpaid::Limits {
    use orders::domain::unpaid::{BuyerLimit, Limits};
    Limits {
        verified: BuyerLimit { orders: 5, pay_within: PAY_WITHIN },
        unverified: BuyerLimit { orders: 1, pay_within: Duration::from_secs(600) },
        network: shared::throttle::Limit::within(NETWORK_BURST, PAY_WITHIN),
        max_per_order: MAX_PER_ORDER,
    }
}

/// Orders.
#[cfg(feature = "orders")]
pub fn orders(aws: &Aws, clock: &Clock) -> orders::Orders {
    orders::Orders {
        store: orders::store::Store {
            orders: aws.table("orders"),
            products: aws.table("order-products"),
            shards: SHARDS,
        },
        secrets: aws.secrets_at(clock.clone()),
        clock: clock.clone(),
        ids: aws.ids(400_000),
        timing: orders::domain::Timing { first_retry: RETRY },
        limits: limits(),
    }
}

/// Payments, with this provider.
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

/// Notifications.
#[cfg(feature = "notifications")]
pub fn notifications(aws: &Aws, clock: &Clock) -> notifications::Notifications {
    notifications::Notifications {
        store: notifications::store::Store { notifications: aws.table("notifications") },
        secrets: aws.secrets_at(clock.clone()),
        mailer: notifications::mailer::Mailer::new(
            aws_sdk_sesv2::Client::new(&aws.sdk_config()),
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

/// Ledger, with the provider's statement, if it offers one.
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

/// Platform.
#[cfg(feature = "platform")]
pub fn platform(aws: &Aws, clock: &Clock) -> platform::Platform {
    let service = |name, tables: &[&str]| platform::health::Service {
        name,
        tables: tables.iter().map(|table| aws.table(table)).collect(),
    };
    let services = vec![
        service("users", &["users", "sessions"]),
        service("catalog", &["products"]),
        service("inventory", &["stock"]),
        service("orders", &["orders", "order-products"]),
        service("payments", &["payments", "payment-simulator"]),
        service("notifications", &["notifications"]),
        service("ledger", &["ledger"]),
    ];
    platform::Platform { checks: platform::health::HealthChecks::new(services, clock.clone()) }
}
