//! What was sent to the provider about a record: who sends it, since when, how often its outcome
//! was checked, and when the next check is due.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::{clock::Timestamp, retry};

/// The right of one function to call the provider: until it expires no other function calls about
/// the same record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lock {
    /// Who calls: differs for each caller, so that each recognizes its own write.
    #[serde(rename = "lock_owner")]
    pub owner: String,
    /// When it expires.
    #[serde(rename = "lock_until")]
    pub until: Timestamp,
}

impl Lock {
    /// The lock of `owner`, from `now` on.
    pub fn of(owner: &str, now: Timestamp, time: Duration) -> Self {
        Self { owner: owner.to_owned(), until: now.plus(time) }
    }

    /// Whether it has not expired.
    pub fn is_held(&self, now: Timestamp) -> bool {
        now < self.until
    }

    /// Whether `owner` took it.
    pub fn is_of(&self, owner: &str) -> bool {
        self.owner == owner
    }
}

/// What was sent about an attempt or a refund. Each member is an attribute of the stored record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dispatch {
    /// Who sends, and until when nobody else does.
    #[serde(flatten)]
    pub lock: Lock,
    /// When it was sent first: the age of its idempotency key.
    #[serde(default)]
    pub sent_at: Option<Timestamp>,
    /// How often its outcome was checked since.
    #[serde(default)]
    pub checks: u32,
    /// When it is checked next: set as long as its outcome is not known.
    #[serde(default)]
    pub next_check_at: Option<Timestamp>,
}

impl Dispatch {
    /// Of a record that was not sent yet, and that is checked after this time.
    pub fn unsent(lock: Lock, next_check_at: Timestamp) -> Self {
        Self { lock, sent_at: None, checks: 0, next_check_at: Some(next_check_at) }
    }

    /// How old the idempotency key is.
    pub fn key_age(&self, now: Timestamp) -> Duration {
        self.sent_at.map_or(Duration::ZERO, |sent_at| now.since(sent_at))
    }

    /// Once `owner` sends it, for the first time or again under the same key. `lock` is longer than
    /// the call takes. It is checked as soon as the lock has expired: a call whose outcome was not
    /// recorded by then has lost its function.
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

    /// Without a lock.
    #[must_use]
    pub fn released(&self, now: Timestamp) -> Self {
        Self { lock: Lock { until: now, ..self.lock.clone() }, ..self.clone() }
    }

    /// After a check that did not find the outcome: the next one comes after twice the wait, but no
    /// later than `deadline`.
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

    /// Checked again at a fixed time.
    #[must_use]
    pub fn checked_after(&self, wait: Duration, now: Timestamp) -> Self {
        Self { next_check_at: Some(now.plus(wait)), ..self.clone() }
    }

    /// Once the outcome is known: without a lock, and without a next check.
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
        // A table stores no NULL.
        stored.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
        assert_eq!(serde_json::from_value::<Breaker>(stored).expect("a record"), unused);
    }
}
