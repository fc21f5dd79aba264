//! Errors as clients see them: RFC 9457 problem documents.
//!
//! Which status: 400 it cannot be parsed; 401 no valid token; 403 known, but not allowed; 404
//! absent, or not yours to know of; 405 another method; 409 the state forbids it; 412 and 428
//! versions; 415 and 413 form and size; 422 parsed, but it breaks a rule; 429 too often; 503 not
//! now, ask again; 500 our fault. A 5xx says nothing about its cause to the client; the causes go
//! to the log, once.
//!
//! Services turn their own errors into problems in the last lines of their `error.rs`.

use lambda_http::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::{telemetry, validation::Violation};

/// Where the problem types are documented: `type` is this and the code.
pub const TYPE_BASE: &str = "https://ferrocart.dev/problems/";

/// An answer that says what is wrong.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// The stable name that programs branch on: the last segment of `type`.
    pub code: String,
    title: String,
    detail: Option<String>,
    members: Map<String, Value>,
    retry_after_seconds: Option<u64>,
    current_version: Option<u64>,
    headers: Vec<(&'static str, String)>,
    /// For the log alone.
    cause: Option<String>,
}

/// `Order` of `order`.
fn capitalized(noun: &str) -> String {
    let (first, rest) = noun.split_at(1);
    first.to_uppercase() + rest
}

impl Problem {
    /// A problem; `title` is the same for every occurrence of `code`.
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

    /// 400: what came cannot be parsed.
    pub fn bad_request(code: &str, title: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, title)
    }

    /// 401: no token, or none that counts. The same words whatever is wrong with it.
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_token", "Valid access token required")
            .detail("Log in and send the access token as \"Authorization: Bearer …\".")
    }

    /// 403: known, but not allowed.
    pub fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "insufficient_permissions", "Insufficient permissions")
    }

    /// 404: it does not exist, or belongs to another user. `thing` is a noun: `order` gives the
    /// code `order_not_found` and the title `Order not found`.
    pub fn not_found(thing: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            &format!("{thing}_not_found"),
            &format!("{} not found", capitalized(thing)),
        )
    }

    /// 405: the path exists, but not with this method. `allowed` lists its methods, separated by
    /// commas, and becomes `Allow`.
    pub fn method_not_allowed(allowed: &str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed")
            .detail("Use one of the methods that Allow lists.")
            .header("allow", allowed)
    }

    /// 409: the state of things forbids it.
    pub fn conflict(code: &str, title: &str) -> Self {
        Self::new(StatusCode::CONFLICT, code, title)
    }

    /// 412: the change is based on another version than the current one. The answer carries the
    /// current entity tag.
    pub fn precondition_failed(current: u64) -> Self {
        let problem = Self::new(
            StatusCode::PRECONDITION_FAILED,
            "precondition_failed",
            "Resource changed since it was read",
        );
        Self { current_version: Some(current), ..problem }
            .detail("Read it again, and decide again.")
    }

    /// 429: too often. The same words whatever the limit was.
    pub fn too_many_requests(retry_after_seconds: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "Too many requests")
            .detail("Wait a moment and send the same request again.")
            .retry_after(retry_after_seconds)
    }

    /// 422: parsed, but it breaks a rule that no single field can be blamed for.
    pub fn unprocessable(code: &str, title: &str) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, title)
    }

    /// 422 for one field: `pointer` is a JSON pointer such as `/items/0/quantity`.
    pub fn invalid_field(pointer: &str, violation: &Violation) -> Self {
        let error =
            json!({ "pointer": pointer, "code": violation.code, "detail": violation.detail });
        Self::unprocessable(&violation.code, "The request breaks a rule")
            .detail(&violation.detail)
            .with("errors", json!([error]))
    }

    /// 503: something that is needed does not answer; the same request may succeed soon.
    pub fn unavailable() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "Service temporarily unavailable")
            .detail("Nothing is lost: send the same request again, with the same Idempotency-Key if it has one.")
            .retry_after(1)
    }

    /// 500: our fault.
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "Internal error")
            .detail("The request id leads us to the cause.")
    }

    /// A sentence that helps this caller to correct the request.
    #[must_use]
    pub fn detail(mut self, detail: &str) -> Self {
        self.detail = Some(detail.to_owned());
        self
    }

    /// A further member of the document, such as `allowed`.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.members.insert(member.to_owned(), value.into());
        self
    }

    /// When the client may retry.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// Adds a header to the response; `name` is lower case.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Keeps the chain of causes for the log.
    #[must_use]
    pub fn caused_by(mut self, error: &dyn std::error::Error) -> Self {
        self.cause = Some(telemetry::causes(error));
        self
    }

    /// The causes, for the log.
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// The value of the `Retry-After` header, in seconds.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after_seconds
    }

    /// The version whose tag goes out with a 412.
    pub fn current_version(&self) -> Option<u64> {
        self.current_version
    }

    /// The headers that [`Problem::header`] added.
    pub fn headers(&self) -> &[(&'static str, String)] {
        &self.headers
    }

    /// The document's body.
    pub fn document(&self, request_id: &str) -> Value {
        let mut document = self.members.clone();
        document.insert("type".into(), format!("{TYPE_BASE}{}", self.code).into());
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
