//! All services in one world, and every operation by its name.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use catalog::Catalog;
use inventory::Inventory;
use ledger::Ledger;
use notifications::Notifications;
use orders::Orders;
use payments::Payments;
use platform::Platform;
use serde_json::{Value, json};
use shared::{
    clock::Clock,
    invoke,
    lambda::Lambda,
    operation::{Operation, Trigger, Wiring},
};
use users::{Users, operations::rotate_signing_key::Rotation};

use crate::{
    aws::{Aws, Called},
    events,
    provider::RemoteProvider,
    pump::Pump,
};

/// The shop: one world, one clock, one instance of each service.
#[derive(Clone)]
pub struct Shop {
    /// Everything outside the functions.
    pub aws: Aws,
    /// The clock that all services read.
    pub clock: Clock,
    /// The payment provider, and the network in front of it.
    pub provider: RemoteProvider,
    users: Arc<Users>,
    rotation: Arc<Rotation>,
    catalog: Arc<Catalog>,
    inventory: Arc<Inventory>,
    orders: Arc<Orders>,
    payments: Arc<Payments>,
    notifications: Arc<Notifications>,
    ledger: Arc<Ledger>,
    platform: Arc<Platform>,
    /// The functions that were called already: to make one takes longer than most calls.
    lambdas: Arc<Mutex<BTreeMap<String, Lambda>>>,
}

/// Every operation of the shop, service by service.
pub fn operations() -> impl Iterator<Item = &'static Operation> {
    let services = [
        ::users::operations::OPERATIONS,
        ::catalog::operations::OPERATIONS,
        ::inventory::operations::OPERATIONS,
        ::orders::operations::OPERATIONS,
        ::payments::operations::OPERATIONS,
        ::notifications::operations::OPERATIONS,
        ::ledger::operations::OPERATIONS,
        ::platform::operations::OPERATIONS,
    ];
    services.into_iter().flatten()
}

/// The names of every operation, in alphabetical order.
pub fn operation_names() -> Vec<String> {
    let mut names: Vec<String> = operations().map(Operation::name).collect();
    names.sort();
    names
}

impl Default for Shop {
    fn default() -> Self {
        Self::new()
    }
}

impl Shop {
    /// An empty shop.
    pub fn new() -> Self {
        Self::over(Aws::new(), super::clock())
    }

    /// Another shop in the same state, with other instances of the services, which have read no secret yet. Its clock is its own.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self::over(self.aws.copy(), Clock::manual(self.clock.now()))
    }

    fn over(aws: Aws, clock: Clock) -> Self {
        let provider = RemoteProvider::new(&aws, &clock);
        Self {
            users: Arc::new(super::users(&aws, &clock)),
            rotation: Arc::new(super::rotation(&aws, &clock)),
            catalog: Arc::new(super::catalog(&aws, &clock)),
            inventory: Arc::new(super::inventory(&aws, &clock)),
            orders: Arc::new(super::orders(&aws, &clock)),
            payments: Arc::new(super::payments_over(&aws, &clock, &provider)),
            notifications: Arc::new(super::notifications(&aws, &clock)),
            ledger: Arc::new(super::ledger(&aws, &clock)),
            platform: Arc::new(super::platform(&aws, &clock)),
            lambdas: Arc::default(),
            aws,
            clock,
            provider,
        }
    }

    /// The function of an operation.
    ///
    /// # Panics
    /// When there is none of this name.
    pub fn lambda(&self, name: &str) -> Lambda {
        let mut lambdas = self.lambdas.lock().unwrap_or_else(PoisonError::into_inner);
        lambdas.entry(name.to_owned()).or_insert_with(|| self.new_lambda(name)).clone()
    }

    fn new_lambda(&self, name: &str) -> Lambda {
        if name == "rotate-signing-key" {
            return invoke::lambda(self.rotation.clone(), ::users::operations::rotate_signing_key::rotate_signing_key);
        }
        let operation = operations().find(|operation| operation.name() == name).unwrap_or_else(|| panic!("there is no operation {name}"));
        let wiring =
            Wiring { queue: &|queue| self.aws.queue(queue), sender: &|queues, dead_letters| self.aws.sender(queues, dead_letters) };
        let lambda = match operation.service {
            "users" => ::users::operations::lambda(name, &self.users, &wiring),
            "catalog" => ::catalog::operations::lambda(name, &self.catalog, &wiring),
            "inventory" => ::inventory::operations::lambda(name, &self.inventory, &wiring),
            "orders" => ::orders::operations::lambda(name, &self.orders, &wiring),
            "payments" => ::payments::operations::lambda(name, &self.payments, &wiring),
            "notifications" => ::notifications::operations::lambda(name, &self.notifications, &wiring),
            "ledger" => ::ledger::operations::lambda(name, &self.ledger, &wiring),
            _ => ::platform::operations::lambda(name, &self.platform, &wiring),
        };
        lambda.unwrap_or_else(|| panic!("{} does not know its operation {name}", operation.service))
    }

    /// Calls an operation with an event.
    pub async fn call(&self, operation: &str, event: Value) -> Called {
        self.aws.call(&self.lambda(operation), event).await
    }

    /// A pump with every publisher and every consumer.
    pub fn pump(&self) -> Pump {
        operations().fold(Pump::new(&self.aws), |pump, operation| match operation.trigger {
            Trigger::Queue(queue) => pump.consumer(queue, self.lambda(&operation.name())),
            Trigger::Stream { table, .. } => pump.publisher(table, self.lambda(&operation.name())),
            Trigger::Http(_) | Trigger::Invoke => pump,
        })
    }

    /// Puts a signing key in place: the four steps of Secrets Manager.
    ///
    /// # Panics
    /// When a step fails.
    pub async fn rotate_signing_key(&self) {
        let token = "0199c2a8-0000-7000-8000-0000000000c1";
        self.aws.secrets_manager().begin_rotation("signing-key", token);
        for step in ["createSecret", "setSecret", "testSecret", "finishSecret"] {
            let event = json!({ "Step": step, "SecretId": "ferrocart/signing-key", "ClientRequestToken": token });
            let called = self.call("rotate-signing-key", event).await;
            assert!(called.answer.is_ok(), "{step} fails: {:?}", called.answer);
        }
    }

    /// Registers Ada as `events/register-user.json` has it, and gives her the id that the samples speak of, [`events::USER`]: it is the
    /// service that chooses ids. The link that she is sent stays good for the id that she was registered under.
    ///
    /// # Panics
    /// When she is refused.
    pub async fn ada(&self) {
        let registered = self.call("register-user", events::sample("register-user")).await;
        assert_eq!(registered.status(), 201, "{:?}", registered.answer);
        let id = registered.json()["id"].as_str().expect("a user has an id").to_owned();
        for item in self.aws.items("users") {
            let mut adopted: Value = serde_json::from_str(&item.to_string().replace(&id, events::USER)).expect("still JSON");
            // Sealed for another id, and worth nothing for this one.
            adopted.as_object_mut().expect("an item").remove("verification");
            self.aws.put("users", &adopted);
        }
        self.aws.delete("users", &json!({ "pk": { "S": format!("USER#{id}") } }));
    }

    /// Creates a product with so many in stock, and gives its id. Orders hears of it with the next turn of the pump.
    ///
    /// # Panics
    /// When the shop refuses.
    pub async fn product(&self, name: &str, cents: i64, in_stock: u32) -> String {
        let body = json!({
            "name": name,
            "category": "kitchen",
            "sku": name.to_uppercase().replace(' ', "-"),
            "price": { "amount": cents, "currency": "USD" },
        });
        let request = events::post("/products", &body).caller(events::ADMIN).header("idempotency-key", name);
        let created = self.call("create-product", request.event()).await;
        assert_eq!(created.status(), 201, "{:?}", created.answer);
        let id = created.json()["id"].as_str().expect("a product has an id").to_owned();
        let body = json!({ "delta": in_stock, "reason": "first delivery" });
        let request = events::post(&format!("/inventory/{id}/adjustments"), &body)
            .caller(events::ADMIN)
            .path_parameter("product_id", &id)
            .header("idempotency-key", name);
        let adjusted = self.call("adjust-stock", request.event()).await;
        assert_eq!(adjusted.status(), 201, "{:?}", adjusted.answer);
        id
    }

    /// Orders `quantity` of a product as [`events::USER`]; pays at once if a token is given.
    pub async fn order(&self, key: &str, product: &str, quantity: u32, token: Option<&str>) -> Called {
        let mut body = json!({ "items": [{ "product_id": product, "quantity": quantity }] });
        if let Some(token) = token {
            body["payment_method"] = json!({ "type": "card", "token": token });
        }
        self.call("create-order", events::post("/orders", &body).caller(events::USER).header("idempotency-key", key).event()).await
    }

    /// An order as [`events::USER`] reads it.
    pub async fn read_order(&self, id: &str) -> Value {
        let request = events::get(&format!("/orders/{id}")).caller(events::USER).path_parameter("order_id", id);
        self.call("get-order", request.event()).await.json()
    }
}
