//! Operations that answer HTTP requests, behind API Gateway's REST proxy integration.
//!
//! `http::run(Orders::from_env, create_order)` makes a function of an operation. It parses the
//! event into a [`Request`], calls the operation, converts its [`Response`] or [`Problem`] for the
//! gateway, and adds the headers of every response. No error of an operation, not even a panic,
//! fails the invocation: the client always gets a document.
//!
//! This module parses the event itself. `lambda_http::Request` merges repeated headers (two
//! `Idempotency-Key`s would look like one) and panics on a body with invalid base64. Types, status
//! codes and header names are those of `lambda_http`.

mod card_number;
mod deprecation;
mod document;
mod idempotency;
mod json;
mod page;
mod request;
mod response;
mod strict;

use std::{future::Future, sync::Arc, time::Duration};

use lambda_http::http::header;
use serde_json::{Value, json};
use tracing::Instrument;

pub use deprecation::Deprecation;
pub use idempotency::IdempotencyKey;
pub use page::{CursorKey, Page, PageRequest};
pub use request::Request;
pub use response::{Response, accepted, created, no_content, ok, replayed};

use self::request::GatewayIds;
use crate::{
    BoxFuture,
    clock::Clock,
    config,
    lambda::{self, Invocation, Lambda, OperationName},
    metrics,
    problem::Problem,
    telemetry,
};

/// Response headers that scripts in a browser may read. Functions and the gateway's own responses
/// send this list.
pub const EXPOSED_HEADERS: &str = "ETag, Location, Retry-After, X-Request-Id, X-Process-Time, X-Device-Token, Idempotent-Replayed, Deprecation, Sunset, Link";

/// Minimum time left to start a request that writes. With less, the answer is 503.
const MIN_TIME_LEFT: Duration = Duration::from_millis(1500);

/// Serves requests with `operation`. `allowed_methods` is the value of `Allow` for a function with
/// `GET`: the gateway sends it every method of its path that has no function. `deprecation` is
/// announced in every response.
///
/// # Errors
/// If the Lambda runtime API fails.
pub fn run<S, F, Fut>(
    service: fn() -> S,
    operation: F,
    allowed_methods: Option<String>,
    deprecation: Option<&'static Deprecation>,
) -> Result<(), lambda_http::Error>
where
    S: Send + Sync + 'static,
    F: Fn(Arc<S>, Request) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Response, Problem>> + Send + 'static,
{
    let service = Arc::new(service());
    lambda::serve(lambda_with_methods(service, operation, allowed_methods, deprecation))
}

/// Returns the function of an operation that receives only its own method.
pub fn lambda<S, F, Fut>(service: Arc<S>, operation: F) -> Lambda
where
    S: Send + Sync + 'static,
    F: Fn(Arc<S>, Request) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Response, Problem>> + Send + 'static,
{
    lambda_with_methods(service, operation, None, None)
}

/// Returns the function that [`run`] serves.
pub fn lambda_with_methods<S, F, Fut>(
    service: Arc<S>,
    operation: F,
    allowed_methods: Option<String>,
    deprecation: Option<&'static Deprecation>,
) -> Lambda
where
    S: Send + Sync + 'static,
    F: Fn(Arc<S>, Request) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Response, Problem>> + Send + 'static,
{
    let name = OperationName::of(&operation);
    let operation: Operation =
        Arc::new(move |request| Box::pin(operation(service.clone(), request)));
    let route = Route {
        origin: config::optional("CORS_ORIGIN").map(Into::into),
        allowed_methods: allowed_methods.map(Into::into),
        deprecation,
    };
    Arc::new(move |invocation| {
        Box::pin(answer(name.clone(), operation.clone(), route.clone(), invocation))
    })
}

/// Settings for all requests of the function.
#[derive(Clone)]
struct Route {
    /// Value of `Access-Control-Allow-Origin`.
    origin: Option<Arc<str>>,
    /// Value of `Allow`. `None` for a function without `GET`, which receives only its own method.
    allowed_methods: Option<Arc<str>>,
    /// Announced in every response, also in problems.
    deprecation: Option<&'static Deprecation>,
}

impl Route {
    /// Rejects a method that the function does not serve (405), and a write without enough time
    /// left (503).
    fn admit(&self, request: Request, time_left: Duration) -> Result<Request, Problem> {
        let reads = matches!(request.method(), "GET" | "HEAD");
        match &self.allowed_methods {
            Some(allowed) if !reads => Err(Problem::method_not_allowed(allowed)),
            _ if !reads && time_left < MIN_TIME_LEFT => Err(Problem::unavailable()),
            _ => Ok(request),
        }
    }
}

type Operation =
    Arc<dyn Fn(Request) -> BoxFuture<'static, Result<Response, Problem>> + Send + Sync>;

async fn answer(
    name: OperationName,
    operation: Operation,
    route: Route,
    invocation: Invocation,
) -> Result<Value, lambda::Failure> {
    let started = Clock::System.now();
    let time_left = invocation.deadline.since(started);
    let fallback_id = invocation.request_id.clone();
    let parsed = Request::from_event(invocation, started);
    let request_id = parsed.as_ref().map_or(fallback_id, |request| request.id().to_owned());
    let trace_id = parsed.as_ref().map_or("", |request| request.trace().id()).to_owned();
    let (method, path) = parsed.as_ref().map_or_else(
        |_| Default::default(),
        |request| (request.method().to_owned(), request.resource()),
    );
    let root = parsed.as_ref().map_or_else(|_| "./".to_owned(), Request::root);
    let span = name.span(&request_id, &trace_id);
    let gateway = parsed.as_ref().map(Request::gateway_ids).unwrap_or_default();
    if let Some(caller) =
        parsed.as_ref().ok().and_then(|request| request.optional_caller().ok().flatten())
    {
        span.record("user_id", caller.user_id.to_string());
    }
    let outcome = match parsed.and_then(|request| route.admit(request, time_left)) {
        Err(problem) => Err(problem),
        // A separate task, so that a panic becomes a 500.
        Ok(request) => tokio::spawn(operation(request).instrument(span.clone()))
            .await
            .unwrap_or_else(|panic| Err(Problem::internal().caused_by(&panic))),
    };
    let duration_ms =
        u64::try_from(Clock::System.now().since(started).as_millis()).unwrap_or(u64::MAX);
    span.in_scope(|| log(&outcome, &method, &path, duration_ms, &gateway));
    let response = outcome
        .unwrap_or_else(|problem| Response::from_problem(&problem, &request_id))
        .link_to_help(&root);
    if response.status().is_server_error() {
        metrics::SERVER_ERRORS.of(name.service).increment();
    }
    let response = if method == "HEAD" { response.without_body() } else { response };
    let response = match route.deprecation {
        Some(deprecation) => deprecation.announce(response),
        None => response,
    };
    Ok(finish(response, &request_id, duration_ms, route.origin.as_deref()))
}

/// Logs one line per request. Only this line contains a problem's causes.
fn log(
    outcome: &Result<Response, Problem>,
    method: &str,
    path: &str,
    duration_ms: u64,
    gateway: &GatewayIds,
) {
    let gateway_request_id = gateway.request_id.as_deref();
    let gateway_extended_request_id = gateway.extended_request_id.as_deref();
    let xray_trace_id = gateway.xray_trace_id.as_deref();
    match outcome {
        Ok(response) => {
            let created = response.location();
            tracing::info!(
                r#type = "request",
                method,
                path,
                status = response.status().as_u16(),
                duration_ms,
                created,
                gateway_request_id,
                gateway_extended_request_id,
                xray_trace_id,
                "request answered"
            );
        }
        Err(problem) if problem.status.is_server_error() => {
            let cause = problem.cause().unwrap_or("none given");
            tracing::error!(
                r#type = "request",
                method,
                path,
                status = problem.status.as_u16(),
                code = problem.code,
                duration_ms,
                cause,
                gateway_request_id,
                gateway_extended_request_id,
                xray_trace_id,
                "request failed"
            );
        }
        Err(problem) => {
            tracing::info!(
                r#type = "request",
                method,
                path,
                status = problem.status.as_u16(),
                code = problem.code,
                duration_ms,
                gateway_request_id,
                gateway_extended_request_id,
                xray_trace_id,
                "request rejected"
            );
        }
    }
}

/// Converts the response for API Gateway and adds the headers of every response.
fn finish(
    mut response: Response,
    request_id: &str,
    duration_ms: u64,
    origin: Option<&str>,
) -> Value {
    response.set_default(header::CACHE_CONTROL, "no-store");
    for (name, value) in [
        ("x-request-id", request_id),
        ("x-process-time", &duration_ms.to_string()),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("strict-transport-security", "max-age=63072000; includeSubDomains"),
    ] {
        response.set(name, value);
    }
    if let Some(origin) = origin {
        response.set("access-control-allow-origin", origin);
        response.set("access-control-expose-headers", EXPOSED_HEADERS);
        response.set("vary", "Origin");
    }
    let (status, headers, body) = response.into_parts();
    let mut answer =
        json!({ "statusCode": status.as_u16(), "headers": headers, "isBase64Encoded": false });
    // Moved: `json!` would copy it.
    answer["body"] = Value::String(body.into_owned());
    answer
}

/// Logs the causes of an error that does not change the response.
pub fn warn(error: &dyn std::error::Error, what: &str) {
    tracing::warn!(error = telemetry::causes(error), "{what}");
}

#[cfg(test)]
mod tests;
