//! Responses to events of the gateway: headers, methods, entity tags, panics and deadlines.

use super::*;

static DEPRECATION: Deprecation =
    Deprecation::new("2026-12-01", "2027-06-01", "https://ferrocart.dev/changes");

async fn greet(_: Arc<()>, request: Request) -> Result<Response, Problem> {
    assert_ne!(request.resource(), "/panic", "asked to panic");
    let caller = request.caller()?;
    Ok(ok(&json!({ "hello": caller.name })))
}

async fn read(_: Arc<()>, request: Request) -> Result<Response, Problem> {
    if request.resource() == "/missing" {
        return Err(Problem::not_found("greeting"));
    }
    Ok(ok(&json!({ "hello": "Ada" }))
        .etag(3)
        .cached("public, max-age=30")
        .unless_matching(request.header("if-none-match")))
}

async fn call(event: Value) -> Value {
    lambda(Arc::new(()), greet)(Invocation::with_event(event))
        .await
        .expect("an HTTP function never fails")
}

/// Calls [`read`] on a route with these methods. Removes the header that differs in every
/// response.
async fn answer_of_read(method: &str, path: &str, headers: Value) -> Value {
    let route = Route {
        origin: Some("https://shop.example".into()),
        allowed_methods: Some("GET, HEAD, OPTIONS, POST".into()),
        deprecation: Some(&DEPRECATION),
    };
    let event = json!({ "httpMethod": method, "path": path, "headers": headers, "requestContext": { "requestId": "gw-1" } });
    let operation: Operation = Arc::new(|request| Box::pin(read(Arc::new(()), request)));
    let mut answer =
        answer(OperationName::of(&read), operation, route, Invocation::with_event(event))
            .await
            .expect("an HTTP function never fails");
    answer["headers"].as_object_mut().expect("headers").remove("x-process-time");
    answer
}

#[tokio::test]
async fn head_answers_as_get_without_a_body() {
    for (path, headers, status) in [
        ("/", json!({}), 200),
        ("/", json!({ "If-None-Match": "\"3\"" }), 304),
        ("/missing", json!({}), 404),
    ] {
        let (mut get, head) = (
            answer_of_read("GET", path, headers.clone()).await,
            answer_of_read("HEAD", path, headers).await,
        );
        assert_eq!((&get["statusCode"], &head["body"]), (&json!(status), &json!("")));
        let length = get["body"].as_str().expect("a body").len();
        if length > 0 {
            get["headers"]["content-length"] = length.to_string().into();
        }
        get["body"] = "".into();
        assert_eq!(head, get);
    }
}

#[tokio::test]
async fn every_response_of_a_deprecated_route_says_so() {
    for (method, path, headers, status) in [
        ("GET", "/", json!({}), 200),
        ("HEAD", "/", json!({}), 200),
        ("GET", "/", json!({ "If-None-Match": "\"3\"" }), 304),
        ("GET", "/missing", json!({}), 404),
        ("PUT", "/", json!({}), 405),
    ] {
        let answer = answer_of_read(method, path, headers).await;
        let header = |name: &str| answer["headers"][name].as_str().unwrap_or_default();
        assert_eq!(answer["statusCode"], status);
        assert_eq!(header("deprecation"), "@1796083200", "{method} {path}");
        assert_eq!(header("sunset"), "Tue, 01 Jun 2027 00:00:00 GMT", "{method} {path}");
        assert!(header("link").contains("rel=\"deprecation\""), "{method} {path}");
        for name in ["Deprecation", "Sunset", "Link"] {
            assert!(header("access-control-expose-headers").contains(name), "{name}");
        }
    }
    let current = call(event("/")).await;
    assert_eq!(
        (&current["headers"]["deprecation"], &current["headers"]["sunset"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn other_methods_are_405_with_allow_header() {
    for method in ["PUT", "DELETE", "PATCH", "TRACE", "get", ""] {
        let answer = answer_of_read(method, "/", json!({})).await;
        assert_eq!(
            (&answer["statusCode"], &answer["headers"]["allow"]),
            (&json!(405), &json!("GET, HEAD, OPTIONS, POST")),
            "{method}"
        );
        assert_eq!(answer["headers"]["content-type"], "application/problem+json");
        assert!(
            answer["body"].as_str().expect("a body").contains("\"code\":\"method_not_allowed\""),
            "{answer}"
        );
    }
}

fn event(path: &str) -> Value {
    let authorizer = json!({ "sub": "usr_0199c2a8-0000-7000-8000-000000000001", "role": "user", "name": "Ada", "email": "ada@example.com", "exp": "9999999999" });
    json!({ "httpMethod": "GET", "path": path, "requestContext": { "requestId": "gw-1", "stage": "v1", "authorizer": authorizer } })
}

#[tokio::test]
async fn every_response_has_the_standard_headers() {
    let answer = call(event("/")).await;
    assert_eq!(answer["statusCode"], 200);
    assert_eq!(answer["headers"]["x-request-id"], "gw-1");
    assert_eq!(answer["headers"]["cache-control"], "no-store");
    assert!(answer["headers"]["x-process-time"].is_string());
}

#[tokio::test]
async fn access_line_has_the_gateways_ids_beside_the_callers_trace() {
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let mut traced = event("/");
    traced["headers"] = json!({ "traceparent": format!("00-{trace}-b7ad6b7169203331-01"), "x-request-id": "of-the-caller" });
    traced["requestContext"]["extendedRequestId"] = "Xa-gw=".into();
    let header = "Root=1-58406520-a006649127e371903a2de979;Sampled=0";
    let with_xray = Invocation {
        xray_header: Some(header.to_owned()),
        ..Invocation::with_event(traced.clone())
    };
    let mut refused = traced.clone();
    refused["requestContext"]["authorizer"] = Value::Null;
    let mut failed = traced;
    failed["path"] = "/panic".into();
    let capture = telemetry::Capture::default();
    let recording = capture.record();
    for invocation in [
        with_xray,
        Invocation::with_event(refused),
        Invocation::with_event(failed),
        Invocation::with_event(json!({ "httpMethod": "GET", "path": "/" })),
    ] {
        lambda(Arc::new(()), greet)(invocation).await.expect("an HTTP function never fails");
    }
    drop(recording);
    let lines = capture.lines();
    let lines: Vec<_> = lines.iter().filter(|line| line["type"] == "request").collect();
    let [answered, refused, failed, without_gateway] = lines[..] else { panic!("{lines:?}") };
    for (line, status) in [(answered, 200), (refused, 401), (failed, 500)] {
        assert_eq!((&line["trace_id"], &line["status"]), (&json!(trace), &json!(status)));
        assert_eq!(line["request_id"], "of-the-caller");
        assert_eq!(line["gateway_request_id"], "gw-1");
        assert_eq!(line["gateway_extended_request_id"], "Xa-gw=");
    }
    assert_eq!(answered["xray_trace_id"], "1-58406520-a006649127e371903a2de979");
    assert_eq!(refused.get("xray_trace_id"), None);
    for field in ["gateway_request_id", "gateway_extended_request_id"] {
        assert_eq!(without_gateway.get(field), None);
    }
}

#[tokio::test]
async fn panic_is_answered_with_an_opaque_500() {
    let answer = call(event("/panic")).await;
    assert_eq!(answer["statusCode"], 500);
    assert_eq!(answer["headers"]["content-type"], "application/problem+json");
    assert!(!answer["body"].as_str().expect("a body").contains("asked to panic"));
}

#[tokio::test]
async fn server_errors_counts_5xx_and_no_other_responses() {
    let capture = metrics::Capture::start();
    let mut anonymous = event("/");
    anonymous["requestContext"]["authorizer"] = Value::Null;
    for (event, status) in [(event("/"), 200), (anonymous, 401), (event("/panic"), 500)] {
        assert_eq!(call(event).await["statusCode"], status);
    }
    assert_eq!(capture.total(&metrics::SERVER_ERRORS.of("shared")), 1);
}

#[tokio::test]
async fn missing_and_expired_token_get_the_same_401() {
    let mut anonymous = event("/");
    anonymous["requestContext"]["authorizer"] = Value::Null;
    let mut expired = event("/");
    expired["requestContext"]["authorizer"]["exp"] = "1000".into();
    let (anonymous, expired) = (call(anonymous).await, call(expired).await);
    assert_eq!(anonymous["statusCode"], 401);
    assert_eq!(anonymous["body"], expired["body"]);
    assert_eq!(anonymous["headers"]["www-authenticate"], "Bearer error=\"invalid_token\"");
}

#[test]
fn email_verified_is_read_from_the_authorizer_only() {
    for (said, verified) in [
        (json!("true"), true),
        (json!(true), true),
        (json!("false"), false),
        (json!("TRUE"), false),
        (json!("1"), false),
        (Value::Null, false),
    ] {
        let mut event = event("/");
        event["headers"] = json!({ "email_verified": "true" });
        event["requestContext"]["authorizer"]["email_verified"] = said.clone();
        let request = Request::from_event(Invocation::with_event(event), Clock::System.now())
            .expect("a request");
        assert_eq!(request.caller().expect("a caller").email_verified, verified, "{said}");
    }
}

#[tokio::test]
async fn a_role_that_is_missing_or_unknown_is_403() {
    for role in [Value::Null, "admin admin".into()] {
        let mut request = event("/");
        request["requestContext"]["authorizer"]["role"] = role;
        assert_eq!(call(request).await["statusCode"], 403);
    }
}

#[tokio::test]
async fn malformed_gateway_event_gets_a_4xx_response() {
    for event in [Value::Null, json!([]), json!({}), json!({ "httpMethod": 5 })] {
        let status = call(event).await["statusCode"].as_u64().expect("a status");
        assert!((400..500).contains(&status), "{status}");
    }
}
