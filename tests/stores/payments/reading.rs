//! What is shown of payments, and to whom.

use std::time::Duration;

use serde_json::Value;
use tests::{
    aws::Called,
    events::{self, ADMIN},
};

use super::{ORDER, PRICE, STRANGER, Till, USER};

#[tokio::test]
async fn payments_are_shown_to_their_payer_and_to_the_shop_alone() {
    let till = Till::with_open_order().await;
    till.pay("one", "tok_declined").await;
    till.clock.advance(Duration::from_secs(1));
    let paid = till.pay("two", "tok_ok").await.json();
    let id = paid["id"].as_str().unwrap();
    let mine = till.read(id, USER).await;
    assert_eq!((mine.status(), mine.json(), mine.operations()), (200, paid.clone(), vec!["GetItem"]));
    assert_eq!(till.read(id, ADMIN).await.status(), 200);
    let unknown = format!("pay_{}_{}", &ORDER[4..], &ORDER[4..]);
    assert_eq!(till.read(id, STRANGER).await.json(), till.read(&unknown, USER).await.json());
    for odd in ["pay_x", ORDER, &id.to_uppercase(), &format!("{id}/"), &"9".repeat(10_000)] {
        let answer = till.read(odd, USER).await;
        assert_eq!((answer.status(), answer.json()["code"].as_str(), answer.calls.len()), (404, Some("payment_not_found"), 0), "{odd}");
    }

    let page = async |query: &str, reader: &str| {
        till.call("list-payments", events::get(&format!("/payments?{query}")).caller(reader).event()).await
    };
    let all = page(&format!("order_id={ORDER}"), USER).await;
    let statuses = |answer: &Called| {
        answer.json()["items"].as_array().unwrap().iter().map(|item| item["status"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((statuses(&all), all.operations()), (vec!["failed".to_owned(), "completed".to_owned()], vec!["Query"]));
    let first = page(&format!("order_id={ORDER}&limit=1"), ADMIN).await.json();
    let cursor = first["next_cursor"].as_str().expect("there is more");
    let second = page(&format!("order_id={ORDER}&limit=1&cursor={cursor}"), ADMIN).await;
    assert_eq!((statuses(&second), second.json()["next_cursor"].clone()), (vec!["completed".to_owned()], Value::Null));
    assert_eq!(page(&format!("order_id={ORDER}&limit=1&cursor={cursor}"), USER).await.json()["code"], "invalid_cursor");
    assert_eq!(page("limit=1", USER).await.json()["errors"][0]["pointer"], "?order_id");
    assert_eq!(page(&format!("order_id={ORDER}"), STRANGER).await.json()["code"], "order_not_found");
    assert_eq!(page("order_id=ord_x", USER).await.json()["code"], "order_not_found");
}

#[tokio::test]
async fn the_samples_fit_together() {
    let till = Till::new();
    // The samples speak of a fixed time: the till's clock stands within it.
    let call = async |operation: &str| till.call(operation, events::sample(operation)).await;
    assert!(call("open-payment").await.is_done());
    assert_eq!(call("create-payment").await.status(), 201);
    assert_eq!(call("list-payments").await.json()["items"][0]["status"], "completed");
    assert_eq!(call("get-payment").await.code(), "payment_not_found");
    for operation in ["charge-payment", "cancel-payment", "refund-payment"] {
        assert!(call(operation).await.is_done(), "{operation}");
    }
    assert_eq!(till.books(), (1, PRICE));
    assert!(call("publish-payment-events").await.answer.is_ok());
    let told = till.aws.queues().take("order-events", 10);
    assert_eq!(told.iter().map(|message| message.json()["type"].clone()).collect::<Vec<_>>(), ["payment_succeeded.v1"]);
}
