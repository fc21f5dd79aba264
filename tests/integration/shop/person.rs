//! A person who calls the API, and the answers.

use reqwest::{Method, header::HeaderMap};
use serde_json::{Value, json};

use super::{unique, until};

/// A user with a token; without one, a visitor.
#[derive(Clone)]
pub struct Person {
    pub url: String,
    pub http: reqwest::Client,
    pub token: Option<String>,
    pub email: String,
    pub id: String,
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Returns the document; fails unless the status is this one.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// Returns the problem code; fails unless the status is this one.
    #[track_caller]
    pub fn problem(&self, status: u16) -> String {
        let document = self.expect(status);
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        for member in ["type", "title", "status", "code", "request_id"] {
            assert!(!document[member].is_null(), "{member} is missing: {}", self.text);
        }
        document["code"].as_str().unwrap().to_owned()
    }
}

impl Person {
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None, &[]).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, Some(body.to_string()), &[]).await
    }

    pub async fn post_with_key(&self, path: &str, key: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, Some(body.to_string()), &[("idempotency-key", key)]).await
    }

    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await.unwrap(),
        }
    }

    /// Orders a quantity of a product, charged at once if a token is given. Returns the order's id.
    pub async fn order(&self, product: &str, quantity: u32, token: Option<&str>) -> String {
        self.order_to(None, product, quantity, token).await
    }

    /// As [`Person::order`], with a shipping address. Waits while the buyer has too many unpaid
    /// orders.
    pub async fn order_to(
        &self,
        address: Option<Value>,
        product: &str,
        quantity: u32,
        token: Option<&str>,
    ) -> String {
        let mut body = json!({ "items": [{ "product_id": product, "quantity": quantity }] });
        if let Some(token) = token {
            body["payment_method"] = card(token);
        }
        if let Some(address) = address {
            body["shipping_address"] = address;
        }
        let (key, is_full) = (unique("key"), |answer: &Answer| {
            answer.status == 409 && answer.json()["code"] == "too_many_unpaid_orders"
        });
        let place = || self.post_with_key("/orders", &key, &body);
        let order = until("there is room for another order", place, |answer| !is_full(answer))
            .await
            .expect(201);
        assert_eq!(order["status"], "pending");
        order["id"].as_str().unwrap().to_owned()
    }

    pub async fn pay(&self, order: &str, token: &str) -> Answer {
        self.post_with_key(
            "/payments",
            &unique("key"),
            &json!({ "order_id": order, "payment_method": card(token) }),
        )
        .await
    }

    /// The captured payment of an order.
    pub async fn payment_of(&self, order: &str) -> String {
        let payments = self.get(&format!("/payments?order_id={order}")).await.expect(200);
        let completed = payments["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|payment| payment["status"] == "completed");
        let ids: Vec<&str> = completed.map(|payment| payment["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), 1, "{payments}");
        ids[0].to_owned()
    }

    /// Refunds an amount of a payment; repeats the request while another one is in progress.
    pub async fn refund(&self, payment: &str, amount: i64) -> Answer {
        let body = json!({ "amount": { "amount": amount, "currency": "USD" }, "reason": "The lid was broken" });
        let (path, key) = (format!("/payments/{payment}/refunds"), unique("refund"));
        let ask = || self.post_with_key(&path, &key, &body);
        let is_answer = |answer: &Answer| {
            ![202, 503].contains(&answer.status) && !answer.text.contains("request_in_progress")
        };
        until("the refund has an end", ask, is_answer).await
    }

    pub async fn read_order(&self, order: &str) -> Value {
        self.get(&format!("/orders/{order}")).await.expect(200)
    }

    /// Waits until the order has this status.
    pub async fn order_with_status(&self, order: &str, status: &str) -> Value {
        until(
            &format!("{order} is {status}"),
            || self.read_order(order),
            |order| order["status"] == status,
        )
        .await
    }

    /// Waits until the order waits for this step.
    pub async fn order_at_step(&self, order: &str, step: &str) -> Value {
        until(
            &format!("{order} is {step}"),
            || self.read_order(order),
            |order| order["step"] == step,
        )
        .await
    }
}

pub fn card(token: &str) -> Value {
    json!({ "type": "card", "token": token })
}
