//! Secrets Manager's rotation of the secret `signing-key`: creates the key that signs access tokens
//! next, and revokes keys on request.
//!
//! Secrets Manager calls the function four times with the same token, which names the new version.
//! It repeats a failed step, and a step may arrive late, so every step is idempotent:
//!
//! - `createSecret` writes the new keys beside the current ones (`AWSPENDING`).
//! - `setSecret` does nothing, because no other system holds the key.
//! - `testSecret` signs and verifies a token with the new keys.
//! - `finishSecret` makes the new keys the current ones (`AWSCURRENT`).
//!
//! An operator invokes it directly with `{"revoke": "<kid>"}` or `{"revoke": "current"}` when a key
//! may be compromised. The key is revoked at once and a new one signs. These keys do not sign
//! refresh tokens, so clients get their next access token as usual.

use std::sync::Arc;

use aws_sdk_secretsmanager::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use shared::{auth::Role, ids::PrefixedId, invoke::Call, lambda::Failure};

use crate::{
    Users,
    tokens::{
        access::{self, Claims, Issuer},
        refresh::TokenSubject,
        signing_keys::{self, KeyId, SigningKeys},
    },
};

const CURRENT: &str = "AWSCURRENT";
const PENDING: &str = "AWSPENDING";
/// Version stage of a revocation until its keys become current. Not `AWSPENDING`: Secrets Manager
/// would treat it as a rotation in progress.
const REVOKING: &str = "REVOKING";
/// Maximum number of attempts when rotations finish concurrently.
const MAX_ATTEMPTS: u32 = 5;

/// The two events that invoke the function.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum RotateSigningKey {
    /// A rotation step, sent by Secrets Manager.
    Rotate(RotateSecret),
    /// A revocation, sent by an operator.
    Revoke(RevokeKey),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeKey {
    /// The key to revoke: a `kid`, or `current`.
    revoke: String,
}

/// A rotation step in the format of Secrets Manager.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RotateSecret {
    step: Step,
    secret_id: String,
    client_request_token: String,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::enum_variant_names, reason = "the names are Secrets Manager's")]
enum Step {
    CreateSecret,
    SetSecret,
    TestSecret,
    FinishSecret,
}

/// Executes a rotation step and returns an empty object, or revokes a key. A revocation returns the
/// revoked `kid` as `revoked` and the signing `kid` as `current`.
///
/// # Errors
/// - `SecretsManagerFailed`: a call to Secrets Manager fails.
/// - `UnknownKey`: the secret has no key with the given name.
/// - `UnreadableKeys`: a version is missing or has no readable keys.
/// - `UnusableKeys`: the new keys cannot be created, or fail their test.
/// - `Superseded`: another rotation has finished since this one began. To finish this one would
///   discard the key that signs.
pub async fn rotate_signing_key(
    users: Arc<Users>,
    call: Call<RotateSigningKey>,
) -> Result<Value, Failure> {
    let RotateSecret { step, secret_id, client_request_token } = match call.event {
        RotateSigningKey::Rotate(step) => step,
        RotateSigningKey::Revoke(RevokeKey { revoke }) => return revoke_key(&users, &revoke).await,
    };
    let secret = Secret { client: users.secrets.client(), id: &secret_id };
    match step {
        Step::CreateSecret => create_secret(&users, &secret, &client_request_token).await?,
        Step::SetSecret => {}
        Step::TestSecret => test_secret(&users, &secret, &client_request_token).await?,
        Step::FinishSecret => finish_secret(&secret, &client_request_token).await?,
    }
    Ok(json!({}))
}

async fn create_secret(users: &Users, secret: &Secret<'_>, token: &str) -> Result<(), Failure> {
    if secret.version(token).await?.is_some() {
        return Ok(());
    }
    let current_keys = secret.current_keys().await?;
    let next = current_keys
        .rotated(&users.ids, users.clock.now())
        .map_err(|error| Failure::from_error("UnusableKeys", &error))?;
    secret.put(token, PENDING, next.text()).await
}

/// Revokes the named key and makes the resulting keys current. If a rotation finishes meanwhile,
/// its keys are kept and the key is revoked among them. A repeated invocation finds the key
/// revoked, writes nothing and returns the same answer.
async fn revoke_key(users: &Users, name: &str) -> Result<Value, Failure> {
    let secret_id = users.secrets.full_name(signing_keys::SECRET_NAME);
    let secret = Secret { client: users.secrets.client(), id: &secret_id };
    let mut named = None;
    let mut failure = None;
    for _ in 0..MAX_ATTEMPTS {
        let version = secret.current_version().await?;
        let current_keys = secret.version(&version).await?.unwrap_or_default();
        // `current` means the key that signs at the first attempt, even if a rotation retires it
        // meanwhile.
        let kid = named.or_else(|| {
            if name == "current" {
                current_keys.current().map(|key| key.kid)
            } else {
                KeyId::parse(name)
            }
        });
        let kid = kid.filter(|kid| current_keys.contains(*kid)).ok_or_else(|| {
            Failure::new(
                "UnknownKey",
                "Unknown signing key: GET /.well-known/jwks.json lists those that verify tokens.",
            )
        })?;
        named = Some(kid);
        if current_keys.is_revoked(kid) {
            return Ok(revoked(kid, &current_keys));
        }
        let now = users.clock.now();
        let next = current_keys
            .revoked(kid, &users.ids, now)
            .map_err(|error| Failure::from_error("UnusableKeys", &error))?;
        check(&next, users)?;
        let token = users.ids.create::<KeyId>(now).to_string();
        secret.put(&token, REVOKING, next.text()).await?;
        match secret.make_current(&token, &version).await {
            Ok(()) => {
                tracing::warn!(kid = %kid, "signing key revoked, its tokens are rejected within a minute");
                return Ok(revoked(kid, &next));
            }
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(no_version))
}

fn revoked(kid: KeyId, keys: &SigningKeys) -> Value {
    json!({ "revoked": kid, "current": keys.current().map(|key| key.kid) })
}

async fn test_secret(users: &Users, secret: &Secret<'_>, token: &str) -> Result<(), Failure> {
    let keys = secret.version(token).await?.ok_or_else(no_version)?;
    check(&keys, users)
}

async fn finish_secret(secret: &Secret<'_>, token: &str) -> Result<(), Failure> {
    let current = secret.current_version().await?;
    if current == token {
        return Ok(());
    }
    let current_keys = secret.version(&current).await?.unwrap_or_default();
    let next = secret.version(token).await?.ok_or_else(no_version)?;
    if !next.is_successor_of(&current_keys) {
        return Err(Failure::new(
            "Superseded",
            "Another rotation finished in the meantime. Start a new one.",
        ));
    }
    secret.make_current(token, &current).await
}

/// Checks that the new current key signs a token and that verification accepts it.
fn check(keys: &SigningKeys, users: &Users) -> Result<(), Failure> {
    let unusable = |cause: &str| {
        Failure::new(
            "UnusableKeys",
            format!("the new keys cannot sign and verify a token: {cause}"),
        )
    };
    let (ids, now) = (&users.ids, users.clock.now());
    let key = keys.current().ok_or_else(|| unusable("none of them signs"))?;
    let issuer = Issuer { name: "rotation".to_owned(), audience: "rotation".to_owned() };
    let test_subject = TokenSubject {
        user_id: ids.create(now),
        version: 0,
        session_epoch: 0,
        token_version: 0,
        role: Role::User.name().to_owned(),
        full_name: String::new(),
        email: String::new(),
    };
    let claims = Claims::new(&test_subject, ids.create(now), &issuer, ids, now);
    let token = claims.sign(&key).map_err(|error| unusable(&error.to_string()))?;
    let accepted = access::verify(&token, keys, &issuer, now).is_ok_and(|read| read == claims);
    if accepted { Ok(()) } else { Err(unusable("its signatures are not accepted")) }
}

fn no_version() -> Failure {
    Failure::new("UnreadableKeys", "No secret version has this token. Run createSecret first.")
}

struct Secret<'a> {
    client: &'a Client,
    id: &'a str,
}

impl Secret<'_> {
    /// Returns the keys of the version that a token names, or `None` if it has not been written.
    async fn version(&self, token: &str) -> Result<Option<SigningKeys>, Failure> {
        match self.client.get_secret_value().secret_id(self.id).version_id(token).send().await {
            Ok(answer) => read(answer.secret_string()).map(Some),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|error| error.is_resource_not_found_exception()) =>
            {
                Ok(None)
            }
            Err(error) => Err(failed("GetSecretValue", &error)),
        }
    }

    async fn current_keys(&self) -> Result<SigningKeys, Failure> {
        let answer =
            self.client.get_secret_value().secret_id(self.id).version_stage(CURRENT).send().await;
        read(answer.map_err(|error| failed("GetSecretValue", &error))?.secret_string())
    }

    async fn current_version(&self) -> Result<String, Failure> {
        let answer = self
            .client
            .describe_secret()
            .secret_id(self.id)
            .send()
            .await
            .map_err(|error| failed("DescribeSecret", &error))?;
        let versions = answer.version_ids_to_stages().into_iter().flatten();
        let current = versions
            .filter(|(_, stages)| stages.iter().any(|stage| stage == CURRENT))
            .map(|(version, _)| version.clone());
        current
            .last()
            .ok_or_else(|| Failure::new("UnreadableKeys", "The secret has no current version."))
    }

    /// Writes the version that a token names, with the version stage `stage`. If a concurrent copy
    /// of this step has already written other keys under the same name, those are kept.
    async fn put(&self, token: &str, stage: &str, text: String) -> Result<(), Failure> {
        let put = self
            .client
            .put_secret_value()
            .secret_id(self.id)
            .client_request_token(token)
            .secret_string(text);
        match put.version_stages(stage).send().await {
            Ok(_) => Ok(()),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|error| error.is_resource_exists_exception()) =>
            {
                Ok(())
            }
            Err(error) => Err(failed("PutSecretValue", &error)),
        }
    }

    /// Moves `AWSCURRENT` from `current` to `token`. Fails if another version has become current
    /// meanwhile.
    async fn make_current(&self, token: &str, current: &str) -> Result<(), Failure> {
        let update =
            self.client.update_secret_version_stage().secret_id(self.id).version_stage(CURRENT);
        let moved = update.move_to_version_id(token).remove_from_version_id(current).send().await;
        moved.map(|_| ()).map_err(|error| failed("UpdateSecretVersionStage", &error))
    }
}

fn read(text: Option<&str>) -> Result<SigningKeys, Failure> {
    SigningKeys::parse(text.unwrap_or_default())
        .map_err(|error| Failure::from_error("UnreadableKeys", &error))
}

fn failed(call: &str, error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new("SecretsManagerFailed", format!("{call}: {}", shared::telemetry::causes(error)))
}
