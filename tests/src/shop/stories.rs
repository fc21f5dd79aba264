//! The first steps of tests of a whole shop: a customer, a product, an order.

use serde_json::{Value, json};

use super::Shop;
use crate::{aws::Called, events};

impl Shop {
    /// Registers Ada as in `events/register-user.json`, then replaces her id with [`events::USER`],
    /// the id in the samples, because the service chooses ids itself. Her verification link stays
    /// valid only for the original id.
    ///
    /// # Panics
    /// If the registration is rejected.
    pub async fn ada(&self) {
        let registered = self.call("register-user", events::sample("register-user")).await;
        assert_eq!(registered.status(), 201, "{:?}", registered.answer);
        let id = registered.json()["id"].as_str().expect("a user has an id").to_owned();
        for item in self.aws.items("users") {
            let mut adopted: Value =
                serde_json::from_str(&item.to_string().replace(&id, events::USER))
                    .expect("still JSON");
            // Sealed for the original id, so useless for the new one.
            adopted.as_object_mut().expect("an item").remove("verification");
            self.aws.put("users", &adopted);
        }
        self.aws.delete("users", &json!({ "pk": { "S": format!("USER#{id}") } }));
    }

    /// Creates a product with this stock, and returns its id. Orders receives it when the harness
    /// runs next.
    ///
    /// # Panics
    /// If a request is rejected.
    /// When the shop refuses.
    pub async fn product(&self, name: &str, cents: i64, in_stock: u32) -> String {
        let body = json!({
            "name": name,
            "category": "kitchen",
            "sku": name.to_uppercase().replace(' ', "-"),
            "price": { "amount": cents, "currency": "USD" },
        });
        let created = self.call("create-product", events::new_product(name, &body)).await;
        assert_eq!(created.status(), 201, "{:?}", created.answer);
        let id = created.json()["id"].as_str().expect("a product has an id").to_owned();
        let delivery = events::adjustment(
            name,
            &id,
            &json!({ "delta": in_stock, "reason": "first delivery" }),
        );
        let adjusted = self.call("adjust-stock", delivery).await;
        assert_eq!(adjusted.status(), 201, "{:?}", adjusted.answer);
        id
    }

    /// Changes the price of a product in the copy of orders to this number of cents. The catalogue
    /// requires a price above 0, so orders of total 0 are placed this way. `version` is later than
    /// that of the copy. Returns whether the copy is changed.
    pub async fn reprice_copy(&self, product: &str, version: u64, cents: i64) -> bool {
        let changed = json!({
            "product_id": product,
            "version": version,
            "sku": "TEAPOT",
            "name": "teapot",
            "category": "kitchen",
            "price": { "amount": cents, "currency": "USD" },
            "active": true,
        });
        let event = events::message("product-changes", "product_changed.v1", &changed);
        self.call("replicate-product", event).await.is_done()
    }

    /// Orders `quantity` of a product as [`events::USER`], and pays at once if there is a token.
    pub async fn order(
        &self,
        key: &str,
        product: &str,
        quantity: u32,
        token: Option<&str>,
    ) -> Called {
        let mut body = json!({ "items": [{ "product_id": product, "quantity": quantity }] });
        if let Some(token) = token {
            body["payment_method"] = json!({ "type": "card", "token": token });
        }
        self.call("create-order", events::new_order(key, &body)).await
    }

    /// Reads an order as [`events::USER`].
    pub async fn read_order(&self, id: &str) -> Value {
        let request = events::get(&format!("/orders/{id}"))
            .caller(events::USER)
            .path_parameter("order_id", id);
        self.call("get-order", request.event()).await.json()
    }
}
