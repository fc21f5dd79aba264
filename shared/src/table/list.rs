//! Lists: pages of a query, in the order of its sort attribute.
//!
//! An index may spread the items of a partition over shards, so that no partition key takes all
//! writes. A page is then merged from the shards. Each shard is read for its share of the page, and
//! read again only when all rows that it returned are used.

use std::collections::VecDeque;

use serde::de::DeserializeOwned;
use tracing::Instrument;

use super::{Expression, Query, Table, TableError, attribute::Row, typed::RowPage};
use crate::BoxFuture;

/// Maximum number of rows that one page examines. Reached only if a filter rejects most of them.
const MAX_ROWS: u32 = 500;

/// Number of rows that are read at once after the filter has rejected a part of the first ones.
const FURTHER_ROWS: u32 = 100;

/// A list and the position in it.
#[derive(Clone, Debug)]
pub struct List {
    index: Option<&'static str>,
    attribute: &'static str,
    partitions: Vec<String>,
    sort: &'static str,
    descending: bool,
    after: Option<String>,
}

impl List {
    /// Creates a list of the items whose partition attribute has this value, in the order of the
    /// attribute `sort`, a text that is unique in the list. `index` is `None` for the table itself.
    pub fn new(
        index: Option<&'static str>,
        attribute: &'static str,
        value: impl Into<String>,
        sort: &'static str,
    ) -> Self {
        let partitions = vec![value.into()];
        Self { index, attribute, partitions, sort, descending: false, after: None }
    }

    /// Creates a list whose index spreads the value over shards: `<value>#0`, `<value>#1`, …
    pub fn sharded(
        index: &'static str,
        attribute: &'static str,
        value: &str,
        shards: u32,
        sort: &'static str,
    ) -> Self {
        let partitions = (0..shards.max(1)).map(|shard| format!("{value}#{shard}")).collect();
        let index = Some(index);
        Self { index, attribute, partitions, sort, descending: false, after: None }
    }

    /// Sorts in descending order.
    #[must_use]
    pub fn descending(mut self) -> Self {
        self.descending = true;
        self
    }

    /// Starts after this sort key; `None`: at the first item.
    #[must_use]
    pub fn after(mut self, sort_key: Option<String>) -> Self {
        self.after = sort_key;
        self
    }

    /// The query for at most `limit` rows of a partition after a sort key.
    fn query(&self, partition: &str, after: Option<&str>, limit: u32) -> Query {
        let query = Query::new(self.index, self.attribute, partition, limit);
        let query = if self.descending { query.descending() } else { query };
        let Some(after) = after else { return query };
        let comparison = if self.descending { '<' } else { '>' };
        let condition = Expression::new(format!("#{} {comparison} :after", self.sort));
        query.sort(condition.value("after", after))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPage<T> {
    pub items: Vec<T>,
    /// The sort key after which the next page starts; `None` on the last page.
    pub next: Option<String>,
}

impl Table {
    /// Returns the next `limit` items for which `keep` is true. A page examines at most 500 rows:
    /// if `keep` rejects most of them, the page has fewer items although it is not the last one.
    ///
    /// An item that remains in the list is returned exactly once. Reads are eventually consistent.
    pub fn list<'a, T: DeserializeOwned + Send + 'static>(
        &'a self,
        list: List,
        limit: u32,
        keep: impl Fn(&T) -> bool + Send + 'a,
    ) -> BoxFuture<'a, Result<ListPage<T>, TableError>> {
        Box::pin(async move {
            let mut rows = Rows::new(self, list);
            let mut page = ListPage { items: Vec::new(), next: None };
            let mut position = None;
            for examined in 0.. {
                // One more than the limit shows whether there is a next page.
                let missing = limit.saturating_add(1).saturating_sub(examined);
                let wanted = if missing > 0 { missing } else { FURTHER_ROWS };
                let Some(Row { sort_key, value }) = rows.next(wanted).await? else { break };
                let is_kept = keep(&value);
                let is_full = is_kept && page.items.len() >= limit as usize;
                if is_full || examined >= MAX_ROWS {
                    page.next = position;
                    break;
                }
                if is_kept {
                    page.items.push(value);
                }
                position = Some(sort_key);
            }
            Ok(page)
        })
    }
}

/// Iterates over the rows of all partitions of a list, in the order of their sort keys.
struct Rows<'a, T> {
    table: &'a Table,
    list: List,
    shards: Vec<Shard<T>>,
}

/// The rows of one partition that were read and not returned yet.
struct Shard<T> {
    buffer: VecDeque<Row<T>>,
    /// The sort key after which the next page starts.
    after: Option<String>,
    pages_read: u32,
    is_at_end: bool,
}

impl<'a, T: DeserializeOwned + Send + 'static> Rows<'a, T> {
    fn new(table: &'a Table, list: List) -> Self {
        let shard = |_: &String| Shard {
            buffer: VecDeque::new(),
            after: list.after.clone(),
            pages_read: 0,
            is_at_end: false,
        };
        let shards = list.partitions.iter().map(shard).collect();
        Self { table, list, shards }
    }

    /// Returns the next row, or `None` after the last one. `wanted` is the number of rows that the
    /// caller expects to take.
    async fn next(&mut self, wanted: u32) -> Result<Option<Row<T>>, TableError> {
        self.refill(wanted).await?;
        let heads = self
            .shards
            .iter()
            .enumerate()
            .filter_map(|(number, shard)| Some((&shard.buffer.front()?.sort_key, number)));
        let next = if self.list.descending { heads.max() } else { heads.min() };
        let next = next.map(|(_, number)| number);
        Ok(next.and_then(|number| self.shards[number].buffer.pop_front()))
    }

    /// Reads the next page of each shard without rows, concurrently.
    async fn refill(&mut self, wanted: u32) -> Result<(), TableError> {
        let partitions = self.list.partitions.len();
        let mut queries = Vec::new();
        for (number, shard) in self.shards.iter().enumerate() {
            if shard.buffer.is_empty() && !shard.is_at_end {
                let limit = page_size(wanted, partitions, shard.pages_read);
                let partition = &self.list.partitions[number];
                queries.push((number, self.list.query(partition, shard.after.as_deref(), limit)));
            }
        }
        let sort = self.list.sort;
        // A single query needs no task.
        if queries.len() == 1
            && let Some((number, query)) = queries.pop()
        {
            let page = self.table.rows(query, sort).await?;
            self.shards[number].add(page);
        }
        let mut tasks = tokio::task::JoinSet::new();
        for (number, query) in queries {
            let table = self.table.clone();
            tasks.spawn(async move { (number, table.rows(query, sort).await) }.in_current_span());
        }
        while let Some(answer) = tasks.join_next().await {
            let (number, page) = answer.map_err(|error| self.table.rejected("Query", &error))?;
            self.shards[number].add(page?);
        }
        Ok(())
    }
}

impl<T> Shard<T> {
    fn add(&mut self, page: RowPage<T>) {
        self.pages_read += 1;
        self.is_at_end = !page.has_more || page.rows.is_empty();
        self.after = page.rows.last().map(|row| row.sort_key.clone()).or(self.after.take());
        self.buffer = page.rows.into();
    }
}

/// The number of rows to read from one of `shards` partitions, if `wanted` rows are missing in all
/// and `pages_read` pages of this one are used.
///
/// The first page is the shard's share of the rows plus one standard deviation, because ids are
/// spread at random: most shards are then read once. The second page is the share of the missing
/// rows. Further pages double, so that a list with all rows in one shard needs few of them.
fn page_size(wanted: u32, shards: usize, pages_read: u32) -> u32 {
    let share = f64::from(wanted) / shards as f64;
    let size = match pages_read {
        0 => (share + share.sqrt()).ceil(),
        _ => (share.floor() + 1.0) * f64::from(pages_read - 1).exp2(),
    };
    // From a float, `as` saturates.
    (size as u32).clamp(1, wanted.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsharded_list_reads_what_it_needs() {
        assert_eq!([21, 101, 1].map(|wanted| page_size(wanted, 1, 0)), [21, 101, 1]);
        assert_eq!([21, 100].map(|wanted| page_size(wanted, 1, 3)), [21, 100]);
    }

    #[test]
    fn shards_are_read_for_their_share_and_then_twice_as_much() {
        assert_eq!([2, 21, 101].map(|wanted| page_size(wanted, 8, 0)), [1, 5, 17]);
        assert_eq!([1, 2, 3, 4, 40].map(|pages| page_size(84, 8, pages)), [11, 22, 44, 84, 84]);
        assert_eq!(page_size(0, 8, 1), 1);
    }
}
