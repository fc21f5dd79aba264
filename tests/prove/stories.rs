//! The stories of an order, each from its request to its final state: the successful one, and the
//! failures.
//!
//! Clients repeat a request whose function fails or crashes, with the same idempotency key.
//! Messages, changes and webhooks are delivered until they are processed.

mod acts;
mod checkout;
mod paths;
mod prices;

use std::{future::Future, pin::Pin};

use tests::provider::Network;

use crate::stage::{Setup, Stage};

/// A story of one order.
pub struct Story {
    pub name: &'static str,
    /// Plays it. Without faults nothing is pending afterwards.
    play: for<'a> fn(&'a mut Stage) -> Path<'a>,
    /// The end of the order if nothing fails.
    pub end: &'static str,
}

type Path<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// The outcome of a story.
pub struct Ended {
    /// The ends of its orders.
    pub ends: Vec<String>,
    /// The number of AWS calls before faults ended.
    pub calls: u64,
    /// Whether nothing was pending when faults ended.
    pub was_settled: bool,
}

/// The stock at the start of a story.
const IN_STOCK: u32 = 10;

macro_rules! stories {
    ($($name:literal, $path:expr, $end:literal;)+) => {
        &[$(Story { name: $name, play: |stage| Box::pin($path(stage)), end: $end }),+]
    };
}

pub const STORIES: &[Story] = stories![
    "paid and delivered", paths::delivered, "delivered";
    "not in stock", paths::not_in_stock, "failed";
    "declined, then paid", paths::declined, "confirmed";
    "charged, but the answer is lost", paths::charged_without_answer, "confirmed";
    "the request for the charge is lost", paths::charge_lost, "confirmed";
    "the provider fails once", paths::provider_failed, "confirmed";
    "charged, but reported late", paths::reported_late, "confirmed";
    "the provider is down for five minutes", paths::provider_down, "confirmed";
    "the provider is down until the order expires", paths::provider_down_too_long,
        "cancelled, its charge was lost and not sent again";
    "the provider rejects our key", paths::key_rejected, "confirmed";
    "paid after 3-D Secure, with resharded stock", paths::three_d_secure, "confirmed";
    "declined by 3-D Secure, then paid", paths::three_d_secure_declined, "confirmed";
    "3-D Secure is not completed", paths::three_d_secure_abandoned, "cancelled";
    "not paid", paths::not_paid, "cancelled";
    "expired while the charge is in flight", paths::expired, "cancelled";
    "cancelled before its stock is reserved", paths::cancelled_at_once, "cancelled";
    "a second unpaid order is rejected", paths::too_many_unpaid, "cancelled";
    "cancelled while it waits for its payment", paths::cancelled_unpaid, "cancelled";
    "cancelled before its charge is requested", paths::cancelled_before_charge, "cancelled";
    "cancelled before its payment is opened", paths::cancelled_before_opening, "cancelled";
    "cancelled during 3-D Secure", paths::cancelled_during_three_d_secure, "cancelled";
    "cancelled while the charge is in flight", paths::cancelled, "cancelled, refunded";
    "cancelled while the provider is down", paths::cancelled_without_provider,
        "cancelled, its charge was lost and not sent again";
    "confirmed, then cancelled", paths::cancelled_after_payment, "cancelled, refunded";
    "cancelled after shipment", paths::cancelled_after_shipment, "shipped";
    "refunded in two parts", paths::refunded, "confirmed, refunded";
    "refunded in the provider's dashboard", paths::refunded_by_provider,
        "confirmed, refunded in part";
    "the refund of a cancelled order fails later", paths::refund_failed, "cancelled, refunded";
    "disputed and won", paths::dispute_won, "confirmed";
    "disputed and lost", paths::dispute_lost, "confirmed";
    "the buyer deletes their account", paths::account_deleted, "delivered";
    "its entries are posted", paths::posted, "confirmed";
    "free and delivered", paths::free, "delivered";
    "free, then cancelled", paths::free_cancelled, "cancelled";
    "free, and cancelled before its stock is reserved", paths::free_cancelled_at_once, "cancelled";
    "nothing is shipped", paths::download, "delivered";
    "nothing is shipped, then cancelled", paths::download_cancelled, "cancelled, refunded";
    "prices and the rules of a market change", prices::changed, "cancelled";
    "free by promotions, and delivered", checkout::free_by_promotions, "delivered";
    "ordered from a cart in a market, and delivered", checkout::from_cart, "delivered";
];

/// The stories in a shop with markets.
const IN_MARKETS: [&str; 2] =
    ["free by promotions, and delivered", "ordered from a cart in a market, and delivered"];

impl Story {
    /// The stage of a story, before it begins.
    pub async fn stage(&self, case: &str) -> Stage {
        let has_markets = IN_MARKETS.contains(&self.name);
        let setup = Setup { in_stock: IN_STOCK, has_accounts: true, has_markets };
        Stage::new(format!("{case}: {}", self.name), setup).await
    }

    /// Plays the story, and lets everything settle without further faults.
    pub async fn play(&self, stage: &mut Stage) -> Ended {
        let before = stage.shop.aws.requests();
        (self.play)(stage).await;
        let calls = (stage.shop.aws.requests() - before) as u64;
        let was_settled = stage.is_settled();
        stage.shop.aws.heal();
        stage.shop.provider.set_network(Network::Up);
        stage.note("settling");
        stage.deliver_late_charges().await;
        stage.settle().await;
        let ends = stage.check();
        stage.check_documents();
        stage.check_ledger(false).await;
        if stage.posts_balances {
            stage.check_balances().await;
        }
        Ended { ends, calls, was_settled }
    }
}
