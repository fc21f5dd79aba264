//! Orders: placed once, moved on by every event once, looked at until they are settled, and shown to those whom they concern.

mod buyer;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use aws_config::{SdkConfig, retry::RetryConfig};
use orders::{
    Orders,
    domain::{Goal, Order, PaymentLeg, Status, StockLeg, saga::Event},
    operations::{
        advance_order::advance_order, create_order::create_order, get_order::get_order, list_orders::list_orders,
        replicate_product::replicate_product, resume_orders::resume_orders, update_buyer::update_buyer,
    },
    store::{Saved, Store},
};
use serde_json::{Value, json};
use shared::{
    clock::Clock,
    http,
    ids::{OrderId, PrefixedId},
    invoke,
    lambda::{Invocation, Lambda},
    queue::{self, Queue},
    table::{Expression, Key, Table, from_item},
};
use tests::{
    aws::{Aws, Called, Fault},
    events::{self, ADMIN, Http, USER},
    shop::{self, NUDGE, PAY_WITHIN, SHARDS},
    sqs,
};

const SPOON: &str = "prd_0199c2a8-0000-7000-8000-00000000000a";
const BOWL: &str = "prd_0199c2a8-0000-7000-8000-00000000000b";
const STRANGER: &str = "usr_0199c2a8-0000-7000-8000-000000000003";
const NOBODYS: &str = "ord_0199c2a8-0000-7000-8000-0000000000f1";
const FAULTS: [Fault; 4] = [Fault::Throttle, Fault::LoseRequest, Fault::LoseResponse, Fault::Conflict];
/// More calls than any operation on one order makes.
const CALLS: usize = 3;

struct Desk {
    aws: Aws,
    clock: Clock,
    orders: Arc<Orders>,
    create: Lambda,
    get: Lambda,
    list: Lambda,
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
        let queue = |name: &str| Queue::new(sqs::url(name));
        let desk = Self {
            create: http::lambda(orders.clone(), create_order),
            get: http::lambda(orders.clone(), get_order),
            list: http::lambda(orders.clone(), list_orders),
            advance: queue::lambda(orders.clone(), advance_order, queue("order-events")),
            resume: invoke::lambda(orders.clone(), resume_orders),
            replicate: queue::lambda(orders.clone(), replicate_product, queue("product-changes")),
            update_buyer: queue::lambda(orders.clone(), update_buyer, queue("update-buyer")),
            aws,
            clock,
            orders,
        };
        assert!(desk.hear_of(&product(SPOON, 1, 2999, true)).await);
        assert!(desk.hear_of(&product(BOWL, 1, 1000, true)).await);
        desk
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

    async fn order(&self, id: &str) -> Order {
        self.orders.store.find(OrderId::parse(id).unwrap()).await.unwrap().expect("the order is there")
    }

    fn count(&self) -> usize {
        self.aws.items("orders").len()
    }

    /// Writes an attribute behind the service's back.
    async fn set(&self, order: &str, attribute: &str, value: &str) {
        let change = Expression::new(format!("SET #{attribute} = :value")).value("value", value);
        self.aws.table("orders").update(Key::new(format!("ORDER#{order}")), change, Expression::present()).await.unwrap();
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

fn wanted(key: &str, body: &Value) -> Http {
    events::post("/orders", body).caller(USER).header("idempotency-key", key)
}

fn fact(order: &str, kind: &str, more: &Value) -> Value {
    let mut data = more.clone();
    data["order_id"] = order.into();
    events::message("order-events", kind, &data)
}

fn is_done(called: &Called) -> bool {
    called.ok()["batchItemFailures"] == json!([])
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

#[tokio::test]
async fn an_order_is_placed_at_the_prices_of_the_catalogue() {
    let desk = Desk::new().await;
    let wanted = json!({ "items": [{ "product_id": SPOON, "quantity": 2 }, { "product_id": BOWL, "quantity": 3 }] });
    let placed = desk.post("k", &wanted).await;
    assert_eq!((placed.status(), placed.operations()), (201, vec!["BatchGetItem", "PutItem"]));
    let view = placed.json();
    assert_eq!(placed.header("location"), Some(format!("/v1/orders/{}", view["id"].as_str().unwrap())));
    let usd = |amount: i64| json!({ "amount": amount, "currency": "USD" });
    assert_eq!(view["totals"], json!({ "items": usd(8998), "shipping": usd(0), "tax": usd(0), "total": usd(8998) }));
    assert_eq!((&view["status"], &view["step"], &view["payable"]), (&json!("pending"), &json!("reserving"), &json!(false)));
    assert_eq!(view["expires_at"], "2026-11-21T10:30:00.000Z");
    assert_eq!(body(&desk.read(view["id"].as_str().unwrap(), USER, None).await), body(&placed));
}

#[tokio::test]
async fn whatever_happens_to_a_call_an_order_is_placed_once_and_answered_the_same() {
    for fault in FAULTS {
        for call in 0..CALLS {
            for (later_fault, later_call) in
                [(Fault::LoseRequest, 0), (Fault::LoseRequest, 1), (Fault::LoseResponse, 1), (Fault::Conflict, 1)]
            {
                let story = format!("{fault:?} at {call}, then {later_fault:?} at {later_call}");
                let desk = Desk::new().await;
                desk.aws.fail(call, fault);
                let first = desk.post("k", &two_spoons()).await;
                // The read goes on in a conflict, and there is no third call.
                let spoiled = call == 1 || call == 0 && fault != Fault::Conflict;
                assert_eq!(first.status(), if spoiled { 503 } else { 201 }, "{story}");
                let is_written = !spoiled || (call, fault) == (1, Fault::LoseResponse);
                assert_eq!(desk.count(), usize::from(is_written), "{story}");

                desk.aws.heal();
                desk.clock.advance(Duration::from_secs(7));
                desk.aws.fail(later_call, later_fault);
                let second = desk.post("k", &two_spoons()).await;
                desk.aws.heal();
                desk.clock.advance(Duration::from_secs(7));
                let (third, fourth) = (desk.post("k", &two_spoons()).await, desk.post("k", &two_spoons()).await);
                assert_eq!((third.status(), fourth.status(), desk.count()), (201, 201, 1), "{story}");
                let bodies: BTreeSet<_> =
                    [&first, &second, &third, &fourth].into_iter().filter(|answer| answer.status() == 201).map(body).collect();
                assert_eq!(bodies.len(), 1, "{story}");
                assert_eq!(fourth.header("idempotent-replayed").as_deref(), Some("true"), "{story}");
                assert_eq!((desk.order(fourth.json()["id"].as_str().unwrap()).await.version, second.calls.len() <= 2), (1, true));
            }
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_and_asked_for_again_by_the_sdk_is_given_by_the_order_that_stands() {
    let desk = Desk::with_retries().await;
    desk.aws.fail(1, Fault::LoseResponse);
    let placed = desk.post("k", &two_spoons()).await;
    assert_eq!((placed.status(), placed.operations()), (201, vec!["BatchGetItem", "PutItem", "PutItem"]));
    assert_eq!((body(&desk.post("k", &two_spoons()).await), desk.count()), (body(&placed), 1));
}

#[tokio::test]
async fn copies_of_a_request_that_come_at_once_place_one_order_and_get_one_answer() {
    let mut races = 0;
    for seed in 0..10 {
        let desk = Desk::crowded(seed).await;
        let event = wanted("k", &two_spoons()).event();
        let copies: Vec<_> = (0..16).map(|_| tokio::spawn((desk.create)(Invocation::with_event(event.clone())))).collect();
        let (mut bodies, mut first) = (BTreeSet::new(), 0);
        for copy in copies {
            let answer = copy.await.unwrap().unwrap();
            assert_eq!(answer["statusCode"], 201, "{answer}");
            first += usize::from(answer["headers"].get("idempotent-replayed").is_none());
            bodies.insert(answer["body"].as_str().unwrap().to_owned());
        }
        assert_eq!((bodies.len(), first, desk.count()), (1, 1, 1), "seed {seed}");

        // Two that are not copies: one of them has the key.
        let other = json!({ "items": [{ "product_id": SPOON, "quantity": 3 }] });
        let both = [two_spoons(), other].map(|body| (desk.create.clone(), wanted("another", &body).event()));
        let [one, other] = both;
        let called = desk.aws.call(&together(one, other), Value::Null).await;
        let statuses: BTreeSet<_> = called.ok().as_array().unwrap().iter().map(|answer| answer["statusCode"].as_u64().unwrap()).collect();
        assert_eq!((statuses, desk.count()), (BTreeSet::from([201, 422]), 2), "seed {seed}");
        races += usize::from(called.operations() == ["BatchGetItem", "BatchGetItem", "PutItem", "PutItem"]);
    }
    assert!(races > 0, "no seed lets both look before one of them writes: this test shows nothing");
}

#[tokio::test]
async fn a_key_names_one_request_of_one_buyer() {
    let desk = Desk::new().await;
    let first = desk.post("k", &two_spoons()).await;
    let address = json!({ "name": "Ada", "line1": "12 St James's Square", "city": "London", "postal_code": "SW1Y 4JH", "country": "GB" });
    for (field, value) in [
        ("items", json!([{ "product_id": SPOON, "quantity": 3 }])),
        ("items", json!([{ "product_id": BOWL, "quantity": 2 }])),
        ("expected_total", json!({ "amount": 5998, "currency": "USD" })),
        ("payment_method", json!({ "type": "card", "token": "tok_ok" })),
        ("shipping_address", address),
    ] {
        let mut other = two_spoons();
        other[field] = value;
        let refused = desk.post("k", &other).await;
        assert_eq!((refused.status(), code(&refused).as_str()), (422, "idempotency_key_reused"), "{field}");
        assert_eq!(refused.operations(), ["BatchGetItem"]);
    }
    assert_eq!(desk.count(), 1);
    let strangers = events::post("/orders", &two_spoons()).caller(STRANGER).header("idempotency-key", "k").event();
    let theirs = desk.aws.call(&desk.create, strangers).await;
    assert_eq!((theirs.status(), desk.count()), (201, 2));
    assert_ne!(theirs.json()["id"], first.json()["id"]);
}

#[tokio::test]
async fn a_repeated_request_is_answered_the_same_whatever_has_become_of_products_buyer_and_order() {
    let desk = Desk::new().await;
    let mut wish = two_spoons();
    wish["expected_total"] = json!({ "amount": 5998, "currency": "USD" });
    let first = desk.post("k", &wish).await;
    let order = first.json()["id"].as_str().unwrap().to_owned();
    let repeated = async |what: &str| {
        desk.clock.advance(Duration::from_secs(60));
        let again = desk.post("k", &wish).await;
        assert_eq!((again.status(), body(&again)), (201, body(&first)), "after {what}");
        assert_eq!(again.header("idempotent-replayed").as_deref(), Some("true"));
        assert_eq!((again.header("location"), again.operations()), (first.header("location"), vec!["BatchGetItem"]));
    };
    repeated("a minute").await;

    desk.hear_of(&product(SPOON, 2, 3999, true)).await;
    repeated("a change of the price").await;
    let refused = desk.post("new", &wish).await;
    assert_eq!((refused.status(), code(&refused).as_str()), (409, "price_changed"));
    assert_eq!(refused.json()["total"], json!({ "amount": 7998, "currency": "USD" }));

    desk.hear_of(&product(SPOON, 3, 3999, false)).await;
    repeated("the end of its sale").await;
    let refused = desk.post("new", &two_spoons()).await;
    assert_eq!((refused.status(), code(&refused).as_str()), (422, "unknown_product"));

    let mut renamed = wanted("k", &wish).event();
    renamed["requestContext"]["authorizer"]["name"] = "Ada King".into();
    renamed["requestContext"]["authorizer"]["email"] = "ada@king.example".into();
    assert_eq!(body(&desk.aws.call(&desk.create, renamed).await), body(&first));

    desk.confirm(&order).await;
    assert_eq!(desk.order(&order).await.status, Status::Confirmed);
    repeated("the payment").await;
    desk.tell(&order, "payment_refunded.v1", &json!({ "version": 3, "captured_total": 5998, "refunded_total": 1 })).await;
    desk.tell(&order, "stock_released.v1", &json!({ "version": 9 })).await;
    assert!(desk.order(&order).await.needs_attention.is_some());
    repeated("an alarm").await;
    desk.clock.advance(PAY_WITHIN);
    desk.resume().await;
    repeated("a nudge").await;
    assert_eq!(desk.count(), 1);
}

#[tokio::test]
async fn what_is_refused_writes_nothing_and_leaves_its_key_free() {
    let desk = Desk::new().await;
    let unknown = json!({ "items": [{ "product_id": SPOON, "quantity": 1 }, { "product_id": SPOON.replace('a', "c"), "quantity": 1 }] });
    let refused = desk.post("k", &unknown).await;
    assert_eq!((refused.status(), code(&refused).as_str()), (422, "unknown_product"));
    assert_eq!(refused.json()["errors"][0]["pointer"], "/items/1/product_id");
    let post = events::post("/orders", &two_spoons());
    assert_eq!(desk.aws.call(&desk.create, post.clone().header("idempotency-key", "k").event()).await.status(), 401);
    assert_eq!(code(&desk.aws.call(&desk.create, post.caller(USER).event()).await), "idempotency_key_required");
    assert_eq!(desk.count(), 0);
    assert_eq!(desk.post("k", &two_spoons()).await.status(), 201);
}

#[tokio::test]
async fn an_event_is_one_read_and_one_write_and_the_same_event_again_is_none() {
    let desk = Desk::new().await;
    let order = desk.placed("k").await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let told = desk.tell(&order, "stock_reserved.v1", &json!({ "version": 1 })).await;
    assert_eq!((is_done(&told), told.operations()), (true, vec!["GetItem", "PutItem"]));
    let moved = desk.order(&order).await;
    assert_eq!((&moved.stock, &moved.payment, moved.version), (&StockLeg::Held, &PaymentLeg::Open, 2));
    assert_eq!(serde_json::to_value(&moved.traceparent).unwrap(), trace);
    let again = desk.tell(&order, "stock_reserved.v1", &json!({ "version": 1 })).await;
    assert_eq!((is_done(&again), again.operations()), (true, vec!["GetItem"]));
    assert_eq!(desk.order(&order).await, moved);
}

#[tokio::test]
async fn events_that_race_both_land() {
    let mut conflicts = 0;
    for seed in 0..10 {
        let desk = Desk::crowded(seed).await;
        let order = desk.placed("k").await;
        let reserved = fact(&order, "stock_reserved.v1", &json!({ "version": 1 }));
        let paid = fact(&order, "payment_succeeded.v1", &json!({ "version": 2, "payment_id": "pay_1", "captured_total": 5998 }));
        let both = together((desk.advance.clone(), reserved), (desk.advance.clone(), paid));
        let called = desk.aws.call(&both, Value::Null).await;
        assert_eq!(*called.ok(), json!([{ "batchItemFailures": [] }, { "batchItemFailures": [] }]), "seed {seed}");
        // A lost race costs a write and no further read.
        let writes = called.operations().iter().filter(|operation| **operation == "PutItem").count();
        assert_eq!(called.operations().len(), writes + 2, "seed {seed}");
        conflicts += writes - 2;
        let moved = desk.order(&order).await;
        let landed = (moved.status, moved.stock, moved.payment, moved.captured_total, moved.version);
        assert_eq!(landed, (Status::Confirmed, StockLeg::Committing, PaymentLeg::Paid, 5998, 3), "seed {seed}");
        let history: Vec<_> = moved.history.iter().map(|entry| entry.event.as_str()).collect();
        assert_eq!(history.len(), 3, "{history:?}");
    }
    assert!(conflicts > 0, "no seed lets both read before one of them writes: this test shows nothing");
}

#[tokio::test]
async fn what_was_decided_upon_an_old_version_is_not_written_and_our_own_write_is_recognised() {
    let desk = Desk::new().await;
    let order = desk.order(&desk.placed("k").await).await;
    let (now, timing) = (desk.clock.now(), desk.orders.timing);
    let cancelled = order.apply(&Event::Cancel, now, timing).unwrap().unwrap();
    let nudged = order.apply(&Event::Nudge, now, timing).unwrap().unwrap();
    assert!(matches!(desk.orders.store.replace(&cancelled).await.unwrap(), Saved::Written));
    assert!(matches!(desk.orders.store.replace(&cancelled).await.unwrap(), Saved::Written), "the answer to the first write was lost");
    match desk.orders.store.replace(&nudged).await.unwrap() {
        Saved::Overtaken(standing) => assert_eq!(*standing, cancelled),
        other => panic!("{other:?}"),
    }
    assert_eq!(desk.order(&order.order_id.to_string()).await, cancelled);
    let gone = Order { order_id: OrderId::parse(NOBODYS).unwrap(), ..cancelled };
    assert!(desk.orders.store.replace(&gone).await.is_err(), "an order that is not there is not made up");
    assert_eq!(desk.count(), 1);
}

#[tokio::test]
async fn whatever_happens_to_a_call_an_event_is_applied_once() {
    for fault in FAULTS {
        for call in 0..CALLS {
            for retries in [false, true] {
                let desk = if retries { Desk::with_retries().await } else { Desk::new().await };
                let order = desk.placed("k").await;
                desk.aws.fail(call, fault);
                let first = desk.tell(&order, "stock_reserved.v1", &json!({ "version": 1 })).await;
                let spoiled = call == 1 || call == 0 && fault != Fault::Conflict;
                // The SDK takes a conflict between transactions for final.
                let is_retried = retries && fault != Fault::Conflict;
                assert_eq!(is_done(&first), !spoiled || is_retried, "{fault:?} at {call}");
                desk.aws.heal();
                assert!(is_done(&desk.tell(&order, "stock_reserved.v1", &json!({ "version": 1 })).await));
                let moved = desk.order(&order).await;
                assert_eq!((moved.stock, moved.version, moved.history.len()), (StockLeg::Held, 2, 2), "{fault:?} at {call}");
            }
        }
    }
}

#[tokio::test]
async fn an_event_for_an_order_that_is_not_there_comes_back() {
    let desk = Desk::new().await;
    let told = desk.tell(NOBODYS, "stock_reserved.v1", &json!({ "version": 1 })).await;
    assert_eq!((is_done(&told), told.operations(), desk.count()), (false, vec!["GetItem"], 0));
}

#[tokio::test]
async fn events_that_cannot_be_read_come_back_untouched() {
    let desk = Desk::new().await;
    let order = desk.placed("k").await;
    for (kind, more) in [
        ("stock_reserved.v2", json!({ "version": 1 })),
        ("stock_vanished.v1", json!({ "version": 1 })),
        ("stock_reserved.v1", json!({})),
        ("stock_reserved.v1", json!({ "version": -1 })),
        ("payment_succeeded.v1", json!({ "version": 1, "captured_total": "5998" })),
    ] {
        let told = desk.tell(&order, kind, &more).await;
        assert_eq!((is_done(&told), told.calls.len()), (false, 0), "{kind} {more}");
    }
    assert_eq!(desk.order(&order).await.version, 1);
}

#[tokio::test]
async fn an_order_of_a_later_release_is_given_back_untouched() {
    for attribute in ["stock", "payment", "goal", "status"] {
        let desk = Desk::new().await;
        let order = desk.placed("k").await;
        desk.set(&order, attribute, "parcelled").await;
        let before = desk.item(&order);
        for kind in ["stock_reserved.v1", "stock_rejected.v1", "payment_succeeded.v1", "payment_closed.v1", "payment_refunded.v1"] {
            let told = desk.tell(&order, kind, &json!({ "version": 7, "captured_total": 5998, "refunded_total": 5998 })).await;
            assert_eq!((is_done(&told), told.operations()), (false, vec!["GetItem"]), "{attribute}: {kind}");
        }
        desk.clock.advance(PAY_WITHIN);
        assert_eq!(desk.resume().await, (0, 0, 1), "{attribute}");
        assert_eq!(desk.item(&order), before, "{attribute}");
        let read = desk.read(&order, USER, None).await;
        assert_eq!(read.status(), 200, "it can be looked at all the same: {:?}", read.answer);
    }
}

#[tokio::test]
async fn only_orders_that_are_due_are_asked_after_again_and_then_later_each_time() {
    let desk = Desk::new().await;
    let order = desk.placed("k").await;
    desk.clock.advance(NUDGE - Duration::from_millis(1));
    assert_eq!(desk.resume().await, (0, 0, 0));
    assert_eq!(desk.order(&order).await.version, 1);
    desk.clock.advance(Duration::from_millis(1));
    let mut wait = NUDGE;
    for nudge in 1..=3 {
        assert_eq!(desk.resume().await, (1, 0, 0), "nudge {nudge}");
        wait *= 2;
        let nudged = desk.order(&order).await;
        assert_eq!((nudged.drive, nudged.nudges, nudged.version), (nudge, u32::try_from(nudge).unwrap(), nudge + 1));
        assert_eq!(nudged.check_at, Some(desk.clock.now().plus(wait)).min(Some(nudged.expires_at)));
        assert_eq!((nudged.status, nudged.history.len()), (Status::Pending, 1));
        assert_eq!(desk.resume().await, (0, 0, 0), "nudge {nudge}");
        desk.clock.advance(wait - Duration::from_millis(1));
        assert_eq!(desk.resume().await, (0, 0, 0), "nudge {nudge}");
        desk.clock.advance(Duration::from_millis(1));
    }
}

#[tokio::test]
async fn an_order_that_was_not_paid_in_time_is_given_up_and_a_paid_one_is_not() {
    let desk = Desk::new().await;
    let (unpaid, paid, settled) = (desk.placed("unpaid").await, desk.placed("paid").await, desk.placed("settled").await);
    desk.tell(&unpaid, "stock_reserved.v1", &json!({ "version": 1 })).await;
    // The money comes before the stock is held.
    desk.tell(&paid, "payment_succeeded.v1", &json!({ "version": 2, "captured_total": 5998 })).await;
    desk.confirm(&settled).await;
    desk.tell(&settled, "stock_committed.v1", &json!({ "version": 2 })).await;
    let before = desk.item(&settled);
    assert!(before.get("check_at").is_none() && before.get("check_shard").is_none(), "{before}");

    desk.clock.advance(PAY_WITHIN);
    assert_eq!(desk.resume().await, (2, 0, 0));
    let expired = desk.order(&unpaid).await;
    assert_eq!((&expired.goal, expired.reason.as_deref()), (&Goal::Cancel, Some("not_paid_in_time")));
    assert_eq!((&expired.stock, &expired.payment, &expired.status), (&StockLeg::Releasing, &PaymentLeg::Closing, &Status::Pending));
    assert_eq!(expired.history.last().map(|entry| entry.event.as_str()), Some("expired"));
    let waiting = desk.order(&paid).await;
    assert_eq!((waiting.goal, waiting.payment, waiting.nudges), (Goal::Fulfil, PaymentLeg::Paid, 1));
    assert_eq!(desk.item(&settled), before);
}

#[tokio::test]
async fn more_orders_than_are_found_at_once_are_all_looked_at_in_one_run() {
    for many in [100, 101, 250] {
        let desk = Desk::new().await;
        for number in 0..many {
            desk.placed(&format!("k-{number}")).await;
        }
        desk.clock.advance(PAY_WITHIN);
        assert_eq!(desk.resume().await, (many, 0, 0));
        for item in desk.aws.items("orders") {
            assert_eq!((&item["goal"]["S"], &item["version"]["N"]), (&json!("cancel"), &json!("2")));
        }
        assert_eq!(desk.resume().await, (0, 0, 0));
    }
}

#[tokio::test]
async fn an_order_that_fails_does_not_stop_the_others() {
    let desk = Desk::new().await;
    for number in 0..130 {
        desk.placed(&format!("k-{number:03}")).await;
    }
    let items = desk.aws.items("orders");
    let broken: Vec<&str> = items.iter().take(30).map(|item| item["pk"]["S"].as_str().unwrap().trim_start_matches("ORDER#")).collect();
    for (number, order) in broken.iter().enumerate() {
        // Of a later release, or not readable at all; and they have waited longest.
        let (attribute, value) = if number % 2 == 0 { ("stock", "parcelled") } else { ("created_at", "yesterday") };
        desk.set(order, attribute, value).await;
        desk.set(order, "check_at", "2026-11-21T09:00:00.000Z").await;
    }
    desk.clock.advance(NUDGE);
    assert_eq!(desk.resume().await, (100, 0, 30));
    for item in desk.aws.items("orders") {
        let is_broken = broken.contains(&item["pk"]["S"].as_str().unwrap().trim_start_matches("ORDER#"));
        assert_eq!(item["version"]["N"], if is_broken { "1" } else { "2" });
    }
}

#[tokio::test]
async fn more_orders_that_cannot_be_moved_than_are_found_at_once_do_not_keep_the_others_waiting() {
    let desk = Desk::new().await;
    for number in 0..125 {
        desk.placed(&format!("k-{number:03}")).await;
    }
    for (number, item) in desk.aws.items("orders").iter().enumerate().take(120) {
        let order = item["pk"]["S"].as_str().unwrap().trim_start_matches("ORDER#");
        desk.set(order, "stock", "parcelled").await;
        desk.set(order, "check_at", &format!("2026-11-21T09:00:00.{number:03}Z")).await;
    }
    desk.clock.advance(NUDGE);
    assert_eq!(desk.resume().await, (5, 0, 120));
}

#[tokio::test]
async fn whatever_happens_to_a_call_a_due_order_is_resumed_by_this_run_or_the_next() {
    // One query for each shard, then the read and the write.
    let queries = SHARDS as usize;
    for fault in FAULTS {
        for call in [0, queries - 1, queries, queries + 1, queries + 2] {
            for retries in [false, true] {
                let desk = if retries { Desk::with_retries().await } else { Desk::new().await };
                let order = desk.placed("k").await;
                desk.clock.advance(PAY_WITHIN);
                desk.aws.fail(call, fault);
                let first = desk.aws.call(&desk.resume, json!({})).await;
                if retries && fault != Fault::Conflict {
                    assert_eq!(first.ok()["resumed"], 1, "{fault:?} at {call}: also where the answer to our own write was lost");
                }
                desk.aws.heal();
                desk.resume().await;
                let moved = desk.order(&order).await;
                assert_eq!((moved.goal, moved.version), (Goal::Cancel, 2), "{fault:?} at {call}: {:?}", first.answer);
            }
        }
    }
}

#[tokio::test]
async fn two_runs_at_the_same_time_nudge_once() {
    let mut races = 0;
    for seed in 0..10 {
        let desk = Desk::crowded(seed).await;
        let order = desk.placed("k").await;
        desk.clock.advance(NUDGE);
        let runs = together((desk.resume.clone(), json!({})), (desk.resume.clone(), json!({})));
        let called = desk.aws.call(&runs, Value::Null).await;
        let reports = called.ok().as_array().unwrap().clone();
        let sum = |name: &str| reports.iter().map(|report| report[name].as_u64().unwrap()).sum::<u64>();
        assert_eq!((sum("resumed"), sum("failed")), (1, 0), "seed {seed}: {reports:?}");
        races += sum("passed_over");
        let nudged = desk.order(&order).await;
        assert_eq!((nudged.drive, nudged.version), (1, 2), "seed {seed}");
    }
    assert!(races > 0, "no seed lets both find the order: this test shows nothing");
}

#[tokio::test]
async fn a_product_is_kept_as_the_newest_message_has_it() {
    let desk = Desk::new().await;
    let (new, old) = (product(SPOON, 3, 3999, true), product(SPOON, 2, 1, true));
    assert!(desk.hear_of(&new).await);
    let kept = desk.known(SPOON).await;
    assert_eq!((&kept["price"]["amount"], &kept["version"]), (&json!(3999), &json!(3)));
    for late in [&old, &new, &product(SPOON, 3, 1, false)] {
        let heard = desk.aws.call(&desk.replicate, events::message("product-changes", "product_changed.v1", late)).await;
        assert_eq!((is_done(&heard), heard.operations()), (true, vec!["PutItem"]));
        assert_eq!(desk.known(SPOON).await, kept, "{late}");
    }
}

#[tokio::test]
async fn a_product_that_is_no_longer_sold_stays_as_a_tombstone() {
    let desk = Desk::new().await;
    assert!(desk.hear_of(&product(SPOON, 3, 2999, false)).await);
    assert!(desk.hear_of(&product(SPOON, 2, 2999, true)).await);
    assert_eq!(desk.known(SPOON).await["active"], false);
    assert_eq!(code(&desk.post("k", &two_spoons()).await), "unknown_product");
    assert!(desk.hear_of(&product(SPOON, 4, 2999, true)).await);
    assert_eq!(desk.post("k", &two_spoons()).await.status(), 201);
}

#[tokio::test]
async fn whatever_happens_to_a_call_and_in_whatever_order_messages_come_the_newest_product_is_kept() {
    for fault in FAULTS {
        for order in [[2, 3, 4], [4, 3, 2], [3, 4, 2]] {
            for spoiled in 0..order.len() {
                let desk = Desk::new().await;
                for (number, version) in order.into_iter().enumerate() {
                    let message = product(SPOON, version, 1000 + i64::try_from(version).unwrap(), true);
                    if number == spoiled {
                        desk.aws.fail(0, fault);
                        assert!(!desk.hear_of(&message).await, "{fault:?}: it comes back");
                    }
                    assert!(desk.hear_of(&message).await);
                }
                let kept = desk.known(SPOON).await;
                assert_eq!((&kept["version"], &kept["price"]["amount"]), (&json!(4), &json!(1004)), "{fault:?} {order:?}");
            }
        }
    }
}

#[tokio::test]
async fn pages_lead_through_all_orders_the_newest_first() {
    let desk = Desk::new().await;
    let mut placed = Vec::new();
    for number in 0..25 {
        placed.push((desk.clock.now(), desk.placed(&format!("k-{number}")).await));
        // Some come in the same millisecond.
        if number % 3 != 0 {
            desk.clock.advance(Duration::from_millis(1));
        }
    }
    placed.sort();
    let newest_first: Vec<String> = placed.into_iter().rev().map(|(_, id)| id).collect();
    for (filter, reader, queries) in [
        ("", USER, 1),
        (&*format!("user_id={USER}&"), USER, 1),
        (&*format!("user_id={USER}&"), ADMIN, 1),
        ("status=pending&", USER, 1),
        ("status=pending&", ADMIN, SHARDS as usize),
    ] {
        for (limit, sizes) in [(10, &[10, 10, 5][..]), (5, &[5; 5]), (25, &[25]), (100, &[25])] {
            let (mut seen, mut cursor, mut pages) = (Vec::new(), None::<String>, Vec::new());
            loop {
                let after = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
                let page = desk.page(&format!("{filter}limit={limit}{after}"), reader).await;
                assert_eq!(page.operations(), vec!["Query"; queries]);
                pages.push(ids(&page).len());
                seen.extend(ids(&page));
                cursor = page.json()["next_cursor"].as_str().map(str::to_owned);
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!((&seen, &pages[..]), (&newest_first, sizes), "{filter}limit={limit} as {reader}");
        }
    }
    assert_eq!(ids(&desk.page("", USER).await).len(), 20);
}

#[tokio::test]
async fn lists_are_filtered_and_show_customers_their_own_orders_only() {
    let desk = Desk::new().await;
    let (pending, confirmed) = (desk.placed("one").await, desk.placed("two").await);
    desk.confirm(&confirmed).await;
    let strangers = events::post("/orders", &two_spoons()).caller(STRANGER).header("idempotency-key", "k").event();
    let theirs = desk.aws.call(&desk.create, strangers).await.json()["id"].as_str().unwrap().to_owned();
    let of_user = format!("user_id={USER}");
    let listed = async |query: &str, reader: &str| ids(&desk.page(query, reader).await).into_iter().collect::<BTreeSet<_>>();
    let set = |orders: &[&String]| orders.iter().map(|order| (*order).clone()).collect::<BTreeSet<_>>();
    assert_eq!(listed("", USER).await, set(&[&pending, &confirmed]));
    assert_eq!(listed("", STRANGER).await, set(&[&theirs]));
    assert_eq!(listed("status=pending", USER).await, set(&[&pending]));
    assert_eq!(listed("status=confirmed", USER).await, set(&[&confirmed]));
    assert_eq!(listed("status=shipped", USER).await, set(&[]));
    assert_eq!(listed("status=pending", ADMIN).await, set(&[&pending, &theirs]));
    assert_eq!(listed("status=confirmed", ADMIN).await, set(&[&confirmed]));
    assert_eq!(listed(&of_user, ADMIN).await, set(&[&pending, &confirmed]));
    assert_eq!(listed(&format!("{of_user}&status=confirmed"), ADMIN).await, set(&[&confirmed]));
    // A page is taken first and narrowed then: empty, it still leads on.
    let narrowed = desk.page("status=shipped&limit=1", USER).await;
    assert_eq!((ids(&narrowed).len(), narrowed.json()["next_cursor"].is_string()), (0, true));

    for (query, reader, status, refused) in [
        (&*of_user, STRANGER, 403, "insufficient_permissions"),
        (&*format!("{of_user}&status=pending"), STRANGER, 403, "insufficient_permissions"),
        ("", ADMIN, 422, "filter_required"),
        ("status=lost", ADMIN, 422, "unknown_value"),
        ("status=Pending", USER, 422, "unknown_value"),
        ("user_id=ada", ADMIN, 422, "invalid_id"),
        ("limit=0", USER, 422, "out_of_range"),
        ("limit=101", USER, 422, "out_of_range"),
        ("cursor=nonsense", USER, 400, "invalid_cursor"),
    ] {
        let answer = desk.page(query, reader).await;
        assert_eq!((answer.status(), code(&answer).as_str(), answer.operations().len()), (status, refused, 0), "{query} as {reader}");
    }
    assert_eq!(desk.aws.call(&desk.list, events::get("/orders").event()).await.status(), 401);
    let item = desk.page("status=confirmed", ADMIN).await.json()["items"][0].clone();
    assert_eq!((&item["payment_status"], &item["item_count"], &item["step"]), (&json!("paid"), &json!(2), &Value::Null));
}

#[tokio::test]
async fn a_cursor_is_good_for_the_caller_and_the_list_that_it_was_given_for() {
    let desk = Desk::new().await;
    for number in 0..4 {
        desk.placed(&format!("k-{number}")).await;
        desk.clock.advance(Duration::from_secs(1));
    }
    let of_user = format!("user_id={USER}&limit=2");
    let first = desk.page(&of_user, USER).await;
    let cursor = first.json()["next_cursor"].as_str().unwrap().to_owned();
    let again = async |query: &str, reader: &str| desk.page(&format!("{query}&cursor={cursor}"), reader).await;
    assert_eq!(ids(&again(&of_user, USER).await).len(), 2);
    for (query, reader) in [
        (&*of_user, ADMIN),
        ("limit=2", STRANGER),
        (&*format!("user_id={USER}&limit=3"), USER),
        (&*format!("{of_user}&status=pending"), USER),
        ("status=pending&limit=2", ADMIN),
    ] {
        let refused = again(query, reader).await;
        assert_eq!((refused.status(), code(&refused).as_str(), refused.operations().len()), (400, "invalid_cursor", 0), "{query} {reader}");
    }
    desk.clock.advance(Duration::from_secs(24 * 3600));
    assert_eq!(code(&again(&of_user, USER).await), "invalid_cursor");
}

#[tokio::test]
async fn an_order_is_shown_to_its_buyer_and_to_the_shop_and_to_nobody_else() {
    let desk = Desk::new().await;
    let order = desk.placed("k").await;
    for reader in [USER, ADMIN] {
        let read = desk.read(&order, reader, None).await;
        assert_eq!((read.status(), read.operations()), (200, vec!["GetItem"]));
    }
    let hidden = desk.read(&order, STRANGER, None).await;
    assert_eq!((hidden.status(), code(&hidden).as_str()), (404, "order_not_found"));
    assert_eq!(hidden.json(), desk.read(NOBODYS, STRANGER, None).await.json());
    // Not even whether it has changed.
    assert_eq!(desk.read(&order, STRANGER, Some("*")).await.status(), 404);
    for odd in ["ord_x", &order.to_uppercase(), &order.replace("ord_", "prd_"), &format!("{order}/")] {
        let answer = desk.read(odd, ADMIN, None).await;
        assert_eq!((answer.status(), code(&answer).as_str(), answer.calls.len()), (404, "order_not_found", 0), "{odd}");
    }
    let anonymous = events::get(&format!("/orders/{order}")).path_parameter("order_id", &order).event();
    assert_eq!(desk.aws.call(&desk.get, anonymous).await.status(), 401);
}

#[tokio::test]
async fn an_order_that_has_not_changed_is_not_sent_again() {
    let desk = Desk::new().await;
    let order = desk.placed("k").await;
    let tag = desk.read(&order, USER, None).await.header("etag").unwrap();
    for given in [&*tag, &format!("W/{tag}"), &format!("\"7\", {tag}"), "*"] {
        let unchanged = desk.read(&order, USER, Some(given)).await;
        assert_eq!((unchanged.status(), body(&unchanged)), (304, ""), "{given}");
        assert_eq!(unchanged.header("etag").as_deref(), Some(&*tag));
    }
    desk.tell(&order, "stock_reserved.v1", &json!({ "version": 1 })).await;
    for given in [&*tag, "1", "\"11\""] {
        let changed = desk.read(&order, USER, Some(given)).await;
        assert_eq!((changed.status(), changed.json()["payable"].as_bool()), (200, Some(true)), "{given}");
        assert_ne!(changed.header("etag").as_ref(), Some(&tag));
    }
    // Nothing is written when the time to pay is over, and yet the order is no longer what it was.
    let payable = desk.read(&order, USER, None).await.header("etag").unwrap();
    desk.clock.advance(Duration::from_secs(24 * 3600));
    let late = desk.read(&order, USER, Some(&payable)).await;
    assert_eq!((late.status(), late.json()["payable"].as_bool()), (200, Some(false)));
}

#[tokio::test]
async fn orders_are_spread_over_the_shards_of_their_indexes() {
    let desk = Desk::new().await;
    for number in 0..200 {
        desk.placed(&format!("k-{number}")).await;
    }
    let mut shards: BTreeMap<(String, String), usize> = BTreeMap::new();
    for item in desk.aws.items("orders") {
        let text = |name: &str| item[name]["S"].as_str().unwrap().to_owned();
        *shards.entry((text("status_shard"), text("check_shard"))).or_default() += 1;
    }
    assert_eq!(shards.len(), SHARDS as usize, "{shards:?}");
    assert!(shards.values().all(|count| *count >= 10), "{shards:?}");
}
