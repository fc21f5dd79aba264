//! Keys rotate while users log in, refresh and send requests: no request fails.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use tests::shop::{
    Shop,
    accounts::{ADA, PASSWORD, Session, kind},
};
use users::tokens::signing_keys::RELOAD_LIMIT;

use tests::rng::Rng;

use crate::print;

/// Instances of the functions, each with its own cache of the keys.
const INSTANCES: usize = 3;
const STEP: Duration = Duration::from_secs(2);

struct Crowd {
    shop: Shop,
    instances: Vec<Shop>,
    rng: Rng,
    session: Session,
    /// Access tokens that are still valid, each with its time of issue.
    tokens: VecDeque<(shared::clock::Timestamp, String)>,
    signers: BTreeSet<String>,
    asked: u32,
    refused: Vec<&'static str>,
}

impl Crowd {
    async fn gather(seed: u64) -> Self {
        let shop = Shop::open();
        let user = shop.enrol(ADA).await;
        let session = shop.enter(user.id).await;
        let instances = (0..INSTANCES).map(|_| shop.cold()).collect();
        let (tokens, signers) = (VecDeque::new(), BTreeSet::new());
        Self {
            shop,
            instances,
            rng: Rng::new(seed),
            session,
            tokens,
            signers,
            asked: 0,
            refused: Vec::new(),
        }
    }

    /// Two seconds of traffic: a refresh, some authorizations, occasionally a login, and a cold
    /// instance.
    async fn step(&mut self, number: usize) {
        self.shop.clock.advance(STEP);
        if self.rng.chance(3) {
            let instance = self.rng.within(0..INSTANCES);
            self.instances[instance] = self.shop.cold();
        }
        let instance = self.rng.within(0..INSTANCES);
        let called = if number.is_multiple_of(60) {
            self.instances[instance].login(ADA, PASSWORD).await
        } else {
            self.instances[instance].refresh(&self.session.refresh_token).await
        };
        self.asked += 1;
        match Session::of(&called) {
            Some(session) => self.session = session,
            None => self.refused.push("a login or a refresh"),
        }
        let now = self.shop.clock.now();
        self.signers.insert(self.session.access_token.split('.').next().unwrap().to_owned());
        self.tokens.push_back((now, self.session.access_token.clone()));
        self.tokens.retain(|(from, _)| now.since(*from) < Duration::from_secs(899));
        // The newest token and a random valid one, perhaps from an earlier login: sessions are
        // concurrent.
        for position in [self.tokens.len() - 1, self.rng.within(0..self.tokens.len())] {
            self.asked += 1;
            let instance = self.rng.within(0..INSTANCES);
            let called = self.instances[instance].authorize(&self.tokens[position].1).await;
            match kind(&called) {
                "" => {}
                other => self.refused.push(other),
            }
        }
    }

    async fn steps(&mut self, many: usize) {
        for number in 1..=many {
            self.step(number).await;
        }
    }
}

#[tokio::test]
async fn key_rotation_under_load_fails_no_request() {
    let mut crowd = Crowd::gather(1).await;
    for rotation in 0..4 {
        crowd.steps(if rotation == 0 { 30 } else { 200 }).await;
        crowd.shop.rotate_signing_key().await;
    }
    crowd.steps(200).await;
    print(&format!(
        "four rotations: {} requests, {} failures, {} keys",
        crowd.asked,
        crowd.refused.len(),
        crowd.signers.len()
    ));
    assert!(crowd.refused.is_empty(), "{:?}", crowd.refused);
    assert_eq!(crowd.signers.len(), 5, "each key has signed");
}

#[tokio::test]
async fn two_quick_rotations_after_unknown_keys_fail_no_request() {
    let foreign = Shop::new();
    foreign.rotate_signing_key().await;
    let stranger = foreign.enrol(ADA).await;
    let forged_token = foreign.enter(stranger.id).await.access_token;

    let (mut asked, mut signers) = (0, 0);
    for seed in 0..6 {
        let mut crowd = Crowd::gather(seed).await;
        crowd.steps(20).await;
        // As many as leave room for the two new keys.
        for instance in &crowd.instances {
            for _ in 0..RELOAD_LIMIT.burst() - 2 {
                assert_eq!(kind(&instance.authorize(&forged_token).await), "Unauthorized");
            }
        }
        crowd.shop.rotate_signing_key().await;
        crowd.instances[0] = crowd.shop.cold();
        crowd.steps(10).await;
        crowd.shop.rotate_signing_key().await;
        crowd.instances[1] = crowd.shop.cold();
        crowd.steps(60).await;
        assert!(crowd.refused.is_empty(), "seed {seed}: {:?}", crowd.refused);
        asked += crowd.asked;
        signers += crowd.signers.len();
    }
    print(&format!(
        "two rotations within twenty seconds, after unknown keys: {asked} requests, 0 failures, {signers} keys in 6 runs"
    ));
    assert!(signers > 12, "{signers}: the new keys have signed nothing");
}

#[tokio::test]
async fn flood_of_unknown_keys_delays_a_new_key_by_at_most_30_seconds() {
    let foreign = Shop::new();
    foreign.rotate_signing_key().await;
    let stranger = foreign.enrol(ADA).await;
    let forged_token = foreign.enter(stranger.id).await.access_token;

    let (mut longest, mut reads) = (0, 0);
    // The rotation happens at any time in the 30 seconds between two reads.
    for pause in [0, 1, 2, 15, 29] {
        let (kept_out, read) = flooded(&forged_token, 60 + pause).await;
        longest = longest.max(kept_out);
        reads = reads.max(read);
    }
    print(&format!(
        "an unknown key each second: a new key is rejected for {longest} s at most, {reads} reads of the secret in 90 s"
    ));
    assert!(longest <= RELOAD_LIMIT.interval().as_secs() && longest > 20, "{longest}");
    assert!(reads <= 4, "{reads}");
}

/// Sends an instance one invented key id per second. Returns for how many seconds it rejects a new
/// key, and how often it reads the secret.
async fn flooded(forged_token: &str, before: usize) -> (u64, usize) {
    let shop = Shop::open();
    let user = shop.enrol(ADA).await;
    let old = shop.enter(user.id).await.access_token;
    let gate = shop.cold();
    let second = Duration::from_secs(1);
    for _ in 0..before {
        shop.clock.advance(second);
        assert_eq!(kind(&gate.authorize(forged_token).await), "Unauthorized");
    }
    shop.rotate_signing_key().await;
    let new = shop.enter(user.id).await.access_token;
    let (mut kept_out, mut reads) = (0, 0);
    for _ in 0..90 {
        shop.clock.advance(second);
        assert!(gate.authorize(&old).await.answer.is_ok(), "a valid token remains valid");
        let flooded = gate.authorize(forged_token).await;
        reads += flooded.calls.iter().filter(|call| call.service == "secretsmanager").count();
        kept_out += u64::from(gate.authorize(&new).await.answer.is_err());
    }
    (kept_out, reads)
}
