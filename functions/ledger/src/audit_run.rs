//! How far an audit has come: its window, where it continues, and the round that a schedule makes
//! in several calls.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    ids::{OrderId, ProductId},
};

use crate::domain::Balances;

/// The time whose orders are looked at: from its beginning until before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its first moment.
    pub since: Timestamp,
    /// The first moment after it.
    pub until: Timestamp,
}

/// The default window of an audit: two days, so that the daily audit checks everything twice.
const DEFAULT_WINDOW: Duration = Duration::from_secs(2 * 24 * 3600);

/// The longest window: each day is some queries more.
const MAX_WINDOW: Duration = Duration::from_secs(400 * 24 * 3600);

/// A day.
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

impl Window {
    /// The window from `since` (or two days earlier) until `until` (or now); `None` if it is empty
    /// or too long.
    pub fn of(since: Option<Timestamp>, until: Option<Timestamp>, now: Timestamp) -> Option<Self> {
        let until = until.unwrap_or(now);
        let since = since.unwrap_or(Self::before(until).since);
        (since < until && until.since(since) <= MAX_WINDOW).then_some(Self { since, until })
    }

    /// The usual window, until `until`.
    pub fn before(until: Timestamp) -> Self {
        Self { since: minus(until, DEFAULT_WINDOW), until }
    }

    /// Where a run over all of it begins, with these orders first.
    pub fn start(self, recheck: Vec<OrderId>) -> Continuation {
        Continuation {
            since: self.since,
            until: self.until,
            cursor: Cursor::default(),
            recheck,
            in_progress: Vec::new(),
        }
    }
}

/// A product whose entries have been counted up to one of them. A product that sells for years has
/// more than one call can read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditProgress {
    pub product_id: ProductId,
    /// When the count began.
    pub(crate) started_at: Timestamp,
    /// The product's shard where it continues.
    #[serde(default)]
    pub(crate) shard: u32,
    /// The sort key after which it continues there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<String>,
    /// What it has come to.
    pub(crate) balances: Balances,
}

impl AuditProgress {
    /// Nothing counted yet.
    pub fn new(product_id: ProductId, now: Timestamp) -> Self {
        Self { product_id, started_at: now, shard: 0, after: None, balances: Balances::default() }
    }
}

/// Where a sweep continues.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// In which place, by its number.
    pub source: usize,
    /// After which sort key there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// Where an unfinished run continues.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Continuation {
    /// The window's first moment.
    pub since: Timestamp,
    /// The first moment after it.
    pub until: Timestamp,
    pub cursor: Cursor,
    /// Orders that were broken, or not to be read, when a round last looked at them: they come
    /// first, however long ago they were placed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recheck: Vec<OrderId>,
    /// Products of the place before that are not counted to their end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub in_progress: Vec<AuditProgress>,
}

/// The round that a schedule makes: all that there is to look at, in as many calls as that takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRun {
    /// Grows with every step.
    pub version: u64,
    /// When it began.
    pub started_at: Timestamp,
    /// The window's first moment.
    pub since: Timestamp,
    /// The first moment after it.
    pub until: Timestamp,
    /// Where it continues; `None`: everything is checked.
    #[serde(default)]
    pub continuation: Option<Continuation>,
    /// The orders that it has named, or could not read: the next one begins with them, until their
    /// books are put right.
    #[serde(default)]
    pub recheck_next: Vec<OrderId>,
}

/// The most orders that a round keeps for the next: an item has 400 kilobytes.
const MAX_RECHECKED_ORDERS: usize = 2000;

/// A round begins a day after the one before; a little earlier, because the schedule does not come
/// to the second.
const RUN_INTERVAL: Duration = Duration::from_secs(24 * 3600 - 300);

impl AuditRun {
    /// The round that begins now. It looks back two days, and at least to a day before the end of
    /// the one before: nothing is left out, however long that one took.
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

    /// Keeps orders that were named, for the next round.
    pub fn add_recheck(&mut self, orders: impl Iterator<Item = OrderId>) {
        self.recheck_next.extend(orders);
        self.recheck_next.sort_unstable();
        self.recheck_next.dedup();
        self.recheck_next.truncate(MAX_RECHECKED_ORDERS);
    }

    /// Whether all is looked at and the next one begins.
    pub fn next_is_due(&self, now: Timestamp) -> bool {
        self.continuation.is_none() && now.since(self.started_at) >= RUN_INTERVAL
    }

    /// Whether it has taken so long that the next one should have begun.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        now.since(self.started_at) >= RUN_INTERVAL
    }
}

fn minus(moment: Timestamp, time: Duration) -> Timestamp {
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
        assert_eq!(Window::of(Some(now), Some(default.since), now), None, "turned round");
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
        assert!(!first.next_is_due(now.plus(3 * DAY)), "it continues until everything is checked");
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
            "what was named is looked at first"
        );
        let much_later = AuditRun::next(Some(done), now.plus(30 * DAY));
        assert_eq!(much_later.since, minus(now, DAY), "whatever moved meanwhile is looked at");
    }
}
