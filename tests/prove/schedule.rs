//! One schedule: random events in a shop, their faults, and the settling of all orders afterwards.
//!
//! - Messages are lost, repeated and delivered out of order. AWS calls are throttled or lost, and
//!   functions crash.
//! - Buyers pay twice, never pay, cancel, or have to complete 3-D Secure. Webhooks arrive.
//! - Operators refund, ship and reshard stock. The clock jumps.
//! - In every third schedule buyers also order in markets and from carts, while admins change the
//!   rules of prices.
//!
//! Every order settles even if lost messages are never redelivered. The ledger reconciles once an
//! operator has redriven them.

mod carts;
mod outage;
mod people;
pub mod releases;
mod rules;
mod shopping;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tests::{aws::Fault, events, provider::Network, rng::Rng, sqs::QueuedMessage};

use crate::{
    faults::FAULTS,
    stage::{PRICE, QUEUES, Setup, Stage, TABLES},
};

/// The queues and the tables of orders are first in the lists. The random decisions of a seed
/// depend on this order: a change makes regression seeds ineffective.
const ORDER_QUEUES: usize = 10;
const ORDER_TABLES: u64 = 3;
/// The schedules, of each eight, whose balances are posted.
const POSTED: u64 = 4;
/// The schedules, of each eight, in which every second order costs nothing. The regression seeds
/// are not among them.
const FREE: [u64; 2] = [1, 4];
/// The schedules, of each three, with markets. The regression seeds are not among them.
const IN_MARKETS: u64 = 1;
/// The number of calls of a step of the daily audit.
const AUDIT_CALLS: u64 = 300;

/// Facts of schedules with markets. `promises.rs` requires how often each one occurs.
pub mod met {
    /// The price differs from the preview, so nothing is ordered.
    pub const CHANGED_PRICE: &str = "a changed price";
    /// Promotions reduce the total to 0.
    pub const FREE_ORDER: &str = "a free order in a market";
    pub const CART_ORDER: &str = "an order from a cart";
    pub const MERGED_CART: &str = "a merged cart";
    /// The first request has ordered the cart, and the second one finds its order.
    pub const TWO_KEYS: &str = "a cart ordered under two keys";
}

/// The outcome of a schedule.
pub struct Played {
    pub trace: String,
    /// The final states of its orders, and the facts of its buyers in markets.
    pub ends: Vec<String>,
    /// The number of AWS calls.
    pub calls: u64,
}

/// A shop, its orders, and the random numbers that decide what happens to them.
struct Schedule {
    seed: u64,
    rng: Rng,
    stage: Stage,
    payments: u32,
    /// Number of admin requests; each has its own idempotency key.
    admin_requests: u32,
    /// Whether every second order costs nothing.
    has_free_orders: bool,
    /// Whether some orders are placed in markets and from carts.
    has_markets: bool,
    /// Number of additions to carts; each has its own `mutation_id`.
    mutations: u32,
    /// The content of the open cart of each buyer: products and quantities.
    carts: BTreeMap<String, BTreeMap<String, u32>>,
    /// The order that each ordered cart became.
    ordered_carts: BTreeMap<String, String>,
    /// The secrets of the carts of guests.
    secrets: Vec<String>,
    /// The facts of its buyers in markets, which are counted over all schedules.
    facts: Vec<&'static str>,
    /// Percentage of calls with an injected fault.
    faults: u64,
    /// The state of the provider's network between outages.
    network: Network,
    /// Changes and messages that were never delivered, as if they were in dead-letter queues.
    lost_changes: Vec<(&'static str, Vec<Value>)>,
    lost_messages: Vec<(&'static str, QueuedMessage)>,
}

/// Plays one schedule.
pub async fn play(seed: u64) -> Played {
    Schedule::new(seed, seed % 3 == IN_MARKETS).await.play().await
}

impl Schedule {
    async fn play(mut self) -> Played {
        self.run_with_faults().await;
        self.settle().await;
        self.stage.check();
        self.order_again().await;
        self.continue_confirmed().await;
        self.settle().await;
        let mut ends = self.stage.check();
        self.redrive().await;
        let again = self.stage.check();
        self.stage.ensure(again == ends, || {
            format!("the redrive changed the final state of orders: {ends:?}, {again:?}")
        });
        self.stage.check_documents();
        self.check_carts().await;
        self.stage.check_ledger(self.seed.is_multiple_of(4)).await;
        if self.seed % 8 == POSTED {
            self.post_balances().await;
        }
        ends.extend(self.facts.iter().map(|fact| (*fact).to_owned()));
        let calls = self.stage.shop.aws.requests() as u64;
        Played { trace: self.stage.trace().to_owned(), ends, calls }
    }

    async fn new(seed: u64, has_markets: bool) -> Self {
        let mut rng = Rng::new(seed);
        let in_stock = 1 + rng.next() % 10;
        let faults = rng.next() % 41;
        let name = format!("SEED={seed}, {faults} of 100 calls with faults");
        let setup = Setup { in_stock: in_stock as u32, has_accounts: false, has_markets };
        Self {
            seed,
            rng,
            stage: Stage::new(name, setup).await,
            payments: 0,
            admin_requests: 0,
            has_free_orders: FREE.contains(&(seed % 8)),
            has_markets,
            mutations: 0,
            carts: BTreeMap::new(),
            ordered_carts: BTreeMap::new(),
            secrets: Vec::new(),
            facts: Vec::new(),
            faults,
            network: Network::Up,
            lost_changes: Vec::new(),
            lost_messages: Vec::new(),
        }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.rng.next() % limit
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Places orders and runs random events with faults. Every tenth schedule has many orders.
    async fn run_with_faults(&mut self) {
        let orders = if self.seed % 10 == 9 { 4 + self.below(17) } else { 1 + self.below(3) };
        for number in 0..orders {
            let is_free = self.has_free_orders && number % 2 == 1;
            if is_free {
                self.stage.reprice(0);
            }
            let in_market = if self.has_markets && !is_free { self.below(4) } else { 0 };
            let is_placed = match in_market {
                0 => false,
                1 | 2 => self.place_in_market(number).await,
                _ => self.place_from_cart(&Self::buyer(number)).await,
            };
            if !is_placed {
                self.place(number).await;
            }
            if is_free {
                self.stage.reprice(PRICE);
            }
        }
        self.run_steps(90).await;
        if self.chance(40) {
            self.outage(orders).await;
        }
    }

    /// Continues with random events if an order is confirmed: it can be shipped, cancelled or
    /// refunded.
    async fn continue_confirmed(&mut self) {
        let orders = self.stage.stored_orders();
        if orders.iter().any(|order| tests::dynamodb::text(order, "status") == "confirmed") {
            self.run_steps(60).await;
        }
    }

    async fn run_steps(&mut self, steps: u32) {
        let kinds = if self.has_markets { 33 } else { 28 };
        for _ in 0..steps {
            match self.below(kinds) {
                0..7 => self.publish().await,
                7..16 => self.deliver().await,
                16 | 17 => self.pay().await,
                18 => self.sweep().await,
                19..22 => self.step().await,
                22 => self.refund().await,
                23 => self.send_webhook().await,
                24 => self.adjust_stock().await,
                25 => self.change_network(),
                26 if self.chance(15) => self.provider_outage().await,
                26 => self.deliver_late_charges().await,
                27 => {
                    let seconds = [1, 10, 60, 60, 600][self.below(5) as usize];
                    self.stage.advance_clock(seconds);
                }
                28 | 29 => self.publish_rules().await,
                _ => self.deliver_rules().await,
            }
        }
    }

    /// Ends the faults and the outages, and lets everything settle.
    async fn settle(&mut self) {
        self.network = Network::Up;
        self.clear_faults();
        self.stage.note("settling: the provider's network is up");
        self.deliver_late_charges().await;
        self.stage.settle().await;
    }

    /// An operator redrives the dead-letter queues, after later events have been processed.
    async fn redrive(&mut self) {
        for (table, records) in std::mem::take(&mut self.lost_changes) {
            let called = self.stage.publish(table, &records).await;
            self.stage.note(&format!("{} changes of {table} are redriven", records.len()));
            self.stage.ensure(called.answer.is_ok(), || format!("{:?}", called.answer));
        }
        for (queue, message) in std::mem::take(&mut self.lost_messages) {
            self.stage.note(&format!("{} is redriven", message.json()["type"]));
            self.stage.shop.aws.queues().make_visible(queue, message);
        }
        self.stage.lost_mails = 0;
        self.settle().await;
    }

    /// Posts the entries of the ledger, with some faults at first, and checks the balances.
    async fn post_balances(&mut self) {
        self.stage.wait_for_posting();
        for _ in 0..2 {
            for _ in 0..self.below(4) {
                let call = self.below(AUDIT_CALLS) as usize;
                let fault = FAULTS[self.below(FAULTS.len() as u64) as usize];
                self.stage.shop.aws.fail(call, fault);
            }
            self.stage.step_audit().await;
            self.clear_faults();
        }
        self.stage.check_balances().await;
    }

    async fn sweep(&mut self) {
        let operation = if self.chance(50) { "resume-orders" } else { "reconcile-payments" };
        self.inject_faults();
        self.stage.sweep(operation).await;
        self.clear_faults();
    }

    /// Sends the changes of one table of orders to its publisher.
    async fn publish(&mut self) {
        let table = TABLES[self.below(ORDER_TABLES) as usize];
        self.publish_changes(table).await;
    }

    /// Sends the changes of a table to its publisher: some twice, some never.
    async fn publish_changes(&mut self, table: &'static str) {
        if !self.stage.has_changes(table) {
            return;
        }
        let (records, position) = self.stage.changes(table);
        if self.chance(3) {
            self.stage.note(&format!("{} changes of {table} are lost", records.len()));
            self.lost_changes.push((table, records));
            self.stage.published(table, position);
            return;
        }
        self.inject_faults();
        let called = self.stage.publish(table, &records).await;
        self.clear_faults();
        let outcome = if called.answer.is_ok() { "published" } else { "not published" };
        self.stage.note(&format!("{} changes of {table}: {outcome}", records.len()));
        // Failed batches are redelivered, and occasionally successful ones too.
        if called.answer.is_ok() && !self.chance(10) {
            self.stage.published(table, position);
        }
    }

    /// Delivers a random message of the queues of orders.
    async fn deliver(&mut self) {
        self.deliver_one(&QUEUES[..ORDER_QUEUES]).await;
    }

    /// Delivers a random message of some queues to its consumer: some twice, some never.
    async fn deliver_one(&mut self, of: &[&'static str]) {
        let first = self.below(of.len() as u64) as usize;
        let mut queues = (0..of.len()).map(|step| of[(first + step) % of.len()]);
        let waiting = |queue: &&str| self.stage.shop.aws.queues().count(queue) > 0;
        let Some(queue) = queues.find(waiting) else { return };
        let chosen = self.below(self.stage.shop.aws.queues().count(queue) as u64) as usize;
        let message = self.stage.shop.aws.queues().take_one(queue, chosen);
        let kind = message.json()["type"].clone();
        if self.chance(3) {
            self.stage.note(&format!("{kind} is lost"));
            self.stage.lost_mails += usize::from(queue == "send-notification");
            self.lost_messages.push((queue, message));
            return;
        }
        self.inject_faults();
        let event = events::sqs(queue, std::slice::from_ref(&message));
        let called = self.stage.shop.call(Stage::consumer(queue), event).await;
        self.clear_faults();
        let done =
            called.answer.as_ref().is_ok_and(|answer| answer["batchItemFailures"] == json!([]));
        let twice = self.chance(10);
        self.stage.note(&format!(
            "{kind}: {}{}",
            if done { "processed" } else { "redelivered" },
            if twice { ", and again later" } else { "" }
        ));
        if !done || twice {
            self.stage.shop.aws.queues().make_visible(queue, message);
        }
    }

    /// Injects faults into some of the next calls. Some of them crash the function.
    fn inject_faults(&mut self) {
        if self.chance(self.faults / 2) {
            let network = self.broken_network();
            self.stage.shop.provider.set_network(network);
        }
        let kinds = [Fault::Throttle, Fault::LoseRequest, Fault::LoseResponse, Fault::Conflict];
        let deaths = [Fault::CrashBefore, Fault::CrashAfter];
        let mut faults = BTreeMap::new();
        for call in 0..12 {
            if self.chance(self.faults) {
                faults.insert(call, kinds[self.below(4) as usize]);
            }
        }
        if self.chance(self.faults / 4) {
            faults.insert(self.below(6) as usize, deaths[self.below(2) as usize]);
        }
        for (call, fault) in faults {
            self.stage.shop.aws.fail(call, fault);
        }
    }

    fn clear_faults(&self) {
        self.stage.shop.aws.heal();
        self.stage.shop.provider.set_network(self.network);
    }
}
