//! The runtime loop, and the type that all functions share: a boxed function from one event to one
//! result.
//!
//! The same [`Lambda`] runs deployed (through [`serve`]) and in tests, which call it with an
//! [`Invocation`].

use std::{sync::Arc, time::Duration};

pub use lambda_http::Error;
use lambda_http::lambda_runtime::{self, Diagnostic, LambdaEvent, service_fn};
use serde_json::Value;

use crate::{
    BoxFuture,
    clock::{Clock, Timestamp},
    config, metrics, release, telemetry,
};

/// One invocation of a function.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// An API Gateway request, a batch of queue messages or stream records, or a schedule's event.
    pub event: Value,
    /// Time at which Lambda stops the function.
    pub deadline: Timestamp,
    /// Lambda's id of this invocation, used by requests without an id.
    pub request_id: String,
    /// Header of AWS X-Ray: `Root=1-…;Parent=…;Sampled=0`. `None` outside Lambda.
    pub xray_header: Option<String>,
}

impl Invocation {
    /// Creates an invocation with ample time left, for tests.
    pub fn with_event(event: Value) -> Self {
        let deadline = Clock::System.now().plus(Duration::from_secs(300));
        let request_id = "00000000-0000-0000-0000-000000000000".to_owned();
        Self { event, deadline, request_id, xray_header: None }
    }

    /// Returns the id of the X-Ray trace: `1-58406520-a006649127e371903a2de979`.
    pub fn xray_trace_id(&self) -> Option<&str> {
        let fields = self.xray_header.as_deref()?.split(';');
        let root = fields.filter_map(|field| field.trim().strip_prefix("Root=")).next()?;
        let is_id =
            root.len() == 35 && root.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        is_id.then_some(root)
    }
}

/// Why a whole invocation failed. HTTP functions never return it.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{message}")]
pub struct Failure {
    /// Error type that the invoker branches on.
    pub kind: &'static str,
    pub message: String,
    /// Whether the failure is a normal result, such as a denied authorization: it is not an error
    /// of the function.
    pub is_expected: bool,
}

impl Failure {
    pub fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), is_expected: false }
    }

    /// Creates an expected rejection. The invoker can receive it only as a failure; no operator
    /// needs to act.
    pub fn expected(kind: &'static str) -> Self {
        Self { kind, message: kind.to_owned(), is_expected: true }
    }

    /// Creates a failure from `error`. The message contains its chain of causes.
    pub fn from_error(kind: &'static str, error: &dyn std::error::Error) -> Self {
        Self::new(kind, telemetry::causes(error))
    }
}

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        Diagnostic { error_type: failure.kind.to_owned(), error_message: failure.message }
    }
}

/// Awaits an invocation, and counts its failure unless it is expected.
pub(crate) async fn counted<T>(
    service: &'static str,
    invocation: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let outcome = invocation.await;
    if outcome.as_ref().is_err_and(|failure| !failure.is_expected) {
        metrics::SERVER_ERRORS.of(service).increment();
    }
    outcome
}

pub type Lambda =
    Arc<dyn Fn(Invocation) -> BoxFuture<'static, Result<Value, Failure>> + Send + Sync>;

/// Handles events from the Lambda runtime one at a time until the environment is shut down. Answers
/// the check of a new version itself; see [`release`].
///
/// Uses one thread: a function handles one event at a time, and a second thread lengthens the cold
/// start.
///
/// # Errors
/// If the Lambda runtime API fails.
pub fn serve(lambda: Lambda) -> Result<(), lambda_http::Error> {
    telemetry::start();
    let lambda = release::answering_checks(lambda, release::check_from_env);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        let deadline = i64::try_from(event.context.deadline).unwrap_or(i64::MAX);
        let xray_header =
            event.context.xray_trace_id.or_else(|| config::optional("_X_AMZN_TRACE_ID"));
        lambda(Invocation {
            event: event.payload,
            deadline: Timestamp::from_milliseconds(deadline),
            request_id: event.context.request_id,
            xray_header,
        })
    })))
}

/// The name of an operation in logs and keys, derived from its function's path:
/// `orders::operations::create_order::create_order` is `create-order` of the service `orders`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationName {
    pub service: &'static str,
    /// Operation in kebab case, as its binary is named.
    pub operation: String,
}

impl OperationName {
    /// Returns the name of the operation that the function `F` implements.
    pub fn of<F>(_: &F) -> Self {
        let path = std::any::type_name::<F>();
        let service = path.split("::").next().unwrap_or(path);
        let function = path.rsplit("::").find(|part| !part.contains('{')).unwrap_or(path);
        Self { service, operation: function.replace('_', "-") }
    }

    /// Creates the span of one invocation. All log lines within it include its fields.
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
    fn xray_trace_id_is_the_root_of_the_header() {
        let root = "1-58406520-a006649127e371903a2de979";
        let of = |header: &str| {
            let xray_header = Some(header.to_owned());
            let invocation = Invocation { xray_header, ..Invocation::with_event(Value::Null) };
            invocation.xray_trace_id().map(str::to_owned)
        };
        for header in [
            format!("Root={root};Parent=4c721bf33e3caf8f;Sampled=0"),
            format!("Self=1; Root={root}"),
        ] {
            assert_eq!(of(&header), Some(root.to_owned()));
        }
        for malformed in ["", "Root=", "Parent=4c721bf33e3caf8f", "Root=1-x\ny"] {
            assert_eq!(of(malformed), None);
        }
        assert_eq!(Invocation::with_event(Value::Null).xray_trace_id(), None);
    }

    #[test]
    fn an_operation_is_named_after_its_function() {
        let name = OperationName::of(&place_order);
        assert_eq!(name, OperationName { service: "shared", operation: "place-order".to_owned() });
    }
}
