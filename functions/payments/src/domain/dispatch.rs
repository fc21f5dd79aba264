//! Tracks the sending of a record to the provider: lock, time of sending, checks and next check.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::{clock::Timestamp, retry};

/// Lets one function call the provider about a record. No other function calls until the lock
/// expires.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lock {
    /// Unique to each caller, so that a caller recognizes its own write.
    #[serde(rename = "lock_owner")]
    pub owner: String,
    #[serde(rename = "lock_until")]
    pub until: Timestamp,
}

impl Lock {
    pub fn of(owner: &str, now: Timestamp, time: Duration) -> Self {
        Self { owner: owner.to_owned(), until: now.plus(time) }
    }

    /// Whether the lock has not expired.
    pub fn is_held(&self, now: Timestamp) -> bool {
        now < self.until
    }

    /// Whether `owner` holds or held the lock.
    pub fn is_of(&self, owner: &str) -> bool {
        self.owner == owner
    }
}

/// The sending state of an attempt or refund. Each field is an attribute of the stored record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dispatch {
    #[serde(flatten)]
    pub lock: Lock,
    /// Time of the first send; it determines the age of the idempotency key.
    #[serde(default)]
    pub sent_at: Option<Timestamp>,
    /// Number of checks since the first send.
    #[serde(default)]
    pub checks: u32,
    /// Time of the next check. Set as long as the outcome is unknown.
    #[serde(default)]
    pub next_check_at: Option<Timestamp>,
}

impl Dispatch {
    /// The state of an unsent record, with its first check.
    pub fn unsent(lock: Lock, next_check_at: Timestamp) -> Self {
        Self { lock, sent_at: None, checks: 0, next_check_at: Some(next_check_at) }
    }

    /// Age of the idempotency key; zero if the record was never sent.
    pub fn key_age(&self, now: Timestamp) -> Duration {
        self.sent_at.map_or(Duration::ZERO, |sent_at| now.since(sent_at))
    }

    /// The state when `owner` sends the record, for the first time or again under the same key. The
    /// duration `lock` exceeds the duration of the call. The record is checked when the lock
    /// expires: if no outcome is recorded by then, the calling function has crashed.
    #[must_use]
    pub fn sent_by(&self, owner: &str, now: Timestamp, lock: Duration) -> Self {
        let lock = Lock::of(owner, now, lock);
        Self {
            next_check_at: Some(lock.until),
            sent_at: self.sent_at.or(Some(now)),
            lock,
            ..self.clone()
        }
    }

    /// The state without a lock.
    #[must_use]
    pub fn released(&self, now: Timestamp) -> Self {
        Self { lock: Lock { until: now, ..self.lock.clone() }, ..self.clone() }
    }

    /// The state after a check without an outcome. The delay doubles with each check; a `deadline`
    /// that comes earlier is used instead.
    #[must_use]
    pub fn checked(
        &self,
        deadline: Option<Timestamp>,
        now: Timestamp,
        first_retry: Duration,
    ) -> Self {
        let next = now.plus(retry::exponential_backoff(self.checks, first_retry));
        let in_time = deadline.filter(|deadline| now < *deadline && *deadline < next);
        Self {
            checks: self.checks + 1,
            next_check_at: Some(in_time.unwrap_or(next)),
            ..self.clone()
        }
    }

    /// The state with the next check after a fixed delay.
    #[must_use]
    pub fn checked_after(&self, wait: Duration, now: Timestamp) -> Self {
        Self { next_check_at: Some(now.plus(wait)), ..self.clone() }
    }

    /// The state after the outcome is known: no lock and no further check.
    #[must_use]
    pub fn settled(&self, now: Timestamp) -> Self {
        Self { next_check_at: None, ..self.released(now) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::domain::{
        Attempt, Breaker,
        model::{MINUTE, NOW, attempt},
    };

    #[test]
    fn dispatch_fields_are_attributes_of_the_stored_record() {
        let sent = attempt(0).sending("me", NOW, MINUTE);
        let stored = serde_json::to_value(&sent).expect("a record");
        let until = NOW.plus(MINUTE);
        for (name, value) in [
            ("lock_owner", json!("me")),
            ("lock_until", json!(until)),
            ("sent_at", json!(NOW)),
            ("checks", json!(0)),
            ("next_check_at", json!(until)),
        ] {
            assert_eq!(stored[name], value, "{name}");
        }
        assert_eq!((stored.get("dispatch"), stored.get("lock")), (None, None));
        assert_eq!(serde_json::from_value::<Attempt>(stored).expect("a record"), sent);
    }

    #[test]
    fn probe_lock_is_stored_in_its_own_attributes() {
        let unused = Breaker::new("double", NOW);
        let probed = unused.start_probe("me", NOW);
        let stored = serde_json::to_value(&probed).expect("a record");
        assert_eq!(
            (&stored["probe_owner"], stored["probe_until"].is_string()),
            (&json!("me"), true)
        );
        assert_eq!((stored.get("probe"), stored.get("lock_owner")), (None, None));
        assert_eq!(serde_json::from_value::<Breaker>(stored).expect("a record"), probed);
        let mut stored = serde_json::to_value(&unused).expect("a record");
        assert_eq!(stored["probe_owner"], Value::Null);
        // DynamoDB items omit null attributes.
        stored.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
        assert_eq!(serde_json::from_value::<Breaker>(stored).expect("a record"), unused);
    }
}
