//! A shop with every record that an audit compares. The services write them with their own
//! functions and publishers.

use std::{sync::Arc, time::Duration};

use provider::statement::StatementReader;
use tests::shop::PAY_WITHIN;
use tokio::sync::OnceCell;

use super::*;

/// Longer than the grace period, so no change counts as in flight.
pub(super) const PAST_GRACE: Duration = Duration::from_secs(660);

/// A shop with every record that an audit compares.
pub(super) struct LedgerFixture {
    pub(super) shop: Shop,
    /// Paid and confirmed: two spoons and a bowl for 70.00.
    pub(super) confirmed: String,
    /// Paid, expired without an answer, and refunded.
    pub(super) refunded: String,
    /// Rejected: it exceeds the stock.
    pub(super) failed: String,
    /// Declined once, still payable.
    pub(super) open: String,
    /// The entries that were sent to the ledger.
    pub(super) entries: Vec<Value>,
}

impl Deref for LedgerFixture {
    type Target = Shop;

    fn deref(&self) -> &Shop {
        &self.shop
    }
}

impl LedgerFixture {
    /// The shop after the grace period. Only the open order is unsettled.
    pub(super) async fn past_grace() -> Self {
        let fixture = Self::fresh().await;
        fixture.clock.advance(PAST_GRACE);
        fixture
    }

    /// An independent copy of a shop whose orders are placed once for all tests.
    pub(super) async fn fresh() -> Self {
        static MODEL: OnceCell<(Shop, PlacedOrders)> = OnceCell::const_new();
        let model = MODEL.get_or_init(async || {
            let shop = Shop::new();
            let placed = place_orders(&shop).await;
            (shop, placed)
        });
        let (shop, ([confirmed, refunded, failed, open], entries)) = model.await;
        let (shop, [confirmed, refunded, failed, open], entries) =
            (shop.copy(), [confirmed, refunded, failed, open].map(String::clone), entries.clone());
        Self { shop, confirmed, refunded, failed, open, entries }
    }

    /// The same shop, where the ledger reads this provider statement, if any.
    pub(super) fn with_statement(self, statement: Option<Arc<dyn StatementReader>>) -> Self {
        Self { shop: self.shop.with_statement(statement), ..self }
    }

    pub(super) async fn report(&self, event: Value) -> Value {
        self.call("reconcile-ledger", event).await.ok().clone()
    }

    /// The ids of unbalanced orders and products.
    pub(super) async fn unbalanced(&self) -> BTreeSet<String> {
        unbalanced(&self.report(json!({})).await)
    }

    /// The only item that matches.
    pub(super) fn order_item(&self, order: &str) -> Value {
        self.item("orders", |item| item["pk"]["S"] == format!("ORDER#{order}"))
    }

    pub(super) fn item(&self, table: &str, which: impl Fn(&Value) -> bool) -> Value {
        let found: Vec<Value> =
            self.aws.items(table).into_iter().filter(|item| which(item)).collect();
        assert_eq!(found.len(), 1, "{found:#?}");
        found[0].clone()
    }
}

pub(super) fn unbalanced(report: &Value) -> BTreeSet<String> {
    let orders = report["unbalanced"].as_array().unwrap().iter().map(|row| text(&row["order_id"]));
    let products = report["products"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["state"] == "unbalanced")
        .map(|row| text(&row["product_id"]));
    orders.chain(products).collect()
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The unbalanced ids in a report on the failed order, if it is asked for. A failed order has no
/// movements, so only a request by its id reports it.
pub(super) async fn unbalanced_of(fixture: &LedgerFixture, failed: bool) -> BTreeSet<String> {
    if failed {
        unbalanced(&fixture.report(json!({ "order_id": fixture.failed })).await)
    } else {
        BTreeSet::new()
    }
}

/// The failed checks of an order or a product.
pub(super) fn checks(report: &Value, id: &str) -> BTreeSet<String> {
    let lists = ["unbalanced", "unsettled", "products"]
        .into_iter()
        .flat_map(|list| report[list].as_array().unwrap());
    let rows = lists.filter(|row| row["order_id"] == id || row["product_id"] == id);
    rows.flat_map(|row| row["findings"].as_array().unwrap())
        .map(|finding| text(&finding["check"]))
        .collect()
}

/// The ids of the orders of [`place_orders`], and the entries that were sent to the ledger.
type PlacedOrders = ([String; 4], Vec<Value>);

/// Places the four orders and settles all but the open one.
async fn place_orders(shop: &Shop) -> PlacedOrders {
    let mut harness = shop.harness();
    let adjust = async |key: &str, product: &str, body: Value| {
        assert_eq!(
            shop.call("adjust-stock", events::adjustment(key, product, &body)).await.status(),
            201
        );
    };
    for (product, name, cents, delta) in
        [(SPOON, "spoon", 2000, 100), (SPOON, "spoon", 2000, -10), (BOWL, "bowl", 3000, 50)]
    {
        adjust(&format!("{name}{delta}"), product, json!({ "delta": delta, "reason": "Count" }))
            .await;
        let price = json!({ "amount": cents, "currency": "USD" });
        let data = json!({ "product_id": product, "version": 1, "sku": name.to_uppercase(), "name": name, "category": "kitchen", "price": price, "max_per_order": 900, "active": true });
        let changed = events::message("product-changes", "product_changed.v1", &data);
        assert!(shop.call("replicate-product", changed).await.is_done());
    }

    // The stock of a fast-selling product is sharded, with the same ledger entries.
    adjust("divided", BOWL, json!({ "shard_count": 4, "reason": "It sells fast" })).await;

    let order = async |key: &str, spoons: u32, bowls: u32, token: &str| {
        let items = json!([{ "product_id": SPOON, "quantity": spoons }, { "product_id": BOWL, "quantity": bowls }]);
        let body = json!({ "items": items, "payment_method": { "type": "card", "token": token } });
        let called = shop.call("create-order", events::new_order(key, &body)).await;
        assert_eq!(called.status(), 201, "{:?}", called.answer);
        text(&called.json()["id"])
    };
    let confirmed = order("confirmed", 2, 1, "tok_ok").await;
    let refunded = order("refunded", 3, 2, "tok_timeout_after_charge").await;
    let failed = order("failed", 1, 900, "tok_ok").await;
    harness.drain_queues().await;

    // The payment deadline passes before the provider is queried. The query finds the charge, which
    // is refunded.
    shop.clock.advance(PAY_WITHIN);
    for _ in 0..4 {
        for sweep in ["resume-orders", "reconcile-payments"] {
            shop.call(sweep, json!({})).await.ok();
            harness.drain_queues().await;
        }
        shop.clock.advance(Duration::from_secs(3600));
    }
    let open = order("open", 1, 1, "tok_declined").await;
    harness.drain_queues().await;

    let states = |id: &str| {
        shop.aws
            .orders()
            .into_iter()
            .find(|item| item["pk"]["S"] == format!("ORDER#{id}"))
            .map(|item| (text(&item["status"]["S"]), text(&item["payment"]["S"])))
    };
    for (id, status, payment) in [
        (&confirmed, "confirmed", "paid"),
        (&refunded, "cancelled", "refunded"),
        (&failed, "failed", "closed"),
        (&open, "pending", "open"),
    ] {
        assert_eq!(states(id), Some((status.to_owned(), payment.to_owned())));
    }
    assert!(
        shop.aws.queues().waiting("record-entry-dead-letter").is_empty(),
        "the ledger accepts all entries"
    );
    let entries = harness
        .delivered
        .iter()
        .filter(|(queue, _)| *queue == "record-entry")
        .map(|(_, message)| message["data"].clone());
    ([confirmed, refunded, failed, open], entries.collect())
}
