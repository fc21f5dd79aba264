//! What holds of the ledger: it reconciles with all records, and its balances are the sums of its
//! entries.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ledger::posting::POSTING_DELAY;
use serde_json::{Value, json};
use shared::clock::Timestamp;
use tests::dynamodb::{Attribute, Item, number, text};

use super::Stage;

/// Interval of the schedule. It is also the duration of a lease.
const STEP_SECONDS: u64 = 300;
/// Calls after which a run is complete.
const MOST_STEPS: usize = 40;

impl Stage {
    /// Checks the state after the redrive: every movement is in the ledger, and every buyer was
    /// notified. An audit of everything queries every shard of every index; otherwise each order
    /// is audited by its id.
    pub async fn check_ledger(&self, audits_everything: bool) {
        self.check_accounts();
        self.check_booked_prices();
        // Recent changes are not audited.
        self.shop.clock.advance(ledger::GRACE);
        let asked = if audits_everything {
            vec![json!({})]
        } else {
            self.orders.iter().map(|order| json!({ "order_id": order.id })).collect()
        };
        for event in asked {
            let report = self.audit(event).await;
            let all = (self.orders.len(), self.products.len());
            let checked = if audits_everything { all } else { (1, 0) };
            let is_checked =
                report["checked"] == checked.0 && report["products_checked"] == checked.1;
            self.ensure(is_checked, || format!("{report:#}"));
        }
        self.check_mails();
    }

    /// The report of an audit that finds nothing wrong.
    async fn audit(&self, event: Value) -> Value {
        let called = self.shop.call("reconcile-ledger", event).await;
        self.ensure(called.answer.is_ok(), || format!("{:?}", called.answer));
        let report = called.ok().clone();
        for named in ["unsettled", "unbalanced", "products", "not_checked"] {
            self.ensure(report[named] == json!([]), || format!("{named}: {}", report[named]));
        }
        report
    }

    /// Makes the entries of the orders old enough to be posted.
    pub fn wait_for_posting(&mut self) {
        self.posts_balances = true;
        self.shop.clock.advance(POSTING_DELAY + ledger::GRACE);
    }

    /// Runs the next step of the daily run, which posts entries to the balances of products.
    /// Returns whether the run is complete.
    pub async fn step_audit(&mut self) -> bool {
        let called = self.shop.call("reconcile-ledger", json!({ "source": "aws.events" })).await;
        let is_complete = called.answer.as_ref().is_ok_and(|report| {
            report["continuation"].is_null() && report["already_running"].is_null()
        });
        let outcome = if is_complete { "complete" } else { "continued later" };
        self.note(&format!("reconcile-ledger: {outcome}"));
        self.shop.clock.advance(Duration::from_secs(STEP_SECONDS));
        is_complete
    }

    /// Completes the daily run, and checks the balances that it has posted.
    pub async fn check_balances(&mut self) {
        let mut is_complete = false;
        for _ in 0..MOST_STEPS {
            is_complete = self.step_audit().await;
            if is_complete {
                break;
            }
        }
        self.ensure(is_complete, || format!("no run is complete after {MOST_STEPS} calls"));
        let (run, posting) = (self.progress("RUN"), self.progress("POSTING"));
        let posted_until = text(&posting, "posted_until");
        let until = text(&run, "until").parse::<Timestamp>().unwrap_or(self.started);
        let is_posted = posted_until.parse().is_ok_and(|posted: Timestamp| {
            posted.plus(POSTING_DELAY) == until && text(&posting, "pending_until").is_empty()
        });
        self.ensure(is_posted, || {
            format!("the run until {until} ended with the posting {posting:?}")
        });
        let mut stored = self.shop.aws.stored("ledger");
        stored.retain(|item| {
            text(item, "pk").starts_with("BALANCES#")
                && self.products.iter().any(|product| text(item, "sk") == product)
        });
        self.ensure(stored.len() == self.products.len(), || format!("the balances: {stored:?}"));
        let accounts = self.accounts(Some(posted_until));
        for bucket in ["on_hand", "shipped_out", "outside"] {
            let stored: i64 = stored.iter().map(|balance| number(balance, bucket)).sum();
            let sum = accounts.get(bucket).copied().unwrap_or_default();
            self.ensure(stored == sum, || {
                format!("the balance of {bucket} is {stored}, and the entries sum to {sum}")
            });
        }
        // The audit adds the entries since then to the balances.
        for product in &self.products {
            let report = self.audit(json!({ "product_id": product })).await;
            self.ensure(report["products_checked"] == 1, || format!("{report:#}"));
        }
    }

    /// The item `AUDIT` of this sort key; empty if it does not exist.
    fn progress(&self, sk: &str) -> Item {
        let items = self.shop.aws.stored("ledger");
        let mut of_audit = items.iter().filter(|item| text(item, "pk") == "AUDIT");
        of_audit
            .find(|item| text(item, "sk") == sk)
            .map(|item| (**item).clone())
            .unwrap_or_default()
    }

    /// The sum of each account over the entries that were recorded before a time, or over all. The
    /// balances of all products, and those of all orders, are added up.
    fn accounts(&self, before: Option<&str>) -> BTreeMap<String, i64> {
        let mut accounts = BTreeMap::new();
        let is_included = |entry: &Item| before.is_none_or(|time| text(entry, "recorded") < time);
        for entry in self.shop.aws.stored("ledger").iter().filter(|entry| is_included(entry)) {
            let mut units: BTreeMap<String, i64> = BTreeMap::new();
            // Amounts by unit and account.
            let lines = entry.get("lines").and_then(Attribute::members);
            for (unit, amounts) in lines.into_iter().flatten() {
                let Some(amounts) = amounts.members() else { continue };
                for account in amounts.keys() {
                    *accounts.entry(account.clone()).or_default() += number(amounts, account);
                    *units.entry(unit.clone()).or_default() += number(amounts, account);
                }
            }
            self.ensure(units.values().all(|sum| *sum == 0), || {
                format!("an entry of the ledger does not add up: {units:?}")
            });
        }
        accounts
    }

    /// Checks that the shop has earned what the provider keeps for each order, and that no funds of
    /// the order are left.
    fn check_sales(&self, charges: &BTreeMap<String, Arc<Item>>) {
        let ledger = self.shop.aws.stored("ledger");
        for order in &self.orders {
            let key = format!("ORDER#{}", order.id);
            let of_order = ledger.iter().filter(|entry| text(entry, "pk") == key);
            let (mut funds, mut earned) = (0, 0);
            for entry in of_order {
                let units = entry.get("lines").and_then(Attribute::members);
                let money = units.and_then(|units| units.get("USD")).and_then(Attribute::members);
                for (account, _) in money.into_iter().flatten() {
                    let amount = money.map_or(0, |money| number(money, account));
                    match account.as_str() {
                        "provider_clearing" => {}
                        "customer_funds" => funds += amount,
                        _ => earned -= amount,
                    }
                }
            }
            let charge = charges.get(&order.id).filter(|it| !it.contains_key("disputed"));
            let kept = charge.map_or(0, |charge| number(charge, "refundable"));
            self.ensure((funds, earned) == (0, kept), || {
                let id = &order.id;
                format!("{id}: the provider keeps {kept}, {earned} are earned and {funds} are left")
            });
        }
    }

    /// Checks the sums of the ledger's accounts.
    fn check_accounts(&self) {
        let accounts = self.accounts(None);
        let balance = |account: &str| accounts.get(account).copied().unwrap_or_default();
        // The bank holds the money of a disputed charge.
        let charges = self.charges();
        let held = charges.values().filter(|charge| !charge.contains_key("disputed"));
        let kept: i64 = held.map(|charge| number(charge, "refundable")).sum();
        let money = (balance("provider_clearing"), balance("customer_funds"));
        // The sale of an order moves its money from the funds to the revenue.
        self.ensure(money == (kept, 0), || {
            format!("the provider keeps {kept}, and the accounts are {accounts:?}")
        });
        self.check_sales(&charges);
        let (on_hand, available) = self.quantities();
        self.ensure(on_hand == available, || {
            format!("{on_hand} are on hand, and only {available} available")
        });
        let received = self.received();
        let buckets = ["on_hand", "shipped_out", "outside"].map(balance);
        self.ensure(buckets == [on_hand, received - on_hand, -received], || {
            format!("{on_hand} are on hand, and the accounts are {accounts:?}")
        });
    }
}
