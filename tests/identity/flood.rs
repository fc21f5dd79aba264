//! Password guessing at scale, from many networks: few attempts are checked, and the owner can
//! always log in.

use std::time::Duration;

use serde_json::{Value, json};
use shared::{clock::Timestamp, ids::Ids};
use tests::{
    aws::Called,
    rng::Rng,
    shop::{
        Shop,
        accounts::{ADA, PASSWORD, Session, code, request, seen},
    },
};
use users::tokens::one_time::OneTimeToken;

use crate::print;

const QUARTER_HOUR: Duration = Duration::from_secs(15 * 60);
const STEP: Duration = Duration::from_secs(5);
const STEPS: usize = 180;
/// Attempts per step: about ten thousand in total at the registered account, and enough at an
/// unregistered one.
const TRIES: usize = 56;
const UNKNOWN_ACCOUNT_TRIES: usize = 14;
const NEW_PASSWORD: &str = "another horse, another battery";

/// An attacker's attempts at one account, with the times of those that were checked.
struct Strangers {
    shop: Shop,
    rng: Rng,
    email: &'static str,
    tried: usize,
    checked: Vec<Timestamp>,
}

impl Strangers {
    fn new(shop: &Shop, email: &'static str, seed: u64) -> Self {
        Self { shop: shop.clone(), rng: Rng::new(seed), email, tried: 0, checked: Vec::new() }
    }

    /// One attempt from a random network, sometimes with an invented device token or another
    /// account's.
    async fn try_once(&mut self, foreign: Option<&str>) {
        let source = match self.rng.chance(50) {
            true => format!(
                "198.{}.{}.{}",
                self.rng.within(0..256),
                self.rng.within(0..256),
                self.rng.within(0..256)
            ),
            false => {
                format!(
                    "2001:db8:{:x}:{:x}::{:x}",
                    self.rng.within(0..65536),
                    self.rng.within(0..65536),
                    self.rng.within(1..65536)
                )
            }
        };
        let spelling =
            if self.rng.chance(50) { self.email.to_owned() } else { self.email.to_uppercase() };
        let called = self.shop.login_from(&source, foreign, &spelling, "not the password").await;
        self.tried += 1;
        match called.status() {
            429 => {
                let wait: u64 = called.header("retry-after").unwrap().parse().unwrap();
                assert!((1..=QUARTER_HOUR.as_secs()).contains(&wait), "{wait}");
            }
            401 => self.checked.push(self.shop.clock.now()),
            other => panic!("{other}: {:?}", called.answer),
        }
    }

    /// The highest number of checked attempts in any 15 minutes.
    fn most(&self) -> usize {
        let within = |from: &Timestamp| {
            self.checked.iter().filter(|at| *at >= from && at.since(*from) < QUARTER_HOUR).count()
        };
        self.checked.iter().map(within).max().unwrap_or_default()
    }
}

#[tokio::test]
async fn flood_of_logins_is_limited_and_the_owner_logs_in() {
    let shop = Shop::open();
    shop.enrol(ADA).await;
    let device =
        shop.login_from("192.0.2.1", None, ADA, PASSWORD).await.header("x-device-token").unwrap();
    let mut strangers = Strangers::new(&shop, ADA, 1);
    let mut entered = 0;
    for _ in 0..STEPS {
        for _ in 0..TRIES {
            strangers.try_once(None).await;
        }
        let owner = shop.login_from("192.0.2.1", Some(&device), ADA, PASSWORD).await;
        entered += usize::from(Session::of(&owner).is_some());
        shop.clock.advance(STEP);
    }
    let (tried, checked) = (strangers.tried, strangers.checked.len());
    print(&format!(
        "{tried} tries at a known account in 15 minutes: {checked} checked; the owner got in {entered} times of {STEPS}"
    ));
    assert_eq!((strangers.most(), entered), (10, STEPS));
    assert_eq!(checked, 10);
}

#[tokio::test]
async fn flood_does_not_reveal_whether_an_account_exists() {
    let shop = Shop::open();
    shop.enrol(ADA).await;
    let mut strangers = Strangers::new(&shop, "eve@example.com", 2);
    for step in 0..STEPS {
        for _ in 0..UNKNOWN_ACCOUNT_TRIES {
            strangers.try_once(None).await;
        }
        if step % 30 == 0 {
            let source = format!("203.0.113.{step}");
            let unknown = shop.login_from(&source, None, "eve@example.com", "x").await;
            let known = shop.login_from(&source.replace("203", "204"), None, ADA, "x").await;
            if unknown.status() == known.status() {
                let without_wait = |called| {
                    let mut answer = seen(called);
                    answer["headers"].as_object_mut().unwrap().remove("retry-after");
                    answer
                };
                assert_eq!(without_wait(&unknown), without_wait(&known));
            }
        }
        shop.clock.advance(STEP);
    }
    print(&format!(
        "{} tries at an unknown account in 15 minutes: {} looked at",
        strangers.tried,
        strangers.checked.len()
    ));
    assert_eq!((strangers.most(), strangers.checked.len()), (10, 10));
}

#[tokio::test]
async fn three_hour_flood_is_limited_and_the_owner_logs_in() {
    let shop = Shop::open();
    let user = shop.enrol(ADA).await;
    let bob = shop.enrol("bob@example.com").await;
    let mut device =
        shop.login_from("192.0.2.1", None, ADA, PASSWORD).await.header("x-device-token").unwrap();
    let foreign = shop
        .login_from("192.0.2.2", None, "bob@example.com", PASSWORD)
        .await
        .header("x-device-token")
        .unwrap();
    assert_ne!(user.id, bob.id);
    let mut publisher = shop.users_publisher();
    publisher.publish().await;
    shop.aws.queues().take("send-account-notification", 100);

    let (mut known, mut unknown) =
        (Strangers::new(&shop, ADA, 3), Strangers::new(&shop, "eve@example.com", 4));
    let (mut password, mut entered) = (PASSWORD, 0);
    let steps: usize = 3 * 3600 / 5;
    let mut before_reset = 0;
    for step in 0..steps {
        let foreign = known.rng.chance(20).then_some(foreign.as_str());
        known.try_once(foreign).await;
        if step % 3 == 0 {
            unknown.try_once(foreign).await;
        }
        if step % 60 == 0 {
            let owner = shop.login_from("192.0.2.1", Some(&device), ADA, password).await;
            entered += usize::from(Session::of(&owner).is_some());
            assert_eq!(owner.status(), 200, "step {step}");
        }
        // The owner logs in on another device while the attackers also use up the password resets.
        if step == steps / 2 {
            for _ in 0..8 {
                let asked = shop.request_reset(ADA).await;
                assert!([202, 429].contains(&asked.status()));
            }
            assert_eq!(shop.request_reset(ADA).await.status(), 429);
            assert_eq!(shop.login_from("192.0.2.9", None, ADA, password).await.status(), 429);
            publisher.publish().await;
            let mails = shop.aws.queues().take("send-account-notification", 100);
            let last = mails
                .iter()
                .map(|mail| mail.json()["data"].clone())
                .rfind(|mail| mail["template"] == "password_reset")
                .unwrap();
            let token = shop.unseal(last["data"]["sealed_token"].as_str().unwrap(), user.id).await;
            let confirmed = shop.confirm_reset(&token, NEW_PASSWORD).await;
            assert_eq!(confirmed.status(), 204, "{:?}", confirmed.answer);
            device = confirmed.header("x-device-token").unwrap();
            password = NEW_PASSWORD;
            let first = shop.login_from("192.0.2.9", Some(&device), ADA, NEW_PASSWORD).await;
            assert_eq!(first.status(), 200);
            assert_eq!(shop.me(&Session::of(&first).unwrap()).await.json()["email"], json!(ADA));
            // A new password has ten attempts of its own; earlier attempts no longer count.
            before_reset = known.checked.len();
            assert!(known.most() <= 10, "{}", known.most());
            known.checked.clear();
        }
        shop.clock.advance(STEP);
    }
    let after_reset = known.checked.len();
    print(&format!(
        "{} tries at a known account in 3 hours: {before_reset} looked at before the owner's reset, {after_reset} after; \
         {} at an unknown one: {}; the owner got in {entered} times of {}",
        known.tried,
        unknown.tried,
        unknown.checked.len(),
        steps.div_ceil(60)
    ));
    assert!(known.most() <= 10 && unknown.most() <= 10, "{} {}", known.most(), unknown.most());
    assert!(unknown.checked.len() <= 10 + 12 && before_reset <= 10 + 6 && after_reset <= 10 + 6);
    assert_eq!(entered, steps.div_ceil(60));
}

/// Requests a password reset from this network.
async fn reset_from(shop: &Shop, source: &str, email: &str) -> Called {
    let request = request("request-password-reset", &json!({ "email": email })).source_ip(source);
    shop.call("request-password-reset", request.event()).await
}

#[tokio::test]
async fn one_network_cannot_lock_the_accounts_of_others() {
    let shop = Shop::open().with_network_burst(20);
    let owners: Vec<String> = (0..6).map(|number| format!("owner{number}@example.com")).collect();
    for owner in &owners {
        shop.enrol(owner).await;
    }
    let mut checked = 0;
    for owner in &owners {
        for _ in 0..15 {
            checked += usize::from(
                shop.login_from("198.51.100.7", None, owner, "not the password").await.status()
                    == 401,
            );
        }
    }
    let mut locked = 0;
    for (number, owner) in owners.iter().enumerate() {
        let called = shop.login_from(&format!("203.0.113.{number}"), None, owner, PASSWORD).await;
        assert!([200, 429].contains(&called.status()), "{:?}", called.answer);
        locked += usize::from(called.status() == 429);
    }
    print(&format!(
        "90 attempts of one network that may make 20: {checked} checked, {locked} of {} accounts locked",
        owners.len()
    ));
    assert_eq!((checked, locked), (20, 2));

    // The same for password reset links: five per account.
    for owner in &owners {
        for _ in 0..8 {
            assert!([202, 429].contains(&reset_from(&shop, "198.51.100.7", owner).await.status()));
        }
    }
    let open =
        async |owner: &String| reset_from(&shop, "203.0.113.99", owner).await.status() == 202;
    assert_eq!(
        (open(&owners[3]).await, open(&owners[4]).await, open(&owners[5]).await),
        (false, true, true)
    );
}

#[tokio::test]
async fn reset_links_tried_from_one_network_are_limited() {
    let shop = Shop::open().with_network_burst(4);
    let user = shop.enrol(ADA).await;
    let guess = OneTimeToken::create(user.id, &Ids::System);
    let invalid_link = shop
        .unseal(
            &guess
                .link(shop.mail_keys().await.active(), shop.clock.now(), QUARTER_HOUR, &Ids::System)
                .sealed_token,
            user.id,
        )
        .await;
    let (verify, reset) = ("verify-email", "confirm-password-reset");
    let use_link = async |source: &str, operation: &str, body: &Value| {
        shop.call(operation, request(operation, body).source_ip(source).event()).await
    };
    let bodies = |token: &str| {
        [
            (verify, json!({ "token": token })),
            (reset, json!({ "token": token, "new_password": NEW_PASSWORD })),
        ]
    };
    // A malformed link is rejected before an attempt is charged.
    for _ in 0..4 {
        for (operation, body) in bodies("no link") {
            assert_eq!(use_link("2001:db8:1:2::1", operation, &body).await.status(), 400);
        }
    }
    for host in 1..=2 {
        for (operation, body) in bodies(&invalid_link) {
            let called = use_link(&format!("2001:db8:1:2::{host}"), operation, &body).await;
            assert_eq!(
                (called.status(), code(&called).as_str()),
                (400, "invalid_one_time_token"),
                "{operation}"
            );
        }
    }
    let before = shop.aws.items("users");
    for (operation, body) in bodies(&shop.verification_token(user.id).await) {
        let called = use_link("2001:db8:1:2:ffff::9", operation, &body).await;
        assert_eq!(
            (called.status(), code(&called).as_str()),
            (429, "too_many_requests"),
            "{operation}"
        );
        assert_eq!(called.header("retry-after").as_deref(), Some("225"), "{operation}");
    }
    assert_eq!(shop.aws.items("users"), before);
    let token = shop.verification_token(user.id).await;
    assert_eq!(
        use_link("2001:db8:1:3::1", verify, &json!({ "token": token })).await.status(),
        204,
        "another network"
    );
    shop.clock.advance(Duration::from_secs(225));
    assert_eq!(
        use_link("2001:db8:1:2::1", verify, &json!({ "token": token })).await.status(),
        400,
        "one more, after its wait"
    );
}
