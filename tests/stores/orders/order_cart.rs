//! `POST /orders` of a cart: the cart becomes at most one order, with the content and the total
//! that its buyer has seen.

mod rejected;

use orders::{
    domain::{
        cart::{Cart, CartState},
        number::order_number,
        ordered_cart::order_id_of_cart,
    },
    store::placement::PlacementWrite,
};
use shared::ids::CartId;

use super::{
    in_market::{parcel_service, rules, usd},
    *,
};

/// The reads of a new order of a cart, and the transaction that writes it.
const ORDERED: [&str; 3] = ["BatchGetItem", "BatchGetItem", "TransactWriteItems"];
/// The calls of a repeated request: it reads the order of the first one.
const READ: [&str; 1] = ["BatchGetItem"];

impl OrdersFixture {
    /// The open cart of a user, after these changes.
    async fn cart_of(&self, user: &str, changes: &Value) -> Value {
        let created =
            self.call("create-cart", events::post("/carts", &json!({})).caller(user).event()).await;
        assert!(matches!(created.status(), 200 | 201), "{:?}", created.answer);
        self.changed(user, created.json()["id"].as_str().unwrap(), changes).await
    }

    /// A cart of Ada with two spoons, at the prices of the catalogue.
    async fn cart(&self) -> Value {
        self.cart_of(USER, &two_spoons_in_cart()).await
    }

    /// A cart of Ada with two spoons in the market `gb`, which can be ordered.
    async fn cart_in_market(&self) -> Value {
        let mut changes = two_spoons_in_cart();
        changes["market"] = "gb".into();
        changes["shipping_method"] = parcel_service();
        changes["shipping_address"] = addressed()["shipping_address"].clone();
        self.cart_of(USER, &changes).await
    }

    async fn changed(&self, user: &str, cart: &str, changes: &Value) -> Value {
        let called = self.call("change-cart", change(user, cart, changes)).await;
        assert_eq!(called.status(), 200, "{:?}", called.answer);
        called.json()
    }

    async fn read_own(&self, cart: &str) -> Called {
        let request = events::get(&format!("/carts/{cart}")).path_parameter("cart_id", cart);
        self.call("get-cart", request.caller(USER).event()).await
    }

    /// Every cart as it is stored.
    fn carts(&self) -> Vec<Value> {
        self.aws.items("order-carts")
    }

    async fn stored_cart(&self, cart: &str) -> Cart {
        let cart_id = CartId::parse(cart).unwrap();
        self.orders.store.find_cart(cart_id).await.unwrap().expect("the cart exists")
    }

    /// Asserts that a request is rejected before it writes the order or the cart.
    async fn assert_refused(&self, body: &Value, status: u64, code: &str) -> Value {
        let (orders, carts) = (self.aws.items("orders"), self.carts());
        let refused = self.post("k", body).await;
        assert_eq!((refused.status(), refused.code().as_str()), (status, code), "{body}");
        assert_eq!((self.aws.items("orders"), self.carts()), (orders, carts), "{code}");
        refused.json()
    }
}

fn two_spoons_in_cart() -> Value {
    json!({ "set": [{ "product_id": SPOON, "quantity": 2 }] })
}

fn change(user: &str, cart: &str, changes: &Value) -> Value {
    let request = events::post(&format!("/carts/{cart}/changes"), changes);
    request.caller(user).path_parameter("cart_id", cart).event()
}

/// The request that orders a cart as it was shown.
pub(super) fn of_cart(cart: &Value) -> Value {
    json!({
        "cart_id": cart["id"], "cart_version": cart["version"], "expected_total": cart["totals"]["total"],
    })
}

fn id(view: &Value) -> &str {
    view["id"].as_str().unwrap()
}

#[tokio::test]
async fn order_of_a_cart_has_its_lines_and_total() {
    let fixture = OrdersFixture::new().await;
    let changes = json!({
        "set": [{ "product_id": SPOON, "quantity": 2 }, { "product_id": BOWL, "quantity": 3 }],
        "shipping_address": addressed()["shipping_address"],
        "billing_address": addressed()["shipping_address"],
        "tax_id": "GB 111 1111 11", "email": "ada@work.example", "locale": "en-GB", "note": "Please ring twice.",
        "attributes": [{ "name": "gift_wrapping", "value": "yes" }],
    });
    let cart = fixture.cart_of(USER, &changes).await;
    let body = of_cart(&cart);
    let placed = fixture.post("k", &body).await;
    assert_eq!(
        (placed.status(), placed.operations()),
        (201, ORDERED.into()),
        "{:?}",
        placed.answer
    );
    let order = placed.json();
    assert_eq!(id(&order), order_id_of_cart(CartId::parse(id(&cart)).unwrap()).to_string());
    assert_eq!((&order["cart_id"], &order["totals"]), (&cart["id"], &cart["totals"]));
    assert_eq!(order["totals"]["total"], usd(8998));
    let lines = |view: &Value, name: &str| {
        let lines = view[name].as_array().unwrap().iter();
        let fields = ["line_id", "product_id", "quantity", "unit_price", "line_total"];
        lines.map(|line| fields.map(|field| line[field].clone())).collect::<Vec<_>>()
    };
    assert_eq!(lines(&order, "items"), lines(&cart, "lines"));
    for field in ["shipping_address", "billing_address", "tax_id", "locale", "note", "attributes"] {
        assert_eq!(order[field], cart[field], "{field}");
    }
    // Mails go to the address of the account.
    assert_eq!(order["buyer"]["email"], "ada@example.com");
    assert_eq!(order["tax_id"], "GB 111 1111 11");
    assert_eq!(fixture.read(id(&order), USER, None).await.body(), placed.body());

    let gone = fixture.read_own(id(&cart)).await;
    assert_eq!((gone.status(), gone.code().as_str()), (410, "cart_ordered"));
    let number = order_number(order_id_of_cart(CartId::parse(id(&cart)).unwrap()));
    assert_eq!((&gone.json()["order_id"], &gone.json()["number"]), (&order["id"], &json!(number)));
    let closed = fixture.carts().iter().map(Value::to_string).collect::<String>();
    for personal in ["St James", "work.example", "ring twice", SPOON] {
        assert!(!closed.contains(personal), "an ordered cart keeps {personal}");
    }
}

#[tokio::test]
async fn tax_number_of_the_request_replaces_that_of_the_cart() {
    let fixture = OrdersFixture::new().await;
    let mut changes = two_spoons_in_cart();
    changes["tax_id"] = "GB 111 1111 11".into();
    let cart = fixture.cart_of(USER, &changes).await;
    assert_eq!(cart["tax_id"], "GB 111 1111 11");
    let mut body = of_cart(&cart);
    body["tax_id"] = "GB 123 4567 73".into();
    let placed = fixture.post("k", &body).await;
    assert_eq!((placed.status(), &placed.json()["tax_id"]), (201, &json!("GB 123 4567 73")));
}

/// The market takes 10 % off and adds shipping and tax.
#[tokio::test]
async fn cart_preview_and_order_have_the_same_total() {
    for rules in [events::pricing(), rules(2, "prices_include_tax", json!(true))] {
        let fixture = OrdersFixture::with_market().await;
        assert!(fixture.replicate_rules(&rules).await);
        let cart = fixture.cart_in_market().await;
        assert_eq!((&cart["refusals"], &cart["warnings"]), (&json!([]), &json!([])));
        let preview = json!({
            "market": "gb", "lines": [{ "product_id": SPOON, "quantity": 2 }], "country": "GB",
            "shipping_method": parcel_service(),
        });
        let preview =
            fixture.call("preview-prices", events::post("/prices/preview", &preview).event()).await;
        let order = fixture.post("k", &of_cart(&cart)).await;
        assert_eq!(order.status(), 201, "{:?}", order.answer);
        let order = order.json();
        assert_eq!(order["totals"], cart["totals"]);
        assert_eq!(order["totals"], preview.json()["totals"]);
        // The ids of the lines are the same, too.
        assert_eq!(order["price"], cart["price"]);
        assert_ne!(order["totals"]["shipping"], usd(0));
        assert_ne!(order["price"]["discount_total"], 0);
        assert_eq!(order["price"]["lines"][0]["line_id"], order["items"][0]["line_id"]);
    }
}

#[tokio::test]
async fn repeated_request_returns_the_first_order() {
    let fixture = OrdersFixture::new().await;
    let cart = fixture.cart().await;
    let first = fixture.post("k", &of_cart(&cart)).await;
    assert_eq!(first.status(), 201);
    let again = async |what: &str| {
        let again = fixture.post("k", &of_cart(&cart)).await;
        assert_eq!((again.status(), again.body()), (201, first.body()), "{what}");
        assert_eq!(again.header("idempotent-replayed").as_deref(), Some("true"), "{what}");
        assert_eq!(again.operations(), READ, "{what}");
    };
    again("at once").await;
    assert!(fixture.replicate(&product(SPOON, 2, 3999, true)).await);
    again("after a change of the price").await;
    let order = first.json();
    fixture.confirm(id(&order)).await;
    again("after the payment").await;
    fixture.clock.advance(Duration::from_secs(61 * 24 * 3600));
    again("after the cart has expired").await;
    for cart in fixture.carts() {
        fixture.aws.delete("order-carts", &json!({ "pk": cart["pk"] }));
    }
    again("after the cart was deleted").await;
    assert_eq!(fixture.count(), 1);
}

#[tokio::test]
async fn ordered_cart_is_distinguished_from_a_reused_key() {
    let fixture = OrdersFixture::new().await;
    let cart = fixture.cart().await;
    let order = fixture.post("k", &of_cart(&cart)).await.json();
    let with = |field: &str, value: Value| {
        let mut body = of_cart(&cart);
        body[field] = value;
        body
    };
    for other in [
        with("cart_version", json!(9)),
        with("expected_total", usd(1)),
        with("tax_id", json!("GB 1")),
        with("payment_method", json!({ "type": "card", "token": "tok_ok" })),
    ] {
        fixture.assert_refused(&other, 422, "idempotency_key_reused").await;
        let refused = fixture.post("other", &other).await;
        assert_eq!((refused.status(), refused.code().as_str()), (409, "cart_ordered"));
        assert_eq!(
            (&refused.json()["order_id"], refused.operations()),
            (&order["id"], READ.into())
        );
        assert_eq!(refused.json()["number"], order["number"]);
    }
    // The same key may name an order of items: it is another order.
    let of_items = fixture.post("k", &two_spoons()).await;
    assert_eq!((of_items.status(), fixture.count()), (201, 2));
    assert_ne!(of_items.json()["id"], order["id"]);
    assert_eq!(of_items.json()["cart_id"], Value::Null);
}

#[tokio::test]
async fn ten_keys_at_once_order_the_cart_once() {
    for seed in 0..10 {
        let fixture = OrdersFixture::crowded(seed).await;
        let cart = fixture.cart().await;
        let body = of_cart(&cart);
        let requests = (0..10).map(|number| events::order(&format!("k-{number}"), &body).event());
        let answers = fixture.call_all("create-order", requests.collect::<Vec<_>>()).await;
        assert_eq!(statuses(&answers), BTreeMap::from([(201, 1), (409, 9)]), "seed {seed}");
        assert_eq!(fixture.count(), 1, "seed {seed}");
        let order = fixture.aws.orders()[0]["pk"]["S"].as_str().unwrap().to_owned();
        for answer in answers.iter().filter(|answer| answer["statusCode"] == 409) {
            let problem: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
            assert_eq!(problem["code"], "cart_ordered", "seed {seed}: {problem}");
            assert_eq!(format!("ORDER#{}", problem["order_id"].as_str().unwrap()), order);
        }
    }
}

#[tokio::test]
async fn copies_of_a_request_order_the_cart_once() {
    for seed in 0..10 {
        let fixture = OrdersFixture::crowded(seed).await;
        let body = of_cart(&fixture.cart().await);
        let copies =
            fixture.call_all("create-order", vec![events::order("k", &body).event(); 10]).await;
        assert_eq!(statuses(&copies), BTreeMap::from([(201, 10)]), "seed {seed}");
        let bodies: BTreeSet<_> =
            copies.iter().map(|answer| answer["body"].as_str().unwrap()).collect();
        assert_eq!((bodies.len(), fixture.count()), (1, 1), "seed {seed}");
    }
}

/// The buyer changes the cart in one tab and orders it in another.
#[tokio::test]
async fn concurrent_change_never_enters_the_order() {
    let mut outcomes = BTreeMap::new();
    for seed in 0..20 {
        let fixture = OrdersFixture::crowded(seed).await;
        let cart = fixture.cart().await;
        let order = events::order("k", &of_cart(&cart)).event();
        let three = json!({ "set": [{ "product_id": SPOON, "quantity": 3 }] });
        let answers = fixture
            .call_together(vec![
                ("create-order".to_owned(), order),
                ("change-cart".to_owned(), change(USER, id(&cart), &three)),
            ])
            .await;
        let [ordered, changed] = &answers[..] else { panic!("two answers") };
        *outcomes.entry((ordered.status(), changed.status())).or_insert(0) += 1;
        let stored = fixture.stored_cart(id(&cart)).await;
        match (ordered.status(), changed.status()) {
            (201, 410) => {
                assert!(matches!(stored.state, CartState::Ordered { .. }), "seed {seed}");
                assert_eq!(ordered.json()["items"][0]["quantity"], 2, "seed {seed}");
                assert_eq!(ordered.json()["totals"], cart["totals"], "seed {seed}");
            }
            (409, 200) => {
                assert_eq!((ordered.code().as_str(), fixture.count()), ("cart_changed", 0));
                assert_eq!(stored.state, CartState::Open, "seed {seed}");
                assert_eq!(ordered.json()["cart"]["version"], stored.version, "seed {seed}");
            }
            other => panic!("seed {seed}: {other:?} {:?}", ordered.answer),
        }
    }
    assert_eq!(outcomes.len(), 2, "both orders of events occur: {outcomes:?}");
}

#[tokio::test]
async fn cart_is_ordered_once_under_any_fault() {
    for_each_fault(0..=CALLS, async |InjectedFault { call, fault }| {
        for (later_fault, later_call) in [
            (Fault::LoseRequest, 0),
            (Fault::LoseRequest, 2),
            (Fault::LoseResponse, 2),
            (Fault::Throttle, 2),
            (Fault::Conflict, 2),
        ] {
            let context = format!("{fault:?} at {call}, then {later_fault:?} at {later_call}");
            let fixture = OrdersFixture::new().await;
            let cart = fixture.cart().await;
            fixture.aws.fail(call, fault);
            let first = fixture.post("k", &of_cart(&cart)).await;
            fixture.aws.heal();
            assert_consistent(&fixture, id(&cart), &context).await;
            fixture.aws.fail(later_call, later_fault);
            let second = fixture.post("k", &of_cart(&cart)).await;
            fixture.aws.heal();
            assert_consistent(&fixture, id(&cart), &context).await;
            let third = fixture.post("k", &of_cart(&cart)).await;
            assert_eq!((third.status(), fixture.count()), (201, 1), "{context}");
            let bodies: BTreeSet<_> = [&first, &second, &third]
                .into_iter()
                .filter(|answer| answer.status() == 201)
                .map(Called::body)
                .collect();
            assert_eq!(bodies.len(), 1, "{context}");
            let other = fixture.post("other", &of_cart(&cart)).await;
            assert_eq!(other.code(), "cart_ordered", "{context}");
        }
    })
    .await;
}

#[tokio::test]
async fn crash_leaves_an_order_and_an_ordered_cart_or_neither() {
    for call in 0..CALLS {
        for fault in [Fault::CrashBefore, Fault::CrashAfter] {
            let context = format!("{fault:?} at {call}");
            let fixture = OrdersFixture::new().await;
            let cart = fixture.cart().await;
            fixture.aws.fail(call, fault);
            let crashed = fixture.post("k", &of_cart(&cart)).await;
            assert!(crashed.has_crashed(), "{context}");
            fixture.aws.heal();
            let is_placed = (call, fault) == (2, Fault::CrashAfter);
            assert_eq!(fixture.count(), usize::from(is_placed), "{context}");
            assert_consistent(&fixture, id(&cart), &context).await;
            let again = fixture.post("k", &of_cart(&cart)).await;
            assert_eq!((again.status(), fixture.count()), (201, 1), "{context}");
        }
    }
}

/// Asserts that the cart is ordered exactly if its order exists.
async fn assert_consistent(fixture: &OrdersFixture, cart: &str, context: &str) {
    let state = fixture.stored_cart(cart).await.state;
    let is_ordered = matches!(state, CartState::Ordered { .. });
    assert_eq!(usize::from(is_ordered), fixture.count(), "{context}");
}

#[tokio::test]
async fn sdk_retry_after_a_lost_answer_returns_the_order_of_the_cart() {
    let fixture = OrdersFixture::with_retries().await;
    let cart = fixture.cart().await;
    fixture.aws.fail(2, Fault::LoseResponse);
    let placed = fixture.post("k", &of_cart(&cart)).await;
    let calls = [&ORDERED[..], &["TransactWriteItems"]].concat();
    assert_eq!((placed.status(), placed.operations(), fixture.count()), (201, calls, 1));
    assert_eq!(fixture.post("k", &of_cart(&cart)).await.body(), placed.body());
}

#[tokio::test]
async fn changed_cart_is_returned_and_can_be_ordered_under_the_same_key() {
    let fixture = OrdersFixture::with_market().await;
    let seen = fixture.cart_in_market().await;
    let three = json!({ "set": [{ "product_id": SPOON, "quantity": 3 }] });
    let current = fixture.changed(USER, id(&seen), &three).await;
    let problem = fixture.assert_refused(&of_cart(&seen), 409, "cart_changed").await;
    assert_eq!(problem["cart"], current);
    assert_eq!(problem["cart"], fixture.read_own(id(&seen)).await.json());
    let future = {
        let mut body = of_cart(&current);
        body["cart_version"] = json!(current["version"].as_u64().unwrap() + 1);
        body
    };
    fixture.assert_refused(&future, 409, "cart_changed").await;
    let refused = fixture.post("k", &of_cart(&seen)).await;
    assert_eq!(refused.operations(), ["BatchGetItem", "BatchGetItem"]);

    let placed = fixture.post("k", &of_cart(&problem["cart"])).await;
    assert_eq!((placed.status(), &placed.json()["totals"]), (201, &current["totals"]));
}

/// Another request writes the cart between the reads and the transaction.
#[tokio::test]
async fn write_of_an_outdated_cart_returns_the_current_one() {
    let fixture = OrdersFixture::new().await;
    let view = fixture.cart().await;
    let seen = fixture.stored_cart(id(&view)).await;
    fixture.changed(USER, id(&view), &json!({ "note": "Please ring twice." })).await;
    let order = {
        let items = fixture.stored("items", &two_spoons()).await;
        let mut order = fixture.order(&items).await;
        order.placed.order_id = order_id_of_cart(seen.cart_id);
        order
    };
    let (orders, carts) = (fixture.aws.items("orders"), fixture.carts());
    let store = &fixture.orders.store;
    let user_id = UserId::parse(USER).unwrap();
    let (snapshot, _) = store
        .read_for_placement(order.placed.order_id, user_id, "nowhere", &[], &[])
        .await
        .unwrap();
    let write = PlacementWrite {
        order: &order,
        cart: Some(&seen),
        network: "nowhere",
        network_limit: fixture.orders.limits.network,
        usage: &snapshot.usage,
        ended: &[],
        now: fixture.clock.now(),
    };
    let Ok(PlaceOutcome::CartChanged(Some(current))) = store.place(write).await else {
        panic!("the cart has changed")
    };
    assert_eq!(current.version, seen.version + 1);
    assert_eq!((fixture.aws.items("orders"), fixture.carts()), (orders, carts));

    for cart in fixture.carts() {
        fixture.aws.delete("order-carts", &json!({ "pk": cart["pk"] }));
    }
    let gone = store.place(PlacementWrite { cart: Some(&current), ..write }).await;
    assert!(matches!(gone, Ok(PlaceOutcome::CartChanged(None))), "{gone:?}");
}

/// The batch read is not a snapshot: it can return the ordered cart without the order that it
/// became.
#[tokio::test]
async fn cart_that_was_ordered_during_the_read_is_answered_from_its_order() {
    let fixture = OrdersFixture::new().await;
    let first = fixture.post("first", &of_cart(&fixture.cart().await)).await.json();
    let cart = fixture.cart().await;
    let second = fixture.post("second", &of_cart(&cart)).await.json();
    // The first read does not find the order of the second cart, and the next one finds the order
    // that the cart names.
    let pk = format!("ORDER#{}", id(&second));
    fixture.aws.delete("orders", &json!({ "pk": { "S": pk } }));
    let pk = format!("CART#{}", id(&cart));
    let mut stored =
        fixture.carts().into_iter().find(|item| item["pk"]["S"] == pk.as_str()).unwrap();
    stored["order_id"]["S"] = first["id"].clone();
    fixture.aws.put("order-carts", &stored);
    let answered = fixture.post("third", &of_cart(&cart)).await;
    assert_eq!((answered.status(), answered.code().as_str()), (409, "cart_ordered"));
    // A restored table of orders may lack the order of a cart.
    fixture.aws.delete("orders", &json!({ "pk": { "S": format!("ORDER#{}", id(&first)) } }));
    let answered = fixture.post("fourth", &of_cart(&cart)).await;
    assert_eq!((answered.status(), answered.code().as_str()), (409, "cart_ordered"));
    assert_eq!(answered.json()["order_id"], first["id"]);
    assert_eq!(answered.operations(), ["BatchGetItem", "BatchGetItem"]);
}

#[tokio::test]
async fn order_of_items_keeps_locale_note_and_attributes() {
    let fixture = OrdersFixture::new().await;
    let mut request = two_spoons();
    request["locale"] = "en-GB".into();
    request["note"] = "Please ring twice.".into();
    request["attributes"] = json!([{ "name": "gift_wrapping", "value": "yes" }]);
    let placed = fixture.post("k", &request).await;
    assert_eq!((placed.status(), &placed.json()["cart_id"]), (201, &Value::Null));
    for field in ["locale", "note", "attributes"] {
        assert_eq!(placed.json()[field], request[field], "{field}");
    }
    let order = placed.json();
    assert_eq!(fixture.read(id(&order), USER, None).await.body(), placed.body());
    fixture.settle(id(&order)).await;
    let settled = fixture.read(id(&order), USER, None).await.json();
    assert_eq!(settled["note"], request["note"]);
}
