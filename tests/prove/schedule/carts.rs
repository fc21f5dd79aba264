//! Buyers with carts: they fill a cart as guests, log in, and order it. Every request is repeated
//! until it has an answer, so each acknowledged change happens once.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tests::{
    dynamodb::{Attribute, number, text},
    events::{self, Http},
    shop::MAX_PER_ORDER,
};

use super::{
    Schedule, met,
    people::MOST_ATTEMPTS,
    shopping::{REFUSALS, reason},
};
use crate::stage::markets::{PLACES, usd};

/// Maximum of attempts of a buyer to order a cart.
const MOST_CHECKOUTS: usize = 4;
/// Buyers stop adding pieces of a product at this quantity, which is below the limit of the shop.
const MOST_PIECES: u32 = 16;

/// The quantity of each product.
type Lines = BTreeMap<String, u32>;

/// A cart, and what the shop has acknowledged of its content.
struct Cart {
    id: String,
    /// Gives access to the cart of a guest.
    token: Option<String>,
    /// Owns a cart without a token.
    buyer: String,
    market: Option<String>,
    lines: Lines,
}

impl Cart {
    /// The cart in the answer that created or found it.
    fn of(view: &Value, buyer: &str, lines: Lines) -> Self {
        let text = |name: &str| view[name].as_str().map(str::to_owned);
        Self {
            id: text("id").unwrap_or_default(),
            token: text("cart_token"),
            buyer: buyer.to_owned(),
            market: text("market"),
            lines,
        }
    }

    /// Adds the credential that opens the cart: its token, or the access token of its owner.
    fn opened(&self, request: Http) -> Http {
        let request = request.path_parameter("cart_id", &self.id);
        match &self.token {
            Some(token) => request.header("x-cart-token", token),
            None => request.caller(&self.buyer),
        }
    }
}

impl Schedule {
    /// Fills a cart and orders it. Returns whether it is ordered.
    pub(super) async fn place_from_cart(&mut self, buyer: &str) -> bool {
        let mut mine = self.own_cart(buyer).await;
        if self.chance(30) {
            self.shop_for(&mut mine).await;
        }
        if self.chance(60) {
            let mut guest = self.guest_cart().await;
            self.shop_for(&mut guest).await;
            self.merge(guest, &mut mine).await;
        }
        if mine.lines.is_empty() || self.chance(30) {
            self.shop_for(&mut mine).await;
        }
        self.check_out(mine).await
    }

    /// A buyer adds the lines of an earlier order to their cart and orders it, in schedules with
    /// markets. A cart with lines for another market stays as it is.
    pub(super) async fn order_again(&mut self) {
        if !self.has_markets || !self.chance(40) {
            return;
        }
        let (order, buyer) = self.any_order();
        let mut lines = self.carts.get(&buyer).cloned().unwrap_or_default();
        let is_other = !lines.is_empty()
            && self.own_cart(&buyer).await.market.as_deref() != self.market_of(&order).as_deref();
        for (product, quantity) in self.lines_of(&order).into_iter().filter(|_| !is_other) {
            let line = lines.entry(product).or_default();
            *line = (*line).max(quantity);
        }
        let from_order = json!({ "from_order": order });
        let view = self.create_cart(Some(&buyer), &from_order).await;
        let mine = Cart::of(&view, &buyer, lines);
        self.keep(&mine);
        self.expect(&mine, &view);
        let again = self.create_cart(Some(&buyer), &from_order).await;
        self.expect(&mine, &again);
        let warnings = again["warnings"].as_array().cloned().unwrap_or_default();
        let has_warning = warnings.iter().any(|warning| warning["code"] == "other_market");
        self.stage.ensure(has_warning == is_other, || format!("taken from {order}: {again:#}"));
        self.stage.note(&format!("{order} is in the cart {} again", mine.id));
        self.facts.push("an order in a cart again");
        self.check_out(mine).await;
    }

    /// Checks the carts once all faults have ended: each became at most one order, carts of users
    /// contain exactly what was acknowledged, and no secret is stored.
    pub(super) async fn check_carts(&mut self) {
        for (buyer, lines) in self.carts.clone() {
            let request = events::post("/carts", &json!({})).caller(&buyer);
            let view = self.stage.request("create-cart", request.event()).await.json();
            let mine = Cart::of(&view, &buyer, lines);
            self.expect(&mine, &view);
        }
        let items = self.stage.shop.aws.stored("order-carts");
        let ordered = items.iter().filter(|item| text(item, "state") == "ordered");
        let ordered: BTreeMap<String, String> = ordered
            .map(|cart| {
                let id = text(cart, "pk").trim_start_matches("CART#");
                (id.to_owned(), text(cart, "order_id").to_owned())
            })
            .collect();
        self.stage.ensure(ordered == self.ordered_carts, || {
            format!("the carts became {ordered:?} instead of {:?}", self.ordered_carts)
        });
        for item in self.stage.shop.aws.items("order-carts") {
            let item = item.to_string();
            let secret = self.secrets.iter().find(|secret| item.contains(secret.as_str()));
            self.stage.ensure(secret.is_none(), || format!("a secret is stored: {item}"));
        }
    }

    /// The open cart of a buyer, which is created if it does not exist.
    async fn own_cart(&mut self, buyer: &str) -> Cart {
        let view = self.create_cart(Some(buyer), &json!({})).await;
        let cart = Cart::of(&view, buyer, self.carts.get(buyer).cloned().unwrap_or_default());
        self.stage.ensure(cart.token.is_none(), || format!("a user has a token: {view:#}"));
        self.expect(&cart, &view);
        cart
    }

    async fn guest_cart(&mut self) -> Cart {
        let place = PLACES[self.below(PLACES.len() as u64) as usize];
        let view = self.create_cart(None, &json!({ "market": place.market })).await;
        let cart = Cart::of(&view, "", Lines::new());
        let secret = cart.token.as_ref().and_then(|token| token.split_once('.'));
        let Some((_, secret)) = secret else { self.stage.fail("a guest has no token") };
        self.secrets.push(secret.to_owned());
        self.expect(&cart, &view);
        cart
    }

    async fn create_cart(&mut self, buyer: Option<&str>, body: &Value) -> Value {
        let mut request = events::post("/carts", body);
        if let Some(buyer) = buyer {
            request = request.caller(buyer);
        }
        let called = self.ask("create-cart", &request.event()).await;
        self.stage.note(&format!("create-cart: {}", called.status()));
        self.stage.ensure([200, 201].contains(&called.status()), || {
            format!("create-cart: {:?}", called.answer)
        });
        called.json()
    }

    /// Adds products, and sometimes removes one or sets its quantity.
    async fn shop_for(&mut self, cart: &mut Cart) {
        for _ in 0..1 + self.below(3) {
            let product = self.any_product();
            let quantity = 1 + self.below(2) as u32;
            if cart.lines.get(&product).copied().unwrap_or_default() + 2 * quantity > MOST_PIECES {
                continue;
            }
            if self.chance(20) {
                // A set quantity is not sent again after other changes, because it would overwrite
                // them.
                let quantity = self.below(3) as u32;
                let set = json!([{ "product_id": product, "quantity": quantity }]);
                let view = self.change(cart, &json!({ "set": set })).await;
                cart.lines.insert(product.clone(), quantity);
                cart.lines.retain(|_, quantity| *quantity > 0);
                self.keep(cart);
                self.expect(cart, &view);
            } else {
                self.add(cart, &product, quantity).await;
            }
        }
        if cart.lines.is_empty() {
            let product = self.any_product();
            self.add(cart, &product, 1).await;
        }
    }

    /// Adds a quantity once, although the request is sent several times. Meanwhile another device
    /// adds to the same cart.
    async fn add(&mut self, cart: &mut Cart, product: &str, quantity: u32) {
        let body = self.addition(product, quantity);
        if self.chance(30) {
            // The device does not wait for an answer.
            let early = cart.opened(events::post("/carts/changes", &body));
            self.request("change-cart", early.event()).await;
            let other = self.addition(product, quantity);
            self.change(cart, &other).await;
            *cart.lines.entry(product.to_owned()).or_default() += quantity;
        }
        let view = self.change(cart, &body).await;
        *cart.lines.entry(product.to_owned()).or_default() += quantity;
        self.keep(cart);
        self.expect(cart, &view);
        if self.chance(25) {
            let again = self.change(cart, &body).await;
            self.stage.ensure(again["version"] == view["version"], || {
                format!("a repeated change is written: {view:#} {again:#}")
            });
            self.expect(cart, &again);
        }
    }

    fn addition(&mut self, product: &str, quantity: u32) -> Value {
        self.mutations += 1;
        json!({
            "add": [{ "product_id": product, "quantity": quantity }],
            "mutation_id": format!("mutation-{}", self.mutations),
        })
    }

    /// Changes a cart. Returns it as it is afterwards.
    async fn change(&mut self, cart: &Cart, body: &Value) -> Value {
        let request = cart.opened(events::post("/carts/changes", body));
        let called = self.ask("change-cart", &request.event()).await;
        self.stage.note(&format!("change-cart {body}: {}", called.status()));
        self.stage.ensure(called.status() == 200, || format!("change-cart: {:?}", called.answer));
        called.json()
    }

    /// Merges the cart of a guest into that of a user, once. Carts of different markets stay as
    /// they are.
    async fn merge(&mut self, guest: Cart, mine: &mut Cart) {
        let is_other = !mine.lines.is_empty() && mine.market != guest.market;
        if !is_other {
            for (product, quantity) in &guest.lines {
                let line = mine.lines.entry(product.clone()).or_default();
                *line = (*line + quantity).min(MAX_PER_ORDER);
            }
            mine.market = guest.market.clone();
            self.keep(mine);
        }
        let request = mine.opened(events::http("POST", "/carts/merge"));
        let event = request.header("x-cart-token", guest.token.as_deref().unwrap_or_default());
        let event = event.event();
        for _ in 0..1 + self.below(2) {
            let called = self.ask("merge-cart", &event).await;
            self.stage.note(&format!("merge-cart: {}", called.status()));
            self.stage.ensure(called.status() == 200, || format!("{:?}", called.answer));
            let view = called.json();
            let warnings = view["warnings"].as_array().cloned().unwrap_or_default();
            let has_warning = warnings.iter().any(|warning| warning["code"] == "other_market");
            self.stage.ensure(has_warning == is_other, || format!("merged as {view:#}"));
            self.expect(mine, &view);
        }
        let read = guest.opened(events::get("/carts"));
        let status = self.ask("get-cart", &read.event()).await.status();
        let expected = if is_other { 200 } else { 404 };
        self.stage.ensure(status == expected, || format!("the guest's cart is {status}"));
        self.facts.push(if is_other { "carts of two markets" } else { met::MERGED_CART });
    }

    /// Orders a cart at the price that the buyer has seen. Returns whether it is ordered.
    async fn check_out(&mut self, mut mine: Cart) -> bool {
        let place = PLACES[self.below(PLACES.len() as u64) as usize];
        let mut terms = json!({ "market": place.market, "shipping_address": place.address() });
        if self.chance(15) {
            (terms["market"], terms["shipping_method"]) = (Value::Null, Value::Null);
        }
        self.change(&mine, &terms).await;
        for _ in 0..MOST_CHECKOUTS {
            let Some(view) = self.orderable(&mine).await else { continue };
            self.meanwhile().await;
            let product = self.any_product();
            if self.chance(20) && mine.lines.get(&product).is_none_or(|own| *own < MOST_PIECES) {
                self.add(&mut mine, &product, 1).await;
            }
            let is_same = quantities(&view["lines"]) == mine.lines;
            let (version, total) = (&view["version"], view["totals"]["total"]["amount"].as_i64());
            let total = total.unwrap_or_default();
            match self.order_cart(&mine, version, total).await {
                Ok(()) => {
                    self.stage
                        .ensure(is_same, || format!("an outdated cart was ordered: {view:#}"));
                    return true;
                }
                Err(problem) if problem["code"] == "cart_changed" => {
                    self.stage
                        .ensure(!is_same, || format!("cart_changed without a change: {problem:#}"));
                    self.expect(&mine, &problem["cart"]);
                }
                Err(problem) => {
                    self.stage.ensure(is_same, || format!("{problem:#}"));
                    let Some(total) = problem["total"]["amount"].as_i64() else { continue };
                    if self.chance(50) {
                        // Nothing changes between the refusal and this order.
                        let placed = self.order_cart(&mine, version, total).await;
                        self.stage.ensure(placed.is_ok(), || {
                            format!("the price {total} is accepted and refused again: {placed:?}")
                        });
                        return true;
                    }
                }
            }
        }
        false
    }

    /// Reads a cart, and chooses a shipping method if it needs one. `None` if it cannot be ordered
    /// now.
    async fn orderable(&mut self, cart: &Cart) -> Option<Value> {
        for _ in 0..MOST_CHECKOUTS {
            let read = cart.opened(events::get("/carts")).event();
            let called = self.ask("get-cart", &read).await;
            self.stage.ensure(called.status() == 200, || format!("{:?}", called.answer));
            let view = called.json();
            self.expect(cart, &view);
            let Some(refusal) = view["refusals"].get(0) else { return Some(view) };
            let is_expected = refusal["code"].as_str().is_some_and(|code| REFUSALS.contains(&code));
            self.stage.ensure(is_expected, || format!("a cart is refused: {view:#}"));
            let read = cart.opened(events::get("/carts/shipping-options")).event();
            let called = self.ask("list-shipping-options", &read).await;
            self.stage.ensure(called.status() == 200, || format!("{:?}", called.answer));
            let options = called.json()["shipping_options"].as_array().cloned().unwrap_or_default();
            if options.is_empty() || refusal["code"] == "below_minimum" {
                return None;
            }
            let option = &options[self.below(options.len() as u64) as usize];
            self.change(cart, &json!({ "shipping_method": option["method_id"] })).await;
        }
        None
    }

    /// Orders a cart in the version and at the total that the buyer has seen, until the request has
    /// an answer. A buyer who does not know the outcome sometimes takes another key.
    async fn order_cart(&mut self, cart: &Cart, version: &Value, total: i64) -> Result<(), Value> {
        let mut body = json!({
            "cart_id": cart.id, "cart_version": version, "expected_total": usd(total),
        });
        if self.chance(70) {
            body["payment_method"] = json!({ "type": "card", "token": self.token() });
        }
        self.mutations += 1;
        let mut key = format!("cart-{}", self.mutations);
        let mut may_be_ordered = false;
        for _ in 0..MOST_ATTEMPTS {
            let writes = self.stage.shop.aws.writes();
            let event = order_request(&cart.buyer, &key, &body);
            let called = self.request("create-order", event.clone()).await;
            let (status, answer) = (called.status(), called.json());
            match (status, answer["code"].as_str()) {
                (201, _) => {
                    self.accept_cart(cart, &answer, total);
                    self.repeat_order(cart, &event, &answer["id"]).await;
                    return Ok(());
                }
                (502 | 503, _) => {
                    may_be_ordered = true;
                    if self.chance(30) {
                        key.push('+');
                    }
                    continue;
                }
                (409, Some("cart_ordered")) if may_be_ordered => {
                    let id = answer["order_id"].as_str().unwrap_or_default();
                    let read = events::get("/orders").caller(&cart.buyer);
                    let read = read.path_parameter("order_id", id).event();
                    let order = self.ask("get-order", &read).await.json();
                    self.accept_cart(cart, &order, total);
                    self.facts.push(met::TWO_KEYS);
                    return Ok(());
                }
                _ => {}
            }
            let code = reason(&answer);
            self.stage.note(&format!("create-order {key}: {status} {code}"));
            let wrote = self.stage.shop.aws.writes() - writes;
            let is_expected = ["price_changed", "cart_changed"].contains(&code.as_str())
                || REFUSALS.contains(&code.as_str());
            self.stage.ensure(is_expected && wrote == 0, || {
                format!("create-order writes {wrote} times, and is refused: {:?}", called.answer)
            });
            self.facts.push("a cart that is not ordered");
            return Err(answer);
        }
        self.stage.fail(&format!("create-order failed {MOST_ATTEMPTS} times"))
    }

    /// Adds the order of a cart: it has the lines of the cart, at the total that the buyer has
    /// seen.
    fn accept_cart(&mut self, cart: &Cart, order: &Value, total: i64) {
        let id = order["id"].as_str().unwrap_or_default();
        self.stage.note(&format!("placed {id} from {} at {total}", cart.id));
        let items = quantities(&order["items"]);
        self.stage.ensure(items == cart.lines, || {
            format!("the order has {items:?}, and its cart {:?}", cart.lines)
        });
        self.stage.placed_at(id.to_owned(), cart.buyer.clone(), total);
        self.ordered_carts.insert(cart.id.clone(), id.to_owned());
        self.carts.remove(&cart.buyer);
        self.facts.push(met::CART_ORDER);
    }

    /// Sends requests about a cart that has become an order: none of them orders anything.
    async fn repeat_order(&mut self, cart: &Cart, event: &Value, order: &Value) {
        if self.chance(30) {
            let again = self.ask("create-order", event).await;
            let is_same = again.status() == 201 && again.json()["id"] == *order;
            self.stage.ensure(is_same, || format!("a repeated create-order: {:?}", again.answer));
        }
        if self.chance(30) {
            let body: Value = event["body"]
                .as_str()
                .map_or(Value::Null, |body| serde_json::from_str(body).unwrap_or_default());
            let other = order_request(&cart.buyer, &format!("{}-other", cart.id), &body);
            let refused = self.ask("create-order", &other).await;
            let is_known = refused.code() == "cart_ordered" && refused.json()["order_id"] == *order;
            self.stage.ensure(is_known, || {
                format!("create-order under another key: {:?}", refused.answer)
            });
        }
        if self.chance(30) {
            let read = cart.opened(events::get("/carts")).event();
            let gone = self.ask("get-cart", &read).await;
            let is_known = gone.status() == 410 && gone.json()["order_id"] == *order;
            self.stage
                .ensure(is_known, || format!("get-cart of an ordered cart: {:?}", gone.answer));
        }
    }

    /// Stores the expected content of the cart of a user.
    fn keep(&mut self, cart: &Cart) {
        if cart.token.is_none() {
            self.carts.insert(cart.buyer.clone(), cart.lines.clone());
        }
    }

    /// Checks that a cart contains exactly what was acknowledged.
    fn expect(&self, cart: &Cart, view: &Value) {
        let lines = quantities(&view["lines"]);
        let is_right = lines == cart.lines
            && view["id"] == cart.id.as_str()
            && view["item_count"] == cart.lines.values().sum::<u32>();
        self.stage.ensure(is_right, || {
            format!("the cart {} has {:?}, and is shown as {view:#}", cart.id, cart.lines)
        });
    }

    /// The lines of an order, as it is stored.
    fn lines_of(&self, id: &str) -> Lines {
        let orders = self.stage.stored_orders();
        let order = orders.iter().find(|order| text(order, "pk") == format!("ORDER#{id}"));
        let lines = order.and_then(|order| order.get("lines")?.members().cloned());
        let line = |(product, line): (String, Attribute)| {
            let quantity = line.members().map(|line| number(line, "quantity")).unwrap_or_default();
            (product, u32::try_from(quantity).unwrap_or_default())
        };
        lines.into_iter().flatten().map(line).collect()
    }

    /// The market of an order, as it is stored.
    fn market_of(&self, id: &str) -> Option<String> {
        let orders = self.stage.stored_orders();
        let order = orders.iter().find(|order| text(order, "pk") == format!("ORDER#{id}"));
        let price = order.and_then(|order| order.get("price")?.members());
        price.map(|price| text(price, "market").to_owned())
    }

    fn any_product(&mut self) -> String {
        let chosen = self.below(self.stage.products.len() as u64) as usize;
        self.stage.products[chosen].clone()
    }
}

/// The quantity of each product in a list of lines.
fn quantities(lines: &Value) -> Lines {
    let line = |line: &Value| {
        let quantity = line["quantity"].as_u64().and_then(|quantity| u32::try_from(quantity).ok());
        (line["product_id"].as_str().unwrap_or_default().to_owned(), quantity.unwrap_or_default())
    };
    lines.as_array().into_iter().flatten().map(line).collect()
}

fn order_request(buyer: &str, key: &str, body: &Value) -> Value {
    events::post("/orders", body).caller(buyer).header("idempotency-key", key).event()
}
