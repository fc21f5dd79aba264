//! Reads: items by key, queries, and queries over all shards of a partition.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::KeysAndAttributes;
use tracing::Instrument;

use super::{Expression, Item, Key, MAX_ATTEMPTS, Query, Table, TableError, backoff};
use crate::BoxFuture;

/// A part of what a query finds.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) items: Vec<Item>,
    /// The position behind them in the index; none where there is no more.
    pub(crate) position: Option<Item>,
}

impl Table {
    /// The item under `key`, with everything that was written before.
    pub fn get(&self, key: Key) -> BoxFuture<'_, Result<Option<Item>, TableError>> {
        Box::pin(async move {
            let call = self
                .client
                .get_item()
                .table_name(&*self.name)
                .set_key(Some(key.0))
                .consistent_read(true);
            Ok(self.response_or_error("GetItem", call.send().await)?.item)
        })
    }

    /// The items under `keys` of this and other tables, in one call, consistently; those that are
    /// absent are left out. Keys that DynamoDB leaves unprocessed are asked for again.
    pub fn get_many<'a>(
        &'a self,
        keys: Vec<(&'a Table, Key)>,
    ) -> BoxFuture<'a, Result<Vec<Item>, TableError>> {
        Box::pin(async move {
            let mut wanted: HashMap<String, KeysAndAttributes> = HashMap::new();
            for (table, key) in keys {
                let entry = wanted.remove(table.name()).map_or_else(Vec::new, |entry| entry.keys);
                let entry = KeysAndAttributes::builder()
                    .set_keys(Some([entry, vec![key.0]].concat()))
                    .consistent_read(true)
                    .build();
                wanted.insert(
                    table.name().to_owned(),
                    entry.map_err(|error| self.rejected("BatchGetItem", &error))?,
                );
            }
            let mut items = Vec::new();
            for attempt in 0..MAX_ATTEMPTS {
                let call = self.client.batch_get_item().set_request_items(Some(wanted));
                let answer = self.response_or_error("BatchGetItem", call.send().await)?;
                items.extend(answer.responses.unwrap_or_default().into_values().flatten());
                wanted = answer.unprocessed_keys.unwrap_or_default();
                if wanted.is_empty() {
                    return Ok(items);
                }
                backoff(attempt).await;
            }
            Err(self.unavailable("BatchGetItem", "keys were left unprocessed each time"))
        })
    }

    /// The items that a query finds, in the order of their sort attribute; no more than its limit.
    pub fn query(&self, query: Query) -> BoxFuture<'_, Result<Vec<Item>, TableError>> {
        Box::pin(async move { Ok(self.page(query, None).await?.items) })
    }

    /// The items that a query finds after a position of the index (none: from the beginning), no
    /// more than its limit; and the position behind them. The item of a position need not be in the
    /// index any more.
    pub(crate) fn page(
        &self,
        query: Query,
        after: Option<Item>,
    ) -> BoxFuture<'_, Result<Page, TableError>> {
        Box::pin(async move {
            let (attribute, value) = query.partition;
            let mut condition =
                Expression::new(format!("#{attribute} = :partition")).value("partition", value);
            if let Some(sort) = query.sort {
                condition.text = format!("{} AND {}", condition.text, sort.text);
                condition.values.extend(sort.values);
            }
            let names = condition.names();
            let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
            let (mut items, mut position) = (Vec::new(), after);
            // A page may be cut short at one megabyte: go on until there are enough or no more.
            loop {
                let call = self
                    .client
                    .query()
                    .table_name(&*self.name)
                    .set_index_name(query.index.map(str::to_owned))
                    .key_condition_expression(&condition.text)
                    .set_expression_attribute_names(Some(names.clone()))
                    .set_expression_attribute_values(Some(condition.values.clone()))
                    .scan_index_forward(!query.descending)
                    .consistent_read(query.consistent)
                    .limit(i32::try_from(limit - items.len()).unwrap_or(i32::MAX))
                    .set_exclusive_start_key(position);
                let answer = self.response_or_error("Query", call.send().await)?;
                items.extend(answer.items.unwrap_or_default());
                position = answer.last_evaluated_key;
                if position.is_none() || items.len() >= limit {
                    return Ok(Page { items, position });
                }
            }
        })
    }

    /// The items that the same query finds in each shard of a partition (`<value>#0`, `<value>#1`,
    /// …), merged by the text of `order`. The shards are asked at the same time.
    pub fn query_shards<'a>(
        &'a self,
        query: Query,
        shards: u32,
        order: &'static str,
    ) -> BoxFuture<'a, Result<Vec<Item>, TableError>> {
        Box::pin(async move {
            let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
            let mut asked = tokio::task::JoinSet::new();
            for shard in 0..shards {
                let (table, of_shard) = (self.clone(), query.of_shard(shard));
                asked.spawn(async move { table.query(of_shard).await }.in_current_span());
            }
            let mut items = Vec::new();
            while let Some(answer) = asked.join_next().await {
                items.extend(answer.map_err(|error| self.rejected("Query", &error))??);
            }
            let key = |item: &Item| {
                item.get(order).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default()
            };
            items.sort_by_cached_key(key);
            if query.descending {
                items.reverse();
            }
            items.truncate(limit);
            Ok(items)
        })
    }
}
