//! Sealed texts (AES-256-GCM): clients can neither read nor forge them, and they open only in the
//! context for which they were sealed.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::ids::Ids;

#[derive(Clone)]
pub struct SealingKey(LessSafeKey);

impl SealingKey {
    /// Creates a key from 256 bits; see [`crate::secret::Secrets::keys`].
    ///
    /// # Panics
    /// Never: AES-256 accepts any 32 bytes.
    pub fn new(key: [u8; 32]) -> Self {
        Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).expect("AES-256 takes 32 bytes")))
    }

    /// Seals `plain` for `context` and encodes it as base64url. A random nonce makes each result
    /// different.
    ///
    /// # Panics
    /// If the text has 64 GiB or more.
    pub fn seal(&self, plain: &str, context: &[&str], ids: &Ids) -> String {
        let nonce: [u8; NONCE_LEN] = ids.bytes();
        let mut sealed = plain.as_bytes().to_vec();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(associated(context)),
                &mut sealed,
            )
            .expect("the text is short enough to seal");
        BASE64_URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat())
    }

    /// Opens a text. Returns `None` unless it was sealed with this key and for this context.
    pub fn open(&self, sealed: &str, context: &[&str]) -> Option<String> {
        let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.0.open_in_place(nonce, Aad::from(associated(context)), sealed).ok()?;
        String::from_utf8(plain.to_vec()).ok()
    }
}

/// Encodes the context unambiguously: two different contexts never have the same encoding.
fn associated(context: &[&str]) -> Vec<u8> {
    serde_json::to_vec(context).expect("texts are JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_text_opens_only_with_its_key_and_context() {
        let (key, ids) = (SealingKey::new([1; 32]), Ids::seeded(1));
        let sealed = key.seal("a secret", &["reset", "usr_1"], &ids);
        assert_eq!(key.open(&sealed, &["reset", "usr_1"]).as_deref(), Some("a secret"));
        assert_eq!(key.open(&sealed, &["reset", "usr_2"]), None);
        assert_eq!(key.open(&sealed, &["resetusr_1"]), None);
        assert_eq!(SealingKey::new([2; 32]).open(&sealed, &["reset", "usr_1"]), None);
        assert_ne!(sealed, key.seal("a secret", &["reset", "usr_1"], &ids));
        for position in 0..sealed.len() {
            let mut forged = sealed.clone().into_bytes();
            forged[position] = if forged[position] == b'A' { b'B' } else { b'A' };
            assert_eq!(
                key.open(&String::from_utf8_lossy(&forged), &["reset", "usr_1"]),
                None,
                "{position}"
            );
        }
        for invalid in ["", "x", "AAAA", "\u{e9}"] {
            assert_eq!(key.open(invalid, &["reset", "usr_1"]), None);
        }
    }
}
