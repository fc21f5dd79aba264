//! Conditional writes, single or in a transaction.

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

#[derive(Clone, Debug)]
enum Change {
    Put(Item),
    /// Applies an update expression.
    Update(Key, Expression),
    Delete(Key),
}

/// One part of a transaction. Only a transaction can check a condition without a change.
#[derive(Clone, Debug)]
enum Action {
    Change(Change),
    Check(Key),
}

#[derive(Clone, Debug)]
pub struct Write {
    table: Arc<str>,
    action: Action,
    condition: Expression,
}

/// Parameters that all kinds of conditional writes have in common.
struct WriteParameters {
    table: String,
    condition: String,
    names: HashMap<String, String>,
    values: Option<HashMap<String, AttributeValue>>,
}

impl WriteParameters {
    /// Parameters of a write with only a condition.
    fn new(table: &str, condition: Expression) -> Self {
        Self::with_change(table, &Expression::default(), condition)
    }

    /// Parameters of an update: names and values of both expressions.
    fn with_change(table: &str, change: &Expression, condition: Expression) -> Self {
        let names = change.names().into_iter().chain(condition.names()).collect();
        let values: HashMap<_, _> =
            change.values.clone().into_iter().chain(condition.values).collect();
        // DynamoDB rejects an empty map.
        let values = (!values.is_empty()).then_some(values);
        Self { table: table.to_owned(), condition: condition.text, names, values }
    }
}

/// Sets the parameters of a request. The SDK has seven request types with the same methods and no
/// common trait.
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
    /// Puts an item if `condition` holds for the existing item.
    pub fn put(
        &self,
        item: Item,
        condition: Expression,
    ) -> BoxFuture<'_, Result<Outcome, TableError>> {
        Box::pin(self.write(Change::Put(item), condition))
    }

    /// Updates an item by an update expression if `condition` holds.
    pub fn update(
        &self,
        key: Key,
        change: Expression,
        condition: Expression,
    ) -> BoxFuture<'_, Result<Outcome, TableError>> {
        Box::pin(self.write(Change::Update(key, change), condition))
    }

    /// Writes the attributes of `patch` into the item with its key if `condition` holds, and
    /// creates the item if it does not exist. A NULL removes its attribute. All other attributes
    /// remain, such as those of a later release.
    pub fn merge(
        &self,
        mut patch: Item,
        condition: Expression,
    ) -> BoxFuture<'_, Result<Outcome, TableError>> {
        let key = Key::take_from(&mut patch);
        self.update(key, Expression::merge(patch), condition)
    }

    /// Deletes an item if `condition` holds.
    pub fn delete(
        &self,
        key: Key,
        condition: Expression,
    ) -> BoxFuture<'_, Result<Outcome, TableError>> {
        Box::pin(self.write(Change::Delete(key), condition))
    }

    /// For a transaction: puts an item if `condition` holds for the existing item.
    pub fn transact_put(&self, item: Item, condition: Expression) -> Write {
        self.transact_write(Action::Change(Change::Put(item)), condition)
    }

    /// For a transaction: updates an item if `condition` holds.
    pub fn transact_update(&self, key: Key, change: Expression, condition: Expression) -> Write {
        self.transact_write(Action::Change(Change::Update(key, change)), condition)
    }

    /// For a transaction: writes the attributes of `patch` into an item, as [`Table::merge`].
    pub fn transact_merge(&self, mut patch: Item, condition: Expression) -> Write {
        let key = Key::take_from(&mut patch);
        self.transact_update(key, Expression::merge(patch), condition)
    }

    /// For a transaction: deletes an item if `condition` holds.
    pub fn transact_delete(&self, key: Key, condition: Expression) -> Write {
        self.transact_write(Action::Change(Change::Delete(key)), condition)
    }

    /// For a transaction: requires that `condition` holds for the item with this key.
    pub fn transact_check(&self, key: Key, condition: Expression) -> Write {
        self.transact_write(Action::Check(key), condition)
    }

    /// Applies all `writes`, of this and other tables, or none. Conflicts with other transactions
    /// and throttling are retried a few times with full jitter.
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

    /// Classifies the response of a write. `refusal` extracts the error of a failed condition.
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
    /// Converts the write for the SDK.
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

/// Classifies a cancelled transaction. A failed condition has precedence; only conflicts and
/// throttling are retried.
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
