//! `grant-role`, and changes that meet a concurrent one.

use std::sync::Arc;

use serde_json::{Value, json};
use shared::{
    ids::Ids,
    lambda::{Failure, Invocation, Lambda},
    telemetry::Trace,
};
use tests::{
    aws::Fault,
    faults::{InjectedFault, for_each_fault_at_each_call},
    shop::{
        Shop,
        accounts::{ADA, Session, kind},
    },
};
use users::{
    domain::{AdminEdit, User},
    store::{UpdateOutcome, UserChange},
};

#[tokio::test]
async fn role_change_updates_both_items_and_invalidates_tokens() {
    let shop = Shop::open();
    let user = shop.enrol(ADA).await;
    let session = shop.enter(user.id).await;
    shop.clock.advance(std::time::Duration::from_secs(60));
    let granted = shop.grant("ADA@Example.com", "admin").await;
    assert_eq!(granted.ok(), &json!({ "user_id": user.id, "role": "admin" }));
    assert_eq!(granted.operations(), ["GetItem", "GetItem", "TransactWriteItems"]);
    shop.check_accounts();
    let changed = shop.user(user.id).await;
    assert_eq!(
        (changed.role.as_str(), changed.token_version, changed.session_epoch, changed.version),
        ("admin", 2, 1, 2)
    );
    assert_eq!(changed.updated_at.to_string(), "2026-11-21T10:01:00.000Z");
    assert_eq!(kind(&shop.authorize(&session.access_token).await), "Unauthorized");
    let next = Session::of(&shop.refresh(&session.refresh_token).await).unwrap();
    assert_eq!(shop.authorize(&next.access_token).await.ok()["context"]["role"], "admin");

    let before = shop.aws.items("users");
    let again = shop.grant(ADA, "admin").await;
    assert_eq!((again.ok(), again.operations()), (granted.ok(), vec!["GetItem", "GetItem"]));
    assert_eq!(shop.aws.items("users"), before);
    assert!(
        shop.authorize(&next.access_token).await.answer.is_ok(),
        "a request without a change ends no session"
    );
    assert!(shop.grant(ADA, "user").await.answer.is_ok());
    shop.check_accounts();
    let changed = shop.user(user.id).await;
    assert_eq!((changed.role.as_str(), changed.token_version, changed.version), ("user", 3, 3));
}

#[tokio::test]
async fn unknown_user_or_role_is_rejected() {
    let shop = Shop::open();
    shop.enrol(ADA).await;
    let before = shop.aws.items("users");
    for (email, role, refused, calls) in [
        ("eve@example.com", "admin", "UnknownEmail", 1),
        ("ada", "admin", "UnknownEmail", 0),
        ("", "admin", "UnknownEmail", 0),
        (ADA, "owner", "UnknownRole", 0),
        (ADA, "Admin", "UnknownRole", 0),
        (ADA, "", "UnknownRole", 0),
    ] {
        let called = shop.grant(email, role).await;
        assert_eq!((kind(&called), called.operations().len()), (refused, calls), "{email} {role}");
    }
    assert_eq!(shop.aws.items("users"), before);
}

#[tokio::test]
async fn role_change_is_atomic_under_any_fault() {
    for_each_fault_at_each_call(async |InjectedFault { call, fault }| {
        let shop = Shop::open();
        let user = shop.enrol(ADA).await;
        shop.aws.fail(call, fault);
        let first = shop.grant(ADA, "admin").await;
        let is_lost = matches!(fault, Fault::LoseRequest | Fault::LoseResponse);
        let is_unavailable = call < 2 && fault != Fault::Conflict || call == 2 && is_lost;
        assert_eq!(
            kind(&first),
            if is_unavailable { "Unavailable" } else { "" },
            "{fault:?} at {call}"
        );
        shop.check_accounts();
        shop.aws.heal();
        assert!(shop.grant(ADA, "admin").await.answer.is_ok());
        shop.check_accounts();
        let changed = shop.user(user.id).await;
        assert_eq!(
            (changed.role.as_str(), changed.token_version),
            ("admin", 2),
            "{fault:?} at {call}"
        );
        first
    })
    .await;
    // Credentials without a profile are a broken account: nothing is written.
    let (whole, half) = (Shop::open(), Shop::open());
    whole.enrol(ADA).await;
    half.aws.put("users", &whole.credentials()[0]);
    let before = half.aws.items("users");
    assert_eq!(kind(&half.grant(ADA, "admin").await), "UnknownEmail");
    assert_eq!(half.aws.items("users"), before);
}

#[tokio::test]
async fn change_based_on_an_outdated_state_is_not_written() {
    let shop = Shop::open();
    let user = shop.enrol(ADA).await;
    let (now, trace) = (shop.clock.now(), Trace::start(&Ids::System));
    let promoted = |user: &User| {
        user.edited_by_admin(
            AdminEdit { role: Some(shared::auth::Role::Admin), ..Default::default() },
            now,
            trace.clone(),
        )
    };
    let late = promoted(&user);
    assert!(shop.grant(ADA, "admin").await.answer.is_ok());
    assert!(shop.grant(ADA, "user").await.answer.is_ok());
    let before = shop.aws.items("users");
    let store = &shop.users.store;
    assert_eq!(
        store.update_user(UserChange::new(&user, &late)).await.unwrap(),
        UpdateOutcome::VersionConflict
    );
    assert_eq!(store.erase(&user, now, &trace).await.unwrap(), UpdateOutcome::VersionConflict);
    // Another user has the address by now: their credentials stay unchanged.
    let present = shop.user(user.id).await;
    let mut foreign = shop.credentials().remove(0);
    foreign["user_id"] = json!({ "S": "usr_0199c2a8-0000-7000-8000-0000000000ff" });
    let own = shop.credentials().remove(0);
    shop.aws.put("users", &foreign);
    assert_eq!(
        store.update_user(UserChange::new(&present, &promoted(&present))).await.unwrap(),
        UpdateOutcome::VersionConflict
    );
    assert_eq!(store.erase(&present, now, &trace).await.unwrap(), UpdateOutcome::VersionConflict);
    shop.aws.put("users", &own);
    assert_eq!(shop.aws.items("users"), before);

    let after = promoted(&present);
    assert_eq!(
        store.update_user(UserChange::new(&present, &after)).await.unwrap(),
        UpdateOutcome::Written
    );
    let written = shop.aws.items("users");
    assert_eq!(
        store.update_user(UserChange::new(&present, &after)).await.unwrap(),
        UpdateOutcome::Written,
        "the response to our own write was lost"
    );
    assert_eq!(shop.aws.items("users"), written);
    shop.check_accounts();
}

#[tokio::test]
async fn concurrent_grants_bump_the_token_version_once() {
    let mut races = 0;
    for seed in 0..10 {
        let shop = Shop::crowded(seed);
        let user = shop.enrol(ADA).await;
        let lambda = shop.lambda("grant-role");
        let event = json!({ "email": ADA, "role": "admin" });
        let both: Lambda = Arc::new(move |_| {
            let (one, other) = (
                lambda(Invocation::with_event(event.clone())),
                lambda(Invocation::with_event(event.clone())),
            );
            Box::pin(async move {
                let (one, other) = tokio::join!(one, other);
                Ok::<_, Failure>(json!([one?, other?]))
            })
        });
        let called = shop.aws.call(&both, Value::Null).await;
        assert_eq!(called.ok()[0], called.ok()[1], "seed {seed}");
        shop.check_accounts();
        assert_eq!(shop.user(user.id).await.token_version, 2, "seed {seed}");
        races += usize::from(
            called
                .operations()
                .iter()
                .filter(|operation| **operation == "TransactWriteItems")
                .count()
                == 2,
        );
    }
    assert!(races > 0, "no seed lets both read before one of them writes: the test is vacuous");
}
