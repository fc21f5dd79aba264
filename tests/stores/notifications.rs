//! The mail goes out once, whatever happens around it.

use std::{sync::Arc, time::Duration};

use notifications::{
    Notifications,
    operations::{list_notifications::list_notifications, send_notification::send_notification},
};
use serde_json::{Value, json};
use shared::{
    clock::Clock,
    http,
    lambda::Lambda,
    queue::{self, Queue},
};
use tests::{
    aws::{Aws, Fault},
    events, shop, sqs,
};

struct Stage {
    aws: Aws,
    clock: Clock,
    send: Lambda,
    list: Lambda,
}

fn stage() -> Stage {
    let aws = Aws::new();
    let clock = shop::clock();
    let service: Arc<Notifications> = Arc::new(shop::notifications(&aws, &clock));
    let send = queue::lambda(service.clone(), send_notification, Queue::new(sqs::url("send-notification")));
    Stage { aws, clock, send, list: http::lambda(service, list_notifications) }
}

impl Stage {
    /// Delivers the message; whether it was acknowledged.
    async fn deliver(&self, event: &Value) -> bool {
        self.aws.call(&self.send, event.clone()).await.ok()["batchItemFailures"].as_array().unwrap().is_empty()
    }

    fn mails(&self) -> usize {
        self.aws.mails().mails().len()
    }
}

fn message(number: u32) -> Value {
    events::message(
        "send-notification",
        "send_notification.v1",
        &json!({
            "notification_id": format!("ntf_0199c2a8-0000-7000-8000-{number:012x}"),
            "user_id": events::USER,
            "email": "ada@example.com",
            "name": "Ada Lovelace",
            "template": "order_confirmed",
            "occurred_at": format!("2026-11-21T09:00:{:02}.000Z", number % 60),
            "data": {
                "order_id": "ord_0199c2a8-0000-7000-8000-0000000000f1",
                "total": { "amount": 5998, "currency": "USD" },
                "items": [{ "name": "Teapot", "quantity": 2, "line_total": { "amount": 5998, "currency": "USD" } }],
                "a_field_of_a_later_release": true,
            },
        }),
    )
}

#[tokio::test]
async fn a_message_becomes_one_mail_and_one_record_however_often_it_comes() {
    let stage = stage();
    for _ in 0..3 {
        assert!(stage.deliver(&message(1)).await);
    }
    let mails = stage.aws.mails().mails();
    assert_eq!(mails.len(), 1);
    assert_eq!((mails[0].from.as_str(), mails[0].to.as_slice()), ("shop@example.com", &["ada@example.com".to_owned()][..]));
    assert!(mails[0].text.contains("59.98 USD") && mails[0].html.contains("59.98 USD"));
    let items = stage.aws.items("notifications");
    assert_eq!(items.len(), 1);
    assert_eq!(items[0]["state"]["S"], "SENT");
    assert!(!items[0].to_string().contains("ada@example.com"), "the address stays in the message");
}

#[tokio::test]
async fn every_single_fault_is_survived_with_at_most_one_mail_too_many() {
    for fault in [Fault::Throttle, Fault::LoseRequest, Fault::LoseResponse, Fault::Conflict] {
        for call in 0..4 {
            let stage = stage();
            stage.aws.fail(call, fault);
            let mut deliveries = 0;
            while !stage.deliver(&message(1)).await {
                stage.clock.advance(Duration::from_secs(90));
                deliveries += 1;
                assert!(deliveries < 3, "{fault:?} at call {call} keeps the mail from going out");
            }
            // Only a lost answer of SES itself can make two of one.
            let most = if fault == Fault::LoseResponse && call == 1 { 2 } else { 1 };
            assert!((1..=most).contains(&stage.mails()), "{fault:?} at call {call}: {} mails", stage.mails());
        }
    }
}

#[tokio::test]
async fn while_one_try_is_at_it_another_waits_and_takes_over_when_the_lock_is_over() {
    let stage = stage();
    // The first try breaks off after its record is written: as a crash would leave it.
    stage.aws.fail(1, Fault::LoseRequest);
    stage.aws.fail(2, Fault::LoseRequest);
    assert!(!stage.deliver(&message(1)).await);
    assert_eq!(stage.mails(), 0);
    assert!(!stage.deliver(&message(1)).await, "the lock holds");
    stage.clock.advance(Duration::from_secs(20));
    assert!(stage.deliver(&message(1)).await);
    assert_eq!(stage.mails(), 1);
    assert_eq!(stage.aws.items("notifications")[0]["state"]["S"], "SENT");
}

#[tokio::test]
async fn users_see_their_own_notifications_page_by_page_and_the_newest_first() {
    let stage = stage();
    for number in 1..=5 {
        assert!(stage.deliver(&message(number)).await);
    }
    let mut seen = Vec::new();
    let mut path = "/notifications?limit=2".to_owned();
    loop {
        let called = stage.aws.call(&stage.list, events::get(&path).caller(events::USER).event()).await;
        assert_eq!(called.status(), 200, "{:?}", called.answer);
        assert_eq!(called.operations(), ["Query"]);
        let page = called.json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["occurred_at"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/notifications?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, (1..=5).rev().map(|number| format!("2026-11-21T09:00:{number:02}.000Z")).collect::<Vec<_>>());

    let stranger = events::get("/notifications").caller("usr_0199c2a8-0000-7000-8000-000000000009").event();
    assert_eq!(stage.aws.call(&stage.list, stranger).await.json(), json!({ "items": [], "next_cursor": null }));
    let borrowed = events::get(&path).caller("usr_0199c2a8-0000-7000-8000-000000000009").event();
    assert_eq!(stage.aws.call(&stage.list, borrowed).await.json()["code"], "invalid_cursor");
    assert_eq!(stage.aws.call(&stage.list, events::get("/notifications").event()).await.status(), 401);
}

#[tokio::test]
async fn a_notification_looks_like_this() {
    let stage = stage();
    assert!(stage.deliver(&message(1)).await);
    let called = stage.aws.call(&stage.list, events::get("/notifications").caller(events::USER).event()).await;
    insta::assert_json_snapshot!(called.json());
}
