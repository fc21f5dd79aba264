//! Orders: placed once, moved on by every event once, looked at until they are settled, and shown to those whom they concern.

mod advance_order;
mod attention;
mod catch_up;
mod create_order;
mod limits;
mod people;
mod reading;
mod replicate_product;
mod resume_orders;
mod sweeping;
mod update_buyer;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use aws_config::{SdkConfig, retry::RetryConfig};
use orders::{
    Orders,
    domain::{Goal, Order, PaymentState, PlacedOrder, Placement, Status, StockState, buyer::Contact, saga::Event, steps},
    operations::{
        advance_order::advance_order, cancel_order::cancel_order, create_order::create_order, deliver_order::deliver_order,
        get_order::get_order, list_orders::list_orders, publish_order_events as publisher, replicate_product::replicate_product,
        resume_orders::resume_orders, ship_order::ship_order, update_buyer::update_buyer,
    },
    publish,
    store::{Saved, Store, Stored, placing::Placed},
};
use serde_json::{Value, json};
use shared::{
    clock::Clock,
    http,
    ids::{self, Ids, OrderId, PrefixedId, UserId},
    invoke,
    lambda::{Invocation, Lambda},
    queue, stream,
    table::{Expression, Key, Table, from_item},
    telemetry::Trace,
};
use tests::{
    aws::{Aws, Called, Fault},
    events::{self, ADMIN, Http, USER},
    faults::{Mishap, whatever_happens},
    pump::Pump,
    shop::{self, NUDGE, PAY_WITHIN, SHARDS},
};

const SPOON: &str = "prd_0199c2a8-0000-7000-8000-00000000000a";
const BOWL: &str = "prd_0199c2a8-0000-7000-8000-00000000000b";
const STRANGER: &str = "usr_0199c2a8-0000-7000-8000-000000000003";
const NOBODYS: &str = "ord_0199c2a8-0000-7000-8000-0000000000f1";
/// More calls than any operation on one order makes.
const CALLS: usize = 3;

struct Desk {
    aws: Aws,
    clock: Clock,
    orders: Arc<Orders>,
    create: Lambda,
    get: Lambda,
    list: Lambda,
    cancel: Lambda,
    ship: Lambda,
    deliver: Lambda,
    advance: Lambda,
    resume: Lambda,
    replicate: Lambda,
    update_buyer: Lambda,
}

impl Desk {
    /// With spoons at 29.99 and bowls at 10.00.
    async fn new() -> Self {
        let aws = Aws::new();
        let config = aws.sdk_config();
        Self::over(aws, &config).await
    }

    /// Whose operations, when they run at the same time, take turns between any two calls of AWS.
    async fn crowded(seed: u64) -> Self {
        let aws = Aws::new();
        let config = aws.crowded_sdk_config(seed);
        Self::over(aws, &config).await
    }

    /// Whose SDK asks again when an answer is lost, as it does deployed.
    async fn with_retries() -> Self {
        let aws = Aws::new();
        let retry = RetryConfig::standard().with_max_attempts(2).with_initial_backoff(Duration::from_millis(1));
        let config = aws.sdk_config().to_builder().retry_config(retry).build();
        Self::over(aws, &config).await
    }

    async fn over(aws: Aws, config: &SdkConfig) -> Self {
        let clock = shop::clock();
        let table = |name: &str| Table::new(aws_sdk_dynamodb::Client::new(config), format!("ferrocart-{name}"));
        let store = Store { orders: table("orders"), products: table("order-products"), shards: SHARDS };
        let orders = Arc::new(Orders { store, ..shop::orders(&aws, &clock) });
        let desk = Self::of(aws, clock, orders);
        assert!(desk.hear_of(&product(SPOON, 1, 2999, true)).await);
        assert!(desk.hear_of(&product(BOWL, 1, 1000, true)).await);
        // The key that names networks is at hand, as in every instance that has placed an order of late.
        assert!(desk.orders.secrets.get("orders-key").await.is_ok());
        desk
    }

    /// The same desk with another service behind it: with other limits.
    fn with(self, orders: Orders) -> Self {
        Self::of(self.aws, self.clock, Arc::new(orders))
    }

    fn of(aws: Aws, clock: Clock, orders: Arc<Orders>) -> Self {
        let queue = |name: &str| aws.queue(name);
        Self {
            create: http::lambda(orders.clone(), create_order),
            get: http::lambda(orders.clone(), get_order),
            list: http::lambda(orders.clone(), list_orders),
            cancel: http::lambda(orders.clone(), cancel_order),
            ship: http::lambda(orders.clone(), ship_order),
            deliver: http::lambda(orders.clone(), deliver_order),
            advance: queue::lambda(orders.clone(), advance_order, queue("order-events")),
            resume: invoke::lambda(orders.clone(), resume_orders),
            replicate: queue::lambda(orders.clone(), replicate_product, queue("product-changes")),
            update_buyer: queue::lambda(orders.clone(), update_buyer, queue("update-buyer")),
            aws,
            clock,
            orders,
        }
    }

    async fn hear_of(&self, product: &Value) -> bool {
        is_done(&self.aws.call(&self.replicate, events::message("product-changes", "product_changed.v1", product)).await)
    }

    async fn known(&self, product: &str) -> Value {
        let item = self.aws.table("order-products").get(Key::new(format!("PRODUCT#{product}"))).await.unwrap();
        from_item(item.expect("the product is known")).unwrap()
    }

    async fn post(&self, key: &str, body: &Value) -> Called {
        self.aws.call(&self.create, wanted(key, body).event()).await
    }

    /// An order for two spoons, and its id.
    async fn placed(&self, key: &str) -> String {
        let called = self.post(key, &two_spoons()).await;
        assert_eq!(called.status(), 201, "{:?}", called.answer);
        called.json()["id"].as_str().unwrap().to_owned()
    }

    /// As [`Desk::placed`], for more orders than a buyer may leave unpaid: past the door, and of whatever is wished for.
    async fn stored(&self, key: &str, wish: &Value) -> String {
        let products = [self.known(SPOON).await, self.known(BOWL).await].map(|product| serde_json::from_value(product).unwrap());
        let placement = Placement {
            order_id: ids::derive(&[key]),
            user_id: UserId::parse(USER).unwrap(),
            buyer: Contact { name: "Ada Lovelace".to_owned(), email: "ada@example.com".to_owned(), version: 0 },
            fingerprint: "made of the request".to_owned(),
            terms: self.orders.limits.terms(true),
            network: None,
            trace: Trace::start(&Ids::seeded(1)),
        };
        let basket = serde_json::from_value(wish.clone()).unwrap();
        let order = Order::place(placement, basket, &products, self.clock.now(), self.orders.timing).unwrap();
        let store = &self.orders.store;
        let reading = store.read_for_placing(order.placed.order_id, &[], order.placed.user_id, "nowhere").await.unwrap();
        let placed = store.place(&order, &reading.standing, self.orders.limits.network, self.clock.now()).await.unwrap();
        assert!(matches!(placed, Placed::Written), "{placed:?}");
        order.placed.order_id.to_string()
    }

    async fn tell(&self, order: &str, kind: &str, more: &Value) -> Called {
        self.aws.call(&self.advance, fact(order, kind, more)).await
    }

    /// Takes an order to `confirmed`.
    async fn confirm(&self, order: &str) {
        for (kind, more) in [
            ("stock_reserved.v1", json!({ "version": 1 })),
            ("payment_succeeded.v1", json!({ "version": 2, "payment_id": "pay_1", "captured_total": 5998 })),
        ] {
            assert!(is_done(&self.tell(order, kind, &more).await));
        }
    }

    /// As [`Desk::stored`], with an address, paid, and its stock out of the books: ready to be sent.
    async fn ready(&self, key: &str) -> String {
        let order = self.stored(key, &addressed()).await;
        self.confirm(&order).await;
        assert!(is_done(&self.tell(&order, "stock_committed.v1", &json!({ "version": 2 })).await));
        order
    }

    /// Somebody takes a step with an order: `cancel`, `ship` or `deliver`.
    async fn step(&self, who: &str, step: &str, order: &str, body: &Value) -> Called {
        self.aws.call(self.steps(step), wish(who, step, order, body)).await
    }

    fn steps(&self, step: &str) -> &Lambda {
        match step {
            "cancel" => &self.cancel,
            "ship" => &self.ship,
            "deliver" => &self.deliver,
            other => panic!("there is no step {other}"),
        }
    }

    async fn read(&self, order: &str, reader: &str, tag: Option<&str>) -> Called {
        let request = events::get(&format!("/orders/{order}")).path_parameter("order_id", order).caller(reader);
        let request = tag.map_or(request.clone(), |tag| request.header("if-none-match", tag));
        self.aws.call(&self.get, request.event()).await
    }

    async fn page(&self, query: &str, reader: &str) -> Called {
        self.aws.call(&self.list, events::get(&format!("/orders?{query}")).caller(reader).event()).await
    }

    async fn resume(&self) -> (u64, u64, u64) {
        let report = self.aws.call(&self.resume, json!({})).await.ok().clone();
        let number = |name: &str| report[name].as_u64().unwrap();
        (number("resumed"), number("passed_over"), number("failed"))
    }

    async fn seen(&self, id: &str) -> Stored {
        self.orders.store.find(OrderId::parse(id).unwrap()).await.unwrap().expect("the order is there")
    }

    async fn order(&self, id: &str) -> Order {
        self.seen(id).await.order
    }

    fn count(&self) -> usize {
        self.aws.orders().len()
    }

    /// Writes an attribute behind the service's back.
    async fn set(&self, order: &str, attribute: &str, value: &str) {
        let change = Expression::new(format!("SET #{attribute} = :value")).value("value", value);
        self.aws.table("orders").update(Key::new(format!("ORDER#{order}")), change, Expression::present()).await.unwrap();
    }

    /// The stream of orders, from its beginning.
    fn stream(&self) -> Pump {
        let sender = self.aws.sender(publisher::QUEUES, "publish-order-dead-letter");
        let lambda = stream::lambda("publish-order-events", publisher::PUBLISHED, publish::messages, sender);
        Pump::new(&self.aws).publisher("orders", lambda)
    }

    fn item(&self, order: &str) -> Value {
        let pk = format!("ORDER#{order}");
        self.aws.items("orders").into_iter().find(|item| item["pk"]["S"] == pk.as_str()).expect("the order is there")
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

/// Two spoons, and where they go.
fn addressed() -> Value {
    let address = json!({ "name": "Ada", "line1": "12 St James's Square", "city": "London", "postal_code": "SW1Y 4JH", "country": "GB" });
    json!({ "items": [{ "product_id": SPOON, "quantity": 2 }], "shipping_address": address })
}

/// What somebody sends who takes a step with an order; without a body where that is null.
fn wish(who: &str, step: &str, order: &str, body: &Value) -> Value {
    let path = format!("/orders/{order}/{step}");
    let request = if body.is_null() { events::http("POST", &path) } else { events::post(&path, body) };
    request.caller(who).path_parameter("order_id", order).event()
}

fn parcel() -> Value {
    json!({ "carrier": "Royal Mail", "tracking": "RM 1234 5678 9GB" })
}

/// That an order is given up.
fn cancel() -> Event {
    Event::Cancel(steps::Cancellation { by: steps::Actor::Customer, reason: None })
}

fn wanted(key: &str, body: &Value) -> Http {
    events::post("/orders", body).caller(USER).header("idempotency-key", key)
}

fn fact(order: &str, kind: &str, more: &Value) -> Value {
    let mut data = more.clone();
    data["order_id"] = order.into();
    events::message("order-events", kind, &data)
}

fn is_done(called: &Called) -> bool {
    called.is_done()
}

fn body(called: &Called) -> &str {
    called.ok()["body"].as_str().unwrap()
}

fn code(called: &Called) -> String {
    called.json()["code"].as_str().unwrap_or_default().to_owned()
}

fn ids(page: &Called) -> Vec<String> {
    assert_eq!(page.status(), 200, "{:?}", page.answer);
    page.json()["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

/// Both at the same time, as one function that answers what they answered: so that the calls of both are counted.
fn together(one: (Lambda, Value), other: (Lambda, Value)) -> Lambda {
    Arc::new(move |_| {
        let (one, other) = (one.clone(), other.clone());
        Box::pin(async move {
            let both = tokio::join!(one.0(Invocation::with_event(one.1)), other.0(Invocation::with_event(other.1)));
            Ok(json!([both.0?, both.1?]))
        })
    })
}
