//! A shop with one or two products and its orders, for the promises. It notes each event in a
//! trace, and each violation ends with that trace.

mod checks;
mod invariants;
mod ledger;
pub mod markets;
mod prices;
mod race;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt::Write,
    sync::{Arc, LazyLock},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::clock::{Clock, Timestamp};
use tests::{
    aws::{Aws, Called},
    dynamodb::{Defect, Item, WriteRequest, text},
    events,
    provider::ProviderDefect,
    rng::Rng,
    shop::{PAY_WITHIN, Shop, clock, consumer_of, publisher_of},
};

use self::prices::Accepted;

/// The queues of orders, then those of deleted accounts and of copies.
pub const QUEUES: [&str; 15] = [
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
    "update-buyer",
    "forget-recipient",
    "product-changes",
    "compile-market",
    "replicate-pricing",
];
/// The tables of orders, then those of accounts and prices. Their changes are published.
pub const TABLES: [&str; 6] = ["orders", "stock", "payments", "users", "products", "pricing"];
/// The price of the first product, in cents.
pub const PRICE: i64 = 2999;
/// The final state of an order whose charge request was lost, and which was cancelled before the
/// request was repeated.
pub const NOT_SENT_AGAIN: &str = ", its charge was lost and not sent again";

/// Rounds of deliveries, and failures of publishers, after which messages never end.
const MOST_ROUNDS: usize = 300;
/// Sweeps after which every order is settled.
const MOST_SWEEPS: usize = 40;

/// The consumer of each queue.
static CONSUMERS: LazyLock<BTreeMap<&str, String>> =
    LazyLock::new(|| QUEUES.into_iter().map(|queue| (queue, consumer_of(queue))).collect());
/// The publisher of each table.
static PUBLISHERS: LazyLock<BTreeMap<&str, String>> =
    LazyLock::new(|| TABLES.into_iter().map(|table| (table, publisher_of(table))).collect());

/// A defect that is injected into a shop. A promise must detect it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deviation {
    Write(Defect),
    Provider(ProviderDefect),
}

thread_local! {
    /// The defect of every shop that is built from now on.
    static DEFECT: RefCell<Option<Deviation>> = const { RefCell::new(None) };
    /// Whether the writes of shops are recorded.
    static IS_RECORDING: Cell<bool> = const { Cell::new(false) };
    /// The last shop that has a defect, or whose writes are recorded, and its calls until then.
    static OBSERVED: RefCell<Option<(Aws, usize)>> = const { RefCell::new(None) };
}

/// Gives every shop that is built from now on this defect, or none.
pub fn deviate(defect: Option<Deviation>) {
    DEFECT.set(defect);
}

/// Records the writes of every shop that is built from now on, or of none.
pub fn record(is_recording: bool) {
    IS_RECORDING.set(is_recording);
}

/// The writes of the last shop, each with the number of the call since the shop was built.
pub fn recorded() -> Vec<WriteRequest> {
    let Some((aws, before)) = OBSERVED.take() else { return Vec::new() };
    let mut writes = aws.database().recorded_writes();
    for write in &mut writes {
        write.call -= before;
    }
    writes
}

/// The number of writes of the last shop that its defect has changed.
pub fn effects() -> u64 {
    OBSERVED.take().map_or(0, |(aws, _)| aws.database().effects())
}

/// What a shop has before the first order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Setup {
    /// The quantity of each product.
    pub in_stock: u32,
    /// Whether the buyer has an account.
    pub has_accounts: bool,
    /// Whether there are markets, and a second product: see [`markets`].
    pub has_markets: bool,
}

/// An order that was placed.
pub struct Order {
    pub id: String,
    pub buyer: String,
    /// The price that the buyer has seen before; `None` if they have not asked for it.
    accepted: Option<Accepted>,
}

/// What the shop had recorded and sent before the first order.
#[derive(Clone, Copy)]
struct Before {
    notifications: usize,
    mails: usize,
}

pub struct Stage {
    pub shop: Shop,
    pub product: String,
    /// All products, of which `product` is the first.
    pub products: Vec<String>,
    pub orders: Vec<Order>,
    /// How the run is repeated: `SEED=17`.
    name: String,
    started: Timestamp,
    before: Before,
    positions: BTreeMap<&'static str, usize>,
    trace: String,
    /// Whether an outage exceeded the retention of the provider's idempotency keys.
    pub had_day_outage: bool,
    /// Mail commands that were not delivered yet.
    pub lost_mails: usize,
    /// Mails that faults may have repeated.
    repeated_mails: Cell<usize>,
    /// Why the orders may need a review at their end: a dispute. Otherwise empty.
    pub may_need_review: &'static str,
    /// When the buyer deleted their account.
    pub account_deleted_at: Option<Timestamp>,
    /// Whether the balances of the ledger are posted.
    pub posts_balances: bool,
    /// Decides which calls run at the same time, if any do.
    race: Option<Rng>,
}

impl Stage {
    /// A shop that is set up. Its buyers have accounts, and it has markets, only if a case needs
    /// them.
    pub async fn new(name: String, setup: Setup) -> Self {
        let (aws, products) = prepared(setup).await;
        let aws = aws.copy().lean();
        aws.watch(invariants::check);
        let defect = DEFECT.with_borrow(Clone::clone);
        if let Some(Deviation::Write(defect)) = &defect {
            aws.database().make(defect.clone());
        }
        if IS_RECORDING.get() {
            aws.database().record_writes();
        }
        if IS_RECORDING.get() || defect.is_some() {
            OBSERVED.set(Some((aws.clone(), aws.requests())));
        }
        let positions = TABLES.map(|table| (table, aws.database().latest_change(&full(table))));
        let started = clock().now();
        let notifications = aws.stored("notifications").len();
        let before = Before { notifications, mails: aws.mails().count() };
        let shop = Shop::over(aws, Clock::manual(started));
        if let Some(Deviation::Provider(defect)) = defect {
            shop.provider.make(defect);
        }
        Self {
            shop,
            product: products[0].clone(),
            products,
            orders: Vec::new(),
            name,
            started,
            before,
            positions: positions.into(),
            trace: String::new(),
            had_day_outage: false,
            lost_mails: 0,
            repeated_mails: Cell::new(0),
            may_need_review: "",
            account_deleted_at: None,
            posts_balances: false,
            race: None,
        }
    }

    /// Adds an order that was placed at a price that the buyer has not seen before.
    pub fn placed(&mut self, id: String, buyer: String) {
        self.orders.push(Order { id, buyer, accepted: None });
    }

    /// Adds a line to the trace: the time, what happened, and the faults that hit its calls.
    pub fn note(&mut self, what: &str) {
        let seconds = self.shop.clock.now().since(self.started).as_secs();
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let hits = self.take_hits().join(", ");
        let hits = if hits.is_empty() { hits } else { format!("  [{hits}]") };
        let _ = writeln!(self.trace, "  {hours:02}:{minutes:02}:{seconds:02}  {what}{hits}");
        if let Some(violation) = self.shop.aws.violation() {
            self.fail(&violation);
        }
    }

    /// The faults since the last call. Counts those after which a mail is sent again.
    fn take_hits(&self) -> Vec<String> {
        let hits = self.shop.aws.take_hits();
        let repeats_mail = |hit: &&String| {
            let (fault, call) = hit.split_once(" at ").unwrap_or_default();
            let has_effect = ["LoseResponse", "CrashAfter"].contains(&fault);
            call.starts_with("SendEmail") && has_effect
                || call == "UpdateItem notifications" && !has_effect
        };
        let repeated = hits.iter().filter(repeats_mail).count();
        self.repeated_mails.set(self.repeated_mails.get() + repeated);
        hits
    }

    /// The trace so far.
    pub fn trace(&self) -> &str {
        &self.trace
    }

    /// Ends the run with a violation.
    pub fn fail(&self, violation: &str) -> ! {
        panic!("{violation}\n{}\n{}", self.name, self.trace)
    }

    /// Ends the run unless `holds`.
    pub fn ensure(&self, holds: bool, violation: impl FnOnce() -> String) {
        if !holds {
            self.fail(&violation());
        }
    }

    pub fn advance_clock(&mut self, seconds: u64) {
        self.shop.clock.advance(Duration::from_secs(seconds));
    }

    /// Changes the price of the product in the copy of orders to this number of cents: the
    /// catalogue requires a price above 0.
    pub fn reprice(&mut self, cents: i64) {
        self.change_copy(&format!("the price is {cents}"), |copy| {
            copy["price"]["M"]["amount"]["N"] = cents.to_string().into();
        });
    }

    /// Makes the product a download, which the market `gb` sells without tax.
    pub fn sell_as_download(&mut self) {
        let mut document = events::pricing()["document"].clone();
        document["prices_include_tax"] = true.into();
        document["taxes"][0]["treatment"] = "zero".into();
        document["promotions"] = json!([]);
        let rules = json!({
            "pk": { "S": "PRICING#gb#GB" }, "market": { "S": "gb" }, "country": { "S": "GB" },
            "version": { "N": "1" }, "document": { "S": document.to_string() },
        });
        self.shop.aws.put("order-products", &rules);
        self.change_copy("the product is a download", |copy| {
            copy["requires_shipping"] = json!({ "BOOL": false });
        });
    }

    /// Changes the copy of the product in orders. No fault is injected, because the shop does not
    /// make this change.
    fn change_copy(&mut self, what: &str, change: impl FnOnce(&mut Value)) {
        let pk = format!("PRODUCT#{}", self.product);
        let copy = || {
            let mut copies = self.shop.aws.items("order-products").into_iter();
            copies.find(|item| item["pk"]["S"] == pk.as_str()).unwrap_or_default()
        };
        let mut changed = copy();
        let version = changed["version"]["N"].as_str().and_then(|version| version.parse().ok());
        changed["version"]["N"] = (version.unwrap_or(0_u64) + 1).to_string().into();
        change(&mut changed);
        self.shop.aws.put("order-products", &changed);
        self.ensure(copy() == changed, || format!("not changed: {what}"));
        self.note(what);
    }

    /// Sends a request once. It succeeds, is rejected, fails temporarily, or its function crashes.
    pub async fn request(&mut self, operation: &str, event: Value) -> Called {
        let called = if self.is_racing() {
            self.race_request(operation, event).await
        } else {
            self.shop.call(operation, event).await
        };
        let status = called.status();
        self.ensure(status < 500 || [502, 503].contains(&status), || {
            format!("{operation}: {:?}", called.answer)
        });
        called
    }

    /// Runs a scheduled operation once.
    pub async fn sweep(&mut self, operation: &str) {
        if self.is_racing() {
            return self.race_sweep(operation).await;
        }
        let called = self.shop.call(operation, json!({})).await;
        let answer = match &called.answer {
            Ok(answer) => answer.to_string(),
            Err(failure) => failure.message.clone(),
        };
        self.note(&format!("{operation}: {answer}"));
    }

    /// The unpublished changes of a table, and the position after them.
    pub fn changes(&self, table: &'static str) -> (Vec<Value>, usize) {
        self.shop.aws.database().changes(&full(table), self.positions.get(table).copied())
    }

    /// Whether a table has unpublished changes.
    pub fn has_changes(&self, table: &'static str) -> bool {
        self.shop.aws.database().latest_change(&full(table)) > self.positions[table]
    }

    /// Continues the stream of a table at this position.
    pub fn published(&mut self, table: &'static str, position: usize) {
        self.positions.insert(table, position);
    }

    /// Sends changes to the publisher of their table.
    pub async fn publish(&self, table: &'static str, records: &[Value]) -> Called {
        self.shop.call(&PUBLISHERS[table], json!({ "Records": records })).await
    }

    /// The name of the operation that consumes a queue.
    pub fn consumer(queue: &'static str) -> &'static str {
        &CONSUMERS[queue]
    }

    /// Delivers all pending changes and messages. Those that cannot be processed yet are left.
    pub async fn drain(&mut self) {
        self.drain_without("").await;
    }

    /// Delivers all pending changes and messages, except those of one queue.
    pub async fn drain_without(&mut self, delayed: &str) {
        for _ in 0..MOST_ROUNDS {
            if self.is_racing() {
                if !self.race_pending(delayed).await {
                    return;
                }
                continue;
            }
            let mut moved = false;
            for table in TABLES {
                moved |= self.publish_all(table).await;
            }
            for queue in QUEUES.into_iter().filter(|queue| *queue != delayed) {
                moved |= self.consume(queue).await;
            }
            if !moved {
                return;
            }
        }
        self.fail("messages never end");
    }

    async fn publish_all(&mut self, table: &'static str) -> bool {
        if !self.has_changes(table) {
            return false;
        }
        let (records, position) = self.changes(table);
        let called = self.publish(table, &records).await;
        if called.answer.is_ok() {
            self.published(table, position);
        } else {
            self.note(&format!("the publisher of {table} fails: {:?}", called.answer));
        }
        true
    }

    async fn consume(&mut self, queue: &'static str) -> bool {
        if self.shop.aws.queues().count(queue) == 0 {
            return false;
        }
        let messages = self.shop.aws.queues().take(queue, 10);
        let called = self.shop.call(Self::consumer(queue), events::sqs(queue, &messages)).await;
        let failed = called.answer.as_ref().map(|answer| answer["batchItemFailures"].to_string());
        if called.answer.is_err() || failed.as_ref().is_ok_and(|failed| failed != "[]") {
            self.note(&format!("{queue} is redelivered: {:?}", called.answer));
        }
        let mut moved = called.answer.is_err();
        for message in messages {
            let is_failed =
                failed.as_ref().map_or(true, |ids| ids.contains(&format!("\"{}\"", message.id)));
            if is_failed {
                self.shop.aws.queues().make_visible(queue, message);
            } else {
                moved = true;
            }
        }
        moved
    }

    /// Delivers everything and runs the schedules until nothing is pending. No buyer pays any more.
    pub async fn settle(&mut self) {
        for _ in 0..MOST_SWEEPS {
            self.drain().await;
            if self.is_settled() {
                return;
            }
            for operation in ["resume-orders", "reconcile-payments"] {
                self.sweep(operation).await;
            }
            self.drain().await;
            self.shop.clock.advance(PAY_WITHIN);
        }
        let pending = self.pending();
        self.fail(&format!("not settled: {pending:#?}"));
    }

    /// The orders, without the unpaid-order lists in the same table.
    pub fn stored_orders(&self) -> Vec<Arc<Item>> {
        let mut orders = self.shop.aws.stored("orders");
        orders.retain(|item| text(item, "pk").starts_with("ORDER#"));
        orders
    }

    /// Whether nothing is pending.
    pub fn is_settled(&self) -> bool {
        let is_due = |item: &Arc<Item>| item.contains_key("next_check_at");
        QUEUES.into_iter().all(|queue| self.shop.aws.queues().count(queue) == 0)
            && !TABLES.into_iter().any(|table| self.has_changes(table))
            && !["orders", "payments"]
                .into_iter()
                .any(|table| self.shop.aws.stored(table).iter().any(is_due))
    }

    /// The records and messages that are still pending.
    fn pending(&self) -> Vec<String> {
        let mut pending = Vec::new();
        for table in ["orders", "payments"] {
            let items = self.shop.aws.items(table).into_iter();
            let due = items.filter(|item| item.get("next_check_at").is_some());
            pending.extend(due.map(|item| item.to_string()));
        }
        for queue in QUEUES {
            let messages = self.shop.aws.queues().waiting(queue).into_iter();
            pending.extend(messages.map(|message| message.body));
        }
        pending
    }
}

thread_local! {
    /// The shops that [`prepared`] has built, and their products.
    static PREPARED: RefCell<BTreeMap<Setup, (Aws, Vec<String>)>> =
        const { RefCell::new(BTreeMap::new()) };
}

/// A shop that is set up, and the ids of its products. It is built once.
async fn prepared(setup: Setup) -> (Aws, Vec<String>) {
    if let Some(found) = PREPARED.with_borrow(|prepared| prepared.get(&setup).cloned()) {
        return found;
    }
    let shop = Shop::over(Aws::new(), clock());
    let mut products = vec![shop.product("teapot", PRICE, setup.in_stock).await];
    if setup.has_markets {
        products.push(markets::open(&shop, setup.in_stock).await);
    }
    if setup.has_accounts {
        shop.ada().await;
    }
    shop.harness().drain_queues().await;
    let made = (shop.aws, products);
    PREPARED.with_borrow_mut(|prepared| prepared.insert(setup, made.clone()));
    made
}

fn full(table: &str) -> String {
    format!("{}-{table}", tests::template::STACK)
}
