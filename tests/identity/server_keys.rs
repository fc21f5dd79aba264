//! The secret `users-key` rotates while users return: tokens, links and cursors of the previous key
//! remain valid.

use std::time::Duration;

use serde_json::json;
use shared::secret::KEY_ACTIVATION_DELAY;
use tests::{
    events,
    rng::Rng,
    shop::{
        Shop,
        accounts::{ADA, PASSWORD, Session},
    },
};

use crate::print;

const MILLISECOND: Duration = Duration::from_millis(1);
const STEP: Duration = Duration::from_secs(20);

/// A shop with three instances of each function, and a logged-in customer.
struct ServerKeyFixture {
    shop: Shop,
    instances: Vec<Shop>,
    rng: Rng,
    session: Session,
    exchanges: usize,
}

impl ServerKeyFixture {
    /// One of the instances; occasionally a cold one.
    fn instance(&mut self) -> Shop {
        let number = self.rng.within(0..self.instances.len());
        if self.rng.chance(5) {
            self.instances[number] = self.shop.cold();
        }
        self.instances[number].clone()
    }

    /// Exchanges the refresh token at one instance, and again at another one, as if the response
    /// was lost.
    async fn exchange(&mut self, pause: Duration) {
        let shown = self.session.refresh_token.clone();
        let mut answers = Vec::new();
        for _ in 0..2 {
            let called = self.instance().refresh(&shown).await;
            let at = self.shop.clock.now();
            answers.push(
                Session::of(&called)
                    .unwrap_or_else(|| panic!("logged out at {at}: {:?}", called.answer)),
            );
            self.shop.clock.advance(pause);
        }
        self.session = answers.swap_remove(self.rng.within(0..2));
        self.exchanges += 1;
    }
}

#[tokio::test]
async fn server_key_rotation_invalidates_no_session_device_link_or_cursor() {
    let shop = Shop::open();
    let user = shop.enrol(ADA).await;
    let admin = shop.admin("grace@example.com").await;
    let session = shop.log_in(ADA).await;
    let mut fixture = ServerKeyFixture {
        instances: vec![shop.cold(), shop.cold(), shop.cold()],
        shop,
        rng: Rng::new(1),
        session,
        exchanges: 0,
    };
    let shop = fixture.shop.clone();
    let mut device =
        shop.login_from("192.0.2.1", None, ADA, PASSWORD).await.header("x-device-token").unwrap();
    for rotation in 0..3 {
        // Each instance caches the key.
        for instance in &fixture.instances {
            fixture.session =
                Session::of(&instance.refresh(&fixture.session.refresh_token).await).unwrap();
        }
        let idle = shop.enter(user.id).await;
        let page = shop.call("list-users", admin.request(events::get("/users?limit=1"))).await;
        let cursor = page.json()["next_cursor"].as_str().unwrap().to_owned();
        assert_eq!(shop.request_reset(ADA).await.status(), 202);
        let sealed = shop.user(user.id).await.reset.unwrap().sealed_token;

        for key in ["users-key", "mail-token-key"] {
            shop.aws.secrets_manager().rotate_server_key(
                key,
                &format!("{key} {rotation}"),
                shop.clock.now(),
            );
        }
        let takes_effect = shop.clock.now().plus(KEY_ACTIVATION_DELAY);
        while shop.clock.now().plus(STEP) < takes_effect {
            fixture.exchange(STEP / 10).await;
            shop.clock.advance(STEP - STEP / 5);
        }
        // The new key takes effect between an exchange and its repetition.
        shop.clock.advance(takes_effect.since(shop.clock.now()) - MILLISECOND);
        fixture.exchange(MILLISECOND).await;
        for _ in 0..50 {
            fixture.exchange(STEP / 10).await;
            shop.clock.advance(STEP);
        }

        let strangers = async || {
            while shop.login_from("198.51.100.1", None, ADA, "not the password").await.status()
                == 401
            {}
        };
        strangers().await;
        let known = fixture.instance().login_from("192.0.2.1", Some(&device), ADA, PASSWORD).await;
        let replaced = known.header("x-device-token");
        assert_eq!(
            (known.status(), replaced.is_some()),
            (200, true),
            "the device is known, and gets a token of the new key"
        );
        device = replaced.unwrap();
        let again = fixture.instance().login_from("192.0.2.1", Some(&device), ADA, PASSWORD).await;
        assert_eq!((again.status(), again.header("x-device-token")), (200, None));
        let path = format!("/users?limit=1&cursor={cursor}");
        assert_eq!(
            fixture.instance().call("list-users", admin.request(events::get(&path))).await.status(),
            200
        );
        assert!(Session::of(&fixture.instance().refresh(&idle.refresh_token).await).is_some());
        assert_eq!(shop.unseal(&sealed, user.id).await, shop.reset_token(user.id).await);
        shop.clock.advance(Duration::from_secs(24 * 3600));
    }
    print(&format!(
        "three rotations of the server key: {} exchanges, each repeated, and no session ended",
        fixture.exchanges
    ));
    assert!(fixture.exchanges > 500, "{}", fixture.exchanges);
}

#[tokio::test]
async fn server_key_without_a_previous_one_ends_every_session() {
    let shop = Shop::open();
    let user = shop.enrol(ADA).await;
    let session = shop.enter(user.id).await;
    shop.aws.secrets_manager().set(
        "users-key",
        &json!({ "current": "new", "previous": "", "rotated_at": shop.clock.now() }).to_string(),
    );
    assert_eq!(shop.cold().refresh(&session.refresh_token).await.status(), 401);
    let new = shop.cold().log_in(ADA).await;
    assert_eq!(shop.cold().refresh(&new.refresh_token).await.status(), 200);
}
