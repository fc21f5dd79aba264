//! All services in one world, and every operation by its name.

use std::sync::Arc;

use catalog::Catalog;
use inventory::Inventory;
use ledger::Ledger;
use notifications::Notifications;
use orders::Orders;
use payments::Payments;
use platform::Platform;
use serde_json::{Value, json};
use shared::{clock::Clock, http, invoke, lambda::Lambda, queue, stream};
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
}

/// Every operation that [`Shop::lambda`] knows.
pub const OPERATIONS: [&str; 65] = [
    "adjust-stock",
    "advance-order",
    "archive-product",
    "authorize-request",
    "cancel-order",
    "cancel-payment",
    "change-password",
    "charge-payment",
    "check-reservations",
    "commit-stock",
    "confirm-password-reset",
    "create-order",
    "create-payment",
    "create-product",
    "create-refund",
    "delete-me",
    "deliver-order",
    "forget-recipient",
    "get-health",
    "get-jwks",
    "get-me",
    "get-order",
    "get-payment",
    "get-product",
    "get-stock",
    "get-user",
    "grant-role",
    "list-notifications",
    "list-orders",
    "list-payments",
    "list-products",
    "list-users",
    "login-user",
    "logout-user",
    "open-payment",
    "publish-order-events",
    "publish-payment-events",
    "publish-product-events",
    "publish-stock-events",
    "publish-user-events",
    "read-notification",
    "receive-payment-webhook",
    "reconcile-books",
    "reconcile-payments",
    "record-entry",
    "record-mail-feedback",
    "refresh-token",
    "refund-payment",
    "register-user",
    "release-stock",
    "replicate-product",
    "republish-products",
    "request-password-reset",
    "reserve-stock",
    "resume-orders",
    "rotate-signing-key",
    "send-account-notification",
    "send-notification",
    "ship-order",
    "update-buyer",
    "update-me",
    "update-product",
    "update-user",
    "verify-email",
    "withdraw-email-change",
];

impl Default for Shop {
    fn default() -> Self {
        Self::new()
    }
}

impl Shop {
    /// An empty shop.
    pub fn new() -> Self {
        let (aws, clock) = (Aws::new(), super::clock());
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
            aws,
            clock,
            provider,
        }
    }

    /// The function of an operation.
    ///
    /// # Panics
    /// When there is none of this name: whoever adds an operation adds it here.
    pub fn lambda(&self, operation: &str) -> Lambda {
        let (users, catalog, inventory, orders) = (self.users.clone(), self.catalog.clone(), self.inventory.clone(), self.orders.clone());
        let (payments, notifications) = (self.payments.clone(), self.notifications.clone());
        let queue = |name: &str| self.aws.queue(name);
        match operation {
            "register-user" => http::lambda(users, ::users::operations::register_user::register_user),
            "login-user" => http::lambda(users, ::users::operations::login_user::login_user),
            "refresh-token" => http::lambda(users, ::users::operations::refresh_token::refresh_token),
            "logout-user" => http::lambda(users, ::users::operations::logout_user::logout_user),
            "get-me" => http::lambda(users, ::users::operations::get_me::get_me),
            "update-me" => http::lambda(users, ::users::operations::update_me::update_me),
            "delete-me" => http::lambda(users, ::users::operations::delete_me::delete_me),
            "change-password" => http::lambda(users, ::users::operations::change_password::change_password),
            "request-password-reset" => http::lambda(users, ::users::operations::request_password_reset::request_password_reset),
            "confirm-password-reset" => http::lambda(users, ::users::operations::confirm_password_reset::confirm_password_reset),
            "verify-email" => http::lambda(users, ::users::operations::verify_email::verify_email),
            "withdraw-email-change" => http::lambda(users, ::users::operations::withdraw_email_change::withdraw_email_change),
            "list-users" => http::lambda(users, ::users::operations::list_users::list_users),
            "get-user" => http::lambda(users, ::users::operations::get_user::get_user),
            "update-user" => http::lambda(users, ::users::operations::update_user::update_user),
            "get-jwks" => http::lambda(users, ::users::operations::get_jwks::get_jwks),
            "authorize-request" => invoke::lambda(users, ::users::operations::authorize_request::authorize_request),
            "grant-role" => invoke::lambda(users, ::users::operations::grant_role::grant_role),
            "rotate-signing-key" => invoke::lambda(self.rotation.clone(), ::users::operations::rotate_signing_key::rotate_signing_key),
            "create-product" => http::lambda(catalog, ::catalog::operations::create_product::create_product),
            "list-products" => http::lambda(catalog, ::catalog::operations::list_products::list_products),
            "get-product" => http::lambda(catalog, ::catalog::operations::get_product::get_product),
            "update-product" => http::lambda(catalog, ::catalog::operations::update_product::update_product),
            "archive-product" => http::lambda(catalog, ::catalog::operations::archive_product::archive_product),
            "republish-products" => invoke::lambda(catalog, ::catalog::operations::republish_products::republish_products),
            "adjust-stock" => http::lambda(inventory, ::inventory::operations::adjust_stock::adjust_stock),
            "get-stock" => http::lambda(inventory, ::inventory::operations::get_stock::get_stock),
            "reserve-stock" => queue::lambda(inventory, ::inventory::operations::reserve_stock::reserve_stock, queue("reserve-stock")),
            "release-stock" => queue::lambda(inventory, ::inventory::operations::release_stock::release_stock, queue("release-stock")),
            "commit-stock" => queue::lambda(inventory, ::inventory::operations::commit_stock::commit_stock, queue("commit-stock")),
            "check-reservations" => invoke::lambda(inventory, ::inventory::operations::check_reservations::check_reservations),
            "create-order" => http::lambda(orders, ::orders::operations::create_order::create_order),
            "get-order" => http::lambda(orders, ::orders::operations::get_order::get_order),
            "list-orders" => http::lambda(orders, ::orders::operations::list_orders::list_orders),
            "cancel-order" => http::lambda(orders, ::orders::operations::cancel_order::cancel_order),
            "ship-order" => http::lambda(orders, ::orders::operations::ship_order::ship_order),
            "deliver-order" => http::lambda(orders, ::orders::operations::deliver_order::deliver_order),
            "replicate-product" => {
                queue::lambda(orders, ::orders::operations::replicate_product::replicate_product, queue("product-changes"))
            }
            "update-buyer" => queue::lambda(orders, ::orders::operations::update_buyer::update_buyer, queue("update-buyer")),
            "advance-order" => queue::lambda(orders, ::orders::operations::advance_order::advance_order, queue("order-events")),
            "resume-orders" => invoke::lambda(orders, ::orders::operations::resume_orders::resume_orders),
            "create-payment" => http::lambda(payments, ::payments::operations::create_payment::create_payment),
            "get-payment" => http::lambda(payments, ::payments::operations::get_payment::get_payment),
            "list-payments" => http::lambda(payments, ::payments::operations::list_payments::list_payments),
            "create-refund" => http::lambda(payments, ::payments::operations::create_refund::create_refund),
            "receive-payment-webhook" => http::lambda(payments, ::payments::operations::receive_payment_webhook::receive_payment_webhook),
            "open-payment" => queue::lambda(payments, ::payments::operations::open_payment::open_payment, queue("open-payment")),
            "charge-payment" => queue::lambda(payments, ::payments::operations::charge_payment::charge_payment, queue("charge-payment")),
            "cancel-payment" => queue::lambda(payments, ::payments::operations::cancel_payment::cancel_payment, queue("cancel-payment")),
            "refund-payment" => queue::lambda(payments, ::payments::operations::refund_payment::refund_payment, queue("refund-payment")),
            "reconcile-payments" => invoke::lambda(payments, ::payments::operations::reconcile_payments::reconcile_payments),
            "send-account-notification" => {
                use ::notifications::operations::send_account_notification::send_account_notification;
                queue::lambda(notifications, send_account_notification, queue("send-account-notification"))
            }
            "send-notification" => {
                queue::lambda(notifications, ::notifications::operations::send_notification::send_notification, queue("send-notification"))
            }
            "forget-recipient" => {
                queue::lambda(notifications, ::notifications::operations::forget_recipient::forget_recipient, queue("forget-recipient"))
            }
            "list-notifications" => http::lambda(notifications, ::notifications::operations::list_notifications::list_notifications),
            "read-notification" => http::lambda(notifications, ::notifications::operations::read_notification::read_notification),
            "record-mail-feedback" => {
                use ::notifications::operations::record_mail_feedback::record_mail_feedback;
                queue::lambda(notifications, record_mail_feedback, queue("record-mail-feedback"))
            }
            "record-entry" => queue::lambda(self.ledger.clone(), ::ledger::operations::record_entry::record_entry, queue("record-entry")),
            "reconcile-books" => invoke::lambda(self.ledger.clone(), ::ledger::operations::reconcile_books::reconcile_books),
            "get-health" => http::lambda(self.platform.clone(), ::platform::operations::get_health::get_health),
            "publish-user-events" => {
                use ::users::{operations::publish_user_events as operation, publish};
                let sender = self.aws.sender(operation::QUEUES, "publish-user-dead-letter");
                stream::lambda("publish-user-events", operation::PUBLISHED, publish::messages, sender)
            }
            "publish-product-events" => {
                use ::catalog::{operations::publish_product_events as operation, publish};
                let sender = self.aws.sender(operation::QUEUES, "publish-product-dead-letter");
                stream::lambda("publish-product-events", operation::PUBLISHED, publish::messages, sender)
            }
            "publish-stock-events" => {
                use ::inventory::{operations::publish_stock_events as operation, publish};
                let sender = self.aws.sender(operation::QUEUES, "publish-stock-dead-letter");
                stream::lambda("publish-stock-events", operation::PUBLISHED, publish::messages, sender)
            }
            "publish-order-events" => {
                use ::orders::{operations::publish_order_events as operation, publish};
                let sender = self.aws.sender(operation::QUEUES, "publish-order-dead-letter");
                stream::lambda("publish-order-events", operation::PUBLISHED, publish::messages, sender)
            }
            "publish-payment-events" => {
                use ::payments::{operations::publish_payment_events as operation, publish};
                let sender = self.aws.sender(operation::QUEUES, "publish-payment-dead-letter");
                stream::lambda("publish-payment-events", operation::PUBLISHED, publish::messages, sender)
            }
            other => panic!("tests/src/shop/whole.rs does not know the operation {other}: add it to OPERATIONS and to Shop::lambda"),
        }
    }

    /// Calls an operation with an event.
    pub async fn call(&self, operation: &str, event: Value) -> Called {
        self.aws.call(&self.lambda(operation), event).await
    }

    /// A pump with every publisher and every consumer.
    pub fn pump(&self) -> Pump {
        let consumers = [
            ("product-changes", "replicate-product"),
            ("order-events", "advance-order"),
            ("reserve-stock", "reserve-stock"),
            ("release-stock", "release-stock"),
            ("commit-stock", "commit-stock"),
            ("open-payment", "open-payment"),
            ("charge-payment", "charge-payment"),
            ("cancel-payment", "cancel-payment"),
            ("refund-payment", "refund-payment"),
            ("send-notification", "send-notification"),
            ("send-account-notification", "send-account-notification"),
            ("update-buyer", "update-buyer"),
            ("forget-recipient", "forget-recipient"),
            ("record-mail-feedback", "record-mail-feedback"),
            ("record-entry", "record-entry"),
        ];
        let pump = Pump::new(&self.aws)
            .publisher("users", self.lambda("publish-user-events"))
            .publisher("products", self.lambda("publish-product-events"))
            .publisher("stock", self.lambda("publish-stock-events"))
            .publisher("orders", self.lambda("publish-order-events"))
            .publisher("payments", self.lambda("publish-payment-events"));
        consumers.iter().fold(pump, |pump, (queue, operation)| pump.consumer(queue, self.lambda(operation)))
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
