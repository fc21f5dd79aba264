//! Address changes require the password. The current address is notified at once, and its owner can
//! withdraw them.

use std::time::Duration;

use serde_json::{Value, json};
use shared::ids::UserId;
use tests::{
    aws::Called,
    shop::{
        Shop,
        accounts::{ADA, PASSWORD, Session, code, kind},
    },
};
use users::{
    domain::WITHDRAWAL_LIFETIME,
    throttle::{PASSWORD_CONFIRMATION, VERIFICATION_MAILS},
};

const NEW: &str = "countess@example.com";
const WRONG: &str = "wrong horse battery staple";

/// A user whose address is verified, and one of their sessions.
async fn verified(shop: &Shop) -> (UserId, Session) {
    let id = shop.enrol(ADA).await.id;
    assert_eq!(shop.verify_email(&shop.verification_token(id).await).await.status(), 204);
    (id, shop.enter(id).await)
}

/// Like [`verified`], after the address has changed to [`NEW`].
async fn moved(shop: &Shop) -> (UserId, Session) {
    let (id, session) = verified(shop).await;
    assert_eq!(shop.ask_for_address(&session, NEW).await.status(), 200);
    assert_eq!(shop.verify_email(&shop.verification_token(id).await).await.status(), 204);
    (id, session)
}

#[track_caller]
fn refused(called: &Called) {
    assert_eq!(
        (called.status(), code(called).as_str()),
        (400, "invalid_one_time_token"),
        "{:?}",
        called.answer
    );
}

#[tokio::test]
async fn address_change_requires_the_current_password() {
    let shop = Shop::open();
    let (id, session) = verified(&shop).await;
    let before = shop.aws.items("users");
    for (body, reason) in [
        (json!({ "email": NEW }), "required"),
        (json!({ "email": NEW, "full_name": "Ada King" }), "required"),
        (json!({ "email": NEW, "current_password": WRONG }), "wrong_password"),
        (json!({ "email": NEW, "current_password": "" }), "wrong_password"),
    ] {
        let called = shop.edit(&session, &body).await;
        assert_eq!(
            (called.status(), called.json()["errors"][0]["pointer"].clone()),
            (422, json!("/current_password")),
            "{body}"
        );
        assert_eq!(called.json()["errors"][0]["code"], reason, "{body}");
    }
    assert_eq!(shop.aws.items("users"), before);
    for body in [
        json!({ "email": ADA }),
        json!({ "email": "ADA@Example.com" }),
        json!({ "full_name": "Ada King" }),
    ] {
        assert_eq!(shop.edit(&session, &body).await.status(), 200, "{body}");
    }
    let alone = shop.edit(&session, &json!({ "current_password": PASSWORD })).await;
    assert_eq!((alone.status(), code(&alone).as_str()), (422, "nothing_to_change"));
    assert_eq!(shop.ask_for_address(&session, NEW).await.json()["pending_email"], NEW);
    assert_eq!(shop.user(id).await.email, ADA);
}

#[tokio::test]
async fn wrong_passwords_share_the_limit_of_password_changes() {
    let shop = Shop::open();
    let (_, session) = verified(&shop).await;
    let mut statuses = Vec::new();
    for number in 0..PASSWORD_CONFIRMATION.burst() + 1 {
        let called = if number % 3 == 0 {
            shop.edit(&session, &json!({ "email": NEW, "current_password": WRONG })).await
        } else {
            shop.change_password(&session, WRONG, "another horse, another battery").await
        };
        statuses.push(called.status());
    }
    assert_eq!(statuses.pop(), Some(429));
    assert!(statuses.iter().all(|status| *status == 422), "{statuses:?}");
    let right = shop.ask_for_address(&session, NEW).await;
    assert_eq!((right.status(), code(&right).as_str()), (429, "too_many_requests"));
}

#[tokio::test]
async fn address_change_mails_are_limited_to_five_per_user() {
    let shop = Shop::open();
    let user = shop.enrol(ADA).await;
    let session = shop.enter(user.id).await;
    for number in 0..VERIFICATION_MAILS.burst() {
        let called = if number % 2 == 0 {
            shop.edit(&session, &json!({ "email": ADA })).await
        } else {
            shop.ask_for_address(&session, &format!("countess{number}@example.com")).await
        };
        assert_eq!(called.status(), 200, "{number}");
    }
    assert_eq!(shop.edit(&session, &json!({ "email": ADA })).await.status(), 429);
    assert_eq!(shop.ask_for_address(&session, NEW).await.status(), 429);
    assert_eq!(
        shop.edit(&session, &json!({ "full_name": "Ada King" })).await.status(),
        200,
        "no mail, no limit"
    );
    shop.clock.advance(Duration::from_secs(15 * 60));
    assert_eq!(shop.edit(&session, &json!({ "email": ADA })).await.status(), 200);
}

#[tokio::test]
async fn withdrawal_reverts_the_change_and_ends_all_sessions() {
    let shop = Shop::open();
    let (id, session) = verified(&shop).await;
    let device =
        shop.login_from("192.0.2.1", None, ADA, PASSWORD).await.header("x-device-token").unwrap();
    assert_eq!(shop.ask_for_address(&session, NEW).await.status(), 200);
    let (link, withdraw) = (shop.verification_token(id).await, shop.withdraw_token(id).await);
    refused(&shop.verify_email(&withdraw).await);
    refused(&shop.withdraw(&link).await);
    for invalid in ["", "x", &withdraw[1..], &format!("{withdraw}A")] {
        refused(&shop.withdraw(invalid).await);
    }
    let withdrawn = shop.withdraw(&withdraw).await;
    assert_eq!((withdrawn.status(), &withdrawn.ok()["body"]), (204, &json!("")));
    refused(&shop.verify_email(&link).await);
    refused(&shop.withdraw(&withdraw).await);
    assert_eq!(kind(&shop.authorize(&session.access_token).await), "Unauthorized");
    assert_eq!(shop.refresh(&session.refresh_token).await.status(), 401);
    let login = shop.login_from("192.0.2.1", Some(&device), ADA, PASSWORD).await;
    assert!(
        login.status() == 200 && login.header("x-device-token").is_some(),
        "the device is unknown"
    );
    assert_eq!(shop.user(id).await.pending_email(), None);
    shop.check_accounts();
}

#[tokio::test]
async fn attacker_with_the_password_cannot_keep_a_moved_account() {
    let shop = Shop::open();
    let (id, attacker) = verified(&shop).await;
    assert_eq!(shop.ask_for_address(&attacker, NEW).await.status(), 200);
    let withdraw = shop.withdraw_token(id).await;
    assert_eq!(shop.verify_email(&shop.verification_token(id).await).await.status(), 204);
    assert_eq!(shop.reservations().len(), 1);
    // What an attacker may try to make the change permanent.
    let again = shop.ask_for_address(&attacker, "third@example.com").await;
    assert_eq!((again.status(), code(&again).as_str()), (409, "email_changed_recently"));
    let registered = shop.register(ADA).await;
    assert_eq!((registered.status(), code(&registered).as_str()), (409, "email_taken"));
    let other = shop.enrol("mallory@example.net").await;
    let session = shop.enter(other.id).await;
    assert_eq!(shop.ask_for_address(&session, ADA).await.status(), 200);
    assert_eq!(shop.verify_email(&shop.verification_token(other.id).await).await.status(), 409);
    assert_eq!(
        shop.change_password(&attacker, PASSWORD, "the attacker's password").await.status(),
        204
    );
    assert_eq!(shop.request_reset(NEW).await.status(), 202);
    let attackers_reset = shop.reset_token(id).await;
    assert_eq!(shop.request_reset(ADA).await.status(), 202, "the account cannot log in for now");
    assert_eq!(shop.login(ADA, PASSWORD).await.status(), 401);
    shop.check_accounts();

    assert_eq!(shop.withdraw(&withdraw).await.status(), 204);
    shop.check_accounts();
    assert_eq!((shop.user(id).await.email.as_str(), shop.reservations().len()), (ADA, 0));
    refused(&shop.confirm_reset(&attackers_reset, "the attacker's password").await);
    assert_eq!(shop.login(NEW, "the attacker's password").await.status(), 401);
    assert_eq!(shop.refresh(&attacker.refresh_token).await.status(), 401);
    assert_eq!(shop.request_reset(ADA).await.status(), 202);
    assert_eq!(
        shop.confirm_reset(&shop.reset_token(id).await, "the owner's new password").await.status(),
        204
    );
    assert_eq!(shop.login(ADA, "the owner's new password").await.status(), 200);
}

#[tokio::test]
async fn attributes_of_a_later_release_move_with_the_credentials() {
    let shop = Shop::open();
    let (id, session) = verified(&shop).await;
    let mut stored = shop.credentials().remove(0);
    stored["passkeys"] = json!({ "SS": ["phone"] });
    shop.aws.put("users", &stored);
    let passkeys = || shop.credentials().iter().map(|item| item["passkeys"].clone()).collect();
    assert_eq!(shop.ask_for_address(&session, NEW).await.status(), 200);
    let token = shop.verification_token(id).await;
    assert_eq!(shop.verify_email(&token).await.status(), 204);
    assert_eq!(shop.user(id).await.email, NEW);
    let moved: Vec<Value> = passkeys();
    assert_eq!(moved, [stored["passkeys"].clone()]);
    assert_eq!(shop.withdraw(&shop.withdraw_token(id).await).await.status(), 204);
    let returned: Vec<Value> = passkeys();
    assert_eq!(returned, [stored["passkeys"].clone()]);
    assert_eq!(shop.user(id).await.email, ADA);
}

#[tokio::test]
async fn withdrawal_for_a_disabled_account_keeps_it_disabled() {
    let shop = Shop::open();
    let admin = shop.admin("grace@example.com").await;
    let (id, _) = moved(&shop).await;
    let withdraw = shop.withdraw_token(id).await;
    assert_eq!(shop.set_active(&admin, id, false).await.status(), 200);
    assert_eq!(shop.withdraw(&withdraw).await.status(), 204);
    let user = shop.user(id).await;
    assert!(user.email == ADA && !user.is_active);
    shop.check_accounts();
}

#[tokio::test]
async fn previous_address_is_free_after_two_days_or_a_deletion() {
    let shop = Shop::open();
    let (id, session) = moved(&shop).await;
    let withdraw = shop.withdraw_token(id).await;
    shop.clock.advance(WITHDRAWAL_LIFETIME - Duration::from_millis(1));
    assert_eq!(shop.register(ADA).await.status(), 409);
    shop.clock.advance(Duration::from_millis(1));
    refused(&shop.withdraw(&withdraw).await);
    assert_eq!(
        shop.register(ADA).await.status(),
        201,
        "the reservation has expired, whether it is deleted or not"
    );
    assert_eq!(shop.login(ADA, PASSWORD).await.status(), 200);
    assert_eq!(shop.delete_me(&session).await.status(), 204);
    assert_eq!(
        shop.login(ADA, PASSWORD).await.status(),
        200,
        "it is another account's address now"
    );
    shop.check_accounts();

    let shop = Shop::open();
    let (id, session) = moved(&shop).await;
    let withdraw = shop.withdraw_token(id).await;
    assert_eq!(shop.delete_me(&session).await.status(), 204);
    assert!(shop.reservations().is_empty());
    refused(&shop.withdraw(&withdraw).await);
    assert_eq!(shop.register(ADA).await.status(), 201);
    shop.check_accounts();
}

#[tokio::test]
async fn withdrawal_wins_against_a_concurrent_confirmation() {
    for seed in 0..12 {
        let shop = Shop::crowded(seed);
        let (id, session) = verified(&shop).await;
        assert_eq!(shop.ask_for_address(&session, NEW).await.status(), 200);
        let (link, withdraw) = (shop.verification_token(id).await, shop.withdraw_token(id).await);
        let (confirmed, withdrawn) =
            tokio::join!(shop.verify_email(&link), shop.withdraw(&withdraw));
        assert_eq!(withdrawn.status(), 204, "seed {seed}");
        assert!(
            [204, 400, 503].contains(&confirmed.status()),
            "seed {seed}: {}",
            confirmed.status()
        );
        assert_eq!(shop.user(id).await.email, ADA, "seed {seed}");
        refused(&shop.verify_email(&link).await);
        shop.check_accounts();
    }
}

#[tokio::test]
async fn concurrent_reset_and_confirmation_apply_only_one() {
    for seed in 0..12 {
        let shop = Shop::crowded(seed);
        let (id, session) = verified(&shop).await;
        assert_eq!(shop.ask_for_address(&session, NEW).await.status(), 200);
        let link = shop.verification_token(id).await;
        assert_eq!(shop.request_reset(ADA).await.status(), 202);
        let reset = shop.reset_token(id).await;
        let (confirmed, done) = tokio::join!(
            shop.verify_email(&link),
            shop.confirm_reset(&reset, "the owner's new password")
        );
        let email = shop.user(id).await.email;
        assert_eq!(
            (confirmed.status() == 204, done.status() == 204),
            (email == NEW, email == ADA),
            "seed {seed}"
        );
        refused(&shop.verify_email(&link).await);
        refused(&shop.confirm_reset(&reset, "the owner's new password").await);
        shop.check_accounts();
    }
}

#[tokio::test]
async fn device_token_ends_with_its_account() {
    let shop = Shop::open();
    let user = shop.enrol(ADA).await;
    let device =
        shop.login_from("192.0.2.1", None, ADA, PASSWORD).await.header("x-device-token").unwrap();
    assert_eq!(shop.delete_me(&shop.enter(user.id).await).await.status(), 204);
    shop.enrol(ADA).await;
    let login = shop.login_from("192.0.2.1", Some(&device), ADA, PASSWORD).await;
    assert!(
        login.status() == 200 && login.header("x-device-token").is_some(),
        "unknown to the new account"
    );
}
