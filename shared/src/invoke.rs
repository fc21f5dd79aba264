//! Functions that a schedule or an operator invokes: one event in, one JSON value out.

use std::{future::Future, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tracing::Instrument;

use crate::{
    clock::{Clock, Timestamp},
    ids::Ids,
    lambda::{self, Failure, Invocation, Lambda, OperationName},
    telemetry::{self, Trace},
    validation::Violation,
};

#[derive(Clone, Debug)]
pub struct Call<E> {
    pub event: E,
    /// Time at which Lambda stops the function.
    pub deadline: Timestamp,
    /// Trace that starts with this invocation.
    pub trace: Trace,
}

/// Serves invocations with `operation`.
///
/// # Errors
/// If the Lambda runtime API fails.
pub fn run<S, E, R, F, Fut>(service: fn() -> S, operation: F) -> Result<(), lambda_http::Error>
where
    S: Send + Sync + 'static,
    E: DeserializeOwned + Send + 'static,
    R: Serialize,
    F: Fn(Arc<S>, Call<E>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<R, Failure>> + Send + 'static,
{
    lambda::serve(lambda(Arc::new(service()), operation))
}

/// The function that [`run`] serves.
pub fn lambda<S, E, R, F, Fut>(service: Arc<S>, operation: F) -> Lambda
where
    S: Send + Sync + 'static,
    E: DeserializeOwned + Send + 'static,
    R: Serialize,
    F: Fn(Arc<S>, Call<E>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<R, Failure>> + Send + 'static,
{
    let name = OperationName::of(&operation);
    Arc::new(move |invocation: Invocation| {
        let (service, operation) = (service.clone(), operation.clone());
        let trace = Trace::start(&Ids::System);
        let span = name.span(&invocation.request_id, trace.id());
        let call = async move {
            let started = Clock::System.now();
            let malformed = |error: serde_json::Error| {
                Failure::new("MalformedEvent", Violation::readable(&error.to_string()))
            };
            let event = serde_json::from_value(invocation.event).map_err(malformed)?;
            let outcome =
                operation(service, Call { event, deadline: invocation.deadline, trace }).await;
            let duration_ms =
                u64::try_from(Clock::System.now().since(started).as_millis()).unwrap_or(u64::MAX);
            let outcome = outcome.and_then(|answer| {
                serde_json::to_value(answer)
                    .map_err(|error| Failure::from_error("UnserializableResponse", &error))
            });
            match &outcome {
                Ok(answer) => tracing::info!(
                    r#type = "invocation",
                    duration_ms,
                    report = numeric_fields(answer),
                    "invocation completed"
                ),
                Err(expected) if expected.is_expected => {
                    tracing::info!(
                        r#type = "invocation",
                        duration_ms,
                        kind = expected.kind,
                        "invocation rejected"
                    )
                }
                Err(failure) => tracing::error!(
                    r#type = "invocation",
                    duration_ms,
                    error = telemetry::causes(failure),
                    "invocation failed"
                ),
            }
            outcome
        };
        Box::pin(lambda::counted(name.service, call).instrument(span))
    })
}

/// A schedule's event. Its content is ignored.
pub type ScheduledEvent = Value;

/// Formats the numbers and flags of a result for the log: `examined=3 settled=1`. Texts and lists
/// are omitted, because they can be long or contain personal data.
fn numeric_fields(answer: &Value) -> String {
    let members = answer
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, value)| value.is_number() || value.is_boolean());
    members.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::{ids::OrderId, metrics};

    #[derive(Deserialize)]
    struct AboutOrder {
        #[serde(rename = "order_id")]
        _order_id: OrderId,
    }

    async fn about_order(_: Arc<()>, _: Call<AboutOrder>) -> Result<Value, Failure> {
        Ok(Value::Null)
    }

    #[tokio::test]
    async fn malformed_event_fails_with_a_readable_message() {
        let event = Invocation::with_event(json!({ "order_id": "abc" }));
        let failure = lambda(Arc::new(()), about_order)(event).await.expect_err("abc is not an id");
        let expected = "Send an id that starts with ord_ and continues with a UUID.";
        assert_eq!((failure.kind, failure.message.as_str()), ("MalformedEvent", expected));
    }

    #[tokio::test]
    async fn server_errors_counts_failures_and_no_expected_rejections() {
        async fn denied(_: Arc<()>, _: Call<Value>) -> Result<Value, Failure> {
            Err(Failure::expected("Unauthorized"))
        }
        let capture = metrics::Capture::start();
        let malformed = Invocation::with_event(json!({ "order_id": "abc" }));
        assert!(lambda(Arc::new(()), about_order)(malformed).await.is_err());
        assert!(lambda(Arc::new(()), denied)(Invocation::with_event(json!({}))).await.is_err());
        assert_eq!(capture.total(&metrics::SERVER_ERRORS.of("shared")), 1);
    }

    #[test]
    fn log_contains_numeric_fields_and_no_text() {
        let report = json!({ "examined": 3, "email": "ada@example.com", "finished": true, "orders": ["ord_1"] });
        assert_eq!(numeric_fields(&report), "examined=3 finished=true");
        assert_eq!(numeric_fields(&Value::Null), "");
    }
}
