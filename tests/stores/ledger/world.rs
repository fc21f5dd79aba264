//! A shop with all that an audit looks at: the services themselves write it, each by its own functions and publishers.

use std::{sync::Arc, time::Duration};

use inventory::operations::{
    adjust_stock::adjust_stock, commit_stock::commit_stock, publish_stock_events, release_stock::release_stock,
    reserve_stock::reserve_stock,
};
use ledger::operations::reconcile_books::reconcile_books;
use orders::operations::{
    advance_order::advance_order, create_order::create_order, publish_order_events, replicate_product::replicate_product,
    resume_orders::resume_orders,
};
use payments::operations::{
    cancel_payment::cancel_payment, charge_payment::charge_payment, open_payment::open_payment, publish_payment_events,
    reconcile_payments::reconcile_payments, refund_payment::refund_payment,
};
use serde_json::{Value, json};
use shared::{clock::Clock, http, invoke, lambda::Lambda, queue, stream};
use tests::{pump::Pump, shop::PAY_WITHIN};
use tokio::sync::OnceCell;

use super::*;

/// Longer than anything is on its way.
pub(super) const AT_REST: Duration = Duration::from_secs(660);

/// A shop with all that an audit looks at.
pub(super) struct World {
    pub(super) aws: Aws,
    pub(super) clock: Clock,
    pub(super) record: Lambda,
    pub(super) audit: Lambda,
    /// Paid and confirmed: two spoons and a bowl for 70.00.
    pub(super) confirmed: String,
    /// Paid and never answered, expired, and given back.
    pub(super) refunded: String,
    /// More than there is.
    pub(super) failed: String,
    /// Declined once; it can still be paid.
    pub(super) open: String,
    /// What the ledger was told.
    pub(super) told: Vec<Value>,
}

fn lambda_of(aws: &Aws, service: &Arc<inventory::Inventory>, queue: &str) -> Lambda {
    let source = aws.queue(queue);
    match queue {
        "reserve-stock" => queue::lambda(service.clone(), reserve_stock, source),
        "release-stock" => queue::lambda(service.clone(), release_stock, source),
        _ => queue::lambda(service.clone(), commit_stock, source),
    }
}

fn recorder_at(aws: &Aws, clock: &Clock) -> Lambda {
    queue::lambda(Arc::new(ledger_over(&|name| aws.table(name), clock, None)), record_entry, aws.queue("record-entry"))
}

impl World {
    /// The world, long after everything in it has happened but for the order that is open.
    pub(super) async fn at_rest() -> Self {
        let world = Self::fresh().await;
        world.clock.advance(AT_REST);
        world
    }

    /// A world of one's own, copied from one whose trade is done once for all tests.
    pub(super) async fn fresh() -> Self {
        static MODEL: OnceCell<(Aws, Clock, Traded)> = OnceCell::const_new();
        let (aws, clock, ([confirmed, refunded, failed, open], told)) = MODEL
            .get_or_init(async || {
                let (aws, clock) = (Aws::new(), shop::clock());
                let traded = trade(&aws, &clock, &recorder_at(&aws, &clock)).await;
                (aws, clock, traded)
            })
            .await
            .clone();
        let (aws, clock) = (aws.copy(), Clock::manual(clock.now()));
        let statement = provider::SimulatedStatement::new(aws.table("payment-simulator"));
        let audit = invoke::lambda(Arc::new(ledger_over(&|name| aws.table(name), &clock, Some(Arc::new(statement)))), reconcile_books);
        Self { record: recorder_at(&aws, &clock), aws, clock, audit, confirmed, refunded, failed, open, told }
    }

    pub(super) async fn report(&self, event: Value) -> Value {
        self.aws.call(&self.audit, event).await.ok().clone()
    }

    /// The ids of those that are named as broken.
    pub(super) async fn broken(&self) -> BTreeSet<String> {
        broken(&self.report(json!({})).await)
    }

    /// The one item that this is true of.
    pub(super) fn item(&self, table: &str, which: impl Fn(&Value) -> bool) -> Value {
        let found: Vec<Value> = self.aws.items(table).into_iter().filter(|item| which(item)).collect();
        assert_eq!(found.len(), 1, "{found:#?}");
        found[0].clone()
    }
}

pub(super) fn broken(report: &Value) -> BTreeSet<String> {
    let orders = report["broken"].as_array().unwrap().iter().map(|row| text(&row["order_id"]));
    let products = report["products"].as_array().unwrap().iter().filter(|row| row["state"] == "broken").map(|row| text(&row["product_id"]));
    orders.chain(products).collect()
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Those that are named where the order that never moved anything is asked for by its id.
pub(super) async fn broken_of(world: &World, failed: bool) -> BTreeSet<String> {
    if failed { broken(&world.report(json!({ "order_id": world.failed })).await) } else { BTreeSet::new() }
}

/// The checks that are named for an order or a product.
pub(super) fn checks(report: &Value, id: &str) -> BTreeSet<String> {
    let lists = ["broken", "unsettled", "products"].into_iter().flat_map(|list| report[list].as_array().unwrap());
    let rows = lists.filter(|row| row["order_id"] == id || row["product_id"] == id);
    rows.flat_map(|row| row["findings"].as_array().unwrap()).map(|finding| text(&finding["check"])).collect()
}

/// The orders of [`trade`], and what the ledger was told.
type Traded = ([String; 4], Vec<Value>);

/// Lets four buyers order, and everything come to rest.
async fn trade(aws: &Aws, clock: &Clock, record: &Lambda) -> Traded {
    let inventory = Arc::new(shop::inventory(aws, clock));
    let orders = Arc::new(shop::orders(aws, clock));
    let payments = Arc::new(shop::payments(aws, clock));
    let source = |name: &str| aws.queue(name);
    let mut pump = Pump::new(aws)
        .publisher("stock", {
            use publish_stock_events::{PUBLISHED, QUEUES};
            stream::lambda("publish-stock-events", PUBLISHED, inventory::publish::messages, aws.sender(QUEUES, "publish-stock-dead-letter"))
        })
        .publisher("orders", {
            use publish_order_events::{PUBLISHED, QUEUES};
            stream::lambda("publish-order-events", PUBLISHED, orders::publish::messages, aws.sender(QUEUES, "publish-order-dead-letter"))
        })
        .publisher("payments", {
            use publish_payment_events::{PUBLISHED, QUEUES};
            stream::lambda(
                "publish-payment-events",
                PUBLISHED,
                payments::publish::messages,
                aws.sender(QUEUES, "publish-payment-dead-letter"),
            )
        })
        .consumer("record-entry", record.clone())
        .consumer("order-events", queue::lambda(orders.clone(), advance_order, source("order-events")))
        .consumer("open-payment", queue::lambda(payments.clone(), open_payment, source("open-payment")))
        .consumer("charge-payment", queue::lambda(payments.clone(), charge_payment, source("charge-payment")))
        .consumer("cancel-payment", queue::lambda(payments.clone(), cancel_payment, source("cancel-payment")))
        .consumer("refund-payment", queue::lambda(payments.clone(), refund_payment, source("refund-payment")));
    for queue in ["reserve-stock", "release-stock", "commit-stock"] {
        pump = pump.consumer(queue, lambda_of(aws, &inventory, queue));
    }

    let adjust = http::lambda(inventory.clone(), adjust_stock);
    let replicate = queue::lambda(orders.clone(), replicate_product, source("product-changes"));
    for (product, name, cents, delta) in [(SPOON, "spoon", 2000, 100), (SPOON, "spoon", 2000, -10), (BOWL, "bowl", 3000, 50)] {
        let request = events::post(&format!("/inventory/{product}/adjustments"), &json!({ "delta": delta, "reason": "Count" }));
        let request =
            request.path_parameter("product_id", product).caller(events::ADMIN).header("idempotency-key", &format!("{name}{delta}"));
        assert_eq!(aws.call(&adjust, request.event()).await.status(), 201);
        let price = json!({ "amount": cents, "currency": "USD" });
        let data = json!({ "product_id": product, "version": 1, "sku": name.to_uppercase(), "name": name, "category": "kitchen", "price": price, "max_per_order": 900, "active": true });
        assert!(is_done(&aws.call(&replicate, events::message("product-changes", "product_changed.v1", &data)).await));
    }

    // What sells fast is divided: the books are the same.
    let request = events::post(&format!("/inventory/{BOWL}/adjustments"), &json!({ "shards": 4, "reason": "It sells fast" }));
    let request = request.path_parameter("product_id", BOWL).caller(events::ADMIN).header("idempotency-key", "divided");
    assert_eq!(aws.call(&adjust, request.event()).await.status(), 201);

    let place = http::lambda(orders.clone(), create_order);
    let order = async |key: &str, spoons: u32, bowls: u32, token: &str| {
        let items = json!([{ "product_id": SPOON, "quantity": spoons }, { "product_id": BOWL, "quantity": bowls }]);
        let body = json!({ "items": items, "payment_method": { "type": "card", "token": token } });
        let called = aws.call(&place, events::post("/orders", &body).caller(events::USER).header("idempotency-key", key).event()).await;
        assert_eq!(called.status(), 201, "{:?}", called.answer);
        text(&called.json()["id"])
    };
    let confirmed = order("confirmed", 2, 1, "tok_ok").await;
    let refunded = order("refunded", 3, 2, "tok_timeout_after_charge").await;
    let failed = order("failed", 1, 900, "tok_ok").await;
    pump.settle().await;

    // The buyer's time is up before anybody has asked the provider: the charge is found, and given back.
    let resume = invoke::lambda(orders.clone(), resume_orders);
    let reconcile = invoke::lambda(payments.clone(), reconcile_payments);
    clock.advance(PAY_WITHIN);
    for _ in 0..4 {
        for sweep in [&resume, &reconcile] {
            aws.call(sweep, json!({})).await.ok();
            pump.settle().await;
        }
        clock.advance(Duration::from_secs(3600));
    }
    let open = order("open", 1, 1, "tok_declined").await;
    pump.settle().await;

    let states = |id: &str| {
        aws.orders()
            .into_iter()
            .find(|item| item["order_id"]["S"] == id)
            .map(|item| (text(&item["status"]["S"]), text(&item["payment"]["S"])))
    };
    for (id, status, payment) in
        [(&confirmed, "confirmed", "paid"), (&refunded, "cancelled", "refunded"), (&failed, "failed", "closed"), (&open, "pending", "open")]
    {
        assert_eq!(states(id), Some((status.to_owned(), payment.to_owned())));
    }
    assert!(aws.queues().waiting("record-entry-dead-letter").is_empty(), "the ledger can read what it is told");
    let told = pump.delivered.iter().filter(|(queue, _)| *queue == "record-entry").map(|(_, message)| message["data"].clone());
    ([confirmed, refunded, failed, open], told.collect())
}
