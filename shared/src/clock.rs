//! Timestamps and the clock. Only this module reads the system time, so that tests can replace it.

use std::{
    fmt,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A UTC timestamp with millisecond precision.
///
/// Its text is RFC 3339 of fixed width (`2026-11-21T09:48:49.123Z`), so that texts sort
/// chronologically. Index keys rely on this.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    milliseconds: i64,
}

impl Timestamp {
    /// Creates a timestamp from milliseconds since 1970-01-01T00:00:00Z.
    pub const fn from_milliseconds(milliseconds: i64) -> Self {
        Self { milliseconds }
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub const fn milliseconds(self) -> i64 {
        self.milliseconds
    }

    /// Whole seconds since 1970-01-01T00:00:00Z, the unit of DynamoDB's TTL and of JWT claims.
    pub const fn seconds(self) -> i64 {
        self.milliseconds.div_euclid(1000)
    }

    pub fn plus(self, duration: Duration) -> Self {
        let later = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self { milliseconds: self.milliseconds.saturating_add(later) }
    }

    /// Returns the time elapsed since `earlier`, or zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.milliseconds - earlier.milliseconds).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment =
            jiff::Timestamp::from_millisecond(self.milliseconds).map_err(|_| fmt::Error)?;
        write!(formatter, "{moment:.3}")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for Timestamp {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<jiff::Timestamp>().map(|moment| Self { milliseconds: moment.as_millisecond() })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| {
            serde::de::Error::custom("expected a date and time such as 2026-11-21T09:48:49.123Z")
        })
    }
}

crate::describe!(
    Timestamp,
    text("A UTC timestamp: RFC 3339 with milliseconds.", "2026-11-21T09:48:49.123Z")
        .format("date-time")
        .pattern("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z$")
);

/// The source of the current time.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    #[default]
    System,
    /// A clock that only a test advances, in milliseconds since the Unix epoch.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    pub fn manual(start: Timestamp) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(start.milliseconds)))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp::from_milliseconds(
                    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX),
                )
            }
            Self::Manual(milliseconds) => {
                Timestamp::from_milliseconds(milliseconds.load(Ordering::SeqCst))
            }
        }
    }

    /// Advances a manual clock. Has no effect on the system's clock.
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(milliseconds) = self {
            milliseconds.fetch_add(i64::try_from(by.as_millis()).unwrap_or(0), Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamp_text_has_fixed_width_and_sorts_chronologically() {
        let whole = Timestamp::from_milliseconds(1_700_000_000_000);
        let fraction = whole.plus(Duration::from_millis(120));
        assert_eq!(whole.to_string(), "2023-11-14T22:13:20.000Z");
        assert_eq!(fraction.to_string(), "2023-11-14T22:13:20.120Z");
        assert!(whole.to_string() < fraction.to_string());
        assert_eq!(fraction.to_string().parse::<Timestamp>().ok(), Some(fraction));
    }

    #[test]
    fn impossible_dates_are_rejected() {
        for text in
            ["2026-02-30T00:00:00Z", "+10000-01-01T00:00:00Z", "2026-01-01T00:00:00", "2026-01-01"]
        {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }
}
