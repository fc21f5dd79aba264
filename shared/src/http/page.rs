//! Pages of a list, and the cursor that leads from one to the next.
//!
//! A cursor is sealed (AES-256-GCM): it can be neither read nor made up, and opens only for the caller, operation, filter and limit
//! that it was given to, for a day.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::Serialize;

use crate::{clock::Timestamp, ids::Ids, problem::Problem, validation::Violation};

const DEFAULT_LIMIT: u32 = 20;
const MAX_LIMIT: u32 = 100;
const MAX_CURSOR_BYTES: usize = 2048;
const VALID_SECONDS: i64 = 24 * 3600;

/// A page of a list.
#[derive(Clone, Debug, Serialize)]
pub struct Page<T> {
    /// What the list holds.
    pub items: Vec<T>,
    /// Leads to the next page; null on the last one.
    pub next_cursor: Option<String>,
}

/// Which page is asked for.
#[derive(Clone, Copy, Debug)]
pub struct PageRequest<'a> {
    /// How many items, 1 to 100.
    pub limit: u32,
    cursor: Option<&'a str>,
}

impl<'a> PageRequest<'a> {
    pub(super) fn parse(limit: Option<&str>, cursor: Option<&'a str>) -> Result<Self, Violation> {
        let limit = match limit {
            None => DEFAULT_LIMIT,
            Some(text) => {
                let digits = text.bytes().all(|b| b.is_ascii_digit());
                let number = text.parse().ok().filter(|limit| digits && (1..=MAX_LIMIT).contains(limit));
                number.ok_or_else(|| Violation::out_of_range(format!("A limit is a whole number from 1 to {MAX_LIMIT}.")))?
            }
        };
        Ok(Self { limit, cursor })
    }

    /// Whether a cursor came with the request: only then, or for a next page, is the key needed.
    pub fn has_cursor(&self) -> bool {
        self.cursor.is_some()
    }

    /// One more than the limit: asking for it shows whether there is a next page.
    pub fn limit_and_one(&self) -> u32 {
        self.limit + 1
    }

    /// The sort key that the page begins after: `None` for the first page.
    ///
    /// # Errors
    /// 400 for a cursor that is not one, has expired, or was given to somebody else or for another list.
    pub fn after(&self, key: &CursorKey, scope: &[&str], now: Timestamp) -> Result<Option<String>, Problem> {
        let Some(cursor) = self.cursor else { return Ok(None) };
        let invalid = || {
            Problem::bad_request("invalid_cursor", "The cursor cannot be used")
                .detail("Take next_cursor from the last page of the same list, or begin without one.")
        };
        key.open(cursor, &self.scope(scope), now).map(Some).ok_or_else(invalid)
    }

    /// The cursor of the page after the one that ends at the sort key `last`.
    pub fn next(&self, key: &CursorKey, scope: &[&str], last: &str, now: Timestamp, ids: &Ids) -> String {
        key.seal(last, &self.scope(scope), now, ids)
    }

    /// What a cursor is bound to, unambiguously.
    fn scope(&self, scope: &[&str]) -> Vec<u8> {
        serde_json::to_vec(&(scope, self.limit)).expect("texts are JSON")
    }
}

/// The key that seals the cursors of one service.
#[derive(Clone)]
pub struct CursorKey(LessSafeKey);

impl CursorKey {
    /// A key of 256 bits; see [`crate::secret::Secrets::key`].
    pub fn new(key: [u8; 32]) -> Self {
        Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).expect("AES-256 takes 32 bytes")))
    }

    fn seal(&self, last: &str, scope: &[u8], now: Timestamp, ids: &Ids) -> String {
        let nonce: [u8; NONCE_LEN] = ids.bytes();
        let expires = now.seconds() + VALID_SECONDS;
        let mut sealed = [&expires.to_be_bytes()[..], last.as_bytes()].concat();
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(scope), &mut sealed)
            .expect("a sort key is short enough to seal");
        BASE64_URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat())
    }

    fn open(&self, cursor: &str, scope: &[u8], now: Timestamp) -> Option<String> {
        if cursor.len() > MAX_CURSOR_BYTES {
            return None;
        }
        let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.0.open_in_place(nonce, Aad::from(scope), sealed).ok()?;
        let (expires, last) = plain.split_at_checked(8)?;
        let valid = now.seconds() < i64::from_be_bytes(expires.try_into().ok()?);
        valid.then(|| String::from_utf8(last.to_vec()).ok())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_cursor_opens_only_where_it_was_given() {
        let (key, now, ids) = (CursorKey::new([7; 32]), Timestamp::from_milliseconds(0), Ids::seeded(1));
        let page = |limit| PageRequest { limit, cursor: None };
        let cursor = page(20).next(&key, &["list-orders", "usr_a", "pending"], "2026#x", now, &ids);
        let open =
            |cursor: &str, limit, scope: &[&str], now| PageRequest { limit, cursor: Some(cursor) }.after(&key, scope, now).ok().flatten();
        let scope = ["list-orders", "usr_a", "pending"];
        assert_eq!(open(&cursor, 20, &scope, now), Some("2026#x".to_owned()));
        assert_eq!(open(&cursor, 21, &scope, now), None, "another limit");
        assert_eq!(open(&cursor, 20, &["list-orders", "usr_b", "pending"], now), None, "another caller");
        assert_eq!(open(&cursor, 20, &scope, now.plus(Duration::from_secs(90_000))), None, "expired");
        for position in 0..cursor.len() {
            let mut forged = cursor.clone().into_bytes();
            forged[position] = if forged[position] == b'A' { b'B' } else { b'A' };
            assert_eq!(open(&String::from_utf8_lossy(&forged), 20, &scope, now), None);
        }
        for odd in ["", "x", &"A".repeat(10_240), "eyJwayI6IngifQ"] {
            assert_eq!(open(odd, 20, &scope, now), None);
        }
    }

    #[test]
    fn limits_outside_one_to_a_hundred_are_refused() {
        for text in ["0", "-1", "101", "1000000000", "abc", "", "+5", "99999999999999999999"] {
            assert!(PageRequest::parse(Some(text), None).is_err(), "{text}");
        }
        assert_eq!(PageRequest::parse(None, None).map(|page| page.limit), Ok(20));
        assert_eq!(PageRequest::parse(Some("100"), None).map(|page| page.limit), Ok(100));
    }
}
