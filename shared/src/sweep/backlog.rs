//! All due records of an index, read in pages.

use std::collections::VecDeque;

use tracing::Instrument;

use crate::{
    BoxFuture,
    table::{Item, Query, Table, TableError},
};

/// Iterates over the items of a query in all shards of an index, sorted by their sort attribute.
///
/// Each page begins after the *position* of the previous one. An item is therefore returned once,
/// whether it stays in the index or leaves it, and regardless of how many items have the same sort
/// attribute.
#[derive(Debug)]
pub struct Backlog {
    table: Table,
    order: &'static str,
    shards: Vec<Shard>,
}

#[derive(Debug)]
struct Shard {
    query: Query,
    buffer: VecDeque<Item>,
    next: Next,
}

/// Where the next page of a shard begins.
#[derive(Clone, Debug)]
enum Next {
    Start,
    After(Item),
    End,
}

impl Backlog {
    /// Creates a backlog of the items that `query` finds in each shard of its partition
    /// (`<value>#0`, `<value>#1`, …). The query's limit is the page size. `order` is the sort
    /// attribute.
    pub fn new(table: &Table, query: &Query, shards: u32, order: &'static str) -> Self {
        let shard = |shard| Shard {
            query: query.of_shard(shard),
            buffer: VecDeque::new(),
            next: Next::Start,
        };
        Self { table: table.clone(), order, shards: (0..shards).map(shard).collect() }
    }

    /// Returns the next item, or `None` after the last one.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn next_item(&mut self) -> BoxFuture<'_, Result<Option<Item>, TableError>> {
        Box::pin(async move {
            self.refill().await?;
            let order = |item: &Item| {
                item.get(self.order)
                    .and_then(|value| value.as_s().ok())
                    .cloned()
                    .unwrap_or_default()
            };
            let first = |(_, shard): &(usize, &Shard)| shard.buffer.front().map(order);
            let next = self
                .shards
                .iter()
                .enumerate()
                .filter(|(_, shard)| !shard.buffer.is_empty())
                .min_by_key(first);
            let next = next.map(|(number, _)| number);
            Ok(next.and_then(|number| self.shards[number].buffer.pop_front()))
        })
    }

    /// Returns how many items were read but not returned yet.
    pub fn buffered(&self) -> u32 {
        u32::try_from(self.shards.iter().map(|shard| shard.buffer.len()).sum::<usize>())
            .unwrap_or(u32::MAX)
    }

    /// Reads the next page of each shard without buffered items, concurrently.
    async fn refill(&mut self) -> Result<(), TableError> {
        let mut queries = tokio::task::JoinSet::new();
        for (number, shard) in
            self.shards.iter().enumerate().filter(|(_, shard)| shard.buffer.is_empty())
        {
            let after = match shard.next.clone() {
                Next::Start => None,
                Next::After(position) => Some(position),
                Next::End => continue,
            };
            let (table, query) = (self.table.clone(), shard.query.clone());
            queries
                .spawn(async move { (number, table.page(query, after).await) }.in_current_span());
        }
        while let Some(answer) = queries.join_next().await {
            let (number, page) = answer.map_err(|error| self.table.rejected("Query", &error))?;
            let page = page?;
            let shard = &mut self.shards[number];
            shard.buffer = page.items.into();
            shard.next = page.position.map_or(Next::End, Next::After);
        }
        Ok(())
    }
}
