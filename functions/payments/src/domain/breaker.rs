//! The breaker before a provider: while the provider does not answer it is left alone, and nobody waits for it.
//!
//! Its state is a record like the others, so that all instances see the same one. A provider that refuses or declines is one that answers.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::{clock::Timestamp, stored_enum};

use super::Lock;

/// After so many calls in a row without an answer, within [`FAILING_WITHIN`], the provider is left alone.
const FAILURES: u32 = 5;

/// Failures that lie further apart are no trouble of the provider's.
const FAILING_WITHIN: Duration = Duration::from_secs(60);

/// For how long it is left alone.
const OPEN_FOR: Duration = Duration::from_secs(30);

/// How long the one call may take that finds out whether it answers again.
const PROBE: Duration = Duration::from_secs(15);

stored_enum!(
    /// Whether the provider is asked.
    BreakerState {
        /// It is.
        Closed = "closed",
        /// It is left alone.
        Open = "open",
        /// One call finds out whether it answers again.
        HalfOpen = "half_open",
    }
);

/// The breaker before one provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Breaker {
    /// The provider.
    pub provider: String,
    /// Whether it is asked.
    pub state: BreakerState,
    /// How many calls in a row had no answer.
    pub failures: u32,
    /// When the first of them was.
    #[serde(default)]
    pub failing_since: Option<Timestamp>,
    /// When it was opened last.
    #[serde(default)]
    pub opened_at: Option<Timestamp>,
    /// The lock of the one call that finds out whether it answers again.
    #[serde(flatten, with = "stored_probe")]
    pub probe: Option<Lock>,
    /// Counts the writes of this record.
    pub version: u64,
    /// When it was last written.
    pub updated_at: Timestamp,
}

/// The lock of the probe as it is stored: under names of its own.
mod stored_probe {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use shared::clock::Timestamp;

    use super::Lock;

    #[derive(Serialize, Deserialize)]
    struct Stored {
        #[serde(default)]
        probe_owner: Option<String>,
        #[serde(default)]
        probe_until: Option<Timestamp>,
    }

    pub(super) fn serialize<S: Serializer>(probe: &Option<Lock>, serializer: S) -> Result<S::Ok, S::Error> {
        let (probe_owner, probe_until) = probe.clone().map(|lock| (lock.owner, lock.until)).unzip();
        Stored { probe_owner, probe_until }.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Lock>, D::Error> {
        let Stored { probe_owner, probe_until } = Stored::deserialize(deserializer)?;
        Ok(probe_owner.zip(probe_until).map(|(owner, until)| Lock { owner, until }))
    }
}

/// What the breaker says to somebody who wants to ask the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stance {
    /// Ask.
    Closed,
    /// Ask, but only if nobody else does: say so first.
    Probe,
    /// Do not ask before this moment.
    Open {
        /// When it is worth coming back.
        until: Timestamp,
    },
}

impl Breaker {
    /// The breaker of a provider about which nothing is recorded.
    pub fn unused(provider: &str, now: Timestamp) -> Self {
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

    /// Whether the provider may be asked.
    pub fn stance(&self, now: Timestamp) -> Stance {
        let (until, at_most) = match self.state {
            BreakerState::Open => (self.opened_at.map(|opened| opened.plus(OPEN_FOR)), OPEN_FOR),
            BreakerState::HalfOpen => (self.probe.as_ref().map(|probe| probe.until), PROBE),
            // What a newer release wrote is nothing to keep money waiting for.
            BreakerState::Closed | BreakerState::Unknown(_) => return Stance::Closed,
        };
        // A record from another clock keeps nobody waiting for longer than it could itself.
        match until {
            Some(until) if now < until && until <= now.plus(at_most) => Stance::Open { until },
            _ => Stance::Probe,
        }
    }

    /// The breaker once `owner` makes the one call.
    #[must_use]
    pub fn probed_by(&self, owner: &str, now: Timestamp) -> Self {
        Self { state: BreakerState::HalfOpen, probe: Some(Lock::of(owner, now, PROBE)), ..self.written(now) }
    }

    /// The breaker after a call of `owner` that had an answer; `None` where that is nothing new.
    pub fn after_answer(&self, owner: &str, now: Timestamp) -> Option<Self> {
        let news = match self.state {
            BreakerState::Closed => self.failures > 0,
            BreakerState::HalfOpen => self.is_probed_by(owner),
            // A call that began before says nothing of what has been since.
            BreakerState::Open | BreakerState::Unknown(_) => false,
        };
        news.then(|| Self { version: self.version + 1, ..Self::unused(&self.provider, now) })
    }

    /// The breaker after a call of `owner` that had no answer; `None` where that is nothing new.
    pub fn after_silence(&self, owner: &str, now: Timestamp) -> Option<Self> {
        let opened = |failures| Self { state: BreakerState::Open, failures, opened_at: Some(now), probe: None, ..self.written(now) };
        match self.state {
            BreakerState::Closed => {
                let goes_on = self.failing_since.is_some_and(|since| now.since(since) < FAILING_WITHIN);
                let (failures, since) = if goes_on { (self.failures + 1, self.failing_since) } else { (1, Some(now)) };
                let failing = Self { failures, failing_since: since, ..self.written(now) };
                Some(if failures >= FAILURES { Self { failing_since: since, ..opened(failures) } } else { failing })
            }
            BreakerState::HalfOpen => self.is_probed_by(owner).then(|| opened(self.failures)),
            BreakerState::Open | BreakerState::Unknown(_) => None,
        }
    }

    /// Whether the provider is left alone.
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
        (0..FAILURES).fold(Breaker::unused("double", at), |breaker, _| breaker.after_silence("me", at).expect("news"))
    }

    #[test]
    fn five_silences_in_a_row_within_a_minute_open_it() {
        let mut breaker = Breaker::unused("double", NOW);
        for number in 1..5 {
            breaker = breaker.after_silence("me", seconds(number * 10)).expect("news");
            assert_eq!((breaker.stance(NOW), breaker.failures), (Stance::Closed, u32::try_from(number).expect("small")));
        }
        let open = breaker.after_silence("me", seconds(69)).expect("news");
        assert_eq!((open.is_open(), open.version), (true, 5));
        let slower = breaker.after_silence("me", seconds(70)).expect("news");
        assert_eq!((slower.is_open(), slower.failures), (false, 1), "they lie too far apart");
        let answered = breaker.after_answer("me", NOW).expect("news");
        assert_eq!((answered.failures, answered.failing_since), (0, None));
        assert_eq!(answered.after_answer("me", NOW), None, "a provider that answers costs no write");
    }

    #[test]
    fn an_open_one_lets_one_call_through_after_half_a_minute() {
        let open = opened(NOW);
        assert_eq!(open.stance(seconds(29)), Stance::Open { until: seconds(30) });
        assert_eq!((open.after_silence("late", seconds(1)), open.after_answer("late", seconds(1))), (None, None));
        assert_eq!(open.stance(seconds(30)), Stance::Probe);
        let probed = open.probed_by("me", seconds(30));
        assert_eq!(probed.stance(seconds(31)), Stance::Open { until: seconds(45) });
        assert_eq!(probed.stance(seconds(45)), Stance::Probe, "whoever probed has died");
        assert_eq!((probed.after_silence("late", seconds(31)), probed.after_answer("late", seconds(31))), (None, None));
        assert!(probed.after_silence("me", seconds(38)).expect("news").stance(seconds(67)) == Stance::Open { until: seconds(68) });
        assert_eq!(probed.after_answer("me", seconds(31)).expect("news").stance(seconds(31)), Stance::Closed);
    }

    #[test]
    fn a_record_of_another_clock_or_release_keeps_no_money_waiting() {
        assert_eq!(opened(seconds(3600)).stance(NOW), Stance::Probe);
        let odd = Breaker { state: BreakerState::from("ajar".to_owned()), ..opened(NOW) };
        assert_eq!((odd.stance(NOW), odd.after_silence("me", NOW)), (Stance::Closed, None));
    }
}
