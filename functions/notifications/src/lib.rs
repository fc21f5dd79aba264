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
pub mod operations;
pub mod store;
pub mod suppression;
pub mod templates;

use mailer::Mailer;
use store::Store;
use suppression::AddressMac;

/// How long SES may take for a mail. It sends each time it is asked: a slow answer is waited for,
/// and nothing is asked twice.
const SES_TIMEOUT: Duration = Duration::from_secs(6);

/// What every operation of this service works with.
pub struct Notifications {
    /// The table.
    pub store: Store,
    /// The server key of this service, for cursors; and the one under which links travel.
    pub secrets: Secrets,
    /// Sends mails.
    pub mailer: Mailer,
    /// The shop's name, as customers know it.
    pub shop_name: String,
    /// Where the shop's pages are: `https://shop.example.com`. Links begin with it, never with
    /// anything from a request.
    pub store_url: String,
    /// The time.
    pub clock: Clock,
    /// Where random bytes come from.
    pub ids: Ids,
}

impl Notifications {
    /// The service as it runs deployed.
    ///
    /// # Panics
    /// When the environment lacks a setting; see the template.
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

    /// The names of an address in the table, under the current and the previous server key.
    async fn address_macs(&self, address: &str) -> Result<KeyRing<AddressMac>, SecretError> {
        let keys = self.secrets.keys("notifications-key").await?.derive("suppressed-address");
        Ok(keys.map(|key| AddressMac::new(&key, address)))
    }
}
