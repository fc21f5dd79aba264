//! Platform: health and the API document.
//!
#![doc = include_str!("../README.md")]

use shared::{aws, clock::Clock, config, table::Table};

pub mod health;
pub mod operations;
mod pages;
pub mod problems;
pub mod services;

use health::{HealthChecks, Service};

/// What every operation of this service works with.
pub struct Platform {
    /// The health of all services.
    pub checks: HealthChecks,
}

impl Platform {
    /// The service as it runs deployed.
    ///
    /// # Panics
    /// When the environment lacks a setting; see the template.
    pub fn from_env() -> Self {
        let client = aws_sdk_dynamodb::Client::new(&aws::sdk_config());
        let simulated = config::required("PAYMENT_PROVIDER") == "simulated";
        let table =
            |name: &str| Table::new(client.clone(), config::required(&format!("{name}_TABLE")));
        let mut payments = vec![table("PAYMENTS")];
        // With another provider this table does not exist.
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
        Self { checks: HealthChecks::new(services, Clock::System) }
    }
}
