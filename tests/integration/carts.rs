//! Carts of guests and users: concurrent changes, merges and orders, and who may open a cart.

use reqwest::Method;
use serde_json::{Value, json};

use crate::shop::{Answer, Cart, Person, Shop, address, quantities, shop_with, unique, until};

const PARALLEL_ADDS: usize = 20;
const PARALLEL_MERGES: usize = 5;
const PARALLEL_ORDERS: usize = 10;
/// The number of declined payments that ends an order.
const DECLINES: usize = 5;

/// Sends the same kind of request several times at once, and returns the answers.
async fn at_once<F>(count: usize, request: impl Fn(usize) -> F) -> Vec<Answer>
where
    F: Future<Output = Answer> + Send + 'static,
{
    let requests: Vec<_> = (0..count).map(|number| tokio::spawn(request(number))).collect();
    let mut answers = Vec::with_capacity(count);
    for request in requests {
        answers.push(request.await.unwrap());
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_concurrent_adds_to_a_cart_are_each_kept_once() {
    let shop = shop_with!(Tables);
    let product = shop.product(700, 1).await;
    let cart = shop.visitor().cart(&json!({})).await;
    let empty = cart.read().await.expect(200);
    assert_eq!((&empty["lines"], &empty["item_count"]), (&json!([]), &json!(0)));

    let add = |number: usize| {
        let (cart, id) = (cart.clone(), format!("add-{number}"));
        let line = json!({ "product_id": product, "quantity": 1 });
        async move { cart.change(&json!({ "add": [line], "mutation_id": id })).await }
    };
    for answer in at_once(PARALLEL_ADDS, add).await {
        answer.expect(200);
    }
    let full = cart.read().await.expect(200);
    let added = PARALLEL_ADDS as u64;
    assert_eq!(quantities(&full), [(product.clone(), added)]);
    assert_eq!(full["version"], empty["version"].as_u64().unwrap() + added);
    assert_eq!(full["totals"]["total"], json!({ "amount": 14_000, "currency": "USD" }));

    // One more is above the limit of the product, and a repeated change has no second effect.
    let line = json!([{ "product_id": product, "quantity": 1 }]);
    assert_eq!(cart.change(&json!({ "add": line })).await.problem(422), "too_many_of_product");
    let fewer =
        json!({ "set": [{ "product_id": product, "quantity": 3 }], "mutation_id": "set-to-3" });
    let changed = cart.change(&fewer).await.expect(200);
    let more = cart.change(&json!({ "add": line })).await.expect(200);
    let repeated = cart.change(&fewer).await.expect(200);
    assert_eq!(quantities(&changed), [(product.clone(), 3)]);
    assert_eq!(
        (quantities(&repeated), &repeated["version"]),
        (vec![(product, 4)], &more["version"])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_concurrent_merges_of_a_guest_cart_merge_it_once() {
    let shop = shop_with!(Tables);
    let (both, only_guest) = (shop.product(700, 1).await, shop.product(300, 1).await);
    let guest = shop.visitor().cart(&json!({})).await;
    let token = guest.token.clone().unwrap();
    let lines = json!([
        { "product_id": both, "quantity": 2 },
        { "product_id": only_guest, "quantity": 4 },
    ]);
    guest.change(&json!({ "add": lines })).await.expect(200);

    let buyer = shop.customer().await;
    let mine = buyer.cart(&json!({})).await;
    let line = json!([{ "product_id": both, "quantity": 1 }]);
    let before = mine.change(&json!({ "add": line })).await.expect(200);
    let merge = |_| {
        let (mine, token) = (mine.clone(), token.clone());
        async move { mine.merge(&token).await }
    };
    let mut expected = vec![(both, 3), (only_guest, 4)];
    expected.sort();
    for answer in at_once(PARALLEL_MERGES, merge).await {
        assert_eq!(quantities(&answer.expect(200)), expected);
    }
    let merged = mine.read().await.expect(200);
    assert_eq!((quantities(&merged), &merged["warnings"]), (expected, &json!([])));
    assert_eq!(merged["version"], before["version"].as_u64().unwrap() + 1);
    assert_eq!(guest.read().await.problem(404), "cart_not_found");
    assert_eq!(mine.merge(&token).await.expect(200)["version"], merged["version"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_concurrent_orders_of_a_cart_place_one_order() {
    let shop = shop_with!(Tables);
    let (buyer, product) = (shop.customer().await, shop.product(700, 5).await);
    let cart = buyer.cart_with(&product, 2).await;
    let keys: Vec<String> = (0..PARALLEL_ORDERS).map(|_| unique("order")).collect();
    let order = |number: usize| {
        let (buyer, cart, key) = (buyer.clone(), cart.clone(), keys[number].clone());
        async move { buyer.order_cart(&cart, &key, None).await }
    };
    let answers = at_once(PARALLEL_ORDERS, order).await;
    let placed: Vec<usize> =
        (0..PARALLEL_ORDERS).filter(|number| answers[*number].status == 201).collect();
    assert_eq!(placed.len(), 1, "{answers:?}");
    let (first, key) = (&answers[placed[0]], &keys[placed[0]]);
    let order = first.json();
    for other in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!(other.problem(409), "cart_ordered");
        let problem = other.json();
        assert_eq!((&problem["order_id"], &problem["number"]), (&order["id"], &order["number"]));
    }
    let listed = buyer.get("/orders").await.expect(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(order["totals"], cart["totals"]);

    let again = buyer.order_cart(&cart, key, None).await;
    assert_eq!((again.status, &again.text), (201, &first.text));
    assert_eq!(again.header("idempotent-replayed"), "true");
    let other_body = buyer.order_cart(&cart, key, Some("tok_ok")).await;
    assert_eq!(other_body.problem(422), "idempotency_key_reused");
    let gone = buyer.get(&format!("/carts/{}", cart["id"].as_str().unwrap())).await;
    assert_eq!(
        (gone.problem(410).as_str(), &gone.json()["order_id"]),
        ("cart_ordered", &order["id"])
    );
    let held = || shop.stock(&product);
    until("the stock of one order is held", held, |stock| *stock == (5, 3, 2)).await;
}

/// Puts the lines of a failed or cancelled order into a new cart. A repetition changes nothing.
async fn cart_from(buyer: &Person, order: &str) -> Cart {
    let body = json!({ "from_order": order });
    let created = buyer.post("/carts", &body).await.expect(201);
    let repeated = buyer.post("/carts", &body).await.expect(200);
    assert_eq!(
        (&repeated["id"], quantities(&repeated)),
        (&created["id"], quantities(&created)),
        "{repeated}"
    );
    assert_eq!(created["shipping_address"]["line1"], address()["line1"]);
    buyer.cart(&json!({})).await
}

/// Orders a cart with a card, and waits until it is confirmed.
async fn order_until_confirmed(buyer: &Person, cart: &Value) {
    let order = buyer.order_cart(cart, &unique("order"), Some("tok_ok")).await.expect(201);
    buyer.order_with_status(order["id"].as_str().unwrap(), "confirmed").await;
}

#[tokio::test]
async fn order_above_stock_is_ordered_again_from_a_new_cart() {
    let shop = shop_with!(Tables);
    let (buyer, product) = (shop.customer().await, shop.product(700, 1).await);
    let cart = buyer.cart_with(&product, 2).await;
    let order = buyer.order_cart(&cart, &unique("order"), Some("tok_ok")).await.expect(201);
    let order = order["id"].as_str().unwrap();
    assert_eq!(buyer.order_with_status(order, "failed").await["reason"], "out_of_stock");

    let stranger = shop.customer().await;
    let foreign = stranger.post("/carts", &json!({ "from_order": order })).await;
    assert_eq!(foreign.problem(404), "order_not_found");
    let next = cart_from(&buyer, order).await;
    assert_ne!(next.id, cart["id"].as_str().unwrap());
    let set = json!([{ "product_id": product, "quantity": 1 }]);
    let next = next.change(&json!({ "set": set })).await.expect(200);
    order_until_confirmed(&buyer, &next).await;
}

#[tokio::test]
async fn order_declined_five_times_is_ordered_again_from_a_new_cart() {
    let shop = shop_with!(Tables);
    let (buyer, product) = (shop.customer().await, shop.product(700, 5).await);
    let cart = buyer.cart_with(&product, 2).await;
    let order = buyer.order_cart(&cart, &unique("order"), None).await.expect(201);
    let order = order["id"].as_str().unwrap();
    buyer.order_at_step(order, "awaiting_payment").await;
    for _ in 0..DECLINES {
        let pay = || buyer.pay(order, "tok_declined");
        let declined =
            until("the payment is declined", pay, |answer| ![404, 409].contains(&answer.status));
        assert_eq!(declined.await.problem(402), "payment_declined");
    }
    assert_eq!(buyer.order_with_status(order, "failed").await["reason"], "payment_failed");

    let next = cart_from(&buyer, order).await.read().await.expect(200);
    assert_eq!(quantities(&next), quantities(&cart));
    order_until_confirmed(&buyer, &next).await;
    until("one order is sold", || shop.stock(&product), |stock| *stock == (3, 3, 0)).await;
}

#[tokio::test]
async fn expired_order_is_ordered_again_from_a_new_cart() {
    let shop = shop_with!(Tables);
    let (buyer, product) = (shop.customer().await, shop.product(700, 5).await);
    let cart = buyer.cart_with(&product, 2).await;
    let order = buyer.order_cart(&cart, &unique("order"), None).await.expect(201);
    let order = order["id"].as_str().unwrap();
    buyer.order_at_step(order, "awaiting_payment").await;
    shop.expire(order).await;
    let read = || async {
        shop.sweep().await;
        buyer.read_order(order).await
    };
    until("the order is cancelled", read, |order| order["status"] == "cancelled").await;

    let next = cart_from(&buyer, order).await.read().await.expect(200);
    assert_eq!(quantities(&next), quantities(&cart));
    order_until_confirmed(&buyer, &next).await;
    until("one order is sold", || shop.stock(&product), |stock| *stock == (3, 3, 0)).await;
}

/// The operations that open one cart.
async fn open(cart: &Cart) -> [Answer; 3] {
    let locale = json!({ "locale": "en-GB" });
    [
        cart.read().await,
        cart.change(&locale).await,
        cart.send(Method::GET, "/shipping-options", None).await,
    ]
}

async fn expect_opened(cart: &Cart, who: &str) {
    for answer in open(cart).await {
        assert_eq!(answer.status, 200, "{who}: {answer:?}");
    }
}

async fn expect_not_found(cart: &Cart, who: &str) {
    for answer in open(cart).await {
        assert_eq!((answer.status, answer.problem(404).as_str()), (404, "cart_not_found"), "{who}");
    }
}

/// A visitor with a token that the shop did not sign.
fn impostor(shop: &Shop) -> Person {
    Person { token: Some("eyJhbGciOiJub25lIn0.e30.".to_owned()), ..shop.visitor() }
}

#[tokio::test]
async fn guest_cart_is_opened_by_its_token_alone() {
    let shop = Shop::open().await;
    let (visitor, user, admin) = (shop.visitor(), shop.customer().await, shop.admin().await);
    let (cart, other) = (visitor.cart(&json!({})).await, visitor.cart(&json!({})).await);
    let forged = format!("{}.{}", cart.id, "A".repeat(43));
    let crossed =
        format!("{}.{}", cart.id, other.token.as_deref().unwrap().rsplit('.').next().unwrap());

    expect_opened(&cart, "a guest with the token").await;
    expect_opened(&cart.held_by(&user), "a user with the token").await;
    expect_not_found(&cart.with_token(None), "a guest without the token").await;
    expect_not_found(&cart.with_token(other.token.as_deref()), "the token of another cart").await;
    expect_not_found(&cart.with_token(Some(&forged)), "a forged secret").await;
    expect_not_found(&cart.with_token(Some(&crossed)), "the secret of another cart").await;
    expect_not_found(&cart.with_token(Some("token")), "a malformed token").await;
    expect_not_found(&cart.held_by(&user).with_token(None), "a user without the token").await;
    expect_not_found(&cart.held_by(&admin).with_token(None), "an admin without the token").await;
    for answer in open(&cart.held_by(&impostor(&shop))).await {
        assert_eq!(answer.status, 401, "the token beside an invalid access token: {answer:?}");
    }
}

#[tokio::test]
async fn preview_needs_no_access_token_and_rejects_an_invalid_one() {
    let shop = Shop::open().await;
    let body = json!({ "market": "nowhere", "country": "DE", "lines": [] });
    for person in [shop.visitor(), shop.customer().await] {
        let answer = person.post("/prices/preview", &body).await;
        assert_eq!(answer.status, 422, "{answer:?}");
    }
    assert_eq!(impostor(&shop).post("/prices/preview", &body).await.status, 401);
}

#[tokio::test]
async fn user_cart_is_opened_by_its_owner_alone() {
    let shop = Shop::open().await;
    let (visitor, owner, stranger, admin) =
        (shop.visitor(), shop.customer().await, shop.customer().await, shop.admin().await);
    let cart = owner.cart(&json!({})).await;
    let forged = format!("{}.{}", cart.id, "A".repeat(43));

    expect_opened(&cart, "the owner").await;
    assert_eq!(owner.cart(&json!({})).await.id, cart.id, "a user has one open cart");
    expect_not_found(&cart.held_by(&visitor), "a guest").await;
    expect_not_found(&cart.held_by(&visitor).with_token(Some(&forged)), "a forged token").await;
    expect_not_found(&cart.held_by(&stranger), "another user").await;
    expect_not_found(&cart.held_by(&admin), "an admin").await;
    for answer in open(&cart.held_by(&impostor(&shop))).await {
        assert_eq!(answer.status, 401, "an invalid access token: {answer:?}");
    }
    let unknown = Cart { id: "crt_0199c2a8-0000-7000-8000-00000000dead".to_owned(), ..cart };
    expect_not_found(&unknown, "an unknown cart").await;
}

#[tokio::test]
async fn carts_are_merged_and_ordered_by_their_owner_alone() {
    let shop = shop_with!(Tables);
    let (visitor, owner, stranger) = (shop.visitor(), shop.customer().await, shop.customer().await);
    let product = shop.product(700, 5).await;
    let mine = owner.cart_with(&product, 1).await;
    let (mine, read) = (owner.cart(&json!({})).await, mine);
    let guest = visitor.cart(&json!({})).await;
    let token = guest.token.clone().unwrap();
    let line = json!([{ "product_id": product, "quantity": 2 }]);
    let filled = guest.change(&json!({ "add": line })).await.expect(200);

    for (who, cart, token) in [
        ("another user", mine.held_by(&stranger), token.as_str()),
        ("a path that is not the own cart", guest.held_by(&owner), token.as_str()),
        ("the token of no cart", mine.clone(), "token"),
    ] {
        let answer = cart.merge(token).await;
        assert_eq!((answer.status, answer.problem(404).as_str()), (404, "cart_not_found"), "{who}");
    }
    for holder in [visitor.clone(), impostor(&shop)] {
        assert_eq!(mine.held_by(&holder).merge(&token).await.status, 401);
    }
    for (who, buyer, cart) in
        [("another user", &stranger, &read), ("a user, of a guest's cart", &owner, &filled)]
    {
        let answer = buyer.order_cart(cart, &unique("order"), None).await;
        assert_eq!((answer.status, answer.problem(404).as_str()), (404, "cart_not_found"), "{who}");
    }
    assert_eq!(visitor.order_cart(&filled, &unique("order"), None).await.status, 401);

    let merged = mine.merge(&token).await.expect(200);
    assert_eq!(quantities(&merged), [(product, 3)]);
    assert_eq!(
        owner.order_cart(&read, &unique("order"), None).await.problem(409),
        "cart_changed",
        "the buyer has not seen the merged cart"
    );
    owner.order_cart(&merged, &unique("order"), Some("tok_ok")).await.expect(201);
    assert_eq!(mine.read().await.problem(410), "cart_ordered");
    expect_not_found(&mine.held_by(&stranger), "another user, after the order").await;
    expect_not_found(&guest, "the guest, after the merge").await;
}
