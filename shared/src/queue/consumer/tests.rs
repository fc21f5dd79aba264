//! Which records a consumer acknowledges, retries or rejects, and which calls to SQS it makes.

use std::sync::{Mutex, PoisonError};

use aws_config::{
    BehaviorVersion, Region, SdkConfig, identity::IdentityCache, retry::RetryConfig,
    stalled_stream_protection::StalledStreamProtectionConfig,
};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_sqs::Client;
use aws_smithy_runtime_api::{
    client::{
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings,
            SharedHttpConnector,
        },
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::*;
use crate::queue::read_as;

const ARN: &str = "arn:aws:sqs:us-east-1:000000000000:ferrocart-count-words";
const URL: &str = "http://aws.test/000000000000/ferrocart-count-words";
const DEAD_LETTER_URL: &str = "http://aws.test/000000000000/ferrocart-count-words-dead-letter";

/// A fake SQS that records each call. It accepts no message if `is_full`.
#[derive(Clone, Debug, Default)]
struct Sqs {
    calls: Arc<Mutex<Vec<(String, Value)>>>,
    is_full: bool,
}

impl HttpClient for Sqs {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Sqs {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let operation =
            request.headers().get("x-amz-target").unwrap_or_default().replace("AmazonSQS.", "");
        let body =
            serde_json::from_slice(request.body().bytes().unwrap_or_default()).unwrap_or_default();
        let is_rejected = self.is_full && operation == "SendMessage";
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push((operation, body));
        if is_rejected {
            return HttpConnectorFuture::ready(Err(ConnectorError::io("out of reach".into())));
        }
        let answer = SdkBody::from(json!({ "MessageId": "m", "MD5OfMessageBody": "" }).to_string());
        let mut response = HttpResponse::new(StatusCode::try_from(200).expect("a status"), answer);
        response.headers_mut().insert("content-type", "application/x-amz-json-1.0");
        HttpConnectorFuture::ready(Ok(response))
    }
}

impl Sqs {
    fn calls(&self) -> Vec<(String, Value)> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn client(&self) -> Client {
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                "test", "test", None, None, "tests",
            )))
            .retry_config(RetryConfig::disabled())
            .identity_cache(IdentityCache::no_cache())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .endpoint_url("http://aws.test")
            .http_client(self.clone());
        Client::new(&config.build())
    }

    fn consumer(&self) -> Lambda {
        lambda(Arc::new(()), count_words, Queue::new(self.client(), URL, DEAD_LETTER_URL))
    }

    async fn answer(&self, records: Vec<Value>) -> Value {
        self.consumer()(Invocation::with_event(json!({ "Records": records })))
            .await
            .expect("the batch is answered")
    }
}

#[derive(Deserialize)]
struct CountWords {
    words: u32,
}

impl FromMessage for CountWords {
    fn from_message(kind: &str, data: Value) -> Result<Self, InvalidMessage> {
        assert_ne!(data["words"], 0, "zero words are not allowed");
        read_as("count_words.v1", kind, data)
    }
}

#[derive(Debug, thiserror::Error)]
enum CountError {
    #[error("not now")]
    NotNow,
    #[error("the count contradicts an earlier one")]
    Contradiction,
}

impl Retryable for CountError {
    fn is_retryable(&self) -> bool {
        matches!(self, Self::NotNow)
    }
}

async fn count_words(_: Arc<()>, received: Received<CountWords>) -> Result<(), CountError> {
    match received.message.words {
        7 => Err(CountError::NotNow),
        8 => Err(CountError::Contradiction),
        13 => panic!("thirteen words panic"),
        _ => Ok(()),
    }
}

fn record(id: &str, body: &str) -> Value {
    received(id, body, 1)
}

fn received(id: &str, body: &str, times: u32) -> Value {
    json!({
        "messageId": id, "receiptHandle": format!("receipt-{id}"), "body": body, "eventSourceARN": ARN,
        "attributes": { "ApproximateReceiveCount": times.to_string() },
    })
}

fn words(count: impl Serialize) -> String {
    json!({ "type": "count_words.v1", "data": { "words": count } }).to_string()
}

/// Bodies that can never succeed, with the reason in the dead letter.
fn rejected_bodies() -> Vec<(String, &'static str)> {
    let not_an_envelope = "the message cannot be read: it is not an envelope";
    let unknown_type = "the message cannot be read: its type is unknown here";
    vec![
        (String::new(), not_an_envelope),
        ("not json".to_owned(), not_an_envelope),
        ("[]".to_owned(), not_an_envelope),
        ("\u{0}\u{1}".to_owned(), not_an_envelope),
        ("x".repeat(1 << 20), not_an_envelope),
        (json!({ "type": "count_words.v2", "data": { "words": 1 } }).to_string(), unknown_type),
        (json!({ "type": "unknown.v1", "data": {} }).to_string(), unknown_type),
        (words("three"), "the message cannot be read: count_words.v1 is malformed at words"),
        (words(8), "the count contradicts an earlier one"),
    ]
}

#[tokio::test]
async fn permanent_failure_is_acknowledged_and_dead_lettered() {
    for (body, reason) in rejected_bodies() {
        for position in 0..10 {
            let sqs = Sqs::default();
            let records = (0..10).map(|i| {
                record(
                    &format!("m{i}"),
                    if i == position { body.clone() } else { words(1) }.as_str(),
                )
            });
            assert_eq!(
                sqs.answer(records.collect()).await,
                json!({ "batchItemFailures": [] }),
                "{reason}"
            );
            let dead_letter = json!({
                "QueueUrl": DEAD_LETTER_URL,
                "MessageBody": body,
                "MessageAttributes": {
                    "reason": { "DataType": "String", "StringValue": reason },
                    "consumer": { "DataType": "String", "StringValue": "count-words" },
                },
            });
            assert_eq!(sqs.calls(), [("SendMessage".to_owned(), dead_letter)]);
        }
    }
}

#[tokio::test]
async fn message_is_retried_if_dead_lettering_fails() {
    for (body, reason) in rejected_bodies() {
        let sqs = Sqs { is_full: true, ..Sqs::default() };
        let answer = sqs.answer(vec![record("good", &words(1)), record("bad", &body)]).await;
        assert_eq!(
            answer,
            json!({ "batchItemFailures": [{ "itemIdentifier": "bad" }] }),
            "{reason}"
        );
        let calls: Vec<String> = sqs.calls().into_iter().map(|(operation, _)| operation).collect();
        assert_eq!(calls, ["SendMessage", "ChangeMessageVisibility"], "{reason}");
    }
}

#[tokio::test]
async fn transient_failure_is_retried_with_growing_delay() {
    for (times, waits) in
        [(1, 1..=2), (2, 2..=4), (5, 16..=32), (9, 256..=512), (10, 450..=900), (499, 450..=900)]
    {
        let sqs = Sqs::default();
        let answer = sqs.answer(vec![received("m", &words(7), times)]).await;
        assert_eq!(answer, json!({ "batchItemFailures": [{ "itemIdentifier": "m" }] }));
        let calls = sqs.calls();
        let [(operation, call)] = calls.as_slice() else { panic!("{calls:?}") };
        assert_eq!(
            (operation.as_str(), &call["QueueUrl"], &call["ReceiptHandle"]),
            ("ChangeMessageVisibility", &json!(URL), &json!("receipt-m"))
        );
        let wait = call["VisibilityTimeout"].as_u64().expect("seconds");
        assert!(waits.contains(&wait), "{times}: {wait}");
    }
}

#[tokio::test]
async fn line_of_a_message_has_its_trace_reception_and_waits() {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let body = |count: u32| {
        let order = "ord_0199c2a8-0000-7000-8000-0000000000f1";
        json!({ "type": "count_words.v1", "subject": order, "traceparent": trace, "data": { "words": count } }).to_string()
    };
    let sent = Clock::System.now().milliseconds() - 61_000;
    let mut retried = received("m", &body(7), 4);
    retried["attributes"]["SentTimestamp"] = sent.to_string().into();
    let capture = telemetry::Capture::default();
    let recording = capture.record();
    Sqs::default().answer(vec![retried, record("good", &body(1))]).await;
    drop(recording);
    let lines: Vec<Value> =
        capture.lines().into_iter().filter(|line| line.get("trace_id").is_some()).collect();
    let [failed, retry, done] = &lines[..] else { panic!("{lines:?}") };
    for line in &lines {
        assert_eq!(line["trace_id"], trace[3..35], "{line}");
    }
    assert_eq!((&failed["reception"], &failed["level"]), (&json!(4), &json!("WARN")));
    assert!(failed["queued_ms"].as_u64().is_some_and(|wait| wait >= 61_000), "{failed}");
    assert!(retry["retry_in_seconds"].as_u64().is_some_and(|wait| (8..=16).contains(&wait)));
    assert_eq!((&done["message"], &done["reception"]), (&json!("message processed"), &json!(1)));
    assert_eq!(done["subject"], "ord_0199c2a8-0000-7000-8000-0000000000f1");
}

#[tokio::test]
async fn third_panic_dead_letters_the_message() {
    // The first body panics in the operation, the second one while it is parsed.
    for body in [words(13), words(0)] {
        for (times, failures, call) in [
            (1, json!([{ "itemIdentifier": "m" }]), "ChangeMessageVisibility"),
            (2, json!([{ "itemIdentifier": "m" }]), "ChangeMessageVisibility"),
            (3, json!([]), "SendMessage"),
            (4, json!([]), "SendMessage"),
        ] {
            let sqs = Sqs::default();
            let answer =
                sqs.answer(vec![received("m", &body, times), record("good", &words(1))]).await;
            assert_eq!(answer, json!({ "batchItemFailures": failures }), "{body} {times}");
            let calls = sqs.calls();
            assert_eq!(
                calls.iter().map(|(operation, _)| operation.as_str()).collect::<Vec<_>>(),
                [call]
            );
            if times >= 3 {
                assert_eq!(
                    calls[0].1["MessageAttributes"]["reason"]["StringValue"],
                    "the operation panicked"
                );
            }
        }
    }
}

#[tokio::test]
async fn one_failed_record_does_not_delay_the_others() {
    for body in [words(7), words(13)] {
        for position in 0..10 {
            let records = (0..10).map(|i| {
                record(
                    &format!("m{i}"),
                    if i == position { body.clone() } else { words(1) }.as_str(),
                )
            });
            let failures = json!([{ "itemIdentifier": format!("m{position}") }]);
            assert_eq!(
                Sqs::default().answer(records.collect()).await,
                json!({ "batchItemFailures": failures }),
                "{body}"
            );
        }
    }
}

#[tokio::test]
async fn empty_batch_succeeds_and_malformed_batch_fails() {
    assert_eq!(Sqs::default().answer(vec![]).await, json!({ "batchItemFailures": [] }));
    let consumer = Sqs::default().consumer();
    for event in [
        json!({}),
        json!({ "Records": [{ "body": words(1), "eventSourceARN": ARN }] }),
        json!({ "Records": [{ "messageId": "", "body": words(1), "eventSourceARN": ARN }] }),
        json!({ "Records": [{ "messageId": "m", "body": words(1), "eventSourceARN": format!("{ARN}-of-another") }] }),
    ] {
        assert!(consumer(Invocation::with_event(event)).await.is_err());
    }
}

#[tokio::test]
async fn records_are_retried_when_time_runs_out() {
    let mut invocation = Invocation::with_event(
        json!({ "Records": [record("a", &words(1)), record("b", &words(1))] }),
    );
    invocation.deadline = Clock::System.now();
    let answer = Sqs::default().consumer()(invocation).await.expect("the batch is answered");
    assert_eq!(
        answer,
        json!({ "batchItemFailures": [{ "itemIdentifier": "a" }, { "itemIdentifier": "b" }] })
    );
}
