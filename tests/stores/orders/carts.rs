//! Carts: opened by their owner alone, changed under a version, and priced whenever they are read.

mod access;
mod concurrent;
mod faults;
mod from_order;
mod merging;

use super::{
    in_market::{TOTAL, parcel_service, usd},
    *,
};

/// The cart of a guest, or of a user.
#[derive(Clone, Debug)]
struct CartHandle {
    id: String,
    /// The token of a guest's cart.
    token: Option<String>,
    /// The user of a cart with an owner.
    owner: Option<&'static str>,
}

impl CartHandle {
    fn new(created: &Value, owner: Option<&'static str>) -> Self {
        let text = |name: &str| created[name].as_str().map(str::to_owned);
        Self { id: text("id").unwrap(), token: text("cart_token"), owner }
    }

    /// A request about the cart, by its owner.
    fn request(&self, method: &str, below: &str) -> events::Http {
        let path = format!("/carts/{}{below}", self.id);
        let mut request = events::http(method, &path).path_parameter("cart_id", &self.id);
        if let Some(token) = &self.token {
            request = request.header("x-cart-token", token);
        }
        if let Some(owner) = self.owner {
            request = request.caller(owner);
        }
        request
    }

    fn change(&self, change: &Value) -> events::Http {
        self.request("POST", "/changes")
            .header("content-type", "application/json")
            .body(&change.to_string())
    }
}

impl OrdersFixture {
    async fn guest_cart(&self, create: &Value) -> CartHandle {
        let created = self.call("create-cart", events::post("/carts", create).event()).await;
        assert_eq!(created.status(), 201, "{:?}", created.answer);
        CartHandle::new(&created.json(), None)
    }

    /// The open cart of a user.
    async fn own_cart(&self, owner: &'static str) -> CartHandle {
        let created = self.create_cart(owner, &json!({})).await;
        assert!([200, 201].contains(&created.status()), "{:?}", created.answer);
        CartHandle::new(&created.json(), Some(owner))
    }

    async fn create_cart(&self, owner: &str, create: &Value) -> Called {
        self.call("create-cart", events::post("/carts", create).caller(owner).event()).await
    }

    async fn change_cart(&self, cart: &CartHandle, change: &Value) -> Called {
        self.call("change-cart", cart.change(change).event()).await
    }

    /// Changes a cart, and returns it.
    async fn changed_cart(&self, cart: &CartHandle, change: &Value) -> Value {
        let called = self.change_cart(cart, change).await;
        assert_eq!(called.status(), 200, "{:?}", called.answer);
        called.json()
    }

    async fn read_cart(&self, cart: &CartHandle) -> Called {
        self.call("get-cart", cart.request("GET", "").event()).await
    }

    async fn merge_carts(&self, own: &CartHandle, guest: &CartHandle) -> Called {
        self.call("merge-cart", merge(own, guest)).await
    }
}

/// The request to merge a guest's cart into that of a user.
fn merge(own: &CartHandle, guest: &CartHandle) -> Value {
    let request = own.request("POST", "/merge");
    let request = match &guest.token {
        Some(token) => request.header("x-cart-token", token),
        None => request,
    };
    request.event()
}

/// The quantities of a cart, by product.
fn quantities(cart: &Value) -> BTreeMap<String, u64> {
    let lines = cart["lines"].as_array().unwrap().iter();
    lines
        .map(|line| {
            (line["product_id"].as_str().unwrap().to_owned(), line["quantity"].as_u64().unwrap())
        })
        .collect()
}

fn pieces<const N: usize>(lines: [(&str, u64); N]) -> BTreeMap<String, u64> {
    lines.into_iter().map(|(product, quantity)| (product.to_owned(), quantity)).collect()
}

fn codes<'a>(cart: &'a Value, list: &str) -> Vec<&'a str> {
    cart[list].as_array().unwrap().iter().map(|entry| entry["code"].as_str().unwrap()).collect()
}

fn add(product: &str, quantity: u64) -> Value {
    json!({ "add": [{ "product_id": product, "quantity": quantity }] })
}

fn set(product: &str, quantity: u64) -> Value {
    json!({ "set": [{ "product_id": product, "quantity": quantity }] })
}

#[tokio::test]
async fn token_is_returned_once_and_never_stored() {
    let fixture = OrdersFixture::new().await;
    let created = fixture.call("create-cart", events::post("/carts", &json!({})).event()).await;
    assert_eq!((created.status(), created.operations()), (201, vec!["PutItem"]));
    assert_eq!(created.header("cache-control").as_deref(), Some("no-store"));
    let view = created.json();
    let guest = CartHandle::new(&view, None);
    assert_eq!(created.header("location"), Some(format!("carts/{}", guest.id)));
    let token = guest.token.clone().unwrap();
    let secret = token.strip_prefix(&format!("{}.", guest.id)).unwrap();
    assert_eq!(secret.len(), 43);
    assert_eq!(codes(&view, "refusals"), ["cart_empty"]);

    let changed = fixture.changed_cart(&guest, &add(SPOON, 2)).await;
    let read = fixture.read_cart(&guest).await;
    assert_eq!((read.status(), read.operations()), (200, vec!["GetItem", "BatchGetItem"]));
    assert_eq!(read.header("cache-control").as_deref(), Some("no-store"));
    assert_eq!(read.json(), changed);
    for answer in [changed.to_string(), format!("{:?}", fixture.aws.items("order-carts"))] {
        assert!(!answer.contains(secret), "{answer}");
    }
}

#[tokio::test]
async fn cart_without_a_market_has_the_prices_of_the_catalogue() {
    let fixture = OrdersFixture::new().await;
    let guest = fixture.guest_cart(&json!({})).await;
    fixture.changed_cart(&guest, &add(BOWL, 1)).await;
    let cart = fixture.changed_cart(&guest, &add(SPOON, 2)).await;
    assert_eq!((&cart["version"], &cart["item_count"]), (&json!(3), &json!(3)));
    assert_eq!(cart["totals"]["total"], usd(6998));
    assert_eq!((&cart["price"], &cart["refusals"]), (&Value::Null, &json!([])));
    let line = &cart["lines"][0];
    assert_eq!(
        (&line["sku"], &line["unit_price"], &line["line_total"], &line["compare_at"]),
        (&json!("SPOON-OAK"), &usd(2999), &usd(5998), &Value::Null)
    );
    let options = guest.request("GET", "/shipping-options").event();
    let options = fixture.call("list-shipping-options", options).await.json();
    assert_eq!(options["shipping_options"], json!([]));
    assert_eq!(codes(&options, "refusals"), ["market_required"]);
}

#[tokio::test]
async fn cart_in_a_market_has_the_price_of_its_order() {
    let fixture = OrdersFixture::with_market().await;
    let guest = fixture.guest_cart(&json!({ "market": "gb" })).await;
    let cart = fixture.changed_cart(&guest, &add(SPOON, 2)).await;
    assert_eq!(codes(&cart, "refusals"), ["shipping_address_required"]);
    assert_eq!((&cart["totals"], &cart["lines"][0]["unit_price"]), (&Value::Null, &Value::Null));

    let options = async || {
        let request = guest.request("GET", "/shipping-options").event();
        fixture.call("list-shipping-options", request).await
    };
    let before = options().await;
    assert_eq!((before.status(), before.operations()), (200, vec!["GetItem", "BatchGetItem"]));
    assert_eq!(before.json()["shipping_options"], json!([]));
    assert_eq!(codes(&before.json(), "refusals"), ["shipping_address_required"]);

    let cart = fixture.changed_cart(&guest, &json!({ "country": "GB" })).await;
    assert_eq!(codes(&cart, "refusals"), ["shipping_address_required", "shipping_method_required"]);
    assert_eq!((&cart["totals"]["items"], &cart["pricing_version"]), (&usd(5398), &json!(1)));
    let offered = options().await.json();
    assert_eq!(offered["refusals"], json!([]));
    let method = &offered["shipping_options"][0]["method_id"];
    assert_eq!(*method, parcel_service());

    let change = json!({
        "shipping_address": addressed()["shipping_address"], "shipping_method": method, "country": null,
    });
    let cart = fixture.changed_cart(&guest, &change).await;
    assert_eq!((&cart["refusals"], &cart["warnings"]), (&json!([]), &json!([])));
    assert_eq!((&cart["totals"]["total"], &cart["country"]), (&usd(TOTAL), &Value::Null));
    assert_eq!(cart["price"]["lines"][0]["line_id"], cart["lines"][0]["line_id"]);
    let mut order = addressed();
    order["market"] = "gb".into();
    order["shipping_method"] = method.clone();
    order["expected_total"] = cart["totals"]["total"].clone();
    let placed = fixture.post("k", &order).await;
    assert_eq!((placed.status(), &placed.json()["totals"]), (201, &cart["totals"]));

    let change = json!({ "shipping_method": "shp_0199c2a8-0000-7000-8000-0000000000ff" });
    let cart = fixture.changed_cart(&guest, &change).await;
    assert_eq!(codes(&cart, "refusals"), ["shipping_unavailable"]);
    assert_eq!(codes(&cart, "warnings"), ["shipping_unavailable"]);
    let cart = fixture.changed_cart(&guest, &json!({ "market": "atlantis" })).await;
    assert_eq!(codes(&cart, "refusals"), ["unknown_market"]);
}

#[tokio::test]
async fn changes_set_add_remove_and_clear() {
    let fixture = OrdersFixture::new().await;
    let guest = fixture.guest_cart(&json!({ "locale": "de-CH" })).await;
    let change = json!({
        "set": [{ "product_id": SPOON, "quantity": 3 }], "add": [{ "product_id": BOWL, "quantity": 1 }],
        "email": " ADA@example.com ", "note": "Please ring.",
        "attributes": [{ "name": "gift_wrapping", "value": "yes" }],
    });
    let cart = fixture.changed_cart(&guest, &change).await;
    assert_eq!(quantities(&cart), pieces([(SPOON, 3), (BOWL, 1)]));
    assert_eq!((&cart["email"], &cart["locale"]), (&json!("ada@example.com"), &json!("de-CH")));
    assert_eq!(cart["attributes"], change["attributes"]);

    let cart = fixture.changed_cart(&guest, &add(BOWL, 4)).await;
    assert_eq!(quantities(&cart), pieces([(SPOON, 3), (BOWL, 5)]));
    assert_eq!(
        (&cart["note"], &cart["email"]),
        (&json!("Please ring."), &json!("ada@example.com"))
    );
    let cleared = json!({ "note": null, "email": "", "attributes": [], "locale": null });
    let cart = fixture.changed_cart(&guest, &cleared).await;
    for name in ["note", "email", "attributes", "locale"] {
        assert_eq!(cart[name], Value::Null, "{name}");
    }
    // A line that does not exist can be removed.
    for product in [SPOON, SPOON, BOWL] {
        fixture.changed_cart(&guest, &set(product, 0)).await;
    }
    let cart = fixture.read_cart(&guest).await.json();
    assert_eq!((quantities(&cart), &cart["version"]), (BTreeMap::new(), &json!(7)));
}

#[tokio::test]
async fn changes_beyond_a_limit_are_rejected_and_write_nothing() {
    let fixture = OrdersFixture::new().await;
    let guest = fixture.guest_cart(&json!({})).await;
    fixture.changed_cart(&guest, &set(SPOON, 20)).await;
    let stored = fixture.aws.items("order-carts");
    let unknown = "prd_0199c2a8-0000-7000-8000-0000000000ee";
    let line = |product: &str| json!({ "product_id": product, "quantity": 1 });
    for (change, code, pointer) in [
        (add(SPOON, 1), "too_many_of_product", "/add/0/quantity"),
        (set(SPOON, 21), "too_many_of_product", "/set/0/quantity"),
        (add(unknown, 1), "unknown_product", "/add/0/product_id"),
        (
            json!({ "set": [line(BOWL)], "add": [line(BOWL)] }),
            "duplicate_value",
            "/add/0/product_id",
        ),
        (json!({ "set": [line(BOWL), line(BOWL)] }), "duplicate_value", "/set/1/product_id"),
        (json!({ "set": vec![line(BOWL); 41] }), "out_of_range", "/set"),
        (json!({ "mutation_id": "m" }), "nothing_to_change", ""),
    ] {
        let called = fixture.change_cart(&guest, &change).await;
        assert_eq!((called.status(), called.code().as_str()), (422, code), "{change}");
        assert_eq!(called.json()["errors"][0]["pointer"], pointer, "{change}");
    }
    assert_eq!(fixture.aws.items("order-carts"), stored);

    // The limit of the product takes precedence over that of the shop.
    let mut few = product(BOWL, 2, 1000, true);
    few["max_per_order"] = 2.into();
    assert!(fixture.replicate(&few).await);
    assert_eq!(fixture.change_cart(&guest, &add(BOWL, 3)).await.json()["maximum"], 2);
}

#[tokio::test]
async fn cart_has_at_most_40_lines_and_16_kb() {
    let fixture = OrdersFixture::new().await;
    let guest = fixture.guest_cart(&json!({})).await;
    let id = |number: usize| format!("prd_0199c2a8-0000-7000-8000-0000000001{number:02}");
    for number in 0..41 {
        assert!(fixture.replicate(&product(&id(number), 1, 100, true)).await);
    }
    let lines: Value =
        (0..40).map(|number| json!({ "product_id": id(number), "quantity": 1 })).collect();
    fixture.changed_cart(&guest, &json!({ "set": lines })).await;
    let full = fixture.change_cart(&guest, &add(&id(40), 1)).await;
    assert_eq!((full.status(), full.code().as_str()), (422, "too_many_lines"));
    assert_eq!(full.json()["maximum"], 40);
    let swapped = json!({
        "set": [{ "product_id": id(0), "quantity": 0 }], "add": [{ "product_id": id(40), "quantity": 1 }],
    });
    assert_eq!(fixture.changed_cart(&guest, &swapped).await["item_count"], 40);

    let attributes = |length: usize| -> Value {
        let value = "\u{1f600}".repeat(length);
        (0..20).map(|number| json!({ "name": format!("a{number}"), "value": value })).collect()
    };
    let stored = fixture.aws.items("order-carts");
    let large = fixture.change_cart(&guest, &json!({ "attributes": attributes(200) })).await;
    assert_eq!((large.status(), large.code().as_str()), (422, "cart_too_large"));
    assert_eq!(fixture.aws.items("order-carts"), stored);
    fixture.changed_cart(&guest, &json!({ "attributes": attributes(80) })).await;
}

#[tokio::test]
async fn change_may_name_more_products_than_one_call_reads() {
    let fixture = OrdersFixture::new().await;
    let guest = fixture.guest_cart(&json!({})).await;
    let id = |number: usize| format!("prd_0199c2a8-0000-7000-8000-000000000{number:03}");
    for number in (0..40).chain(80..120) {
        assert!(fixture.replicate(&product(&id(number), 1, 100, true)).await);
    }
    let lines = |numbers: std::ops::Range<usize>, quantity: u64| -> Value {
        numbers.map(|number| json!({ "product_id": id(number), "quantity": quantity })).collect()
    };
    fixture.changed_cart(&guest, &json!({ "set": lines(0..40, 1) })).await;
    // With those of the cart, 120 products are read.
    let change = json!({ "set": lines(40..80, 0), "add": lines(80..120, 1) });
    let called = fixture.change_cart(&guest, &change).await;
    assert_eq!((called.status(), called.code().as_str()), (422, "too_many_lines"));
    assert_eq!(called.operations(), ["GetItem", "BatchGetItem", "BatchGetItem"]);
}

#[tokio::test]
async fn repeated_mutation_changes_nothing() {
    let fixture = OrdersFixture::new().await;
    let guest = fixture.guest_cart(&json!({})).await;
    let named = |id: &str| {
        let mut change = add(SPOON, 1);
        change["mutation_id"] = id.into();
        change
    };
    let first = fixture.changed_cart(&guest, &named("first")).await;
    let again = fixture.change_cart(&guest, &named("first")).await;
    assert_eq!((again.json(), again.operations()), (first, vec!["GetItem", "BatchGetItem"]));
    // The last 16 are known.
    for number in 0..15 {
        fixture.changed_cart(&guest, &named(&format!("later-{number}"))).await;
    }
    assert_eq!(fixture.changed_cart(&guest, &named("first")).await["item_count"], 16);
    fixture.changed_cart(&guest, &named("later-15")).await;
    assert_eq!(fixture.changed_cart(&guest, &named("first")).await["item_count"], 18);
}

#[tokio::test]
async fn buyer_is_warned_of_a_new_price_until_the_next_change() {
    let fixture = OrdersFixture::new().await;
    let guest = fixture.guest_cart(&json!({})).await;
    fixture.changed_cart(&guest, &add(SPOON, 1)).await;
    assert!(fixture.replicate(&product(SPOON, 2, 3499, true)).await);
    for _ in 0..2 {
        let cart = fixture.read_cart(&guest).await.json();
        let line = &cart["lines"][0];
        assert_eq!(line["unit_price"], usd(3499));
        assert_eq!(
            cart["warnings"],
            json!([{ "code": "price_changed", "line_id": line["line_id"] }])
        );
    }
    let cart = fixture.changed_cart(&guest, &json!({ "note": "Seen." })).await;
    assert_eq!(codes(&cart, "warnings"), ["price_changed"]);
    assert_eq!(fixture.read_cart(&guest).await.json()["warnings"], json!([]));
}

#[tokio::test]
async fn line_of_a_product_that_is_no_longer_sold_stays_without_a_price() {
    let fixture = OrdersFixture::new().await;
    let guest = fixture.guest_cart(&json!({})).await;
    fixture.changed_cart(&guest, &add(SPOON, 1)).await;
    fixture.changed_cart(&guest, &add(BOWL, 1)).await;
    assert!(fixture.replicate(&product(SPOON, 2, 2999, false)).await);
    let cart = fixture.read_cart(&guest).await.json();
    let line = &cart["lines"][0];
    assert_eq!((&line["unit_price"], &line["name"]), (&Value::Null, &json!("Oak spoon")));
    assert_eq!(cart["warnings"], json!([{ "code": "not_sold_here", "line_id": line["line_id"] }]));
    assert_eq!(
        cart["refusals"],
        json!([{ "code": "unknown_product", "product_id": SPOON, "minimum": null }])
    );
    assert_eq!(cart["totals"]["total"], usd(1000));
    // The rest of the cart can still be changed, and the line removed.
    fixture.changed_cart(&guest, &add(BOWL, 1)).await;
    assert_eq!(fixture.changed_cart(&guest, &set(SPOON, 0)).await["refusals"], json!([]));
}

#[tokio::test]
async fn cart_expires_two_days_after_it_was_created_and_sixty_after_a_line() {
    let day = Duration::from_secs(24 * 3600);
    let fixture = OrdersFixture::new().await;
    let (empty, used) =
        (fixture.guest_cart(&json!({})).await, fixture.guest_cart(&json!({})).await);
    fixture.changed_cart(&used, &add(SPOON, 1)).await;
    fixture.changed_cart(&used, &set(SPOON, 0)).await;
    fixture.clock.advance(2 * day - Duration::from_secs(1));
    assert_eq!(fixture.read_cart(&empty).await.status(), 200);
    fixture.clock.advance(Duration::from_secs(1));
    for operation in ["get-cart", "list-shipping-options"] {
        let expired = fixture.call(operation, empty.request("GET", "").event()).await;
        assert_eq!((expired.status(), expired.code().as_str()), (404, "cart_not_found"));
    }
    assert_eq!(fixture.change_cart(&empty, &add(SPOON, 1)).await.status(), 404);
    fixture.clock.advance(58 * day - Duration::from_secs(1));
    assert_eq!(fixture.read_cart(&used).await.status(), 200);
    fixture.clock.advance(Duration::from_secs(1));
    assert_eq!(fixture.read_cart(&used).await.status(), 404);
}

#[tokio::test]
async fn user_has_one_open_cart_until_it_expires() {
    let fixture = OrdersFixture::new().await;
    let own = fixture.create_cart(USER, &json!({ "country": "GB" })).await;
    assert_eq!((own.status(), own.operations()), (201, vec!["GetItem", "TransactWriteItems"]));
    assert_eq!(own.json().get("cart_token"), None);
    let again = fixture.create_cart(USER, &json!({ "country": "FR" })).await;
    assert_eq!((again.status(), again.json()), (200, own.json()));
    assert_ne!(fixture.own_cart(STRANGER).await.id, own.json()["id"].as_str().unwrap());
    fixture.clock.advance(Duration::from_secs(2 * 24 * 3600));
    let next = fixture.create_cart(USER, &json!({})).await;
    assert_eq!(next.status(), 201);
    assert_ne!(next.json()["id"], own.json()["id"]);
}

#[tokio::test]
async fn deletion_of_the_user_deletes_the_cart() {
    let fixture = OrdersFixture::new().await;
    let own = fixture.own_cart(USER).await;
    fixture.changed_cart(&own, &json!({ "email": "ada@example.com" })).await;
    let theirs = fixture.own_cart(STRANGER).await;
    let deleted = events::message("update-buyer", "user_deleted.v1", &json!({ "user_id": USER }));
    for _ in 0..2 {
        assert!(fixture.call("update-buyer", deleted.clone()).await.is_done());
    }
    let left = fixture.aws.items("order-carts");
    assert_eq!(left.len(), 2);
    assert!(!format!("{left:?}").contains("ada@example.com"));
    assert_eq!(fixture.read_cart(&own).await.status(), 404);
    assert_eq!(fixture.read_cart(&theirs).await.status(), 200);
}
