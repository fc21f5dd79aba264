//! What is due, as an index shows it.

use std::collections::VecDeque;

use tracing::Instrument;

use crate::{
    BoxFuture,
    table::{Item, Query, Table, TableError},
};

/// The items that a query finds in all shards of an index, by the text of their sort attribute.
///
/// It is read page by page, and each page begins behind the *position* of the one before. An item
/// is therefore seen once, whether it stays in the index or leaves it, and however many have the
/// same sort attribute.
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

/// Where a shard is read on.
#[derive(Clone, Debug)]
enum Next {
    Start,
    After(Item),
    End,
}

impl Backlog {
    /// What `query` finds in each shard of its partition (`<value>#0`, `<value>#1`, …), in pages as
    /// long as its limit. `order` is the sort attribute.
    pub fn new(table: &Table, query: &Query, shards: u32, order: &'static str) -> Self {
        let shard = |shard| Shard {
            query: query.of_shard(shard),
            buffer: VecDeque::new(),
            next: Next::Start,
        };
        Self { table: table.clone(), order, shards: (0..shards).map(shard).collect() }
    }

    /// The next item; `None` where there is no more.
    ///
    /// # Errors
    /// When the table fails.
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

    /// How many items were read and not returned yet.
    pub fn buffered(&self) -> u32 {
        u32::try_from(self.shards.iter().map(|shard| shard.buffer.len()).sum::<usize>())
            .unwrap_or(u32::MAX)
    }

    /// Reads the next page of each shard that has no item left, all at the same time.
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
