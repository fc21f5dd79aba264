//! Whether the time that a refused login takes tells why it was refused.
//!
//! Tries with an unknown address, a wrong password and a disabled account take turns, in this process, over DynamoDB in memory: no network
//! is in the way of a difference. Printed is, for each pair, the chance that a try of one kind takes longer than one of the other (0.5: the
//! time tells nothing) with its 95 % interval, beside the medians.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark reads the real clock, prints, and stops where something is wrong"
)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use shared::{clock::Clock, http, invoke};
use tests::{aws::Aws, events, shop};
use users::{
    domain::{Administration, User},
    operations::{login_user::login_user, register_user::register_user, rotate_signing_key::rotate_signing_key},
    store::Change,
};

/// Tries of each kind.
const TRIES: usize = 1000;
const KINDS: [(&str, &str, &str); 3] = [
    ("unknown address", "nobody@example.com", "not the password"),
    ("wrong password", "ada@example.com", "not the password"),
    ("disabled account", "bob@example.com", "correct horse battery"),
];

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let times = runtime.block_on(measure());
    for ((name, ..), times) in KINDS.iter().zip(&times) {
        println!("{name:18} median {:8.3} ms, 5 % {:8.3}, 95 % {:8.3}", quantile(times, 50), quantile(times, 5), quantile(times, 95));
    }
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        let (chance, margin) = longer(&times[one], &times[other]);
        println!("{} takes longer than {}: {chance:.3} +- {margin:.3}", KINDS[one].0, KINDS[other].0);
    }
}

async fn measure() -> [Vec<f64>; 3] {
    let (aws, clock) = (Aws::new(), shop::clock());
    let users = Arc::new(shop::users(&aws, &clock));
    first_signing_key(&aws, &clock).await;
    let register = http::lambda(users.clone(), register_user);
    for (name, email) in [("ada", "ada@example.com"), ("bob", "bob@example.com")] {
        let body = json!({ "email": email, "username": name, "full_name": name, "password": "correct horse battery" });
        assert_eq!(aws.call(&register, events::post("/users", &body).event()).await.status(), 201);
    }
    disable(&users, "bob@example.com", &clock).await;

    let login = http::lambda(users, login_user);
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..TRIES {
        // Nobody tries more often than they may.
        clock.advance(Duration::from_secs(15 * 60));
        for step in 0..KINDS.len() {
            let kind = (round + step) % KINDS.len();
            let (_, email, password) = KINDS[kind];
            let event = events::post("/users/login", &json!({ "email": email, "password": password })).event();
            let started = Instant::now();
            let called = aws.call(&login, event).await;
            times[kind].push(started.elapsed().as_secs_f64() * 1e3);
            assert_eq!(called.status(), 401);
        }
    }
    times
}

async fn first_signing_key(aws: &Aws, clock: &Clock) {
    let rotate = invoke::lambda(Arc::new(shop::users(aws, clock)), rotate_signing_key);
    aws.secrets_manager().begin_rotation("signing-key", "first");
    for step in ["createSecret", "setSecret", "testSecret", "finishSecret"] {
        let event = json!({ "Step": step, "SecretId": "ferrocart/signing-key", "ClientRequestToken": "first" });
        assert!(aws.call(&rotate, event).await.answer.is_ok());
    }
}

async fn disable(users: &users::Users, email: &str, clock: &Clock) {
    let id = users.store.credentials(email).await.unwrap().unwrap().user_id;
    let user: User = users.store.user(id).await.unwrap().unwrap();
    let change = Administration { is_active: Some(false), ..Default::default() };
    let after = user.administered(change, clock.now(), user.trace.clone().unwrap());
    users.store.replace(Change::new(&user, &after)).await.unwrap();
}

fn quantile(times: &[f64], percent: usize) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() - 1) * percent / 100]
}

/// The chance that one of `these` is longer than one of `those` (Mann and Whitney's U over the number of pairs), and half its 95 %
/// interval.
fn longer(these: &[f64], those: &[f64]) -> (f64, f64) {
    let wins: f64 = these.iter().map(|this| those.iter().map(|that| if this > that { 1.0 } else { 0.0 }).sum::<f64>()).sum();
    let (n, m) = (these.len() as f64, those.len() as f64);
    (wins / (n * m), 1.96 * ((n + m + 1.0) / (12.0 * n * m)).sqrt())
}
