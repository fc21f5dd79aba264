//! DynamoDB: tables whose every write carries a condition.
//!
//! A refused condition is an outcome, not an error: it comes back with the item that stands in the way
//! (`ReturnValuesOnConditionCheckFailure`), so that a lost race costs no further read.
//!
//! Expressions name attributes as `#state`; the `#` is needed throughout, because half of all good names are reserved words.

mod expression;
mod outcome;

use std::{collections::HashMap, sync::Arc, time::Duration};

use aws_sdk_dynamodb::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::transact_write_items::TransactWriteItemsError,
    types::{ConditionCheck, Delete, KeysAndAttributes, Put, ReturnValuesOnConditionCheckFailure as OnFailure, TransactWriteItem, Update},
};
use serde::{Serialize, de::DeserializeOwned};
use tracing::Instrument;

use crate::{BoxFuture, retry, telemetry};

pub use aws_sdk_dynamodb::types::AttributeValue;
pub(crate) use expression::key_text;
pub use expression::{Expression, Key, Query};
pub use outcome::{Conflict, Outcome, TableError, Transacted};

/// An item, or the key of one.
pub type Item = HashMap<String, AttributeValue>;

/// One write of a transaction.
#[derive(Clone, Debug)]
pub struct Write(TransactWriteItem);

/// A part of what a query finds.
#[derive(Debug)]
pub(crate) struct Page {
    /// The items.
    pub(crate) items: Vec<Item>,
    /// The position behind them in the index; none where there is no more.
    pub(crate) position: Option<Item>,
}

/// One table.
#[derive(Clone, Debug)]
pub struct Table {
    client: Client,
    name: Arc<str>,
}

impl Table {
    /// The table called `name`.
    pub fn new(client: Client, name: impl Into<Arc<str>>) -> Self {
        Self { client, name: name.into() }
    }

    /// The table's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The item under `key`, with everything that was written before.
    pub fn get(&self, key: Key) -> BoxFuture<'_, Result<Option<Item>, TableError>> {
        Box::pin(async move {
            let call = self.client.get_item().table_name(&*self.name).set_key(Some(key.0)).consistent_read(true);
            let answer = call.send().await.map_err(|error| self.failed("GetItem", &error))?;
            Ok(answer.item)
        })
    }

    /// The items under `keys` of this and other tables, in one call, consistently; those that are absent are left out.
    /// Keys that DynamoDB leaves unprocessed are asked for again.
    pub fn get_many<'a>(&'a self, keys: Vec<(&'a Table, Key)>) -> BoxFuture<'a, Result<Vec<Item>, TableError>> {
        Box::pin(async move {
            let mut wanted: HashMap<String, KeysAndAttributes> = HashMap::new();
            for (table, key) in keys {
                let entry = wanted.remove(table.name()).map_or_else(Vec::new, |entry| entry.keys);
                let entry = KeysAndAttributes::builder().set_keys(Some([entry, vec![key.0]].concat())).consistent_read(true).build();
                wanted.insert(table.name().to_owned(), entry.map_err(|error| self.unusable("BatchGetItem", &error))?);
            }
            let mut items = Vec::new();
            for attempt in 0..TRIES {
                let call = self.client.batch_get_item().set_request_items(Some(wanted));
                let answer = call.send().await.map_err(|error| self.failed("BatchGetItem", &error))?;
                items.extend(answer.responses.unwrap_or_default().into_values().flatten());
                wanted = answer.unprocessed_keys.unwrap_or_default();
                if wanted.is_empty() {
                    return Ok(items);
                }
                wait(attempt).await;
            }
            Err(self.busy("BatchGetItem", "keys were left unprocessed each time"))
        })
    }

    /// The items that a query finds, in the order of their sort attribute; no more than its limit.
    pub fn query(&self, query: Query) -> BoxFuture<'_, Result<Vec<Item>, TableError>> {
        Box::pin(async move { Ok(self.page(query, None).await?.items) })
    }

    /// The items that a query finds after a position of the index (none: from the beginning), no more than its limit; and the position
    /// behind them. The item of a position need not be in the index any more.
    pub(crate) fn page(&self, query: Query, after: Option<Item>) -> BoxFuture<'_, Result<Page, TableError>> {
        Box::pin(async move {
            let (attribute, value) = query.partition;
            let mut condition = Expression::new(format!("#{attribute} = :partition")).value("partition", value);
            if let Some(sort) = query.sort {
                condition.text = format!("{} AND {}", condition.text, sort.text);
                condition.values.extend(sort.values);
            }
            let mut names = HashMap::new();
            condition.names(&mut names);
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
                let answer = call.send().await.map_err(|error| self.failed("Query", &error))?;
                items.extend(answer.items.unwrap_or_default());
                position = answer.last_evaluated_key;
                if position.is_none() || items.len() >= limit {
                    return Ok(Page { items, position });
                }
            }
        })
    }

    /// The items that the same query finds in each shard of a partition (`<value>#0`, `<value>#1`, …), merged by the text of `order`.
    /// The shards are asked at the same time.
    pub fn query_shards<'a>(&'a self, query: Query, shards: u32, order: &'static str) -> BoxFuture<'a, Result<Vec<Item>, TableError>> {
        Box::pin(async move {
            let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
            let mut asked = tokio::task::JoinSet::new();
            for shard in 0..shards {
                let (table, of_shard) = (self.clone(), query.of_shard(shard));
                asked.spawn(async move { table.query(of_shard).await }.in_current_span());
            }
            let mut items = Vec::new();
            while let Some(answer) = asked.join_next().await {
                items.extend(answer.map_err(|error| self.unusable("Query", &error))??);
            }
            let key = |item: &Item| item.get(order).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default();
            items.sort_by_cached_key(key);
            if query.descending {
                items.reverse();
            }
            items.truncate(limit);
            Ok(items)
        })
    }

    /// Puts an item, if `condition` holds for what stands in its place.
    pub fn put(&self, item: Item, condition: Expression) -> BoxFuture<'_, Result<Outcome, TableError>> {
        Box::pin(async move {
            let mut names = HashMap::new();
            condition.names(&mut names);
            let call = self
                .client
                .put_item()
                .table_name(&*self.name)
                .set_item(Some(item))
                .condition_expression(condition.text)
                .set_expression_attribute_names(Some(names))
                .set_expression_attribute_values(not_empty(condition.values))
                .return_values_on_condition_check_failure(OnFailure::AllOld);
            match call.send().await {
                Ok(_) => Ok(Outcome::Written),
                Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => {
                    let aws_sdk_dynamodb::operation::put_item::PutItemError::ConditionalCheckFailedException(refused) = error.into_err()
                    else {
                        unreachable!("just looked");
                    };
                    Ok(Outcome::Refused(refused.item))
                }
                Err(error) => Err(self.failed("PutItem", &error)),
            }
        })
    }

    /// Changes the item under `key` by an update expression, if `condition` holds for it.
    pub fn update(&self, key: Key, change: Expression, condition: Expression) -> BoxFuture<'_, Result<Outcome, TableError>> {
        Box::pin(async move {
            let mut names = HashMap::new();
            change.names(&mut names);
            condition.names(&mut names);
            let values = change.values.into_iter().chain(condition.values).collect();
            let call = self
                .client
                .update_item()
                .table_name(&*self.name)
                .set_key(Some(key.0))
                .update_expression(change.text)
                .condition_expression(condition.text)
                .set_expression_attribute_names(Some(names))
                .set_expression_attribute_values(not_empty(values))
                .return_values_on_condition_check_failure(OnFailure::AllOld);
            match call.send().await {
                Ok(_) => Ok(Outcome::Written),
                Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => {
                    let aws_sdk_dynamodb::operation::update_item::UpdateItemError::ConditionalCheckFailedException(refused) =
                        error.into_err()
                    else {
                        unreachable!("just looked");
                    };
                    Ok(Outcome::Refused(refused.item))
                }
                Err(error) => Err(self.failed("UpdateItem", &error)),
            }
        })
    }

    /// Deletes the item under `key`, if `condition` holds for it.
    pub fn delete(&self, key: Key, condition: Expression) -> BoxFuture<'_, Result<Outcome, TableError>> {
        Box::pin(async move {
            let mut names = HashMap::new();
            condition.names(&mut names);
            let call = self
                .client
                .delete_item()
                .table_name(&*self.name)
                .set_key(Some(key.0))
                .condition_expression(condition.text)
                .set_expression_attribute_names(Some(names))
                .set_expression_attribute_values(not_empty(condition.values))
                .return_values_on_condition_check_failure(OnFailure::AllOld);
            match call.send().await {
                Ok(_) => Ok(Outcome::Written),
                Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => {
                    let aws_sdk_dynamodb::operation::delete_item::DeleteItemError::ConditionalCheckFailedException(refused) =
                        error.into_err()
                    else {
                        unreachable!("just looked");
                    };
                    Ok(Outcome::Refused(refused.item))
                }
                Err(error) => Err(self.failed("DeleteItem", &error)),
            }
        })
    }

    /// For a transaction: puts an item, if `condition` holds for what stands in its place.
    pub fn putting(&self, item: Item, condition: Expression) -> Write {
        let mut names = HashMap::new();
        condition.names(&mut names);
        let put = Put::builder()
            .table_name(&*self.name)
            .set_item(Some(item))
            .condition_expression(condition.text)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(not_empty(condition.values))
            .return_values_on_condition_check_failure(OnFailure::AllOld)
            .build()
            .expect("table and item are given");
        Write(TransactWriteItem::builder().put(put).build())
    }

    /// For a transaction: changes an item, if `condition` holds for it.
    pub fn updating(&self, key: Key, change: Expression, condition: Expression) -> Write {
        let mut names = HashMap::new();
        change.names(&mut names);
        condition.names(&mut names);
        let values = change.values.into_iter().chain(condition.values).collect();
        let update = Update::builder()
            .table_name(&*self.name)
            .set_key(Some(key.0))
            .update_expression(change.text)
            .condition_expression(condition.text)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(not_empty(values))
            .return_values_on_condition_check_failure(OnFailure::AllOld)
            .build()
            .expect("table, key and change are given");
        Write(TransactWriteItem::builder().update(update).build())
    }

    /// For a transaction: deletes an item, if `condition` holds for it.
    pub fn deleting(&self, key: Key, condition: Expression) -> Write {
        let mut names = HashMap::new();
        condition.names(&mut names);
        let delete = Delete::builder()
            .table_name(&*self.name)
            .set_key(Some(key.0))
            .condition_expression(condition.text)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(not_empty(condition.values))
            .return_values_on_condition_check_failure(OnFailure::AllOld)
            .build()
            .expect("table, key and condition are given");
        Write(TransactWriteItem::builder().delete(delete).build())
    }

    /// For a transaction: goes on only if `condition` holds for the item under `key`.
    pub fn checking(&self, key: Key, condition: Expression) -> Write {
        let mut names = HashMap::new();
        condition.names(&mut names);
        let check = ConditionCheck::builder()
            .table_name(&*self.name)
            .set_key(Some(key.0))
            .condition_expression(condition.text)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(not_empty(condition.values))
            .return_values_on_condition_check_failure(OnFailure::AllOld)
            .build()
            .expect("table, key and condition are given");
        Write(TransactWriteItem::builder().condition_check(check).build())
    }

    /// Writes all of `writes` (of this and other tables) or none. A conflict with another transaction, or a throttle, is tried
    /// again a few times with full jitter.
    pub fn transact(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<Transacted, TableError>> {
        let writes: Vec<TransactWriteItem> = writes.into_iter().map(|write| write.0).collect();
        Box::pin(async move {
            for attempt in 0..TRIES {
                match self.client.transact_write_items().set_transact_items(Some(writes.clone())).send().await {
                    Ok(_) => return Ok(Transacted::Written),
                    Err(error) => match verdict(&error) {
                        Verdict::Refused(conflicts) => return Ok(Transacted::Refused(conflicts)),
                        Verdict::TryAgain => wait(attempt).await,
                        Verdict::Failed => return Err(self.failed("TransactWriteItems", &error)),
                    },
                }
            }
            Err(self.busy("TransactWriteItems", "it was in conflict with another transaction each time"))
        })
    }

    /// Whether the table is there and takes calls.
    pub fn is_active(&self) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            let answer = self.client.describe_table().table_name(&*self.name).send().await;
            let status = answer.ok().and_then(|answer| answer.table).and_then(|table| table.table_status);
            use aws_sdk_dynamodb::types::TableStatus::{Active, Updating};
            matches!(status, Some(Active | Updating))
        })
    }

    fn failed<E, R>(&self, call: &'static str, error: &SdkError<E, R>) -> TableError
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
        R: std::fmt::Debug,
    {
        let table = self.name.to_string();
        // Not the error's debug form: that holds the whole answer, with everything in it.
        let cause = telemetry::causes(error);
        let busy = match error {
            SdkError::ServiceError(service) => service.err().code().is_none_or(|code| BUSY.contains(&code)),
            SdkError::ConstructionFailure(_) => false,
            _ => true,
        };
        if busy { TableError::Busy { table, call, cause } } else { TableError::Refused { table, call, cause } }
    }

    fn busy(&self, call: &'static str, cause: &str) -> TableError {
        TableError::Busy { table: self.name.to_string(), call, cause: cause.to_owned() }
    }

    pub(crate) fn unusable(&self, call: &'static str, error: &dyn std::error::Error) -> TableError {
        TableError::Refused { table: self.name.to_string(), call, cause: error.to_string() }
    }
}

/// How often a transaction, or a batch with keys left over, is tried in all.
const TRIES: u32 = 5;

/// Error codes of DynamoDB after which the same call may succeed.
const BUSY: [&str; 8] = [
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "RequestLimitExceeded",
    "InternalServerError",
    "ServiceUnavailable",
    "TransactionConflictException",
    "TransactionInProgressException",
    "LimitExceededException",
];

enum Verdict {
    Refused(Vec<Option<Conflict>>),
    TryAgain,
    Failed,
}

/// What a failed transaction means: a condition that does not hold decides; only conflicts and throttles are worth another try.
fn verdict<R>(error: &SdkError<TransactWriteItemsError, R>) -> Verdict {
    let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error() else {
        return Verdict::Failed;
    };
    let reasons = cancelled.cancellation_reasons();
    let has = |code: &str| reasons.iter().any(|reason| reason.code() == Some(code));
    if has("ConditionalCheckFailed") {
        let conflict = |reason: &aws_sdk_dynamodb::types::CancellationReason| {
            let refused = reason.code() == Some("ConditionalCheckFailed");
            refused.then(|| Conflict { item: reason.item.clone().filter(|item| !item.is_empty()) })
        };
        return Verdict::Refused(reasons.iter().map(conflict).collect());
    }
    if has("TransactionConflict") || has("ThrottlingError") || has("ProvisionedThroughputExceeded") {
        return Verdict::TryAgain;
    }
    Verdict::Failed
}

async fn wait(attempt: u32) {
    tokio::time::sleep(retry::full_jitter(attempt, Duration::from_millis(25), Duration::from_millis(400))).await;
}

fn not_empty(values: HashMap<String, AttributeValue>) -> Option<HashMap<String, AttributeValue>> {
    (!values.is_empty()).then_some(values)
}

/// The item that stores `value`: `None` is left out.
///
/// # Panics
/// When the value cannot be stored: a mistake in the program.
pub fn to_item<T: Serialize>(value: &T) -> Item {
    let mut item: Item = serde_dynamo::to_item(value).expect("the value can be stored");
    // An index key must not be NULL, and an attribute that is NULL says nothing that its absence does not.
    item.retain(|_, value| !value.is_null());
    item
}

/// The value that an item stores.
///
/// # Errors
/// [`TableError::Unreadable`] when the item is not of that shape.
pub fn from_item<T: DeserializeOwned>(item: Item) -> Result<T, TableError> {
    serde_dynamo::from_item(item).map_err(|_| TableError::Unreadable { expected: std::any::type_name::<T>() })
}
