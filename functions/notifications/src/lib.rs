//! Notifications: mails to customers, and what they see of them in the shop.
//!
//! - **Owns** the table `notifications`: `USER#<id>` / `<time of what happened>#<notification id>`, and `SUPPRESSED#<mac of an address>`;
//!   both kept for 90 days.
//! - **Answers** `GET /notifications` and `POST /notifications/{notification_id}/read`.
//! - **Consumes** `send-notification`: the sender includes the address; `send-account-notification`: the same for
//!   mails about accounts; `record-mail-feedback`: what SES hears of a mail after it was sent; and `forget-recipient`: when a user is
//!   deleted, so is what was written to them.
//! - **Emits** nothing.
//! - **Never** looks up an address, keeps one, or writes one to a log; never decides what is worth a mail; never keeps or logs a link
//!   that lets whoever holds it act for somebody else: such a link arrives sealed, and is opened while its mail is written.
//!
//! In reading order: [`domain`] (a notification and its delivery), [`operations`] (one file for each function), [`messages`], [`letter`] (the texts, from
//! `templates/`), [`mailer`] (SES), [`suppression`] (who is not written to), [`store`], [`error`].
//!
//! `cargo run -p notifications --features preview --bin preview -- <folder>` writes every mail, with sample data, for people to look at.
//!
//! # How often a mail goes out
//!
//! Once, as long as nothing breaks. SES has no idempotency key: between the mail and the record that it was sent there is a moment in
//! which a crash, or an answer that never arrives, leaves both possible. The mail is then sent again: one crash makes one mail too many
//! at most, and a second copy of a message none at all. A customer can live with the same mail twice, not with none.
//!
//! A mail that SES refuses for good, because of its address, its text or its sender, is given up at once: its record says so, a metric
//! counts it, and the shop shows the notification all the same. Whatever passes is tried again for about four days, and ends among the
//! dead letters if it does not pass.
//!
//! # Who is not written to
//!
//! An address that takes no mail for good (a permanent bounce), and one whose owner has called a mail of ours spam: going on would only
//! teach mailbox providers to refuse everybody's mail from this sender. SES tells of both; the address is remembered for 90 days by its
//! MAC, and what would have been sent to it meanwhile is recorded as `SUPPRESSED`: the shop shows it, and nothing goes out. After that
//! one mail may try again, and if nothing has changed, SES says so again. A full mailbox is no reason: it will be emptied.
//!
//! # What a user who is deleted leaves behind
//!
//! Nothing that names them, once both copies of `user_deleted` are worked off: the second comes two minutes after the first, for what was
//! written in between. A mail that still waits for SES by then records itself again when it leaves, without name and address; that record
//! lives no longer than any other. That an address takes no mail stays known, by its MAC, until its 90 days are over.

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
pub mod letter;
pub mod mailer;
pub mod messages;
pub mod operations;
pub mod store;
pub mod suppression;

use mailer::Mailer;
use store::Store;
use suppression::AddressMac;

/// How long SES may take for a mail. It sends each time it is asked: a slow answer is waited for, and nothing is asked twice.
const SES_PATIENCE: Duration = Duration::from_secs(6);

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
    /// Where the shop's pages are: `https://shop.example.com`. Links begin with it, never with anything from a request.
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
        let table = Table::new(aws_sdk_dynamodb::Client::new(&config), config::required("NOTIFICATIONS_TABLE"));
        let secrets = aws_sdk_secretsmanager::Client::new(&config);
        let ses = aws_sdk_sesv2::Client::new(&aws::asking_once(&config, SES_PATIENCE));
        let (shop_name, sender) = (config::required("SHOP_NAME"), config::required("SENDER_ADDRESS"));
        Self {
            store: Store { notifications: table },
            secrets: Secrets::new(secrets, config::required("SERVER_KEYS_PREFIX"), Clock::System),
            mailer: Mailer::new(ses, &shop_name, &sender, config::optional("MAIL_CONFIGURATION_SET")),
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
