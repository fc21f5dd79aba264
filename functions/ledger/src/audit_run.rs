//! The progress of an audit: its window, its continuation, and the daily run that a schedule
//! advances in several calls.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::{clock::Timestamp, ids::OrderId};

/// The period whose orders are checked: `since` inclusive, `until` exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub since: Timestamp,
    pub until: Timestamp,
}

/// The default window of an audit: two days, so that the daily audit checks everything twice.
const DEFAULT_WINDOW: Duration = Duration::from_secs(2 * 24 * 3600);

/// The longest window: each day costs additional queries.
const MAX_WINDOW: Duration = Duration::from_secs(400 * 24 * 3600);

pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

impl Window {
    /// The window from `since` (default: two days before the end) to `until` (default: now). `None`
    /// if it is empty or longer than 400 days.
    pub fn of(since: Option<Timestamp>, until: Option<Timestamp>, now: Timestamp) -> Option<Self> {
        let until = until.unwrap_or(now);
        let since = since.unwrap_or(Self::before(until).since);
        (since < until && until.since(since) <= MAX_WINDOW).then_some(Self { since, until })
    }

    /// The default window that ends at `until`.
    pub fn before(until: Timestamp) -> Self {
        Self { since: minus(until, DEFAULT_WINDOW), until }
    }

    /// The start of a run over the whole window, which checks the `recheck` orders first.
    pub fn start(self, recheck: Vec<OrderId>) -> Continuation {
        Continuation { since: self.since, until: self.until, cursor: Cursor::default(), recheck }
    }
}

/// The position at which a sweep continues.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// Index into [`crate::candidates::candidate_sources`].
    pub source: usize,
    /// The last sort key that was read from that source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// The state from which the next call continues an unfinished run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Continuation {
    pub since: Timestamp,
    pub until: Timestamp,
    pub cursor: Cursor,
    /// Orders that mismatched or could not be read in the previous run. They are checked first,
    /// regardless of their age.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recheck: Vec<OrderId>,
}

/// The daily run of the schedule. It checks every candidate, in as many calls as needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRun {
    /// Incremented by every step; the condition of the conditional write.
    pub version: u64,
    pub started_at: Timestamp,
    pub since: Timestamp,
    pub until: Timestamp,
    /// `None` once everything is checked.
    #[serde(default)]
    pub continuation: Option<Continuation>,
    /// Orders that this run reported or could not read. Each following run checks them first, until
    /// their records reconcile.
    #[serde(default)]
    pub recheck_next: Vec<OrderId>,
}

/// The most orders that a run keeps for the next one: a DynamoDB item holds at most 400 KB.
const MAX_RECHECKED_ORDERS: usize = 2000;

/// Minimum time between the starts of two runs: a day, less five minutes because the schedule is
/// not exact to the second.
const RUN_INTERVAL: Duration = Duration::from_secs(24 * 3600 - 300);

impl AuditRun {
    /// The run that starts now. Its window covers the last two days. It also overlaps the previous
    /// window by a day, so that no change is missed however long that run took.
    pub fn next(earlier: Option<Self>, now: Timestamp) -> Self {
        let mut window = Window::before(now);
        let (mut version, mut recheck) = (0, Vec::new());
        if let Some(earlier) = earlier {
            window.since = window.since.min(minus(earlier.until, DAY)).max(minus(now, MAX_WINDOW));
            (version, recheck) = (earlier.version, earlier.recheck_next);
        }
        let continuation = Some(window.start(recheck));
        Self {
            version,
            started_at: now,
            since: window.since,
            until: now,
            continuation,
            recheck_next: Vec::new(),
        }
    }

    /// Keeps reported orders for the next run.
    pub fn add_recheck(&mut self, orders: impl Iterator<Item = OrderId>) {
        self.recheck_next.extend(orders);
        self.recheck_next.sort_unstable();
        self.recheck_next.dedup();
        self.recheck_next.truncate(MAX_RECHECKED_ORDERS);
    }

    /// Whether this run is complete and the next one can start.
    pub fn next_is_due(&self, now: Timestamp) -> bool {
        self.continuation.is_none() && now.since(self.started_at) >= RUN_INTERVAL
    }

    /// Whether this run has lasted past the start time of the next one.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        now.since(self.started_at) >= RUN_INTERVAL
    }
}

pub(crate) fn minus(moment: Timestamp, time: Duration) -> Timestamp {
    Timestamp::from_milliseconds(
        moment.milliseconds().saturating_sub(i64::try_from(time.as_millis()).unwrap_or(i64::MAX)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn default_window_is_two_days() {
        let now = moment("2026-11-21T10:00:00.000Z");
        let default = Window::of(None, None, now).unwrap();
        assert_eq!(default, Window { since: moment("2026-11-19T10:00:00.000Z"), until: now });
        assert_eq!(Window::of(Some(now), Some(now), now), None, "empty");
        assert_eq!(Window::of(Some(now), Some(default.since), now), None, "since is after until");
        assert_eq!(
            Window::of(Some(moment("2020-01-01T00:00:00.000Z")), None, now),
            None,
            "too long"
        );
    }

    #[test]
    fn consecutive_runs_leave_no_gap() {
        let now = moment("2026-11-21T10:00:00.000Z");
        let first = AuditRun::next(None, now);
        assert_eq!(first.since, moment("2026-11-19T10:00:00.000Z"));
        assert!(
            !first.next_is_due(now.plus(3 * DAY)),
            "a run continues until everything is checked"
        );
        assert!(first.is_overdue(now.plus(DAY)) && !first.is_overdue(now));
        let mut done = AuditRun { continuation: None, version: 9, ..first };
        let (one, other) = (shared::ids::derive(&["one"]), shared::ids::derive(&["other"]));
        done.add_recheck([one, other, one].into_iter());
        assert!(!done.next_is_due(now.plus(DAY / 2)) && done.next_is_due(now.plus(DAY)));
        let second = AuditRun::next(Some(done.clone()), now.plus(DAY));
        assert_eq!((second.version, second.since), (9, minus(now, DAY)));
        assert_eq!(
            (second.continuation.unwrap().recheck.len(), second.recheck_next.len()),
            (2, 0),
            "reported orders are checked first"
        );
        let much_later = AuditRun::next(Some(done), now.plus(30 * DAY));
        assert_eq!(much_later.since, minus(now, DAY), "changes since the previous run are checked");
    }
}
