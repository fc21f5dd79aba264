//! One schedule: what happens, in which order, and what must hold in the end.

mod outage;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    time::Duration,
};

use serde_json::{Value, json};
use tests::{
    aws::{Called, Fault},
    events,
    provider::Network,
    shop::{PAY_WITHIN, Shop},
    sqs::QueuedMessage,
};

const QUEUES: [(&str, &str); 10] = [
    ("order-events", "advance-order"),
    ("reserve-stock", "reserve-stock"),
    ("release-stock", "release-stock"),
    ("commit-stock", "commit-stock"),
    ("open-payment", "open-payment"),
    ("charge-payment", "charge-payment"),
    ("cancel-payment", "cancel-payment"),
    ("refund-payment", "refund-payment"),
    ("send-notification", "send-notification"),
    ("record-entry", "record-entry"),
];
const STREAMS: [(&str, &str); 3] =
    [("orders", "publish-order-events"), ("stock", "publish-stock-events"), ("payments", "publish-payment-events")];
const TOKENS: [&str; 11] = [
    "tok_ok",
    "tok_declined",
    "tok_insufficient_funds",
    "tok_timeout_after_charge",
    "tok_timeout_before_charge",
    "tok_5xx_then_ok",
    "tok_late_webhook",
    "tok_duplicate_webhook",
    "tok_3ds",
    "tok_3ds_declined",
    "tok_3ds_abandoned",
];
const PRICE: i64 = 2999;
/// How an order ends whose charge request did not arrive, and which was given up before it was sent again.
pub const NOT_SENT_AGAIN: &str = ", its charge was lost and not sent again";

/// A shop, some orders, and a generator that decides what happens to them.
pub struct Schedule {
    seed: u64,
    random: u64,
    shop: Shop,
    product: String,
    orders: Vec<String>,
    positions: BTreeMap<&'static str, Option<String>>,
    trace: String,
    payments: u32,
    /// What people of the shop did: each thing has a key of its own.
    errands: u32,
    /// How many calls of a hundred are spoiled while things go wrong.
    faults: u64,
    /// What happens to requests to the provider, until the schedule changes it.
    network: Network,
    /// Whether the provider was away for longer than it remembers idempotency keys.
    had_day_outage: bool,
    /// Changes that their publishers, and messages that their consumers were never given: they lie among the dead letters.
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
            errands: 0,
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
        schedule.shop.pump().settle().await;
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

    /// Everything goes wrong that can.
    pub async fn disturb(&mut self) {
        let orders = 1 + self.below(3);
        for number in 0..orders {
            self.place(number).await;
        }
        self.muddle_along(90).await;
        if self.chance(40) {
            self.outage(orders).await;
        }
    }

    /// What is confirmed is not over: it is sent, or given up, or given back, and everything goes wrong once more.
    pub async fn carry_on(&mut self) {
        if self.shop.aws.orders().iter().any(|order| text(order, "status") == "confirmed") {
            self.muddle_along(60).await;
        }
    }

    async fn muddle_along(&mut self, steps: u32) {
        for _ in 0..steps {
            match self.below(28) {
                0..7 => self.publish().await,
                7..16 => self.deliver().await,
                16 | 17 => self.pay().await,
                18 => self.sweep().await,
                19..22 => self.step().await,
                22 => self.give_back().await,
                23 => self.tell().await,
                24 => self.rearrange().await,
                25 => self.change_network(),
                26 if self.chance(15) => self.provider_is_away().await,
                26 => self.deliver_late_charges().await,
                _ => {
                    let seconds = [1, 10, 60, 60, 600][self.below(5) as usize];
                    self.pass(seconds);
                }
            }
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.shop.clock.advance(Duration::from_secs(seconds));
        self.note(&format!("{seconds} seconds pass"));
    }

    /// The faults end; what was sent arrives; the schedules run. Nothing else happens: nobody pays any more.
    pub async fn calm_down(&mut self) {
        self.network = Network::Up;
        self.heal();
        self.note("calm: the network to the provider is up");
        self.deliver_late_charges().await;
        for _ in 0..40 {
            self.drain().await;
            if self.unsettled().is_empty() {
                return;
            }
            for operation in ["resume-orders", "reconcile-payments"] {
                let called = self.shop.call(operation, json!({})).await;
                assert!(called.answer.is_ok(), "{operation}: {:?}\n{}", called.answer, self.story());
            }
            self.drain().await;
            self.shop.clock.advance(PAY_WITHIN);
        }
        panic!("not settled: {:#?}\n{}", self.unsettled(), self.story());
    }

    /// The promises. Answers how the orders ended.
    pub fn check(&self) -> Vec<String> {
        for (queue, _) in QUEUES {
            let rejected = self.shop.aws.queues().waiting(&format!("{queue}-dead-letter"));
            assert!(rejected.is_empty(), "the consumer of {queue} rejected messages: {rejected:#?}\n{}", self.story());
        }
        let unwanted = self.shop.provider.unwanted_charges();
        assert!(unwanted.is_empty(), "charged after the order was given up: {unwanted:#?}\n{}", self.story());
        let lost_charges: BTreeSet<String> = self.shop.provider.lost_charges().iter().map(|charge| charge.order_id.to_string()).collect();
        let orders = self.shop.aws.orders();
        assert_eq!(orders.len(), self.orders.len(), "an order was lost\n{}", self.story());
        let (books, payments) = (self.shop.aws.items("payment-simulator"), self.shop.aws.items("payments"));
        let mut sold = 0;
        let ends = orders.iter().map(|order| {
            let (id, status) = (text(order, "order_id"), text(order, "status"));
            let charges: Vec<&Value> =
                books.iter().filter(|item| text(item, "pk").starts_with("CHARGE#") && text(item, "order_id") == id).collect();
            let kept: i64 = charges.iter().map(|charge| number(charge, "refundable")).sum();
            let is_fulfilled = ["confirmed", "shipped", "delivered"].contains(&status.as_str());
            assert!(is_fulfilled || ["cancelled", "failed"].contains(&status.as_str()), "{id} is {status}\n{}", self.story());
            let of_it = payments.iter().filter(|item| text(item, "order_id") == id && text(item, "state") == "succeeded");
            let given_back: i64 = of_it.filter(|item| text(item, "kind") == "requested").map(|refund| number(refund, "amount")).sum();
            let due = if is_fulfilled { number(&order["totals"]["M"]["total"]["M"], "amount") - given_back } else { 0 };
            assert!(charges.len() <= 1, "{id} was charged {} times\n{}", charges.len(), self.story());
            assert_eq!(kept, due, "{id} is {status}, and the provider keeps {kept}\n{}", self.story());
            let is_clear = order["needs_attention"]["S"].is_null() || self.had_day_outage;
            assert!(is_clear, "{id} needs attention: {}\n{}", order["needs_attention"], self.story());
            if is_fulfilled {
                sold += number(order, "item_count");
            }
            let refunded = match charges.first() {
                Some(charge) if number(charge, "refundable") == 0 => ", refunded",
                Some(charge) if number(charge, "refundable") < number(charge, "amount") => ", refunded in part",
                None if lost_charges.contains(&id) => NOT_SENT_AGAIN,
                _ => "",
            };
            format!("{status}{refunded}")
        });
        let ends = ends.collect();
        let left = self.came_in() - sold;
        assert_eq!(self.figures(), (left, left), "the stock does not add up\n{}", self.story());
        // A message that is lost takes its mail with it; what was noted was sent, and now and then once more after a crash.
        let (noted, sent) = (self.shop.aws.items("notifications").len(), self.shop.aws.mails().mails().len());
        let lost = self.lost_messages.iter().filter(|(queue, _)| *queue == "send-notification").count();
        assert!(sent + lost >= noted, "{noted} mails were noted and {sent} sent\n{}", self.story());
        ends
    }

    /// Somebody puts back what lies among the dead letters: late, and on top of all that has made up for it since.
    pub async fn redrive(&mut self) {
        for (operation, records) in std::mem::take(&mut self.lost_changes) {
            self.note(&format!("{} changes are put back for {operation}", records.len()));
            let called = self.shop.call(operation, json!({ "Records": records })).await;
            assert!(called.answer.is_ok(), "{operation}: {:?}\n{}", called.answer, self.story());
        }
        for (queue, message) in std::mem::take(&mut self.lost_messages) {
            self.note(&format!("{} is put back", message.json()["type"]));
            self.shop.aws.queues().give_back(queue, message);
        }
        self.calm_down().await;
    }

    /// What holds once nothing is lost any more: everything that has moved is in the books, and every buyer has heard of it.
    pub async fn check_books(&self) {
        let (mut accounts, mut units): (BTreeMap<String, i64>, BTreeMap<String, i64>) = Default::default();
        for entry in self.shop.aws.items("ledger").iter().filter(|item| text(item, "pk").starts_with("ENTRY#")) {
            for line in entry["lines"]["L"].as_array().into_iter().flatten().map(|line| &line["M"]) {
                // `stock:<product>:<shelf>` and `customer_funds:<order>`: there is one product, and all orders are one sum.
                let account = text(line, "account");
                let account = account.strip_prefix(&format!("stock:{}:", self.product)).unwrap_or(account.split(':').next().unwrap());
                *accounts.entry(account.to_owned()).or_default() += number(line, "amount");
                *units.entry(text(line, "unit")).or_default() += number(line, "amount");
            }
        }
        assert!(units.values().all(|sum| *sum == 0), "the ledger does not add up: {units:?}\n{}", self.story());
        let balance = |account: &str| accounts.get(account).copied().unwrap_or_default();
        let books = self.shop.aws.items("payment-simulator");
        let kept: i64 = books.iter().filter(|item| text(item, "pk").starts_with("CHARGE#")).map(|item| number(item, "refundable")).sum();
        assert_eq!((balance("provider_clearing"), balance("customer_funds")), (kept, -kept), "{accounts:?}\n{}", self.story());
        let (on_hand, available) = self.figures();
        let sold = self.came_in() - on_hand;
        let shelves = ["available", "held", "shipped_out", "outside"].map(balance);
        assert_eq!(shelves, [available, 0, sold, -self.came_in()], "{accounts:?}\n{}", self.story());

        // What moved a moment ago is not judged.
        self.shop.clock.advance(ledger::GRACE);
        // Whatever there is now and then, as that looks into every shard of every index; otherwise each order alone.
        let finds_all = self.seed.is_multiple_of(4);
        let asked = if finds_all { vec![json!({})] } else { self.orders.iter().map(|order| json!({ "order_id": order })).collect() };
        for event in asked {
            let report = self.shop.call("reconcile-books", event).await;
            let report = report.ok();
            for named in ["unsettled", "broken", "products", "not_checked"] {
                assert_eq!(report[named], json!([]), "{named} in {report:#}\n{}", self.story());
            }
            let checked = if finds_all { (self.orders.len(), 1) } else { (1, 0) };
            assert_eq!((&report["checked"], &report["products_checked"]), (&json!(checked.0), &json!(checked.1)), "{report:#}");
        }

        let written: BTreeSet<(String, String)> =
            self.shop.aws.items("notifications").iter().map(|item| (text(item, "order_id"), text(item, "template"))).collect();
        for order in self.shop.aws.orders() {
            let (id, status) = (text(&order, "order_id"), text(&order, "status"));
            let due: &[&str] = match status.as_str() {
                "shipped" => &["order_confirmed", "order_shipped"],
                "delivered" => &["order_confirmed", "order_shipped", "order_delivered"],
                "confirmed" => &["order_confirmed"],
                "cancelled" => &["order_cancelled"],
                _ => &["order_failed"],
            };
            for template in due {
                assert!(written.contains(&(id.clone(), (*template).to_owned())), "{id}: nobody wrote {template}\n{}", self.story());
            }
        }
    }

    /// How many of the product were booked in, less those that were written off.
    fn came_in(&self) -> i64 {
        let items = self.shop.aws.items("stock");
        items.iter().filter(|item| text(item, "pk").starts_with("MOVE#")).map(|movement| number(movement, "delta")).sum()
    }

    /// How many there are on hand, and how many are available, in all parts together.
    fn figures(&self) -> (i64, i64) {
        let items = self.shop.aws.items("stock");
        let parts = items.iter().filter(|item| text(item, "pk").starts_with("STOCK#"));
        let parts = parts.map(|part| (number(part, "on_hand"), number(part, "available")));
        parts.fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1))
    }

    async fn place(&mut self, number: u64) {
        let quantity = 1 + self.below(3) as u32;
        let token = if self.chance(70) { Some(self.token()) } else { None };
        loop {
            let request = events::post("/orders", &events::basket(&self.product, quantity, token)).caller(events::USER);
            let request = request.header("idempotency-key", &format!("order-{number}"));
            let called = self.request("create-order", request.event()).await;
            if called.status() == 201 {
                let id = called.json()["id"].as_str().unwrap().to_owned();
                self.note(&format!("placed {id}: {quantity} with {token:?}"));
                self.orders.push(id);
                return;
            }
            assert_eq!(called.status(), 503, "{:?}\n{}", called.answer, self.story());
        }
    }

    /// A card: every other one is good.
    fn token(&mut self) -> &'static str {
        let chosen = self.below(2 * TOKENS.len() as u64) as usize;
        TOKENS.get(chosen).copied().unwrap_or(TOKENS[0])
    }

    async fn pay(&mut self) {
        let chosen = self.below(self.orders.len() as u64) as usize;
        let order = self.orders[chosen].clone();
        let token = self.token();
        // Now and then the same request again, as impatient clients do.
        if !self.chance(40) {
            self.payments += 1;
        }
        let body = json!({ "order_id": order, "payment_method": { "type": "card", "token": token } });
        let request =
            events::post("/payments", &body).caller(events::USER).header("idempotency-key", &format!("payment-{}", self.payments));
        let called = self.request("create-payment", request.event()).await;
        self.note(&format!("payment {} of {order} with {token}: {} {}", self.payments, called.status(), called.json()["code"]));
    }

    /// Somebody gives an order up, sends it, or hears that it has arrived.
    async fn step(&mut self) {
        let chosen = self.below(self.orders.len() as u64) as usize;
        let order = self.orders[chosen].clone();
        let status = self.shop.aws.orders().iter().find(|item| text(item, "order_id") == order).map(|item| text(item, "status"));
        // Mostly what comes next, and now and then what must not.
        let operation = match (status.unwrap_or_default().as_str(), self.below(20)) {
            ("confirmed", 0..12) | ("shipped", 0) | ("pending", 0) => "ship-order",
            ("shipped", 1..16) | ("confirmed", 12) | ("pending", 1) => "deliver-order",
            ("confirmed" | "shipped", _) | (_, 2) => "cancel-order",
            _ => return,
        };
        let request = events::post("/orders", &json!({ "carrier": "Royal Mail", "tracking": "RM1" })).caller(events::ADMIN);
        let request = if operation == "ship-order" { request } else { request.body("") };
        let called = self.request(operation, request.path_parameter("order_id", &order).event()).await;
        self.note(&format!("{operation} of {order}: {} {}", called.status(), called.json()["code"]));
    }

    /// An operator gives back a payment, or a part of it.
    async fn give_back(&mut self) {
        let Some(payment) = self.any_payment() else { return };
        // Now and then the same request again.
        if !self.chance(30) {
            self.errands += 1;
        }
        let cents = [None, Some(1000), Some(1000), Some(PRICE)][self.below(4) as usize];
        let mut body = json!({ "reason": "The lid was broken" });
        if let Some(cents) = cents {
            body["amount"] = json!({ "amount": cents, "currency": "USD" });
        }
        let request = events::post("/refunds", &body).caller(events::ADMIN).path_parameter("payment_id", &payment);
        let request = request.header("idempotency-key", &format!("refund-{}", self.errands));
        let called = self.request("create-refund", request.event()).await;
        self.note(&format!("refund {} of {payment}, {cents:?}: {} {}", self.errands, called.status(), called.json()["code"]));
    }

    /// The provider tells of a payment, whether there is news of it or not.
    async fn tell(&mut self) {
        let Some(payment) = self.any_payment() else { return };
        let event_id = format!("evt_{}", self.below(8));
        let event = events::webhook(self.shop.aws.secrets_manager(), self.shop.clock.now(), &event_id, &payment);
        let called = self.request("receive-payment-webhook", event).await;
        self.note(&format!("{event_id} tells of {payment}: {} {}", called.status(), called.json()["code"]));
        assert!([200, 503].contains(&called.status()), "{:?}\n{}", called.answer, self.story());
    }

    /// Goods come in or are written off, and the stock of the product is divided otherwise.
    async fn rearrange(&mut self) {
        self.errands += 1;
        let mut body = json!({ "reason": "It sells fast" });
        let kinds = self.below(3);
        if kinds < 2 {
            body["shards"] = (1 + self.below(4)).into();
        }
        if kinds > 0 {
            body["delta"] = [-1, 1, 2][self.below(3) as usize].into();
        }
        let request = events::post("/inventory", &body).caller(events::ADMIN).path_parameter("product_id", &self.product);
        let request = request.header("idempotency-key", &format!("movement-{}", self.errands));
        let called = self.request("adjust-stock", request.event()).await;
        self.note(&format!("the stock, {body}: {} {}", called.status(), called.json()["code"]));
    }

    /// A payment that somebody has tried to make, if there is one.
    fn any_payment(&mut self) -> Option<String> {
        let items = self.shop.aws.items("payments");
        let attempts: Vec<&Value> = items.iter().filter(|item| text(item, "sk").starts_with("ATTEMPT#")).collect();
        if attempts.is_empty() {
            return None;
        }
        Some(text(attempts[self.below(attempts.len() as u64) as usize], "payment_id"))
    }

    /// A request, some of whose calls are spoiled: it is answered, or is to be made again.
    async fn request(&mut self, operation: &str, event: Value) -> Called {
        self.spoil();
        let called = self.shop.call(operation, event).await;
        self.heal();
        let status = called.status();
        assert!(status < 500 || status == 503, "{operation}: {:?}\n{}", called.answer, self.story());
        called
    }

    async fn sweep(&mut self) {
        let operation = if self.chance(50) { "resume-orders" } else { "reconcile-payments" };
        self.spoil();
        let called = self.shop.call(operation, json!({})).await;
        self.heal();
        self.note(&format!("{operation}: {:?}", called.answer));
    }

    /// The changes of one table go to its publisher: some twice, some never.
    async fn publish(&mut self) {
        let (table, operation) = STREAMS[self.below(3) as usize];
        let before = self.positions.get(table).cloned().flatten();
        let (records, position) = self.shop.aws.database().changes(&format!("ferrocart-{table}"), before.clone());
        if records.is_empty() {
            return;
        }
        if self.chance(3) {
            self.note(&format!("{} changes of {table} are lost", records.len()));
            self.lost_changes.push((operation, records));
            self.positions.insert(table, Some(position));
            return;
        }
        self.spoil();
        let called = self.shop.call(operation, json!({ "Records": records })).await;
        self.heal();
        self.note(&format!("{operation}: {} changes, {}", records.len(), if called.answer.is_ok() { "sent" } else { "failed" }));
        // What fails is given again; now and then so is what did not.
        if called.answer.is_ok() && !self.chance(10) {
            self.positions.insert(table, Some(position));
        }
    }

    /// One message, whichever, goes to its consumer: some twice, some never.
    async fn deliver(&mut self) {
        let first = self.below(QUEUES.len() as u64) as usize;
        let Some((queue, operation)) = (0..QUEUES.len())
            .map(|step| QUEUES[(first + step) % QUEUES.len()])
            .find(|(queue, _)| !self.shop.aws.queues().waiting(queue).is_empty())
        else {
            return;
        };
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
        self.spoil();
        let called = self.shop.call(operation, events::sqs(queue, std::slice::from_ref(&message))).await;
        self.heal();
        let done = called.answer.as_ref().is_ok_and(|answer| answer["batchItemFailures"] == json!([]));
        let twice = self.chance(10);
        self.note(&format!(
            "{kind} to {operation}: {}{}",
            if done { "done" } else { "given back" },
            if twice { ", and again later" } else { "" }
        ));
        if !done || twice {
            self.shop.aws.queues().give_back(queue, message);
        }
    }

    /// Spoils some of the next calls; now and then all from one on, as if the function had died there.
    fn spoil(&mut self) {
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

    fn heal(&self) {
        self.shop.aws.heal();
        self.shop.provider.set_network(self.network);
    }

    /// Everything under way arrives.
    async fn drain(&mut self) {
        for _ in 0..200 {
            let mut moved = false;
            for (table, operation) in STREAMS {
                let (records, position) =
                    self.shop.aws.database().changes(&format!("ferrocart-{table}"), self.positions.get(table).cloned().flatten());
                self.positions.insert(table, Some(position));
                if !records.is_empty() {
                    moved = true;
                    let called = self.shop.call(operation, json!({ "Records": records })).await;
                    assert!(called.answer.is_ok(), "{operation}: {:?}\n{}", called.answer, self.story());
                }
            }
            for (queue, operation) in QUEUES {
                let messages = self.shop.aws.queues().take(queue, 10);
                if messages.is_empty() {
                    continue;
                }
                let called = self.shop.call(operation, events::sqs(queue, &messages)).await;
                let failed = called.answer.as_ref().map(|answer| answer["batchItemFailures"].to_string()).unwrap_or_default();
                for message in messages {
                    // What is not possible yet (a mail whose sender may still be at work) is asked for again after a while.
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
        panic!("messages without end\n{}", self.story());
    }

    /// What still waits for something.
    fn unsettled(&self) -> Vec<String> {
        let mut waiting = Vec::new();
        for table in ["orders", "payments"] {
            let due = self.shop.aws.items(table).into_iter().filter(|item| item.get("check_at").is_some());
            waiting.extend(due.map(|item| item.to_string()));
        }
        for (queue, _) in QUEUES {
            waiting.extend(self.shop.aws.queues().waiting(queue).into_iter().map(|message| message.body));
        }
        waiting
    }

    fn story(&self) -> String {
        format!("SIMULATION_SEED={} ({} of 100 calls spoiled)\n{}", self.seed, self.faults, self.trace)
    }
}

fn text(item: &Value, name: &str) -> String {
    item[name]["S"].as_str().unwrap_or_default().to_owned()
}

fn number(item: &Value, name: &str) -> i64 {
    item[name]["N"].as_str().and_then(|digits| digits.parse().ok()).unwrap_or_default()
}
