//! Reading payments: only their payer and the shop see them.

use std::time::Duration;

use serde_json::Value;
use tests::{
    aws::Called,
    events::{self, ADMIN},
};

use super::{ORDER, PaymentsFixture, STRANGER, USER};

#[tokio::test]
async fn payments_are_visible_to_payer_and_shop_only() {
    let fixture = PaymentsFixture::with_open_order().await;
    fixture.pay("one", "tok_declined").await;
    fixture.clock.advance(Duration::from_secs(1));
    let paid = fixture.pay("two", "tok_ok").await.json();
    let id = paid["id"].as_str().unwrap();
    let mine = fixture.read(id, USER).await;
    assert_eq!(
        (mine.status(), mine.json(), mine.operations()),
        (200, paid.clone(), vec!["GetItem"])
    );
    assert_eq!(fixture.read(id, ADMIN).await.status(), 200);
    assert_eq!(mine.header("cache-control").as_deref(), Some("private, no-cache"));
    let unchanged = events::get(&format!("/payments/{id}"))
        .path_parameter("payment_id", id)
        .header("if-none-match", &mine.header("etag").unwrap());
    let again = async |reader: &str| {
        fixture.call("get-payment", unchanged.clone().caller(reader).event()).await.status()
    };
    assert_eq!((again(USER).await, again(STRANGER).await), (304, 404));
    let unknown = format!("pay_{}_{}", &ORDER[4..], &ORDER[4..]);
    assert_eq!(fixture.read(id, STRANGER).await.json(), fixture.read(&unknown, USER).await.json());
    let page = async |query: &str, reader: &str| {
        fixture
            .call(
                "list-payments",
                events::get(&format!("/payments?{query}")).caller(reader).event(),
            )
            .await
    };
    let all = page(&format!("order_id={ORDER}"), USER).await;
    let statuses = |answer: &Called| {
        answer.json()["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["status"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (statuses(&all), all.operations()),
        (vec!["failed".to_owned(), "completed".to_owned()], vec!["Query"])
    );
    let first = page(&format!("order_id={ORDER}&limit=1"), ADMIN).await.json();
    let cursor = first["next_cursor"].as_str().expect("there is another page");
    let second = page(&format!("order_id={ORDER}&limit=1&cursor={cursor}"), ADMIN).await;
    assert_eq!(
        (statuses(&second), second.json()["next_cursor"].clone()),
        (vec!["completed".to_owned()], Value::Null)
    );
    assert_eq!(
        page(&format!("order_id={ORDER}&limit=1&cursor={cursor}"), USER).await.json()["code"],
        "invalid_cursor"
    );
    assert_eq!(
        page(&format!("order_id={ORDER}"), STRANGER).await.json()["code"],
        "order_not_found"
    );
}
