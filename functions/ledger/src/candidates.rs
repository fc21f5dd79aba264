//! The orders and products that an audit checks, listed page by page in an order that another call
//! can continue.
//!
//! No table is scanned. Orders come from four sources, because each alone would miss some:
//! unsettled orders of any age; unsettled payments, with or without an order; orders placed in the
//! window; and orders with ledger entries in the window, whenever they were placed. Products are
//! those with a ledger entry.

use shared::{
    ids::{OrderId, ProductId},
    table::TableError,
};

use crate::{
    Ledger,
    audit_run::{DAY, Window},
    domain::audit::record::Status,
    store::{DAY_SHARDS, day_of},
};

/// A source of candidates. The number is the shard of its index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CandidateSource {
    UnsettledOrders(u32),
    /// Orders with an unsettled attempt or refund.
    UnsettledPayments(u32),
    /// Orders placed in the window with this status.
    PlacedOrders(Status, u32),
    /// Orders with a ledger entry on this day.
    OrdersWithEntries(String, u32),
    Products(u32),
}

/// All sources, in the order in which they are read.
pub fn candidate_sources(window: Window, shards: u32) -> Vec<CandidateSource> {
    let placed = Status::ALL.into_iter().flat_map(|status| {
        (0..shards).map(move |shard| CandidateSource::PlacedOrders(status, shard))
    });
    let with_entries = days(window).into_iter().flat_map(|day| {
        (0..DAY_SHARDS).map(move |shard| CandidateSource::OrdersWithEntries(day.clone(), shard))
    });
    (0..shards)
        .map(CandidateSource::UnsettledOrders)
        .chain((0..shards).map(CandidateSource::UnsettledPayments))
        .chain(placed)
        .chain(with_entries)
        .chain((0..shards).map(CandidateSource::Products))
        .collect()
}

/// The UTC days that overlap a window.
fn days(window: Window) -> Vec<String> {
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

/// The candidates on a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Candidates {
    Orders(Vec<OrderId>),
    Products(Vec<ProductId>),
}

impl Ledger {
    /// Returns at most `limit` candidates of a source after `after`, and the sort key at which the
    /// next page continues.
    ///
    /// # Errors
    /// If a table request fails.
    pub async fn page(
        &self,
        source: &CandidateSource,
        window: Window,
        after: Option<&str>,
        limit: u32,
    ) -> Result<(Candidates, Option<String>), TableError> {
        // `BETWEEN` is inclusive, and no key is a prefix of another. Appending a character
        // therefore excludes `after` itself and nothing else.
        let from = after.map_or_else(|| window.since.to_string(), |after| format!("{after}+"));
        let to = window.until.to_string();
        let (orders, next) = match source {
            CandidateSource::UnsettledOrders(shard) | CandidateSource::UnsettledPayments(shard) => {
                self.unsettled_page(source, *shard, after, limit).await?
            }
            CandidateSource::PlacedOrders(status, shard) => {
                self.sources.orders_by_status(*status, *shard, &from, &to, limit).await?
            }
            CandidateSource::OrdersWithEntries(day, shard) => {
                self.store.orders_of_day(day, *shard, &from, &to, limit).await?
            }
            CandidateSource::Products(shard) => {
                let (products, next) = self.store.products(*shard, after, limit).await?;
                return Ok((Candidates::Products(products), next));
            }
        };
        Ok((Candidates::Orders(orders), next))
    }

    /// Many orders may be due at the same time. A page therefore starts at the due time with which
    /// the previous one ended, and doubles in size if it would end with the same time.
    async fn unsettled_page(
        &self,
        source: &CandidateSource,
        shard: u32,
        after: Option<&str>,
        limit: u32,
    ) -> Result<(Vec<OrderId>, Option<String>), TableError> {
        let (from, mut page_size) = (after.unwrap_or(" "), limit);
        loop {
            let (orders, next) = match source {
                CandidateSource::UnsettledPayments(_) => {
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
            .filter_map(|source| {
                if let CandidateSource::PlacedOrders(status, 0) = source {
                    Some(status)
                } else {
                    None
                }
            })
            .collect();
        assert_eq!(placed, Status::ALL.iter().collect::<Vec<_>>());
        let days = 3 * usize::try_from(DAY_SHARDS).unwrap();
        assert_eq!(sources.len(), 2 + 2 + 12 + days + 2);
        assert!(
            matches!(sources.last(), Some(CandidateSource::Products(1))),
            "products come last, when all reservations could be read"
        );
    }
}
