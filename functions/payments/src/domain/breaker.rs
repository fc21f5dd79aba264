//! State of the circuit breaker: it blocks calls to a provider that does not answer.
//!
//! The state is a stored record, so that all instances share it. A decline or a rejected request is
//! an answer and does not count as a failure.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::{clock::Timestamp, stored_enum};

use super::Lock;

/// Consecutive failures within [`FAILURE_WINDOW`] that open the breaker.
const FAILURE_THRESHOLD: u32 = 5;

/// Time window in which failures are counted together.
const FAILURE_WINDOW: Duration = Duration::from_secs(60);

/// How long the breaker stays open before it allows a probe.
const OPEN_FOR: Duration = Duration::from_secs(30);

/// Time after which another probe may replace one that has not reported an outcome.
const PROBE_TIMEOUT: Duration = Duration::from_secs(15);

stored_enum!(
    /// State of the circuit breaker.
    BreakerState {
        Closed = "closed",
        /// Calls are rejected, until the probe.
        Open = "open",
        /// One probe call is in progress; other calls are rejected.
        HalfOpen = "half_open",
    }
);

/// The circuit breaker of one provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Breaker {
    pub provider: String,
    pub state: BreakerState,
    /// Consecutive calls without an answer.
    pub failures: u32,
    /// Time of the first of these failures.
    #[serde(default)]
    pub failing_since: Option<Timestamp>,
    #[serde(default)]
    pub opened_at: Option<Timestamp>,
    /// Lock of the probe call.
    #[serde(flatten, with = "stored_probe")]
    pub probe: Option<Lock>,
    /// Number of writes of this record.
    pub version: u64,
    pub updated_at: Timestamp,
}

/// Stores the lock of the probe under its own attribute names.
mod stored_probe {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use shared::clock::Timestamp;

    use super::Lock;

    #[derive(Serialize, Deserialize)]
    struct ProbeAttributes {
        #[serde(default)]
        probe_owner: Option<String>,
        #[serde(default)]
        probe_until: Option<Timestamp>,
    }

    pub(super) fn serialize<S: Serializer>(
        probe: &Option<Lock>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let (probe_owner, probe_until) = probe.clone().map(|lock| (lock.owner, lock.until)).unzip();
        ProbeAttributes { probe_owner, probe_until }.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Lock>, D::Error> {
        let ProbeAttributes { probe_owner, probe_until } =
            ProbeAttributes::deserialize(deserializer)?;
        Ok(probe_owner.zip(probe_until).map(|(owner, until)| Lock { owner, until }))
    }
}

/// Whether a call may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerDecision {
    Allow,
    /// The call may start as the probe, once its lock is recorded.
    Probe,
    /// No call may start before `until`.
    Reject {
        until: Timestamp,
    },
}

impl Breaker {
    /// A closed breaker, for a provider without a record.
    pub fn new(provider: &str, now: Timestamp) -> Self {
        Self {
            provider: provider.to_owned(),
            state: BreakerState::Closed,
            failures: 0,
            failing_since: None,
            opened_at: None,
            probe: None,
            version: 0,
            updated_at: now,
        }
    }

    /// Decides whether a call may start.
    pub fn decide(&self, now: Timestamp) -> BreakerDecision {
        let (until, at_most) = match self.state {
            BreakerState::Open => (self.opened_at.map(|opened| opened.plus(OPEN_FOR)), OPEN_FOR),
            BreakerState::HalfOpen => (self.probe.as_ref().map(|probe| probe.until), PROBE_TIMEOUT),
            // An unknown state of a newer release must not block payments.
            BreakerState::Closed | BreakerState::Unknown(_) => return BreakerDecision::Allow,
        };
        // A time too far in the future comes from a skewed clock. It must not block calls for
        // longer than the state allows.
        match until {
            Some(until) if now < until && until <= now.plus(at_most) => {
                BreakerDecision::Reject { until }
            }
            _ => BreakerDecision::Probe,
        }
    }

    #[must_use]
    pub fn start_probe(&self, owner: &str, now: Timestamp) -> Self {
        Self {
            state: BreakerState::HalfOpen,
            probe: Some(Lock::of(owner, now, PROBE_TIMEOUT)),
            ..self.written(now)
        }
    }

    /// The breaker after an answered call of `owner`; `None` if nothing changes.
    pub fn after_response(&self, owner: &str, now: Timestamp) -> Option<Self> {
        let has_changed = match self.state {
            BreakerState::Closed => self.failures > 0,
            BreakerState::HalfOpen => self.is_probed_by(owner),
            // The call started before the breaker opened, so it does not show the provider's
            // current health.
            BreakerState::Open | BreakerState::Unknown(_) => false,
        };
        has_changed.then(|| Self { version: self.version + 1, ..Self::new(&self.provider, now) })
    }

    /// The breaker after an unanswered call of `owner`; `None` if nothing changes.
    pub fn after_timeout(&self, owner: &str, now: Timestamp) -> Option<Self> {
        let opened = |failures| Self {
            state: BreakerState::Open,
            failures,
            opened_at: Some(now),
            probe: None,
            ..self.written(now)
        };
        match self.state {
            BreakerState::Closed => {
                let in_window =
                    self.failing_since.is_some_and(|since| now.since(since) < FAILURE_WINDOW);
                let (failures, since) = if in_window {
                    (self.failures + 1, self.failing_since)
                } else {
                    (1, Some(now))
                };
                let failing = Self { failures, failing_since: since, ..self.written(now) };
                Some(if failures >= FAILURE_THRESHOLD {
                    Self { failing_since: since, ..opened(failures) }
                } else {
                    failing
                })
            }
            BreakerState::HalfOpen => self.is_probed_by(owner).then(|| opened(self.failures)),
            BreakerState::Open | BreakerState::Unknown(_) => None,
        }
    }

    pub fn is_open(&self) -> bool {
        self.state == BreakerState::Open
    }

    fn is_probed_by(&self, owner: &str) -> bool {
        self.probe.as_ref().is_some_and(|probe| probe.is_of(owner))
    }

    fn written(&self, now: Timestamp) -> Self {
        Self { version: self.version + 1, updated_at: now, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::NOW;

    fn seconds(seconds: u64) -> Timestamp {
        NOW.plus(Duration::from_secs(seconds))
    }

    /// A breaker that was opened at `at`.
    fn opened(at: Timestamp) -> Breaker {
        (0..FAILURE_THRESHOLD).fold(Breaker::new("double", at), |breaker, _| {
            breaker.after_timeout("me", at).expect("a change")
        })
    }

    #[test]
    fn five_timeouts_within_a_minute_open_the_breaker() {
        let mut breaker = Breaker::new("double", NOW);
        for number in 1..5 {
            breaker = breaker.after_timeout("me", seconds(number * 10)).expect("a change");
            assert_eq!(
                (breaker.decide(NOW), breaker.failures),
                (BreakerDecision::Allow, u32::try_from(number).expect("a small number"))
            );
        }
        let open = breaker.after_timeout("me", seconds(69)).expect("a change");
        assert_eq!((open.is_open(), open.version), (true, 5));
        let slower = breaker.after_timeout("me", seconds(70)).expect("a change");
        assert_eq!(
            (slower.is_open(), slower.failures),
            (false, 1),
            "the failures are too far apart"
        );
        let answered = breaker.after_response("me", NOW).expect("a change");
        assert_eq!((answered.failures, answered.failing_since), (0, None));
        assert_eq!(
            answered.after_response("me", NOW),
            None,
            "an answer without earlier failures needs no write"
        );
    }

    #[test]
    fn open_breaker_allows_one_probe_after_thirty_seconds() {
        let open = opened(NOW);
        assert_eq!(open.decide(seconds(29)), BreakerDecision::Reject { until: seconds(30) });
        assert_eq!(
            (open.after_timeout("late", seconds(1)), open.after_response("late", seconds(1))),
            (None, None)
        );
        assert_eq!(open.decide(seconds(30)), BreakerDecision::Probe);
        let probed = open.start_probe("me", seconds(30));
        assert_eq!(probed.decide(seconds(31)), BreakerDecision::Reject { until: seconds(45) });
        assert_eq!(
            probed.decide(seconds(45)),
            BreakerDecision::Probe,
            "a probe without an outcome is replaced"
        );
        assert_eq!(
            (probed.after_timeout("late", seconds(31)), probed.after_response("late", seconds(31))),
            (None, None)
        );
        assert!(
            probed.after_timeout("me", seconds(38)).expect("a change").decide(seconds(67))
                == BreakerDecision::Reject { until: seconds(68) }
        );
        assert_eq!(
            probed.after_response("me", seconds(31)).expect("a change").decide(seconds(31)),
            BreakerDecision::Allow
        );
    }

    #[test]
    fn breaker_with_a_future_time_or_unknown_state_blocks_no_call() {
        assert_eq!(opened(seconds(3600)).decide(NOW), BreakerDecision::Probe);
        let unknown = Breaker { state: BreakerState::from("ajar".to_owned()), ..opened(NOW) };
        assert_eq!(
            (unknown.decide(NOW), unknown.after_timeout("me", NOW)),
            (BreakerDecision::Allow, None)
        );
    }
}
