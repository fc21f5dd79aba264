//! Account takeover: a password reset by the owner revokes everything the attacker started.

use tests::shop::{
    Shop,
    accounts::{ADA, PASSWORD, Session, code, kind},
};

const ATTACKER: &str = "mallory@example.net";
const OWNERS: &str = "the owner's new password";

/// Mallory registers the victim's address, logs in and requests a change to her own address.
async fn registered_by_an_attacker(shop: &Shop) -> (shared::ids::UserId, Session, String, String) {
    assert_eq!(shop.register(ADA).await.status(), 201);
    let login = shop.login_from("192.0.2.66", None, ADA, PASSWORD).await;
    let device = login.header("x-device-token").unwrap();
    let session = Session::of(&login).unwrap();
    let id = session.user_id();
    assert_eq!(shop.ask_for_address(&session, ATTACKER).await.status(), 200);
    let link = shop.verification_token(id).await;
    (id, session, device, link)
}

#[tokio::test]
async fn password_reset_cancels_the_attackers_address_change() {
    let shop = Shop::open();
    let (id, _, _, link) = registered_by_an_attacker(&shop).await;
    assert_eq!(shop.request_reset(ADA).await.status(), 202);
    assert_eq!(shop.confirm_reset(&shop.reset_token(id).await, OWNERS).await.status(), 204);
    let posted = shop.verify_email(&link).await;
    assert_eq!((posted.status(), code(&posted).as_str()), (400, "invalid_one_time_token"));
    assert_eq!(shop.user(id).await.email, ADA);
    assert_eq!(shop.login(ADA, OWNERS).await.status(), 200);
    assert_eq!(shop.login(ATTACKER, OWNERS).await.status(), 401);
}

#[tokio::test]
async fn device_token_from_before_a_reset_is_unknown() {
    let shop = Shop::open();
    let (id, session, device, _) = registered_by_an_attacker(&shop).await;
    assert_eq!(shop.request_reset(ADA).await.status(), 202);
    let confirmed = shop.confirm_reset(&shop.reset_token(id).await, OWNERS).await;
    let owners = confirmed.header("x-device-token").unwrap();
    assert_eq!(kind(&shop.authorize(&session.access_token).await), "Unauthorized");
    assert_eq!(shop.refresh(&session.refresh_token).await.status(), 401);
    for number in 0..10 {
        let guess = shop.login_from("192.0.2.66", Some(&device), ADA, "a guess").await;
        assert_eq!(guess.status(), 401, "{number}");
    }
    let stranger = shop.login_from("198.51.100.7", None, ADA, "a guess").await;
    assert_eq!(
        stranger.status(),
        429,
        "the attacker's attempts count as those of an unknown device"
    );
    assert_eq!(shop.login_from("192.0.2.66", Some(&device), ADA, "a guess").await.status(), 429);
    assert_eq!(shop.login_from("192.0.2.1", Some(&owners), ADA, OWNERS).await.status(), 200);
}
