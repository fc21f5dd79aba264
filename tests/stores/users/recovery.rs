//! Mailed links work once, for their recipient, until they expire. Responses do not reveal whether
//! a link was sent.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{
    aws::Called,
    harness::Harness,
    shop::{
        Shop,
        accounts::{ADA, PASSWORD, Session, code, kind, seen},
    },
};
use users::{
    domain::{RESET_LIFETIME, VERIFICATION_LIFETIME},
    throttle::RESET_ACCOUNT,
};

const NEW: &str = "countess@example.com";
const NEW_PASSWORD: &str = "another horse, another battery";

/// The data of the mail commands since the last call.
async fn mails(shop: &Shop, publisher: &mut Harness) -> Vec<Value> {
    publisher.publish().await;
    let sent = shop.aws.queues().take("send-account-notification", 100);
    sent.into_iter().map(|message| message.json()["data"].clone()).collect()
}

fn templates(mails: &[Value]) -> Vec<(&str, &str)> {
    mails
        .iter()
        .map(|mail| (mail["template"].as_str().unwrap(), mail["email"].as_str().unwrap()))
        .collect()
}

fn operations(called: &Called) -> Vec<String> {
    let mut asked: Vec<_> = called
        .calls
        .iter()
        .map(|call| format!("{} {:?} {:?}", call.operation, call.tables, call.actions))
        .collect();
    asked.sort();
    asked
}

/// Checks the answer to a link that does not work, which is the same for every reason.
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
async fn new_address_applies_only_after_its_link() {
    let shop = Shop::open();
    let mut publisher = shop.users_publisher();
    let user = shop.enrol(ADA).await;
    let session = shop.enter(user.id).await;
    let first_mails = mails(&shop, &mut publisher).await;
    assert_eq!(templates(&first_mails), [("welcome", ADA)]);
    let first_link =
        shop.unseal(first_mails[0]["data"]["sealed_token"].as_str().unwrap(), user.id).await;

    let asked = shop.ask_for_address(&session, "Countess@Example.com").await;
    assert_eq!(
        (asked.status(), &asked.json()["email"], &asked.json()["pending_email"]),
        (200, &json!(ADA), &json!(NEW))
    );
    let sent = mails(&shop, &mut publisher).await;
    assert_eq!(templates(&sent), [("verify_email", NEW), ("email_change_requested", ADA)]);
    let token = shop.unseal(sent[0]["data"]["sealed_token"].as_str().unwrap(), user.id).await;
    assert_eq!(token, shop.verification_token(user.id).await);
    refused(&shop.verify_email(&first_link).await);
    assert_eq!(shop.login(ADA, PASSWORD).await.status(), 200);
    assert_eq!(shop.login(NEW, PASSWORD).await.status(), 401);

    let verified = shop.verify_email(&token).await;
    assert_eq!((verified.status(), &verified.ok()["body"]), (204, &json!("")));
    shop.check_accounts();
    assert_eq!(shop.login(ADA, PASSWORD).await.status(), 401);
    let session = shop.log_in(NEW).await;
    let me = shop.me(&session).await.json();
    assert_eq!(
        (&me["email"], &me["email_verified"], &me["pending_email"]),
        (&json!(NEW), &json!(true), &Value::Null)
    );
    assert_eq!(templates(&mails(&shop, &mut publisher).await), [("email_changed", ADA)]);
    let updates = shop.aws.queues().take("update-buyer", 10);
    assert_eq!(
        updates.iter().map(|message| message.json()["data"]["email"].clone()).collect::<Vec<_>>(),
        [json!(NEW)]
    );
    refused(&shop.verify_email(&token).await);
    assert_eq!(shop.register(ADA).await.status(), 201, "the previous address is free again");
    shop.check_accounts();
}

#[tokio::test]
async fn address_link_is_valid_for_two_days() {
    for (later, status) in
        [(VERIFICATION_LIFETIME - Duration::from_millis(1), 204), (VERIFICATION_LIFETIME, 400)]
    {
        let shop = Shop::open();
        let user = shop.enrol(ADA).await;
        let token = shop.verification_token(user.id).await;
        shop.clock.advance(later);
        assert_eq!(shop.verify_email(&token).await.status(), status);
        assert_eq!(shop.user(user.id).await.email_verified, status == 204);
    }
}

#[tokio::test]
async fn concurrent_changes_to_one_address_succeed_for_one_user() {
    for seed in 0..12 {
        let shop = Shop::crowded(seed);
        let (ada, bob) = (shop.enrol(ADA).await, shop.enrol("bob@example.com").await);
        let mut tokens = Vec::new();
        for user in [&ada, &bob] {
            let session = shop.enter(user.id).await;
            assert_eq!(shop.ask_for_address(&session, NEW).await.status(), 200);
            tokens.push(shop.verification_token(user.id).await);
        }
        let (one, other) =
            tokio::join!(shop.verify_email(&tokens[0]), shop.verify_email(&tokens[1]));
        let mut statuses = [one.status(), other.status()];
        statuses.sort_unstable();
        assert_eq!(statuses, [204, 409], "seed {seed}");
        shop.check_accounts();
        let (loser, own) =
            if one.status() == 409 { (&one, ADA) } else { (&other, "bob@example.com") };
        assert_eq!(code(loser), "email_taken");
        assert_eq!(
            (shop.login(own, PASSWORD).await.status(), shop.login(NEW, PASSWORD).await.status()),
            (200, 200)
        );
    }
}

#[tokio::test]
async fn link_to_a_taken_address_fails_and_a_link_works_once() {
    let shop = Shop::open();
    let user = shop.enrol(ADA).await;
    let session = shop.enter(user.id).await;
    assert_eq!(shop.ask_for_address(&session, NEW).await.status(), 200);
    let token = shop.verification_token(user.id).await;
    shop.enrol(NEW).await;
    let taken = shop.verify_email(&token).await;
    assert_eq!((taken.status(), code(&taken).as_str()), (409, "email_taken"));
    assert_eq!(shop.login(ADA, PASSWORD).await.status(), 200);
    shop.check_accounts();

    for seed in 0..6 {
        let shop = Shop::crowded(seed);
        let user = shop.enrol(ADA).await;
        let session = shop.enter(user.id).await;
        assert_eq!(shop.ask_for_address(&session, NEW).await.status(), 200);
        let token = shop.verification_token(user.id).await;
        let (one, other) = tokio::join!(shop.verify_email(&token), shop.verify_email(&token));
        let statuses = [one.status(), other.status()];
        assert_eq!(
            statuses.iter().filter(|status| **status == 204).count(),
            1,
            "seed {seed}: {statuses:?}"
        );
        assert_eq!(shop.user(user.id).await.token_version, 2);
        shop.check_accounts();
    }
}

#[tokio::test]
async fn password_reset_works_once_and_ends_every_session() {
    let shop = Shop::open();
    let mut publisher = shop.users_publisher();
    let user = shop.enrol(ADA).await;
    let session = shop.enter(user.id).await;
    mails(&shop, &mut publisher).await;
    let asked = shop.request_reset("ADA@example.com").await;
    assert_eq!((asked.status(), asked.json()), (202, json!({ "status": "accepted" })));
    let sent = mails(&shop, &mut publisher).await;
    assert_eq!(templates(&sent), [("password_reset", ADA)]);
    let token = shop.unseal(sent[0]["data"]["sealed_token"].as_str().unwrap(), user.id).await;
    assert_eq!(
        shop.refresh(&session.refresh_token).await.status(),
        200,
        "a reset request ends no session"
    );

    // A rejected request does not use up the link.
    for invalid in ["", "x", &token[..token.len() - 1], &format!("{token}A"), &token.to_uppercase()]
    {
        refused(&shop.confirm_reset(invalid, NEW_PASSWORD).await);
    }
    for (weak, reason) in
        [("seven77", "password_too_short"), ("ADA@example.com", "password_is_email")]
    {
        let called = shop.confirm_reset(&token, weak).await;
        assert_eq!((called.status(), code(&called).as_str()), (422, reason));
    }
    let other = shop.enrol("bob@example.com").await;
    let foreign = format!("{}.{}", other.id, token.split_once('.').unwrap().1);
    refused(&shop.confirm_reset(&foreign, NEW_PASSWORD).await);

    let confirmed = shop.confirm_reset(&token, NEW_PASSWORD).await;
    assert_eq!((confirmed.status(), &confirmed.ok()["body"]), (204, &json!("")));
    let device = confirmed.header("x-device-token").unwrap();
    assert_eq!(shop.refresh(&session.refresh_token).await.status(), 401);
    assert_eq!(kind(&shop.authorize(&session.access_token).await), "Unauthorized");
    assert_eq!(shop.login(ADA, PASSWORD).await.status(), 401);
    let entered = shop.login_from("192.0.2.1", Some(&device), ADA, NEW_PASSWORD).await;
    assert_eq!(
        (entered.status(), entered.header("x-device-token")),
        (200, None),
        "the device is known"
    );
    refused(&shop.confirm_reset(&token, PASSWORD).await);
    assert_eq!(
        templates(&mails(&shop, &mut publisher).await)[..1],
        [("welcome", "bob@example.com")]
    );
    assert!(shop.user(user.id).await.email_verified, "the link proves access to the mailbox");
    shop.check_accounts();
}

#[tokio::test]
async fn reset_link_is_valid_for_half_an_hour_and_resent_or_replaced() {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    for (later, status) in [(RESET_LIFETIME - Duration::from_millis(1), 204), (RESET_LIFETIME, 400)]
    {
        let shop = Shop::open();
        let user = shop.enrol(ADA).await;
        assert_eq!(shop.request_reset(ADA).await.status(), 202);
        let token = shop.reset_token(user.id).await;
        shop.clock.advance(later);
        assert_eq!(shop.confirm_reset(&token, NEW_PASSWORD).await.status(), status);
    }
    let shop = Shop::open();
    let mut publisher = shop.users_publisher();
    let user = shop.enrol(ADA).await;
    mails(&shop, &mut publisher).await;
    let mut links = Vec::new();
    // The link has more than ten minutes left, then exactly ten.
    for pause in [0, 5, 14, 1] {
        shop.clock.advance(minutes(pause));
        assert_eq!(shop.request_reset(ADA).await.status(), 202);
        let sent = mails(&shop, &mut publisher).await;
        assert_eq!(templates(&sent), [("password_reset", ADA)], "each time a mail");
        links.push(shop.unseal(sent[0]["data"]["sealed_token"].as_str().unwrap(), user.id).await);
    }
    assert!(links[0] == links[1] && links[1] == links[2] && links[2] != links[3]);
    refused(&shop.confirm_reset(&links[0], NEW_PASSWORD).await);
    assert_eq!(shop.confirm_reset(&links[3], NEW_PASSWORD).await.status(), 204);
}

#[tokio::test]
async fn password_change_and_disabling_revoke_the_reset_link() {
    let shop = Shop::open();
    let admin = shop.admin("grace@example.com").await;
    let user = shop.enrol(ADA).await;
    let session = shop.enter(user.id).await;
    assert_eq!(shop.request_reset(ADA).await.status(), 202);
    let token = shop.reset_token(user.id).await;
    assert_eq!(shop.change_password(&session, PASSWORD, NEW_PASSWORD).await.status(), 204);
    refused(&shop.confirm_reset(&token, PASSWORD).await);

    assert_eq!(shop.request_reset(ADA).await.status(), 202);
    let (token, verification) =
        (shop.reset_token(user.id).await, shop.verification_token(user.id).await);
    assert_eq!(shop.set_active(&admin, user.id, false).await.status(), 200);
    refused(&shop.confirm_reset(&token, PASSWORD).await);
    refused(&shop.verify_email(&verification).await);
    assert_eq!(shop.login(ADA, NEW_PASSWORD).await.status(), 401);
}

#[tokio::test]
async fn reset_request_does_not_reveal_whether_a_link_was_sent() {
    let shop = Shop::open();
    let admin = shop.admin("grace@example.com").await;
    let (ada, dora) = (shop.enrol(ADA).await, shop.enrol("dora@example.com").await);
    assert_eq!(shop.set_active(&admin, dora.id, false).await.status(), 200);
    let mut publisher = shop.users_publisher();
    mails(&shop, &mut publisher).await;
    let reset = |email: &'static str| {
        let shop = shop.clone();
        async move { shop.request_reset(email).await }
    };
    // The first request reads the secrets once, and charges the network's bucket.
    reset("grace@example.com").await;
    mails(&shop, &mut publisher).await;
    for round in 0..6 {
        let known = reset(ADA).await;
        assert_eq!(known.status(), if round < RESET_ACCOUNT.burst() { 202 } else { 429 });
        let before = shop.aws.items("users");
        for email in ["dora@example.com", "eve@example.com", "no address at all", ""] {
            let other = reset(email).await;
            assert_eq!(
                (seen(&other).to_string(), operations(&other)),
                (seen(&known).to_string(), operations(&known)),
                "{email} {round}"
            );
        }
        assert_eq!(shop.aws.items("users"), before, "nothing is written for them");
        let sent = mails(&shop, &mut publisher).await;
        assert_eq!(
            templates(&sent),
            if known.status() == 202 { vec![("password_reset", ADA)] } else { vec![] }
        );
    }
    assert_eq!(shop.user(ada.id).await.reset.map(|link| link.send_count), Some(5));
}

#[tokio::test]
async fn link_token_is_never_stored_in_plain_text() {
    let shop = Shop::open();
    let mut publisher = shop.users_publisher();
    let user = shop.enrol(ADA).await;
    let session = shop.enter(user.id).await;
    let first_mails = shop.verification_token(user.id).await;
    assert_eq!(shop.request_reset(ADA).await.status(), 202);
    assert_eq!(shop.ask_for_address(&session, NEW).await.status(), 200);
    let tokens = [
        first_mails,
        shop.reset_token(user.id).await,
        shop.verification_token(user.id).await,
        shop.withdraw_token(user.id).await,
    ];
    publisher.publish().await;
    let messages: String = [
        "send-account-notification",
        "update-buyer",
        "forget-recipient",
        "publish-user-dead-letter",
    ]
    .into_iter()
    .flat_map(|queue| shop.aws.queues().waiting(queue))
    .map(|message| message.body)
    .collect();
    let (changes, _) = shop.aws.database().changes("ferrocart-users", None);
    let everything = format!(
        "{messages}{changes:?}{:?}{:?}",
        shop.aws.items("users"),
        shop.aws.items("sessions")
    );
    assert_eq!(messages.matches("sealed_token").count(), 4);
    for token in tokens {
        let secret = token.split_once('.').unwrap().1;
        assert!(
            !everything.contains(&token)
                && !everything.contains(secret)
                && !everything.contains(&secret[..20])
        );
        assert!(everything.contains(&shared::ids::sha256_hex(&token)), "the hash in the table");
    }
    let device = shop
        .confirm_reset(&shop.reset_token(user.id).await, NEW_PASSWORD)
        .await
        .header("x-device-token")
        .unwrap();
    let login = shop.login_from("192.0.2.1", Some(&device), ADA, NEW_PASSWORD).await;
    let later = Session::of(&login).unwrap();
    let everything = format!("{:?}{:?}", shop.aws.items("users"), shop.aws.items("sessions"));
    for secret in
        [device.as_str(), &later.refresh_token, &later.access_token, "203.0.113.7", "192.0.2.1"]
    {
        assert!(!everything.contains(secret));
    }
}
