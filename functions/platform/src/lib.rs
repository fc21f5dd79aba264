//! Platform: health and the API document.
//!
#![doc = include_str!("../README.md")]

use shared::{aws, clock::Clock, config, table::Table};

pub mod health;
pub mod operations;
#[cfg(feature = "api-document")]
pub mod problems;
pub mod releases;

use health::{HealthChecks, Service};
use releases::Releases;

/// The dependencies of this service's operations.
pub struct Platform {
    pub checks: HealthChecks,
    /// Deployments of new versions.
    pub releases: Releases,
}

impl Platform {
    /// Creates the service from its deployed configuration.
    ///
    /// # Panics
    /// If a setting of the template is missing from the environment.
    pub fn from_env() -> Self {
        let sdk = aws::sdk_config();
        let client = aws_sdk_dynamodb::Client::new(&sdk);
        let simulated = config::required("PAYMENT_PROVIDER") == "simulated";
        let table =
            |name: &str| Table::new(client.clone(), config::required(&format!("{name}_TABLE")));
        let mut payments = vec![table("PAYMENTS")];
        // This table exists only with the simulated provider.
        payments.extend(simulated.then(|| table("PAYMENT_SIMULATOR")));
        let services = vec![
            Service { name: "users", tables: vec![table("USERS"), table("SESSIONS")] },
            Service { name: "catalog", tables: vec![table("PRODUCTS")] },
            Service { name: "inventory", tables: vec![table("STOCK")] },
            Service { name: "orders", tables: vec![table("ORDERS"), table("ORDER_PRODUCTS")] },
            Service { name: "payments", tables: payments },
            Service { name: "notifications", tables: vec![table("NOTIFICATIONS")] },
            Service { name: "ledger", tables: vec![table("LEDGER")] },
        ];
        Self { checks: HealthChecks::new(services, Clock::System), releases: Releases::new(&sdk) }
    }
}
