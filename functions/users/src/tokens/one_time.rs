//! One-time tokens: the content of a mailed link, which proves access to the mailbox.
//!
//! The token contains its user's id, so a forged token costs one read by key. Its secret has 256
//! random bits. The table stores its hash, and the sealed token until the mail is written.

use std::time::Duration;

use shared::{
    clock::Timestamp,
    ids::{self, Ids, PrefixedId, UserId},
    seal::SealingKey,
};

use super::encoding::Bytes32;
use crate::domain::Link;

/// A token has 84 bytes.
const MAX_BYTES: usize = 100;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneTimeToken {
    pub user_id: UserId,
    secret: Bytes32,
}

impl OneTimeToken {
    pub fn create(user_id: UserId, ids: &Ids) -> Self {
        Self { user_id, secret: Bytes32(ids.bytes()) }
    }

    /// Parses a token. A well-formed token is not necessarily valid.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let (user_id, secret) = text.split_once('.')?;
        Some(Self { user_id: UserId::parse(user_id)?, secret: Bytes32::parse(secret)? })
    }

    /// Encodes the token for the link in the mail.
    fn text(&self) -> String {
        format!("{}.{}", self.user_id, self.secret.text())
    }

    /// Returns the hash under which the table stores the token.
    pub fn hash(&self) -> String {
        ids::sha256_hex(&self.text())
    }

    /// Returns the token's hash and its sealed form, as the profile stores them.
    pub fn link(&self, key: &SealingKey, now: Timestamp, lifetime: Duration, ids: &Ids) -> Link {
        let sealed_token =
            key.seal(&self.text(), &["one-time-token", &self.user_id.to_string()], ids);
        Link {
            token_hash: self.hash(),
            sealed_token,
            expires_at: now.plus(lifetime),
            send_count: 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_opens_only_for_its_user() {
        let (ids, key, now) =
            (Ids::seeded(1), SealingKey::new([1; 32]), Timestamp::from_milliseconds(0));
        let user_id: UserId = ids::derive(&["ada"]);
        let token = OneTimeToken::create(user_id, &ids);
        let link = token.link(&key, now, Duration::from_secs(60), &ids);
        let text = key.open(&link.sealed_token, &["one-time-token", &user_id.to_string()]).unwrap();
        assert_eq!(
            OneTimeToken::parse(&text).map(|read| (read.hash(), read.user_id)),
            Some((link.token_hash.clone(), user_id))
        );
        assert!(!format!("{link:?}{token:?}").contains(&text));
        let other = ids::derive::<UserId>(&["bob"]).to_string();
        assert_eq!(key.open(&link.sealed_token, &["one-time-token", &other]), None);
    }

    #[test]
    fn malformed_token_is_rejected() {
        let token = OneTimeToken::create(ids::derive(&["ada"]), &Ids::seeded(1)).text();
        assert!(OneTimeToken::parse(&token).is_some());
        for invalid in [
            "",
            ".",
            "usr_.x",
            &token[..80],
            &format!("{token}A"),
            &format!("{token}.x"),
            &"a".repeat(100_000),
            "\u{e9}.\u{e9}",
        ] {
            assert_eq!(OneTimeToken::parse(invalid), None, "{invalid}");
        }
    }
}
