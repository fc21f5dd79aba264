//! The cost of reads: calls, rows, read units and connections.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_config::SdkConfig;
use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
    },
    orchestrator::HttpRequest,
    runtime_components::RuntimeComponents,
};
use serde_json::Value;

use crate::{aws::Aws, partitions};

/// Bytes of an item that one read unit reads ("Read consistency", Amazon DynamoDB Developer Guide).
const UNIT: usize = 4096;

/// The cost of the calls of DynamoDB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadCost {
    pub calls: u64,
    /// Items that DynamoDB read for them.
    pub rows: u64,
    /// An eventually consistent read costs half a unit for each 4 KB, a consistent one a whole one.
    pub half_units: u64,
    /// The most calls at the same time: a client opens a connection for each. Counted only while
    /// calls take time.
    pub connections: u64,
}

/// An AWS client that measures the reads of its tables.
#[derive(Clone, Debug)]
pub struct ReadMeter {
    aws: Aws,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    cost: ReadCost,
    in_flight: u64,
}

impl ReadMeter {
    /// A meter between the services and `aws`.
    pub fn new(aws: Aws) -> Self {
        Self { aws, state: Arc::default() }
    }

    /// The AWS whose tables are measured.
    pub fn aws(&self) -> Aws {
        self.aws.through(self.sdk_config())
    }

    /// Settings for the SDK clients of a measured service.
    pub fn sdk_config(&self) -> SdkConfig {
        self.aws.sdk_config().to_builder().http_client(self.clone()).build()
    }

    /// The cost since the last call of this method.
    pub fn take(&self) -> ReadCost {
        std::mem::take(&mut self.lock().cost)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) {
        let mut state = self.lock();
        state.in_flight += 1;
        state.cost.calls += 1;
        state.cost.connections = state.cost.connections.max(state.in_flight);
    }

    fn end(&self, rows: u64, half_units: u64) {
        let mut state = self.lock();
        state.in_flight -= 1;
        state.cost.rows += rows;
        state.cost.half_units += half_units;
    }
}

impl HttpClient for ReadMeter {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for ReadMeter {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let Some(operation) = target.strip_prefix("DynamoDB_20120810.").map(str::to_owned) else {
            return HttpConnector::call(&self.aws, request);
        };
        let body = json(request.body().bytes());
        let meter = self.clone();
        meter.begin();
        let answer = HttpConnector::call(&self.aws, request);
        HttpConnectorFuture::new(async move {
            let answer = answer.await;
            let response = answer.as_ref().ok().filter(|response| response.status().is_success());
            let response = json(response.and_then(|response| response.body().bytes()));
            let (rows, half_units) = cost(&operation, &body, &response);
            meter.end(rows, half_units);
            answer
        })
    }
}

fn json(bytes: Option<&[u8]>) -> Value {
    bytes.and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default()
}

/// The rows and the read units of an answered call, with its status and its body.
pub(crate) fn rows_and_units(
    operation: &str,
    request: &Value,
    answer: &(u16, String),
) -> (u64, f64) {
    let response = (answer.0 == 200).then(|| json(Some(answer.1.as_bytes())));
    let (rows, half_units) =
        response.map(|body| cost(operation, request, &body)).unwrap_or_default();
    (rows, half_units as f64 / 2.0)
}

/// The rows and half units of a call that succeeded.
fn cost(operation: &str, request: &Value, response: &Value) -> (u64, u64) {
    let items = |items: &Value| items.as_array().cloned().unwrap_or_default();
    let size = |item: &Value| partitions::size(Some(item));
    match operation {
        "Query" => {
            let items = items(&response["Items"]);
            let bytes = items.iter().map(size).sum();
            (items.len() as u64, half_units(bytes, request))
        }
        "GetItem" => {
            let item = &response["Item"];
            (u64::from(!item.is_null()), half_units(size(item), request))
        }
        "BatchGetItem" => {
            let tables = request["RequestItems"].as_object().into_iter().flatten();
            tables.fold((0, 0), |(rows, units), (table, keys)| {
                let found = items(&response["Responses"][table]);
                let missing = items(&keys["Keys"]).len() - found.len();
                let sizes = found.iter().map(size).chain(vec![0; missing]);
                let cost: u64 = sizes.map(|size| half_units(size, keys)).sum();
                (rows + found.len() as u64, units + cost)
            })
        }
        _ => (0, 0),
    }
}

/// The half units of reading this number of bytes at once. A read without a result costs as much as one of
/// an empty item.
fn half_units(bytes: usize, request: &Value) -> u64 {
    let factor = if request["ConsistentRead"] == true { 2 } else { 1 };
    bytes.div_ceil(UNIT).max(1) as u64 * factor
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dynamodb::DynamoDb;

    #[test]
    fn reads_are_charged_by_size_and_consistency() {
        let database = DynamoDb::new(crate::template::template());
        let (table, key) = ("ferrocart-stock", json!({ "pk": { "S": "a" } }));
        let item = json!({ "pk": { "S": "a" }, "text": { "S": "long".repeat(1200) } });
        let put = json!({ "TableName": table, "Item": item });
        let get = |is_consistent: bool| json!({ "TableName": table, "Key": key, "ConsistentRead": is_consistent });
        let keys = json!({ table: { "Keys": [key, { "pk": { "S": "absent" } }] } });
        let batch = json!({ "RequestItems": keys });
        for (operation, request, expected) in [
            ("DescribeTable", json!({ "TableName": table }), (0, 0.0)),
            ("GetItem", get(false), (0, 0.5)),
            ("PutItem", put, (0, 0.0)),
            ("GetItem", get(false), (1, 1.0)),
            ("GetItem", get(true), (1, 2.0)),
            ("BatchGetItem", batch, (1, 1.5)),
        ] {
            let answer = database.call(operation, &request.to_string());
            let read = rows_and_units(operation, &request, &answer);
            assert_eq!((answer.0, read), (200, expected), "{operation}: {}", answer.1);
        }
    }
}
