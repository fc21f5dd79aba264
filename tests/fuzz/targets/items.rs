//! Stored items: the table, then the item as DynamoDB JSON. The item replaces one of the shop, and
//! all operations that read it run.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::{
    api::fixture::{Expect, violations},
    events,
};

use crate::{
    fixture::FuzzFixture,
    input::{choose, first_line, input, shape},
};

/// A table, the requests that read its items, and the sweeps.
type Readers = (&'static str, &'static [&'static str], &'static [&'static str]);

const TABLES: [Readers; 9] = [
    (
        "users",
        &["get-me", "get-user", "list-users", "list-addresses", "verify-email", "update-user"],
        &[],
    ),
    ("sessions", &["refresh-token", "logout-user"], &[]),
    ("products", &["get-product", "list-products", "archive-product"], &["resync-products"]),
    ("stock", &["get-stock", "adjust-stock"], &["check-reservations", "reconcile-ledger"]),
    (
        "orders",
        &["get-order", "get-order-timeline", "list-orders", "update-order", "cancel-order"],
        &["resume-orders", "reconcile-ledger"],
    ),
    ("order-products", &["create-order", "preview-prices"], &[]),
    ("order-carts", &["get-cart", "change-cart", "list-shipping-options", "merge-cart"], &[]),
    (
        "payments",
        &["get-payment", "list-payments", "create-payment", "create-refund"],
        &["reconcile-payments", "reconcile-ledger"],
    ),
    ("notifications", &["list-notifications", "read-notification"], &[]),
];
/// Lists with the operation that reads one of their items, their item's id, and their table.
const LISTS: [(&str, &str, &str, &str); 2] = [
    ("list-products", "get-product", "product_id", "products"),
    ("list-users", "get-user", "user_id", "users"),
];

pub fn run(fixture: &mut FuzzFixture, input: &[u8]) {
    let (name, item) = first_line(input);
    let table = choose(&TABLES.map(|(table, ..)| table), name);
    let Ok(Value::Object(mut item)) = serde_json::from_slice::<Value>(item) else { return };
    let stored = fixture.api.shop.aws.items(table);
    // An item with another key would not be read.
    let has_key =
        |stored: &&Value| ["pk", "sk"].iter().all(|key| stored.get(key) == item.get(*key));
    let replaced = stored.iter().find(has_key);
    let replaced = replaced.or(stored.get(item.len() % stored.len().max(1)));
    for key in ["pk", "sk"] {
        if let Some(value) = replaced.and_then(|replaced| replaced.get(key)) {
            item.insert(key.to_owned(), value.clone());
        }
    }
    if !fixture.replace(table, &item.into()) {
        return;
    }
    compare_lists(fixture, table);
    let Some((_, readers, sweeps)) = TABLES.iter().find(|(name, ..)| *name == table) else {
        return;
    };
    let mut state = fixture.state();
    for operation in *readers {
        let writes = fixture.api.shop.aws.writes();
        let event = fixture.api.valid(operation);
        let called = fixture.call(operation, event);
        // An unreadable item is a fault of the shop, and the only reason for a 5xx.
        let found = violations(&called, Expect::Any);
        let is_fault = found == [format!("status {}", called.status())];
        assert!(found.is_empty() || is_fault, "{operation}: {found:#?}");
        if fixture.api.shop.aws.writes() == writes {
            continue;
        }
        // A declined charge is recorded, and a session whose token differs is ended.
        let may_write =
            called.status() < 400 || called.status() == 402 || *operation == "refresh-token";
        let before = std::mem::replace(&mut state, fixture.state());
        assert!(may_write || state == before, "{operation} writes, and returns {}", called.ok());
    }
    for sweep in *sweeps {
        // A sweep may fail on an unreadable item, but it must not panic.
        drop(fixture.call(sweep, events::sample(sweep)));
    }
}

/// A list and the operation for one item read the same item alike, although they have two parsers.
fn compare_lists(fixture: &mut FuzzFixture, table: &str) {
    for (list, reader, parameter, _) in LISTS.into_iter().filter(|(.., of)| *of == table) {
        let event = fixture.api.valid(list);
        let listed = fixture.call(list, event);
        for item in listed.json()["items"].as_array().into_iter().flatten() {
            let mut event = fixture.api.valid(reader);
            event["pathParameters"] = json!({ parameter: item["id"] });
            let read = fixture.call(reader, event);
            // The id in the item may differ from its key.
            if read.status() == 404 {
                continue;
            }
            assert_eq!(
                read.status(),
                200,
                "{list} shows {item}, {reader} returns {:?}",
                read.answer
            );
            for (name, value) in item.as_object().into_iter().flatten() {
                assert_eq!(read.json()[name], *value, "{name} of {list} and {reader}");
            }
        }
    }
}

pub fn seeds(fixture: &mut FuzzFixture) -> Vec<Vec<u8>> {
    let of = |(table, ..): &Readers| {
        let mut seen = BTreeSet::new();
        let items = fixture.api.shop.aws.items(table);
        let is_new = |item: &Value| {
            let prefix = |name: &str| {
                let key = item[name]["S"].as_str().unwrap_or_default();
                key.split('#').next().unwrap_or_default().to_owned()
            };
            seen.insert((prefix("pk"), prefix("sk"), shape(item)))
        };
        let items: Vec<Value> = items.into_iter().filter(is_new).collect();
        let table = *table;
        items.into_iter().map(move |item| input(table, item.to_string()))
    };
    TABLES.iter().flat_map(of).collect()
}
