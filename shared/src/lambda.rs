//! The runtime loop, and what every kind of function is to it: a boxed function from one event to
//! one answer.
//!
//! The same [`Lambda`] runs deployed (through [`serve`]) and in tests (by calling it with an
//! [`Invocation`]).

use std::{sync::Arc, time::Duration};

pub use lambda_http::Error;
use lambda_http::lambda_runtime::{self, Diagnostic, LambdaEvent, service_fn};
use serde_json::Value;

use crate::{
    BoxFuture,
    clock::{Clock, Timestamp},
    telemetry,
};

/// One call of a function.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// What came: an API Gateway request, a batch of queue messages, a schedule's tick.
    pub event: Value,
    /// When the function is stopped, done or not.
    pub deadline: Timestamp,
    /// Lambda's own id of this call, for requests that bring none.
    pub request_id: String,
}

impl Invocation {
    /// A call with ample time, as a test makes it.
    pub fn with_event(event: Value) -> Self {
        let deadline = Clock::System.now().plus(Duration::from_secs(300));
        Self { event, deadline, request_id: "00000000-0000-0000-0000-000000000000".to_owned() }
    }
}

/// Why a whole invocation failed. HTTP functions never return it.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{message}")]
pub struct Failure {
    /// The name that the caller of the function branches on.
    pub kind: &'static str,
    /// A sentence.
    pub message: String,
    /// Whether the function did what it is for by failing: nothing is wrong with it.
    pub is_expected: bool,
}

impl Failure {
    /// A failure named `kind`.
    pub fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), is_expected: false }
    }

    /// An expected rejection, which this kind of caller can only receive as a failure: no operator
    /// needs to act.
    pub fn expected(kind: &'static str) -> Self {
        Self { kind, message: kind.to_owned(), is_expected: true }
    }

    /// A failure that comes from `error`: its causes are in the message.
    pub fn from_error(kind: &'static str, error: &dyn std::error::Error) -> Self {
        Self::new(kind, telemetry::causes(error))
    }
}

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        Diagnostic { error_type: failure.kind.to_owned(), error_message: failure.message }
    }
}

/// A function, ready to be called.
pub type Lambda =
    Arc<dyn Fn(Invocation) -> BoxFuture<'static, Result<Value, Failure>> + Send + Sync>;

/// Takes events from the Lambda runtime one after the other, until the environment is shut down.
///
/// One thread: a function handles one event at a time, and a second thread costs start-up time.
///
/// # Errors
/// When the runtime's own interface fails.
pub fn serve(lambda: Lambda) -> Result<(), lambda_http::Error> {
    telemetry::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        let deadline = i64::try_from(event.context.deadline).unwrap_or(i64::MAX);
        lambda(Invocation {
            event: event.payload,
            deadline: Timestamp::from_milliseconds(deadline),
            request_id: event.context.request_id,
        })
    })))
}

/// What an operation is called in logs and keys, taken from its function's path:
/// `orders::operations::create_order::create_order` is `create-order` of the service `orders`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationName {
    /// The service's crate.
    pub service: &'static str,
    /// The operation in kebab case, as the binary is called.
    pub operation: String,
}

impl OperationName {
    /// The name of the operation that the function `F` carries out.
    pub fn of<F>(_: &F) -> Self {
        let path = std::any::type_name::<F>();
        let service = path.split("::").next().unwrap_or(path);
        let function = path.rsplit("::").find(|part| !part.contains('{')).unwrap_or(path);
        Self { service, operation: function.replace('_', "-") }
    }

    /// The span around one invocation: its fields are on every line that is logged within.
    pub fn span(&self, request_id: &str, trace_id: &str) -> tracing::Span {
        tracing::info_span!(
            "invocation",
            service = self.service,
            operation = self.operation,
            request_id,
            trace_id,
            user_id = tracing::field::Empty
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place_order() {}

    #[test]
    fn an_operation_is_named_after_its_function() {
        let name = OperationName::of(&place_order);
        assert_eq!(name, OperationName { service: "shared", operation: "place-order".to_owned() });
    }
}
