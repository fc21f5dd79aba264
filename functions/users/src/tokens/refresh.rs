//! Refresh tokens: `session_id.sequence.secret.mac`.
//!
//! A login starts a session. Each refresh issues the session's next token, with the next number and
//! a new secret. The table stores the hash of the valid secret, so it reveals no token. The MAC,
//! under the service's own key, lets the service reject forged tokens without a read or a write.
//!
//! - The secret of a successor is derived from its predecessor. To repeat a rotation whose response
//!   was lost returns the same token.
//! - The token carries the claims of the next access token, as of its creation, after the 32 bytes
//!   of the secret. So a rotation is one transaction without a read: the user's version is one of
//!   its conditions. If the version has changed, the failed condition returns the current user.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::hmac;
use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    ids::{self, Ids, PrefixedId, UserId},
    prefixed_id,
};

use super::encoding::Bytes32;
use crate::domain::{Credentials, TokenGeneration, User};

/// Above the longest token that we issue: name and address take up to 654 bytes before they are
/// encoded.
const MAX_BYTES: usize = 2048;
const SECRET_BYTES: usize = 32;

prefixed_id!(
    /// Id of a session: a login and its refresh tokens.
    SessionId,
    "ses"
);

pub struct RefreshTokenKey {
    mac: hmac::Key,
    successor: hmac::Key,
}

impl RefreshTokenKey {
    /// Expects two keys of 256 bits; see [`shared::secret::Secrets::keys`].
    pub fn new(mac: [u8; 32], successor: [u8; 32]) -> Self {
        Self {
            mac: hmac::Key::new(hmac::HMAC_SHA256, &mac),
            successor: hmac::Key::new(hmac::HMAC_SHA256, &successor),
        }
    }
}

/// The user of a token, with the claims of their access tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenSubject {
    pub user_id: UserId,
    /// Version of the user from which the other fields were copied.
    pub version: u64,
    pub session_epoch: u64,
    pub token_version: u64,
    pub role: String,
    pub full_name: String,
    pub email: String,
}

/// A refresh token that this service has issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    pub session_id: SessionId,
    /// Its number in the session, from 1.
    pub sequence: u64,
    secret: Bytes32,
    pub subject: TokenSubject,
}

impl RefreshToken {
    /// Creates the first token of a new session.
    pub fn first(subject: TokenSubject, ids: &Ids, now: Timestamp) -> Self {
        Self { session_id: ids.create(now), sequence: 1, secret: Bytes32(ids.bytes()), subject }
    }

    /// Returns when the session started: the time in its id. The MAC covers the id.
    pub fn started_at(&self) -> Timestamp {
        ids::created_at(self.session_id.uuid()).unwrap_or(Timestamp::from_milliseconds(0))
    }

    /// Derives the token that replaces this one. Its secret is the same each time; only `subject`
    /// may differ.
    #[must_use]
    pub fn successor(&self, subject: TokenSubject, key: &RefreshTokenKey) -> Self {
        let mac = hmac::sign(
            &key.successor,
            format!("{}.{}.{}", self.session_id, self.sequence, self.secret.text()).as_bytes(),
        );
        let mut secret = [0; SECRET_BYTES];
        secret.copy_from_slice(mac.as_ref());
        Self {
            session_id: self.session_id,
            sequence: self.sequence.saturating_add(1),
            secret: Bytes32(secret),
            subject,
        }
    }

    /// Encodes the token for the client.
    ///
    /// # Panics
    /// Never: a subject is always serializable.
    pub fn text(&self, key: &RefreshTokenKey) -> String {
        let subject = serde_json::to_vec(&self.subject).expect("a bearer is JSON");
        let secret = BASE64_URL_SAFE_NO_PAD.encode([&self.secret.0[..], &subject].concat());
        let body = format!("{}.{}.{secret}", self.session_id, self.sequence);
        let mac = BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&key.mac, body.as_bytes()));
        format!("{body}.{mac}")
    }

    /// Parses a token and checks that it was made under `key`. The caller checks whether it is
    /// still valid.
    pub fn open(text: &str, key: &RefreshTokenKey) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let (body, mac) = text.rsplit_once('.')?;
        let mac = BASE64_URL_SAFE_NO_PAD.decode(mac).ok()?;
        hmac::verify(&key.mac, body.as_bytes(), &mac).ok()?;
        let mut parts = body.split('.');
        let (session_id, sequence, secret) = (parts.next()?, parts.next()?, parts.next()?);
        let secret = BASE64_URL_SAFE_NO_PAD.decode(secret).ok()?;
        let (secret, subject) = secret.split_first_chunk::<SECRET_BYTES>()?;
        Some(Self {
            session_id: SessionId::parse(session_id)?,
            sequence: sequence.parse().ok()?,
            secret: Bytes32(*secret),
            subject: serde_json::from_slice(subject).ok()?,
        })
    }

    /// Returns the number and the hash of the secret, as the session stores them.
    pub fn generation(&self) -> TokenGeneration {
        TokenGeneration { sequence: self.sequence, secret_hash: self.secret_hash() }
    }

    /// Returns the hash of the secret, as the table stores it.
    pub fn secret_hash(&self) -> String {
        ids::sha256_hex(&self.secret.text())
    }
}

impl From<&User> for TokenSubject {
    fn from(user: &User) -> Self {
        Self {
            user_id: user.id,
            version: user.version,
            session_epoch: user.session_epoch,
            token_version: user.token_version,
            role: user.role.clone(),
            full_name: user.full_name.clone(),
            email: user.email.clone(),
        }
    }
}

impl From<&Credentials> for TokenSubject {
    fn from(user: &Credentials) -> Self {
        Self {
            user_id: user.user_id,
            version: user.version,
            session_epoch: user.session_epoch,
            token_version: user.token_version,
            role: user.role.clone(),
            full_name: user.full_name.clone(),
            email: user.email.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject() -> TokenSubject {
        TokenSubject {
            user_id: ids::derive(&["ada"]),
            version: 3,
            session_epoch: 1,
            token_version: 2,
            role: "user".to_owned(),
            full_name: "Ada \u{1f600} Lovelace".to_owned(),
            email: "ada@example.com".to_owned(),
        }
    }

    fn token() -> RefreshToken {
        RefreshToken::first(
            subject(),
            &Ids::seeded(1),
            Timestamp::from_milliseconds(1_700_000_000_000),
        )
    }

    fn key() -> RefreshTokenKey {
        RefreshTokenKey::new([1; 32], [3; 32])
    }

    #[test]
    fn token_opens_only_under_its_own_key() {
        let text = token().text(&key());
        assert_eq!(text.split('.').count(), 4);
        assert_eq!(RefreshToken::open(&text, &key()), Some(token()));
        assert_eq!(RefreshToken::open(&text, &RefreshTokenKey::new([2; 32], [3; 32])), None);
    }

    #[test]
    fn altered_token_does_not_open() {
        let text = token().text(&key());
        for position in 0..text.len() {
            for replacement in [b'A', b'b', b'7', b'.', b'='] {
                let mut forged = text.clone().into_bytes();
                if forged[position] != replacement {
                    forged[position] = replacement;
                    assert_eq!(
                        RefreshToken::open(&String::from_utf8(forged).unwrap(), &key()),
                        None,
                        "{position}"
                    );
                }
            }
        }
        let other = RefreshToken::first(
            subject(),
            &Ids::seeded(100),
            Timestamp::from_milliseconds(1_700_000_000_000),
        )
        .text(&key());
        let (mine, theirs): (Vec<&str>, Vec<&str>) =
            (text.split('.').collect(), other.split('.').collect());
        let spliced = format!("{}.{}.{}.{}", mine[0], mine[1], theirs[2], mine[3]);
        for invalid in [
            "",
            ".",
            "...",
            "....",
            &spliced,
            &format!("{text}."),
            &format!("{text}="),
            &"a".repeat(100_000),
        ] {
            assert_eq!(RefreshToken::open(invalid, &key()), None);
        }
    }

    #[test]
    fn successor_secret_depends_only_on_token_and_key() {
        let renamed = TokenSubject { full_name: "Ada King".to_owned(), version: 4, ..subject() };
        let (one, other) =
            (token().successor(subject(), &key()), token().successor(renamed, &key()));
        assert_eq!(one, token().successor(subject(), &key()));
        assert_eq!((one.secret_hash(), one.sequence), (other.secret_hash(), 2));
        assert_ne!(one.secret_hash(), token().secret_hash());
        assert_ne!(
            one.secret_hash(),
            token().successor(subject(), &RefreshTokenKey::new([1; 32], [4; 32])).secret_hash()
        );
    }

    #[test]
    fn longest_token_is_accepted() {
        let longest = TokenSubject {
            full_name: "\u{1f600}".repeat(100),
            email: "e".repeat(254),
            version: u64::MAX,
            ..subject()
        };
        let last = RefreshToken { sequence: u64::MAX, subject: longest, ..token() };
        assert!(RefreshToken::open(&last.text(&key()), &key()).is_some());
    }

    #[test]
    fn stored_hash_does_not_reveal_the_secret() {
        let secret = token().secret.text();
        assert_eq!(token().secret_hash(), ids::sha256_hex(&secret));
        assert!(!token().secret_hash().contains(&secret));
        assert!(!format!("{:?}", token()).contains(&secret));
    }
}
