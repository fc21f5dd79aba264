//! Reads: items by key, and queries.

use std::collections::HashMap;

use aws_sdk_dynamodb::{operation::query::builders::QueryFluentBuilder, types::KeysAndAttributes};

use super::{Expression, Item, Key, MAX_ATTEMPTS, Query, Table, TableError, backoff};
use crate::BoxFuture;

/// The maximum number of keys in a `BatchGetItem` call.
const MAX_KEYS_PER_CALL: usize = 100;

/// One page of a query's result.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) items: Vec<Item>,
    /// Position after this page in the index, or `None` after the last page.
    pub(crate) position: Option<Item>,
}

impl Table {
    /// Reads an item with strong consistency.
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

    /// Reads the items with these keys, of this and other tables, with strong consistency. Absent
    /// items are omitted. Unprocessed keys are retried. One call reads 100 keys, and no keys take no
    /// call.
    pub fn get_many<'a>(
        &'a self,
        keys: Vec<(&'a Table, Key)>,
    ) -> BoxFuture<'a, Result<Vec<Item>, TableError>> {
        self.batch_get(keys, true)
    }

    /// As [`Table::get_many`], with eventual consistency, which costs half. The result may lack the
    /// writes of the last second.
    pub fn get_many_eventually<'a>(
        &'a self,
        keys: Vec<(&'a Table, Key)>,
    ) -> BoxFuture<'a, Result<Vec<Item>, TableError>> {
        self.batch_get(keys, false)
    }

    fn batch_get<'a>(
        &'a self,
        keys: Vec<(&'a Table, Key)>,
        is_consistent: bool,
    ) -> BoxFuture<'a, Result<Vec<Item>, TableError>> {
        Box::pin(async move {
            let (mut keys, mut items) = (keys.into_iter().peekable(), Vec::new());
            while keys.peek().is_some() {
                let of_call = keys.by_ref().take(MAX_KEYS_PER_CALL).collect();
                items.extend(self.batch_get_call(of_call, is_consistent).await?);
            }
            Ok(items)
        })
    }

    /// Reads up to [`MAX_KEYS_PER_CALL`] items.
    fn batch_get_call<'a>(
        &'a self,
        keys: Vec<(&'a Table, Key)>,
        is_consistent: bool,
    ) -> BoxFuture<'a, Result<Vec<Item>, TableError>> {
        Box::pin(async move {
            let mut wanted: HashMap<String, KeysAndAttributes> = HashMap::new();
            for (table, key) in keys {
                let entry = wanted.remove(table.name()).map_or_else(Vec::new, |entry| entry.keys);
                let entry = KeysAndAttributes::builder()
                    .set_keys(Some([entry, vec![key.0]].concat()))
                    .consistent_read(is_consistent)
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

    /// Returns the items of a query, sorted by the sort attribute and limited by the query.
    pub fn query(&self, query: Query) -> BoxFuture<'_, Result<Vec<Item>, TableError>> {
        Box::pin(async move { Ok(self.page(query, None).await?.items) })
    }

    /// Returns one page of a query after a position (`None`: from the beginning), and the position
    /// after it. The item at the position need not exist any longer.
    pub(crate) fn page(
        &self,
        query: Query,
        after: Option<Item>,
    ) -> BoxFuture<'_, Result<Page, TableError>> {
        Box::pin(async move {
            let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
            let call = self.query_call(query);
            let (mut items, mut position) = (Vec::new(), after);
            // DynamoDB limits a page to one megabyte: continue until the limit or the end is
            // reached.
            loop {
                let call = call
                    .clone()
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

    /// Returns the call of a query, without limit and position.
    pub(super) fn query_call(&self, query: Query) -> QueryFluentBuilder {
        let (attribute, value) = query.partition;
        let mut condition =
            Expression::new(format!("#{attribute} = :partition")).value("partition", value);
        if let Some(sort) = query.sort {
            condition.text = format!("{} AND {}", condition.text, sort.text);
            condition.values.extend(sort.values);
        }
        self.client
            .query()
            .table_name(&*self.name)
            .set_index_name(query.index.map(str::to_owned))
            .set_expression_attribute_names(Some(condition.names()))
            .key_condition_expression(condition.text)
            .set_expression_attribute_values(Some(condition.values))
            .scan_index_forward(!query.descending)
            .consistent_read(query.consistent)
    }
}
