//! Queries whose items are deserialized from the bytes of the response.
//!
//! The SDK would first build a map of attribute values for each item. This module replaces only the
//! deserializer of a successful response. Everything else is the SDK's: signing, retries, timeouts
//! and errors.

use std::{
    fmt,
    marker::PhantomData,
    sync::{Arc, Mutex, PoisonError},
};

use aws_sdk_dynamodb::operation::query::QueryOutput;
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{
            Intercept,
            context::{BeforeDeserializationInterceptorContextMut, Error, Output},
            dyn_dispatch_hint,
        },
        orchestrator::{HttpResponse, OrchestratorError},
        runtime_components::RuntimeComponents,
        ser_de::{DeserializeResponse, SharedResponseDeserializer},
    },
};
use aws_smithy_types::config_bag::ConfigBag;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{
    Query, Table, TableError,
    attribute::{Row, RowSeed},
};
use crate::BoxFuture;

/// One page of the rows of a query.
pub(super) struct RowPage<T> {
    pub(super) rows: Vec<Row<T>>,
    /// Whether the query stopped before the last row.
    pub(super) has_more: bool,
}

impl Table {
    /// Runs a query once. Returns at most one megabyte of rows, and at most the query's limit.
    /// `sort` is the sort attribute.
    pub(super) fn rows<T: DeserializeOwned + Send + 'static>(
        &self,
        query: Query,
        sort: &'static str,
    ) -> BoxFuture<'_, Result<RowPage<T>, TableError>> {
        Box::pin(async move {
            let body = Arc::new(RowBody { sort, page: Mutex::default() });
            let limit = i32::try_from(query.limit).unwrap_or(i32::MAX);
            let call = self.query_call(query).limit(limit);
            let answer = call.customize().interceptor(BodyReader(body.clone())).send().await;
            self.response_or_error("Query", answer)?;
            let page = body.page.lock().unwrap_or_else(PoisonError::into_inner).take();
            let unreadable = TableError::Unreadable { expected: std::any::type_name::<T>() };
            page.and_then(Result::ok).ok_or(unreadable)
        })
    }
}

/// Receives the body of a successful response.
trait ReadBody: Send + Sync {
    fn read(&self, body: &[u8]);
}

/// The rows in the body of a response, once it is read.
struct RowBody<T> {
    sort: &'static str,
    page: Mutex<Option<serde_json::Result<RowPage<T>>>>,
}

impl<T: DeserializeOwned + Send> ReadBody for RowBody<T> {
    fn read(&self, body: &[u8]) {
        let seed = RowPageSeed { sort: self.sort, of: PhantomData };
        let page = seed.deserialize(&mut serde_json::Deserializer::from_slice(body));
        *self.page.lock().unwrap_or_else(PoisonError::into_inner) = Some(page);
    }
}

/// Passes the body of a successful response to its reader, instead of to the SDK's deserializer.
#[derive(Clone)]
struct BodyReader(Arc<dyn ReadBody>);

impl fmt::Debug for BodyReader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("BodyReader")
    }
}

#[dyn_dispatch_hint]
impl Intercept for BodyReader {
    fn name(&self) -> &'static str {
        "BodyReader"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if context.response().status().is_success() {
            let deserializer = SharedResponseDeserializer::new(self.clone());
            config.interceptor_state().store_put(deserializer);
        }
        Ok(())
    }
}

impl DeserializeResponse for BodyReader {
    fn deserialize_nonstreaming_with_config(
        &self,
        response: &HttpResponse,
        _: &ConfigBag,
    ) -> Result<Output, OrchestratorError<Error>> {
        match response.body().bytes() {
            Some(body) if response.status().is_success() => {
                self.0.read(body);
                Ok(Output::erase(QueryOutput::builder().build()))
            }
            // The body of an earlier attempt, whose status was a success, could not be read.
            _ => Err(OrchestratorError::response("the retry of a query failed".into())),
        }
    }
}

/// Reads the response of a query.
struct RowPageSeed<T> {
    sort: &'static str,
    of: PhantomData<T>,
}

/// The members of a response that are read.
#[derive(Deserialize)]
#[serde(field_identifier)]
enum Member {
    Items,
    LastEvaluatedKey,
    #[serde(other)]
    Other,
}

impl<'de, T: DeserializeOwned> DeserializeSeed<'de> for RowPageSeed<T> {
    type Value = RowPage<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<RowPage<T>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T: DeserializeOwned> Visitor<'de> for RowPageSeed<T> {
    type Value = RowPage<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the response of a query")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RowPage<T>, A::Error> {
        let mut page = RowPage { rows: Vec::new(), has_more: false };
        while let Some(member) = map.next_key()? {
            match member {
                Member::Items => {
                    page.rows =
                        map.next_value_seed(RowsSeed { sort: self.sort, of: PhantomData })?;
                }
                Member::LastEvaluatedKey => {
                    page.has_more = map.next_value::<Option<IgnoredAny>>()?.is_some();
                }
                Member::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(page)
    }
}

/// Reads the items of a response.
struct RowsSeed<T> {
    sort: &'static str,
    of: PhantomData<T>,
}

impl<'de, T: DeserializeOwned> DeserializeSeed<'de> for RowsSeed<T> {
    type Value = Vec<Row<T>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Row<T>>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: DeserializeOwned> Visitor<'de> for RowsSeed<T> {
    type Value = Vec<Row<T>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<Row<T>>, A::Error> {
        let mut rows = Vec::new();
        while let Some(row) = items.next_element_seed(RowSeed::new(self.sort))? {
            rows.push(row);
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;

    use super::*;

    fn answer(status: u16, body: &str) -> (bool, Option<serde_json::Result<RowPage<Entry>>>) {
        let rows = Arc::new(RowBody::<Entry> { sort: "sk", page: Mutex::default() });
        let status = StatusCode::try_from(status).unwrap();
        let response = HttpResponse::new(status, SdkBody::from(body));
        let reader = BodyReader(rows.clone());
        let output = reader.deserialize_nonstreaming_with_config(&response, &ConfigBag::base());
        let page = rows.page.lock().unwrap().take();
        (output.is_ok(), page)
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Entry {
        count: u8,
    }

    #[test]
    fn response_is_read_with_or_without_a_further_page() {
        for (position, expected) in
            [("", false), (r#","LastEvaluatedKey":{"pk":{"S":"a"},"sk":{"S":"k"}}"#, true)]
        {
            let body = format!(
                r#"{{"Count":1,"Items":[{{"sk":{{"S":"k"}},"count":{{"N":"7"}}}}],"ScannedCount":1{position}}}"#
            );
            let (is_ok, page) = answer(200, &body);
            let page = page.unwrap().unwrap();
            assert_eq!((is_ok, page.has_more, page.rows.len()), (true, expected, 1));
            assert_eq!((page.rows[0].sort_key.as_str(), &page.rows[0].value.count), ("k", &7));
        }
        let (is_ok, page) = answer(200, r#"{"Items":[{"count":{"N":"7"}}]}"#);
        assert!(is_ok && page.unwrap().is_err(), "no sort key");
    }

    #[test]
    fn failed_response_is_an_error_of_the_call() {
        let (is_ok, page) = answer(400, r#"{"__type":"ThrottlingException"}"#);
        assert!(!is_ok && page.is_none());
    }
}
