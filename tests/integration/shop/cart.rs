//! A cart, with the person who uses it.

use std::io::Write;

use reqwest::Method;
use serde_json::{Value, json};

use super::{Answer, Person, card, unique, until};

#[derive(Clone)]
pub struct Cart {
    pub holder: Person,
    pub id: String,
    /// The token that opens a guest's cart.
    pub token: Option<String>,
}

impl Person {
    /// A new cart of a guest, or the open cart of a user.
    pub async fn cart(&self, body: &Value) -> Cart {
        let answer = self.post("/carts", body).await;
        assert!([200, 201].contains(&answer.status), "{answer:?}");
        let cart = answer.json();
        let token = cart["cart_token"].as_str().map(str::to_owned);
        assert_eq!(token.is_some(), self.token.is_none(), "only a guest's cart has a token");
        if let Some(token) = &token {
            keep(token);
        }
        Cart { holder: self.clone(), id: cart["id"].as_str().unwrap().to_owned(), token }
    }

    /// A cart of a user with a quantity of a product, and an address.
    pub async fn cart_with(&self, product: &str, quantity: u32) -> Value {
        let cart = self.cart(&json!({})).await;
        let add = json!([{ "product_id": product, "quantity": quantity }]);
        cart.change(&json!({ "add": add, "shipping_address": address() })).await.expect(200)
    }

    /// Orders a cart as it was read, charged at once if a token is given.
    pub async fn order_cart(&self, cart: &Value, key: &str, token: Option<&str>) -> Answer {
        let mut body = json!({
            "cart_id": cart["id"],
            "cart_version": cart["version"],
            "expected_total": cart["totals"]["total"],
        });
        if let Some(token) = token {
            body["payment_method"] = card(token);
        }
        self.post_with_key("/orders", key, &body).await
    }
}

impl Cart {
    pub async fn read(&self) -> Answer {
        self.send(Method::GET, "", None).await
    }

    /// Changes the cart. Repeats the request while it is rejected because of concurrent changes.
    pub async fn change(&self, body: &Value) -> Answer {
        let mut body = body.clone();
        if body["mutation_id"].is_null() {
            body["mutation_id"] = unique("change").into();
        }
        let send = || self.send(Method::POST, "/changes", Some(&body));
        until("the cart is changed", send, |answer| answer.status != 503).await
    }

    /// Merges the cart of a guest into this cart of a user.
    pub async fn merge(&self, token: &str) -> Answer {
        let merge = || self.with_token(Some(token)).send_owned(Method::POST, "/merge");
        until("the carts are merged", merge, |answer| answer.status != 503).await
    }

    /// The same cart, used by another person.
    pub fn held_by(&self, holder: &Person) -> Self {
        Self { holder: holder.clone(), ..self.clone() }
    }

    pub fn with_token(&self, token: Option<&str>) -> Self {
        Self { token: token.map(str::to_owned), ..self.clone() }
    }

    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let headers: Vec<(&str, &str)> =
            self.token.iter().map(|token| ("x-cart-token", token.as_str())).collect();
        let path = format!("/carts/{}{path}", self.id);
        let answer = self.holder.send(method, &path, body.map(Value::to_string), &headers).await;
        if answer.status < 500 && answer.status != 401 {
            assert_eq!(answer.header("cache-control"), "no-store", "{answer:?}");
        }
        answer
    }

    async fn send_owned(self, method: Method, path: &str) -> Answer {
        self.send(method, path, None).await
    }
}

/// The quantities of a cart, by product.
pub fn quantities(cart: &Value) -> Vec<(String, u64)> {
    let lines = cart["lines"].as_array().unwrap().iter();
    lines
        .map(|line| {
            (line["product_id"].as_str().unwrap().to_owned(), line["quantity"].as_u64().unwrap())
        })
        .collect()
}

pub fn address() -> Value {
    json!({ "name": "Ada Lovelace", "line1": "12 St James's Square", "city": "London", "postal_code": "SW1Y 4JH", "country": "GB" })
}

/// Keeps the token of a guest's cart for `tests/leaks.py`, which searches the logs and records.
fn keep(token: &str) {
    let Some(file) = std::env::var_os("CART_TOKENS") else { return };
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file).unwrap();
    writeln!(file, "{token}").unwrap();
}
