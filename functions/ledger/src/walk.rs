//! Which orders and products an audit looks at, page by page, in an order that another call can go on with.
//!
//! No table is read from end to end. Orders are found in four places, because each of them alone would miss some: what is unsettled,
//! however old; payments that are unsettled, whether an order knows of them or not; what was placed in the window; and what the ledger has
//! moved in the window, however long ago it was placed. Products are those that the ledger has ever heard of.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    ids::{OrderId, ProductId},
    table::TableError,
};

use crate::{
    Ledger,
    domain::audit::record::Status,
    look::Counted,
    store::{DAY_SHARDS, day_of},
};

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

const DAY: Duration = Duration::from_secs(24 * 3600);

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

    fn days(self) -> Vec<String> {
        let (mut days, mut moment) = (vec![day_of(self.since)], self.since);
        while moment < self.until {
            moment = moment.plus(DAY);
            let day = day_of(moment.min(self.until));
            if days.last() != Some(&day) {
                days.push(day);
            }
        }
        days
    }
}

fn minus(moment: Timestamp, time: Duration) -> Timestamp {
    Timestamp::from_milliseconds(moment.milliseconds().saturating_sub(i64::try_from(time.as_millis()).unwrap_or(i64::MAX)))
}

/// One place where orders or products are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Orders that somebody still owes something to.
    UnsettledOrders(u32),
    /// Orders whose attempts or refunds have not come to their end.
    UnsettledPayments(u32),
    /// Orders that were placed in the window and have this status.
    Placed(Status, u32),
    /// Orders for which something moved on this day.
    Moved(String, u32),
    /// Products.
    Products(u32),
}

/// All places, in the order in which they are visited.
pub fn steps(window: Window, shards: u32) -> Vec<Step> {
    let placed = Status::ALL.into_iter().flat_map(|status| (0..shards).map(move |shard| Step::Placed(status, shard)));
    let moved = window.days().into_iter().flat_map(|day| (0..DAY_SHARDS).map(move |shard| Step::Moved(day.clone(), shard)));
    (0..shards)
        .map(Step::UnsettledOrders)
        .chain((0..shards).map(Step::UnsettledPayments))
        .chain(placed)
        .chain(moved)
        .chain((0..shards).map(Step::Products))
        .collect()
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

/// What a page of a walk holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Orders.
    Orders(Vec<OrderId>),
    /// Products.
    Products(Vec<ProductId>),
}

impl Ledger {
    /// What there is in a place after `after`, at most `limit`; and after which sort key it goes on there.
    ///
    /// # Errors
    /// When a table fails.
    pub async fn page(&self, step: &Step, window: Window, after: Option<&str>, limit: u32) -> Result<(Found, Option<String>), TableError> {
        // No key continues another one: what follows a key is the first that is greater than it with anything behind it.
        let from = after.map_or_else(|| window.since.to_string(), |after| format!("{after}+"));
        let to = window.until.to_string();
        let (orders, next) = match step {
            Step::UnsettledOrders(shard) | Step::UnsettledPayments(shard) => self.due(step, *shard, after, limit).await?,
            Step::Placed(status, shard) => self.sources.orders_with(*status, *shard, &from, &to, limit).await?,
            Step::Moved(day, shard) => self.store.orders_of_day(day, *shard, &from, &to, limit).await?,
            Step::Products(shard) => {
                let (products, next) = self.store.products(*shard, after, limit).await?;
                return Ok((Found::Products(products), next));
            }
        };
        Ok((Found::Orders(orders), next))
    }

    /// Many are due at the same moment: a page begins with that at which the one before ended, and grows where it would end with it too.
    async fn due(&self, step: &Step, shard: u32, after: Option<&str>, limit: u32) -> Result<(Vec<OrderId>, Option<String>), TableError> {
        let (from, mut most) = (after.unwrap_or(" "), limit);
        loop {
            let (orders, next) = match step {
                Step::UnsettledPayments(_) => self.sources.unsettled_payments(shard, from, most).await?,
                _ => self.sources.unsettled_orders(shard, from, most).await?,
            };
            if next.as_deref() != Some(from) {
                return Ok((orders, next));
            }
            most = most.saturating_mul(2);
        }
    }
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

    #[test]
    fn every_day_that_a_window_touches_is_looked_at_once() {
        let days = |since: &str, until: &str| Window { since: moment(since), until: moment(until) }.days();
        assert_eq!(days("2026-11-21T10:00:00.000Z", "2026-11-21T10:00:00.001Z"), ["2026-11-21"]);
        assert_eq!(days("2026-11-20T23:59:59.999Z", "2026-11-21T00:00:00.001Z"), ["2026-11-20", "2026-11-21"]);
        let late_to_early = days("2026-11-19T23:00:00.000Z", "2026-11-21T01:00:00.000Z");
        assert_eq!(late_to_early, ["2026-11-19", "2026-11-20", "2026-11-21"]);
    }

    #[test]
    fn orders_are_looked_for_by_status_in_the_order_in_which_they_take_them() {
        let window = Window::of(None, None, moment("2026-11-21T10:00:00.000Z")).unwrap();
        let steps = steps(window, 2);
        let placed: Vec<&Status> =
            steps.iter().filter_map(|step| if let Step::Placed(status, 0) = step { Some(status) } else { None }).collect();
        assert_eq!(placed, Status::ALL.iter().collect::<Vec<_>>());
        let days = 3 * usize::try_from(DAY_SHARDS).unwrap();
        assert_eq!(steps.len(), 2 + 2 + 12 + days + 2);
        assert!(matches!(steps.last(), Some(Step::Products(1))), "products come last, when all reservations could be read");
    }
}
