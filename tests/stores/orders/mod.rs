//! Orders: placed once, advanced once by each event, checked until they settle, and visible only to
//! their buyer and the shop.

mod advance_order;
mod carts;
mod catch_up;
mod create_order;
mod free;
mod in_market;
mod limits;
mod measuring;
mod needs_review;
mod no_market;
mod numbers;
mod order_cart;
mod people;
mod preview_prices;
mod reading;
mod replicate_pricing;
mod replicate_product;
mod resume_orders;
mod sales;
mod sweeping;
mod unshipped;
mod update_buyer;
mod update_order;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Deref,
    sync::Arc,
    time::Duration,
};

use orders::{
    Orders,
    domain::{
        Goal, Order, PaymentState, PlacedOrder, Placement, Status, StockState, actions,
        buyer::Contact, order_request::OrderRequest, saga::Event,
    },
    operations::publish_order_events::QUEUES,
    store::{
        StoredOrder, WriteOutcome,
        placement::{PlaceOutcome, PlacementWrite},
    },
};
use serde_json::{Value, json};
use shared::{
    clock::Clock,
    ids::{self, Ids, OrderId, PrefixedId, UserId},
    lambda::{Invocation, Lambda},
    metrics::Capture,
    table::{Expression, Key, from_item},
    telemetry::Trace,
    throttle::Limit,
};
use tests::{
    aws::{Aws, Called, Fault},
    events::{self, ADMIN, STRANGER, USER},
    faults::{InjectedFault, for_each_fault},
    harness::Harness,
    shop::{self, PAY_WITHIN, RETRY, SHARDS, Shop},
};

const SPOON: &str = "prd_0199c2a8-0000-7000-8000-00000000000a";
const BOWL: &str = "prd_0199c2a8-0000-7000-8000-00000000000b";
const UNKNOWN_ORDER: &str = "ord_0199c2a8-0000-7000-8000-0000000000f1";
/// More calls than any operation on one order makes.
const CALLS: usize = 3;

/// A shop whose orders service knows two products: spoons at 29.99, bowls at 10.00.
struct OrdersFixture(Shop);

impl Deref for OrdersFixture {
    type Target = Shop;

    fn deref(&self) -> &Shop {
        &self.0
    }
}

impl OrdersFixture {
    async fn new() -> Self {
        Self::over(Aws::new()).await
    }

    /// Concurrent operations interleave between table calls, depending on `seed`.
    async fn crowded(seed: u64) -> Self {
        Self::over(Aws::new().crowded(seed)).await
    }

    /// The SDK retries after a lost response, as it does when deployed.
    async fn with_retries() -> Self {
        Self::over(Aws::new().retrying()).await
    }

    async fn over(aws: Aws) -> Self {
        let fixture = Self(Shop::over(aws, shop::clock())).ready_to_place().await;
        assert!(fixture.replicate(&product(SPOON, 1, 2999, true)).await);
        assert!(fixture.replicate(&product(BOWL, 1, 1000, true)).await);
        fixture
    }

    /// Limits each network to this number of orders within half an hour.
    async fn with_network_limit(self, orders: u32) -> Self {
        let service = shop::orders(&self.aws, &self.clock);
        let limits = orders::domain::unpaid::Limits {
            network: Limit::within(orders, PAY_WITHIN),
            ..service.limits
        };
        Self(self.0.with(|shop| shop.orders = Arc::new(Orders { limits, ..service })))
            .ready_to_place()
            .await
    }

    /// Caches the key that anonymizes network addresses, as in any instance that has placed an
    /// order recently.
    async fn ready_to_place(self) -> Self {
        assert!(self.orders.secrets.get("orders-key").await.is_ok());
        self
    }

    async fn replicate(&self, product: &Value) -> bool {
        self.call(
            "replicate-product",
            events::message("product-changes", "product_changed.v1", product),
        )
        .await
        .is_done()
    }

    async fn replicate_rules(&self, pricing: &Value) -> bool {
        self.call("replicate-pricing", events::pricing_changed(pricing)).await.is_done()
    }

    async fn known(&self, product: &str) -> Value {
        let item = self
            .aws
            .table("order-products")
            .get(Key::new(format!("PRODUCT#{product}")))
            .await
            .unwrap();
        from_item(item.expect("the product is known")).unwrap()
    }

    async fn post(&self, key: &str, body: &Value) -> Called {
        self.call("create-order", events::order(key, body).event()).await
    }

    /// Places an order for two spoons and returns its id.
    async fn placed(&self, key: &str) -> String {
        let called = self.post(key, &two_spoons()).await;
        assert_eq!(called.status(), 201, "{:?}", called.answer);
        called.json()["id"].as_str().unwrap().to_owned()
    }

    /// Stores an order directly and returns its id, bypassing the limits of unpaid orders.
    async fn stored(&self, key: &str, request: &Value) -> String {
        let products = [self.known(SPOON).await, self.known(BOWL).await]
            .map(|product| serde_json::from_value(product).unwrap());
        let placement = Placement {
            order_id: ids::derive(&[key]),
            user_id: UserId::parse(USER).unwrap(),
            cart: None,
            buyer: Contact {
                name: "Ada Lovelace".to_owned(),
                email: "ada@example.com".to_owned(),
                version: 0,
            },
            fingerprint: "made of the request".to_owned(),
            terms: self.orders.limits.terms(true),
            network: None,
            trace: Trace::start(&Ids::seeded(1)),
            now: self.clock.now(),
            timing: self.orders.timing,
        };
        let now = placement.now;
        let OrderRequest::Items(of_items) = serde_json::from_value(request.clone()).unwrap() else {
            panic!("an order of items, and not {request}")
        };
        let order = Order::place(placement, of_items, &products, &[]).unwrap();
        let store = &self.orders.store;
        let (order_id, user_id) = (order.placed.order_id, order.placed.user_id);
        let (snapshot, _) =
            store.read_for_placement(order_id, user_id, "nowhere", &[], &[]).await.unwrap();
        let write = PlacementWrite {
            order: &order,
            cart: None,
            network: "nowhere",
            network_limit: self.orders.limits.network,
            usage: &snapshot.usage,
            ended: &[],
            now,
        };
        let placed = store.place(write).await.unwrap();
        assert!(matches!(placed, PlaceOutcome::Written), "{placed:?}");
        order.placed.order_id.to_string()
    }

    async fn send_event(&self, order: &str, kind: &str, more: &Value) -> Called {
        self.call("advance-order", event_message(order, kind, more)).await
    }

    /// Advances an order to `confirmed`.
    async fn confirm(&self, order: &str) {
        for (kind, more) in [
            ("stock_reserved.v1", json!({ "version": 1 })),
            (
                "payment_succeeded.v1",
                json!({ "version": 2, "payment_id": "pay_1", "captured_total": 5998 }),
            ),
        ] {
            assert!(self.send_event(order, kind, &more).await.is_done());
        }
    }

    /// Advances an order to `confirmed`, with its stock committed.
    async fn settle(&self, order: &str) {
        self.confirm(order).await;
        assert!(
            self.send_event(order, "stock_committed.v1", &json!({ "version": 2 })).await.is_done()
        );
    }

    /// Stores an order with an address, paid and with its stock committed: ready to ship.
    async fn ready(&self, key: &str) -> String {
        let order = self.stored(key, &addressed()).await;
        self.settle(&order).await;
        order
    }

    /// Calls an action on an order as this user: `cancel`, `ship` or `deliver`.
    async fn step(&self, who: &str, step: &str, order: &str, body: &Value) -> Called {
        self.call(&format!("{step}-order"), action_request(who, step, order, body)).await
    }

    async fn read(&self, order: &str, reader: &str, tag: Option<&str>) -> Called {
        let request = events::get(&format!("/orders/{order}"))
            .path_parameter("order_id", order)
            .caller(reader);
        let request = tag.map_or(request.clone(), |tag| request.header("if-none-match", tag));
        self.call("get-order", request.event()).await
    }

    async fn page(&self, query: &str, reader: &str) -> Called {
        self.call("list-orders", events::get(&format!("/orders?{query}")).caller(reader).event())
            .await
    }

    async fn resume(&self) -> (u64, u64, u64) {
        let report = self.call("resume-orders", json!({})).await.ok().clone();
        let number = |name: &str| report[name].as_u64().unwrap();
        (number("resumed"), number("skipped"), number("failed"))
    }

    async fn seen(&self, id: &str) -> StoredOrder {
        self.orders
            .store
            .find(OrderId::parse(id).unwrap())
            .await
            .unwrap()
            .expect("the order is there")
    }

    async fn order(&self, id: &str) -> Order {
        self.seen(id).await.order
    }

    fn count(&self) -> usize {
        self.aws.orders().len()
    }

    /// Changes an attribute directly in the table.
    async fn set(&self, order: &str, attribute: &str, value: &str) {
        let change = Expression::new(format!("SET #{attribute} = :value")).value("value", value);
        self.aws
            .table("orders")
            .update(Key::new(format!("ORDER#{order}")), change, Expression::exists())
            .await
            .unwrap();
    }

    /// The publisher of orders, from the beginning of the stream.
    fn stream(&self) -> Harness {
        self.publisher("orders")
    }

    /// The number of messages that were published, including untranslatable ones.
    fn sent(&self) -> usize {
        QUEUES
            .iter()
            .chain(&["publish-order-dead-letter"])
            .map(|queue| self.aws.queues().waiting(queue).len())
            .sum()
    }

    fn item(&self, order: &str) -> Value {
        let pk = format!("ORDER#{order}");
        self.aws
            .items("orders")
            .into_iter()
            .find(|item| item["pk"]["S"] == pk.as_str())
            .expect("the order is there")
    }
}

fn product(id: &str, version: u64, cents: i64, active: bool) -> Value {
    let (sku, name) = if id == SPOON { ("SPOON-OAK", "Oak spoon") } else { ("BOWL", "Bowl") };
    let price = json!({ "amount": cents, "currency": "USD" });
    json!({ "product_id": id, "version": version, "sku": sku, "name": name, "category": "kitchen", "price": price, "active": active })
}

fn two_spoons() -> Value {
    json!({ "items": [{ "product_id": SPOON, "quantity": 2 }] })
}

/// Two spoons and a delivery address.
fn addressed() -> Value {
    events::order_request(SPOON, 2, None)
}

/// The request of an action on an order; without a body if `body` is null.
fn action_request(who: &str, step: &str, order: &str, body: &Value) -> Value {
    let path = format!("/orders/{order}/{step}");
    let request =
        if body.is_null() { events::http("POST", &path) } else { events::post(&path, body) };
    request.caller(who).path_parameter("order_id", order).event()
}

fn parcel() -> Value {
    json!({ "carrier": "Royal Mail", "tracking": "RM 1234 5678 9GB" })
}

/// The event of a cancellation request.
fn cancel() -> Event {
    Event::Cancel(actions::Cancellation { by: actions::Actor::Customer, reason: None })
}

fn event_message(order: &str, kind: &str, more: &Value) -> Value {
    let mut data = more.clone();
    data["order_id"] = order.into();
    events::message("order-events", kind, &data)
}

fn ids(page: &Called) -> Vec<String> {
    assert_eq!(page.status(), 200, "{:?}", page.answer);
    page.json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect()
}

/// The number of answers with each status.
fn statuses(answers: &[Value]) -> BTreeMap<u64, usize> {
    let mut statuses = BTreeMap::new();
    for answer in answers {
        *statuses.entry(answer["statusCode"].as_u64().unwrap()).or_default() += 1;
    }
    statuses
}
