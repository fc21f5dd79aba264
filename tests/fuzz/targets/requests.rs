//! Headers, query parameters, path parameters and bodies of otherwise valid requests: the
//! operation, then lines `header: value`, `?parameter=value` and `/parameter=value`, an empty line
//! and the body. Without an empty line the body is valid.

use std::{collections::BTreeMap, sync::LazyLock};

use serde_json::{Value, json};
use shared::operation::Trigger;
use tests::{
    api::{
        fixture::header,
        routes::{DOCUMENT, IfMatch, ROUTES, Route, resolved},
    },
    shop,
};

use crate::{
    fixture::FuzzFixture,
    http,
    input::{choose, input},
};

type Values<'a> = BTreeMap<String, Vec<&'a str>>;

/// The parts that a request replaces.
#[derive(Default)]
struct Parts<'a> {
    headers: Values<'a>,
    query: Values<'a>,
    path: Values<'a>,
    body: Option<&'a str>,
}

/// Every operation that answers requests.
static OPERATIONS: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let is_http = |trigger: &Trigger| matches!(trigger, Trigger::Http(_) | Trigger::Pages(_));
    let operations = shop::operations().filter(|operation| is_http(&operation.trigger));
    operations.map(|operation| &*operation.name().leak()).collect()
});

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        let (head, body) = match text.split_once("\n\n") {
            Some((head, body)) => (head, Some(body)),
            None => (text, None),
        };
        let mut parts = Self { body, ..Self::default() };
        for line in head.split('\n') {
            let (values, pair) = match line.split_at_checked(1) {
                Some(("?", rest)) => (&mut parts.query, rest.split_once('=')),
                Some(("/", rest)) => (&mut parts.path, rest.split_once('=')),
                _ => (&mut parts.headers, line.split_once(": ")),
            };
            let Some((name, value)) = pair.filter(|(name, _)| !name.is_empty()) else { continue };
            values.entry(name.to_ascii_lowercase()).or_default().push(value);
        }
        parts
    }

    fn apply(&self, event: &mut Value) {
        for (name, values) in &self.headers {
            header(event, name, values);
        }
        let last = |values: &Values<'_>| -> Value {
            values.iter().map(|(name, values)| (name.clone(), json!(values.last()))).collect()
        };
        if !self.query.is_empty() {
            event["queryStringParameters"] = last(&self.query);
            event["multiValueQueryStringParameters"] = json!(self.query);
        }
        if !self.path.is_empty() {
            event["pathParameters"] = last(&self.path);
        }
        if let Some(body) = self.body {
            event["body"] = body.into();
        }
    }
}

pub fn run(fixture: &mut FuzzFixture, input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (name, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let operation = choose(&OPERATIONS, name.as_bytes());
    let parts = Parts::of(rest);
    let mut event = fixture.api.valid(operation);
    parts.apply(&mut event);
    let etag = fixture.api.etag_of(operation).to_owned();
    let Some(called) = http::check(fixture, operation, &event) else { return };
    let Some(route) = ROUTES.iter().find(|route| route.operation == operation) else { return };
    check_accepted(route, &parts, &etag, &called.json());
}

/// An accepted request has valid headers and parameters.
fn check_accepted(route: &Route, parts: &Parts<'_>, etag: &str, answer: &Value) {
    let operation = route.operation;
    let values = |name: &str| parts.headers.get(name).map(Vec::as_slice);
    if let Some(values) = values("if-match").filter(|_| route.if_match != IfMatch::Ignored) {
        assert_eq!(values, [etag], "{operation} accepts If-Match");
    }
    if let Some(values) = values("idempotency-key").filter(|_| route.key) {
        let is_key = |key: &str| {
            (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
        };
        assert!(matches!(values, [key] if is_key(key)), "{operation} accepts key {values:?}");
    }
    if let Some(values) = parts.query.get("limit").filter(|_| route.list) {
        let limit = match values[..] {
            [one] => one.parse().unwrap_or(0),
            _ => 0,
        };
        let items = answer["items"].as_array().map_or(0, Vec::len);
        assert!((1..=100).contains(&limit) && items <= limit, "{operation} accepts {values:?}");
    }
}

pub fn seeds(fixture: &mut FuzzFixture) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for operation in OPERATIONS.iter() {
        let event = fixture.api.valid(operation);
        let mut lines = Vec::new();
        for (name, value) in event["headers"].as_object().into_iter().flatten() {
            lines.push(format!("{}: {}", name.to_lowercase(), value.as_str().unwrap_or_default()));
        }
        for (mark, parameters) in [("?", "queryStringParameters"), ("/", "pathParameters")] {
            for (name, value) in event[parameters].as_object().into_iter().flatten() {
                lines.push(format!("{mark}{name}={}", value.as_str().unwrap_or_default()));
            }
        }
        seeds.push(input(operation, lines.join("\n")));
        let is_new = |line: &String| {
            let name = line.split_inclusive(['=', ':']).next().unwrap_or_default();
            !lines.iter().any(|line| line.starts_with(name))
        };
        for line in described(operation).into_iter().filter(is_new) {
            seeds.push(input(operation, format!("{}\n{line}", lines.join("\n"))));
        }
    }
    seeds
}

/// A line for each header and query parameter that the API document describes.
fn described(operation: &str) -> Vec<String> {
    let described = DOCUMENT["paths"].as_object().into_iter().flat_map(|paths| paths.values());
    let described = described
        .filter_map(Value::as_object)
        .flat_map(|methods| methods.values())
        .find(|described| described["operationId"] == operation);
    let parameters = described.and_then(|described| described["parameters"].as_array());
    let line = |parameter: &'static Value| {
        let parameter = resolved(parameter);
        let name = parameter["name"].as_str()?;
        let schema = &parameter["schema"];
        let of_enum = schema["enum"][0].as_str();
        let value = of_enum.unwrap_or(if schema["type"] == "boolean" { "true" } else { "7" });
        match parameter["in"].as_str()? {
            "query" => Some(format!("?{name}={value}")),
            "header" => Some(format!("{}: {value}", name.to_lowercase())),
            _ => None,
        }
    };
    parameters.into_iter().flatten().filter_map(line).collect()
}
