//! The keys that sign access tokens, as they stand in the secret `signing-key`: one that signs, and those that signed before it for as
//! long as a token of theirs may be alive.
//!
//! A rotation keeps no private key but the new one. A login may sign with the old one for as long as it keeps its copy of the secret
//! ([`KEPT`]), and an access token lives for fifteen minutes; [`RETAINED`] covers both.
//!
//! A revocation is a rotation after which the revoked key verifies nothing. Functions read the secret again every [`KEPT`], and the
//! gateway keeps the authorizer's answer for another 30 seconds: no token of a revoked key passes after a minute.

use std::time::Duration;

use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey,
    jwk::{AlgorithmParameters, Jwk},
};
use serde::{Deserialize, Serialize};
use shared::{clock::Timestamp, ids::Ids, prefixed_id, throttle::Limit};

use super::encoding::Bytes32;

/// The name of the secret, without the stack's prefix.
pub const SECRET: &str = "signing-key";
/// How old a function's copy of the keys may be. Together with the 30 seconds that the gateway keeps the authorizer's answer, it bounds
/// how long a revoked key is accepted: a minute. While Secrets Manager does not answer, a copy is used for up to an hour.
pub const KEPT: Duration = Duration::from_secs(30);
/// How long a key that was rotated out still verifies tokens: the 15 minutes that its last token lives, and 10 for a login that used an
/// old copy of the keys. A revoked key is remembered for as long, so that its tokens are rejected without another read of the secret.
pub const RETAINED: Duration = Duration::from_secs(25 * 60);
/// How often the secret is read again, at most, because a token names a key that is not known: every 30 seconds, and a few times at once
/// after a rest, so that one made-up key id does not make a rotation at the same moment look like another.
pub const RELOADS: Limit = Limit::new(4, Duration::from_secs(30));

/// How old the keys may be that are shown to the public: everybody may ask, and Secrets Manager is not to be asked each time.
pub const FRESH: Duration = Duration::from_secs(5);

prefixed_id!(
    /// A signing key: the `kid` of a token.
    KeyId,
    "key"
);

/// All keys of the secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKeys {
    keys: Vec<SigningKey>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SigningKey {
    kid: KeyId,
    status: Status,
    /// The seed of RFC 8032; only the key that signs has one.
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
    /// It signs.
    Current,
    /// It signed before.
    Retired,
    /// It is compromised: it no longer verifies tokens.
    Revoked,
    /// Something that a newer release knows: it neither signs nor vouches.
    #[serde(untagged)]
    Unknown(String),
}

/// The secret does not hold what it should.
#[derive(Debug, thiserror::Error)]
#[error("the secret {SECRET} cannot be read as signing keys: {cause}")]
pub struct SigningKeysError {
    cause: String,
}

/// The key that signs.
pub struct CurrentKey {
    /// Its name.
    pub kid: KeyId,
    /// The key itself.
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
    /// The keys that the secret's text spells.
    ///
    /// # Errors
    /// When it is something else. What stands there is not repeated.
    pub fn parse(text: &str) -> Result<Self, SigningKeysError> {
        serde_json::from_str(text).map_err(|error| {
            let cause = format!("{:?} error at line {} column {}", error.classify(), error.line(), error.column());
            SigningKeysError { cause }
        })
    }

    /// The secret's text.
    ///
    /// # Panics
    /// Never: keys are JSON.
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("keys are JSON")
    }

    /// The key that signs; the newest one, should there be several.
    pub fn current(&self) -> Option<CurrentKey> {
        let key = self.signing()?;
        let seed = key.private.as_ref()?;
        Some(CurrentKey { kid: key.kid, key: private_key(seed) })
    }

    /// The key that verifies what `kid` signed, as long as it vouches for anything.
    pub fn verifying(&self, kid: KeyId, now: Timestamp) -> Option<DecodingKey> {
        let key = self.keys.iter().find(|key| key.kid == kid && key.vouches(now))?;
        Some(DecodingKey::from_ed_der(&key.public.0))
    }

    /// The public halves of all keys that vouch for anything, as a JSON Web Key Set (RFC 7517; RFC 8037 for Ed25519).
    pub fn public(&self, now: Timestamp) -> PublicKeys {
        let public =
            |key: &SigningKey| PublicKey { kty: "OKP", crv: "Ed25519", alg: "EdDSA", usage: "sig", kid: key.kid, x: key.public.text() };
        PublicKeys { keys: self.keys.iter().filter(|key| key.vouches(now)).map(public).collect() }
    }

    /// Whether there is such a key, whether it still vouches or not.
    pub fn knows(&self, kid: KeyId) -> bool {
        self.keys.iter().any(|key| key.kid == kid)
    }

    /// These keys after a rotation: a new one signs, the one before is retired and loses its private half, and those whose last token
    /// has expired are gone.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn rotated(&self, ids: &Ids, now: Timestamp) -> Result<Self, SigningKeysError> {
        let seed = Bytes32(ids.bytes());
        let public = public_key(&seed)?;
        let new =
            SigningKey { kid: ids.create(now), status: Status::Current, private: Some(seed), public, created_at: now, retired_at: None };
        let earlier = self.keys.iter().cloned().map(|key| key.retire(now)).filter(|key| key.is_kept(now));
        Ok(Self { keys: earlier.chain([new]).collect() })
    }

    /// These keys after a revocation: `kid` verifies nothing from now on, and a new key signs, whichever key was revoked. The new key makes
    /// a rotation that began before this one fail: it would bring the revoked key back.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn revoked(&self, kid: KeyId, ids: &Ids, now: Timestamp) -> Result<Self, SigningKeysError> {
        let mut keys = self.rotated(ids, now)?;
        for key in keys.keys.iter_mut().filter(|key| key.kid == kid) {
            key.status = Status::Revoked;
            key.retired_at = Some(now);
        }
        Ok(keys)
    }

    /// Whether the key is revoked.
    pub fn is_revoked(&self, kid: KeyId) -> bool {
        self.keys.iter().any(|key| key.kid == kid && key.status == Status::Revoked)
    }

    /// Whether these keys come from a rotation of exactly `earlier`: then no token that counts now is lost by moving on to them.
    pub fn follow(&self, earlier: &Self) -> bool {
        earlier.signing().is_none_or(|before| self.keys.iter().any(|key| key.kid == before.kid))
    }

    fn signing(&self) -> Option<&SigningKey> {
        self.keys.iter().filter(|key| key.status == Status::Current).max_by_key(|key| (key.created_at, key.kid))
    }
}

impl SigningKey {
    fn vouches(&self, now: Timestamp) -> bool {
        matches!(self.status, Status::Current | Status::Retired) && self.is_kept(now)
    }

    fn is_kept(&self, now: Timestamp) -> bool {
        match self.status {
            Status::Current => true,
            Status::Retired | Status::Revoked => self.retired_at.is_some_and(|at| now < at.plus(RETAINED)),
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

/// An Ed25519 seed as PKCS #8, the form that the signer takes: RFC 8410, section 7.
fn private_key(seed: &Bytes32) -> EncodingKey {
    const PKCS8_ED25519: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    EncodingKey::from_ed_der(&[&PKCS8_ED25519[..], &seed.0].concat())
}

fn public_key(seed: &Bytes32) -> Result<Bytes32, SigningKeysError> {
    let failed = |cause: String| SigningKeysError { cause };
    let jwk = Jwk::from_encoding_key(&private_key(seed), Algorithm::EdDSA).map_err(|error| failed(error.to_string()))?;
    let AlgorithmParameters::OctetKeyPair(pair) = jwk.algorithm else { return Err(failed("no octet key pair was made".to_owned())) };
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
    fn nobody_signs_before_the_first_rotation() {
        assert!(empty().current().is_none());
        let first = empty().rotated(&Ids::seeded(1), at(0)).unwrap();
        assert!(first.current().is_some());
        assert!(first.follow(&empty()));
    }

    #[test]
    fn the_text_of_keys_reads_back_and_holds_one_private_half() {
        let ids = Ids::seeded(1);
        let keys = empty().rotated(&ids, at(0)).unwrap().rotated(&ids, at(10)).unwrap();
        assert_eq!(SigningKeys::parse(&keys.text()).unwrap(), keys);
        assert_eq!(keys.text().matches("private").count(), 1);
        let seed = keys.keys.iter().find_map(|key| key.private.clone()).unwrap();
        assert!(!format!("{keys:?}").contains(&seed.text()), "a private key shows itself");
    }

    #[test]
    fn a_retired_key_vouches_until_its_last_token_has_expired() {
        let ids = Ids::seeded(1);
        let first = empty().rotated(&ids, at(0)).unwrap();
        let kid = first.current().unwrap().kid;
        let second = first.rotated(&ids, at(10)).unwrap();
        assert_ne!(second.current().unwrap().kid, kid);
        assert!(second.verifying(kid, at(10)).is_some());
        assert!(second.verifying(kid, at(34)).is_some());
        assert!(second.verifying(kid, at(35)).is_none());
        assert!(second.verifying(second.current().unwrap().kid, at(100_000)).is_some());
        let third = second.rotated(&ids, at(20)).unwrap();
        assert!(third.knows(kid) && third.keys.len() == 3);
        let fourth = third.rotated(&ids, at(60)).unwrap();
        assert!(!fourth.knows(kid), "it is gone");
        assert_eq!(fourth.keys.len(), 2);
    }

    #[test]
    fn a_revoked_key_verifies_nothing_is_known_for_a_while_and_a_new_one_signs() {
        let ids = Ids::seeded(1);
        let first = empty().rotated(&ids, at(0)).unwrap();
        let second = first.rotated(&ids, at(10)).unwrap();
        for kid in [first.current().unwrap().kid, second.current().unwrap().kid] {
            let revoked = second.revoked(kid, &ids, at(11)).unwrap();
            let signing = revoked.current().unwrap().kid;
            assert!(signing != kid && !second.knows(signing), "a new key signs");
            assert!(revoked.is_revoked(kid) && revoked.knows(kid) && revoked.verifying(kid, at(11)).is_none());
            assert_eq!(revoked.public(at(11)).keys.len(), 2, "the other key verifies as before");
            assert_eq!(SigningKeys::parse(&revoked.text()).unwrap(), revoked);
            assert_eq!(revoked.text().matches("private").count(), 1);
            assert!(revoked.rotated(&ids, at(35)).unwrap().is_revoked(kid), "a rotation does not bring it back");
            assert!(!revoked.rotated(&ids, at(36)).unwrap().knows(kid));
            // A rotation that began before the revocation.
            assert!(!second.rotated(&ids, at(11)).unwrap().follow(&revoked));
        }
    }

    #[test]
    fn keys_that_leave_out_the_one_that_signs_do_not_follow() {
        let (one, other) = (Ids::seeded(1), Ids::seeded(1000));
        let first = empty().rotated(&one, at(0)).unwrap();
        let stray = empty().rotated(&other, at(0)).unwrap();
        assert!(first.rotated(&one, at(1)).unwrap().follow(&first));
        assert!(first.follow(&first));
        assert!(!stray.follow(&first));
    }

    #[test]
    fn a_key_of_a_status_that_is_not_known_neither_signs_nor_vouches_and_is_not_misread() {
        let keys = empty().rotated(&Ids::seeded(1), at(0)).unwrap();
        let kid = keys.current().unwrap().kid;
        let paused = SigningKeys::parse(&keys.text().replace("\"current\"", "\"paused\"")).unwrap();
        assert!(paused.current().is_none() && paused.verifying(kid, at(0)).is_none() && paused.knows(kid));
        assert!(paused.text().contains("\"paused\""));
    }

    #[test]
    fn a_secret_that_holds_something_else_is_an_error_that_does_not_repeat_it() {
        for odd in ["", "hunter2hunter2", "[]", "{}", r#"{"keys":[{"kid":"x"}]}"#, r#"{"keys":"hunter2"}"#] {
            let error = SigningKeys::parse(odd).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_public_key_is_the_one_of_rfc_8032() {
        // RFC 8032, section 7.1, test 1.
        let bytes = |hex: &str| -> [u8; 32] { std::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()) };
        let seed = Bytes32(bytes("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"));
        let public = Bytes32(bytes("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"));
        assert_eq!(public_key(&seed).unwrap(), public);
    }
}
