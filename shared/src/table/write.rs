//! Writes: one conditional change, alone or as a part of a transaction.

use std::{collections::HashMap, sync::Arc};

use aws_sdk_dynamodb::{
    error::{BuildError, SdkError},
    operation::{
        delete_item::DeleteItemError, put_item::PutItemError,
        transact_write_items::TransactWriteItemsError, update_item::UpdateItemError,
    },
    types::{
        CancellationReason, ConditionCheck, Delete, Put,
        ReturnValuesOnConditionCheckFailure as OnFailure, TransactWriteItem, Update,
        error::ConditionalCheckFailedException,
    },
};

use super::{
    AttributeValue, Conflict, Expression, Item, Key, MAX_ATTEMPTS, Outcome, Table, TableError,
    TransactionOutcome, backoff,
};
use crate::BoxFuture;

/// What happens to an item.
#[derive(Clone, Debug)]
enum Change {
    /// This item takes the place of the one under its key.
    Put(Item),
    /// The item under the key changes by an update expression.
    Update(Key, Expression),
    /// The item under the key is deleted.
    Delete(Key),
}

/// What a part of a transaction does. DynamoDB checks a condition without a change only inside a
/// transaction.
#[derive(Clone, Debug)]
enum Action {
    Change(Change),
    Check(Key),
}

/// One write of a transaction.
#[derive(Clone, Debug)]
pub struct Write {
    table: Arc<str>,
    action: Action,
    condition: Expression,
}

/// What every kind of conditional write says to DynamoDB.
struct WriteParameters {
    table: String,
    condition: String,
    names: HashMap<String, String>,
    values: Option<HashMap<String, AttributeValue>>,
}

impl WriteParameters {
    /// The terms of a write that has no expression besides its condition.
    fn new(table: &str, condition: Expression) -> Self {
        Self::with_change(table, &Expression::default(), condition)
    }

    /// The terms of an update: the names and values of both expressions.
    fn with_change(table: &str, change: &Expression, condition: Expression) -> Self {
        let names = change.names().into_iter().chain(condition.names()).collect();
        let values: HashMap<_, _> =
            change.values.clone().into_iter().chain(condition.values).collect();
        // DynamoDB rejects an empty map.
        let values = (!values.is_empty()).then_some(values);
        Self { table: table.to_owned(), condition: condition.text, names, values }
    }
}

/// Puts the terms into a request. The SDK has seven types of request for this, with the same
/// methods and no trait in common.
macro_rules! with_parameters {
    ($parameters:expr, $request:expr) => {{
        let WriteParameters { table, condition, names, values } = $parameters;
        $request
            .table_name(table)
            .condition_expression(condition)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(values)
            .return_values_on_condition_check_failure(OnFailure::AllOld)
    }};
}

impl Table {
    /// Puts an item, if `condition` holds for the existing item.
    pub fn put(
        &self,
        item: Item,
        condition: Expression,
    ) -> BoxFuture<'_, Result<Outcome, TableError>> {
        Box::pin(self.write(Change::Put(item), condition))
    }

    /// Changes the item under `key` by an update expression, if `condition` holds for it.
    pub fn update(
        &self,
        key: Key,
        change: Expression,
        condition: Expression,
    ) -> BoxFuture<'_, Result<Outcome, TableError>> {
        Box::pin(self.write(Change::Update(key, change), condition))
    }

    /// Deletes the item under `key`, if `condition` holds for it.
    pub fn delete(
        &self,
        key: Key,
        condition: Expression,
    ) -> BoxFuture<'_, Result<Outcome, TableError>> {
        Box::pin(self.write(Change::Delete(key), condition))
    }

    /// For a transaction: puts an item, if `condition` holds for the existing item.
    pub fn transact_put(&self, item: Item, condition: Expression) -> Write {
        self.transact_write(Action::Change(Change::Put(item)), condition)
    }

    /// For a transaction: changes an item, if `condition` holds for it.
    pub fn transact_update(&self, key: Key, change: Expression, condition: Expression) -> Write {
        self.transact_write(Action::Change(Change::Update(key, change)), condition)
    }

    /// For a transaction: deletes an item, if `condition` holds for it.
    pub fn transact_delete(&self, key: Key, condition: Expression) -> Write {
        self.transact_write(Action::Change(Change::Delete(key)), condition)
    }

    /// For a transaction: fails it unless `condition` holds for the item under `key`.
    pub fn transact_check(&self, key: Key, condition: Expression) -> Write {
        self.transact_write(Action::Check(key), condition)
    }

    /// Writes all of `writes` (of this and other tables) or none. After a conflict with another
    /// transaction, or a throttle, it tries again a few times with full jitter.
    pub fn transact(
        &self,
        writes: Vec<Write>,
    ) -> BoxFuture<'_, Result<TransactionOutcome, TableError>> {
        Box::pin(async move {
            let items: Result<Vec<TransactWriteItem>, BuildError> =
                writes.into_iter().map(Write::into_item).collect();
            let items = items.map_err(|error| self.rejected("TransactWriteItems", &error))?;
            for attempt in 0..MAX_ATTEMPTS {
                match self
                    .client
                    .transact_write_items()
                    .set_transact_items(Some(items.clone()))
                    .send()
                    .await
                {
                    Ok(_) => return Ok(TransactionOutcome::Written),
                    Err(error) => match classify_cancellation(&error) {
                        Cancellation::ConditionsFailed(conflicts) => {
                            return Ok(TransactionOutcome::Cancelled(conflicts));
                        }
                        Cancellation::Retry => backoff(attempt).await,
                        Cancellation::Failed => {
                            return Err(self.call_error("TransactWriteItems", &error));
                        }
                    },
                }
            }
            Err(self.unavailable(
                "TransactWriteItems",
                "it was in conflict with another transaction each time",
            ))
        })
    }

    fn transact_write(&self, action: Action, condition: Expression) -> Write {
        Write { table: self.name.clone(), action, condition }
    }

    /// Makes one change in a call of its own.
    async fn write(&self, change: Change, condition: Expression) -> Result<Outcome, TableError> {
        let client = &self.client;
        match change {
            Change::Put(item) => {
                let call = with_parameters!(
                    WriteParameters::new(&self.name, condition),
                    client.put_item().set_item(Some(item))
                );
                self.write_outcome("PutItem", call.send().await, |error| match error {
                    PutItemError::ConditionalCheckFailedException(refused) => Some(refused),
                    _ => None,
                })
            }
            Change::Update(key, change) => {
                let parameters = WriteParameters::with_change(&self.name, &change, condition);
                let call = with_parameters!(
                    parameters,
                    client.update_item().set_key(Some(key.0)).update_expression(change.text)
                );
                self.write_outcome("UpdateItem", call.send().await, |error| match error {
                    UpdateItemError::ConditionalCheckFailedException(refused) => Some(refused),
                    _ => None,
                })
            }
            Change::Delete(key) => {
                let call = with_parameters!(
                    WriteParameters::new(&self.name, condition),
                    client.delete_item().set_key(Some(key.0))
                );
                self.write_outcome("DeleteItem", call.send().await, |error| match error {
                    DeleteItemError::ConditionalCheckFailedException(refused) => Some(refused),
                    _ => None,
                })
            }
        }
    }

    /// The outcome of a call: `refusal` finds the error of a condition that does not hold.
    fn write_outcome<T, E>(
        &self,
        call: &'static str,
        answer: Result<T, SdkError<E>>,
        refusal: impl FnOnce(&E) -> Option<&ConditionalCheckFailedException>,
    ) -> Result<Outcome, TableError>
    where
        E: std::error::Error + aws_sdk_dynamodb::error::ProvideErrorMetadata + 'static,
    {
        let Err(error) = answer else { return Ok(Outcome::Written) };
        match error.as_service_error().and_then(refusal) {
            Some(refused) => Ok(Outcome::ConditionFailed(refused.item.clone())),
            None => Err(self.call_error(call, &error)),
        }
    }
}

impl Write {
    /// The write as a transaction takes it.
    fn into_item(self) -> Result<TransactWriteItem, BuildError> {
        let Self { table, action, condition } = self;
        let item = TransactWriteItem::builder();
        let item = match action {
            Action::Change(Change::Put(put)) => item.put(
                with_parameters!(
                    WriteParameters::new(&table, condition),
                    Put::builder().set_item(Some(put))
                )
                .build()?,
            ),
            Action::Change(Change::Update(key, change)) => {
                let parameters = WriteParameters::with_change(&table, &change, condition);
                item.update(
                    with_parameters!(
                        parameters,
                        Update::builder().set_key(Some(key.0)).update_expression(change.text)
                    )
                    .build()?,
                )
            }
            Action::Change(Change::Delete(key)) => item.delete(
                with_parameters!(
                    WriteParameters::new(&table, condition),
                    Delete::builder().set_key(Some(key.0))
                )
                .build()?,
            ),
            Action::Check(key) => item.condition_check(
                with_parameters!(
                    WriteParameters::new(&table, condition),
                    ConditionCheck::builder().set_key(Some(key.0))
                )
                .build()?,
            ),
        };
        Ok(item.build())
    }
}

enum Cancellation {
    ConditionsFailed(Vec<Option<Conflict>>),
    Retry,
    Failed,
}

/// What a failed transaction means: a condition that does not hold decides; only conflicts and
/// throttles are worth another try.
fn classify_cancellation<R>(error: &SdkError<TransactWriteItemsError, R>) -> Cancellation {
    let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
        error.as_service_error()
    else {
        return Cancellation::Failed;
    };
    let reasons = cancelled.cancellation_reasons();
    let has = |code: &str| reasons.iter().any(|reason| reason.code() == Some(code));
    if has("ConditionalCheckFailed") {
        let conflict = |reason: &CancellationReason| {
            let refused = reason.code() == Some("ConditionalCheckFailed");
            refused.then(|| Conflict { item: reason.item.clone().filter(|item| !item.is_empty()) })
        };
        return Cancellation::ConditionsFailed(reasons.iter().map(conflict).collect());
    }
    if has("TransactionConflict") || has("ThrottlingError") || has("ProvisionedThroughputExceeded")
    {
        return Cancellation::Retry;
    }
    Cancellation::Failed
}
