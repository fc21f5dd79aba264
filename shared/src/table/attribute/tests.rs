//! Items in DynamoDB JSON, compared with what the SDK and serde_dynamo read.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::table::{self, Item, to_item};

#[derive(Clone, Debug, PartialEq, serde::Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Open,
    Paid {
        amount: i64,
    },
    Refunded(u32),
    /// Written by a later release.
    #[serde(untagged)]
    Unknown(String),
}

#[derive(Clone, Debug, PartialEq, serde::Serialize, Deserialize)]
struct Cents(i64);

#[derive(Clone, Debug, PartialEq, serde::Serialize, Deserialize)]
struct Record {
    name: String,
    states: Vec<State>,
    amount: Cents,
    ratio: f64,
    count: u64,
    is_open: bool,
    note: Option<String>,
    limit: Option<Cents>,
    state: Option<State>,
    #[serde(default)]
    absent: Option<String>,
    nested: BTreeMap<String, Vec<Option<Cents>>>,
}

fn record() -> Record {
    Record {
        name: "Grüße \"quoted\"\n\\".to_owned(),
        states: vec![
            State::Open,
            State::Paid { amount: -5 },
            State::Refunded(3),
            State::Unknown("announced".to_owned()),
        ],
        amount: Cents(i64::MIN),
        ratio: 0.25,
        count: u64::MAX,
        is_open: true,
        note: Some(String::new()),
        limit: None,
        state: Some(State::Paid { amount: 7 }),
        absent: None,
        nested: BTreeMap::from([("cents".to_owned(), vec![Some(Cents(1)), None])]),
    }
}

/// An item as DynamoDB sends it.
fn wire(item: &Item) -> serde_json::Value {
    item.iter().map(|(name, value)| (name.clone(), wire_value(value))).collect()
}

fn wire_value(value: &table::AttributeValue) -> serde_json::Value {
    use table::AttributeValue::{Bool, L, M, N, Null, S};
    match value {
        S(text) => json!({ "S": text }),
        N(digits) => json!({ "N": digits }),
        Bool(flag) => json!({ "BOOL": flag }),
        L(list) => json!({ "L": list.iter().map(wire_value).collect::<Vec<_>>() }),
        M(map) => json!({ "M": wire(map) }),
        Null(_) => json!({ "NULL": true }),
        other => panic!("unexpected {other:?}"),
    }
}

fn read<T: DeserializeOwned>(text: &str) -> serde_json::Result<Row<T>> {
    RowSeed::new("sort").deserialize(&mut serde_json::Deserializer::from_str(text))
}

#[test]
fn row_is_read_as_the_sdk_and_serde_dynamo_read_it() {
    let mut item = wire(&to_item(&record()));
    item["sort"] = json!({ "S": "2026#1" });
    // Attributes that the type does not have, of types that it could not read.
    item["of_a_later_release"] = json!({ "SS": ["a"] });
    item["blob"] = json!({ "B": "AAAA" });
    let row = read::<Record>(&item.to_string()).unwrap();
    assert_eq!((row.value, row.sort_key.as_str()), (record(), "2026#1"));
}

#[derive(Debug, PartialEq, Deserialize)]
struct Small {
    count: u8,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Sorted {
    count: u8,
    sort: String,
}

#[test]
fn sort_attribute_may_be_a_field_and_has_any_position() {
    for text in [
        r#"{"sort":{"S":"k"},"count":{"N":"1"}}"#,
        r#"{"count":{"N":"1"},"sort":{"S":"k"}}"#,
        r#"{ "sort" : { "S" : "\u006b" } , "\u0063ount" : { "N" : "1" } }"#,
    ] {
        let row = read::<Small>(text).unwrap();
        assert_eq!((row.sort_key.as_str(), row.value), ("k", Small { count: 1 }));
        let row = read::<Sorted>(text).unwrap();
        assert_eq!(row.sort_key, "k");
        assert_eq!(row.value, Sorted { count: 1, sort: "k".to_owned() });
    }
}

#[derive(Debug, PartialEq, Deserialize)]
struct Delivered {
    count: u8,
    #[serde(flatten)]
    delivery: Delivery,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(tag = "state")]
enum Delivery {
    Pending { locked_until: i64 },
}

#[test]
fn flattened_enum_is_read_beside_unknown_sets() {
    let text = r#"{"sort":{"S":"k"},"state":{"S":"Pending"},"locked_until":{"N":"-7"},
        "count":{"N":"1"},"tags":{"SS":["a"]}}"#;
    let delivery = Delivery::Pending { locked_until: -7 };
    assert_eq!(read::<Delivered>(text).unwrap().value, Delivered { count: 1, delivery });
}

#[test]
fn malformed_values_are_rejected() {
    for text in [
        r"{}",
        r#"{"count":{"N":"1"}}"#,
        r#"{"sort":{"N":"1"}}"#,
        r#"{"sort":{"S":"k"},"count":{}}"#,
        r#"{"sort":{"S":"k"},"count":{"N":"one"}}"#,
        r#"{"sort":{"S":"k"},"count":{"N":"256"}}"#,
        r#"{"sort":{"S":"k"},"count":{"N":"1","S":"1"}}"#,
        r#"{"sort":{"S":"k"},"count":{"S":"1"}}"#,
        r#"{"sort":{"S":"k"},"count":{"NS":["1"]}}"#,
        r#"{"sort":{"S":"k"},"count":1}"#,
        r#"{"sort":{"S":"k"},"count":{"NULL":true}}"#,
    ] {
        assert!(read::<Small>(text).is_err(), "{text}");
    }
}
