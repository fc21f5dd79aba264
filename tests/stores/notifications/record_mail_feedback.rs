//! Bounces and complaints suppress addresses, which the table does not store in plain text.

use std::sync::Arc;

use notifications::suppression::{AddressMac, Reason};
use tests::ses::{bounced, complained};

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn feedback(kind: &str, data: &Value) -> Value {
    events::message("record-mail-feedback", kind, data)
}

fn permanent(address: &str) -> Value {
    feedback("mail_bounced.v1", &bounced(address, "Permanent"))
}

impl NotificationsFixture {
    /// Delivers an SES event. Returns whether it was acknowledged.
    async fn deliver_feedback(&self, event: &Value) -> bool {
        self.call("record-mail-feedback", event.clone()).await.is_done()
    }

    fn suppressions(&self) -> Vec<Value> {
        let mut items = self.aws.items("notifications");
        items.retain(|item| item["pk"]["S"].as_str().unwrap().starts_with("SUPPRESSED#"));
        items
    }

    /// The number of suppressions by the day on which they end, in days from today.
    fn counted(&self) -> Vec<(i64, i64)> {
        let today = self.clock.now().seconds() / 86_400;
        let key = json!({ "pk": { "S": "SUPPRESSIONS" }, "sk": { "S": "COUNT" } });
        let item = self.aws.item("notifications", &key).unwrap_or_default();
        let count = |(name, value): (&String, &Value)| {
            let day: i64 = name.strip_prefix("day_")?.parse().unwrap();
            Some((day - today, value["N"].as_str()?.parse().unwrap()))
        };
        let mut counted: Vec<_> =
            item.as_object().into_iter().flatten().filter_map(count).collect();
        counted.sort_unstable();
        counted
    }
}

#[tokio::test]
async fn suppressed_recipient_gets_no_mail_but_a_notification() {
    for event in [
        permanent("ada@example.com"),
        permanent("Ada@EXAMPLE.com"),
        feedback("mail_complained.v1", &complained("ada@example.com", None)),
        feedback("mail_complained.v1", &complained("ada@example.com", Some("abuse"))),
    ] {
        let fixture = fixture();
        let capture = Capture::start();
        assert!(fixture.deliver_feedback(&event).await);
        let (bounced, complained) = (
            capture.total(&notifications::metrics::MAIL_BOUNCED),
            capture.total(&notifications::metrics::MAIL_COMPLAINED),
        );
        assert_eq!(bounced == 0, event.to_string().contains("mail_complained"));
        assert_eq!(bounced + complained, 1);
        let called = fixture.call("send-notification", message(1)).await;
        assert!(called.is_done());
        assert_eq!(
            (called.operations(), fixture.mails()),
            (vec!["GetItem", "PutItem", "UpdateItem"], 0)
        );
        let record = fixture.record();
        assert_eq!(record["state"]["S"], "SUPPRESSED");
        assert!(record.get("locked_by").is_none() && record.get("locked_until").is_none());
        let listed = fixture.listed(events::USER).await;
        assert_eq!(
            (&listed[0]["delivery"], &listed[0]["subject"]),
            (&json!("suppressed"), &json!("Your order is confirmed"))
        );

        // A copy finds the record. A suppressed mail is not sent later.
        fixture.clock.advance(91 * DAY);
        assert!(fixture.deliver(&message(1)).await);
        assert_eq!((fixture.mails(), fixture.record()), (0, record));
        assert_eq!(capture.total(&notifications::metrics::MAIL_SUPPRESSED), 1);
    }
}

#[tokio::test]
async fn transient_or_withdrawn_feedback_suppresses_nothing() {
    for event in [
        feedback("mail_bounced.v1", &bounced("ada@example.com", "Transient")),
        feedback("mail_bounced.v1", &bounced("ada@example.com", "Undetermined")),
        feedback("mail_complained.v1", &complained("ada@example.com", Some("not-spam"))),
        // A bounce of a mail that was forwarded to another person, and one with several recipients,
        // which our mails never have.
        permanent("bob@example.com"),
        feedback(
            "mail_bounced.v1",
            &json!({ "destination": ["ada@example.com", "bob@example.com"], "bounce": { "bounceType": "Permanent" } }),
        ),
    ] {
        let fixture = fixture();
        assert!(fixture.deliver_feedback(&event).await);
        assert!(fixture.deliver(&message(1)).await);
        assert_eq!((fixture.mails(), &fixture.record()["state"]["S"]), (1, &json!("SENT")));
    }
}

#[tokio::test]
async fn suppressed_addresses_are_not_stored_in_plain_text() {
    let fixture = fixture();
    assert!(fixture.deliver_feedback(&permanent("ada@example.com")).await);
    let items = fixture.suppressions();
    assert_eq!(items.len(), 1);
    let text = json!(fixture.aws.items("notifications")).to_string().to_lowercase();
    for plain in ["ada", "example", "forwarded", "dsn", "feedback-1", "@"] {
        assert!(!text.contains(plain), "{plain} is in {text}");
    }
    assert_eq!(items[0]["reason"]["S"], "bounce");
    let names: Vec<&String> = items[0].as_object().unwrap().keys().collect();
    assert_eq!(names, ["pk", "reason", "sk", "suppressed_at", "ttl"]);
}

#[tokio::test]
async fn suppression_ends_after_ninety_days_and_renews_on_bounce() {
    let fixture = fixture();
    assert!(fixture.deliver_feedback(&permanent("ada@example.com")).await);
    fixture.clock.advance(80 * DAY);
    assert!(fixture.deliver(&message(1)).await);
    assert_eq!(fixture.mails(), 0);
    // DynamoDB may delete expired items days late.
    fixture.clock.advance(10 * DAY);
    assert!(fixture.deliver(&message(2)).await);
    assert_eq!((fixture.mails(), fixture.suppressions().len()), (1, 1));

    assert!(
        fixture
            .deliver_feedback(&feedback("mail_complained.v1", &complained("ada@example.com", None)))
            .await
    );
    fixture.clock.advance(90 * DAY - Duration::from_secs(1));
    assert!(fixture.deliver(&message(3)).await);
    assert_eq!(fixture.mails(), 1);
    assert_eq!(fixture.suppressions()[0]["reason"]["S"], "complaint");
    fixture.clock.advance(Duration::from_secs(1));
    assert!(fixture.deliver(&message(4)).await);
    assert_eq!(fixture.mails(), 2);
}

// With paused time, the jitter between two attempts of a transaction takes no time.
#[tokio::test(start_paused = true)]
async fn feedback_is_recorded_and_counted_once_under_any_fault() {
    // The secret, the suppression, the count, and the transaction that writes both.
    for_each_fault(0..4, async |InjectedFault { call, fault }| {
        let fixture = fixture();
        fixture.aws.fail(call, fault);
        let mut deliveries = 0;
        while !fixture.deliver_feedback(&permanent("ada@example.com")).await {
            deliveries += 1;
            assert!(deliveries < 3, "{fault:?} at call {call} blocks the record");
        }
        let recorded = fixture.suppressions();
        assert!(fixture.deliver_feedback(&permanent("ada@example.com")).await);
        assert_eq!(
            (recorded.len(), fixture.suppressions()),
            (1, recorded.clone()),
            "{fault:?} at call {call}"
        );
        assert_eq!(fixture.counted(), [(90, 1)], "{fault:?} at call {call}");
    })
    .await;
}

#[tokio::test]
async fn each_suppressed_address_is_counted_once() {
    let fixture = fixture();
    for address in ["ada@example.com", "bob@example.com", "ADA@example.com"] {
        assert!(fixture.deliver_feedback(&permanent(address)).await);
        fixture.clock.advance(Duration::from_secs(1));
    }
    let called = fixture.call("record-mail-feedback", permanent("ada@example.com")).await;
    assert_eq!(called.operations(), ["GetItem", "GetItem", "TransactWriteItems"]);
    assert_eq!(fixture.counted(), [(90, 2)]);
    // On another day, the suppression is extended and counted there.
    fixture.clock.advance(2 * DAY);
    assert!(fixture.deliver_feedback(&permanent("ada@example.com")).await);
    assert_eq!(fixture.counted(), [(88, 1), (90, 1)]);
}

#[tokio::test]
async fn count_of_suppressions_keeps_no_past_days() {
    let fixture = fixture();
    for number in 0..4 {
        assert!(fixture.deliver_feedback(&permanent(&format!("user{number}@example.com"))).await);
        fixture.clock.advance(40 * DAY);
    }
    // The first two ended 70 and 30 days ago. DynamoDB may delete them days late.
    assert_eq!(
        (fixture.suppressions().len(), fixture.counted()),
        (4, vec![(-30, 1), (10, 1), (50, 1)])
    );
    assert!(fixture.deliver_feedback(&permanent("user0@example.com")).await);
    assert_eq!(fixture.counted(), [(10, 1), (50, 1), (90, 1)]);
    // DynamoDB deletes the count after the last day that it covers.
    let key = json!({ "pk": { "S": "SUPPRESSIONS" }, "sk": { "S": "COUNT" } });
    let ttl = fixture.aws.item("notifications", &key).unwrap()["ttl"]["N"].clone();
    let last = fixture.clock.now().seconds() / 86_400 + 90;
    assert_eq!(ttl, json!(((last + 1) * 86_400).to_string()));
}

#[tokio::test]
async fn concurrent_feedback_counts_every_address() {
    for seed in 0..10 {
        let crowded = fixture();
        let aws = crowded.aws.crowded(seed);
        let store =
            Arc::new(notifications::store::Store { notifications: aws.table("notifications") });
        let now = crowded.clock.now();
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..6 {
            let store = store.clone();
            // Three addresses, each reported twice.
            let address = AddressMac::new(&[7; 32], &format!("user{}@example.com", number % 3));
            calls.spawn(async move {
                for _ in 0..6 {
                    if store.suppress(&address, Reason::Bounce, now).await.is_ok() {
                        return;
                    }
                }
                panic!("the queue would deliver the message for the seventh time");
            });
        }
        while let Some(call) = calls.join_next().await {
            call.unwrap();
        }
        let counted = crowded.counted();
        assert_eq!((crowded.suppressions().len(), counted), (3, vec![(90, 3)]), "seed {seed}");
    }
}

#[tokio::test]
async fn suppressed_mail_is_never_sent_under_any_fault() {
    // The secret is cached, so three calls are left: the read, the record and its state.
    for_each_fault(0..3, async |InjectedFault { call, fault }| {
        let fixture = fixture();
        assert!(fixture.deliver_feedback(&permanent("ada@example.com")).await);
        fixture.aws.fail(call, fault);
        let mut deliveries = 0;
        while !fixture.deliver(&message(1)).await {
            fixture.clock.advance(Duration::from_secs(90));
            deliveries += 1;
            assert!(deliveries < 3, "{fault:?} at call {call} blocks the record");
        }
        assert_eq!(
            (fixture.mails(), &fixture.record()["state"]["S"]),
            (0, &json!("SUPPRESSED")),
            "{fault:?} at call {call}"
        );
    })
    .await;
}

#[tokio::test]
async fn interrupted_mail_is_not_sent_once_its_address_bounces() {
    let fixture = fixture();
    fixture.aws.fail(3, Fault::LoseRequest);
    fixture.aws.fail(4, Fault::LoseRequest);
    assert!(!fixture.deliver(&message(1)).await);
    assert!(fixture.deliver_feedback(&permanent("ada@example.com")).await);
    fixture.clock.advance(Duration::from_secs(90));
    assert!(fixture.deliver(&message(1)).await);
    assert_eq!((fixture.mails(), &fixture.record()["state"]["S"]), (0, &json!("SUPPRESSED")));
}

#[tokio::test]
async fn suppression_covers_links_and_operator_mails() {
    let low = json!({ "product_id": "prd_0199c2a8-0000-7000-8000-00000000000a", "available": 3, "threshold": 5 });
    for (template, data) in
        [("password_reset", good_link()), ("password_changed", json!({})), ("low_stock", low)]
    {
        let fixture = fixture();
        assert!(fixture.deliver_feedback(&permanent("ada@example.com")).await);
        assert!(fixture.deliver(&message_with(1, template, &data)).await);
        assert_eq!(
            (fixture.mails(), &fixture.record()["state"]["S"]),
            (0, &json!("SUPPRESSED")),
            "{template}"
        );
    }
}

#[tokio::test]
async fn malformed_feedback_is_rejected_and_writes_nothing() {
    let fixture = fixture();
    for (kind, data) in [
        ("mail_bounced.v1", json!({})),
        ("mail_bounced.v1", complained("ada@example.com", None)),
        ("mail_complained.v1", bounced("ada@example.com", "Permanent")),
        (
            "mail_bounced.v1",
            json!({ "destination": "ada@example.com", "bounce": { "bounceType": "Permanent" } }),
        ),
        ("mail_opened.v1", bounced("ada@example.com", "Permanent")),
    ] {
        let called = fixture.call("record-mail-feedback", feedback(kind, &data)).await;
        assert_eq!((called.rejected(), called.calls.len()), (1, 1), "{kind} {data}");
    }
    assert_eq!(fixture.aws.items("notifications").len(), 0);
}

#[tokio::test]
async fn suppression_and_link_survive_a_rotation_of_their_server_keys() {
    let fixture = fixture();
    assert!(fixture.deliver_feedback(&permanent("ada@example.com")).await);
    for key in ["notifications-key", "mail-token-key"] {
        fixture.aws.secrets_manager().rotate_server_key(key, "a new key", fixture.clock.now());
    }
    let mut mails = 0;
    for (number, pause) in [(1, 0), (2, 301), (3, 1_400)] {
        fixture.clock.advance(Duration::from_secs(pause));
        let called = fixture.call("send-notification", message(number)).await;
        assert_eq!(
            (called.is_done(), fixture.mails()),
            (true, mails),
            "{number}: the address stays suppressed"
        );
        // Sealed with the previous key, for another recipient.
        let mut link = message_with(10 + number, "password_reset", &good_link());
        link = with_recipient(&link, "bob@example.com");
        assert!(fixture.deliver(&link).await, "{number}");
        mails += 1;
        assert_eq!(fixture.mails(), mails);
    }
    // The new key is in use by now.
    fixture.clock.advance(Duration::from_secs(2 * 3600));
    assert!(fixture.call("send-notification", message(4)).await.is_done());
    assert_eq!(fixture.mails(), mails);
}

/// The same event with another recipient address.
fn with_recipient(event: &Value, address: &str) -> Value {
    let text = event.to_string().replace("ada@example.com", address);
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn first_bounce_or_complaint_stops_mails_with_links_too() {
    for event in [
        permanent("ada@example.com"),
        feedback("mail_complained.v1", &complained("ada@example.com", Some("abuse"))),
    ] {
        let fixture = fixture();
        let templates =
            ["welcome", "verify_email", "password_reset", "email_change_requested", "email_moved"];
        assert!(fixture.deliver(&message_with(1, "welcome", &good_link())).await);
        assert_eq!(fixture.mails(), 1, "the verification is the first mail to an address");
        assert!(fixture.deliver_feedback(&event).await);
        for (number, template) in (2..).zip(templates) {
            assert!(
                fixture.deliver(&message_with(number, template, &good_link())).await,
                "{template}"
            );
        }
        assert!(fixture.deliver(&message(9)).await);
        assert_eq!(fixture.mails(), 1);
    }
}
