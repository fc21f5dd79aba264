//! One schedule: the random events, their order, and the settling of all orders afterwards.

mod checks;
mod outage;
mod people;

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use serde_json::{Value, json};
use tests::{
    aws::Fault,
    events,
    provider::Network,
    shop::{PAY_WITHIN, Shop, consumer_of, publisher_of},
    sqs::QueuedMessage,
};

/// The queues of the simulation. Their order determines what a seed does, so changing it makes the
/// regression seeds ineffective.
const QUEUES: [&str; 10] = [
    "order-events",
    "reserve-stock",
    "release-stock",
    "commit-stock",
    "open-payment",
    "charge-payment",
    "cancel-payment",
    "refund-payment",
    "send-notification",
    "record-entry",
];
/// The tables whose changes are published, in an order on which the seeds depend as well.
const TABLES: [&str; 3] = ["orders", "stock", "payments"];
const PRICE: i64 = 2999;
/// The final state of an order whose charge request was lost, and which was cancelled before the
/// request was repeated.
pub const NOT_SENT_AGAIN: &str = ", its charge was lost and not sent again";

/// A shop, its orders, and the random number generator that decides what happens to them.
pub struct Schedule {
    seed: u64,
    random: u64,
    shop: Shop,
    product: String,
    orders: Vec<String>,
    positions: BTreeMap<&'static str, usize>,
    trace: String,
    payments: u32,
    /// Number of admin requests; each has its own idempotency key.
    admin_requests: u32,
    /// Percentage of calls with an injected fault.
    faults: u64,
    /// The state of the provider's network between outages.
    network: Network,
    /// Whether an outage exceeded the retention of the provider's idempotency keys.
    had_day_outage: bool,
    /// Changes and messages that were never delivered, as if they were in dead-letter queues.
    lost_changes: Vec<(&'static str, Vec<Value>)>,
    lost_messages: Vec<(&'static str, QueuedMessage)>,
}

impl Schedule {
    pub async fn new(seed: u64) -> Self {
        let shop = Shop::new();
        let mut schedule = Self {
            seed,
            random: seed,
            product: String::new(),
            orders: Vec::new(),
            positions: BTreeMap::new(),
            trace: String::new(),
            payments: 0,
            admin_requests: 0,
            faults: 0,
            network: Network::Up,
            had_day_outage: false,
            lost_changes: Vec::new(),
            lost_messages: Vec::new(),
            shop,
        };
        let in_stock = 1 + schedule.below(10) as u32;
        schedule.faults = schedule.below(41);
        schedule.product = schedule.shop.product("teapot", PRICE, in_stock).await;
        schedule.shop.harness().drain_queues().await;
        schedule
    }

    /// SplitMix64 (Steele, Lea, Flood: *Fast Splittable Pseudorandom Number Generators*, 2014).
    fn below(&mut self, limit: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn note(&mut self, what: &str) {
        let _ = writeln!(self.trace, "  {what}");
    }

    /// Places orders and runs random events with faults.
    pub async fn run_with_faults(&mut self) {
        let orders = 1 + self.below(3);
        for number in 0..orders {
            self.place(number).await;
        }
        self.run_steps(90).await;
        if self.chance(40) {
            self.outage(orders).await;
        }
    }

    /// Continues with random events if an order is confirmed: it can be shipped, cancelled or
    /// refunded.
    pub async fn continue_confirmed(&mut self) {
        if self.shop.aws.orders().iter().any(|order| text(order, "status") == "confirmed") {
            self.run_steps(60).await;
        }
    }

    async fn run_steps(&mut self, steps: u32) {
        for _ in 0..steps {
            match self.below(28) {
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
                _ => {
                    let seconds = [1, 10, 60, 60, 600][self.below(5) as usize];
                    self.advance_clock(seconds);
                }
            }
        }
    }

    fn advance_clock(&mut self, seconds: u64) {
        self.shop.clock.advance(Duration::from_secs(seconds));
        self.note(&format!("{seconds} seconds pass"));
    }

    /// Ends the faults, delivers everything and runs the schedules until nothing is pending. No
    /// buyer pays any more.
    pub async fn settle(&mut self) {
        self.network = Network::Up;
        self.clear_faults();
        self.note("settling: the provider's network is up");
        self.deliver_late_charges().await;
        for _ in 0..40 {
            self.drain().await;
            if self.unsettled().is_empty() {
                return;
            }
            for operation in ["resume-orders", "reconcile-payments"] {
                let called = self.shop.call(operation, json!({})).await;
                assert!(
                    called.answer.is_ok(),
                    "{operation}: {:?}\n{}",
                    called.answer,
                    self.trace_report()
                );
            }
            self.drain().await;
            self.shop.clock.advance(PAY_WITHIN);
        }
        panic!("not settled: {:#?}\n{}", self.unsettled(), self.trace_report());
    }

    /// An operator redrives the dead-letter queues, after later events have been processed.
    pub async fn redrive(&mut self) {
        for (table, records) in std::mem::take(&mut self.lost_changes) {
            let operation = publisher_of(table);
            self.note(&format!("{} changes are redriven to {operation}", records.len()));
            let called = self.shop.call(&operation, json!({ "Records": records })).await;
            assert!(
                called.answer.is_ok(),
                "{operation}: {:?}\n{}",
                called.answer,
                self.trace_report()
            );
        }
        for (queue, message) in std::mem::take(&mut self.lost_messages) {
            self.note(&format!("{} is redriven", message.json()["type"]));
            self.shop.aws.queues().give_back(queue, message);
        }
        self.settle().await;
    }

    async fn sweep(&mut self) {
        let operation = if self.chance(50) { "resume-orders" } else { "reconcile-payments" };
        self.inject_faults();
        let called = self.shop.call(operation, json!({})).await;
        self.clear_faults();
        self.note(&format!("{operation}: {:?}", called.answer));
    }

    /// Sends the changes of one table to its publisher: some twice, some never.
    async fn publish(&mut self) {
        let table = TABLES[self.below(3) as usize];
        let operation = publisher_of(table);
        let before = self.positions.get(table).copied();
        let (records, position) =
            self.shop.aws.database().changes(&format!("ferrocart-{table}"), before);
        if records.is_empty() {
            return;
        }
        if self.chance(3) {
            self.note(&format!("{} changes of {table} are lost", records.len()));
            self.lost_changes.push((table, records));
            self.positions.insert(table, position);
            return;
        }
        self.inject_faults();
        let called = self.shop.call(&operation, json!({ "Records": records })).await;
        self.clear_faults();
        self.note(&format!(
            "{operation}: {} changes, {}",
            records.len(),
            if called.answer.is_ok() { "sent" } else { "failed" }
        ));
        // Failed batches are redelivered, and occasionally successful ones too.
        if called.answer.is_ok() && !self.chance(10) {
            self.positions.insert(table, position);
        }
    }

    /// Delivers a random message to its consumer: some twice, some never.
    async fn deliver(&mut self) {
        let first = self.below(QUEUES.len() as u64) as usize;
        let mut queues = (0..QUEUES.len()).map(|step| QUEUES[(first + step) % QUEUES.len()]);
        let Some(queue) = queues.find(|queue| !self.shop.aws.queues().waiting(queue).is_empty())
        else {
            return;
        };
        let operation = consumer_of(queue);
        let mut waiting = self.shop.aws.queues().take(queue, usize::MAX);
        let message = waiting.remove(self.below(waiting.len() as u64) as usize);
        for other in waiting {
            self.shop.aws.queues().give_back(queue, other);
        }
        let kind = message.json()["type"].clone();
        if self.chance(3) {
            self.note(&format!("{kind} is lost"));
            self.lost_messages.push((queue, message));
            return;
        }
        self.inject_faults();
        let called =
            self.shop.call(&operation, events::sqs(queue, std::slice::from_ref(&message))).await;
        self.clear_faults();
        let done =
            called.answer.as_ref().is_ok_and(|answer| answer["batchItemFailures"] == json!([]));
        let twice = self.chance(10);
        self.note(&format!(
            "{kind} to {operation}: {}{}",
            if done { "done" } else { "returned" },
            if twice { ", and again later" } else { "" }
        ));
        if !done || twice {
            self.shop.aws.queues().give_back(queue, message);
        }
    }

    /// Injects faults into some of the next calls, or occasionally into all calls after a certain
    /// one, as if the function had died.
    fn inject_faults(&mut self) {
        if self.chance(self.faults / 2) {
            let network = self.broken_network();
            self.shop.provider.set_network(network);
        }
        let kinds = [Fault::Throttle, Fault::LoseRequest, Fault::LoseResponse, Fault::Conflict];
        let dies_at = if self.chance(self.faults / 4) { self.below(6) } else { u64::MAX };
        for call in 0..12 {
            if call >= dies_at {
                self.shop.aws.fail(call as usize, Fault::LoseRequest);
            } else if self.chance(self.faults) {
                let kind = kinds[self.below(4) as usize];
                self.shop.aws.fail(call as usize, kind);
            }
        }
    }

    fn clear_faults(&self) {
        self.shop.aws.heal();
        self.shop.provider.set_network(self.network);
    }

    /// Delivers all pending changes and messages.
    async fn drain(&mut self) {
        for _ in 0..200 {
            let mut moved = false;
            for table in TABLES {
                let operation = publisher_of(table);
                let (records, position) = self
                    .shop
                    .aws
                    .database()
                    .changes(&format!("ferrocart-{table}"), self.positions.get(table).copied());
                self.positions.insert(table, position);
                if !records.is_empty() {
                    moved = true;
                    let called = self.shop.call(&operation, json!({ "Records": records })).await;
                    assert!(
                        called.answer.is_ok(),
                        "{operation}: {:?}\n{}",
                        called.answer,
                        self.trace_report()
                    );
                }
            }
            for queue in QUEUES {
                let messages = self.shop.aws.queues().take(queue, 10);
                if messages.is_empty() {
                    continue;
                }
                let called =
                    self.shop.call(&consumer_of(queue), events::sqs(queue, &messages)).await;
                let failed = called
                    .answer
                    .as_ref()
                    .map(|answer| answer["batchItemFailures"].to_string())
                    .unwrap_or_default();
                for message in messages {
                    // A message that cannot be processed yet (such as a mail whose sender may still
                    // be running) is redelivered later.
                    if failed.contains(&format!("\"{}\"", message.id)) {
                        self.shop.aws.queues().give_back(queue, message);
                    } else {
                        moved = true;
                    }
                }
            }
            if !moved {
                return;
            }
        }
        panic!("messages never end\n{}", self.trace_report());
    }

    /// The records and messages that are still pending.
    fn unsettled(&self) -> Vec<String> {
        let mut waiting = Vec::new();
        for table in ["orders", "payments"] {
            let due = self
                .shop
                .aws
                .items(table)
                .into_iter()
                .filter(|item| item.get("next_check_at").is_some());
            waiting.extend(due.map(|item| item.to_string()));
        }
        for queue in QUEUES {
            waiting.extend(
                self.shop.aws.queues().waiting(queue).into_iter().map(|message| message.body),
            );
        }
        waiting
    }

    fn trace_report(&self) -> String {
        format!(
            "SIMULATION_SEED={} ({} of 100 calls with faults)\n{}",
            self.seed, self.faults, self.trace
        )
    }
}

fn text(item: &Value, name: &str) -> String {
    item[name]["S"].as_str().unwrap_or_default().to_owned()
}

fn number(item: &Value, name: &str) -> i64 {
    item[name]["N"].as_str().and_then(|digits| digits.parse().ok()).unwrap_or_default()
}
