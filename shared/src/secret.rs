//! Secrets Manager client with a cache: secrets are read at first use and cached for five minutes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_sdk_secretsmanager::Client;
use ring::hkdf;
use serde::Deserialize;

use crate::{
    BoxFuture,
    clock::{Clock, Timestamp},
    telemetry,
};

/// How long a cached secret is used before it is read again, and the longest delay until a rotation
/// is noticed.
const CACHE_TTL: Duration = Duration::from_secs(300);

/// How long a cached secret is used while Secrets Manager is unavailable: an outdated key is better
/// than an outage.
const MAX_STALE: Duration = Duration::from_secs(3600);

/// How long a new server key waits until it is active. An instance may use an outdated copy of the
/// secret for an hour; five more minutes allow for clock skew. Until then the previous key is
/// active, and both are accepted.
pub const KEY_ACTIVATION_DELAY: Duration = Duration::from_secs(3600 + 300);

/// The secrets of one function.
pub struct Secrets {
    client: Client,
    prefix: String,
    clock: Clock,
    cache: Mutex<HashMap<String, (Timestamp, Arc<str>)>>,
}

/// A secret that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the secret {name} could not be read: {cause}")]
pub struct SecretError {
    name: String,
    cause: String,
}

impl Secrets {
    /// Creates a reader of the secrets whose names begin with `prefix`.
    pub fn new(client: Client, prefix: impl Into<String>, clock: Clock) -> Self {
        Self { client, prefix: prefix.into(), clock, cache: Mutex::default() }
    }

    /// Returns the client, for operations that write secrets.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Returns the name of a secret with its prefix, as Secrets Manager stores it.
    pub fn full_name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Returns a secret, at most five minutes old, or an hour while Secrets Manager is unavailable.
    pub fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<str>, SecretError>> {
        self.get_with_max_age(name, CACHE_TTL)
    }

    /// Returns a secret, not older than `age`, or an hour while Secrets Manager is unavailable.
    pub fn get_with_max_age<'a>(
        &'a self,
        name: &'a str,
        age: Duration,
    ) -> BoxFuture<'a, Result<Arc<str>, SecretError>> {
        Box::pin(async move {
            let kept = self.cache.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
            match kept {
                Some((at, text)) if self.clock.now().since(at) < age => Ok(text),
                Some((at, text)) => match self.reload(name).await {
                    Err(error) if self.clock.now().since(at) < MAX_STALE => {
                        tracing::warn!(
                            error = telemetry::causes(&error),
                            "secret refresh failed, using the cached value"
                        );
                        Ok(text)
                    }
                    read => read,
                },
                None => self.reload(name).await,
            }
        })
    }

    /// Returns a secret without using the cache.
    pub fn reload<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<str>, SecretError>> {
        Box::pin(async move {
            let failed = |cause: String| SecretError { name: name.to_owned(), cause };
            let answer =
                self.client.get_secret_value().secret_id(self.full_name(name)).send().await;
            let answer = answer.map_err(|error| failed(telemetry::causes(&error)))?;
            let text: Arc<str> = answer
                .secret_string()
                .ok_or_else(|| failed("it contains no text".to_owned()))?
                .into();
            let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            cache.insert(name.to_owned(), (self.clock.now(), text.clone()));
            Ok(text)
        })
    }

    /// Returns the server keys in a secret; see [`KeyRing`].
    pub fn keys<'a>(
        &'a self,
        name: &'a str,
    ) -> BoxFuture<'a, Result<KeyRing<ServerKey>, SecretError>> {
        Box::pin(async move {
            let text = self.get(name).await?;
            let secret = serde_json::from_str::<ServerKeySecret>(&text)
                .ok()
                .filter(|secret| !secret.current.is_empty());
            let unreadable = || SecretError {
                name: name.to_owned(),
                cause: "it does not hold server keys".to_owned(),
            };
            Ok(secret.ok_or_else(unreadable)?.ring(self.clock.now()))
        })
    }
}

/// A secret that contains server keys. `localstack/keys.py` writes all three members when it
/// rotates the key.
#[derive(Deserialize)]
struct ServerKeySecret {
    current: String,
    /// Empty before the first rotation, and after a rotation that revokes the previous key.
    previous: String,
    /// When `current` replaced `previous`.
    rotated_at: Option<Timestamp>,
}

impl ServerKeySecret {
    fn ring(self, now: Timestamp) -> KeyRing<ServerKey> {
        let current = ServerKey(self.current);
        if self.previous.is_empty() {
            return KeyRing { active: current, other: None };
        }
        let previous = ServerKey(self.previous);
        let is_active_everywhere =
            self.rotated_at.is_none_or(|at| now >= at.plus(KEY_ACTIVATION_DELAY));
        let (active, other) =
            if is_active_everywhere { (current, previous) } else { (previous, current) };
        KeyRing { active, other: Some(other) }
    }
}

/// The text of a server key, from which purpose-specific keys are derived.
pub struct ServerKey(String);

impl ServerKey {
    /// Derives a 256-bit key for one purpose by HKDF-SHA-256 (RFC 5869). Two purposes never share a
    /// key.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        derive_key(self.0.as_bytes(), purpose)
    }
}

/// The current and the previous key of a service. The active one creates tokens, seals and MACs.
/// Both are accepted, so that a rotation invalidates nothing. The active key depends only on the
/// time since the rotation ([`KEY_ACTIVATION_DELAY`]), so all instances agree.
#[derive(Clone, Debug)]
pub struct KeyRing<K> {
    active: K,
    other: Option<K>,
}

impl<K> KeyRing<K> {
    pub fn of(key: K) -> Self {
        Self { active: key, other: None }
    }

    /// Returns the key that creates new tokens, seals and MACs.
    pub fn active(&self) -> &K {
        &self.active
    }

    /// Iterates over all accepted keys, the active one first.
    pub fn accepted(&self) -> impl Iterator<Item = &K> {
        [&self.active].into_iter().chain(&self.other)
    }

    /// Tries the accepted keys in order. Returns the first result that is not `None`.
    pub fn open<T>(&self, open: impl FnMut(&K) -> Option<T>) -> Option<T> {
        self.accepted().find_map(open)
    }

    /// Returns a ring of references to the same keys.
    pub fn as_ref(&self) -> KeyRing<&K> {
        KeyRing { active: &self.active, other: self.other.as_ref() }
    }

    #[must_use]
    pub fn map<T>(self, change: impl Fn(K) -> T) -> KeyRing<T> {
        KeyRing { active: change(self.active), other: self.other.map(&change) }
    }
}

impl KeyRing<ServerKey> {
    /// Derives the keys for one purpose; see [`ServerKey::derive`].
    #[must_use]
    pub fn derive(&self, purpose: &str) -> KeyRing<[u8; 32]> {
        self.as_ref().map(|key| key.derive(purpose))
    }
}

/// Derives a 256-bit key for one purpose; see [`ServerKey::derive`].
pub fn derive_key(secret: &[u8], purpose: &str) -> [u8; 32] {
    let mut key = [0; 32];
    let info = [purpose.as_bytes()];
    // Fails only for outputs longer than 255 hashes.
    let filled = hkdf::Salt::new(hkdf::HKDF_SHA256, b"ferrocart")
        .extract(secret)
        .expand(&info, hkdf::HKDF_SHA256)
        .map(|okm| okm.fill(&mut key));
    assert!(matches!(filled, Ok(Ok(()))), "32 bytes are within HKDF's limits");
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROTATED: Timestamp = Timestamp::from_milliseconds(1_700_000_000_000);

    fn ring(text: &str, now: Timestamp) -> Vec<String> {
        let secret: ServerKeySecret = serde_json::from_str(text).unwrap();
        secret.ring(now).accepted().map(|key| key.0.clone()).collect()
    }

    #[test]
    fn new_key_is_active_after_the_activation_delay() {
        let rotated = format!(r#"{{"current":"new","previous":"old","rotated_at":"{ROTATED}"}}"#);
        let known = ROTATED.plus(KEY_ACTIVATION_DELAY);
        assert_eq!(ring(&rotated, ROTATED), ["old", "new"]);
        assert_eq!(
            ring(&rotated, Timestamp::from_milliseconds(known.milliseconds() - 1)),
            ["old", "new"]
        );
        assert_eq!(ring(&rotated, known), ["new", "old"]);
        assert!(KEY_ACTIVATION_DELAY > MAX_STALE && KEY_ACTIVATION_DELAY > CACHE_TTL);
    }

    #[test]
    fn key_without_a_previous_one_is_active_immediately() {
        assert_eq!(ring(r#"{"current":"first","previous":""}"#, ROTATED), ["first"]);
        let revoked = format!(r#"{{"current":"new","previous":"","rotated_at":"{ROTATED}"}}"#);
        assert_eq!(ring(&revoked, ROTATED), ["new"]);
    }

    #[test]
    fn derived_keys_differ_by_key_and_purpose() {
        let keys = ["one", "other"].map(|text| {
            ["cursor", "throttle"].map(|purpose| ServerKey(text.to_owned()).derive(purpose))
        });
        assert_eq!(keys.as_flattened().iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
    }
}
