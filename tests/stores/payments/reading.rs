//! What is shown of payments, and to whom.

use std::time::Duration;

use payments::{
    operations::{
        cancel_payment::cancel_payment,
        charge_payment::charge_payment,
        create_payment::create_payment,
        get_payment::get_payment,
        list_payments::list_payments,
        open_payment::open_payment,
        publish_payment_events::{PUBLISHED, QUEUES},
        refund_payment::refund_payment,
    },
    publish,
};
use serde_json::{Value, json};
use shared::{http, lambda::Lambda, queue, stream};
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
    let get = http::lambda(till.payments.clone(), get_payment);
    let read = |id: &str, reader: &str| {
        let event = events::get(&format!("/payments/{id}")).path_parameter("payment_id", id).caller(reader).event();
        let (aws, get) = (till.aws.clone(), get.clone());
        async move { aws.call(&get, event).await }
    };
    let mine = read(id, USER).await;
    assert_eq!((mine.status(), mine.json(), mine.operations()), (200, paid.clone(), vec!["GetItem"]));
    assert_eq!(read(id, ADMIN).await.status(), 200);
    let unknown = format!("pay_{}_{}", &ORDER[4..], &ORDER[4..]);
    assert_eq!(read(id, STRANGER).await.json(), read(&unknown, USER).await.json());
    for odd in ["pay_x", ORDER, &id.to_uppercase(), &format!("{id}/"), &"9".repeat(10_000)] {
        let answer = read(odd, USER).await;
        assert_eq!((answer.status(), answer.json()["code"].as_str(), answer.calls.len()), (404, Some("payment_not_found"), 0), "{odd}");
    }

    let list = http::lambda(till.payments.clone(), list_payments);
    let page = |query: &str, reader: &str| {
        let event = events::get(&format!("/payments?{query}")).caller(reader).event();
        let (aws, list) = (till.aws.clone(), list.clone());
        async move { aws.call(&list, event).await }
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
    let call = |lambda: Lambda, operation: &'static str| {
        let aws = till.aws.clone();
        async move { aws.call(&lambda, events::sample(operation)).await }
    };
    let done = json!({ "batchItemFailures": [] });
    let payments = || till.payments.clone();
    let queue = |name: &str| till.aws.queue(name);
    assert_eq!(*call(queue::lambda(payments(), open_payment, queue("open-payment")), "open-payment").await.ok(), done);
    assert_eq!(call(http::lambda(payments(), create_payment), "create-payment").await.status(), 201);
    assert_eq!(call(http::lambda(payments(), list_payments), "list-payments").await.json()["items"][0]["status"], "completed");
    assert_eq!(call(http::lambda(payments(), get_payment), "get-payment").await.json()["code"], "payment_not_found");
    assert_eq!(*call(queue::lambda(payments(), charge_payment, queue("charge-payment")), "charge-payment").await.ok(), done);
    assert_eq!(*call(queue::lambda(payments(), cancel_payment, queue("cancel-payment")), "cancel-payment").await.ok(), done);
    assert_eq!(*call(queue::lambda(payments(), refund_payment, queue("refund-payment")), "refund-payment").await.ok(), done);
    assert_eq!(till.books(), (1, PRICE));
    let sender = till.aws.sender(QUEUES, "publish-payment-dead-letter");
    let publisher = stream::lambda("publish-payment-events", PUBLISHED, publish::messages, sender);
    assert!(call(publisher, "publish-payment-events").await.answer.is_ok());
    let told = till.aws.queues().take("order-events", 10);
    assert_eq!(told.iter().map(|message| message.json()["type"].clone()).collect::<Vec<_>>(), ["payment_succeeded.v1"]);
}
