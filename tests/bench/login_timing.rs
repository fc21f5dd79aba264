//! Measures whether the duration of a rejected login reveals the reason.
//!
//! Attempts with an unknown address, a wrong password and a disabled account alternate. They run in
//! this process over DynamoDB in memory, so network latency hides no difference.
//!
//! The output shows the median of each kind. For each pair it shows the probability that an attempt
//! of one kind takes longer than one of the other, with its 95 % interval. A probability of 0.5
//! means that the duration reveals nothing.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark reads the real clock, prints, and stops where something is wrong"
)]

use std::time::{Duration, Instant};

use serde_json::json;
use tests::shop::{
    Shop,
    accounts::{ADA, PASSWORD, request},
};

const BOB: &str = "bob@example.com";
/// Number of attempts of each kind.
const TRIES: usize = 1000;
const KINDS: [(&str, &str, &str); 3] = [
    ("unknown address", "nobody@example.com", "not the password"),
    ("wrong password", ADA, "not the password"),
    ("disabled account", BOB, PASSWORD),
];

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let times = runtime.block_on(measure());
    for ((name, ..), times) in KINDS.iter().zip(&times) {
        println!(
            "{name:18} median {:8.3} ms, 5 % {:8.3}, 95 % {:8.3}",
            quantile(times, 50),
            quantile(times, 5),
            quantile(times, 95)
        );
    }
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        let (chance, margin) = longer(&times[one], &times[other]);
        println!(
            "{} takes longer than {}: {chance:.3} +- {margin:.3}",
            KINDS[one].0, KINDS[other].0
        );
    }
}

async fn measure() -> [Vec<f64>; 3] {
    let shop = Shop::open();
    let admin = shop.admin("grace@example.com").await;
    for email in [ADA, BOB] {
        assert_eq!(shop.register(email).await.status(), 201);
    }
    let bob = shop.users.store.credentials(BOB).await.unwrap().unwrap().user_id;
    assert_eq!(shop.set_active(&admin, bob, false).await.status(), 200);

    let login = shop.lambda("login-user");
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..TRIES {
        // The clock advances so that no rate limit is exceeded.
        shop.clock.advance(Duration::from_secs(15 * 60));
        for step in 0..KINDS.len() {
            let kind = (round + step) % KINDS.len();
            let (_, email, password) = KINDS[kind];
            let event =
                request("login-user", &json!({ "email": email, "password": password })).event();
            let started = Instant::now();
            let called = shop.aws.call(&login, event).await;
            times[kind].push(started.elapsed().as_secs_f64() * 1e3);
            assert_eq!(called.status(), 401);
        }
    }
    times
}

fn quantile(times: &[f64], percent: usize) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() - 1) * percent / 100]
}

/// The probability that one of `these` is longer than one of `those` (Mann-Whitney U divided by the
/// number of pairs), and half of its 95 % interval.
fn longer(these: &[f64], those: &[f64]) -> (f64, f64) {
    let wins: f64 = these
        .iter()
        .map(|this| those.iter().map(|that| if this > that { 1.0 } else { 0.0 }).sum::<f64>())
        .sum();
    let (n, m) = (these.len() as f64, those.len() as f64);
    (wins / (n * m), 1.96 * ((n + m + 1.0) / (12.0 * n * m)).sqrt())
}
