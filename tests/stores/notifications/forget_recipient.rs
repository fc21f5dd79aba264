//! All notifications of a deleted user are deleted under any fault. Those of other users stay.

use shared::lambda::Invocation;
use tests::{aws::Aws, shop::clock};

use super::*;

const STRANGER: &str = "usr_0199c2a8-0000-7000-8000-0000000000ff";

/// Concurrent operations interleave between AWS calls, depending on `seed`.
fn crowded(seed: u64) -> NotificationsFixture {
    NotificationsFixture(Shop::over(Aws::new().crowded(seed), clock()))
}

impl NotificationsFixture {
    /// Stores notifications of a user, as this or another release writes them.
    fn put(&self, user: &str, many: u32) {
        for number in 0..many {
            self.aws.put(
                "notifications",
                &json!({ "pk": { "S": format!("USER#{user}") }, "sk": { "S": format!("2026-11-21T09:00:00.000Z#{number:06}") } }),
            );
        }
    }

    fn left_of(&self, user: &str) -> usize {
        self.aws
            .items("notifications")
            .iter()
            .filter(|item| item["pk"]["S"] == format!("USER#{user}"))
            .count()
    }

    async fn forget(&self) -> Called {
        self.call("forget-recipient", message()).await
    }
}

fn message() -> Value {
    events::message(
        "forget-recipient",
        "user_deleted.v1",
        &json!({ "user_id": events::USER, "version": 4 }),
    )
}

fn mail() -> Value {
    let data = json!({
        "notification_id": "ntf_0199c2a8-0000-7000-8000-000000000001",
        "user_id": events::USER,
        "email": "ada@example.com",
        "name": "Ada Lovelace",
        "template": "password_changed",
        "occurred_at": "2026-11-21T09:00:01.000Z",
        "data": {},
    });
    events::command("send-notification", &data)
}

/// Whether the message was acknowledged.
fn is_done(answer: &Value) -> bool {
    answer["batchItemFailures"] == json!([])
}

fn count(called: &Called, operation: &str) -> usize {
    called.calls.iter().filter(|call| call.operation == operation).count()
}

#[tokio::test]
async fn all_notifications_of_a_user_are_deleted_and_no_others() {
    for (many, pages) in [(0, 1), (1, 1), (99, 1), (100, 2), (250, 3)] {
        let fixture = fixture();
        fixture.put(events::USER, many);
        fixture.put(STRANGER, 3);
        let called = fixture.forget().await;
        assert!(is_done(called.ok()));
        assert_eq!((fixture.left_of(events::USER), fixture.left_of(STRANGER)), (0, 3));
        let deletes = usize::try_from(many).unwrap();
        assert_eq!(
            (count(&called, "Query"), count(&called, "DeleteItem"), called.calls.len()),
            (pages, deletes, pages + deletes)
        );

        let again = fixture.forget().await;
        assert!(is_done(again.ok()));
        assert_eq!((again.operations(), fixture.left_of(STRANGER)), (vec!["Query"], 3));
    }
}

#[tokio::test]
async fn user_with_many_notifications_is_forgotten_in_several_runs() {
    let fixture = fixture();
    fixture.put(events::USER, 2_005);
    fixture.put(STRANGER, 1);
    assert!(!is_done(fixture.forget().await.ok()), "the message is redelivered");
    assert_eq!(fixture.left_of(events::USER), 5);
    assert!(is_done(fixture.forget().await.ok()));
    assert_eq!((fixture.left_of(events::USER), fixture.left_of(STRANGER)), (0, 1));
}

#[tokio::test]
async fn interrupted_run_is_continued() {
    for_each_fault(0..22, async |InjectedFault { call, fault }| {
        let fixture = fixture();
        fixture.put(events::USER, 20);
        fixture.put(STRANGER, 1);
        fixture.aws.fail(call, fault);
        let first = fixture.forget().await;
        let is_hit = call <= 20 && !(fault == Fault::Conflict && call == 0);
        assert_eq!(is_done(first.ok()), !is_hit, "{fault:?} at call {call}");
        fixture.aws.heal();
        assert!(is_done(fixture.forget().await.ok()));
        assert_eq!(
            (fixture.left_of(events::USER), fixture.left_of(STRANGER)),
            (0, 1),
            "{fault:?} at call {call}"
        );
    })
    .await;
}

#[tokio::test]
async fn concurrent_copies_share_the_work() {
    for seed in 0..5 {
        let fixture = crowded(seed);
        fixture.put(events::USER, 150);
        let copies: Vec<_> = (0..3)
            .map(|_| {
                tokio::spawn(fixture.lambda("forget-recipient")(Invocation::with_event(message())))
            })
            .collect();
        for copy in copies {
            assert!(is_done(&copy.await.unwrap().unwrap()));
        }
        assert_eq!(fixture.left_of(events::USER), 0, "seed {seed}");
    }
}

/// A mail that is being sent is not stopped, but its deleted record is not recreated. An attempt
/// that finds its record missing ends.
#[tokio::test]
async fn notification_deleted_while_sending_stays_deleted() {
    let mut outcomes = [0, 0];
    for seed in 0..60 {
        let fixture = crowded(seed);
        // An interrupted attempt has left its record, and its lock has expired.
        fixture.aws.fail(3, Fault::LoseRequest);
        fixture.aws.fail(4, Fault::LoseRequest);
        assert!(!is_done(fixture.call("send-notification", mail()).await.ok()));
        fixture.clock.advance(Duration::from_secs(90));
        let send =
            tokio::spawn(fixture.lambda("send-notification")(Invocation::with_event(mail())));
        let forget =
            tokio::spawn(fixture.lambda("forget-recipient")(Invocation::with_event(message())));
        let (send, forget) = (send.await.unwrap().unwrap(), forget.await.unwrap().unwrap());
        assert!(is_done(&send) && is_done(&forget), "seed {seed}");
        let mails = fixture.aws.mails().mails().len();
        outcomes[mails] += 1;
        // A remaining record is complete: it was recorded again, and its mail was sent.
        for item in fixture.aws.items("notifications") {
            assert_eq!(
                (mails, &item["state"]["S"], &item["subject"]["S"]),
                (1, &json!("SENT"), &json!("Your password was changed"))
            );
        }
    }
    assert!(
        outcomes.iter().all(|many| *many > 0),
        "the seeds do not meet both cases: {outcomes:?}"
    );
}

#[tokio::test]
async fn message_without_a_user_is_rejected_and_deletes_nothing() {
    let fixture = fixture();
    fixture.put(events::USER, 1);
    for data in [
        json!({}),
        json!({ "user_id": null }),
        json!({ "user_id": "usr_" }),
        json!({ "user_id": "*" }),
    ] {
        let called = fixture
            .call("forget-recipient", events::message("forget-recipient", "user_deleted.v1", &data))
            .await;
        assert_eq!((called.rejected(), called.calls.len()), (1, 1), "{data}");
    }
    let other = events::message(
        "forget-recipient",
        "user_changed.v1",
        &json!({ "user_id": events::USER, "version": 4 }),
    );
    assert_eq!(fixture.call("forget-recipient", other).await.rejected(), 1);
    assert_eq!(fixture.left_of(events::USER), 1);
}
