//! Cursors of lists: the operation, then the cursor. `sealed ` before a text seals it with the key
//! of the list, because the fuzzer cannot.

use serde_json::{Value, json};
use shared::{
    ids::{Ids, PrefixedId},
    seal::SealingKey,
};

use crate::{
    fixture::FuzzFixture,
    input::{choose, first_line, input},
};

/// Every list with the secret of its service.
const LISTS: [(&str, &str); 5] = [
    ("list-products", "catalog-key"),
    ("list-orders", "orders-key"),
    ("list-users", "users-key"),
    ("list-notifications", "notifications-key"),
    ("list-payments", "payments-key"),
];

pub fn run(fixture: &mut FuzzFixture, input: &[u8]) {
    let (name, text) = first_line(input);
    let text = String::from_utf8_lossy(text);
    let list = choose(&LISTS.map(|(list, _)| list), name);
    let now = fixture.api.shop.clock.now().seconds();
    let (key, context) = (key(fixture, list), context(fixture, list));
    if let Some(plain) = text.strip_prefix("sealed ") {
        let cursor = key.seal(plain, &[&context], &Ids::seeded(1));
        page(fixture, list, Some(&cursor));
        return;
    }
    let opened = key.open(&text, &[&context]);
    let expires = opened.as_deref().and_then(|plain| plain.split_once(' ')?.0.parse::<i64>().ok());
    let is_accepted = page(fixture, list, Some(&text))["items"].is_array();
    assert_eq!(is_accepted, expires.is_some_and(|expires| now < expires), "{list}: {text:?}");
}

/// Reads a page of one item after a cursor.
fn page(fixture: &mut FuzzFixture, list: &str, cursor: Option<&str>) -> Value {
    let mut event = fixture.api.valid(list);
    let mut query = event["queryStringParameters"].as_object().cloned().unwrap_or_default();
    query.retain(|name, _| name == "order_id");
    query.insert("limit".to_owned(), "1".into());
    query.extend(cursor.map(|cursor| ("cursor".to_owned(), cursor.into())));
    let several = query.iter().map(|(name, value)| (name.clone(), json!([value]))).collect();
    event["queryStringParameters"] = Value::Object(query);
    event["multiValueQueryStringParameters"] = Value::Object(several);
    let called = fixture.call(list, event);
    let status = called.status();
    assert!(matches!(status, 200 | 400), "{list} returns {status} for {cursor:?}");
    assert!(!fixture.has_changed(), "{list} writes");
    called.json()
}

fn key(fixture: &FuzzFixture, list: &str) -> SealingKey {
    let secret = LISTS.iter().find(|(name, _)| *name == list).map_or("", |(_, secret)| *secret);
    SealingKey::new(fixture.derive(secret, "cursor"))
}

/// What the cursors of a list are bound to: the list, its caller, its filter and the limit.
fn context(fixture: &FuzzFixture, list: &str) -> String {
    let event = fixture.api.valid(list);
    let caller = event["requestContext"]["authorizer"]["sub"].as_str().unwrap_or_default();
    let own = match list {
        "list-products" => vec![String::new()],
        "list-orders" => {
            let buyer = PrefixedId::parse(caller).expect("the caller has an id");
            let source = orders::store::ListScope::User(buyer);
            vec![caller.to_owned(), format!("{source:?}"), String::new()]
        }
        "list-payments" => vec![caller.to_owned(), fixture.api.paid_order.clone()],
        _ => vec![caller.to_owned()],
    };
    let scope = [vec![list.to_owned()], own].concat();
    serde_json::to_string(&(scope, 1)).expect("texts are JSON")
}

pub fn seeds(fixture: &mut FuzzFixture) -> Vec<Vec<u8>> {
    let expires = fixture.api.shop.clock.now().seconds() + 3600;
    let mut seeds = Vec::new();
    for (list, _) in LISTS {
        let page = page(fixture, list, None);
        if let Some(cursor) = page["next_cursor"].as_str() {
            seeds.push(input(list, cursor));
        }
        let item = &page["items"][0];
        let id = item["id"].as_str().unwrap_or_default();
        let created = item["created_at"].as_str().unwrap_or_default();
        for last in [format!("{created}#{id}"), id.to_owned(), created.to_owned()] {
            seeds.push(input(list, format!("sealed {expires} {last}")));
        }
    }
    seeds
}
