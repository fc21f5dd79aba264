//! Refresh tokens: `family.sequence.secret.mac`.
//!
//! A login begins a family; each refresh is to give out the next number of it with a new secret. The table holds the hash of the secret
//! that counts, so that it gives no token away. The MAC, under the service's own key, lets a made-up token be told without a read, and
//! without a change of state that a stranger could bring about.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::hmac;
use shared::{
    clock::Timestamp,
    ids::{self, Ids, PrefixedId},
    prefixed_id,
};

use crate::encoding::Bytes32;

/// The longest token has 149.
const MAX_BYTES: usize = 160;

prefixed_id!(
    /// What grows out of one login: its refresh tokens.
    FamilyId,
    "fam"
);

/// The key under which tokens are made.
pub struct RefreshTokenKey(hmac::Key);

impl RefreshTokenKey {
    /// A key of 256 bits; see [`shared::secret::Secrets::key`].
    pub fn new(key: [u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &key))
    }
}

/// A refresh token that we made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    /// The login that it goes back to.
    pub family: FamilyId,
    /// Its place among the tokens of the family, from 1.
    pub sequence: u64,
    secret: Bytes32,
}

impl RefreshToken {
    /// The first token of a new family.
    pub fn first(ids: &Ids, now: Timestamp) -> Self {
        Self { family: ids.create(now), sequence: 1, secret: Bytes32(ids.bytes()) }
    }

    /// The token as the client gets it.
    pub fn text(&self, key: &RefreshTokenKey) -> String {
        let body = format!("{}.{}.{}", self.family, self.sequence, self.secret.text());
        let mac = BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&key.0, body.as_bytes()));
        format!("{body}.{mac}")
    }

    /// The token that `text` spells, if it was made under `key`. That it was made says nothing about whether it still counts.
    pub fn open(text: &str, key: &RefreshTokenKey) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let (body, mac) = text.rsplit_once('.')?;
        let mac = BASE64_URL_SAFE_NO_PAD.decode(mac).ok()?;
        hmac::verify(&key.0, body.as_bytes(), &mac).ok()?;
        let mut parts = body.split('.');
        let (family, sequence, secret) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self { family: FamilyId::parse(family)?, sequence: sequence.parse().ok()?, secret: Bytes32::parse(secret)? })
    }

    /// What the table holds of the secret.
    pub fn secret_hash(&self) -> String {
        ids::sha256_hex(&self.secret.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> RefreshToken {
        RefreshToken::first(&Ids::seeded(1), Timestamp::from_milliseconds(1_700_000_000_000))
    }

    #[test]
    fn a_token_opens_under_its_own_key_only() {
        let (key, other) = (RefreshTokenKey::new([1; 32]), RefreshTokenKey::new([2; 32]));
        let text = token().text(&key);
        assert_eq!(text.split('.').count(), 4);
        assert_eq!(RefreshToken::open(&text, &key), Some(token()));
        assert_eq!(RefreshToken::open(&text, &other), None);
    }

    #[test]
    fn a_token_that_was_changed_anywhere_does_not_open() {
        let key = RefreshTokenKey::new([1; 32]);
        let text = token().text(&key);
        for position in 0..text.len() {
            for replacement in [b'A', b'b', b'7', b'.', b'='] {
                let mut forged = text.clone().into_bytes();
                if forged[position] != replacement {
                    forged[position] = replacement;
                    assert_eq!(RefreshToken::open(&String::from_utf8(forged).unwrap(), &key), None, "{position}");
                }
            }
        }
        let other = RefreshToken::first(&Ids::seeded(100), Timestamp::from_milliseconds(1_700_000_000_000)).text(&key);
        let (mine, theirs): (Vec<&str>, Vec<&str>) = (text.split('.').collect(), other.split('.').collect());
        let spliced = format!("{}.{}.{}.{}", mine[0], mine[1], theirs[2], mine[3]);
        for odd in ["", ".", "...", "....", &spliced, &format!("{text}."), &format!("{text}="), &"a".repeat(100_000)] {
            assert_eq!(RefreshToken::open(odd, &key), None);
        }
    }

    #[test]
    fn the_longest_token_is_read() {
        let key = RefreshTokenKey::new([1; 32]);
        let last = RefreshToken { sequence: u64::MAX, ..token() };
        assert!(RefreshToken::open(&last.text(&key), &key).is_some());
    }

    #[test]
    fn what_is_stored_gives_nothing_away() {
        let text = token().text(&RefreshTokenKey::new([1; 32]));
        let secret = text.split('.').nth(2).unwrap();
        assert_eq!(token().secret_hash(), ids::sha256_hex(secret));
        assert!(!token().secret_hash().contains(secret));
        assert!(!format!("{:?}", token()).contains(secret));
    }
}
