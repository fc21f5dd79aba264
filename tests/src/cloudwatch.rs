//! CloudWatch in memory: the ages of the oldest messages in queues, in the protocol of the SDK
//! (Smithy RPC v2 CBOR).

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use aws_smithy_cbor::{Decoder, Encoder, data::Type, decode::DeserializeError};
use serde_json::{Map, Value, json};

/// Ages by queue, and what was read of them.
#[derive(Default)]
pub struct CloudWatch {
    ages: Mutex<BTreeMap<String, Vec<f64>>>,
    requests: Mutex<Vec<Vec<String>>>,
}

impl CloudWatch {
    /// Sets the ages that SQS has reported for a queue (named without the stack name) in the last
    /// minutes, in seconds, oldest first.
    pub fn set_ages(&self, queue: &str, seconds: &[f64]) {
        lock(&self.ages).insert(queue.to_owned(), seconds.to_owned());
    }

    /// The queues of each request, without the stack name. CloudWatch bills each of them.
    pub fn requests(&self) -> Vec<Vec<String>> {
        lock(&self.requests).clone()
    }

    /// Answers `GetMetricData` with the ages of messages that a test has set.
    pub(crate) fn call(&self, request: &[u8]) -> (u16, Vec<u8>) {
        let mut encoder = Encoder::new(Vec::new());
        let status = match decode(&mut Decoder::new(request)) {
            Ok(request) => {
                encode(&mut encoder, &self.metric_data(&request));
                200
            }
            Err(error) => {
                let text = error.to_string();
                encode(&mut encoder, &json!({ "__type": "ValidationError", "message": text }));
                400
            }
        };
        (status, encoder.into_writer())
    }

    fn metric_data(&self, request: &Value) -> Value {
        let queries = request["MetricDataQueries"].as_array().cloned().unwrap_or_default();
        let is_descending = request["ScanBy"] == "TimestampDescending";
        let mut queues = Vec::new();
        let result = |query: &Value| {
            let metric = &query["MetricStat"]["Metric"];
            let name = metric["Dimensions"][0]["Value"].as_str().unwrap_or_default();
            let queue = name.strip_prefix("ferrocart-").unwrap_or(name);
            queues.push(queue.to_owned());
            let is_known = metric["Namespace"] == "AWS/SQS"
                && metric["MetricName"] == "ApproximateAgeOfOldestMessage"
                && metric["Dimensions"][0]["Name"] == "QueueName";
            let ages = lock(&self.ages).get(queue).filter(|_| is_known).cloned();
            let mut values = ages.unwrap_or_default();
            if is_descending {
                values.reverse();
            }
            json!({ "Id": query["Id"], "Label": queue, "StatusCode": "Complete", "Values": values })
        };
        let results: Vec<Value> = queries.iter().map(result).collect();
        lock(&self.requests).push(queues);
        json!({ "MetricDataResults": results })
    }
}

/// Decodes a CBOR document. Times become seconds since 1970.
fn decode(decoder: &mut Decoder<'_>) -> Result<Value, DeserializeError> {
    Ok(match decoder.datatype()? {
        Type::Map | Type::MapIndef => {
            let (length, mut members) = (decoder.map()?, Map::new());
            while has_next(decoder, length, members.len())? {
                let name = decoder.string()?;
                members.insert(name, decode(decoder)?);
            }
            members.into()
        }
        Type::Array | Type::ArrayIndef => {
            let (length, mut items) = (decoder.list()?, Vec::new());
            while has_next(decoder, length, items.len())? {
                items.push(decode(decoder)?);
            }
            items.into()
        }
        Type::String | Type::StringIndef => decoder.string()?.into(),
        Type::Tag => decoder.timestamp()?.secs().into(),
        Type::Bool => decoder.boolean()?.into(),
        Type::F16 | Type::F32 | Type::F64 => decoder.double()?.into(),
        _ => decoder.long()?.into(),
    })
}

/// Whether a list or map has another member after `read` ones. Skips the end of one without a
/// length.
fn has_next(
    decoder: &mut Decoder<'_>,
    length: Option<u64>,
    read: usize,
) -> Result<bool, DeserializeError> {
    match length {
        Some(length) => Ok((read as u64) < length),
        None if decoder.datatype()? == Type::Break => decoder.skip().map(|()| false),
        None => Ok(true),
    }
}

/// Encodes a JSON document as CBOR.
fn encode(encoder: &mut Encoder, value: &Value) {
    match value {
        Value::Object(members) => {
            encoder.map(members.len());
            for (name, member) in members {
                encoder.str(name);
                encode(encoder, member);
            }
        }
        Value::Array(items) => {
            encoder.array(items.len());
            for item in items {
                encode(encoder, item);
            }
        }
        Value::String(text) => {
            encoder.str(text);
        }
        Value::Number(number) => {
            encoder.double(number.as_f64().unwrap_or_default());
        }
        Value::Bool(bool) => {
            encoder.boolean(*bool);
        }
        Value::Null => {
            encoder.null();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
