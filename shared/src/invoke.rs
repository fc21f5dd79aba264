//! Functions that a schedule or an operator calls: one event in, one JSON value out.

use std::{future::Future, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tracing::Instrument;

use crate::{
    clock::{Clock, Timestamp},
    ids::Ids,
    lambda::{self, Failure, Invocation, Lambda, OperationName},
    telemetry::{self, Trace},
};

/// One call.
#[derive(Clone, Debug)]
pub struct Call<E> {
    /// What was sent.
    pub event: E,
    /// When the function is stopped, done or not.
    pub deadline: Timestamp,
    /// The trace that begins here.
    pub trace: Trace,
}

/// Serves calls with `operation`.
///
/// # Errors
/// When the Lambda runtime's own interface fails.
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
            let event = serde_json::from_value(invocation.event).map_err(|error| Failure::because("MalformedEvent", &error))?;
            let outcome = operation(service, Call { event, deadline: invocation.deadline, trace }).await;
            let duration_ms = u64::try_from(Clock::System.now().since(started).as_millis()).unwrap_or(u64::MAX);
            match &outcome {
                Ok(_) => tracing::info!(r#type = "invocation", duration_ms, "done"),
                Err(refusal) if refusal.is_refusal => tracing::info!(r#type = "invocation", duration_ms, kind = refusal.kind, "refused"),
                Err(failure) => tracing::error!(r#type = "invocation", duration_ms, error = telemetry::causes(failure), "failed"),
            }
            outcome.and_then(|answer| serde_json::to_value(answer).map_err(|error| Failure::because("UnwritableAnswer", &error)))
        };
        Box::pin(call.instrument(span))
    })
}

/// What a schedule sends: nothing that matters.
pub type Tick = Value;
