//! Pages of a list, and the cursors that connect them.
//!
//! A cursor is sealed, so that clients can neither read nor forge it. It is valid for a day, and
//! only for the caller, operation, filter and limit for which it was issued.

use serde::Serialize;

use crate::{
    clock::Timestamp, ids::Ids, problem::Problem, seal::SealingKey, secret::KeyRing,
    validation::Violation,
};

const DEFAULT_LIMIT: u32 = 20;
const MAX_LIMIT: u32 = 100;
const MAX_CURSOR_BYTES: usize = 2048;
const VALID_SECONDS: i64 = 24 * 3600;

/// A page of a list.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// Cursor of the next page; null on the last one.
    pub next_cursor: Option<String>,
}

/// The page that a client requests.
#[derive(Clone, Copy, Debug)]
pub struct PageRequest<'a> {
    /// Maximum number of items, 1 to 100.
    pub limit: u32,
    cursor: Option<&'a str>,
}

impl<'a> PageRequest<'a> {
    pub(super) fn parse(limit: Option<&str>, cursor: Option<&'a str>) -> Result<Self, Violation> {
        let limit = match limit {
            None => DEFAULT_LIMIT,
            Some(text) => {
                let digits = text.bytes().all(|b| b.is_ascii_digit());
                let number =
                    text.parse().ok().filter(|limit| digits && (1..=MAX_LIMIT).contains(limit));
                number.ok_or_else(|| {
                    Violation::out_of_range(format!(
                        "A limit is a whole number from 1 to {MAX_LIMIT}."
                    ))
                })?
            }
        };
        Ok(Self { limit, cursor })
    }

    /// Returns whether the request has a cursor. The key is needed only then, or if there is a next
    /// page.
    pub fn has_cursor(&self) -> bool {
        self.cursor.is_some()
    }

    /// Returns a number that changes at half of a cursor's lifetime. As part of a page's entity tag
    /// it makes a cached page expire before its cursor does.
    pub fn cursor_period(now: Timestamp) -> i64 {
        now.seconds().div_euclid(VALID_SECONDS / 2)
    }

    /// Returns one more than the limit. Querying that many items shows whether there is a next
    /// page.
    pub fn limit_plus_one(&self) -> u32 {
        self.limit + 1
    }

    /// Returns the sort key after which the page begins, or `None` for the first page.
    ///
    /// # Errors
    /// 400 if the cursor is malformed, expired, or issued to another caller or for another list.
    pub fn after(
        &self,
        key: &CursorKey,
        scope: &[&str],
        now: Timestamp,
    ) -> Result<Option<String>, Problem> {
        let Some(cursor) = self.cursor else { return Ok(None) };
        let invalid = || {
            Problem::bad_request("invalid_cursor", "Invalid cursor").detail(
                "Send next_cursor of the previous page of the same list, or start without a cursor.",
            )
        };
        key.open(cursor, &self.scope(scope), now).map(Some).ok_or_else(invalid)
    }

    /// Creates the cursor of the page that begins after the sort key `last`.
    pub fn next(
        &self,
        key: &CursorKey,
        scope: &[&str],
        last: &str,
        now: Timestamp,
        ids: &Ids,
    ) -> String {
        key.seal(last, &self.scope(scope), now, ids)
    }

    /// Encodes unambiguously what a cursor is bound to.
    fn scope(&self, scope: &[&str]) -> String {
        serde_json::to_string(&(scope, self.limit)).expect("texts are JSON")
    }
}

#[cfg(feature = "api-document")]
impl utoipa::IntoParams for PageRequest<'_> {
    fn into_params(
        _: impl Fn() -> Option<utoipa::openapi::path::ParameterIn>,
    ) -> Vec<utoipa::openapi::path::Parameter> {
        use utoipa::openapi::schema::{ObjectBuilder, Type};

        let limit = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1))
            .maximum(Some(MAX_LIMIT));
        let limit = limit.default(Some(DEFAULT_LIMIT.into()));
        let cursor =
            ObjectBuilder::new().schema_type(Type::String).max_length(Some(MAX_CURSOR_BYTES));
        vec![
            crate::api_document::query("limit", limit, "Maximum number of items on a page."),
            crate::api_document::query(
                "cursor",
                cursor,
                "`next_cursor` of the previous page. Valid for a day, for the same caller, filter and limit.",
            ),
        ]
    }
}

#[derive(Clone)]
pub struct CursorKey(KeyRing<SealingKey>);

impl CursorKey {
    /// Creates a key from a ring of 256-bit keys; see [`crate::secret::Secrets::keys`].
    pub fn new(keys: KeyRing<[u8; 32]>) -> Self {
        Self(keys.map(SealingKey::new))
    }

    fn seal(&self, last: &str, scope: &str, now: Timestamp, ids: &Ids) -> String {
        let expires = now.seconds() + VALID_SECONDS;
        self.0.active().seal(&format!("{expires} {last}"), &[scope], ids)
    }

    fn open(&self, cursor: &str, scope: &str, now: Timestamp) -> Option<String> {
        if cursor.len() > MAX_CURSOR_BYTES {
            return None;
        }
        let plain = self.0.open(|key| key.open(cursor, &[scope]))?;
        let (expires, last) = plain.split_once(' ')?;
        (now.seconds() < expires.parse().ok()?).then(|| last.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn cursor_opens_only_for_its_caller_filter_and_limit() {
        let (key, now, ids) =
            (CursorKey::new(KeyRing::of([7; 32])), Timestamp::from_milliseconds(0), Ids::seeded(1));
        let page = |limit| PageRequest { limit, cursor: None };
        let cursor = page(20).next(&key, &["list-orders", "usr_a", "pending"], "2026#x", now, &ids);
        let open = |cursor: &str, limit, scope: &[&str], now| {
            PageRequest { limit, cursor: Some(cursor) }.after(&key, scope, now).ok().flatten()
        };
        let scope = ["list-orders", "usr_a", "pending"];
        assert_eq!(open(&cursor, 20, &scope, now), Some("2026#x".to_owned()));
        assert_eq!(open(&cursor, 21, &scope, now), None, "another limit");
        assert_eq!(
            open(&cursor, 20, &["list-orders", "usr_b", "pending"], now),
            None,
            "another caller"
        );
        assert_eq!(
            open(&cursor, 20, &scope, now.plus(Duration::from_secs(90_000))),
            None,
            "expired"
        );
        for position in 0..cursor.len() {
            let mut forged = cursor.clone().into_bytes();
            forged[position] = if forged[position] == b'A' { b'B' } else { b'A' };
            assert_eq!(open(&String::from_utf8_lossy(&forged), 20, &scope, now), None);
        }
        for invalid in ["", "x", &"A".repeat(10_240), "eyJwayI6IngifQ"] {
            assert_eq!(open(invalid, 20, &scope, now), None);
        }
    }

    #[test]
    fn limits_outside_1_to_100_are_rejected() {
        for text in ["0", "-1", "101", "1000000000", "abc", "", "+5", "99999999999999999999"] {
            assert!(PageRequest::parse(Some(text), None).is_err(), "{text}");
        }
        assert_eq!(PageRequest::parse(None, None).map(|page| page.limit), Ok(20));
        assert_eq!(PageRequest::parse(Some("100"), None).map(|page| page.limit), Ok(100));
    }
}
