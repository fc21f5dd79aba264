//! Signing keys of access tokens, stored in the secret `signing-key`: the current key, and earlier
//! keys while a token of theirs may be valid.
//!
//! A rotation keeps only the new private key. A login may sign with the old key while its cached
//! copy of the secret is valid ([`CACHE_TTL`]). An access token is valid for 15 minutes.
//! [`RETIRED_KEY_RETENTION`] covers both.
//!
//! A revocation is a rotation after which the revoked key verifies nothing. Functions read the
//! secret again every [`CACHE_TTL`], and the gateway caches the authorizer's answer for another 30
//! seconds. So tokens of a revoked key are rejected within a minute.

use std::time::Duration;

use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey,
    jwk::{AlgorithmParameters, Jwk},
};
use serde::{Deserialize, Serialize};
use shared::{clock::Timestamp, ids::Ids, prefixed_id, throttle::Limit};

use super::encoding::Bytes32;

/// Name of the secret, without the stack's prefix.
pub const SECRET_NAME: &str = "signing-key";
/// Maximum age of a function's copy of the keys. Together with the 30 seconds for which the gateway
/// caches the authorizer's answer, it bounds how long a revoked key is accepted: one minute. While
/// Secrets Manager does not answer, a copy is used for up to an hour.
pub const CACHE_TTL: Duration = Duration::from_secs(30);
/// How long a retired key verifies tokens: 15 minutes for its last token, and 10 for a login that
/// used an old copy of the keys. A revoked key is kept for the same time, so that its tokens are
/// rejected without another read of the secret.
pub const RETIRED_KEY_RETENTION: Duration = Duration::from_secs(25 * 60);
/// Limits how often an unknown key id causes a read of the secret: every 30 seconds, with a burst
/// of four. The burst ensures that one invented key id does not delay the discovery of a key that
/// was rotated at the same moment.
pub const RELOAD_LIMIT: Limit = Limit::new(4, Duration::from_secs(30));

/// Maximum age of the published keys. The route is public, so Secrets Manager must not be called
/// for each request.
pub const JWKS_CACHE_TTL: Duration = Duration::from_secs(5);

prefixed_id!(
    /// Id of a signing key: the `kid` of a token.
    KeyId,
    "key"
);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKeys {
    keys: Vec<SigningKey>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SigningKey {
    kid: KeyId,
    status: Status,
    /// Seed (RFC 8032). Only the key that signs has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    private: Option<Bytes32>,
    public: Bytes32,
    created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retired_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    /// Signs and verifies tokens.
    Current,
    /// Verifies tokens that it signed before a rotation.
    Retired,
    /// May be compromised: verifies no tokens.
    Revoked,
    /// A status of a newer release: neither signs nor verifies.
    #[serde(untagged)]
    Unknown(String),
}

/// The secret's text cannot be parsed, or a key cannot be created.
#[derive(Debug, thiserror::Error)]
#[error("the secret {SECRET_NAME} cannot be read as signing keys: {cause}")]
pub struct SigningKeysError {
    cause: String,
}

/// The key that signs access tokens.
pub struct CurrentKey {
    pub kid: KeyId,
    pub key: EncodingKey,
}

/// A JSON Web Key Set.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct PublicKeys {
    keys: Vec<PublicKey>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
struct PublicKey {
    kty: &'static str,
    crv: &'static str,
    alg: &'static str,
    #[serde(rename = "use")]
    usage: &'static str,
    kid: KeyId,
    x: String,
}

impl SigningKeys {
    /// Parses the text of the secret.
    ///
    /// # Errors
    /// If the text does not hold keys. The error does not repeat the text.
    pub fn parse(text: &str) -> Result<Self, SigningKeysError> {
        serde_json::from_str(text).map_err(|error| {
            let cause = format!(
                "{:?} error at line {} column {}",
                error.classify(),
                error.line(),
                error.column()
            );
            SigningKeysError { cause }
        })
    }

    /// Serializes the keys as the text of the secret.
    ///
    /// # Panics
    /// Never: keys are always serializable.
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("keys are JSON")
    }

    /// Returns the key that signs: the newest one, should there be several.
    pub fn current(&self) -> Option<CurrentKey> {
        let key = self.signing_key()?;
        let seed = key.private.as_ref()?;
        Some(CurrentKey { kid: key.kid, key: private_key(seed) })
    }

    /// Returns the key that verifies tokens signed by `kid`, while it is current or retired.
    pub fn verification_key(&self, kid: KeyId, now: Timestamp) -> Option<DecodingKey> {
        let key = self.keys.iter().find(|key| key.kid == kid && key.verifies(now))?;
        Some(DecodingKey::from_ed_der(&key.public.0))
    }

    /// Returns the public keys that still verify tokens, as a JSON Web Key Set (RFC 7517; RFC 8037
    /// for Ed25519).
    pub fn jwks(&self, now: Timestamp) -> PublicKeys {
        let public = |key: &SigningKey| PublicKey {
            kty: "OKP",
            crv: "Ed25519",
            alg: "EdDSA",
            usage: "sig",
            kid: key.kid,
            x: key.public.text(),
        };
        PublicKeys { keys: self.keys.iter().filter(|key| key.verifies(now)).map(public).collect() }
    }

    /// Returns whether the secret holds this key, in any status.
    pub fn contains(&self, kid: KeyId) -> bool {
        self.keys.iter().any(|key| key.kid == kid)
    }

    /// Returns the keys after a rotation. A new key signs. The previous one is retired and loses
    /// its private key. Keys whose last token has expired are removed.
    ///
    /// # Errors
    /// If a key cannot be created.
    pub fn rotated(&self, ids: &Ids, now: Timestamp) -> Result<Self, SigningKeysError> {
        let seed = Bytes32(ids.bytes());
        let public = public_key(&seed)?;
        let new = SigningKey {
            kid: ids.create(now),
            status: Status::Current,
            private: Some(seed),
            public,
            created_at: now,
            retired_at: None,
        };
        let earlier =
            self.keys.iter().cloned().map(|key| key.retire(now)).filter(|key| key.is_retained(now));
        Ok(Self { keys: earlier.chain([new]).collect() })
    }

    /// Returns the keys after a revocation. `kid` verifies nothing, and a new key signs, whichever
    /// key was revoked. The new key makes a rotation that began earlier fail, because that rotation
    /// would restore the revoked key.
    ///
    /// # Errors
    /// If a key cannot be created.
    pub fn revoked(&self, kid: KeyId, ids: &Ids, now: Timestamp) -> Result<Self, SigningKeysError> {
        let mut keys = self.rotated(ids, now)?;
        for key in keys.keys.iter_mut().filter(|key| key.kid == kid) {
            key.status = Status::Revoked;
            key.retired_at = Some(now);
        }
        Ok(keys)
    }

    pub fn is_revoked(&self, kid: KeyId) -> bool {
        self.keys.iter().any(|key| key.kid == kid && key.status == Status::Revoked)
    }

    /// Returns whether these keys result from a rotation of exactly `earlier`. If so, a switch to
    /// them loses no valid token.
    pub fn is_successor_of(&self, earlier: &Self) -> bool {
        earlier.signing_key().is_none_or(|before| self.keys.iter().any(|key| key.kid == before.kid))
    }

    fn signing_key(&self) -> Option<&SigningKey> {
        self.keys
            .iter()
            .filter(|key| key.status == Status::Current)
            .max_by_key(|key| (key.created_at, key.kid))
    }
}

impl SigningKey {
    fn verifies(&self, now: Timestamp) -> bool {
        matches!(self.status, Status::Current | Status::Retired) && self.is_retained(now)
    }

    fn is_retained(&self, now: Timestamp) -> bool {
        match self.status {
            Status::Current => true,
            Status::Retired | Status::Revoked => {
                self.retired_at.is_some_and(|at| now < at.plus(RETIRED_KEY_RETENTION))
            }
            Status::Unknown(_) => false,
        }
    }

    fn retire(mut self, now: Timestamp) -> Self {
        if self.status == Status::Current {
            self.status = Status::Retired;
            self.retired_at = Some(now);
        }
        self.private = None;
        self
    }
}

/// Encodes an Ed25519 seed as PKCS #8, the format of the signer (RFC 8410, section 7).
fn private_key(seed: &Bytes32) -> EncodingKey {
    const PKCS8_ED25519: [u8; 16] =
        [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    EncodingKey::from_ed_der(&[&PKCS8_ED25519[..], &seed.0].concat())
}

fn public_key(seed: &Bytes32) -> Result<Bytes32, SigningKeysError> {
    let failed = |cause: String| SigningKeysError { cause };
    let jwk = Jwk::from_encoding_key(&private_key(seed), Algorithm::EdDSA)
        .map_err(|error| failed(error.to_string()))?;
    let AlgorithmParameters::OctetKeyPair(pair) = jwk.algorithm else {
        return Err(failed("no octet key pair was generated".to_owned()));
    };
    Bytes32::parse(&pair.x).ok_or_else(|| failed("the public key has not 32 bytes".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: u64) -> Timestamp {
        Timestamp::from_milliseconds(1_700_000_000_000).plus(Duration::from_secs(60 * minutes))
    }

    fn empty() -> SigningKeys {
        SigningKeys::parse(r#"{"keys":[]}"#).unwrap()
    }

    #[test]
    fn no_key_signs_before_the_first_rotation() {
        assert!(empty().current().is_none());
        let first = empty().rotated(&Ids::seeded(1), at(0)).unwrap();
        assert!(first.current().is_some());
        assert!(first.is_successor_of(&empty()));
    }

    #[test]
    fn keys_read_back_with_one_private_key() {
        let ids = Ids::seeded(1);
        let keys = empty().rotated(&ids, at(0)).unwrap().rotated(&ids, at(10)).unwrap();
        assert_eq!(SigningKeys::parse(&keys.text()).unwrap(), keys);
        assert_eq!(keys.text().matches("private").count(), 1);
        let seed = keys.keys.iter().find_map(|key| key.private.clone()).unwrap();
        assert!(!format!("{keys:?}").contains(&seed.text()), "a private key shows itself");
    }

    #[test]
    fn retired_key_verifies_until_its_last_token_expires() {
        let ids = Ids::seeded(1);
        let first = empty().rotated(&ids, at(0)).unwrap();
        let kid = first.current().unwrap().kid;
        let second = first.rotated(&ids, at(10)).unwrap();
        assert_ne!(second.current().unwrap().kid, kid);
        assert!(second.verification_key(kid, at(10)).is_some());
        assert!(second.verification_key(kid, at(34)).is_some());
        assert!(second.verification_key(kid, at(35)).is_none());
        assert!(second.verification_key(second.current().unwrap().kid, at(100_000)).is_some());
        let third = second.rotated(&ids, at(20)).unwrap();
        assert!(third.contains(kid) && third.keys.len() == 3);
        let fourth = third.rotated(&ids, at(60)).unwrap();
        assert!(!fourth.contains(kid), "it is gone");
        assert_eq!(fourth.keys.len(), 2);
    }

    #[test]
    fn revoked_key_verifies_nothing_and_a_new_key_signs() {
        let ids = Ids::seeded(1);
        let first = empty().rotated(&ids, at(0)).unwrap();
        let second = first.rotated(&ids, at(10)).unwrap();
        for kid in [first.current().unwrap().kid, second.current().unwrap().kid] {
            let revoked = second.revoked(kid, &ids, at(11)).unwrap();
            let signing = revoked.current().unwrap().kid;
            assert!(signing != kid && !second.contains(signing), "a new key signs");
            assert!(
                revoked.is_revoked(kid)
                    && revoked.contains(kid)
                    && revoked.verification_key(kid, at(11)).is_none()
            );
            assert_eq!(revoked.jwks(at(11)).keys.len(), 2, "the other key verifies as before");
            assert_eq!(SigningKeys::parse(&revoked.text()).unwrap(), revoked);
            assert_eq!(revoked.text().matches("private").count(), 1);
            assert!(
                revoked.rotated(&ids, at(35)).unwrap().is_revoked(kid),
                "a rotation does not bring it back"
            );
            assert!(!revoked.rotated(&ids, at(36)).unwrap().contains(kid));
            // A rotation that began before the revocation is not a successor.
            assert!(!second.rotated(&ids, at(11)).unwrap().is_successor_of(&revoked));
        }
    }

    #[test]
    fn keys_without_the_signing_key_are_not_a_successor() {
        let (one, other) = (Ids::seeded(1), Ids::seeded(1000));
        let first = empty().rotated(&one, at(0)).unwrap();
        let stray = empty().rotated(&other, at(0)).unwrap();
        assert!(first.rotated(&one, at(1)).unwrap().is_successor_of(&first));
        assert!(first.is_successor_of(&first));
        assert!(!stray.is_successor_of(&first));
    }

    #[test]
    fn key_with_unknown_status_neither_signs_nor_verifies() {
        let keys = empty().rotated(&Ids::seeded(1), at(0)).unwrap();
        let kid = keys.current().unwrap().kid;
        let paused = SigningKeys::parse(&keys.text().replace("\"current\"", "\"paused\"")).unwrap();
        assert!(
            paused.current().is_none()
                && paused.verification_key(kid, at(0)).is_none()
                && paused.contains(kid)
        );
        assert!(paused.text().contains("\"paused\""));
    }

    #[test]
    fn unreadable_secret_is_not_repeated_in_the_error() {
        for invalid in
            ["", "hunter2hunter2", "[]", "{}", r#"{"keys":[{"kid":"x"}]}"#, r#"{"keys":"hunter2"}"#]
        {
            let error = SigningKeys::parse(invalid).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn public_key_matches_rfc_8032_test_vector() {
        // RFC 8032, section 7.1, test 1.
        let bytes = |hex: &str| -> [u8; 32] {
            std::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
        };
        let seed =
            Bytes32(bytes("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"));
        let public =
            Bytes32(bytes("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"));
        assert_eq!(public_key(&seed).unwrap(), public);
    }
}
