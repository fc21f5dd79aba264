//! A signing key is compromised: its tokens are rejected within a minute, and every client
//! continues with its refresh token.

use std::{collections::HashMap, time::Duration};

use shared::{clock::Timestamp, ids::Ids};
use tests::{
    rng::Rng,
    shop::{
        Shop,
        accounts::{ADA, Session, kind},
    },
    template::template,
};
use users::tokens::{
    access::Claims,
    refresh::{SessionId, TokenSubject},
    signing_keys::{CACHE_TTL, SigningKeys},
};

use crate::print;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// How long the gateway caches the authorizer's response.
fn gateway_ttl() -> Duration {
    let authorizers = &template().resource("Api")["Properties"]["Auth"]["Authorizers"];
    let seconds = |name: &str| {
        authorizers[name]["Identity"]["ReauthorizeEvery"]
            .as_u64()
            .expect("the template says how long")
    };
    assert_eq!(seconds("OptionalBearer"), 0);
    Duration::from_secs(seconds("Bearer"))
}

#[test]
fn gateway_cache_and_authorizer_cache_together_last_a_minute() {
    assert!(gateway_ttl() + CACHE_TTL <= MINUTE);
}

/// A gateway in front of two authorizer instances.
struct Gateway {
    shop: Shop,
    authorizers: Vec<Shop>,
    accepted: HashMap<String, Timestamp>,
    rng: Rng,
}

impl Gateway {
    async fn accepts(&mut self, token: &str) -> bool {
        let now = self.shop.clock.now();
        if self.accepted.get(token).is_some_and(|at| now.since(*at) < gateway_ttl()) {
            return true;
        }
        let called = self.rng.one(&self.authorizers).authorize(token).await;
        assert!(["", "Unauthorized"].contains(&kind(&called)), "{:?}", called.answer);
        if called.answer.is_ok() {
            self.accepted.insert(token.to_owned(), now);
        }
        called.answer.is_ok()
    }
}

/// A token that an attacker with the private key signs for an active session.
fn forge(shop: &Shop, keys: &str, subject: &TokenSubject, session: SessionId) -> String {
    let keys = SigningKeys::parse(keys).unwrap();
    let claims = Claims::new(subject, session, &shop.users.issuer, &Ids::System, shop.clock.now());
    claims.sign(&keys.current().unwrap()).unwrap()
}

#[tokio::test]
async fn revoked_key_is_rejected_within_a_minute_and_clients_refresh() {
    let mut longest = Duration::ZERO;
    let mut refreshed = 0;
    for (seed, pause) in [0, 1, 7, 15, 29, 31].into_iter().enumerate() {
        // With every other seed, only the attacker sends requests in the first minute: then no
        // token of the new key makes an authorizer reload the keys.
        let is_quiet = seed % 2 == 0;
        let shop = Shop::open();
        let user = shop.enrol(ADA).await;
        let subject = TokenSubject::from(&user);
        let mut session = shop.enter(user.id).await;
        let instances = [shop.cold(), shop.cold()];
        let authorizers = vec![shop.cold(), shop.cold()];
        let mut gateway = Gateway {
            shop: shop.clone(),
            authorizers,
            accepted: HashMap::new(),
            rng: Rng::new(seed as u64),
        };
        let mut rng = Rng::new(100 + seed as u64);
        let stolen = shop.aws.secrets_manager().text("signing-key").unwrap();
        let mut forged = vec![forge(&shop, &stolen, &subject, session.id())];
        for instance in &instances {
            session = Session::of(&instance.refresh(&session.refresh_token).await).unwrap();
        }
        for _ in 0..pause {
            assert!(
                gateway.accepts(&forged[0]).await && gateway.accepts(&session.access_token).await
            );
            shop.clock.advance(SECOND);
        }

        let revoked = shop.revoke_key("current").await;
        assert!(revoked.answer.is_ok(), "{:?}", revoked.answer);
        let at = shop.clock.now();
        for second in 0..100 {
            if second < 40 && second % 3 == 0 {
                forged.push(forge(&shop, &stolen, &subject, session.id()));
            }
            for token in &forged {
                if gateway.accepts(token).await {
                    longest = longest.max(shop.clock.now().since(at));
                }
            }
            let is_there = second >= 60 || !is_quiet;
            if is_there && !gateway.accepts(&session.access_token).await {
                assert!(
                    is_quiet || shop.clock.now().since(at) < MINUTE,
                    "a client with a token of the new key is refused"
                );
                let called = rng.one(&instances).refresh(&session.refresh_token).await;
                session = Session::of(&called)
                    .unwrap_or_else(|| panic!("logged out: {:?}", called.answer));
                refreshed += 1;
            }
            shop.clock.advance(SECOND);
        }
        assert!(gateway.accepts(&session.access_token).await);
    }
    print(&format!(
        "a revoked key is accepted for {longest:?} at most; clients refreshed {refreshed} times in 6 runs"
    ));
    assert!(longest < MINUTE, "{longest:?}");
    assert!(longest >= gateway_ttl(), "{longest:?}: the caches were never met");
}
