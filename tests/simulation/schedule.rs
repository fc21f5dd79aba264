//! One schedule: what happens, in which order, and what must hold in the end.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use serde_json::{Value, json};
use tests::{
    aws::Fault,
    events,
    shop::{PAY_WITHIN, Shop},
};

const QUEUES: [(&str, &str); 9] = [
    ("order-events", "advance-order"),
    ("reserve-stock", "reserve-stock"),
    ("release-stock", "release-stock"),
    ("commit-stock", "commit-stock"),
    ("open-payment", "open-payment"),
    ("charge-payment", "charge-payment"),
    ("cancel-payment", "cancel-payment"),
    ("refund-payment", "refund-payment"),
    ("send-notification", "send-notification"),
];
const STREAMS: [(&str, &str); 3] =
    [("orders", "publish-order-events"), ("stock", "publish-stock-events"), ("payments", "publish-payment-events")];
const TOKENS: [&str; 6] =
    ["tok_ok", "tok_declined", "tok_insufficient_funds", "tok_timeout_after_charge", "tok_timeout_before_charge", "tok_5xx_then_ok"];
const PRICE: i64 = 2999;

/// A shop, some orders, and a generator that decides what happens to them.
pub struct Schedule {
    seed: u64,
    random: u64,
    shop: Shop,
    product: String,
    in_stock: i64,
    orders: Vec<String>,
    positions: BTreeMap<&'static str, Option<String>>,
    trace: String,
    payments: u32,
    /// How many calls of a hundred are spoiled while things go wrong.
    faults: u64,
    /// Messages to the buyers that were lost for good: nothing asks for them again.
    lost_mails: usize,
}

impl Schedule {
    pub async fn new(seed: u64) -> Self {
        let shop = Shop::new();
        let mut schedule = Self {
            seed,
            random: seed,
            in_stock: 0,
            product: String::new(),
            orders: Vec::new(),
            positions: BTreeMap::new(),
            trace: String::new(),
            payments: 0,
            faults: 0,
            lost_mails: 0,
            shop,
        };
        schedule.in_stock = 1 + schedule.below(8) as i64;
        schedule.faults = schedule.below(41);
        schedule.product = schedule.shop.product("teapot", PRICE, u32::try_from(schedule.in_stock).unwrap()).await;
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
        let orders = 1 + self.below(4);
        for number in 0..orders {
            self.place(number).await;
        }
        for _ in 0..120 {
            match self.below(20) {
                0..7 => self.publish().await,
                7..15 => self.deliver().await,
                15 | 16 => self.pay().await,
                17 => self.sweep().await,
                _ => {
                    let seconds = [1, 30, 60, 600][self.below(4) as usize];
                    self.shop.clock.advance(Duration::from_secs(seconds));
                    self.note(&format!("{seconds} seconds pass"));
                }
            }
        }
    }

    /// The faults end; what was sent arrives; the schedules run. Nothing else happens: nobody pays any more.
    pub async fn calm_down(&mut self) {
        for _ in 0..40 {
            self.shop.aws.heal();
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
        let orders = self.shop.aws.items("orders");
        assert_eq!(orders.len(), self.orders.len(), "an order was lost\n{}", self.story());
        let books = self.shop.aws.items("payment-simulator");
        let mut sold = 0;
        let ends = orders.iter().map(|order| {
            let (id, status) = (text(order, "order_id"), text(order, "status"));
            let charges: Vec<&Value> =
                books.iter().filter(|item| text(item, "pk").starts_with("CHARGE#") && text(item, "order_id") == id).collect();
            let kept: i64 = charges.iter().map(|charge| number(charge, "refundable")).sum();
            let due = if status == "confirmed" { number(&order["totals"]["M"]["total"]["M"], "amount") } else { 0 };
            assert!(charges.len() <= 1, "{id} was charged {} times\n{}", charges.len(), self.story());
            assert_eq!(kept, due, "{id} is {status}, and the provider keeps {kept}\n{}", self.story());
            assert!(["confirmed", "cancelled", "failed"].contains(&status.as_str()), "{id} is {status}\n{}", self.story());
            if status == "confirmed" {
                sold += number(order, "item_count");
            }
            let refunded = charges.iter().any(|charge| number(charge, "refundable") == 0);
            format!("{status}{}", if refunded { ", refunded" } else { "" })
        });
        let ends = ends.collect();
        let stock = self.shop.aws.items("stock").into_iter().find(|item| text(item, "pk").starts_with("STOCK#")).unwrap();
        let figures = (number(&stock, "on_hand"), number(&stock, "available"));
        assert_eq!(figures, (self.in_stock - sold, self.in_stock - sold), "the stock does not add up\n{}", self.story());
        // A message that is lost for good takes its mail with it; what was noted was sent, and now and then once more after a crash.
        let (noted, sent) = (self.shop.aws.items("notifications").len(), self.shop.aws.mails().mails().len());
        assert!(sent + self.lost_mails >= noted, "{noted} mails were noted and {sent} sent\n{}", self.story());
        ends
    }

    async fn place(&mut self, number: u64) {
        let quantity = 1 + self.below(3) as u32;
        let token = if self.chance(70) { Some(TOKENS[self.below(TOKENS.len() as u64) as usize]) } else { None };
        loop {
            self.spoil();
            let called = self.shop.order(&format!("order-{number}"), &self.product, quantity, token).await;
            self.shop.aws.heal();
            if called.status() == 201 {
                let id = called.json()["id"].as_str().unwrap().to_owned();
                self.note(&format!("placed {id}: {quantity} with {token:?}"));
                self.orders.push(id);
                return;
            }
            assert_eq!(called.status(), 503, "{:?}\n{}", called.answer, self.story());
        }
    }

    async fn pay(&mut self) {
        let chosen = self.below(self.orders.len() as u64) as usize;
        let order = self.orders[chosen].clone();
        let token = TOKENS[self.below(TOKENS.len() as u64) as usize];
        // Now and then the same request again, as impatient clients do.
        if !self.chance(40) {
            self.payments += 1;
        }
        let body = json!({ "order_id": order, "payment_method": { "type": "card", "token": token } });
        let request =
            events::post("/payments", &body).caller(events::USER).header("idempotency-key", &format!("payment-{}", self.payments));
        self.spoil();
        let called = self.shop.call("create-payment", request.event()).await;
        self.shop.aws.heal();
        self.note(&format!("payment {} of {order} with {token}: {} {}", self.payments, called.status(), called.json()["code"]));
        let status = called.status();
        assert!(status < 500 || status == 503, "{:?}\n{}", called.answer, self.story());
    }

    async fn sweep(&mut self) {
        let operation = if self.chance(50) { "resume-orders" } else { "reconcile-payments" };
        self.spoil();
        let called = self.shop.call(operation, json!({})).await;
        self.shop.aws.heal();
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
            self.positions.insert(table, Some(position));
            return;
        }
        self.spoil();
        let called = self.shop.call(operation, json!({ "Records": records })).await;
        self.shop.aws.heal();
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
            self.lost_mails += usize::from(queue == "send-notification");
            return;
        }
        self.spoil();
        let called = self.shop.call(operation, events::sqs(queue, std::slice::from_ref(&message))).await;
        self.shop.aws.heal();
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
