//! How far an audit has come: its window, where it continues, and the round that a schedule makes in several calls.

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

/// What an audit looks at without being told: two days, so that the daily one looks at everything twice.
const USUAL: Duration = Duration::from_secs(2 * 24 * 3600);

/// The longest window: each day is some queries more.
const LONGEST: Duration = Duration::from_secs(400 * 24 * 3600);

/// A day.
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

impl Window {
    /// The window from `since` (or two days earlier) until `until` (or now); `None` if it is empty or too long.
    pub fn of(since: Option<Timestamp>, until: Option<Timestamp>, now: Timestamp) -> Option<Self> {
        let until = until.unwrap_or(now);
        let since = since.unwrap_or(Self::before(until).since);
        (since < until && until.since(since) <= LONGEST).then_some(Self { since, until })
    }

    /// The usual window, until `until`.
    pub fn before(until: Timestamp) -> Self {
        Self { since: minus(until, USUAL), until }
    }

    /// Where a run over all of it begins, with these orders first.
    pub fn begin(self, again: Vec<OrderId>) -> Continuation {
        Continuation { since: self.since, until: self.until, place: Place::default(), again, counted: Vec::new() }
    }
}

/// A product whose entries have been counted up to one of them. A product that sells for years has more than one call can read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counted {
    /// Which product.
    pub product_id: ProductId,
    /// When the count began.
    pub(crate) began_at: Timestamp,
    /// In which shard of the product it goes on.
    #[serde(default)]
    pub(crate) shard: u32,
    /// After which sort key it goes on there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<String>,
    /// What it has come to.
    pub(crate) balances: Balances,
}

impl Counted {
    /// Nothing counted yet.
    pub fn begin(product_id: ProductId, now: Timestamp) -> Self {
        Self { product_id, began_at: now, shard: 0, after: None, balances: Balances::default() }
    }
}

/// Where a walk goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// In which place, by its number.
    pub step: usize,
    /// After which sort key there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// Where a run goes on that was not finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Continuation {
    /// The window's first moment.
    pub since: Timestamp,
    /// The first moment after it.
    pub until: Timestamp,
    /// Where in it.
    pub place: Place,
    /// Orders that were broken, or not to be read, when a round last looked at them: they come first, however long ago they were placed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<OrderId>,
    /// Products of the place before that are not counted to their end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counted: Vec<Counted>,
}

/// The round that a schedule makes: all that there is to look at, in as many calls as that takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// Grows with every step.
    pub version: u64,
    /// When it began.
    pub began_at: Timestamp,
    /// The window's first moment.
    pub since: Timestamp,
    /// The first moment after it.
    pub until: Timestamp,
    /// Where it goes on; none: all is looked at.
    #[serde(default)]
    pub continuation: Option<Continuation>,
    /// The orders that it has named, or could not read: the next one begins with them, until their books are put right.
    #[serde(default)]
    pub broken: Vec<OrderId>,
}

/// The most orders that a round keeps for the next: an item has 400 kilobytes.
const MOST_KEPT: usize = 2000;

/// A round begins a day after the one before; a little earlier, because the schedule does not come to the second.
const ROUND: Duration = Duration::from_secs(24 * 3600 - 300);

impl Round {
    /// The round that begins now. It looks back two days, and at least to a day before the end of the one before: nothing is left out,
    /// however long that one took.
    pub fn next(earlier: Option<Self>, now: Timestamp) -> Self {
        let mut window = Window::before(now);
        let (mut version, mut again) = (0, Vec::new());
        if let Some(earlier) = earlier {
            window.since = window.since.min(minus(earlier.until, DAY)).max(minus(now, LONGEST));
            (version, again) = (earlier.version, earlier.broken);
        }
        let continuation = Some(window.begin(again));
        Self { version, began_at: now, since: window.since, until: now, continuation, broken: Vec::new() }
    }

    /// Keeps orders that were named, for the next round.
    pub fn keep(&mut self, broken: impl Iterator<Item = OrderId>) {
        self.broken.extend(broken);
        self.broken.sort_unstable();
        self.broken.dedup();
        self.broken.truncate(MOST_KEPT);
    }

    /// Whether all is looked at and the next one begins.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.continuation.is_none() && now.since(self.began_at) >= ROUND
    }

    /// Whether it has taken so long that the next one should have begun.
    pub fn is_late(&self, now: Timestamp) -> bool {
        now.since(self.began_at) >= ROUND
    }
}

fn minus(moment: Timestamp, time: Duration) -> Timestamp {
    Timestamp::from_milliseconds(moment.milliseconds().saturating_sub(i64::try_from(time.as_millis()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_window_is_two_days_if_nobody_says_otherwise() {
        let now = moment("2026-11-21T10:00:00.000Z");
        let usual = Window::of(None, None, now).unwrap();
        assert_eq!(usual, Window { since: moment("2026-11-19T10:00:00.000Z"), until: now });
        assert_eq!(Window::of(Some(now), Some(now), now), None, "empty");
        assert_eq!(Window::of(Some(now), Some(usual.since), now), None, "turned round");
        assert_eq!(Window::of(Some(moment("2020-01-01T00:00:00.000Z")), None, now), None, "too long");
    }

    #[test]
    fn rounds_follow_each_other_without_a_gap() {
        let now = moment("2026-11-21T10:00:00.000Z");
        let first = Round::next(None, now);
        assert_eq!(first.since, moment("2026-11-19T10:00:00.000Z"));
        assert!(!first.is_over(now.plus(3 * DAY)), "it goes on until all is looked at");
        assert!(first.is_late(now.plus(DAY)) && !first.is_late(now));
        let mut done = Round { continuation: None, version: 9, ..first };
        let (one, other) = (shared::ids::derive(&["one"]), shared::ids::derive(&["other"]));
        done.keep([one, other, one].into_iter());
        assert!(!done.is_over(now.plus(DAY / 2)) && done.is_over(now.plus(DAY)));
        let second = Round::next(Some(done.clone()), now.plus(DAY));
        assert_eq!((second.version, second.since), (9, minus(now, DAY)));
        assert_eq!((second.continuation.unwrap().again.len(), second.broken.len()), (2, 0), "what was named is looked at first");
        let much_later = Round::next(Some(done), now.plus(30 * DAY));
        assert_eq!(much_later.since, minus(now, DAY), "whatever moved meanwhile is looked at");
    }
}
