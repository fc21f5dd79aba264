//! The orders and products that an audit checks, listed page by page in an order that another call
//! can continue.
//!
//! No table is scanned. Orders come from four sources, because each alone would miss some:
//! unsettled orders of any age; unsettled payments, with or without an order; orders placed in the
//! window; and orders with ledger entries in the window, whenever they were placed. Products are
//! those with a stored balance, and those with an entry that is not posted yet.

use shared::{
    ids::{OrderId, ProductId},
    table::TableError,
};

use crate::{
    Ledger,
    audit_run::{DAY, Window},
    domain::audit::record::Status,
    posting::RecentEntries,
    store::{DAY_SHARDS, EntryKey, day_of},
};

/// A source of candidates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CandidateSource {
    Orders(OrderSource),
    Products(ProductSource),
}

/// A source of orders. The number is the shard of its index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderSource {
    Unsettled(u32),
    /// Orders with an unsettled attempt or refund.
    UnsettledPayments(u32),
    /// Orders placed in the window with this status.
    Placed(Status, u32),
    /// Orders with a ledger entry that was recorded on this day.
    WithEntries(String, u32),
}

/// A source of products.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProductSource {
    /// Products with a stored balance, in this shard.
    Posted(u32),
    /// Products with an entry that is not posted yet.
    Recent,
}

/// All sources, in the order in which they are read.
pub fn candidate_sources(window: Window, shards: u32) -> Vec<CandidateSource> {
    let placed = Status::ALL
        .into_iter()
        .flat_map(|status| (0..shards).map(move |shard| OrderSource::Placed(status, shard)));
    let with_entries = days(window).into_iter().flat_map(|day| {
        (0..DAY_SHARDS).map(move |shard| OrderSource::WithEntries(day.clone(), shard))
    });
    let orders = (0..shards)
        .map(OrderSource::Unsettled)
        .chain((0..shards).map(OrderSource::UnsettledPayments))
        .chain(placed)
        .chain(with_entries);
    let products = (0..shards).map(ProductSource::Posted).chain([ProductSource::Recent]);
    orders.map(CandidateSource::Orders).chain(products.map(CandidateSource::Products)).collect()
}

/// The UTC days that overlap a window.
pub(crate) fn days(window: Window) -> Vec<String> {
    let (mut days, mut moment) = (vec![day_of(window.since)], window.since);
    while moment < window.until {
        moment = moment.plus(DAY);
        let day = day_of(moment.min(window.until));
        if days.last() != Some(&day) {
            days.push(day);
        }
    }
    days
}

/// A page of candidates, and the sort key at which the next page continues.
pub type CandidatePage<T> = (Vec<T>, Option<String>);

impl Ledger {
    /// Returns at most `limit` orders of a source after `after`.
    ///
    /// # Errors
    /// If a table request fails.
    pub async fn page_of_orders(
        &self,
        source: &OrderSource,
        window: Window,
        after: Option<&str>,
        limit: u32,
    ) -> Result<CandidatePage<OrderId>, TableError> {
        match source {
            OrderSource::Unsettled(shard) | OrderSource::UnsettledPayments(shard) => {
                self.unsettled_page(source, *shard, after, limit).await
            }
            OrderSource::Placed(status, shard) => {
                // `BETWEEN` is inclusive, and no key is a prefix of another. Appending a character
                // therefore excludes `after` itself and nothing else.
                let from =
                    after.map_or_else(|| window.since.to_string(), |after| format!("{after}+"));
                let to = window.until.to_string();
                self.sources.orders_by_status(*status, *shard, &from, &to, limit).await
            }
            OrderSource::WithEntries(day, shard) => {
                let page = self.store.entries_of_day(day, *shard, window, after, limit).await;
                page.map(|(keys, next)| (keys.iter().filter_map(EntryKey::order).collect(), next))
            }
        }
    }

    /// Returns at most `limit` products of a source after `after`.
    ///
    /// # Errors
    /// If the table request fails.
    pub async fn page_of_products(
        &self,
        source: &ProductSource,
        recent: &RecentEntries,
        after: Option<&str>,
        limit: u32,
    ) -> Result<CandidatePage<ProductId>, TableError> {
        match source {
            ProductSource::Posted(shard) => {
                self.store.products(recent.generation, *shard, after, limit).await
            }
            ProductSource::Recent => Ok(recent.page(after, limit)),
        }
    }

    /// Many orders may be due at the same time. A page therefore starts at the due time with which
    /// the previous one ended, and doubles in size if it would end with the same time.
    async fn unsettled_page(
        &self,
        source: &OrderSource,
        shard: u32,
        after: Option<&str>,
        limit: u32,
    ) -> Result<CandidatePage<OrderId>, TableError> {
        let (from, mut page_size) = (after.unwrap_or(" "), limit);
        loop {
            let (orders, next) = match source {
                OrderSource::UnsettledPayments(_) => {
                    self.sources.unsettled_payments(shard, from, page_size).await?
                }
                _ => self.sources.unsettled_orders(shard, from, page_size).await?,
            };
            if next.as_deref() != Some(from) {
                return Ok((orders, next));
            }
            page_size = page_size.saturating_mul(2);
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::clock::Timestamp;

    use super::*;

    fn moment(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn each_day_of_a_window_is_listed_once() {
        let touched =
            |since: &str, until: &str| days(Window { since: moment(since), until: moment(until) });
        assert_eq!(touched("2026-11-21T10:00:00.000Z", "2026-11-21T10:00:00.001Z"), ["2026-11-21"]);
        assert_eq!(
            touched("2026-11-20T23:59:59.999Z", "2026-11-21T00:00:00.001Z"),
            ["2026-11-20", "2026-11-21"]
        );
        let late_to_early = touched("2026-11-19T23:00:00.000Z", "2026-11-21T01:00:00.000Z");
        assert_eq!(late_to_early, ["2026-11-19", "2026-11-20", "2026-11-21"]);
    }

    #[test]
    fn orders_are_read_by_status_in_lifecycle_order() {
        let window = Window::of(None, None, moment("2026-11-21T10:00:00.000Z")).unwrap();
        let sources = candidate_sources(window, 2);
        let placed: Vec<&Status> = sources
            .iter()
            .filter_map(|source| match source {
                CandidateSource::Orders(OrderSource::Placed(status, 0)) => Some(status),
                _ => None,
            })
            .collect();
        assert_eq!(placed, Status::ALL.iter().collect::<Vec<_>>());
        let days = 3 * usize::try_from(DAY_SHARDS).unwrap();
        assert_eq!(sources.len(), 2 + 2 + 12 + days + 2 + 1);
        assert_eq!(
            sources[sources.len() - 2..],
            [ProductSource::Posted(1), ProductSource::Recent].map(CandidateSource::Products),
            "products come last, when all orders are repaired"
        );
    }
}
