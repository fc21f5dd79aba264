//! Secrets Manager: secrets are read at first use and kept for five minutes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_sdk_secretsmanager::Client;
use ring::hkdf;

use crate::{
    BoxFuture,
    clock::{Clock, Timestamp},
    telemetry,
};

/// How long a secret that was read is used without looking again: the longest time that a rotation goes unnoticed.
const KEPT: Duration = Duration::from_secs(300);

/// For how long a copy goes on being used while Secrets Manager does not answer: better an old key than a closed shop.
const KEPT_IN_NEED: Duration = Duration::from_secs(3600);

/// The secrets of one function.
pub struct Secrets {
    client: Client,
    prefix: String,
    clock: Clock,
    read: Mutex<HashMap<String, (Timestamp, Arc<str>)>>,
}

/// A secret that could not be had.
#[derive(Debug, thiserror::Error)]
#[error("the secret {name} could not be read: {cause}")]
pub struct SecretError {
    name: String,
    cause: String,
}

impl Secrets {
    /// The secrets whose names begin with `prefix`.
    pub fn new(client: Client, prefix: impl Into<String>, clock: Clock) -> Self {
        Self { client, prefix: prefix.into(), clock, read: Mutex::default() }
    }

    /// The present text of a secret, at most five minutes old; an hour while Secrets Manager does not answer.
    pub fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<str>, SecretError>> {
        self.get_within(name, KEPT)
    }

    /// The text of a secret, not older than `age`; an hour while Secrets Manager does not answer.
    pub fn get_within<'a>(&'a self, name: &'a str, age: Duration) -> BoxFuture<'a, Result<Arc<str>, SecretError>> {
        Box::pin(async move {
            let kept = self.read.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
            match kept {
                Some((at, text)) if self.clock.now().since(at) < age => Ok(text),
                Some((at, text)) => match self.reload(name).await {
                    Err(error) if self.clock.now().since(at) < KEPT_IN_NEED => {
                        tracing::warn!(error = telemetry::causes(&error), "the copy that was read before goes on being used");
                        Ok(text)
                    }
                    read => read,
                },
                None => self.reload(name).await,
            }
        })
    }

    /// The present text of a secret, read now.
    pub fn reload<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<str>, SecretError>> {
        Box::pin(async move {
            let failed = |cause: String| SecretError { name: name.to_owned(), cause };
            let answer = self.client.get_secret_value().secret_id(format!("{}{name}", self.prefix)).send().await;
            let answer = answer.map_err(|error| failed(telemetry::causes(&error)))?;
            let text: Arc<str> = answer.secret_string().ok_or_else(|| failed("it holds no text".to_owned()))?.into();
            let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            read.insert(name.to_owned(), (self.clock.now(), text.clone()));
            Ok(text)
        })
    }

    /// A 256-bit key for one purpose, derived from the text of a secret by HKDF-SHA-256 (RFC 5869): two purposes never share a key.
    pub fn key<'a>(&'a self, name: &'a str, purpose: &'a str) -> BoxFuture<'a, Result<[u8; 32], SecretError>> {
        Box::pin(async move { Ok(derive_key(self.get(name).await?.as_bytes(), purpose)) })
    }
}

/// A 256-bit key for one purpose; see [`Secrets::key`].
pub fn derive_key(secret: &[u8], purpose: &str) -> [u8; 32] {
    let mut key = [0; 32];
    let info = [purpose.as_bytes()];
    // Fails only for lengths above 255 hashes.
    let filled =
        hkdf::Salt::new(hkdf::HKDF_SHA256, b"ferrocart").extract(secret).expand(&info, hkdf::HKDF_SHA256).map(|okm| okm.fill(&mut key));
    assert!(matches!(filled, Ok(Ok(()))), "32 bytes are within HKDF's limits");
    key
}
