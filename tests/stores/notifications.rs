//! Mails are sent once under any fault and never to suppressed addresses. Users can mark their
//! notifications as read.

mod forget_recipient;
mod read_notification;
mod record_mail_feedback;

use std::{ops::Deref, time::Duration};

use serde_json::{Value, json};
use shared::{ids::Ids, metrics::Capture, seal::SealingKey, secret::derive_key};
use tests::{
    aws::{Called, Fault},
    events,
    faults::{InjectedFault, for_each_fault},
    shop::Shop,
};

/// A shop whose mails and notifications are tested.
struct NotificationsFixture(Shop);

impl Deref for NotificationsFixture {
    type Target = Shop;

    fn deref(&self) -> &Shop {
        &self.0
    }
}

/// A one-time token in its documented format.
const TOKEN: &str = "usr_0199c2a8-0000-7000-8000-000000000001.c2VjcmV0";
/// The value of the secret that seals links in messages.
const MAIL_TOKEN_KEY: &str = "a text of the test";

fn fixture() -> NotificationsFixture {
    let shop = Shop::new();
    shop.aws
        .secrets_manager()
        .set("mail-token-key", &json!({ "current": MAIL_TOKEN_KEY, "previous": "" }).to_string());
    NotificationsFixture(shop)
}

impl NotificationsFixture {
    /// Delivers a message. Returns whether it was acknowledged.
    async fn deliver(&self, event: &Value) -> bool {
        self.call("send-notification", event.clone()).await.is_done()
    }

    /// The caller's notifications, as the API lists them.
    async fn listed(&self, caller: &str) -> Value {
        self.call("list-notifications", events::get("/notifications").caller(caller).event())
            .await
            .json()["items"]
            .clone()
    }

    /// The only notification in the table.
    fn record(&self) -> Value {
        let mut records = self.aws.items("notifications");
        records.retain(|item| item["pk"]["S"].as_str().unwrap().starts_with("USER#"));
        assert_eq!(records.len(), 1);
        records.remove(0)
    }

    fn mails(&self) -> usize {
        self.aws.mails().mails().len()
    }
}

fn message(number: u32) -> Value {
    let data = json!({
        "order_id": "ord_0199c2a8-0000-7000-8000-0000000000f1",
        "total": { "amount": 5998, "currency": "USD" },
        "items": [{ "name": "Teapot", "quantity": 2, "line_total": { "amount": 5998, "currency": "USD" } }],
        "a_field_of_a_later_release": true,
    });
    message_with(number, "order_confirmed", &data)
}

fn message_with(number: u32, template: &str, data: &Value) -> Value {
    events::message(
        "send-notification",
        "send_notification.v1",
        &json!({
            "notification_id": format!("ntf_0199c2a8-0000-7000-8000-{number:012x}"),
            "user_id": events::USER,
            "email": "ada@example.com",
            "name": "Ada Lovelace",
            "template": template,
            "occurred_at": format!("2026-11-21T09:00:{:02}.000Z", number % 60),
            "data": data,
        }),
    )
}

/// The data of a mail with a link, sealed as by users. The link is valid for half an hour.
fn link(secret: &str, user: &str) -> Value {
    let key = SealingKey::new(derive_key(secret.as_bytes(), "one-time-token"));
    json!({ "sealed_token": key.seal(TOKEN, &["one-time-token", user], &Ids::seeded(1)), "expires_at": "2026-11-21T10:30:00.000Z" })
}

fn good_link() -> Value {
    link(MAIL_TOKEN_KEY, events::USER)
}

#[tokio::test]
async fn repeated_message_sends_one_mail() {
    let fixture = fixture();
    for _ in 0..3 {
        assert!(fixture.deliver(&message(1)).await);
    }
    let mails = fixture.aws.mails().mails();
    assert_eq!(mails.len(), 1);
    assert_eq!(
        mails[0].configuration_set, "ferrocart-mail",
        "bounces of this mail would be reported to another stack, or to none"
    );
    assert_eq!(
        (mails[0].from.as_str(), mails[0].to.as_slice()),
        ("\"Ferrocart\" <shop@example.com>", &["ada@example.com".to_owned()][..])
    );
    assert!(mails[0].text.contains("59.98 USD") && mails[0].html.contains("59.98 USD"));
    let items = fixture.aws.items("notifications");
    assert_eq!(items.len(), 1);
    assert_eq!(items[0]["state"]["S"], "SENT");
    assert!(!items[0].to_string().contains("ada@example.com"), "the address stays in the message");
}

#[tokio::test]
async fn notification_survives_any_fault_with_at_most_one_extra_mail() {
    for_each_fault(0..6, async |InjectedFault { call, fault }| {
        let fixture = fixture();
        fixture.aws.fail(call, fault);
        let mut deliveries = 0;
        while !fixture.deliver(&message(1)).await {
            fixture.clock.advance(Duration::from_secs(90));
            deliveries += 1;
            assert!(deliveries < 3, "{fault:?} at call {call} blocks the mail");
        }
        // Only a lost SES response can cause a second mail.
        let most = if fault == Fault::LoseResponse && call == 3 { 2 } else { 1 };
        assert!(
            (1..=most).contains(&fixture.mails()),
            "{fault:?} at call {call}: {} mails",
            fixture.mails()
        );
    })
    .await;
}

#[tokio::test]
async fn concurrent_attempt_waits_for_the_lock_and_takes_over_when_it_expires() {
    let fixture = fixture();
    // The first attempt stops after writing its record, as in a crash.
    fixture.aws.fail(3, Fault::LoseRequest);
    fixture.aws.fail(4, Fault::LoseRequest);
    assert!(!fixture.deliver(&message(1)).await);
    assert_eq!(fixture.mails(), 0);
    assert!(!fixture.deliver(&message(1)).await, "the lock holds");
    fixture.clock.advance(Duration::from_secs(20));
    assert!(fixture.deliver(&message(1)).await);
    assert_eq!(fixture.mails(), 1);
    assert_eq!(fixture.aws.items("notifications")[0]["state"]["S"], "SENT");
}

#[tokio::test]
async fn users_list_their_own_notifications_by_page_newest_first() {
    let fixture = fixture();
    for number in 1..=5 {
        assert!(fixture.deliver(&message(number)).await);
    }
    let mut seen = Vec::new();
    let mut path = "/notifications?limit=2".to_owned();
    loop {
        let called = fixture
            .call("list-notifications", events::get(&path).caller(events::USER).event())
            .await;
        assert_eq!(called.status(), 200, "{:?}", called.answer);
        assert_eq!(called.operations(), ["Query"]);
        let page = called.json();
        seen.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item["occurred_at"].as_str().unwrap().to_owned()),
        );
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/notifications?limit=2&cursor={cursor}");
    }
    assert_eq!(
        seen,
        (1..=5)
            .rev()
            .map(|number| format!("2026-11-21T09:00:{number:02}.000Z"))
            .collect::<Vec<_>>()
    );

    let stranger =
        events::get("/notifications").caller("usr_0199c2a8-0000-7000-8000-000000000009").event();
    assert_eq!(
        fixture.call("list-notifications", stranger).await.json(),
        json!({ "items": [], "next_cursor": null })
    );
    let borrowed = events::get(&path).caller("usr_0199c2a8-0000-7000-8000-000000000009").event();
    assert_eq!(fixture.call("list-notifications", borrowed).await.json()["code"], "invalid_cursor");
    assert_eq!(
        fixture.call("list-notifications", events::get("/notifications").event()).await.status(),
        401
    );
}

#[tokio::test]
async fn notification_matches_the_snapshot() {
    let fixture = fixture();
    assert!(fixture.deliver(&message(1)).await);
    let called = fixture
        .call("list-notifications", events::get("/notifications").caller(events::USER).event())
        .await;
    insta::assert_json_snapshot!(called.json());
}

#[tokio::test]
async fn link_is_only_in_its_mail() {
    for (template, page) in [
        ("welcome", "verify-email"),
        ("verify_email", "verify-email"),
        ("password_reset", "reset-password"),
        ("email_change_requested", "withdraw-email-change"),
        ("email_moved", "withdraw-email-change"),
    ] {
        let fixture = fixture();
        let called =
            fixture.call("send-notification", message_with(1, template, &good_link())).await;
        assert_eq!(called.ok()["batchItemFailures"], json!([]));
        let calls: Vec<&str> = called.calls.iter().map(|call| call.operation.as_str()).collect();
        assert_eq!(
            calls,
            ["GetSecretValue", "GetSecretValue", "GetItem", "PutItem", "SendEmail", "UpdateItem"]
        );

        let mails = fixture.aws.mails().mails();
        let expected = format!("http://localhost:3000/{page}#token={TOKEN}");
        assert_eq!(mails.len(), 1);
        assert!(
            mails[0].text.contains(&expected) && mails[0].html.contains(&expected),
            "{}",
            mails[0].text
        );

        let item = fixture.aws.items("notifications")[0].to_string();
        let sealed = good_link()["sealed_token"].as_str().unwrap().to_owned();
        for secret in [
            TOKEN,
            "c2VjcmV0",
            sealed.as_str(),
            "token",
            "http",
            "order_id",
            "ada@example.com",
            "Ada",
        ] {
            assert!(!item.contains(secret), "{secret} is in {item}");
        }
        let listed = fixture
            .call("list-notifications", events::get("/notifications").caller(events::USER).event())
            .await
            .json();
        assert_eq!(listed["items"][0]["template"], template);
        assert!(listed["items"][0].get("order_id").is_none());

        assert!(fixture.deliver(&message_with(1, template, &good_link())).await);
        assert_eq!(fixture.mails(), 1, "a second copy sends nothing");
    }
}

#[tokio::test]
async fn unopenable_link_is_never_mailed() {
    let whole = good_link()["sealed_token"].as_str().unwrap().to_owned();
    let mut links = vec![link("another secret", events::USER), link(MAIL_TOKEN_KEY, events::ADMIN)];
    for sealed in ["", "x", TOKEN, &whole[1..], &whole[..whole.len() - 1]] {
        let mut link = good_link();
        link["sealed_token"] = sealed.into();
        links.push(link);
    }
    for link in links {
        let fixture = fixture();
        assert!(!fixture.deliver(&message_with(1, "password_reset", &link)).await, "{link}");
        assert_eq!((fixture.mails(), fixture.aws.items("notifications").len()), (0, 0), "{link}");
    }
}

#[tokio::test]
async fn expired_link_is_not_mailed_and_its_message_is_acknowledged() {
    let fixture = fixture();
    let message = message_with(1, "password_reset", &good_link());
    fixture.clock.advance(Duration::from_secs(30 * 60));
    let called = fixture.call("send-notification", message.clone()).await;
    assert_eq!(called.ok()["batchItemFailures"], json!([]));
    assert_eq!((called.calls.len(), fixture.mails()), (0, 0));

    // The link still works just before it expires.
    let fixture = self::fixture();
    fixture.clock.advance(Duration::from_millis(30 * 60 * 1000 - 1));
    assert!(fixture.deliver(&message).await);
    assert_eq!(fixture.mails(), 1);
}

#[tokio::test]
async fn mail_with_a_link_survives_any_fault() {
    for_each_fault(0..7, async |InjectedFault { call, fault }| {
        let fixture = fixture();
        fixture.aws.fail(call, fault);
        let mut deliveries = 0;
        while !fixture.deliver(&message_with(1, "welcome", &good_link())).await {
            fixture.clock.advance(Duration::from_secs(90));
            deliveries += 1;
            assert!(deliveries < 3, "{fault:?} at call {call} blocks the mail");
        }
        let most = if fault == Fault::LoseResponse && call == 4 { 2 } else { 1 };
        assert!(
            (1..=most).contains(&fixture.mails()),
            "{fault:?} at call {call}: {} mails",
            fixture.mails()
        );
    })
    .await;
}

#[tokio::test]
async fn account_change_notice_has_no_one_time_link() {
    for template in ["password_changed", "email_changed", "email_change_withdrawn"] {
        let fixture = fixture();
        assert!(fixture.deliver(&message_with(1, template, &json!({}))).await);
        let mails = fixture.aws.mails().mails();
        assert_eq!(mails.len(), 1);
        assert!(!mails[0].text.contains("token") && !mails[0].html.contains("token"));
        let item = &fixture.aws.items("notifications")[0];
        assert_eq!(
            (&item["state"]["S"], &item["template"]["S"]),
            (&json!("SENT"), &json!(template))
        );
        assert!(item.get("order_id").is_none());
    }
}

#[tokio::test]
async fn operator_gets_one_low_stock_mail() {
    let fixture = fixture();
    let data = json!({ "product_id": "prd_0199c2a8-0000-7000-8000-00000000000a", "sku": "SPOON-OAK", "available": 3, "threshold": 5 });
    for _ in 0..2 {
        assert!(fixture.deliver(&message_with(1, "low_stock", &data)).await);
    }
    let mails = fixture.aws.mails().mails();
    assert_eq!((mails.len(), mails[0].subject.as_str()), (1, "A product is running out"));
    assert!(mails[0].text.contains("SPOON-OAK: 3 available"), "{}", mails[0].text);
    let record = fixture.record();
    assert_eq!(
        (&record["state"]["S"], &record["template"]["S"]),
        (&json!("SENT"), &json!("low_stock"))
    );
    assert!(record.get("order_id").is_none());
}

#[tokio::test]
async fn message_without_its_template_data_is_rejected() {
    let fixture = fixture();
    for (template, data) in [
        ("order_confirmed", json!({})),
        ("order_shipped", good_link()),
        ("welcome", json!({})),
        ("low_stock", json!({})),
        ("birthday", json!({})),
    ] {
        let called = fixture.call("send-notification", message_with(1, template, &data)).await;
        assert_eq!(called.ok()["batchItemFailures"], json!([]), "{template}");
        assert_eq!((called.rejected(), called.calls.len()), (1, 1), "{template}");
    }
}

#[tokio::test]
async fn permanently_rejected_mail_is_tried_once_and_still_listed() {
    for refusal in ["MessageRejected", "BadRequestException"] {
        let fixture = fixture();
        fixture.aws.mails().refuse(refusal);
        let capture = Capture::start();
        assert!(fixture.deliver(&message(1)).await, "{refusal}");
        assert_eq!(capture.total(&notifications::metrics::MAIL_REJECTED), 1);
        let item = &fixture.aws.items("notifications")[0];
        assert_eq!(
            (&item["state"]["S"], &item["rejection_code"]["S"]),
            (&json!("FAILED"), &json!(refusal))
        );
        assert!(item.get("locked_by").is_none() && item.get("locked_until").is_none());
        assert!(!item.to_string().contains("ada@example.com"));

        fixture.aws.mails().heal();
        fixture.clock.advance(Duration::from_secs(90));
        let again = fixture.call("send-notification", message(1)).await;
        assert_eq!(
            (again.ok()["batchItemFailures"].clone(), again.operations()),
            (json!([]), vec!["GetItem", "PutItem"]),
            "{refusal}"
        );
        assert_eq!(fixture.mails(), 0);
        let listed = fixture
            .call("list-notifications", events::get("/notifications").caller(events::USER).event())
            .await
            .json();
        assert_eq!(listed["items"][0]["subject"], "Your order is confirmed");
    }
}

#[tokio::test]
async fn unrecorded_rejection_is_redelivered() {
    for fault in [Fault::Throttle, Fault::LoseRequest, Fault::LoseResponse] {
        let fixture = fixture();
        fixture.aws.mails().refuse("MessageRejected");
        fixture.aws.fail(4, fault);
        assert!(!fixture.deliver(&message(1)).await);
        fixture.clock.advance(Duration::from_secs(90));
        assert!(fixture.deliver(&message(1)).await);
        assert_eq!(fixture.aws.items("notifications")[0]["state"]["S"], "FAILED");
    }
}

#[tokio::test]
async fn temporarily_rejected_mail_is_redelivered_until_sent() {
    for refusal in [
        "TooManyRequestsException",
        "LimitExceededException",
        "SendingPausedException",
        "AccountSuspendedException",
        "NotFoundException",
        "AccessDeniedException",
        "InternalServiceErrorException",
    ] {
        let fixture = fixture();
        fixture.aws.mails().refuse(refusal);
        assert!(!fixture.deliver(&message(1)).await, "{refusal}");
        assert_eq!(fixture.aws.items("notifications")[0]["state"]["S"], "PENDING");
        fixture.aws.mails().heal();
        fixture.clock.advance(Duration::from_secs(2));
        assert!(fixture.deliver(&message(1)).await, "{refusal}");
        assert_eq!(
            (fixture.mails(), &fixture.aws.items("notifications")[0]["state"]["S"]),
            (1, &json!("SENT"))
        );
    }
}

#[tokio::test]
async fn notification_of_a_later_release_is_shown_unchanged() {
    let fixture = fixture();
    assert!(fixture.deliver(&message(1)).await);
    let mut item = fixture.aws.items("notifications")[0].clone();
    item["state"] = json!({ "S": "BOUNCED" });
    item["bounced_at"] = json!({ "S": "2026-11-21T10:00:00.000Z" });
    fixture.aws.put("notifications", &item);
    let listed = fixture
        .call("list-notifications", events::get("/notifications").caller(events::USER).event())
        .await;
    assert_eq!((listed.status(), listed.json()["items"].as_array().map(Vec::len)), (200, Some(1)));
    assert!(!fixture.deliver(&message(1)).await, "unknown states are shown unchanged");
    assert_eq!((fixture.mails(), &fixture.aws.items("notifications")[0]), (1, &item));
}
