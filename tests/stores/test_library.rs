//! The test library itself: the behaviour on which the other tests rely.

use serde_json::{Value, json};
use shared::table::{
    Conflict, Expression, Key, Outcome, Query, TableError, TransactionOutcome, to_item,
};
use tests::aws::{Aws, Fault};

fn product(version: u64) -> shared::table::Item {
    to_item(&json!({ "pk": "PRODUCT#a", "version": version }))
}

#[tokio::test]
async fn failed_condition_returns_the_existing_item() {
    let products = Aws::new().table("products");
    assert_eq!(products.put(product(1), Expression::not_exists()).await.unwrap(), Outcome::Written);
    assert_eq!(
        products.put(product(2), Expression::not_exists()).await.unwrap(),
        Outcome::ConditionFailed(Some(product(1)))
    );
    let change = Expression::new("SET #version = :next").value("next", 3);
    let refused = products
        .update(Key::new("PRODUCT#a"), change.clone(), Expression::version(2))
        .await
        .unwrap();
    assert_eq!(refused, Outcome::ConditionFailed(Some(product(1))));
    assert_eq!(
        products.update(Key::new("PRODUCT#a"), change, Expression::version(1)).await.unwrap(),
        Outcome::Written
    );
    assert_eq!(products.get(Key::new("PRODUCT#a")).await.unwrap(), Some(product(3)));
}

#[tokio::test]
async fn rejected_transaction_names_the_failed_write_and_writes_nothing() {
    let products = Aws::new().table("products");
    products.put(product(1), Expression::not_exists()).await.unwrap();
    let other = to_item(&json!({ "pk": "SKU#a" }));
    let writes = vec![
        products.transact_put(other, Expression::not_exists()),
        products.transact_put(product(2), Expression::not_exists()),
    ];
    let refused = products.transact(writes).await.unwrap();
    assert_eq!(
        refused,
        TransactionOutcome::Cancelled(vec![None, Some(Conflict { item: Some(product(1)) })])
    );
    assert_eq!(products.get(Key::new("SKU#a")).await.unwrap(), None);
}

#[tokio::test]
async fn indexes_are_those_of_the_template() {
    let products = Aws::new().table("products");
    let item =
        to_item(&json!({ "pk": "PRODUCT#a", "active_shard": "active#0", "name_sort": "teapot" }));
    products.put(item.clone(), Expression::not_exists()).await.unwrap();
    let found = products
        .query(Query::new(Some("active-index"), "active_shard", "active#0", 10))
        .await
        .unwrap();
    assert_eq!(found, [item]);
}

#[tokio::test]
async fn fault_hits_its_target_call() {
    let aws = Aws::new();
    let products = aws.table("products");
    aws.fail(1, Fault::Throttle);
    assert_eq!(products.get(Key::new("PRODUCT#a")).await.unwrap(), None);
    assert!(products.get(Key::new("PRODUCT#a")).await.unwrap_err().is_transient());

    aws.fail(0, Fault::LoseRequest);
    assert!(matches!(
        products.put(product(1), Expression::not_exists()).await,
        Err(TableError::Unavailable { .. })
    ));
    assert!(aws.items("products").is_empty());
    aws.fail(0, Fault::LoseResponse);
    assert!(matches!(
        products.put(product(1), Expression::not_exists()).await,
        Err(TableError::Unavailable { .. })
    ));
    assert_eq!(aws.items("products").len(), 1);

    // The shared table retries conflicting transactions itself.
    aws.fail(0, Fault::Conflict);
    let written = products
        .transact(vec![products.transact_put(product(2), Expression::version(1))])
        .await
        .unwrap();
    assert_eq!(written, TransactionOutcome::Written);
}

#[tokio::test]
async fn stream_record_has_both_images() {
    let aws = Aws::new();
    let products = aws.table("products");
    products.put(product(1), Expression::not_exists()).await.unwrap();
    let (records, position) = aws.database().changes("ferrocart-products", None);
    assert_eq!(records.len(), 1);
    products.put(product(2), Expression::version(1)).await.unwrap();
    let (records, position) = aws.database().changes("ferrocart-products", Some(position));
    assert_eq!(records[0]["eventName"], "MODIFY");
    assert_eq!(records[0]["dynamodb"]["OldImage"]["version"], json!({ "N": "1" }));
    assert_eq!(records[0]["dynamodb"]["NewImage"]["version"], json!({ "N": "2" }));
    assert!(aws.database().changes("ferrocart-products", Some(position)).0.is_empty());
}

#[tokio::test]
async fn secrets_are_those_of_the_template() {
    let secrets = Aws::new().secrets();
    assert_eq!(&*secrets.get("signing-key").await.unwrap(), r#"{"keys":[]}"#);
    let key: Value = serde_json::from_str(&secrets.get("orders-key").await.unwrap()).unwrap();
    assert_eq!(
        (key["current"].as_str().map(str::len), key["previous"].as_str()),
        (Some(64), Some(""))
    );
    assert!(secrets.get("no-key").await.is_err());
}
