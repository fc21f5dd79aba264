//! A request, parsed from API Gateway's event, with typed access to its parts.

use std::collections::HashMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use lambda_http::http::StatusCode;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{IdempotencyKey, PageRequest, json, response};
use crate::{
    auth::{Caller, Role},
    clock::Timestamp,
    ids::{Ids, PrefixedId, UserId},
    lambda::Invocation,
    problem::Problem,
    telemetry::Trace,
    validation::Violation,
};

#[derive(Debug)]
pub struct Request {
    id: String,
    trace: Trace,
    received_at: Timestamp,
    deadline: Timestamp,
    xray_trace_id: Option<String>,
    event: Event,
}

/// The fields of API Gateway's REST proxy event that are used.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    http_method: String,
    path: String,
    #[serde(default, deserialize_with = "or_default")]
    resource: String,
    #[serde(default, deserialize_with = "or_default")]
    headers: HashMap<String, String>,
    #[serde(default, deserialize_with = "or_default")]
    multi_value_headers: HashMap<String, Vec<String>>,
    #[serde(default, deserialize_with = "or_default")]
    query_string_parameters: HashMap<String, String>,
    #[serde(default, deserialize_with = "or_default")]
    multi_value_query_string_parameters: HashMap<String, Vec<String>>,
    #[serde(default, deserialize_with = "or_default")]
    path_parameters: HashMap<String, String>,
    #[serde(default, deserialize_with = "or_default")]
    request_context: Context,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Context {
    #[serde(default, deserialize_with = "or_default")]
    request_id: String,
    #[serde(default, deserialize_with = "or_default")]
    extended_request_id: String,
    #[serde(default, deserialize_with = "or_default")]
    authorizer: Map<String, Value>,
    #[serde(default, deserialize_with = "or_default")]
    path: String,
    #[serde(default, deserialize_with = "or_default")]
    identity: Identity,
}

/// The ids under which the gateway and X-Ray know a request. They connect its log line with the
/// gateway's access log and with X-Ray.
#[derive(Debug, Default)]
pub(super) struct GatewayIds {
    pub(super) request_id: Option<String>,
    pub(super) extended_request_id: Option<String>,
    pub(super) xray_trace_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    #[serde(default, deserialize_with = "or_default")]
    source_ip: String,
}

/// API Gateway sends `null` for empty values.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl Request {
    /// Parses an invocation by API Gateway.
    pub(super) fn from_event(
        invocation: Invocation,
        received_at: Timestamp,
    ) -> Result<Self, Problem> {
        let deadline = invocation.deadline;
        let xray_trace_id = invocation.xray_trace_id().map(str::to_owned);
        let event: Event = serde_json::from_value(invocation.event)
            .map_err(|_| Problem::bad_request("malformed_request", "Malformed request"))?;
        let header = |name: &str| header_values(&event, name).into_iter().next();
        let accepted = header("x-request-id").filter(|id| is_request_id(id));
        let id = accepted.map(str::to_owned).unwrap_or_else(|| {
            match event.request_context.request_id.as_str() {
                "" => invocation.request_id.clone(),
                given => given.to_owned(),
            }
        });
        let trace = header("traceparent")
            .and_then(Trace::parse)
            .unwrap_or_else(|| Trace::start(&Ids::System));
        Ok(Self { id, trace, received_at, deadline, xray_trace_id, event })
    }

    /// Returns the request id: the client's `X-Request-Id` if it is valid, otherwise the gateway's
    /// or Lambda's.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the time at which Lambda stops the function.
    pub fn deadline(&self) -> Timestamp {
        self.deadline
    }

    /// Returns the ids under which the gateway and X-Ray know the request.
    pub(super) fn gateway_ids(&self) -> GatewayIds {
        let context = &self.event.request_context;
        let given = |id: &String| Some(id.clone()).filter(|id| !id.is_empty());
        GatewayIds {
            request_id: given(&context.request_id),
            extended_request_id: given(&context.extended_request_id),
            xray_trace_id: self.xray_trace_id.clone(),
        }
    }

    /// Returns the trace that the request continues or starts.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    pub fn method(&self) -> &str {
        &self.event.http_method
    }

    /// Returns the path that the client requested, with stage and base path: `/v1/orders`.
    pub fn full_path(&self) -> &str {
        &self.event.request_context.path
    }

    /// Returns the client's address as seen by the gateway. Headers of the client cannot change it.
    pub fn source_ip(&self) -> &str {
        &self.event.request_context.identity.source_ip
    }

    /// Returns the value of `Location` for the resource at `path`, relative to the request's URL
    /// (RFC 9110, section 10.2.2; RFC 3986, section 5.2): `orders/ord_…` after `POST …/orders`. A
    /// relative reference is valid behind any stage, custom domain and base path. The function
    /// cannot determine these reliably.
    pub fn location(&self, path: &str) -> String {
        relative_reference(&self.resource(), path)
    }

    /// Returns the reference from the request's address to the root of the API, such as `../` from
    /// `/orders/{order_id}`.
    pub(super) fn root(&self) -> String {
        let segments = self.resource().split('/').count().saturating_sub(1);
        match "../".repeat(segments.saturating_sub(1)).as_str() {
            "" => "./".to_owned(),
            root => root.to_owned(),
        }
    }

    /// Returns the path within the API, without stage and base path. `path` of the event begins
    /// with the base path of a custom domain.
    pub fn resource(&self) -> String {
        let template = match self.event.resource.as_str() {
            "" => return self.event.path.clone(),
            template => template,
        };
        let parameter = |segment: &str| {
            segment
                .strip_prefix('{')?
                .strip_suffix('}')
                .map(|name| name.trim_end_matches('+').to_owned())
        };
        let value = |segment: &str| {
            parameter(segment).and_then(|name| self.event.path_parameters.get(&name).cloned())
        };
        template
            .split('/')
            .map(|segment| value(segment).unwrap_or_else(|| segment.to_owned()))
            .collect::<Vec<_>>()
            .join("/")
    }

    /// Returns the caller.
    ///
    /// # Errors
    /// 401 if the token is missing or has expired; a response in the authorizer cache can outlive
    /// its token. 403 if the token contains no known role.
    pub fn caller(&self) -> Result<Caller, Problem> {
        self.optional_caller()?.ok_or_else(Problem::unauthorized)
    }

    /// Returns the caller, who must be an admin.
    ///
    /// # Errors
    /// As [`Request::caller`], and 403 for other roles.
    pub fn admin(&self) -> Result<Caller, Problem> {
        let caller = self.caller()?;
        if caller.is_admin() { Ok(caller) } else { Err(Problem::forbidden()) }
    }

    /// Returns the caller on a route with an optional token; `None` without a token.
    ///
    /// # Errors
    /// As [`Request::caller`], except for a missing token.
    pub fn optional_caller(&self) -> Result<Option<Caller>, Problem> {
        let text = |name: &str| {
            self.event
                .request_context
                .authorizer
                .get(name)
                .filter(|value| !value.is_null())
                .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        };
        let Some(user_id) = text("sub").as_deref().and_then(UserId::parse) else { return Ok(None) };
        let expires_at = text("exp")
            .and_then(|seconds| seconds.parse::<i64>().ok())
            .ok_or_else(Problem::unauthorized)?;
        if expires_at <= self.received_at.seconds() {
            return Err(Problem::unauthorized());
        }
        let role = text("role").as_deref().and_then(Role::parse).ok_or_else(Problem::forbidden)?;
        let (name, email) = (text("name").unwrap_or_default(), text("email").unwrap_or_default());
        let email_verified = text("email_verified").as_deref() == Some("true");
        Ok(Some(Caller { user_id, role, name, email, email_verified, session: text("sid") }))
    }

    /// Returns the `Idempotency-Key` of a request that creates something.
    ///
    /// # Errors
    /// 400 if it is missing, repeated or not 1 to 255 visible ASCII characters.
    pub fn idempotency_key(&self) -> Result<IdempotencyKey, Problem> {
        IdempotencyKey::parse(&self.headers("idempotency-key"))
    }

    /// Returns the version on which a change is based, from `If-Match`. An entity tag that
    /// Ferrocart never issues becomes a version that never exists, so that the change is rejected
    /// with 412.
    ///
    /// # Errors
    /// 428 if the header is missing, 400 if it is not exactly one entity tag.
    pub fn if_match(&self) -> Result<u64, Problem> {
        self.if_match_optional()?.ok_or_else(|| {
            let title = "If-Match header required";
            Problem::new(StatusCode::PRECONDITION_REQUIRED, "precondition_required", title)
                .detail("Read the resource and send its ETag as If-Match.")
        })
    }

    /// As [`Request::if_match`], but the header is optional.
    ///
    /// # Errors
    /// 400 if it is not exactly one entity tag.
    pub fn if_match_optional(&self) -> Result<Option<u64>, Problem> {
        let invalid = || {
            Problem::bad_request("invalid_if_match", "Invalid If-Match header")
                .detail("Send one ETag exactly as received.")
        };
        match self.headers("if-match")[..] {
            [] => Ok(None),
            [tag] => response::version_of(tag).map(Some).ok_or_else(invalid),
            _ => Err(invalid()),
        }
    }

    /// Parses the body as a `T`.
    ///
    /// # Errors
    /// 400 if it is malformed, 413 if it is too large, 415 if it is not JSON, 422 with a JSON
    /// pointer if a field breaks a rule.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        json::check_content_type(
            self.method(),
            &self.headers("content-type"),
            &self.headers("content-encoding"),
        )?;
        json::parse(&self.body()?)
    }

    /// Returns the bytes of the body.
    ///
    /// # Errors
    /// 400 if the event declares base64 and the body is not valid base64.
    pub fn body(&self) -> Result<Vec<u8>, Problem> {
        let text = self.event.body.as_deref().unwrap_or_default();
        if !self.event.is_base64_encoded {
            return Ok(text.as_bytes().to_vec());
        }
        BASE64_STANDARD
            .decode(text)
            .map_err(|_| Problem::bad_request("malformed_body", "Body is not valid base64"))
    }

    /// Parses an id in the path, such as `order_id`. `thing` names the resource in the problem.
    ///
    /// # Errors
    /// 404 if it is not an id of this kind: such an item cannot exist, so no table is read.
    pub fn path_id<I: PrefixedId>(&self, parameter: &str, thing: &str) -> Result<I, Problem> {
        self.path_parameter(parameter).and_then(I::parse).ok_or_else(|| Problem::not_found(thing))
    }

    pub fn path_parameter(&self, parameter: &str) -> Option<&str> {
        self.event.path_parameters.get(parameter).map(String::as_str)
    }

    /// Returns a query parameter.
    ///
    /// # Errors
    /// 422 if it occurs more than once.
    pub fn query(&self, parameter: &str) -> Result<Option<&str>, Problem> {
        let several = self.event.multi_value_query_string_parameters.get(parameter);
        match several.map(Vec::as_slice) {
            Some([one]) => Ok(Some(one)),
            Some([_, _, ..]) => Err(invalid_parameter(
                parameter,
                &Violation::new("repeated_parameter", "Send this parameter once."),
            )),
            _ => Ok(self.event.query_string_parameters.get(parameter).map(String::as_str)),
        }
    }

    /// Parses `limit` and `cursor`.
    ///
    /// # Errors
    /// 422 if the limit is outside 1 to 100.
    pub fn page(&self) -> Result<PageRequest<'_>, Problem> {
        PageRequest::parse(self.query("limit")?, self.query("cursor")?)
            .map_err(|violation| invalid_parameter("limit", &violation))
    }

    /// Returns the first value of a header. Names are case-insensitive.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).into_iter().next()
    }

    fn headers(&self, name: &str) -> Vec<&str> {
        header_values(&self.event, name)
    }
}

/// 422 for a query parameter. Its pointer is `?name`, which differs from every pointer into a body.
pub(super) fn invalid_parameter(parameter: &str, violation: &Violation) -> Problem {
    Problem::invalid_field(&format!("?{parameter}"), violation)
}

fn header_values<'a>(event: &'a Event, name: &str) -> Vec<&'a str> {
    let several = event
        .multi_value_headers
        .iter()
        .filter(|(key, _)| key.eq_ignore_ascii_case(name))
        .flat_map(|(_, values)| values);
    let several: Vec<&str> = several.map(String::as_str).collect();
    if !several.is_empty() {
        return several;
    }
    event
        .headers
        .iter()
        .filter(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
        .collect()
}

/// Returns the relative reference from the path `from` to the path `to`.
fn relative_reference(from: &str, to: &str) -> String {
    let mut folders: Vec<&str> = from.split('/').skip(1).collect();
    folders.pop();
    let segments: Vec<&str> = to.split('/').skip(1).collect();
    let common = folders
        .iter()
        .zip(&segments[..segments.len().saturating_sub(1)])
        .take_while(|(one, other)| one == other)
        .count();
    "../".repeat(folders.len() - common) + &segments[common..].join("/")
}

fn is_request_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_location_is_relative_to_the_address_of_the_request() {
        for (from, to, reference) in [
            ("/orders", "/orders/ord_1", "orders/ord_1"),
            ("/users", "/users/me", "users/me"),
            ("/payments/pay_1/refunds", "/payments/pay_1", "../pay_1"),
            ("/inventory/prd_1/adjustments", "/inventory/prd_1", "../prd_1"),
            ("/carts/crt_1/merge", "/carts/crt_2", "../crt_2"),
            ("/a/b/c", "/x", "../../x"),
        ] {
            assert_eq!(relative_reference(from, to), reference, "from {from} to {to}");
        }
    }

    #[test]
    fn a_location_ignores_stage_and_base_path() {
        let event = json!({
            "httpMethod": "POST", "resource": "/payments/{payment_id}/refunds", "path": "/shop/payments/pay_1/refunds",
            "pathParameters": { "payment_id": "pay_1" }, "requestContext": { "stage": "v1" },
        });
        let request =
            Request::from_event(Invocation::with_event(event), Timestamp::from_milliseconds(0))
                .expect("a request");
        assert_eq!(request.location("/payments/pay_1"), "../pay_1");
    }
}
