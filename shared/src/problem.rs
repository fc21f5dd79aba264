//! Errors as clients see them: RFC 9457 problem documents.
//!
//! | status | meaning |
//! |---|---|
//! | 400 | the request cannot be parsed |
//! | 401 | no valid token |
//! | 403 | authenticated, but not allowed |
//! | 404 | absent, or owned by another user |
//! | 405 | method not allowed |
//! | 409 | the current state forbids the request |
//! | 412, 428 | version conflict, version missing |
//! | 413, 415 | body too large, wrong media type |
//! | 422 | parsed, but breaks a rule |
//! | 429 | rate limit exceeded |
//! | 500 | internal error |
//! | 503 | temporarily unavailable, retry |
//!
//! A 5xx does not reveal its cause to the client. The causes are logged, once.
//!
//! Services convert their own errors into problems at the end of their `error.rs`.

use std::sync::OnceLock;

use lambda_http::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::{config, telemetry, validation::Violation};

/// Default of the setting `PROBLEM_BASE`: the address under which problem types are documented.
pub const TYPE_BASE: &str = "https://ferrocart.dev/problems";

/// Returns the URI of a problem type: the configured base and the code. It identifies the type and
/// stays the same in all deployments that do not change the setting.
pub fn type_uri(code: &str) -> String {
    static BASE: OnceLock<String> = OnceLock::new();
    let base = BASE
        .get_or_init(|| config::optional("PROBLEM_BASE").unwrap_or_else(|| TYPE_BASE.to_owned()));
    format!("{base}/{code}")
}

/// A problem document (RFC 9457) with its status and headers.
#[derive(Clone, Debug)]
pub struct Problem {
    pub status: StatusCode,
    /// Stable name that clients branch on, and the last segment of `type`.
    pub code: String,
    title: String,
    detail: Option<String>,
    members: Map<String, Value>,
    retry_after_seconds: Option<u64>,
    current_version: Option<u64>,
    headers: Vec<(&'static str, String)>,
    /// Logged, never sent to the client.
    cause: Option<String>,
}

/// Capitalizes a noun: `order` becomes `Order`.
fn capitalized(noun: &str) -> String {
    let (first, rest) = noun.split_at(1);
    first.to_uppercase() + rest
}

impl Problem {
    /// Creates a problem. `title` must be the same for every occurrence of `code`.
    pub fn new(status: StatusCode, code: &str, title: &str) -> Self {
        Self {
            status,
            code: code.to_owned(),
            title: title.to_owned(),
            detail: None,
            members: Map::new(),
            retry_after_seconds: None,
            current_version: None,
            headers: Vec::new(),
            cause: None,
        }
    }

    /// 400: the request cannot be parsed.
    pub fn bad_request(code: &str, title: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, title)
    }

    /// 401: the token is missing, expired or revoked. The text is the same for every cause.
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_token", "Valid access token required")
            .detail("Log in and send the access token as \"Authorization: Bearer …\".")
    }

    /// 403: authenticated, but not allowed.
    pub fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "insufficient_permissions", "Insufficient permissions")
    }

    /// 404: absent, or owned by another user. `thing` is a noun: `order` results in the code
    /// `order_not_found` and the title `Order not found`.
    pub fn not_found(thing: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            &format!("{thing}_not_found"),
            &format!("{} not found", capitalized(thing)),
        )
    }

    /// 405: the path exists, but not with this method. `allowed` lists the methods of the path,
    /// separated by commas, and is sent as `Allow`.
    pub fn method_not_allowed(allowed: &str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed")
            .detail("Use one of the methods that Allow lists.")
            .header("allow", allowed)
    }

    /// 409: the current state forbids the request.
    pub fn conflict(code: &str, title: &str) -> Self {
        Self::new(StatusCode::CONFLICT, code, title)
    }

    /// 412: the change is based on an outdated version. The response carries the current entity
    /// tag.
    pub fn precondition_failed(current: u64) -> Self {
        let problem = Self::new(
            StatusCode::PRECONDITION_FAILED,
            "precondition_failed",
            "Resource changed since it was read",
        );
        Self { current_version: Some(current), ..problem }
            .detail("Read the resource again and repeat the change.")
    }

    /// 429: rate limit exceeded. The text is the same for every limit.
    pub fn too_many_requests(retry_after_seconds: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "Too many requests")
            .detail("Wait a moment and send the same request again.")
            .retry_after(retry_after_seconds)
    }

    /// 422: parsed, but breaks a rule that concerns more than one field.
    pub fn unprocessable(code: &str, title: &str) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, title)
    }

    /// 422 for one field. `pointer` is a JSON pointer such as `/items/0/quantity`.
    pub fn invalid_field(pointer: &str, violation: &Violation) -> Self {
        let error =
            json!({ "pointer": pointer, "code": violation.code, "detail": violation.detail });
        Self::unprocessable(&violation.code, "Invalid request")
            .detail(&violation.detail)
            .with("errors", json!([error]))
    }

    /// 503: a dependency does not respond. The same request may succeed soon.
    pub fn unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "temporarily_unavailable",
            "Service temporarily unavailable",
        )
        .detail("Repeat the request, with the same Idempotency-Key if it has one.")
        .retry_after(1)
    }

    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "Internal error")
            .detail("Quote the request id to get help.")
    }

    /// Sets `detail`, a sentence that helps the caller to correct the request.
    #[must_use]
    pub fn detail(mut self, detail: &str) -> Self {
        self.detail = Some(detail.to_owned());
        self
    }

    /// Adds a member to the document, such as `allowed`.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.members.insert(member.to_owned(), value.into());
        self
    }

    /// Sets when the client may retry (`Retry-After`).
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// Adds a header to the response. `name` is lower case.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Keeps the error's chain of causes for the log.
    #[must_use]
    pub fn caused_by(mut self, error: &dyn std::error::Error) -> Self {
        self.cause = Some(telemetry::causes(error));
        self
    }

    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// Returns the value of `Retry-After`, in seconds.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after_seconds
    }

    /// Returns the version whose entity tag a 412 carries.
    pub fn current_version(&self) -> Option<u64> {
        self.current_version
    }

    /// Returns the headers that [`Problem::header`] added.
    pub fn headers(&self) -> &[(&'static str, String)] {
        &self.headers
    }

    /// Returns the body of the problem document.
    pub fn document(&self, request_id: &str) -> Value {
        let mut document = self.members.clone();
        document.insert("type".into(), type_uri(&self.code).into());
        document.insert("title".into(), self.title.clone().into());
        document.insert("status".into(), self.status.as_u16().into());
        document.insert("code".into(), self.code.clone().into());
        if let Some(detail) = &self.detail {
            document.insert("detail".into(), detail.clone().into());
        }
        document.insert("request_id".into(), request_id.into());
        Value::Object(document)
    }
}

#[cfg(feature = "api-document")]
impl utoipa::PartialSchema for Problem {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, SchemaFormat, Type};

        let text =
            |about: &str| ObjectBuilder::new().schema_type(Type::String).description(Some(about));
        let error = ObjectBuilder::new()
            .property("pointer", text("The field: a JSON pointer into the body, or `?` and the name of a query parameter."))
            .property("code", text("Which rule the field breaks."))
            .property("detail", text("How to correct the field."));
        let error = ["pointer", "code", "detail"].into_iter().fold(error, ObjectBuilder::required);
        let document = ObjectBuilder::new()
            .description(Some("A problem document of RFC 9457. Some codes have further members."))
            .property(
                "type",
                text("Where the problem is documented.")
                    .format(Some(SchemaFormat::Custom("uri".to_owned()))),
            )
            .property("title", text("Short name of the problem, the same each time."))
            .property(
                "status",
                ObjectBuilder::new()
                    .schema_type(Type::Integer)
                    .description(Some("The HTTP status.")),
            )
            .property(
                "code",
                text("Its stable name, for programs to branch on: the last segment of `type`."),
            )
            .property("detail", text("How to correct this request."))
            .property("request_id", text("What to quote to us. The same as `X-Request-Id`."))
            .property(
                "errors",
                ArrayBuilder::new()
                    .items(error)
                    .description(Some("Which fields of the request break a rule.")),
            );
        ["type", "title", "status", "code", "request_id"]
            .into_iter()
            .fold(document, ObjectBuilder::required)
            .into()
    }
}

#[cfg(feature = "api-document")]
impl utoipa::ToSchema for Problem {}
