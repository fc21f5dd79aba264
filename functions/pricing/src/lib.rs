//! Pricing: markets, shipping methods, tax rates and promotions.
//!
#![doc = include_str!("../README.md")]

use shared::{aws, clock::Clock, config, http::CursorKey, ids::Ids, secret::Secrets, table::Table};

pub mod domain;
pub mod error;
pub mod messages;
pub mod metrics;
pub mod operations;
pub mod publish;
pub mod store;
pub mod validation;

use error::PricingError;
use store::Store;

/// The dependencies of every operation.
pub struct Pricing {
    pub store: Store,
    /// Contain the server key of this service, which seals cursors.
    pub secrets: Secrets,
    pub clock: Clock,
    pub ids: Ids,
}

impl Pricing {
    /// The service with the settings of the environment.
    ///
    /// # Panics
    /// If a setting is missing; see the template.
    pub fn from_env() -> Self {
        let config = aws::sdk_config();
        let pricing =
            Table::new(aws_sdk_dynamodb::Client::new(&config), config::required("PRICING_TABLE"));
        let secrets = aws_sdk_secretsmanager::Client::new(&config);
        Self {
            store: Store { pricing },
            secrets: Secrets::new(secrets, config::required("SERVER_KEYS_PREFIX"), Clock::System),
            clock: Clock::System,
            ids: Ids::System,
        }
    }

    async fn cursor_key(&self) -> Result<CursorKey, PricingError> {
        Ok(CursorKey::new(self.secrets.keys("pricing-key").await?.derive("cursor")))
    }
}
