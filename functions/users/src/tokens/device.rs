//! Device tokens: `device.issued.binding.mac`, in the header `X-Device-Token`.
//!
//! A successful login issues one, and the device sends it with the next login. Its attempts are
//! then counted apart from those of unknown devices, which could otherwise lock the owner out. It
//! proves only that the device has known the password once, and cannot log in by itself. An
//! attacker gets only the few attempts of that device, so the token is not stored.
//!
//! It is valid for one user in one session epoch, of which the binding is a hash. A new password, a
//! withdrawn address change and a disabled account invalidate it. A new account with the address of
//! a deleted one does not inherit its devices.
//!
//! The MAC is made under the service's own key. Its input includes the account's address, which the
//! token does not contain, so the token is invalid for any other account.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::hmac;
use shared::{
    clock::Timestamp,
    ids::{self, Ids, PrefixedId, UserId},
    prefixed_id,
};

/// Lifetime of a token: long enough for users who return twice a year.
pub const LIFETIME: Duration = Duration::from_secs(180 * 24 * 3600);

/// The longest token has 138 bytes.
const MAX_BYTES: usize = 144;
/// Hexadecimal digits of the hash in a binding: 128 bits.
const BINDING_DIGITS: usize = 32;

prefixed_id!(
    /// Id of a device: each successful login without a valid token creates one.
    DeviceId,
    "dev"
);

pub struct DeviceTokenKey(hmac::Key);

impl DeviceTokenKey {
    /// Expects 256 bits; see [`shared::secret::Secrets::keys`].
    pub fn new(key: [u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &key))
    }
}

/// A device token that this service has issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceToken {
    device: DeviceId,
    account: String,
    /// Hash of the user id and session epoch for which the token is valid.
    binding: String,
    /// Time of issue, in seconds since 1970.
    issued: i64,
}

impl DeviceToken {
    /// Issues a token of a new device for the account with this address in its normal form. It is
    /// valid while the user is in this session epoch.
    pub fn issue(
        account: &str,
        user_id: UserId,
        session_epoch: u64,
        ids: &Ids,
        now: Timestamp,
    ) -> Self {
        Self {
            device: ids.create(now),
            account: account.to_owned(),
            binding: binding(user_id, session_epoch),
            issued: now.seconds(),
        }
    }

    /// Encodes the token for the client.
    pub fn text(&self, key: &DeviceTokenKey) -> String {
        let body = format!("{}.{}.{}", self.device, self.issued, self.binding);
        let mac =
            BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&key.0, &mac_input(&body, &self.account)));
        format!("{body}.{mac}")
    }

    /// Parses `text`. Returns `None` unless it is a valid token, made under `key` for this account.
    pub fn open(text: &str, account: &str, key: &DeviceTokenKey, now: Timestamp) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let (body, mac) = text.rsplit_once('.')?;
        let mac = BASE64_URL_SAFE_NO_PAD.decode(mac).ok()?;
        hmac::verify(&key.0, &mac_input(body, account), &mac).ok()?;
        let mut parts = body.split('.');
        let (device, issued, binding) = (parts.next()?, parts.next()?, parts.next()?);
        let token = Self {
            device: DeviceId::parse(device)?,
            account: account.to_owned(),
            binding: binding.to_owned(),
            issued: issued.parse().ok()?,
        };
        token.is_valid(now).then_some(token)
    }

    /// Returns whether the token is valid for this user in this session epoch.
    pub fn belongs_to(&self, user_id: UserId, session_epoch: u64) -> bool {
        self.binding == binding(user_id, session_epoch)
    }

    /// Address of its account, in the normal form.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// Identifies the bucket of this device among others of the account.
    pub fn device_id(&self) -> String {
        self.device.to_string()
    }

    fn is_valid(&self, now: Timestamp) -> bool {
        let end = u64::try_from(self.issued)
            .ok()
            .and_then(|issued| issued.checked_add(LIFETIME.as_secs()));
        end.is_some_and(|end| i64::try_from(end).is_ok_and(|end| now.seconds() < end))
    }
}

fn binding(user_id: UserId, session_epoch: u64) -> String {
    let mut hash = ids::sha256_hex(&format!("{user_id}.{session_epoch}"));
    hash.truncate(BINDING_DIGITS);
    hash
}

/// Builds the input of the MAC. The length prefix separates the two parts.
fn mac_input(body: &str, account: &str) -> Vec<u8> {
    [&(body.len() as u64).to_be_bytes(), body.as_bytes(), account.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: &str = "ada@example.com";
    const NOW: Timestamp = Timestamp::from_milliseconds(1_700_000_000_000);

    fn key() -> DeviceTokenKey {
        DeviceTokenKey::new([1; 32])
    }

    fn ada() -> UserId {
        ids::derive(&["ada"])
    }

    fn token() -> DeviceToken {
        DeviceToken::issue(ADA, ada(), 1, &Ids::seeded(1), NOW)
    }

    #[test]
    fn token_is_bound_to_user_and_session_epoch() {
        let opened = DeviceToken::open(&token().text(&key()), ADA, &key(), NOW).unwrap();
        assert!(opened.belongs_to(ada(), 1));
        assert!(!opened.belongs_to(ada(), 2) && !opened.belongs_to(ids::derive(&["bob"]), 1));
        assert!(!token().text(&key()).contains(&ada().to_string()));
    }

    #[test]
    fn token_opens_only_under_its_key_and_for_its_account() {
        let text = token().text(&key());
        assert_eq!(text.split('.').count(), 4);
        assert_eq!(DeviceToken::open(&text, ADA, &key(), NOW), Some(token()));
        assert_eq!(DeviceToken::open(&text, ADA, &DeviceTokenKey::new([2; 32]), NOW), None);
        for other in
            ["bob@example.com", "ada@example.co", "ada@example.com ", "Ada@example.com", ""]
        {
            assert_eq!(DeviceToken::open(&text, other, &key(), NOW), None, "{other}");
        }
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
                        DeviceToken::open(&String::from_utf8(forged).unwrap(), ADA, &key(), NOW),
                        None,
                        "{position}"
                    );
                }
            }
        }
        let other =
            DeviceToken::issue(ADA, ada(), 1, &Ids::seeded(100), NOW.plus(Duration::from_secs(1)))
                .text(&key());
        let (mine, theirs): (Vec<&str>, Vec<&str>) =
            (text.split('.').collect(), other.split('.').collect());
        let spliced = format!("{}.{}.{}.{}", theirs[0], mine[1], mine[2], mine[3]);
        let younger = format!("{}.{}.{}.{}", mine[0], theirs[1], mine[2], mine[3]);
        // One part is missing.
        let moved = format!("{}.{}.{}", mine[0], mine[2], mine[3]);
        let with_space = format!("{text} ");
        for invalid in [
            "",
            ".",
            "..",
            "...",
            &spliced,
            &younger,
            &moved,
            &with_space,
            &format!("{text}."),
            &format!("{text}="),
        ] {
            assert_eq!(DeviceToken::open(invalid, ADA, &key(), NOW), None, "{invalid}");
        }
        // Parts move from the token to the account: the length prefix of the MAC input differs.
        let moved_account = format!("{}.{}.{}", mine[1], mine[2], ADA);
        assert_eq!(
            DeviceToken::open(&format!("{}.{}", mine[0], mine[3]), &moved_account, &key(), NOW),
            None
        );
    }

    #[test]
    fn token_expires_after_180_days() {
        let text = token().text(&key());
        let opens = |at: Timestamp| DeviceToken::open(&text, ADA, &key(), at).is_some();
        assert!(opens(NOW.plus(LIFETIME - Duration::from_secs(1))));
        assert!(!opens(NOW.plus(LIFETIME)));
        assert!(!opens(NOW.plus(LIFETIME * 10)));
        // Another instance's clock may be behind.
        assert!(opens(Timestamp::from_milliseconds(NOW.milliseconds() - 60_000)));
    }

    #[test]
    fn longest_token_is_accepted_and_a_longer_one_rejected() {
        for issued in [i64::MAX, i64::MIN] {
            let invalid = DeviceToken { issued, ..token() };
            assert!(invalid.text(&key()).len() <= MAX_BYTES);
            assert_eq!(DeviceToken::open(&invalid.text(&key()), ADA, &key(), NOW), None);
        }
        let last = DeviceToken {
            issued: i64::MAX - i64::try_from(LIFETIME.as_secs()).unwrap(),
            ..token()
        };
        assert!(DeviceToken::open(&last.text(&key()), ADA, &key(), NOW).is_some());
        for invalid in [
            "a".repeat(MAX_BYTES + 1),
            "a.".repeat(100_000),
            format!("{}.{}", ".".repeat(64), "A".repeat(43)),
        ] {
            assert_eq!(DeviceToken::open(&invalid, ADA, &key(), NOW), None);
        }
    }

    #[test]
    fn token_hides_its_owner_and_has_its_own_bucket() {
        let text = token().text(&key());
        assert!(!text.contains("ada") && !text.contains("example"));
        let other = DeviceToken::issue(ADA, ada(), 1, &Ids::seeded(2), NOW);
        assert_ne!(token().device_id(), other.device_id());
        assert_eq!(
            DeviceToken::open(&text, ADA, &key(), NOW).unwrap().device_id(),
            token().device_id()
        );
    }
}
