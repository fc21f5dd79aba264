//! The generated parts of files, which `make template` writes:
//!
//! - in `template.yaml`: method settings, routes and responses of the gateway, and saved queries
//! - in the template of each service: the permissions of its routes and its alarms of releases
//! - the dashboards
//! - in `functions/README.md`: the tables of operations and metrics

mod log_queries;
mod operations_table;
mod releases;

use std::{collections::BTreeMap, fmt::Write};

use serde_json::Value;
use shared::{
    http::EXPOSED_HEADERS,
    operation::{Access, Operation, Route},
};
use tests::{shop, template::root};

pub use self::releases::watched;
use self::{
    log_queries::log_queries, operations_table::operations_table, releases::release_alarms,
};
use super::{dashboards, source};

const BEGIN: &str = "--- generated: begin";
const END: &str = "--- generated: end";

/// A response of the gateway that does not involve a function.
struct Answer {
    /// The type of API Gateway's gateway response.
    kind: &'static str,
    status: u16,
    code: &'static str,
    title: &'static str,
    detail: &'static str,
    /// An additional header with its value.
    header: Option<(&'static str, &'static str)>,
}

const fn answer(
    kind: &'static str,
    status: u16,
    code: &'static str,
    title: &'static str,
    detail: &'static str,
) -> Answer {
    Answer { kind, status, code, title, detail, header: None }
}

impl Answer {
    const fn with(self, name: &'static str, value: &'static str) -> Self {
        Self { header: Some((name, value)), ..self }
    }
}

const FORBIDDEN: (&str, &str) = ("insufficient_permissions", "Insufficient permissions");
const MALFORMED: (&str, &str) = ("malformed_request", "Malformed request");
const NO_ROUTE: (&str, &str) = ("route_not_found", "Route not found");
const NO_ROUTE_DETAIL: &str = "No operation has this path and this method.";
const TOO_MANY: (&str, &str) = ("too_many_requests", "Too many requests");
const UNAVAILABLE: (&str, &str) = ("temporarily_unavailable", "Service temporarily unavailable");
const REPEAT: &str = "Repeat the request, with the same Idempotency-Key if it has one.";
const WAIT: &str = "Wait a moment and send the same request again.";

/// Every gateway response. `DEFAULT_4XX` is the rest: an unknown path called with a bearer token,
/// which the gateway takes for a malformed AWS signature. `WAF_FILTERED` is always a limit: the web
/// ACL has no other rules. A custom response of WAF cannot be a problem document, because it cannot
/// set `Content-Type`.
///
/// A function that Lambda throttles is an `INTEGRATION_FAILURE`, which is 504 by default, and a
/// throttled authorizer an `AUTHORIZER_CONFIGURATION_ERROR`, which is 500. Neither has run, so the
/// client may repeat the request. An authorizer that fails without a decision is an
/// `AUTHORIZER_FAILURE`.
const ANSWERS: [Answer; 20] = [
    answer(
        "UNAUTHORIZED",
        401,
        "invalid_token",
        "Valid access token required",
        "Log in and send the access token as \"Authorization: Bearer …\".",
    )
    .with("WWW-Authenticate", "Bearer error=\"invalid_token\""),
    answer("ACCESS_DENIED", 403, FORBIDDEN.0, FORBIDDEN.1, "You may not do this."),
    answer("EXPIRED_TOKEN", 403, FORBIDDEN.0, FORBIDDEN.1, "You may not do this."),
    answer("INVALID_API_KEY", 403, FORBIDDEN.0, FORBIDDEN.1, "You may not do this."),
    answer("INVALID_SIGNATURE", 403, FORBIDDEN.0, FORBIDDEN.1, "You may not do this."),
    answer(
        "WAF_FILTERED",
        429,
        TOO_MANY.0,
        TOO_MANY.1,
        "This address has sent too many requests. Wait five minutes and send the same request again.",
    )
    .with("Retry-After", "300"),
    answer("MISSING_AUTHENTICATION_TOKEN", 404, NO_ROUTE.0, NO_ROUTE.1, NO_ROUTE_DETAIL),
    answer("RESOURCE_NOT_FOUND", 404, NO_ROUTE.0, NO_ROUTE.1, NO_ROUTE_DETAIL),
    answer("BAD_REQUEST_BODY", 400, MALFORMED.0, MALFORMED.1, "The body is not what the operation takes."),
    answer("BAD_REQUEST_PARAMETERS", 400, MALFORMED.0, MALFORMED.1, "The path, the query or a header is not what the operation takes."),
    answer("REQUEST_TOO_LARGE", 413, "payload_too_large", "Body too large", "The gateway takes 10 MB at most."),
    answer(
        "UNSUPPORTED_MEDIA_TYPE",
        415,
        "unsupported_media_type",
        "Unsupported media type",
        "Send it with Content-Type: application/json.",
    ),
    answer("THROTTLED", 429, TOO_MANY.0, TOO_MANY.1, WAIT).with("Retry-After", "1"),
    answer("QUOTA_EXCEEDED", 429, TOO_MANY.0, TOO_MANY.1, WAIT).with("Retry-After", "60"),
    answer("DEFAULT_4XX", 404, NO_ROUTE.0, NO_ROUTE.1, NO_ROUTE_DETAIL),
    answer("INTEGRATION_FAILURE", 503, UNAVAILABLE.0, UNAVAILABLE.1, REPEAT)
        .with("Retry-After", "1"),
    answer("AUTHORIZER_FAILURE", 503, UNAVAILABLE.0, UNAVAILABLE.1, REPEAT)
        .with("Retry-After", "1"),
    answer("AUTHORIZER_CONFIGURATION_ERROR", 503, UNAVAILABLE.0, UNAVAILABLE.1, REPEAT)
        .with("Retry-After", "1"),
    answer(
        "INTEGRATION_TIMEOUT",
        504,
        "gateway_timeout",
        "Gateway timeout",
        "Send the same request again, with the same Idempotency-Key if it has one.",
    ),
    answer("DEFAULT_5XX", 500, "internal_error", "Internal error", "Quote the request id to get help."),
];

/// The headers of every gateway response, as functions set them; see `shared::http`.
const HEADERS: [(&str, &str); 7] = [
    ("Content-Type", "'application/problem+json'"),
    ("X-Request-Id", "context.requestId"),
    ("Cache-Control", "'no-store'"),
    ("Strict-Transport-Security", "'max-age=63072000; includeSubDomains'"),
    ("X-Content-Type-Options", "'nosniff'"),
    ("X-Frame-Options", "'DENY'"),
    ("Referrer-Policy", "'no-referrer'"),
];

/// The operations whose `GET` the stage caches. They are public, answer every caller alike, and
/// allow caches to keep the response for [`CACHE_SECONDS`].
pub const CACHED: [&str; 2] = ["get-product", "list-products"];
/// The lifetime of a cached response, the same as in `Cache-Control` of the operations.
pub const CACHE_SECONDS: u64 = 30;

/// The operations with limits of their own: the names of rate and burst in `MethodLimits`.
const LIMITS: [(&str, &str, &str); 9] = [
    ("login-user", "LoginRate", "LoginBurst"),
    ("register-user", "PasswordRate", "PasswordBurst"),
    ("update-me", "PasswordRate", "PasswordBurst"),
    ("change-password", "PasswordRate", "PasswordBurst"),
    ("request-password-reset", "PasswordRate", "PasswordBurst"),
    ("confirm-password-reset", "PasswordRate", "PasswordBurst"),
    ("create-payment", "ProviderRate", "Burst"),
    ("create-refund", "ProviderRate", "Burst"),
    ("receive-payment-webhook", "ProviderRate", "Burst"),
];

/// Every route with its operation, by path and method.
pub fn routes() -> impl Iterator<Item = (&'static Operation, Route)> {
    shop::operations()
        .flat_map(|operation| operation.routes().iter().map(move |route| (operation, *route)))
}

/// The settings of every method, by path. The first entry holds for methods without an entry:
/// `HEAD`, `OPTIONS`, and those that the function of `GET` rejects.
///
/// The gateway rejects `ANY` in a setting, but accepts each method that `ANY` covers.
fn method_settings() -> String {
    let mut settings: BTreeMap<(&str, &str), String> = BTreeMap::new();
    for (operation, route) in routes() {
        let name = operation.name();
        let (_, rate, burst) = *LIMITS
            .iter()
            .find(|(limited, _, _)| *limited == name)
            .unwrap_or(&("", "Rate", "Burst"));
        let caching = if is_cached(operation, route) {
            format!(
                "!If [HasApiCache, true, false], CacheTtlInSeconds: {CACHE_SECONDS}, CacheDataEncrypted: true"
            )
        } else {
            "false".to_owned()
        };
        let path = format!("/~1{}", route.path[1..].replace('/', "~1"));
        settings.insert(
            (route.path, route.method),
            method_setting(route.method, &path, &caching, rate, burst),
        );
    }
    let others = method_setting("\"*\"", "/*", "false", "Rate", "Burst");
    let settings: String = settings.into_values().collect();
    format!(
        "      # MethodLimits explains the limits. The first entry is for methods without one of their own.\n      MethodSettings:\n{others}{settings}"
    )
}

fn method_setting(method: &str, path: &str, caching: &str, rate: &str, burst: &str) -> String {
    let limit = |name: &str| format!("!FindInMap [MethodLimits, !Ref AccountConcurrency, {name}]");
    format!(
        "        - {{HttpMethod: {method}, ResourcePath: \"{path}\", MetricsEnabled: false, CachingEnabled: {caching},\n           ThrottlingRateLimit: {}, ThrottlingBurstLimit: {}}}\n",
        limit(rate),
        limit(burst)
    )
}

fn is_cached(operation: &Operation, route: Route) -> bool {
    route.method == "GET" && CACHED.contains(&operation.name().as_str())
}

/// The parameters that a cached response depends on: every path and query parameter of the API
/// document, and `If-None-Match`. Each has its place in the document and in the gateway's names.
pub fn cache_key(route: Route) -> Vec<(String, &'static str, &'static str)> {
    let document: Value = serde_json::from_str(&source("functions/platform/openapi.json")).unwrap();
    let parameters =
        document["paths"][route.path][route.method.to_lowercase()]["parameters"].as_array();
    let mut key = Vec::new();
    for parameter in parameters.into_iter().flatten() {
        let reference = parameter["$ref"].as_str().map(|pointer| pointer.trim_start_matches('#'));
        let parameter = reference.map_or(parameter, |to| document.pointer(to).unwrap());
        let name = parameter["name"].as_str().unwrap().to_owned();
        match parameter["in"].as_str() {
            Some("path") => key.push((name, "path", "path")),
            Some("query") => key.push((name, "query", "querystring")),
            _ if name == "If-None-Match" => key.push((name, "header", "header")),
            _ => {}
        }
    }
    key
}

/// The OpenAPI document of the gateway.
///
/// The function of `GET` takes every method of its path that no other function serves. It answers
/// `GET` and `HEAD`, and 405 to the rest: one permission covers all of them. A path without `GET`
/// answers another method like an unknown path. A cached `GET` is a method of its own, so that its
/// responses are not given to `HEAD`.
fn definition() -> String {
    let mut paths: BTreeMap<&str, Vec<(&Operation, Route)>> = BTreeMap::new();
    for (operation, route) in routes() {
        paths.entry(route.path).or_default().push((operation, route));
    }
    let mut text = String::from(
        "      DefinitionBody:\n        openapi: 3.0.1\n        info: {title: !Ref AWS::StackName, version: \"1.0\"}\n        paths:\n",
    );
    for (path, served) in paths {
        writeln!(text, "          {path}:").unwrap();
        for (operation, route) in served {
            let method = if route.method == "GET" {
                "x-amazon-apigateway-any-method"
            } else {
                &route.method.to_lowercase()
            };
            let security = match route.access {
                Access::Public => "NONE",
                Access::OptionalToken => "OptionalBearer",
                Access::Token => "Bearer",
            };
            if is_cached(operation, route) {
                write_method(&mut text, "get", security, operation, &cache_key(route));
            }
            write_method(&mut text, method, security, operation, &[]);
        }
    }
    text.push_str("        x-amazon-apigateway-gateway-responses:\n");
    for answer in &ANSWERS {
        write_answer(&mut text, answer);
    }
    text
}

fn write_method(
    text: &mut String,
    method: &str,
    security: &str,
    operation: &Operation,
    cache_key: &[(String, &str, &str)],
) {
    writeln!(text, "            {method}:").unwrap();
    writeln!(text, "              security: [{{{security}: []}}]").unwrap();
    if !cache_key.is_empty() {
        writeln!(text, "              parameters:").unwrap();
    }
    for (name, place, _) in cache_key {
        let required = *place == "path";
        writeln!(text, "                - {{name: {name}, in: {place}, required: {required}, schema: {{type: string}}}}").unwrap();
    }
    writeln!(text, "              responses: {{}}").unwrap();
    writeln!(text, "              x-amazon-apigateway-integration:").unwrap();
    writeln!(text, "                type: aws_proxy").unwrap();
    writeln!(text, "                httpMethod: POST").unwrap();
    writeln!(text, "                uri: !Sub {}", invocation_uri(&operation.name())).unwrap();
    if cache_key.is_empty() {
        return;
    }
    writeln!(text, "                requestParameters:").unwrap();
    for (name, _, place) in cache_key {
        writeln!(
            text,
            "                  integration.request.{place}.{name}: method.request.{place}.{name}"
        )
        .unwrap();
    }
    writeln!(text, "                cacheKeyParameters:").unwrap();
    for (name, _, place) in cache_key {
        writeln!(text, "                  - method.request.{place}.{name}").unwrap();
    }
}

/// The ARN with which the gateway invokes a function: always the alias that a release moves.
fn invocation_uri(name: &str) -> String {
    let function = format!(
        "arn:${{AWS::Partition}}:lambda:${{AWS::Region}}:${{AWS::AccountId}}:function:${{AWS::StackName}}-{name}:live"
    );
    format!(
        "arn:${{AWS::Partition}}:apigateway:${{AWS::Region}}:lambda:path/2015-03-31/functions/{function}/invocations"
    )
}

fn write_answer(text: &mut String, answer: &Answer) {
    let Answer { kind, status, code, title, detail, header } = answer;
    let mut headers: Vec<(&str, String)> =
        HEADERS.map(|(name, value)| (name, value.to_owned())).to_vec();
    headers.push(("Access-Control-Expose-Headers", format!("'{EXPOSED_HEADERS}'")));
    headers.push(("Vary", "'Origin'".to_owned()));
    headers.extend(header.map(|(name, value)| (name, format!("'{value}'"))));
    let problem = format!(
        "{{\"type\":\"${{ProblemBase}}/{code}\",\"title\":\"{title}\",\"status\":{status},\"code\":\"{code}\",\"detail\":\"{}\",\"request_id\":\"$context.requestId\"}}",
        detail.replace('"', "\\\"")
    );
    writeln!(text, "          {kind}:").unwrap();
    writeln!(text, "            statusCode: \"{status}\"").unwrap();
    writeln!(text, "            responseParameters:").unwrap();
    for (name, value) in headers {
        writeln!(
            text,
            "              gatewayresponse.header.{name}: \"{}\"",
            value.replace('"', "\\\"")
        )
        .unwrap();
    }
    writeln!(text, "              gatewayresponse.header.Access-Control-Allow-Origin: !Sub \"'${{CorsOrigin}}'\"").unwrap();
    write_link(text, code);
    writeln!(text, "            responseTemplates:").unwrap();
    writeln!(text, "              application/json: !Sub '{}'", problem.replace('\'', "''"))
        .unwrap();
}

/// The link to the page of a problem. The gateway cannot compute it from the request, so it leads
/// to the domain, which serves every client, or without one to the stage.
fn write_link(text: &mut String, code: &str) {
    let link = |root: &str| format!("\"'<{root}/problems/{code}>; rel=\\\"help\\\"'\"");
    writeln!(text, "              gatewayresponse.header.Link: !If").unwrap();
    writeln!(text, "                - HasDomain").unwrap();
    writeln!(
        text,
        "                - !If [HasBasePath, !Sub {}, !Sub {}]",
        link("https://${DomainName}/${DomainBasePath}"),
        link("https://${DomainName}")
    )
    .unwrap();
    writeln!(text, "                - {}", link("/v1")).unwrap();
}

/// The gateway's permissions to invoke the functions of a service, one for each route.
fn permissions(service: &str) -> String {
    let mut text = String::new();
    for operation in shop::operations().filter(|operation| operation.service == service) {
        for (number, route) in operation.routes().iter().enumerate() {
            let pascal = super::pascal(&operation.name());
            let number = if number == 0 { String::new() } else { (number + 1).to_string() };
            let method = if route.method == "GET" { "*" } else { route.method };
            let path: Vec<&str> = route
                .path
                .split('/')
                .map(|part| if part.starts_with('{') { "*" } else { part })
                .collect();
            let path = path.join("/");
            writeln!(text, "  {pascal}Permission{number}:").unwrap();
            writeln!(text, "    Type: AWS::Lambda::Permission").unwrap();
            writeln!(text, "    Properties:").unwrap();
            writeln!(text, "      Action: lambda:InvokeFunction").unwrap();
            writeln!(text, "      FunctionName: !Ref {pascal}Function.Alias").unwrap();
            writeln!(text, "      Principal: apigateway.amazonaws.com").unwrap();
            let api = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${ApiId}";
            writeln!(text, "      SourceArn: !Sub {api}/*/{method}{path}\n").unwrap();
        }
    }
    text
}

/// The text of a file with its generated part replaced.
fn with_generated(file: &str, generated: &str) -> String {
    let text = source(file);
    let begin = text.find(BEGIN).unwrap_or_else(|| panic!("{file} has lost its line {BEGIN:?}"));
    let begin = begin + text[begin..].find('\n').unwrap() + 1;
    let end = text.find(END).unwrap_or_else(|| panic!("{file} has lost its line {END:?}"));
    let end = text[..end].rfind('\n').unwrap() + 1;
    format!("{}{generated}{}", &text[..begin], &text[end..])
}

#[test]
fn generated_parts_follow_from_the_operations() {
    let mut files = vec![
        ("template.yaml".to_owned(), method_settings() + &definition() + &log_queries()),
        ("functions/README.md".to_owned(), operations_table()),
    ];
    for service in super::services() {
        let mut generated = permissions(&service) + &release_alarms(&service);
        if service == "platform" {
            generated.push_str(&dashboards::resources());
        }
        if !generated.is_empty() {
            files.push((format!("functions/{service}/template.yaml"), generated));
        }
    }
    let parts = files.into_iter().map(|(file, part)| (with_generated(&file, &part), file));
    let whole = dashboards::grafana_files().into_iter().map(|(file, text)| (text, file));
    let mut stale = Vec::new();
    for (wanted, file) in parts.chain(whole) {
        if asked_to_update() {
            std::fs::write(root().join(&file), &wanted).unwrap();
        } else if std::fs::read_to_string(root().join(&file)).ok() != Some(wanted) {
            stale.push(format!("{file} does not follow from the operations that services declare: run make template"));
        }
    }
    super::none(stale);
}

#[expect(clippy::disallowed_methods, reason = "the caller of the test requests an update")]
pub fn asked_to_update() -> bool {
    std::env::var("UPDATE_TEMPLATES").is_ok_and(|asked| asked == "1")
}

/// The handwritten part of the root template stays short.
#[test]
fn root_template_is_short_without_generated_parts() {
    let text = with_generated("template.yaml", "");
    let lines = text.lines().count();
    assert!(
        lines <= 600,
        "template.yaml has {lines} lines written by hand: what belongs to one service goes to functions/<service>/template.yaml"
    );
}
