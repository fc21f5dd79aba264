//! Notifications: mails to customers, and the list of them that customers see.
//!
#![doc = include_str!("../README.md")]

use std::time::Duration;

use shared::{
    aws,
    clock::Clock,
    config,
    ids::Ids,
    secret::{KeyRing, SecretError, Secrets},
    table::Table,
};

pub mod domain;
pub mod error;
pub mod mailer;
pub mod messages;
pub mod metrics;
pub mod operations;
pub mod store;
pub mod suppression;
pub mod templates;

use mailer::Mailer;
use store::Store;
use suppression::AddressMac;

/// Timeout of an SES call. Calls are not retried, because SES may send the mail for each of them.
const SES_TIMEOUT: Duration = Duration::from_secs(6);

/// The dependencies of every operation.
pub struct Notifications {
    pub store: Store,
    /// Contain the server key for cursors and MACs, and the key that seals links.
    pub secrets: Secrets,
    pub mailer: Mailer,
    /// The shop's name, as customers know it.
    pub shop_name: String,
    /// Base URL of the storefront: `https://shop.example.com`. Links begin with it, never with
    /// anything from a request.
    pub store_url: String,
    pub clock: Clock,
    pub ids: Ids,
}

impl Notifications {
    /// The service with the settings of the environment.
    ///
    /// # Panics
    /// If a setting is missing; see the template.
    pub fn from_env() -> Self {
        let config = aws::sdk_config();
        let table = Table::new(
            aws_sdk_dynamodb::Client::new(&config),
            config::required("NOTIFICATIONS_TABLE"),
        );
        let secrets = aws_sdk_secretsmanager::Client::new(&config);
        let ses = aws_sdk_sesv2::Client::new(&aws::without_retries(&config, SES_TIMEOUT));
        let (shop_name, sender) =
            (config::required("SHOP_NAME"), config::required("SENDER_ADDRESS"));
        Self {
            store: Store { notifications: table },
            secrets: Secrets::new(secrets, config::required("SERVER_KEYS_PREFIX"), Clock::System),
            mailer: Mailer::new(
                ses,
                &shop_name,
                &sender,
                config::optional("MAIL_CONFIGURATION_SET"),
            ),
            shop_name,
            store_url: config::required("STORE_URL"),
            clock: Clock::System,
            ids: Ids::System,
        }
    }

    /// The MACs of an address under the current and the previous server key.
    async fn address_macs(&self, address: &str) -> Result<KeyRing<AddressMac>, SecretError> {
        let keys = self.secrets.keys("notifications-key").await?.derive("suppressed-address");
        Ok(keys.map(|key| AddressMac::new(&key, address)))
    }
}
