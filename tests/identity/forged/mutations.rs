//! A hundred thousand valid tokens, each with a random change.

use serde_json::json;
use shared::lambda::{Failure, Invocation};
use tests::{rng::Rng, seeds::play_all};

use super::{Forge, asked};
use crate::print;

/// Number of seeds, and of changed tokens per seed.
const SEEDS: u64 = 8;
const MUTATIONS: usize = 12_500;
/// The characters that tokens consist of, and some that are invalid.
const LETTERS: &[u8] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \t\"%,;";

/// A randomly changed token; the result may equal the original.
fn mutated(rng: &mut Rng, tokens: &[String]) -> String {
    let token = rng.one(tokens).clone();
    let other = rng.one(tokens).clone();
    let mut bytes = token.clone().into_bytes();
    let at = rng.within(0..bytes.len());
    match rng.within(0..14) {
        0 | 1 => bytes[at] ^= 1 << rng.within(0..7),
        2 => bytes[at] = *rng.one(LETTERS),
        3 => drop(bytes.remove(at)),
        4 => bytes.insert(at, *rng.one(LETTERS)),
        5 => bytes.truncate(at),
        6 => drop(bytes.drain(..at)),
        7 => {
            let end = (at + rng.within(1..40)).min(bytes.len());
            drop(bytes.drain(at..end));
        }
        // Two tokens, cut at the same or at different positions.
        8 => bytes = [&bytes[..at], &other.as_bytes()[at.min(other.len())..]].concat(),
        9 => bytes = [&bytes[..at], &other.as_bytes()[rng.within(0..other.len())..]].concat(),
        10 => {
            let (mine, theirs): (Vec<&str>, Vec<&str>) =
                (token.split('.').collect(), other.split('.').collect());
            let parts: Vec<&str> =
                (0..3).map(|part| if rng.chance(50) { mine[part] } else { theirs[part] }).collect();
            bytes = parts.join(".").into_bytes();
        }
        11 => {
            bytes[at] = if bytes[at].is_ascii_lowercase() {
                bytes[at].to_ascii_uppercase()
            } else {
                bytes[at].to_ascii_lowercase()
            }
        }
        12 => {
            let padding = *rng.one(&["=", "==", ".", "A", "AA", "AAAA", "%3D", " ", "\u{0}"]);
            bytes = [token.as_bytes(), padding.as_bytes()].concat();
        }
        // The unused bits in the last character of a part.
        _ => {
            let ends: Vec<usize> =
                token.match_indices('.').map(|(dot, _)| dot - 1).chain([token.len() - 1]).collect();
            bytes[*rng.one(&ends)] = LETTERS[rng.within(0..64)];
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn hundred_thousand_changed_tokens_are_all_rejected() {
    let (mut same, mut refused) = (0, 0);
    for (kept, changed) in play_all(0..SEEDS, mutate) {
        same += kept;
        refused += changed;
    }
    assert_eq!(refused, 100_000);
    print(&format!(
        "{refused} changed tokens refused, none let in; {same} were not changed after all"
    ));
}

/// Changes tokens until the planned number was rejected. Returns how many were equivalent to a
/// valid one, and how many were rejected.
async fn mutate(seed: u64) -> (usize, usize) {
    let forge = Forge::new().await;
    let mut tokens = vec![forge.genuine.clone()];
    for email in ["bob@example.com", "countess@example.com"] {
        let user = forge.shop.enrol(email).await;
        tokens.push(forge.shop.enter(user.id).await.access_token);
        tokens.push(forge.shop.enter(user.id).await.access_token);
    }
    let mut rng = Rng::new(seed);
    let (mut same, mut refused) = (0, 0);
    while refused < MUTATIONS {
        let token = mutated(&mut rng, &tokens);
        let mut event = asked("");
        let header = format!("Bearer {token}");
        event["headers"]["Authorization"] = header.as_str().into();
        event["multiValueHeaders"]["Authorization"] = json!([header]);
        let answer = (forge.gate)(Invocation::with_event(event)).await;
        // White space around a token is not part of it.
        if tokens.iter().any(|genuine| genuine == token.trim()) {
            assert!(answer.is_ok(), "mutation {refused} of seed {seed}: {token:?}");
            same += 1;
        } else {
            assert_eq!(
                answer,
                Err(Failure::expected("Unauthorized")),
                "mutation {refused} of seed {seed}: {token:?}"
            );
            refused += 1;
        }
    }
    (same, refused)
}
