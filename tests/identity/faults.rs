//! Every fault at every call of an account change: afterwards the account is unchanged or changed
//! as requested, never in between, and a repeated request completes it.

use std::{cell::RefCell, collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use tests::{
    aws::{Called, Fault},
    faults::{InjectedFault, for_each_fault_at_each_call},
    shop::{
        Shop,
        accounts::{ADA, PASSWORD, Session, code, kind},
    },
};

use crate::print;

const NEW: &str = "countess@example.com";
const NEW_PASSWORD: &str = "another horse, another battery";

/// Ada with two sessions and her links.
struct Scene {
    shop: Shop,
    session: Session,
    other: Session,
    verification: String,
    reset: String,
    withdrawal: String,
}

impl Scene {
    async fn set(shop: Shop) -> Self {
        let user = shop.enrol(ADA).await;
        let (session, other) = (shop.enter(user.id).await, shop.enter(user.id).await);
        assert_eq!(shop.ask_for_address(&session, NEW).await.status(), 200);
        assert_eq!(shop.request_reset(ADA).await.status(), 202);
        let (verification, reset) =
            (shop.verification_token(user.id).await, shop.reset_token(user.id).await);
        let withdrawal = shop.withdraw_token(user.id).await;
        // A cold instance has read no secret yet: those calls can fail, too.
        let shop = shop.cold();
        Self { shop, session, other, verification, reset, withdrawal }
    }

    async fn with_retries() -> Self {
        let scene = Self::set(Shop::open()).await;
        Self { shop: scene.shop.retrying(), ..scene }
    }

    /// The content of all tables except generated values: ids, hashes, tokens.
    fn state(&self) -> Value {
        let mut users = self.shop.aws.items("users");
        let hash_before = tests::shop::accounts::hash();
        for item in &mut users {
            let is_old = item["password_hash"]["S"] == hash_before;
            for name in [
                "pk",
                "user_id",
                "traceparent",
                "verification",
                "reset",
                "withdrawal",
                "listed_shard",
                "listed_at",
            ] {
                if item.get(name).is_some() {
                    item[name] = json!("something");
                }
            }
            if item.get("password_hash").is_some() {
                item["password_hash"] = json!(if is_old { "the one before" } else { "a new one" });
            }
        }
        let mut sessions: Vec<Value> = self
            .shop
            .aws
            .items("sessions")
            .into_iter()
            .filter(|item| item.get("sequence").is_some())
            .collect();
        for item in &mut sessions {
            let is_this = item["pk"]["S"] == format!("SESSION#{}", self.session.id());
            for (name, value) in [
                ("pk", if is_this { "this" } else { "the other" }),
                ("user_id", "somebody"),
                ("secret_hash", "something"),
            ] {
                item[name] = json!(value);
            }
        }
        let sorted = |mut items: Vec<Value>| {
            items.sort_by_key(Value::to_string);
            items
        };
        json!({ "users": sorted(users), "sessions": sorted(sessions) })
    }
}

/// An operation under test: its name, its status on success, and its response when it had already
/// succeeded.
struct Trial {
    name: &'static str,
    done: u64,
    done_before: (u64, &'static str),
}

async fn survives(trial: Trial, attempt: impl AsyncFn(&Scene) -> Called) {
    let whole = Scene::set(Shop::open()).await;
    let before = whole.state();
    let undisturbed = attempt(&whole).await;
    assert_eq!(undisturbed.status(), trial.done, "{}: {:?}", trial.name, undisturbed.answer);
    let after = whole.state();
    assert_ne!(before, after, "{} changes something", trial.name);

    let ends: RefCell<BTreeMap<&str, u32>> = RefCell::default();
    let count = |end: &'static str| *ends.borrow_mut().entry(end).or_default() += 1;
    for_each_fault_at_each_call(async |InjectedFault { call, fault }| {
        let scene = Scene::set(Shop::open()).await;
        scene.shop.aws.fail(call, fault);
        let first = attempt(&scene).await;
        assert!(call < first.calls.len() || call >= undisturbed.calls.len());
        scene.shop.aws.heal();
        let at = format!("{} with {fault:?} at {call}", trial.name);
        let current = scene.state();
        scene.shop.check_accounts();
        let is_done = current == after;
        assert!(is_done || current == before, "{at} left a partial change: {current:#}");
        match first.status() {
            503 => count(if is_done { "done without a word" } else { "not done" }),
            status => {
                assert_eq!((status, is_done), (trial.done, true), "{at}: {:?}", first.answer);
                count("done all the same");
            }
        }
        let again = attempt(&scene).await;
        let expected = if is_done { trial.done_before } else { (trial.done, "") };
        assert_eq!((again.status(), code(&again).as_str()), expected, "{at}, and again");
        assert_eq!(scene.state(), after, "{at}, and again");
        scene.shop.check_accounts();
        first
    })
    .await;

    // Deployed, the SDK retries after a lost response, and the client sees no failure.
    for call in 0..undisturbed.calls.len() {
        let scene = Scene::with_retries().await;
        scene.shop.aws.fail(call, Fault::LoseResponse);
        let first = attempt(&scene).await;
        assert_eq!(
            (first.status(), scene.state()),
            (trial.done, after.clone()),
            "{} whose answer {call} is lost",
            trial.name
        );
        count("done at the second try");
    }
    print(&format!("{}: {} calls, {:?}", trial.name, undisturbed.calls.len(), ends.borrow()));
    assert!(
        ends.borrow().contains_key("not done") && ends.borrow().contains_key("done without a word")
    );
}

#[tokio::test]
async fn refresh_completes_under_any_fault() {
    let trial = Trial { name: "refresh-token", done: 200, done_before: (200, "") };
    survives(trial, async |scene| {
        let called = scene.shop.refresh(&scene.session.refresh_token).await;
        if let Some(next) = Session::of(&called) {
            assert_eq!(
                (next.id(), next.refresh_token.split('.').nth(1)),
                (scene.session.id(), Some("2"))
            );
        }
        called
    })
    .await;
}

#[tokio::test]
async fn token_reuse_ends_the_session_under_any_fault() {
    let trial =
        Trial { name: "refresh-token, used twice", done: 401, done_before: (401, "invalid_token") };
    let whole = Scene::set(Shop::open()).await;
    assert_eq!(whole.shop.user(whole.session.user_id()).await.token_version, 1);
    for_each_fault_at_each_call(async |InjectedFault { call, fault }| {
        let scene = Scene::set(Shop::open()).await;
        let warm = scene.shop.cold();
        let next = Session::of(&warm.refresh(&scene.session.refresh_token).await).unwrap();
        scene.shop.clock.advance(Duration::from_secs(11));
        scene.shop.aws.fail(call, fault);
        let first = scene.shop.refresh(&scene.session.refresh_token).await;
        scene.shop.aws.heal();
        let is_revoked =
            || scene.shop.aws.items("sessions").iter().any(|item| item.get("end_reason").is_some());
        if first.status() == trial.done {
            assert!(is_revoked(), "{fault:?} at {call}");
        }
        let again = scene.shop.refresh(&scene.session.refresh_token).await;
        assert_eq!(
            (again.status(), code(&again).as_str()),
            trial.done_before,
            "{fault:?} at {call}"
        );
        assert!(is_revoked(), "{fault:?} at {call}");
        assert_eq!(
            scene.shop.user(scene.session.user_id()).await.token_version,
            2,
            "once: {fault:?} at {call}"
        );
        assert_eq!(scene.shop.refresh(&next.refresh_token).await.status(), 401);
        assert_eq!(kind(&scene.shop.authorize(&next.access_token).await), "Unauthorized");
        scene.shop.check_accounts();
        first
    })
    .await;
}

#[tokio::test]
async fn password_change_completes_under_any_fault() {
    // A client that repeats a change after a lost response already has the new password.
    let trial = Trial { name: "change-password", done: 204, done_before: (422, "wrong_password") };
    survives(trial, async |scene| {
        scene.shop.change_password(&scene.session, PASSWORD, NEW_PASSWORD).await
    })
    .await;
    // Before the last call nothing is changed; after it, everything is.
    for (call, changed) in [(3, false), (4, true)] {
        let scene = Scene::set(Shop::open()).await;
        scene.shop.aws.fail(call, Fault::LoseResponse);
        assert_eq!(
            scene.shop.change_password(&scene.session, PASSWORD, NEW_PASSWORD).await.status(),
            503
        );
        let (old, new) = (
            scene.shop.login(ADA, PASSWORD).await.status(),
            scene.shop.login(ADA, NEW_PASSWORD).await.status(),
        );
        assert_eq!((old, new), if changed { (401, 200) } else { (200, 401) });
        assert_eq!(
            scene.shop.refresh(&scene.other.refresh_token).await.status(),
            if changed { 401 } else { 200 }
        );
    }
}

#[tokio::test]
async fn verification_completes_under_any_fault() {
    let trial =
        Trial { name: "verify-email", done: 204, done_before: (400, "invalid_one_time_token") };
    survives(trial, async |scene| scene.shop.verify_email(&scene.verification).await).await;
}

#[tokio::test]
async fn withdrawal_completes_under_any_fault() {
    let trial = Trial {
        name: "withdraw-email-change",
        done: 204,
        done_before: (400, "invalid_one_time_token"),
    };
    survives(trial, async |scene| scene.shop.withdraw(&scene.withdrawal).await).await;
}

#[tokio::test]
async fn password_reset_completes_under_any_fault() {
    let trial = Trial {
        name: "confirm-password-reset",
        done: 204,
        done_before: (400, "invalid_one_time_token"),
    };
    survives(trial, async |scene| scene.shop.confirm_reset(&scene.reset, NEW_PASSWORD).await).await;
}

#[tokio::test]
async fn account_deletion_completes_under_any_fault() {
    let trial = Trial { name: "delete-me", done: 204, done_before: (401, "invalid_token") };
    survives(trial, async |scene| scene.shop.delete_me(&scene.session).await).await;
}
