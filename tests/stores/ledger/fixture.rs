//! A shop with all that an audit looks at: the services themselves write it, each by its own
//! functions and publishers.

use std::{sync::Arc, time::Duration};

use provider::statement::StatementReader;
use tests::shop::PAY_WITHIN;
use tokio::sync::OnceCell;

use super::*;

/// Longer than anything is on its way.
pub(super) const AT_REST: Duration = Duration::from_secs(660);

/// A shop with all that an audit looks at.
pub(super) struct LedgerFixture {
    pub(super) shop: Shop,
    /// Paid and confirmed: two spoons and a bowl for 70.00.
    pub(super) confirmed: String,
    /// Paid and never answered, expired, and refunded.
    pub(super) refunded: String,
    /// More than there is.
    pub(super) failed: String,
    /// Declined once; it can still be paid.
    pub(super) open: String,
    /// The messages that the ledger received.
    pub(super) told: Vec<Value>,
}

impl Deref for LedgerFixture {
    type Target = Shop;

    fn deref(&self) -> &Shop {
        &self.shop
    }
}

impl LedgerFixture {
    /// The world, long after everything in it has happened but for the order that is open.
    pub(super) async fn at_rest() -> Self {
        let world = Self::fresh().await;
        world.clock.advance(AT_REST);
        world
    }

    /// A world of one's own, copied from one whose trade is done once for all tests.
    pub(super) async fn fresh() -> Self {
        static MODEL: OnceCell<(Shop, Traded)> = OnceCell::const_new();
        let model = MODEL.get_or_init(async || {
            let shop = Shop::new();
            let traded = trade(&shop).await;
            (shop, traded)
        });
        let (shop, ([confirmed, refunded, failed, open], told)) = model.await;
        let (shop, [confirmed, refunded, failed, open], told) =
            (shop.copy(), [confirmed, refunded, failed, open].map(String::clone), told.clone());
        Self { shop, confirmed, refunded, failed, open, told }
    }

    /// The same world, where the ledger reads this statement of the provider, or none.
    pub(super) fn with_statement(self, statement: Option<Arc<dyn StatementReader>>) -> Self {
        Self { shop: self.shop.with_statement(statement), ..self }
    }

    pub(super) async fn report(&self, event: Value) -> Value {
        self.call("reconcile-ledger", event).await.ok().clone()
    }

    /// The ids of those that are named as broken.
    pub(super) async fn unbalanced(&self) -> BTreeSet<String> {
        unbalanced(&self.report(json!({})).await)
    }

    /// The one item that this is true of.
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

/// Those that are named where the order that never moved anything is asked for by its id.
pub(super) async fn unbalanced_of(world: &LedgerFixture, failed: bool) -> BTreeSet<String> {
    if failed {
        unbalanced(&world.report(json!({ "order_id": world.failed })).await)
    } else {
        BTreeSet::new()
    }
}

/// The checks that are named for an order or a product.
pub(super) fn checks(report: &Value, id: &str) -> BTreeSet<String> {
    let lists = ["unbalanced", "unsettled", "products"]
        .into_iter()
        .flat_map(|list| report[list].as_array().unwrap());
    let rows = lists.filter(|row| row["order_id"] == id || row["product_id"] == id);
    rows.flat_map(|row| row["findings"].as_array().unwrap())
        .map(|finding| text(&finding["check"]))
        .collect()
}

/// The orders of [`trade`], and the messages that the ledger received.
type Traded = ([String; 4], Vec<Value>);

/// Lets four buyers order, and everything come to rest.
async fn trade(shop: &Shop) -> Traded {
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

    // The stock of a fast-selling product is sharded: the ledger is the same.
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

    // The buyer's time is up before the provider is queried: the charge is found, and given
    // back.
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
            .find(|item| item["order_id"]["S"] == id)
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
        "the ledger can read what it is told"
    );
    let told = harness
        .delivered
        .iter()
        .filter(|(queue, _)| *queue == "record-entry")
        .map(|(_, message)| message["data"].clone());
    ([confirmed, refunded, failed, open], told.collect())
}
