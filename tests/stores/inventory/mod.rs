//! Inventory: adjustments and reservations, and consistent quantities under any fault.

mod adjustments;
mod crowds;
mod reservations;
mod shards;
mod watching;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Deref,
};

use serde_json::{Value, json};
use shared::{
    clock::{Clock, Timestamp},
    lambda::Invocation,
    metrics::Capture,
    table::{Expression, Key, from_item},
};
use tests::{
    aws::{Aws, Called},
    events::{self, adjustment},
    faults::{InjectedFault, for_each_fault},
    harness::Harness,
    shop::Shop,
};

const SPOON: &str = "prd_0199c2a8-0000-7000-8000-00000000000a";
const BOWL: &str = "prd_0199c2a8-0000-7000-8000-00000000000b";
const ORDER: &str = "ord_0199c2a8-0000-7000-8000-0000000000f1";
/// Commands. Operations and queues have the same names.
const RESERVE: &str = "reserve-stock";
const RELEASE: &str = "release-stock";
const COMMIT: &str = "commit-stock";

/// A shop that sells spoons and bowls.
struct InventoryFixture(Shop);

impl Deref for InventoryFixture {
    type Target = Shop;

    fn deref(&self) -> &Shop {
        &self.0
    }
}

impl InventoryFixture {
    fn new() -> Self {
        Self::over(&Aws::new())
    }

    /// Another instance over these tables.
    fn over(aws: &Aws) -> Self {
        Self(Shop::over(
            aws.clone(),
            Clock::manual(Timestamp::from_milliseconds(1_795_254_529_123)),
        ))
    }

    /// A shop with this stock of spoons and bowls.
    async fn with(spoons: i64, bowls: i64) -> Self {
        let warehouse = Self::new();
        for (product, count) in [(SPOON, spoons), (BOWL, bowls)] {
            if count > 0 {
                assert_eq!(
                    warehouse
                        .adjust(&format!("first {product}").replace(' ', "-"), product, count)
                        .await
                        .status(),
                    201
                );
            }
        }
        warehouse
    }

    async fn adjust(&self, key: &str, product: &str, delta: i64) -> Called {
        self.call(
            "adjust-stock",
            adjustment(key, product, &json!({ "delta": delta, "reason": "Delivery" })),
        )
        .await
    }

    /// Sends a command for two spoons and three bowls.
    async fn send_command(&self, command: &str, order: &str, attempt: u64) -> Called {
        let mut data = json!({ "order_id": order, "attempt": attempt });
        if command == RESERVE {
            data["lines"] = json!([{ "product_id": SPOON, "quantity": 2 }, { "product_id": BOWL, "quantity": 3 }]);
        }
        self.call(command, events::command(command, &data)).await
    }

    /// Redelivers a command like SQS. Returns `false` if it fails five times.
    async fn send_until_done(&self, command: &str, attempt: u64) -> bool {
        for _ in 0..5 {
            if self.send_command(command, ORDER, attempt).await.is_done() {
                return true;
            }
        }
        false
    }

    async fn item(&self, pk: String) -> Option<Value> {
        self.aws
            .table("stock")
            .get(Key::new(pk))
            .await
            .unwrap()
            .map(|item| from_item(item).unwrap())
    }

    /// The quantities (available, on hand).
    async fn figures(&self, product: &str) -> (i64, i64) {
        let Some(stock) = self.item(format!("STOCK#{product}")).await else { return (0, 0) };
        (stock["available"].as_i64().unwrap(), stock["on_hand"].as_i64().unwrap())
    }

    async fn reservation(&self) -> Option<Value> {
        self.item(format!("RESERVATION#{ORDER}")).await
    }

    async fn state(&self) -> Option<String> {
        self.reservation()
            .await
            .map(|reservation| reservation["state"].as_str().unwrap().to_owned())
    }

    /// Checks available and held quantities against the one reservation, for these received
    /// quantities.
    async fn check(&self, spoons: i64, bowls: i64) {
        let state = self.state().await;
        for (product, came_in, quantity) in [(SPOON, spoons, 2), (BOWL, bowls, 3)] {
            let expected = match state.as_deref() {
                Some("held") => (came_in - quantity, came_in),
                Some("committed") => (came_in - quantity, came_in - quantity),
                _ => (came_in, came_in),
            };
            assert_eq!(self.figures(product).await, expected, "{state:?}");
        }
    }
}
