//! Only its user can mark a notification as read, once.

use shared::ids::{NotificationId, PrefixedId, UserId};

use tests::{aws::Aws, shop::clock};

use super::*;

const STRANGER: &str = "usr_0199c2a8-0000-7000-8000-000000000009";
/// The notification of the first message. Its id begins with the time of the message's event.
const FIRST: &str = "ntf_01a1fd55-7e68-8000-8000-000000000001";

async fn read(fixture: &NotificationsFixture, caller: &str, notification: &str) -> Called {
    let path = format!("/notifications/{notification}/read");
    let event = events::http("POST", &path)
        .caller(caller)
        .path_parameter("notification_id", notification)
        .event();
    fixture.call("read-notification", event).await
}

#[tokio::test]
async fn notification_is_read_once_however_often_it_is_marked() {
    let fixture = fixture();
    for number in 1..=2 {
        assert!(fixture.deliver(&message(number)).await);
    }
    let called = read(&fixture, events::USER, FIRST).await;
    assert_eq!((called.status(), called.operations()), (204, vec!["UpdateItem"]));
    let listed = fixture.listed(events::USER).await;
    assert_eq!(
        (&listed[0]["read"], &listed[1]["read"]),
        (&json!(false), &json!(true)),
        "the other one stays unread"
    );

    let before = fixture.aws.items("notifications");
    fixture.clock.advance(Duration::from_secs(60));
    assert_eq!(read(&fixture, events::USER, FIRST).await.status(), 204);
    assert_eq!(fixture.aws.items("notifications"), before, "the first time of reading is kept");
}

#[tokio::test]
async fn foreign_or_missing_notification_cannot_be_marked() {
    let fixture = fixture();
    assert!(fixture.deliver(&message(1)).await);
    let before = fixture.aws.items("notifications");
    for caller in [STRANGER, events::ADMIN] {
        let called = read(&fixture, caller, FIRST).await;
        assert_eq!(
            (called.status(), called.json()["code"].as_str(), called.operations()),
            (404, Some("notification_not_found"), vec!["UpdateItem"])
        );
    }
    for (unknown, asked) in
        [("ntf_0199c2a8-0000-7000-8000-0000000000ff", 1), ("ntf_1", 0), (events::USER, 0), ("", 0)]
    {
        let called = read(&fixture, events::USER, unknown).await;
        assert_eq!(
            (called.status(), called.json()["code"].as_str()),
            (404, Some("notification_not_found")),
            "{unknown}"
        );
        assert_eq!(called.calls.len(), asked, "{unknown}");
    }
    let anonymous = events::http("POST", "/notifications/x/read")
        .path_parameter("notification_id", FIRST)
        .event();
    assert_eq!(fixture.call("read-notification", anonymous).await.status(), 401);
    assert_eq!(fixture.aws.items("notifications"), before);
}

#[tokio::test]
async fn notification_deleted_while_marking_stays_deleted() {
    let mut outcomes = [0, 0];
    for seed in 0..20 {
        let shop = Shop::over(Aws::new().crowded(seed), clock());
        assert!(shop.call("send-notification", message(1)).await.is_done());

        let (user, id) =
            (UserId::parse(events::USER).unwrap(), NotificationId::parse(FIRST).unwrap());
        let sort_key = shop.aws.items("notifications")[0]["sk"]["S"].as_str().unwrap().to_owned();
        let forgetting = tokio::spawn({
            let service = shop.notifications.clone();
            async move { service.store.delete(user, sort_key).await }
        });
        let service = shop.notifications.clone();
        let reading =
            tokio::spawn(
                async move { service.store.mark_read(user, id, service.clock.now()).await },
            );
        forgetting.await.unwrap().unwrap();
        outcomes[usize::from(reading.await.unwrap().is_ok())] += 1;
        assert_eq!(shop.aws.items("notifications").len(), 0, "seed {seed}");
    }
    assert!(
        outcomes.iter().all(|many| *many > 0),
        "the seeds do not meet both cases: {outcomes:?}"
    );
}

#[tokio::test]
async fn marking_as_read_survives_any_fault() {
    for_each_fault(0..1, async |InjectedFault { call, fault }| {
        let fixture = fixture();
        assert!(fixture.deliver(&message(1)).await);
        fixture.aws.fail(call, fault);
        let first = read(&fixture, events::USER, FIRST).await.status();
        assert!([204, 503].contains(&first), "{fault:?} at call {call}: {first}");
        assert_eq!(read(&fixture, events::USER, FIRST).await.status(), 204);
        assert_eq!(fixture.listed(events::USER).await[0]["read"], true);
    })
    .await;
}

#[tokio::test]
async fn late_mail_does_not_make_its_notification_unread() {
    let fixture = fixture();
    fixture.aws.fail(3, Fault::LoseRequest);
    assert!(!fixture.deliver(&message(1)).await);
    assert_eq!(fixture.listed(events::USER).await[0]["delivery"], "pending");
    assert_eq!(read(&fixture, events::USER, FIRST).await.status(), 204);
    fixture.clock.advance(Duration::from_secs(90));
    assert!(fixture.deliver(&message(1)).await);
    let listed = fixture.listed(events::USER).await;
    assert_eq!(
        (&listed[0]["read"], &listed[0]["delivery"], fixture.mails()),
        (&json!(true), &json!("sent"), 1)
    );
}
